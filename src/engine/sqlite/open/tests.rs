use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use sqlx::sqlite::SqliteConnectOptions;
use tempfile::tempdir;

use super::*;
use crate::engine::sqlite::pool::Pool;
use crate::error::Kind;

/// A connection as an application has one.
pub(crate) async fn application(path: &Path) -> Connection {
    let options = SqliteConnectOptions::new().filename(path).create_if_missing(true);
    Connection::open(&options).await.unwrap()
}

async fn with_rows(path: &Path, mode: &str, rows: i64) -> Connection {
    let connection = application(path).await;
    connection.execute(&format!("pragma journal_mode = {mode}")).unwrap();
    connection.execute("create table if not exists t(id integer primary key, v)").unwrap();
    connection.execute("begin").unwrap();
    for id in 1..=rows {
        connection.execute(&format!("insert into t values({id}, 'v{id}')")).unwrap();
    }
    connection.execute("commit").unwrap();
    connection
}

/// Every file of a folder with its bytes.
fn listing(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    fs::read_dir(folder)
        .unwrap()
        .map(|e| e.unwrap())
        .map(|e| (e.file_name().into_string().unwrap(), fs::read(e.path()).unwrap()))
        .collect()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn count(connection: &Connection) -> Result<i64, SqliteError> {
    let mut n = 0;
    connection
        .prepare("select count(*) from t")
        .unwrap()
        .query(&[], |row| {
            n = row.int(0);
            Ok::<bool, SqliteError>(true)
        })
        .unwrap();
    Ok(n)
}

async fn pool(
    path: &Path,
    size: usize,
    opened: impl FnMut(usize) + Send + 'static,
) -> Result<Pool> {
    Pool::open_live(&DatabaseFile::find(text(path), Which::Live)?, size, opened).await
}

/// Copies a database and its companions as they stand, as a crash or a raw backup would.
fn raw_copy(from: &Path, to: &Path) {
    for suffix in ["", "-wal", "-journal"] {
        let (mut a, mut b) = (from.as_os_str().to_owned(), to.as_os_str().to_owned());
        a.push(suffix);
        b.push(suffix);
        if Path::new(&a).exists() {
            fs::copy(a, b).unwrap();
        }
    }
}

#[tokio::test]
async fn s6_a_typo_path_creates_nothing() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("app_production.sqlite");
    with_rows(&path, "delete", 1).await.close().await.unwrap();
    let before = listing(dir.path());
    let typo = dir.path().join("app_prodution.sqlite");
    for e in [
        live(text(&typo), 1).await.unwrap_err(),
        backup(text(&typo), 1).await.unwrap_err(),
        open_for_writing(text(&typo)).await.unwrap_err(),
    ] {
        assert!(e.to_string().contains("does not exist"), "{e}");
        assert!(e.hints()[0].contains("app_production.sqlite"), "{:?}", e.hints());
    }
    assert!(listing(dir.path()) == before);
}

#[tokio::test]
async fn s6_an_empty_a_text_and_a_folder_are_no_databases() {
    let dir = tempdir().unwrap();
    for (name, bytes, says) in [
        ("empty.db", &b""[..], "empty file"),
        ("notes.db", b"hello, I am text", "not a SQLite database"),
        ("short.db", b"hi", "not a SQLite database"),
    ] {
        let path = dir.path().join(name);
        fs::write(&path, bytes).unwrap();
        for e in [
            live(text(&path), 1).await.unwrap_err(),
            backup(text(&path), 1).await.unwrap_err(),
            open_for_writing(text(&path)).await.unwrap_err(),
        ] {
            assert!(e.to_string().contains(says), "{name}: {e}");
        }
        assert_eq!(fs::read(&path).unwrap(), bytes);
    }
    assert_eq!(listing(dir.path()).len(), 3);
    let e = live(text(dir.path()), 1).await.unwrap_err();
    assert!(e.to_string().contains("not a regular file"), "{e}");
}

