//! Backups that somebody made to do harm: an error within bounds of memory and time.

use super::dumps::fixture;
use super::*;
use crate::backup::dump::Wanted;
use crate::backup::dump::{Dump, DumpKind, DumpSpec};
use crate::backup::text::Limits;
use crate::error::{Error, Kind};

/// Reads a dump with all its tables.
fn dump(text: &str, kind: DumpKind) -> Result<Dump> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dump.sql");
    fs::write(&path, text).unwrap();
    let limits = Limits::default();
    Dump::open(DumpSpec { path, kind, limits, database: None, cache: None }, &Wanted::All)
}

fn postgres(statements: &str) -> Result<Dump> {
    let text = format!(
        "-- PostgreSQL database dump\n{statements}\n-- PostgreSQL database dump complete\n"
    );
    dump(&text, DumpKind::Postgres)
}

#[test]
fn w6_partitions_in_a_ring_are_read_to_an_end() {
    let attach = ["b ATTACH PARTITION a", "c ATTACH PARTITION b", "a ATTACH PARTITION b"];
    let tables = ["a", "b", "c"].map(|name| format!("CREATE TABLE {name} (id integer);\n"));
    let ring = attach.map(|words| format!("ALTER TABLE ONLY {words} DEFAULT;\n"));
    let rows = "COPY b (id) FROM stdin;\n1\n\\.\n";
    let found = postgres(&format!("{}{}{rows}", tables.concat(), ring.concat())).unwrap();
    // The ring's last link is left out.
    let names: Vec<&str> = found.tables().iter().map(|table| table.name.name.as_str()).collect();
    assert_eq!(names, ["c"]);
    assert_eq!(found.tables()[0].rows, Some(1));
}

#[test]
fn w6_columns_that_are_inherited_twice_are_one() {
    let mut text = "CREATE TABLE t0 (id integer, a text);\n".to_owned();
    for level in 1..64 {
        let parent = level - 1;
        text += &format!("CREATE TABLE t{level} (b text) INHERITS (t{parent}, t{parent});\n");
    }
    text += "COPY t63 FROM stdin;\n1\tx\ty\n\\.\n";
    let found = postgres(&text).unwrap();
    let last = found.tables().iter().find(|table| table.name.name == "t63").unwrap();
    let columns: Vec<&str> = last.columns.iter().map(|column| column.name.as_str()).collect();
    assert_eq!((columns, last.rows), (vec!["id", "a", "b"], Some(1)));
}

#[test]
fn w6_more_columns_than_databases_have_are_refused() {
    let names: Vec<String> = (0..5_000).map(|n| format!("c{n}")).collect();
    let list = names.join(",");
    let values = vec!["1"; names.len()].join(",");
    let copy = format!("COPY t ({list}) FROM stdin;\n{}\n\\.\n", values.replace(',', "\t"));
    let insert = format!("INSERT INTO t ({list}) VALUES ({values});\n");
    for text in [format!("CREATE TABLE t ({list});\n"), copy, insert] {
        let error = postgres(&text).unwrap_err();
        assert!(error.to_string().contains("more than 4096 columns"), "{error}");
    }
}

#[test]
fn w6_a_text_that_grows_in_a_dump_is_damaged() {
    let sqlite = |value: &str| {
        dump(
            &format!(
                "PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;\nCREATE TABLE t(a);\n\
                 INSERT INTO t VALUES({value});\nCOMMIT;\n"
            ),
            DumpKind::Sqlite,
        )
    };
    let long = "a".repeat(1 << 14);
    let mut value = format!("'{long}'");
    for _ in 0..6 {
        value = format!("replace({value},'a','{long}')");
    }
    let error = sqlite(&value).unwrap_err();
    assert_eq!(error.kind(), Kind::Damaged);
    assert!(error.to_string().contains("longer than what it replaces"), "{error}");
    assert!(sqlite("replace(replace('a\\r\\n','\\r',char(13)),'\\n',char(10))").is_ok());
}

#[tokio::test]
async fn w6_the_rows_of_an_archive_are_taken_once() {
    // Its contents, twice the entries of rows: the count is patched, and the entry copied.
    let whole = fs::read(fixture("postgres/none.dump")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("twice.dump");
    let begin = memchr::memmem::find(&whole, b"TABLE DATA").unwrap();
    let entries: Vec<usize> = memchr::memmem::find_iter(&whole, b"TABLE DATA").collect();
    let stride = entries[1] - begin;
    // The number of an entry, an int of a sign and four bytes, stands at its beginning.
    let first = entry_of(&whole, begin);
    let second = entry_of(&whole, begin + stride);
    let mut bytes = whole.clone();
    bytes.copy_within(first..first + 5, second);
    fs::write(&path, &bytes).unwrap();
    let error = open_backup(&spec(&path)).await.map(|_| ()).unwrap_err();
    assert_eq!(error.kind(), Kind::Damaged, "{error}");
    assert!(error.to_string().contains("twice"), "{error}");
}

/// Where the entry begins whose description stands at `at`: before it are, from the back, two lengths
/// and texts (tag, oid, catalogue), has_data and the number itself.
fn entry_of(bytes: &[u8], at: usize) -> usize {
    let int = |at: usize| i32::from_le_bytes(bytes[at + 1..at + 5].try_into().unwrap());
    (at.saturating_sub(200)..at)
        .rev()
        .find(|&begin| {
            let mut next = begin + 10;
            let mut text = || {
                let length = int(next);
                next += 5 + usize::try_from(length.clamp(0, 300)).unwrap();
                (0..300).contains(&length)
            };
            bytes[begin] == 0 && int(begin + 5) == 1 && text() && text() && text() && next + 5 == at
        })
        .unwrap()
}

fn tarball(headers: &[(tar::EntryType, u64, &[u8])]) -> Vec<u8> {
    let mut to = tar::Builder::new(Vec::new());
    for (kind, size, bytes) in headers {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(*kind);
        header.as_old_mut().name[..5].copy_from_slice(b"t.csv");
        header.set_size(*size);
        header.set_cksum();
        to.append(&header, *bytes).unwrap();
    }
    to.into_inner().unwrap()
}

#[tokio::test]
async fn w6_a_tars_headers_are_read_within_bounds() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("all.tar");
    let fails = async |bytes: Vec<u8>| -> Error {
        fs::write(&path, bytes).unwrap();
        open_backup(&spec(&path)).await.map(|_| ()).unwrap_err()
    };
    let rows = &b"id\n1\n"[..];
    let (file, long) = (tar::EntryType::Regular, tar::EntryType::GNULongName);
    let name = vec![b'n'; 2 << 20];
    let error = fails(tarball(&[(long, name.len() as u64, &name), (file, 5, rows)])).await;
    assert_eq!(error.kind(), Kind::Damaged, "{error}");
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("header that is too long"), "{cause}");
    for size in [u64::MAX, u64::MAX - 511, 1 << 62] {
        for kind in [file, tar::EntryType::Directory] {
            let error = fails(tarball(&[(kind, size, rows)])).await;
            assert_eq!(error.kind(), Kind::Damaged, "{size}: {error}");
        }
    }
    // What lies between two members is no header, however long it is.
    let long_member = vec![b'\n'; 3 << 20];
    let plain = [(file, 5, rows), (tar::EntryType::Directory, 3 << 20, &long_member[..])];
    fs::write(&path, tarball(&plain)).unwrap();
    assert!(open_backup(&spec(&path)).await.is_ok());
}
