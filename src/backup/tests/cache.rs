//! What was read of a dump is kept for the next time, and nothing is believed that is not so.

use std::os::unix::fs::PermissionsExt;
use std::time::SystemTime;

use super::dumps::{DUMPS, Engine, awkward, columns, fixture, read};
use sha2::{Digest, Sha256};

use super::*;
use crate::backup::dump::cache::Cache;
use crate::error::Kind;
use crate::model::value::hex;

/// A cache, and the folder that it is in.
fn cache(most: u64) -> (tempfile::TempDir, Cache) {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::at(folder.path().join("dumps"), most);
    (folder, cache)
}

/// A dump whose tables of these names are wanted; of all, where there is none.
fn wanting(path: &Path, cache: &Cache, tables: &[&str]) -> BackupSpec {
    BackupSpec {
        database: Some("awkward".into()),
        cache: Some(cache.clone()),
        tables: tables.iter().map(|name| (*name).to_owned()).collect(),
        ..spec(path)
    }
}

/// The rows of `awkward` in a dump.
async fn rows_of(path: &Path, cache: &Cache, tables: &[&str]) -> Result<Vec<Vec<Value>>> {
    let source = open_backup(&wanting(path, cache, tables)).await?;
    read(&*source, "awkward", &columns()).await
}

fn kept(cache: &Cache) -> Vec<Vec<String>> {
    cache.list().unwrap().into_iter().map(|dump| dump.tables).collect()
}

/// Writes into the entry whose file is the only one of this name.
fn alter(cache: &Cache, file: &str, change: impl Fn(&mut Vec<u8>)) {
    let found = listing(cache.folder());
    let mut found = found.iter().filter(|(path, _)| path.ends_with(file));
    let (path, bytes) = found.next().unwrap();
    assert!(found.next().is_none());
    let mut bytes = bytes.clone();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
}

/// A dump of SQLite in a folder, with this word in it.
fn dump(folder: &Path, word: &str) -> PathBuf {
    let path = folder.join("app.sql");
    let text = format!(
        "PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;\nCREATE TABLE notes(id integer primary key, v text);\n\
         INSERT INTO notes VALUES(1,'{word}');\nCOMMIT;\n"
    );
    fs::write(&path, text).unwrap();
    path
}

async fn word(path: &Path, cache: &Cache) -> Value {
    let source = open_backup(&wanting(path, cache, &[])).await.unwrap();
    let columns = [column("id", Carrier::Int), column("v", Carrier::Text)];
    read(&*source, "notes", &columns).await.unwrap()[0][1].clone()
}

#[tokio::test]
async fn the_second_reading_of_every_dump_is_the_first() {
    for (name, engine) in DUMPS {
        let (_folder, cache) = cache(1 << 30);
        let path = fixture(name);
        for time in 1..=2 {
            let source = open_backup(&wanting(&path, &cache, &[])).await.unwrap();
            let rows = read(&*source, "awkward", &columns()).await.unwrap();
            assert_eq!(rows, awkward(*engine), "{name}, time {time}");
            let empty = [column("id", Carrier::Int), column("t", Carrier::Text)];
            assert!(read(&*source, "empty", &empty).await.unwrap().is_empty(), "{name}");
            assert!(!kept(&cache).is_empty(), "{name}");
        }
        // Nothing but what is kept: what runs lend of it is gone.
        let inside = fs::read_dir(cache.folder()).unwrap().count();
        assert_eq!(inside, cache.list().unwrap().len(), "{name}");
    }
}

#[tokio::test]
async fn what_is_kept_is_used_and_told() {
    let (_folder, cache) = cache(1 << 30);
    let path = fixture("mysql/zone.sql");
    let told = async || {
        let source = open_backup(&wanting(&path, &cache, &[])).await.unwrap();
        source.origin().warnings.join("\n")
    };
    let first = told().await;
    assert!(first.contains("zone"), "{first}");
    alter(&cache, "entry", |bytes| {
        let text = String::from_utf8(bytes.clone()).unwrap();
        let (_, text) = text.split_once('\n').unwrap();
        assert!(text.contains("does not say the zone"), "{text}");
        let text = text.replace("does not say the zone", "says no zone");
        *bytes = format!("{}\n{text}", hex(&Sha256::digest(&text))).into_bytes();
    });
    let second = told().await;
    assert_eq!(second, first.replace("does not say the zone", "says no zone"));
}

#[tokio::test]
async fn some_tables_are_found_in_what_was_kept_of_more() {
    let (_folder, cache) = cache(1 << 30);
    let path = fixture("postgres/plain.sql");
    let wanted = awkward(Engine::Postgres);
    assert_eq!(rows_of(&path, &cache, &["awkward"]).await.unwrap(), wanted);
    assert_eq!(kept(&cache), [["awkward"]]);
    // More than is kept: read anew, and kept instead.
    assert_eq!(rows_of(&path, &cache, &[]).await.unwrap(), wanted);
    let all = kept(&cache);
    assert_eq!(all.len(), 1);
    assert!(all[0].len() > 4 && all[0].contains(&"awkward".to_owned()), "{all:?}");
    assert_eq!(rows_of(&path, &cache, &["awkward", "empty"]).await.unwrap(), wanted);
    assert_eq!(kept(&cache), all);
}

#[tokio::test]
async fn w2_what_is_kept_is_its_owners_alone() {
    let (_folder, cache) = cache(1 << 30);
    rows_of(&fixture("postgres/plain.sql"), &cache, &[]).await.unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(cache.folder()), 0o700);
    let all = listing(cache.folder());
    assert!(all.len() > 4);
    for path in all.keys() {
        assert_eq!(mode(path), if path.is_dir() { 0o700 } else { 0o600 }, "{}", path.display());
    }
}

