//! The state folder: plans with their operations, and the last diff of each folder.
//!
//! ```text
//! <root>/plans/7f3a2c.rkplan    a plan, which is also its operation's journal
//! <root>/plans/7f3a2c.elsewhere the path of a plan that was saved elsewhere
//! <root>/last/<hash>.json       the last diff that ran in a folder
//! <root>/locks/                 the advisory locks of databases that are written
//! <root>/sql_history            the statements that were typed at the prompt of `sql`
//! ```
//!
//! Plans hold rows, so folders are 0700 and files 0600. Nothing here decides what to
//! forget: a plan whose operation may still be undone goes only when a person says so.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use ulid::Ulid;

use crate::error::{Error, Result};
use crate::model::plan::PlanHeader;
use crate::plan::file::{EXTENSION, Operation, PlanFile};

/// The extension of pointers to plans that were saved elsewhere.
const ELSEWHERE: &str = "elsewhere";

/// The state folder of one user.
#[derive(Clone, Debug)]
pub struct State {
    root: PathBuf,
}

/// What the last diff of a folder compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastDiff {
    /// The folder.
    pub folder: String,
    /// Live, absolute and without a password.
    pub live: String,
    /// The backups, absolute, first wins.
    pub backup: Vec<String>,
    /// The tables that were named; none when it was every table.
    pub table: Vec<String>,
    /// When, RFC 3339.
    pub at: String,
}

/// A plan as the log lists it.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Its file.
    pub path: PathBuf,
    /// Its head.
    pub header: PlanHeader,
    /// Its operation, when it was applied or begun.
    pub operation: Option<Operation>,
}

/// A file of the plans' folder that can't be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// The file.
    pub path: PathBuf,
    /// Why.
    pub why: String,
}

impl State {
    /// The state below `root`, which need not exist yet.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The folder of the plans.
    pub fn plans(&self) -> PathBuf {
        self.root.join("plans")
    }

    /// The folder of the locks.
    pub fn locks(&self) -> PathBuf {
        self.root.join("locks")
    }

    /// The file of the statements that were typed, in a folder that is there.
    pub fn history(&self) -> Result<PathBuf> {
        self.make(&self.root)?;
        Ok(self.root.join("sql_history"))
    }

    /// An id that no plan here has, and the file for its plan.
    pub fn new_plan(&self) -> (String, PathBuf) {
        let mut digits = 6;
        loop {
            let random = Ulid::new().random();
            let id = format!("{random:020x}")[20 - digits..].to_owned();
            let file = self.plan_file(&id);
            if !file.exists() && !self.pointer(&id).exists() {
                return (id, file);
            }
            digits = (digits + 1).min(20);
        }
    }

    fn plan_file(&self, id: &str) -> PathBuf {
        self.plans().join(format!("{id}.{EXTENSION}"))
    }

    fn pointer(&self, id: &str) -> PathBuf {
        self.plans().join(format!("{id}.{ELSEWHERE}"))
    }

    /// Notes a plan that lies outside of the plans' folder, so that it is found by its id.
    pub fn note(&self, plan: &PlanFile) -> Result<()> {
        let path = plan.path().canonicalize().unwrap_or_else(|_| plan.path().to_owned());
        if path.parent() == self.plans().canonicalize().ok().as_deref() {
            return Ok(());
        }
        self.write(&self.pointer(&plan.header().id), path.to_string_lossy().as_bytes())
    }

    /// Finds a plan by its file, its id, its operation's id, or the beginning of an id that
    /// only one has.
    ///
    /// # Errors
    /// `Usage` when there is none or more than one; those of [`PlanFile::open`].
    pub async fn find(&self, name: &str) -> Result<PlanFile> {
        let path = Path::new(name);
        let is_file = path.is_file();
        if is_file && (name.contains('/') || path.extension().is_some_and(|e| e == EXTENSION)) {
            return PlanFile::open(path).await;
        }
        let (entries, _) = self.list().await?;
        let exact = entries.iter().find(|e| {
            e.header.id == name || e.operation.as_ref().is_some_and(|o| same(&o.id, name))
        });
        let mut hits = entries.iter().filter(|e| {
            let operation = e.operation.as_ref().map_or("", |o| &o.id);
            e.header.id.starts_with(name) || begins(operation, name)
        });
        let found = match (exact, hits.next(), hits.next()) {
            (Some(one), _, _) | (None, Some(one), None) => one,
            (None, Some(a), Some(b)) => {
                return Err(Error::usage(format!("{name} could be {} or {}", words(a), words(b)))
                    .hint("give more of the id"));
            }
            (None, None, _) => {
                return Err(Error::usage(format!("there is no plan or operation {name}"))
                    .hint("restorekit log"));
            }
        };
        PlanFile::open(&found.path).await
    }

