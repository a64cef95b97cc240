//! Live and backup of different kinds, by the real program: a SQLite file and a MariaDB
//! server both ways, and files. The judges are the sqlite3 shell and MariaDB's own client.

use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use parquet::arrow::ArrowWriter;

use crate::common::mariadb::Database;
use crate::common::postgres;
use crate::common::{Run, Sandbox};

/// What both engines hold of one table: numbers at the ends of their types, truth values,
/// decimals, moments, texts, bytes, NULLs.
const MARIADB: &str = "create table t(
        id int primary key, yes tinyint(1), small smallint, big bigint, huge bigint unsigned,
        price decimal(10,2), exact decimal(20,10), r double, f float,
        at datetime, fine datetime(6), day date, clock time, year_ year,
        name varchar(40), fixed char(8), body text, raw varbinary(20), kind enum('a','b'), bits bit(1));
    insert into t values
        (1, 1, -32768, -9223372036854775808, 18446744073709551615, 0.99, 0.0000000001, 0.1, 0.5,
         '2024-02-29 10:00:00', '2024-02-29 10:00:00.25', '2024-02-29', '-838:59:59', 2024,
         'ümläut 🎉', 'ab', 'line\\r\\nline', x'00ff27', 'a', b'1'),
        (2, 0, 32767, 9223372036854775807, 9223372036854775808, -5.00, 1234.5, -1.7976931348623157e308, -0.25,
         '1000-01-01 00:00:00', '9999-12-31 23:59:59.999999', '1000-01-01', '00:00:00', 1901,
         '', '', '', x'', 'b', b'0'),
        (3, null, null, null, null, null, null, null, null, null, null, null, null, null,
         null, null, null, null, null, null),
        (4, 1, 0, 0, 0, 12345678.90, 0, 5e-324, 16777216,
         '2024-02-29 10:00:00', '2024-02-29 10:00:00', '9999-12-31', '12:00:00', 2155,
         '007', 'x', '1e5', x'41', 'a', b'1'),
        (5, 0, 1, 1, 1, 100.00, 7, 3, 3, '2024-03-01 00:00:00', '2024-03-01 00:00:00', '2024-03-01',
         '01:02:03', 2000, 'a\\'b\"c', 'end', 'x', x'27', 'b', b'0');";

/// The same values where SQLite stores them. What is more than 15 digits or 64 bits signed
/// stands in columns of text, as an application would have to keep it.
const SQLITE: &str = "create table t(
        id integer primary key, yes boolean, small integer, big integer, huge text,
        price numeric(10,2), exact text, r real, f real,
        at datetime, fine text, day date, clock text, year_ integer,
        name text, fixed text, body text, raw blob, kind text, bits integer);
    insert into t values
        (1, 1, -32768, -9223372036854775808, '18446744073709551615', 0.99, '0.0000000001', 0.1, 0.5,
         '2024-02-29 10:00:00', '2024-02-29 10:00:00.250000', '2024-02-29', '-838:59:59', 2024,
         'ümläut 🎉', 'ab', 'line' || char(13,10) || 'line', x'00ff27', 'a', 1),
        (2, 0, 32767, 9223372036854775807, '9223372036854775808', -5.00, '1234.5000000000', -1.7976931348623157e308, -0.25,
         '1000-01-01 00:00:00', '9999-12-31 23:59:59.999999', '1000-01-01', '00:00:00', 1901,
         '', '', '', x'', 'b', 0),
        (3, null, null, null, null, null, null, null, null, null, null, null, null, null,
         null, null, null, null, null, null),
        (4, 1, 0, 0, '0', 12345678.90, '0.0000000000', 5e-324, 16777216,
         '2024-02-29 10:00:00', '2024-02-29 10:00:00.000000', '9999-12-31', '12:00:00', 2155,
         '007', 'x', '1e5', x'41', 'a', 1),
        (5, 0, 1, 1, '1', 100.00, '7.0000000000', 3, 3,
         '2024-03-01 00:00:00', '2024-03-01 00:00:00.000000', '2024-03-01', '01:02:03', 2000,
         'a''b\"c', 'end', 'x', x'27', 'b', 0);";