#[tokio::test]
async fn s1_a_backup_with_a_log_is_read_whole_and_left_alone() {
    let dir = tempdir().unwrap();
    let (app, copy) = (dir.path().join("app.db"), dir.path().join("b/copy.db"));
    fs::create_dir(dir.path().join("b")).unwrap();
    let writer = with_rows(&app, "wal", 5).await;
    raw_copy(&app, &copy);
    writer.close().await.unwrap();
    let folder = copy.parent().unwrap();
    let before = listing(folder);
    assert!(before["copy.db-wal"].len() > 32, "the rows are in the log");
    let source = backup(text(&copy), 2).await.unwrap();
    assert!(source.origin().warnings.iter().any(|w| w.contains("-wal")));
    let digest = source.digest().await.unwrap();
    assert!(listing(folder) == before, "while it is open");
    source.release().await.unwrap();
    assert!(listing(folder) == before, "after it was read");
    fs::remove_file(folder.join("copy.db-wal")).unwrap();
    let without = backup(text(&copy), 1).await.unwrap();
    assert_ne!(without.digest().await.unwrap(), digest, "the log counts");
    without.release().await.unwrap();
}

#[tokio::test]
async fn s1_a_backup_is_digested_as_b3sum_does_and_must_not_change_meanwhile() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("backup.db");
    let writer = with_rows(&path, "delete", 20_000).await;
    writer.close().await.unwrap();
    let bytes = fs::read(&path).unwrap();
    assert!(bytes.len() > DIGESTED && !bytes.len().is_multiple_of(DIGESTED));
    let source = backup(text(&path), 1).await.unwrap();
    let digest = source.digest().await.unwrap().unwrap();
    assert_eq!(digest, format!("blake3:{}", blake3::hash(&bytes)));
    // One byte more or less, though the rows are the same.
    let file = fs::OpenOptions::new().append(true).open(&path).unwrap();
    std::io::Write::write_all(&mut &file, b"x").unwrap();
    let e = source.digest().await.unwrap_err();
    assert_eq!(e.kind(), Kind::Refused);
    assert!(e.to_string().contains("changed while it was read"), "{e}");
    source.release().await.unwrap();
}

#[tokio::test]
async fn s1_a_second_connection_to_live_only_reads() {
    let dir = tempdir().unwrap();
    for journal in ["delete", "wal"] {
        let path = dir.path().join(journal);
        with_rows(&path, journal, 5).await.close().await.unwrap();
        let writer = open_for_writing(text(&path)).await.unwrap();
        writer.execute("begin immediate").unwrap();
        writer.execute("insert into t values (6, 'x')").unwrap();
        let second = open_beside(writer.file().clone()).await.unwrap();
        assert_eq!(count(&second).unwrap(), 5, "{journal}: not what is not committed");
        writer.execute("commit").unwrap();
        assert_eq!(count(&second).unwrap(), 6, "{journal}");
        let e = second.execute("delete from t").unwrap_err();
        assert!(e.is_read_only(), "{journal}: {e}");
        second.close().await.unwrap();
        writer.close().await.unwrap();
    }
}

#[tokio::test]
async fn s2_a_hot_journal_is_rolled_back_in_a_private_copy() {
    let dir = tempdir().unwrap();
    let (app, copy) = (dir.path().join("app.db"), dir.path().join("b/copy.db"));
    fs::create_dir(dir.path().join("b")).unwrap();
    let writer = with_rows(&app, "delete", 5).await;
    writer.execute("pragma cache_size = 1").unwrap();
    writer.execute("begin immediate").unwrap();
    // More than the cache holds, so that uncommitted pages are in the file.
    let many = "with recursive c(n) as (select 6 union all select n + 1 from c limit 5000) \
                insert into t select n, hex(randomblob(200)) from c";
    writer.execute(many).unwrap();
    raw_copy(&app, &copy);
    writer.execute("rollback").unwrap();
    writer.close().await.unwrap();
    let folder = copy.parent().unwrap();
    let before = listing(folder);
    assert!(before["copy.db-journal"].len() > 512 && before["copy.db"].len() > 100_000);
    let file = DatabaseFile::find(text(&copy), Which::Backup).unwrap();
    let (_folder, private) = Parts::of(&file).unwrap().copy(&file).unwrap();
    let mode = fs::metadata(private.parent().unwrap()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    let recovered = connect(&reading(&private), Which::Backup).await.unwrap();
    assert_eq!(count(&recovered).unwrap(), 5);
    recovered.close().await.unwrap();
    backup(text(&copy), 1).await.unwrap().release().await.unwrap();
    assert!(listing(folder) == before);
    let e = live(text(&copy), 1).await.unwrap_err();
    assert!(e.to_string().contains("stopped within a transaction"), "{e}: {:?}", e);
}

#[tokio::test]
async fn s2_a_backup_without_companions_leaves_none_behind() {
    let dir = tempdir().unwrap();
    for mode in ["delete", "wal"] {
        let path = dir.path().join(format!("{mode}.db"));
        with_rows(&path, mode, 3).await.close().await.unwrap();
    }
    let before = listing(dir.path());
    assert_eq!(before.len(), 2);
    for mode in ["delete", "wal"] {
        let path = dir.path().join(format!("{mode}.db"));
        let source = backup(text(&path), 3).await.unwrap();
        assert!(listing(dir.path()) == before);
        source.release().await.unwrap();
    }
    assert!(listing(dir.path()) == before);
}

#[tokio::test]
async fn s3_a_raw_file_is_warned_about_and_a_short_one_is_damaged() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("b.db");
    with_rows(&path, "delete", 900).await.close().await.unwrap();
    let source = backup(text(&path), 1).await.unwrap();
    assert!(source.origin().warnings[0].contains("torn"));
    source.release().await.unwrap();
    let length = fs::metadata(&path).unwrap().len();
    fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(length - 4096).unwrap();
    assert_eq!(backup(text(&path), 1).await.unwrap_err().kind(), Kind::Damaged);
}