    /// The newest operation that wrote here, be it an undo.
    ///
    /// # Errors
    /// `Usage` when there is none; those of [`PlanFile::open`].
    pub async fn latest(&self) -> Result<PlanFile> {
        let (entries, _) = self.list().await?;
        match entries.iter().find(|e| e.operation.is_some()) {
            Some(entry) => PlanFile::open(&entry.path).await,
            None => Err(Error::usage("there is no operation yet").hint("restorekit log")),
        }
    }

    /// The newest operation that wrote here and was not undone, itself no undo.
    ///
    /// # Errors
    /// `Usage` when there is none; those of [`PlanFile::open`].
    pub async fn undoable(&self) -> Result<PlanFile> {
        let (entries, _) = self.list().await?;
        let undone: Vec<&str> = entries
            .iter()
            .filter(|e| e.operation.is_some())
            .filter_map(|e| e.header.undoes.as_deref())
            .collect();
        let candidate = entries.iter().find(|e| {
            let open = |o: &Operation| !undone.contains(&o.id.as_str());
            e.header.undoes.is_none() && e.operation.as_ref().is_some_and(open)
        });
        match candidate {
            Some(entry) => PlanFile::open(&entry.path).await,
            None => {
                Err(Error::usage("there is no operation to take back: each is an undo, or undone")
                    .hint("see them: restorekit log")
                    .hint("take an undo back by its name: restorekit undo OPERATION"))
            }
        }
    }

    /// The one plan whose operation stopped part way.
    ///
    /// # Errors
    /// `Usage` when there is none or more than one.
    pub async fn stopped(&self) -> Result<PlanFile> {
        let (entries, _) = self.list().await?;
        let begun = |e: &&Entry| e.operation.as_ref().is_some_and(|o| o.receipt.is_none());
        let mut stopped = entries.iter().filter(begun);
        match (stopped.next(), stopped.next()) {
            (Some(one), None) => PlanFile::open(&one.path).await,
            (None, _) => Err(Error::usage("no operation stopped part way").hint("restorekit log")),
            (Some(a), Some(b)) => Err(Error::usage(format!(
                "several stopped part way: {} and {}",
                words(a),
                words(b)
            ))
            .hint(format!("name one: restorekit apply {} --resume", a.header.id))),
        }
    }

    /// All plans, the newest first, and the files that can't be read.
    pub async fn list(&self) -> Result<(Vec<Entry>, Vec<Unreadable>)> {
        let (mut entries, mut unreadable) = (Vec::new(), Vec::new());
        for path in self.files()? {
            match entry(&path).await {
                Ok(entry) => entries.push(entry),
                Err(e) => unreadable.push(Unreadable { path, why: e.to_string() }),
            }
        }
        let moment = |e: &Entry| {
            let at = e.operation.as_ref().map_or(&e.header.created_at, |o| &o.started_at);
            chrono::DateTime::parse_from_rfc3339(at).ok()
        };
        // Within a second the ids of operations, which are ULIDs, tell the order.
        let id = |e: &Entry| e.operation.as_ref().map(|o| o.id.clone());
        let order = |e: &Entry| (moment(e), id(e), e.header.id.clone());
        entries.sort_by_cached_key(|e| std::cmp::Reverse(order(e)));
        Ok((entries, unreadable))
    }

