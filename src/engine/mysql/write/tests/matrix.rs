//! The matrix of types on MariaDB: the server's own HEX() is the oracle, through its own client.

use super::lab::{Database, Lab};
use crate::engine::mysql::types::{Declared, Form};
use crate::engine::tests::matrix::{self, Kind, Types};
use crate::engine::tests::{Line, is_documented, table as documented};

/// A column's type, and values as SQL.
const TYPES: &[Kind] = &[
    ("tinyint", &["-128", "127", "0", "-1"]),
    ("tinyint unsigned", &["0", "255"]),
    ("tinyint(1)", &["0", "1", "-1", "2"]),
    ("smallint", &["-32768", "32767"]),
    ("smallint unsigned", &["0", "65535"]),
    ("mediumint", &["-8388608", "8388607", "-1"]),
    ("mediumint unsigned", &["0", "16777215"]),
    ("int", &["-2147483648", "2147483647"]),
    ("int unsigned", &["0", "4294967295"]),
    ("int(8) unsigned zerofill", &["7", "4294967295"]),
    ("bigint", &["-9223372036854775808", "9223372036854775807", "9007199254740993"]),
    ("bigint unsigned", &["0", "18446744073709551615", "9223372036854775808"]),
    ("decimal(10,2)", &["-99999999.99", "0.00", "-0.01", "99999999.99"]),
    ("decimal(38,10)", &["-9999999999999999999999999999.9999999999", "0.0000000001"]),
    ("decimal(38,0)", &["99999999999999999999999999999999999999", "-1"]),
    (
        "decimal(65,30)",
        &["-99999999999999999999999999999999999.999999999999999999999999999999", "0", "-0.5"],
    ),
    ("decimal(9,3) unsigned zerofill", &["1.5", "0"]),
    ("float", &["1234567.875", "-1.17549e-38", "3.4e38", "0.1", "0"]),
    ("double", &["0.1", "-1.7976931348623157e308", "5e-324", "1e15", "123456789.12345678"]),
    ("bit(1)", &["b'0'", "b'1'"]),
    ("bit(9)", &["b'0'", "b'111111111'"]),
    ("bit(64)", &["b'0'", "0xffffffffffffffff", "0x8000000000000000"]),
    ("year", &["1901", "2155", "0"]),
    ("date", &["'0000-00-00'", "'2024-00-10'", "'2024-02-31'", "'1000-01-01'", "'9999-12-31'"]),
    ("time", &["'-838:59:59'", "'838:59:59'", "'00:00:00'", "'24:00:01'"]),
    ("time(6)", &["'-838:59:59.999999'", "'00:00:00.000001'", "'-00:00:00.5'"]),
    ("datetime", &["'0000-00-00 00:00:00'", "'2024-00-00 10:00:00'", "'9999-12-31 23:59:59'"]),
    ("datetime(6)", &["'1000-01-01 00:00:00.000001'", "'9999-12-31 23:59:59.999999'"]),
    ("datetime(3)", &["'2024-02-29 12:00:00.120'", "'1969-12-31 23:59:59.999'"]),
    (
        "timestamp null",
        &["'0000-00-00 00:00:00'", "'1970-01-01 00:00:01'", "'2038-01-19 03:14:07'"],
    ),
    ("timestamp(6) null", &["'2024-03-31 01:30:00.000001'", "'2024-10-27 01:30:00.5'"]),
    ("char(5) character set utf8mb4", &["''", "'a'", "'\u{1f600}ä'", "'A'"]),
    ("varchar(40) character set latin1", &["'äöü€'", "''", "'a '", "'a'", "0x41810042"]),
    ("text character set utf8mb3", &["'日本'", "'x\\0y'", "'\\\\'", "''''"]),
    ("longtext character set ucs2", &["'ä'", "'\\r\\n'"]),
    ("varchar(9) character set utf8mb4 collate utf8mb4_bin", &["'a'", "'A'", "'a '", "'\\t'"]),
    ("varchar(9) character set cp1251", &["'Привет'", "'x'"]),
    ("tinytext", &["'\u{202e}'", "'--'"]),
    ("mediumtext", &["'%'", "'?'"]),
    ("binary(4)", &["0x00", "0x61620000", "0xffffffff"]),
    ("varbinary(9)", &["''", "0x00", "0x6100", "0xff5c27"]),
    ("tinyblob", &["0x00", "''"]),
    ("blob", &["0xdeadbeef", "0x0d0a"]),
    ("longblob", &["repeat(0x00, 70000)", "0x80"]),
    ("enum('a','b','2','1')", &["'a'", "'2'", "'1'"]),
    ("set('x','y','z')", &["''", "'x,z'", "'y'"]),
    ("json", &["'{\"a\": 1.0,  \"b\":[null]}'", "'1.00'", "'\"ä\"'"]),
    (
        "geometry",
        &["st_geomfromtext('POINT(1 2)', 4326)", "st_geomfromtext('LINESTRING(0 0,1 1)')"],
    ),
    ("point", &["st_geomfromtext('POINT(1 -2.5)')", "st_geomfromtext('POINT(0 0)', 3857)"]),
    (
        "polygon",
        &[
            "st_geomfromtext('POLYGON((0 0,1 0,1 1,0 0))')",
            "st_geomfromtext('POLYGON((0 0,2 0,2 2,0 0))')",
        ],
    ),
    ("uuid", &["'123e4567-e89b-12d3-a456-426655440000'", "'00000000-0000-0000-0000-000000000001'"]),
    ("inet6", &["'::1'", "'2001:db8::ff00:42:8329'"]),
    ("inet4", &["'127.0.0.1'", "'255.255.255.255'"]),
];