/// Every column of some rows is lost or overwritten.
const DAMAGE: &str = "delete from t where id in (1, 3);
    update t set yes = 1 - yes, small = 5, big = 5, huge = 5, price = 1.25, exact = 1.5, r = 1.5,
        f = 1.5, at = '2000-01-01 00:00:00', fine = '2000-01-01 00:00:00.000001', day = '2000-01-01',
        clock = '10:00:00', year_ = 1999, name = 'lost', fixed = 'lost', body = 'lost', raw = x'01',
        bits = 1 - bits where id in (2, 4);
    update t set kind = 'b' where id = 4; update t set kind = 'a' where id = 2;";

/// Runs a writing command of the program on both sides.
fn write(sandbox: &Sandbox, command: &str, live: &str, backup: &str) -> Run {
    sandbox.run(&format!("{command} --live {live} --backup {backup} --yes"))
}

const COLUMNS: &str = "yes small big huge price exact r f at fine day clock year_ name fixed body \
                       raw kind bits";

/// Finds the damage, brings all of it back and takes it back again. `dump` is the judge.
fn there_and_back(
    sandbox: &Sandbox,
    live: &str,
    backup: &str,
    dump: impl Fn() -> String,
    damage: impl Fn(),
) {
    let columns = COLUMNS.split_whitespace();
    let whole = dump();
    sandbox.run(&format!("diff --live {live} --backup {backup}")).exits(0);
    damage();
    let damaged = dump();
    assert_ne!(damaged, whole);
    let diff = sandbox.run(&format!("diff --live {live} --backup {backup} --format json"));
    let table = &diff.exits(1).json()["tables"][0];
    assert_eq!((&table["missing"], &table["changed"]), (&2.into(), &2.into()), "{table}");
    let differing = table["columns"].as_object().unwrap();
    assert_eq!(differing.len(), columns.clone().count(), "{table}");
    write(sandbox, "restore", live, backup).exits(0);
    let named: Vec<String> = columns.map(|c| format!("--column {c}")).collect();
    let patch = format!("patch {} --allow-null", named.join(" "));
    write(sandbox, &patch, live, backup).exits(0);
    assert_eq!(dump(), whole);
    sandbox.run(&format!("diff --live {live} --backup {backup}")).exits(0);
    // A second run finds nothing to do.
    write(sandbox, "restore", live, backup).exits(0);
    write(sandbox, &patch, live, backup).exits(0);
    assert_eq!(dump(), whole);
    for _ in 0..2 {
        sandbox.run("undo --yes").exits(0);
    }
    assert_eq!(dump(), damaged);
}

#[test]
fn mariadb_comes_back_from_a_sqlite_file() {
    let live = Database::with(MARIADB);
    let sandbox = Sandbox::new();
    sandbox.sqlite("old.db", SQLITE);
    let dump = || live.dump("t");
    there_and_back(&sandbox, &live.url(), "old.db", dump, || {
        live.sql(DAMAGE);
    });
}

