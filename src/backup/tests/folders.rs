//! Dumps of many files: what is missing, cut or unfinished among them is noticed.

use super::dumps::{Engine, awkward, columns, fixture, read};
use super::*;
use crate::error::{Error, Kind};

/// A copy of a fixture's folder that may be damaged.
fn copied(name: &str) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(fixture(name)).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
    }
    copy
}

async fn rows_in(folder: &Path) -> Result<Vec<Vec<Value>>> {
    let source = open_backup(&spec(folder)).await?;
    read(&*source, "awkward", &columns()).await
}

async fn damage(folder: &Path) -> Error {
    let error = rows_in(folder).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Damaged, "{error}");
    error
}

#[tokio::test]
async fn an_unfinished_mydumper_folder_is_damaged() {
    let copy = copied("mysql/mydumper");
    let metadata = copy.path().join("metadata");
    fs::rename(&metadata, copy.path().join("metadata.partial")).unwrap();
    let error = damage(copy.path()).await.to_string();
    assert!(error.contains("metadata.partial"), "{error}");
    fs::write(&metadata, "Started dump at: 2024-03-14 02:00:00\n").unwrap();
    damage(copy.path()).await;
    fs::remove_file(copy.path().join("metadata.partial")).unwrap();
    let error = damage(copy.path()).await.to_string();
    assert!(error.contains("Finished dump at"), "{error}");
}

#[tokio::test]
async fn w8_a_mydumper_folder_whose_rows_are_told_lacks_none() {
    for lost in ["awkward.awkward.00001.sql", "awkward.awkward.00001.dat.zst"] {
        let copy = copied("mysql/mydumper-load");
        fs::remove_file(copy.path().join(lost)).unwrap();
        damage(copy.path()).await;
    }
    let copy = copied("mysql/mydumper-load");
    let rows = copy.path().join("awkward.awkward.00000.dat");
    let whole = fs::read(&rows).unwrap();
    for cut in 0..whole.len() {
        fs::write(&rows, &whole[..cut]).unwrap();
        damage(copy.path()).await;
    }
}

#[tokio::test]
async fn a_mydumper_folder_without_told_rows_says_so() {
    let source = open(fixture("mysql/mydumper")).await;
    assert_eq!(source.origin().taken_at.as_deref().map(|at| at.len() > 18), Some(true));
    assert_eq!(rows_in(&fixture("mysql/mydumper")).await.unwrap(), awkward(Engine::Mysql));
    let copy = copied("mysql/mydumper");
    let rows = copy.path().join("awkward.awkward.sql");
    let whole = fs::read(&rows).unwrap();
    let begin = memchr::memmem::find(&whole, b"INSERT").unwrap();
    for cut in begin + 1..whole.len() - 1 {
        fs::write(&rows, &whole[..cut]).unwrap();
        damage(copy.path()).await;
    }
}

#[tokio::test]
async fn w10_load_data_reads_no_file_outside_of_its_folder() {
    let copy = copied("mysql/mydumper-load");
    let script = copy.path().join("awkward.awkward.00000.sql");
    let text = fs::read_to_string(&script).unwrap();
    for outside in ["/etc/passwd", "../secret"] {
        fs::write(&script, text.replace("awkward.awkward.00000.dat", outside)).unwrap();
        damage(copy.path()).await;
    }
    fs::write(&script, text.replace("UNHEX(@`b`)", "LOAD_FILE('/etc/passwd')")).unwrap();
    damage(copy.path()).await;
}

#[tokio::test]
async fn an_unfinished_mysql_shell_dump_is_damaged() {
    let copy = copied("mysql/shell");
    fs::remove_file(copy.path().join("@.done.json")).unwrap();
    let error = damage(copy.path()).await.to_string();
    assert!(error.contains("@.done.json"), "{error}");
}

#[tokio::test]
async fn w8_a_mysql_shell_dump_lacks_no_chunk_and_no_byte() {
    for name in ["mysql/shell", "mysql/shell-csv"] {
        let folder = fixture(name);
        let files = listing(&folder);
        let chunks = files.keys().filter(|path| path.extension().is_some_and(|e| e == "zst"));
        for chunk in chunks {
            let copy = copied(name);
            let chunk = copy.path().join(chunk.file_name().unwrap());
            let rows = zstd::decode_all(File::open(&chunk).unwrap()).unwrap();
            fs::remove_file(&chunk).unwrap();
            damage(copy.path()).await;
            if !chunk.to_string_lossy().contains("awkward@awkward@") {
                continue;
            }
            // Cut at a row's end, and compressed again: only the sizes tell.
            let end = rows.iter().rposition(|b| *b == b'\n').unwrap();
            let cut = rows[..end].iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
            fs::write(&chunk, zstd::encode_all(&rows[..cut], 3).unwrap()).unwrap();
            damage(copy.path()).await;
        }
    }
}

#[tokio::test]
async fn other_files_beside_a_dump_are_two_answers() {
    let copy = copied("mysql/shell");
    fs::write(copy.path().join("events.csv"), "id\n1\n").unwrap();
    let error = open_backup(&spec(copy.path())).await.unwrap_err().to_string();
    assert!(error.contains("MySQL Shell") && error.contains("events.csv"), "{error}");
}