    fn files(&self) -> Result<Vec<PathBuf>> {
        let folder = match fs::read_dir(self.plans()) {
            Ok(folder) => folder,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(self.trouble("read", e)),
        };
        let mut files = Vec::new();
        for file in folder {
            let path = file.map_err(|e| self.trouble("read", e))?.path();
            match path.extension().and_then(|e| e.to_str()) {
                Some(EXTENSION) => files.push(path),
                Some(ELSEWHERE) => {
                    let target = fs::read_to_string(&path).map_err(|e| self.trouble("read", e))?;
                    // A plan that was moved or deleted there is not ours to miss.
                    files.extend(Some(PathBuf::from(target)).filter(|t| t.is_file()));
                }
                _ => {}
            }
        }
        Ok(files)
    }

    /// Removes a plan of this folder, with the journal of its operation.
    pub fn forget(&self, entry: &Entry) -> Result<()> {
        let remove = |path: PathBuf| match fs::remove_file(path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(self.trouble("written", e)),
            _ => Ok(()),
        };
        remove(self.pointer(&entry.header.id))?;
        if entry.path.parent() == Some(&self.plans()) {
            remove(entry.path.clone())?;
        }
        Ok(())
    }

    /// Remembers the last diff of its folder.
    pub fn remember(&self, last: &LastDiff) -> Result<()> {
        let text = serde_json::to_vec(last)
            .map_err(|e| Error::failed("the last diff has no JSON").because(e))?;
        self.write(&self.last_file(&last.folder), &text)
    }

    /// The last diff of a folder; none too when what is kept can't be read.
    pub fn recall(&self, folder: &str) -> Option<LastDiff> {
        let text = fs::read(self.last_file(folder)).ok()?;
        let last: LastDiff = serde_json::from_slice(&text).ok()?;
        (last.folder == folder).then_some(last)
    }

    fn last_file(&self, folder: &str) -> PathBuf {
        let digest = Sha256::digest(folder.as_bytes());
        let name: String = digest[..8].iter().map(|b| format!("{b:02x}")).collect();
        self.root.join("last").join(format!("{name}.json"))
    }

    /// Writes a small file whole or not at all.
    fn write(&self, path: &Path, bytes: &[u8]) -> Result<()> {
        let failed = |e| self.trouble("written", e);
        let folder = path.parent().unwrap_or(&self.root);
        self.make(folder)?;
        let draft = folder.join(format!(".{}", Ulid::new()));
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&draft)
            .map_err(failed)?;
        let done = file.write_all(bytes).and_then(|()| fs::rename(&draft, path));
        if done.is_err() {
            // The first error is the one to tell.
            let _ = fs::remove_file(&draft);
        }
        done.map_err(failed)
    }

    /// Makes a folder of the state that only this user may read.
    fn make(&self, folder: &Path) -> Result<()> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.map_err(|e| self.trouble("written", e))
    }

    fn trouble(&self, verb: &str, e: io::Error) -> Error {
        Error::failed(format!("the state folder {} could not be {verb}", self.root.display()))
            .because(e)
            .hint("name another with XDG_STATE_HOME")
    }
}

async fn entry(path: &Path) -> Result<Entry> {
    let plan = PlanFile::open(path).await?;
    let operation = plan.operation().await?;
    let header = plan.header().clone();
    plan.close().await?;
    Ok(Entry { path: path.to_owned(), header, operation })
}

fn same(id: &str, name: &str) -> bool {
    id.eq_ignore_ascii_case(name)
}

fn begins(id: &str, name: &str) -> bool {
    // Fewer digits of an operation's id are a time span, not an operation.
    name.len() >= 8 && id.get(..name.len()).is_some_and(|head| same(head, name))
}