impl Types for Database {
    fn types() -> &'static [Kind] {
        TYPES
    }

    const PRELUDE: [&'static str; 2] = ["", "set sql_mode = 'ALLOW_INVALID_DATES';"];

    fn value(_: &str, value: &str) -> String {
        value.to_owned()
    }

    fn differing(lab: &Lab, column: &str) -> u64 {
        let differs = lab.live.sql(&format!(
            "select count(*) from t join {}.t b using (id) \
             where not (hex(concat(t.{column})) <=> hex(concat(b.{column})))",
            lab.backup.name
        ));
        differs.trim().parse().unwrap()
    }
}

#[tokio::test]
async fn t6_t8_t11_t18_t19_t20_every_type_is_equal_to_itself() {
    matrix::is_equal::<Database>().await;
}

#[tokio::test]
async fn t6_t8_t11_t18_t19_t20_every_type_comes_back_and_is_taken_back() {
    matrix::comes_back::<Database>(false).await;
}

#[tokio::test]
async fn t6_t8_t11_t18_t19_t20_every_type_comes_back_from_a_snapshot() {
    matrix::comes_back::<Database>(true).await;
}

#[tokio::test]
async fn t6_t8_t11_t18_t19_t20_every_type_is_set_and_set_back() {
    matrix::is_set::<Database>(false).await;
}

#[tokio::test]
async fn t6_t8_t11_t18_t19_t20_every_type_is_set_from_a_snapshot() {
    matrix::is_set::<Database>(true).await;
}

/// What stands beside a carrier that can't say it.
fn besides(form: Form) -> &'static str {
    match form {
        Form::Int { .. } | Form::Double | Form::Bit(_) | Form::Text | Form::Bytes => "",
        Form::Float => "a FLOAT as the double that it is",
        Form::Decimal { precision: ..=38, .. } => "",
        Form::Decimal { .. } => "more than 38 digits: their text",
        Form::Date | Form::Stamp | Form::Instant => {
            "dates that the calendar does not have: their text, never NULL"
        }
        Form::Time(_) => "as many digits of a second as declared",
    }
}

#[tokio::test]
async fn the_types_of_the_matrix_are_documented() {
    let lab = Lab::new(&matrix::table::<Database>(), "");
    let mount = lab.mount().await;
    let pair = lab.pairs(&mount, &["t"]).await.unwrap().remove(0);
    let declared = lab.live.sql(
        "select data_type, column_type, ifnull(numeric_precision, ''), ifnull(numeric_scale, ''), \
         ifnull(datetime_precision, '') from information_schema.columns \
         where table_schema = database() and column_name <> 'id' order by ordinal_position",
    );
    let forms: Vec<Form> = declared
        .lines()
        .map(|line| {
            let [name, full, precision, scale, fraction] = line.split('\t').collect::<Vec<_>>()[..]
            else {
                panic!("{line}");
            };
            let number = |text: &str| text.parse().ok();
            let (precision, scale) = (number(precision), number(scale));
            let fraction = number(fraction);
            Form::of(Declared { name, full, precision, scale, fraction }).unwrap()
        })
        .collect();
    let columns = &pair.schema.live.columns[1..];
    assert_eq!(forms.len(), columns.len());
    let lines: Vec<Line<'_>> = TYPES
        .iter()
        .zip(columns.iter().zip(&forms))
        .map(|((_, tried), (column, form))| Line { column, besides: besides(*form), tried })
        .collect();
    is_documented("mysql", &documented(&lines));
    assert_eq!(Form::of(Declared { name: "vector", ..Declared::default() }), None);
}
