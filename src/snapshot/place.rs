//! Where a snapshot lies, and what is wrong with the place: beside the database it would
//! be lost with it, and inside a git work tree one forced checkout removes both.

use std::fs;
use std::path::{Path, PathBuf};

/// What a person should know of the folder `out` before relying on a snapshot in it, with
/// the live database's file where there is one. `out` need not exist yet.
pub fn warnings(out: &Path, live: Option<&Path>) -> Vec<String> {
    let out = existing(out);
    let mut warnings = Vec::new();
    if let Some(live) = live
        && let Ok(live) = live.canonicalize()
        && let Some(home) = live.parent()
    {
        if out.starts_with(home) {
            warnings.push(format!(
                "the snapshot lies beside the live database ({}): what deletes one deletes both",
                home.display()
            ));
        } else if same_device(&out, &live) {
            warnings.push(
                "the snapshot is on the same disk as the live database: copy it to another host"
                    .to_owned(),
            );
        }
    }
    if let Some(tree) = work_tree(&out) {
        warnings.push(format!(
            "the snapshot lies in the git work tree {}: a checkout or clean can remove it, and \
             a commit would publish it",
            tree.display()
        ));
    }
    warnings
}

/// The path made canonical, as far as it exists.
fn existing(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    for above in absolute.ancestors() {
        if let Ok(real) = above.canonicalize() {
            return match absolute.strip_prefix(above) {
                Ok(rest) if !rest.as_os_str().is_empty() => real.join(rest),
                _ => real,
            };
        }
    }
    absolute
}

fn work_tree(folder: &Path) -> Option<&Path> {
    folder.ancestors().find(|above| fs::symlink_metadata(above.join(".git")).is_ok())
}

#[cfg(unix)]
fn same_device(out: &Path, live: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let device = |path: &Path| fs::metadata(path).map(|m| m.dev()).ok();
    let out = out.ancestors().find_map(device);
    out.is_some() && out == device(live)
}

#[cfg(not(unix))]
fn same_device(_out: &Path, _live: &Path) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_beside_live_or_in_a_work_tree_is_warned_about() {
        let root = tempfile::tempdir().unwrap();
        let data = root.path().join("data");
        let away = root.path().join("away");
        fs::create_dir(&data).unwrap();
        fs::create_dir(&away).unwrap();
        let live = data.join("prod.db");
        fs::write(&live, b"").unwrap();

        let beside = warnings(&data.join("not/yet"), Some(&live));
        assert_eq!(beside.len(), 1);
        assert!(beside[0].contains("beside the live database"), "{beside:?}");
        let disk = warnings(&away, Some(&live));
        assert!(disk[0].contains("same disk"), "{disk:?}");
        assert!(warnings(&away, None).is_empty());

        fs::create_dir(away.join(".git")).unwrap();
        let tree = warnings(&away.join("deep/er"), None);
        assert!(tree.len() == 1 && tree[0].contains("git work tree"), "{tree:?}");
    }
}