/// The same values where PostgreSQL stores them.
const POSTGRES: &str = "create table t(
        id int primary key, yes boolean, small smallint, big bigint, huge numeric(20,0),
        price numeric(10,2), exact numeric(20,10), r double precision, f real,
        at timestamp(0), fine timestamp, day date, clock text, year_ int,
        name varchar(40), fixed varchar(8), body text, raw bytea, kind text, bits boolean);
    insert into t values
        (1, true, -32768, -9223372036854775808, 18446744073709551615, 0.99, 0.0000000001, 0.1, 0.5,
         '2024-02-29 10:00:00', '2024-02-29 10:00:00.25', '2024-02-29', '-838:59:59', 2024,
         'ümläut 🎉', 'ab', E'line\\r\\nline', '\\x00ff27', 'a', true),
        (2, false, 32767, 9223372036854775807, 9223372036854775808, -5.00, 1234.5, -1.7976931348623157e308, -0.25,
         '1000-01-01 00:00:00', '9999-12-31 23:59:59.999999', '1000-01-01', '00:00:00', 1901,
         '', '', '', '', 'b', false),
        (3, null, null, null, null, null, null, null, null, null, null, null, null, null,
         null, null, null, null, null, null),
        (4, true, 0, 0, 0, 12345678.90, 0, 5e-324, 16777216,
         '2024-02-29 10:00:00', '2024-02-29 10:00:00', '9999-12-31', '12:00:00', 2155,
         '007', 'x', '1e5', '\\x41', 'a', true),
        (5, false, 1, 1, 1, 100.00, 7, 3, 3, '2024-03-01 00:00:00', '2024-03-01 00:00:00', '2024-03-01',
         '01:02:03', 2000, 'a''b\"c', 'end', 'x', '\\x27', 'b', false);";

#[test]
fn mariadb_and_sqlite_come_back_from_postgres() {
    let (live, backup) = (Database::with(MARIADB), postgres::Database::with(POSTGRES));
    let sandbox = Sandbox::new();
    let dump = || live.dump("t");
    there_and_back(&sandbox, &live.url(), &backup.url(), dump, || {
        live.sql(DAMAGE);
    });
    let sandbox = Sandbox::new();
    sandbox.sqlite("prod.db", SQLITE);
    let dump = || sandbox.dump("prod.db");
    there_and_back(&sandbox, "prod.db", &backup.url(), dump, || {
        sandbox.sqlite("prod.db", DAMAGE);
    });
}

#[test]
fn a_sqlite_file_comes_back_from_mariadb() {
    let backup = Database::with(MARIADB);
    let sandbox = Sandbox::new();
    sandbox.sqlite("prod.db", SQLITE);
    let dump = || sandbox.dump("prod.db");
    there_and_back(&sandbox, "prod.db", &backup.url(), dump, || {
        sandbox.sqlite("prod.db", DAMAGE);
    });
}