#[tokio::test]
async fn w10_a_dump_that_changed_is_read_anew() {
    let (folder, cache) = cache(1 << 30);
    let path = dump(folder.path(), "first");
    // Only just written: whether it changes again in the same moment could not be told.
    assert_eq!(word(&path, &cache).await, Value::Text("first".into()));
    assert!(kept(&cache).is_empty());
    let cache = cache.trusting_clocks();
    assert_eq!(word(&path, &cache).await, Value::Text("first".into()));
    assert_eq!(kept(&cache), [["notes"]]);
    // Another content of the same size, with the same time of its content.
    let written = fs::metadata(&path).unwrap().modified().unwrap();
    dump(folder.path(), "again");
    let times = fs::FileTimes::new().set_modified(written);
    File::options().write(true).open(&path).unwrap().set_times(times).unwrap();
    assert_eq!(word(&path, &cache).await, Value::Text("again".into()));
    // What was kept of its earlier state is of no use any more.
    assert_eq!(kept(&cache), [["notes"]]);
    assert_eq!(word(&path, &cache).await, Value::Text("again".into()));
}

#[tokio::test]
async fn w10_a_dump_that_was_cut_off_leaves_nothing() {
    let (folder, cache) = cache(1 << 30);
    let cache = cache.trusting_clocks();
    let path = dump(folder.path(), "whole");
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() - 3]).unwrap();
    let e = open_backup(&wanting(&path, &cache, &[])).await.unwrap_err();
    assert_eq!(e.kind(), Kind::Damaged);
    assert!(kept(&cache).is_empty());
}

#[tokio::test]
async fn w10_a_flipped_bit_in_what_is_kept_is_an_error() {
    let (_folder, cache) = cache(1 << 30);
    let path = fixture("postgres/plain.sql");
    rows_of(&path, &cache, &["awkward"]).await.unwrap();
    let list = cache.list().unwrap();
    let number = listing(cache.folder()).into_keys().find(|p| p.is_file() && !p.ends_with("entry"));
    let file = number.unwrap();
    let bytes = fs::read(&file).unwrap();
    assert_eq!(list[0].bytes, bytes.len() as u64);
    let mut wrong = 0;
    for at in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << (at % 8);
        fs::write(&file, flipped).unwrap();
        match rows_of(&path, &cache, &["awkward"]).await {
            Err(e) => {
                wrong += 1;
                assert_eq!(e.kind(), Kind::Damaged, "at {at}: {e}");
                assert!(e.to_string().contains("kept"), "{e}");
            }
            // A bit between two columns, which nobody reads.
            Ok(rows) => assert_eq!(rows, awkward(Engine::Postgres), "at {at}"),
        }
    }
    assert!(wrong > bytes.len() / 2, "{wrong} of {}", bytes.len());
}

#[tokio::test]
async fn an_entry_that_is_torn_is_read_from_the_dump_again() {
    let (_folder, cache) = cache(1 << 30);
    let path = fixture("postgres/plain.sql");
    let wanted = awkward(Engine::Postgres);
    assert_eq!(rows_of(&path, &cache, &["awkward"]).await.unwrap(), wanted);
    alter(&cache, "entry", |bytes| bytes.truncate(bytes.len() / 2));
    assert_eq!(rows_of(&path, &cache, &["awkward"]).await.unwrap(), wanted);
}

#[tokio::test]
async fn it_stays_within_its_bounds() {
    let (_folder, cache) = cache(1 << 30);
    let names = ["postgres/plain.sql", "mysql/extended.sql", "sqlite.dump.sql"];
    let mut sizes = Vec::new();
    for name in names {
        rows_of(&fixture(name), &cache, &["awkward"]).await.unwrap();
        sizes.push(cache.list().unwrap()[0].bytes);
    }
    assert_eq!(cache.list().unwrap().len(), 3);
    // Room for two of the three. The first was used last.
    rows_of(&fixture(names[0]), &cache, &["awkward"]).await.unwrap();
    let most = sizes.iter().sum::<u64>() - 1;
    let smaller = Cache::at(cache.folder(), most);
    rows_of(&fixture(names[2]), &smaller, &["awkward"]).await.unwrap();
    rows_of(&fixture("mysql/hex.sql"), &smaller, &["awkward"]).await.unwrap();
    let left = smaller.list().unwrap();
    assert!(left.iter().map(|dump| dump.bytes).sum::<u64>() <= most);
    assert!(left[0].path.ends_with("mysql/hex.sql"), "{left:?}");
    assert!(left.iter().all(|dump| !dump.path.ends_with("extended.sql")), "{left:?}");
    // One that is larger than all of it is not kept, and takes nothing from the others.
    let (_folder, tiny) = self::cache(10);
    rows_of(&fixture(names[0]), &tiny, &["awkward"]).await.unwrap();
    assert!(kept(&tiny).is_empty());
    smaller.clear().unwrap();
    assert!(kept(&smaller).is_empty() && !smaller.folder().exists());
}

#[tokio::test]
async fn what_a_run_holds_stays_when_it_is_forgotten() {
    let (_folder, cache) = cache(1 << 30);
    let path = fixture("postgres/plain.sql");
    rows_of(&path, &cache, &["awkward"]).await.unwrap();
    let source = open_backup(&wanting(&path, &cache, &["awkward"])).await.unwrap();
    for dump in cache.list().unwrap() {
        assert!(dump.used <= SystemTime::now());
        fs::remove_dir_all(dump.folder()).unwrap();
    }
    let wanted = awkward(Engine::Postgres);
    assert_eq!(read(&*source, "awkward", &columns()).await.unwrap(), wanted);
}