#[tokio::test]
async fn s5_a_stray_log_is_refused() {
    let dir = tempdir().unwrap();
    let app = dir.path().join("app.db");
    let writer = with_rows(&app, "wal", 5).await;
    let log = fs::read(dir.path().join("app.db-wal")).unwrap();
    writer.close().await.unwrap();
    let other_size = dir.path().join("other.db");
    let other = application(&other_size).await;
    other.execute("pragma page_size = 8192").unwrap();
    other.execute("pragma journal_mode = wal").unwrap();
    other.execute("create table t(a)").unwrap();
    other.close().await.unwrap();
    let rollback = dir.path().join("rollback.db");
    with_rows(&rollback, "delete", 2).await.close().await.unwrap();
    let newer = dir.path().join("newer.db");
    let writer = with_rows(&newer, "delete", 50).await;
    writer.execute("pragma journal_mode = wal").unwrap();
    writer.close().await.unwrap();
    for (path, says) in [
        (&other_size, "4096 bytes"),
        (&rollback, "not in WAL mode"),
        (&newer, "older than the database"),
    ] {
        let mut beside = path.as_os_str().to_owned();
        beside.push("-wal");
        fs::write(&beside, &log).unwrap();
        let before = listing(dir.path());
        for e in [
            backup(text(path), 1).await.unwrap_err(),
            live(text(path), 1).await.unwrap_err(),
            open_for_writing(text(path)).await.unwrap_err(),
        ] {
            assert_eq!(e.kind(), Kind::Refused);
            assert!(e.to_string().contains(says), "{e}");
        }
        assert!(listing(dir.path()) == before);
        fs::write(&beside, &log[..20]).unwrap();
        backup(text(path), 1).await.unwrap().release().await.unwrap();
    }
}

#[tokio::test]
async fn s5_a_log_of_its_own_is_taken() {
    let dir = tempdir().unwrap();
    let app = dir.path().join("app.db");
    let writer = with_rows(&app, "wal", 5).await;
    // A part of the log is in the database, the rest is not.
    writer.execute("pragma wal_checkpoint(passive)").unwrap();
    for id in 6..40 {
        writer.execute(&format!("insert into t values({id}, 1)")).unwrap();
        if id % 10 == 0 {
            writer.execute("pragma wal_checkpoint(passive)").unwrap();
        }
        let pool = pool(&app, 1, |_| {}).await.unwrap();
        assert_eq!(pool.ask(count).await.unwrap(), id);
        pool.release().await.unwrap();
    }
    writer.close().await.unwrap();
}

#[tokio::test]
async fn g1_readers_see_one_state_although_live_is_written_to() {
    for mode in ["wal", "delete"] {
        let dir = tempdir().unwrap();
        let path = dir.path().join("app.db");
        let writer = with_rows(&path, mode, 10).await;
        writer.execute("pragma busy_timeout = 0").unwrap();
        let (count_writes, writes) = std::sync::mpsc::channel();
        let pool = pool(&path, 3, move |number| {
            // A commit between the first and the second reader, in the first attempts.
            if number == 0 && count_writes.send(()).is_ok() {
                let _ = writer
                    .execute("insert into t(v) select 'x' where (select count(*) from t) < 13");
            }
        })
        .await
        .unwrap();
        let mut seen = Vec::new();
        for _ in 0..3 {
            let reader = pool.reader();
            seen.push(reader.ask(count).unwrap());
        }
        let attempts = writes.try_iter().count();
        if mode == "wal" {
            assert!(attempts >= 4, "three commits force three more attempts: {attempts}");
            assert_eq!(seen, [13, 13, 13]);
        } else {
            assert_eq!(attempts, 1, "the first reader's lock keeps the writer out");
            assert_eq!(seen, [10, 10, 10]);
        }
        pool.release().await.unwrap();
    }
}