#[test]
fn what_the_other_engine_cannot_hold_is_refused_by_name() {
    let backup = Database::with("create table t(id int primary key, v bigint unsigned, d decimal(20,10));
        insert into t values (1, 1, 0.5), (2, 18446744073709551615, 0.5), (3, 3, 1234567890.0123456789), (4, 4, 4)");
    let sandbox = Sandbox::new();
    sandbox.sqlite("prod.db", "create table t(id integer primary key, v integer, d numeric)");
    let before = sandbox.dump("prod.db");
    let sides = format!("--live prod.db --backup {}", backup.url());
    let left =
        |column: &str| format!("{column} (1 value of the backup that live's type can't hold)");
    for (ignored, unfit, told) in [("", 2, &["v", "d"][..]), ("--ignore v", 1, &["d"])] {
        let run = sandbox.run(&format!("diff {sides} {ignored}")).exits(1);
        assert!(run.stdout.contains(&format!("? unfit    {unfit}")), "{}", run.stdout);
        assert!(told.iter().all(|column| run.stdout.contains(&left(column))), "{}", run.stdout);
    }
    sandbox.run(&format!("diff {sides} --ignore v,d")).exits(1);
    assert_eq!(sandbox.dump("prod.db"), before);
    // Rows whose values all fit come back, the others are listed.
    let run = sandbox.run(&format!("restore {sides} --yes --format json")).exits(3).json();
    assert_eq!(sandbox.sqlite("prod.db", "select * from t"), "1|1|0.5\n4|4|4\n");
    let shown = sandbox.run_all(["show", run["plan"].as_str().unwrap()]).exits(0).stdout;
    for words in ["2 skipped", "id 2 holds", "id 3 holds", "takes integers", "more than 15 digits"]
    {
        assert!(shown.contains(words), "no {words} in {shown}");
    }
    // Again: there is nothing to write, and the two are still told.
    sandbox.run(&format!("restore {sides} --yes")).exits(3);
    sandbox.run("undo --yes").exits(0);
    assert_eq!(sandbox.dump("prod.db"), before);
}

#[test]
fn a_row_of_a_file_that_does_not_fit_is_left_out_by_itself() {
    let live = Database::with("create table t(id int primary key, n int, v varchar(9), key(n));");
    let sandbox = Sandbox::new();
    let mut csv = "id,n,v\n".to_owned();
    for id in 1..=20_000 {
        match id {
            7 => csv.push_str("7,seven,v7\n"),
            9_000 => csv.push_str("9000,9000,longer than nine\n"),
            20_000 => csv.push_str("20000,1e20,v\n"),
            _ => csv.push_str(&format!("{id},{id},v{id}\n")),
        }
    }
    fs::create_dir(sandbox.path("csv")).unwrap();
    fs::write(sandbox.path("csv/t.csv"), csv).unwrap();
    let before = live.dump("t");
    let sides = format!("--live {} --backup csv --yes --format json", live.url());
    let receipt = sandbox.run(&format!("restore {sides}")).exits(3).json();
    assert_eq!(receipt["tables"][0]["written"], 19_997);
    let shown = sandbox.run_all(["show", receipt["plan"].as_str().unwrap()]).exits(0).stdout;
    for words in
        ["3 skipped", "row 7 holds the text \"seven\"", "row 9000 holds", "row 20000 holds"]
    {
        assert!(shown.contains(words), "no {words} in {shown}");
    }
    let whole = "select count(*), sum(n <=> id), sum(v <=> concat('v', id)) from t";
    assert_eq!(live.sql(whole), "19997\t19997\t19997\n");
    sandbox.run("undo --yes").exits(0);
    assert_eq!(live.dump("t"), before);
    // What decides about the rows has to be read of each.
    let deciding = sides.split(' ').chain(["--where", "n < 9001"]);
    let run = sandbox.run_all(std::iter::once("restore").chain(deciding)).exits(2);
    run.complains("row 7 holds the text \"seven\"");
}

/// A backup of a file and one of a database, in which three rows hold what live's types can't:
/// in one that live has too, in one it lacks, and in a column that nobody asks for.
#[test]
fn a_row_that_does_not_fit_is_neither_changed_nor_missing_nor_the_same() {
    let live = Database::with(
        "create table t(id int primary key, n int, v varchar(9), w smallint);
         insert into t values (1, 1, 'v1', 1), (2, 0, 'v2', 2), (3, 3, 'v3', 3), (6, 6, 'v6', 6);",
    );
    let sandbox = Sandbox::new();
    let rows = [
        (1, "1", "v1", "1"),
        (2, "2", "v2", "2"),
        (3, "seven", "v3", "3"),
        (4, "4", "v4", "4"),
        (5, "5", "longer than nine", "99999"),
    ];
    let mut csv = "id,n,v,w\n".to_owned();
    let mut sql = "create table t(id integer primary key, n, v text, w integer);\n".to_owned();
    for (id, n, v, w) in rows {
        csv.push_str(&format!("{id},{n},{v},{w}\n"));
        sql.push_str(&format!("insert into t values ({id}, '{n}', '{v}', {w});\n"));
    }
    fs::create_dir(sandbox.path("csv")).unwrap();
    fs::write(sandbox.path("csv/t.csv"), csv).unwrap();
    sandbox.sqlite("old.db", &sql);
    for backup in ["csv", "old.db"] {
        let before = live.dump("t");
        let sides = format!("--live {} --backup {backup}", live.url());
        let summary = sandbox.run(&format!("diff {sides} --format json")).exits(1).json();
        let table = &summary["tables"][0];
        let found = ["missing", "changed", "extra", "same", "unfit"].map(|k| table[k].as_u64());
        assert_eq!(found, [Some(1), Some(1), Some(1), Some(1), Some(2)], "{backup}: {table}");
        let told = |column: &str| format!("{column}: 1 value of the backup that live's type");
        for column in ["n", "v", "w"] {
            let told = table["not_compared"].as_array().unwrap().iter().any(|not| {
                told(not["column"].as_str().unwrap()).starts_with(column)
                    && not["why"].as_str().unwrap().starts_with("1 value of the backup")
            });
            assert!(told, "{column}: {table}");
        }
        let rows = sandbox.run(&format!("diff {sides} --format ndjson")).exits(1);
        assert_eq!(rows.stdout.lines().count(), 3, "{}", rows.stdout);
        for column in ["n", "v", "w"] {
            assert_eq!(rows.stderr.matches(&told(column)).count(), 1, "{}", rows.stderr);
        }
        // A column that is left out does not matter, and the rest is never called identical.
        let some = format!("diff {sides} --columns n --where backup.id=3");
        let screen = sandbox.run(&format!("diff {sides} --columns n"));
        assert!(screen.stdout.contains("? unfit"), "{}", screen.stdout);
        let some = sandbox.run(&some).exits(1);
        assert!(!some.stdout.contains("identical"), "{}", some.stdout);
        let patch = format!("patch {sides} --table t --column n --yes");
        let plan = sandbox.run(&format!("{patch} --dry-run --format json")).exits(0).json();
        assert_eq!(plan["tables"][0]["skipped"]["unfit"], 1, "{plan}");
        assert!(plan["tables"][0]["notes"].to_string().contains("n: 1 value of the"), "{plan}");
        assert_eq!(live.dump("t"), before);
        let receipt = sandbox.run(&format!("{patch} --format json")).exits(3).json();
        assert_eq!(receipt["tables"][0]["written"], 1, "{receipt}");
        assert_eq!(live.sql("select group_concat(n order by id) from t"), "1,2,3,6\n");
        // Nothing is left but what can't be compared: no difference, and yet not the same.
        sandbox.run(&format!("{patch} --format json")).exits(3);
        sandbox.run("undo --yes").exits(0);
        assert_eq!(live.dump("t"), before);
        // The key is read for the order of all: there it is refused.
        let key = sandbox.run(&format!("diff {sides} --key v")).exits(2);
        key.complains("longer than nine");
    }
}

/// A table as files hold it, and its rows as MariaDB would.
const FILED: &str = "create table t(id bigint primary key, yes tinyint(1), n int, big bigint unsigned,
        price decimal(10,2), r double, at datetime(6), day date, name varchar(20));
    insert into t values
        (1, 1, 7, 18446744073709551615, 0.99, 0.1, '2024-02-29 10:00:00.25', '2024-02-29', 'ümläut'),
        (2, 0, null, 0, -5.00, 1e300, '1970-01-01 00:00:00', '9999-12-31', ''),
        (3, null, null, null, null, null, null, null, null),
        (4, 1, 3, 9223372036854775808, 100.00, 3, '2024-03-01 00:00:00.000001', '1970-01-01', '007');";

