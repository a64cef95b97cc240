//! Text backups from the bytes of a file to the staged cells.

use std::fs;
use std::io::Write;
use std::path::Path;

use arrow::array::Array;
use flate2::Compression as Level;
use flate2::write::GzEncoder;

use super::{Limits, Staged, TextFile, TextFormat, stage};
use crate::backup::file::BackupFile;
use crate::error::{Kind, Result};

pub(super) fn staged(
    path: &Path,
    format: TextFormat,
    limits: Limits,
    into: &Path,
) -> Result<Staged> {
    stage(&TextFile { path, root: None, format, limits }, into)
}

pub(super) fn written(name: &str, bytes: &[u8]) -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, bytes).unwrap();
    (folder, path)
}

pub(super) fn gz(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Level::default());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

/// A staged column's cells as text: the tag of what each was, then its text.
pub(super) fn column(staged: &Staged, name: &str) -> Vec<Option<String>> {
    let file = BackupFile::open(&staged.path, None).unwrap();
    let place = staged.columns.iter().position(|column| column.name == name).unwrap();
    let all = 0..staged.rows;
    let batches = staged.store.read(&file, vec![place], std::slice::from_ref(&all));
    let cells = batches.flat_map(|batch| {
        let cells = batch.unwrap().columns.remove(0);
        let cell = |row| {
            let bytes = cells.bytes().is_valid(row).then(|| cells.bytes().value(row))?;
            let tag = char::from(cells.tag(row).unwrap() as u8);
            Some(format!("{tag}{}", String::from_utf8_lossy(bytes)))
        };
        (0..cells.len()).map(cell).collect::<Vec<_>>()
    });
    cells.collect()
}

#[test]
fn t5_numbers_stay_as_they_are_written() {
    let lines =
        b"{\"id\":9007199254740993,\"code\":\"007\",\"x\":1.10}\n{\"id\":2,\"code\":null}\n";
    let (folder, path) = written("t.jsonl", lines);
    let staged = staged(&path, TextFormat::Json { own: false }, Limits::default(), folder.path());
    let staged = staged.unwrap();
    assert_eq!(staged.rows, 2);
    assert_eq!(column(&staged, "id")[0].as_deref(), Some("n9007199254740993"));
    assert_eq!(column(&staged, "code"), [Some("s007".to_owned()), None]);
    assert_eq!(column(&staged, "x"), [Some("n1.10".to_owned()), None]);
}

#[test]
fn w8_a_text_file_cut_anywhere_is_damaged() {
    let whole = gz(b"id,name\n1,\"a\nb\"\n2,\n");
    for end in 0..whole.len() {
        let (folder, path) = written("t.csv.gz", &whole[..end]);
        let error =
            staged(&path, TextFormat::Csv { delimiter: None }, Limits::default(), folder.path())
                .unwrap_err();
        assert!(matches!(error.kind(), Kind::Damaged | Kind::Usage), "{end}: {error}");
    }
    let (folder, path) = written("t.csv.gz", &whole);
    let staged =
        staged(&path, TextFormat::Csv { delimiter: None }, Limits::default(), folder.path())
            .unwrap();
    assert_eq!(column(&staged, "name"), [Some("qa\nb".to_owned()), Some("u".to_owned())]);
}

#[test]
fn w8_every_member_of_a_gzip_file_is_read() {
    let two = [gz(b"id\n1\n"), gz(b"2\n3\n")].concat();
    let (folder, path) = written("t.csv.gz", &two);
    let staged =
        staged(&path, TextFormat::Csv { delimiter: None }, Limits::default(), folder.path())
            .unwrap();
    assert_eq!(column(&staged, "id").len(), 3);
}

#[test]
fn w6_a_bomb_is_refused_with_the_cap() {
    let bomb = gz(&[b"id\n".as_slice(), &vec![b'0'; 4 << 20]].concat());
    let (folder, path) = written("t.csv.gz", &bomb);
    let limits = Limits::expanded(1 << 20);
    let error =
        staged(&path, TextFormat::Csv { delimiter: None }, limits, folder.path()).unwrap_err();
    assert!(error.to_string().contains("t.csv.gz"), "{error}");
    assert!(!error.hints().is_empty(), "{error}");
}

#[test]
fn w10_only_regular_files_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.csv");
    std::os::unix::fs::symlink("/dev/zero", &path).unwrap();
    assert!(
        staged(&path, TextFormat::Csv { delimiter: None }, Limits::default(), folder.path())
            .is_err()
    );
}

#[test]
fn wrong_lines_are_named() {
    for (name, text, format) in [
        ("t.csv", "a,b\n1,2\n3\n", TextFormat::Csv { delimiter: None }),
        ("t.jsonl", "{\"a\":1}\n{\"a\":\n", TextFormat::Json { own: false }),
        ("t.jsonl", "{\"a\":1}\n{\"a\":1,\"a\":2}\n", TextFormat::Json { own: false }),
    ] {
        let (folder, path) = written(name, text.as_bytes());
        let error = staged(&path, format, Limits::default(), folder.path()).unwrap_err();
        assert!(error.to_string().contains(name), "{error}");
        assert!(error.to_string().contains("line "), "{error}");
    }
}

#[test]
fn t5_tabs_with_escapes_and_no_quotes_are_not_guessed() {
    let into = tempfile::tempdir().unwrap();
    let staged = |name: &str, text: &str| {
        let (_folder, path) = written(name, text.as_bytes());
        staged(&path, TextFormat::Csv { delimiter: None }, Limits::default(), into.path())
    };
    for field in ["\\N", "a\\tb", "a\\nb", "a\\\\b"] {
        let text = format!("id\tname\n1\tx\n2\t{field}\n");
        for name in ["t.tsv", "t.csv"] {
            let error = staged(name, &text).unwrap_err();
            assert_eq!(error.kind(), Kind::Refused, "{field}: {error}");
            assert!(error.to_string().contains("line 3: column \"name\""), "{field}: {error}");
        }
        // What quotes a field writes backslashes as they are.
        let quoted = staged("t.tsv", &format!("{text}3\t\"x\"\n")).unwrap();
        assert_eq!(column(&quoted, "name")[1].as_deref(), Some(format!("u{field}").as_str()));
        let commas = staged("t.csv", &text.replace('\t', ",")).unwrap();
        assert_eq!(column(&commas, "name")[1].as_deref(), Some(format!("u{field}").as_str()));
    }
    assert!(staged("t.tsv", "id\tname\n1\tC:\\Users\n").is_ok());
}