#[tokio::test]
async fn g1_a_snapshot_that_never_settles_is_an_error() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("app.db");
    let writer = with_rows(&path, "wal", 1).await;
    let e = pool(&path, 2, move |_| writer.execute("insert into t(v) values(1)").unwrap())
        .await
        .unwrap_err();
    assert!(e.to_string().contains("was written to"), "{e}");
}

#[tokio::test]
async fn g1_the_snapshot_stays_while_live_goes_on() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("app.db");
    let writer = with_rows(&path, "wal", 10).await;
    let pool = pool(&path, 2, |_| {}).await.unwrap();
    writer.execute("delete from t").unwrap();
    assert_eq!(pool.ask(count).await.unwrap(), 10);
    pool.release().await.unwrap();
    assert!(pool.ask(count).await.is_err(), "nothing is read after the release");
    writer.close().await.unwrap();
}

#[tokio::test]
async fn g11_after_the_release_nothing_is_in_the_writers_way() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("app.db");
    let writer = with_rows(&path, "delete", 10).await;
    writer.execute("pragma busy_timeout = 0").unwrap();
    let pool = pool(&path, 2, |_| {}).await.unwrap();
    let cursor =
        crate::engine::sqlite::pool::Cursor::open(pool.reader(), "select * from t", &[]).unwrap();
    assert!(cursor.advance(|_| Ok(false)).unwrap());
    assert!(writer.execute("delete from t").unwrap_err().is_busy(), "the snapshot holds a lock");
    pool.release().await.unwrap();
    writer.execute("delete from t").unwrap();
    assert!(cursor.advance(|_| Ok(true)).is_err());
    writer.close().await.unwrap();
}

#[tokio::test]
async fn a_writers_lock_on_live_is_a_clear_error() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("app.db");
    let writer = with_rows(&path, "delete", 1).await;
    writer.execute("begin exclusive").unwrap();
    let e = live(text(&path), 2).await.unwrap_err();
    assert!(e.to_string().contains("holds a lock"), "{e}");
    writer.close().await.unwrap();
}

#[tokio::test]
async fn readers_cannot_write() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("app.db");
    with_rows(&path, "delete", 1).await.close().await.unwrap();
    let pool = pool(&path, 1, |_| {}).await.unwrap();
    for sql in ["delete from t", "create table u(a)", "pragma user_version = 3"] {
        pool.reader()
            .ask(|c| {
                let _: () = assert!(c.execute(sql).is_err(), "{sql}");
                Ok(())
            })
            .unwrap();
    }
    pool.release().await.unwrap();
}

#[tokio::test]
async fn w14_a_hostile_schema_is_not_trusted() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("b.db");
    let maker = application(&path).await;
    maker.execute("create table t(a)").unwrap();
    maker.execute("create view v as select a from t").unwrap();
    maker.close().await.unwrap();
    let file = DatabaseFile::find(text(&path), Which::Backup).unwrap();
    let connection =
        connect(&reading(&file.path).immutable(true).read_only(true), Which::Backup).await.unwrap();
    connection.execute("select a from t").unwrap();
    connection.execute("pragma writable_schema = on").unwrap();
    for sql in [
        "select * from v",
        "select load_extension('x')",
        "update sqlite_schema set sql = 'x'",
        "select \"no_such_column\" from t",
    ] {
        assert!(connection.execute(sql).is_err(), "{sql}");
    }
    connection.close().await.unwrap();
}

#[tokio::test]
async fn a_held_file_is_not_opened_again() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("app.db");
    with_rows(&path, "delete", 1).await.close().await.unwrap();
    let file = DatabaseFile::find(text(&path), Which::Live).unwrap();
    let (first, checked) = Held::after(&file, || Ok(())).unwrap();
    assert!(checked.is_some());
    let (second, checked) = Held::after(&file, || Ok(())).unwrap();
    assert!(checked.is_none());
    first.end();
    second.end();
    let (third, checked) = Held::after(&file, || Ok(())).unwrap();
    assert!(checked.is_some());
    third.end();
}