fn words(entry: &Entry) -> String {
    match &entry.operation {
        Some(operation) => format!("plan {} (operation {})", entry.header.id, operation.id),
        None => format!("plan {}", entry.header.id),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::model::origin::{Identity, Origin};
    use crate::model::plan::Binding;
    use crate::plan::file::{Begun, PlanWriter};

    async fn plant(state: &State, id: &str, path: &Path) -> PlanFile {
        let header = PlanHeader {
            id: id.into(),
            command: "restore".into(),
            title: "t".into(),
            undoes: None,
            created_at: "2024-03-18T03:00:00Z".into(),
            expires_at: "2024-03-19T03:00:00Z".into(),
            binding: Binding {
                target: Identity::Sqlite { host: "h".into(), dev: 1, ino: 1, path: "/a.db".into() },
                live: Origin {
                    location: "/a.db".into(),
                    kind: "SQLite".into(),
                    taken_at: None,
                    warnings: vec![],
                    ..Origin::default()
                },
                backup: None,
                backup_digest: None,
                witnesses: vec![],
                tool: "0".into(),
            },
            atomic: false,
            adapts: false,
            tables: vec![],
        };
        let plan = PlanWriter::create(path).await.unwrap().finish(header).await.unwrap();
        state.note(&plan).unwrap();
        plan
    }

    #[tokio::test]
    async fn a_plan_is_found_by_id_operation_or_file() {
        let folder = tempfile::tempdir().unwrap();
        let state = State::at(folder.path().join("state"));
        assert!(state.find("abc").await.is_err());
        let a = plant(&state, "abc123", &state.plan_file("abc123")).await;
        let begun = Begun {
            id: "01J9ZQABCDEFGHJKMNPQRSTVWX".into(),
            started_at: "2024-03-18T04:00:00Z".into(),
            target: a.header().binding.target.clone(),
        };
        a.begin_operation(&begun).await.unwrap();
        let elsewhere = folder.path().join("other.rkplan");
        let b = plant(&state, "abd456", &elsewhere).await;
        a.close().await.unwrap();
        b.close().await.unwrap();
        for name in ["abc", "abc123", "01J9ZQABCDEFGHJKMNPQRSTVWX", "01j9zqabcd"] {
            let found = state.find(name).await.unwrap();
            assert_eq!(found.header().id, "abc123", "{name}");
            found.close().await.unwrap();
        }
        for name in ["abd", elsewhere.to_str().unwrap()] {
            let found = state.find(name).await.unwrap();
            assert_eq!(found.header().id, "abd456", "{name}");
            found.close().await.unwrap();
        }
        assert!(state.find("ab").await.unwrap_err().to_string().contains("could be"));
        let latest = state.latest().await.unwrap();
        assert_eq!(latest.header().id, "abc123", "the other was not applied");
        latest.close().await.unwrap();
        fs::write(state.plans().join("bad.rkplan"), b"x").unwrap();
        let (entries, unreadable) = state.list().await.unwrap();
        assert_eq!((entries.len(), unreadable.len()), (2, 1));
        state.forget(&entries[0]).unwrap();
        state.forget(&entries[1]).unwrap();
        assert!(elsewhere.exists(), "what was saved elsewhere is not ours to remove");
        assert_eq!(state.list().await.unwrap().0, []);
    }

    #[tokio::test]
    async fn of_operations_of_one_second_the_later_one_is_the_last() {
        let folder = tempfile::tempdir().unwrap();
        let state = State::at(folder.path().join("state"));
        let ids = ["01J9ZQABCDEFGHJKMNPQRSTVW0", "01J9ZQABCDEFGHJKMNPQRSTVW9"];
        for (plan, id) in [("fff999", ids[0]), ("aaa111", ids[1]), ("ccc555", "")] {
            let file = plant(&state, plan, &state.plan_file(plan)).await;
            let started_at = "2024-03-18T04:00:00Z".into();
            let target = file.header().binding.target.clone();
            if !id.is_empty() {
                file.begin_operation(&Begun { id: id.into(), started_at, target }).await.unwrap();
            }
            file.close().await.unwrap();
        }
        for latest in [state.latest().await, state.undoable().await] {
            let latest = latest.unwrap();
            assert_eq!(latest.header().id, "aaa111");
            latest.close().await.unwrap();
        }
    }

    #[test]
    fn w12_the_last_diff_is_private() {
        let root = tempfile::tempdir().unwrap();
        let state = State::at(root.path().join("a/b"));
        let last = LastDiff {
            folder: "/work".into(),
            live: "/a.db".into(),
            backup: vec!["/snap".into()],
            table: vec![],
            at: "2024-03-18T03:00:00Z".into(),
        };
        state.remember(&last).unwrap();
        assert_eq!(state.recall("/work"), Some(last));
        assert_eq!(state.recall("/other"), None);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&state.last_file("/work")), 0o600);
        assert_eq!(mode(state.last_file("/work").parent().unwrap()), 0o700);
        assert_eq!(mode(state.root()), 0o700);
    }
}