/// As pandas writes it: nullable integers are floats.
fn parquet(path: &Path) {
    use arrow::array as a;
    let at = [Some(1_709_200_800_250_000), Some(0), None, Some(1_709_251_200_000_001)];
    let price = a::Decimal128Array::from(vec![Some(99), Some(-500), None, Some(10_000)]);
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("id", Arc::new(a::Int64Array::from(vec![1, 2, 3, 4]))),
        ("yes", Arc::new(a::BooleanArray::from(vec![Some(true), Some(false), None, Some(true)]))),
        ("n", Arc::new(a::Float64Array::from(vec![Some(7.0), None, Some(f64::NAN), Some(3.0)]))),
        ("big", Arc::new(a::UInt64Array::from(vec![Some(u64::MAX), Some(0), None, Some(1 << 63)]))),
        ("price", Arc::new(price.with_precision_and_scale(10, 2).unwrap())),
        ("r", Arc::new(a::Float64Array::from(vec![Some(0.1), Some(1e300), None, Some(3.0)]))),
        ("at", Arc::new(a::TimestampMicrosecondArray::from(at.to_vec()))),
        ("day", Arc::new(a::Date32Array::from(vec![Some(19_782), Some(2_932_896), None, Some(0)]))),
        ("name", Arc::new(a::StringArray::from(vec![Some("ümläut"), Some(""), None, Some("007")]))),
    ];
    let batch = RecordBatch::try_from_iter_with_nullable(
        columns.into_iter().map(|(name, array)| (name, array, true)),
    );
    let batch = batch.unwrap();
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut writer =
        ArrowWriter::try_new(File::create(path).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

const CSV: &str = "id,yes,n,big,price,r,at,day,name
1,True,7.0,18446744073709551615,0.99,0.1,2024-02-29 10:00:00.250000,2024-02-29,ümläut
2,False,,0,-5.0,1e+300,1970-01-01 00:00:00,9999-12-31,\"\"
3,,,,,,,,
4,True,3.0,9223372036854775808,100.0,3.0,2024-03-01 00:00:00.000001,1970-01-01,007
";

const JSON_LINES: &str = r#"{"id":1,"yes":true,"n":7.0,"big":18446744073709551615,"price":0.99,"r":0.1,"at":"2024-02-29T10:00:00.250","day":"2024-02-29","name":"\u00fcml\u00e4ut"}
{"id":2,"yes":false,"n":null,"big":0,"price":-5.0,"r":1e300,"at":"1970-01-01T00:00:00.000","day":"9999-12-31","name":""}
{"id":3,"yes":null,"n":null,"big":null,"price":null,"r":null,"at":null,"day":null,"name":null}
{"id":4,"yes":true,"n":3.0,"big":9223372036854775808,"price":100.0,"r":3.0,"at":"2024-03-01T00:00:00.000001","day":"1970-01-01","name":"007"}
"#;

#[test]
fn mariadb_comes_back_from_files_of_other_programs() {
    let sandbox = Sandbox::new();
    for folder in ["csv", "lines", "gz"] {
        fs::create_dir(sandbox.path(folder)).unwrap();
    }
    parquet(&sandbox.path("parquet/t.parquet"));
    fs::write(sandbox.path("csv/t.csv"), CSV).unwrap();
    fs::write(sandbox.path("lines/t.jsonl"), JSON_LINES).unwrap();
    for kind in ["story", "parquet", "csv/t.csv", "lines"] {
        let live = Database::with(FILED);
        if kind == "story" {
            let take = format!("story/{}/2024-05-29-09:14:42", live.name);
            parquet(&sandbox.path(format!("{take}/parquet/t.parquet")));
            fs::create_dir(sandbox.path(format!("{take}/json"))).unwrap();
            fs::write(sandbox.path(format!("{take}/json/t.json")), JSON_LINES).unwrap();
        }
        let whole = live.dump("t");
        let diff = format!("diff --live {} --backup {kind}", live.url());
        sandbox.run(&diff).exits(0);
        live.sql(
            "delete from t where id in (1, 3); update t set n = 9, big = 9, price = 9, name = 'x'",
        );
        let damaged = live.dump("t");
        write(&sandbox, "restore", &live.url(), kind).exits(0);
        let patch = "patch --column n --column big --column price --column name --allow-null";
        write(&sandbox, patch, &live.url(), kind).exits(0);
        assert_eq!(live.dump("t"), whole, "{kind}");
        for _ in 0..2 {
            sandbox.run("undo --yes").exits(0);
        }
        assert_eq!(live.dump("t"), damaged, "{kind}");
    }
}
