//! Every type with values at its edges: what is read is what the server has. The oracle is
//! psql, and the server's own input and output functions.

use std::sync::OnceLock;

use super::*;
use crate::engine::postgres::session::quote_text;
use crate::engine::postgres::types::words as said;
use crate::engine::tests::matrix::Kind;
use crate::engine::tests::{Line, is_documented, table};
use crate::model::table::Column;
use crate::model::value::{Cells, EXACT};

/// Types with values at their edges, read and compared with what psql prints.
#[tokio::test]
async fn t6_t17_every_type_comes_as_the_server_prints_it() {
    let mut script = format!("{PRELUDE}\n");
    let kinds = types().iter().enumerate();
    for (at, (kind, values)) in kinds.clone() {
        script.push_str(&format!("create table t{at}(id serial primary key, v {kind});\n"));
        for value in *values {
            script.push_str(&format!("insert into t{at}(v) values (cast({value} as {kind}));\n"));
        }
        script.push_str(&format!("insert into t{at}(v) values (null);\n"));
    }
    let database = Database::with(&script);
    let source = open(&database).await;
    let mut described = Vec::new();
    for (at, (kind, values)) in kinds {
        let t = schema(source.as_ref(), &format!("t{at}")).await;
        let batches = scanned(source.as_ref(), whole(&t)).await;
        let column = &t.columns[1];
        let mut ours = Vec::new();
        for batch in &batches {
            let named = std::iter::once((&*column.name, &*column.name, column.carrier));
            let cells = Cells::new(batch, named, EXACT).unwrap();
            for row in 0..batch.num_rows() {
                let value = cells.get(row, 0).unwrap();
                ours.push(said(value));
            }
        }
        assert_eq!(ours.len(), values.len() + 1, "{kind}");
        // What we say is, put back by the server, what it has, bit by bit.
        for (row, text) in ours.iter().enumerate() {
            let id = row + 1;
            let same = match text {
                None => format!("select v is not distinct from null from t{at} where id = {id}"),
                Some(text) => format!(
                    "set datestyle = 'ISO'; set extra_float_digits = 3; set lc_monetary = 'C'; \
                     set intervalstyle = 'postgres'; set timezone = 'UTC'; \
                     select format('%s', v) = format('%s', {}::{kind}) from t{at} where id = {id}",
                    quote_text(text)
                ),
            };
            let told = database.sql(&same);
            assert_eq!(told.trim(), "t", "{kind} {:?} {text:?}", values.get(row));
        }
        described.push((column.clone(), *values));
    }
    let lines: Vec<Line<'_>> = described
        .iter()
        .map(|(column, tried)| Line { column, besides: besides(column), tried })
        .collect();
    if types().len() == TYPES.len() {
        is_documented("postgres", &table(&lines));
    }
}

fn besides(column: &Column) -> &'static str {
    match (column.carrier, column.declared.as_str()) {
        (Carrier::Date | Carrier::Stamp | Carrier::Instant, _) => {
            "`infinity`: its text, never NULL"
        }
        (Carrier::Decimal { .. }, _) => "`NaN`: its text, never NULL",
        (Carrier::Real, "real") => "as the double that it is",
        (Carrier::Text, kind) if kind.starts_with("numeric") => "its digits, zeros at the end too",
        _ => "",
    }
}

/// What the types need.
pub(in crate::engine::postgres) const PRELUDE: &str =
    "create extension if not exists citext; create extension if not exists hstore;
     create type mood as enum ('sad', 'it''s \"ok\"'); create type pair as (a int, b text);
     create domain positive as int check (value > 0);";

/// The types that the server at hand has, with the values that it knows.
pub(in crate::engine::postgres) fn types() -> &'static [Kind] {
    static HERE: OnceLock<Vec<Kind>> = OnceLock::new();
    HERE.get_or_init(|| match Server::shared().version() {
        14.. => TYPES.to_vec(),
        // Multiranges and the infinities of numeric came with 14.
        _ => {
            let known = TYPES.iter().filter(|(kind, _)| !kind.ends_with("multirange"));
            let finite: &[&str] = &["1.10", "'NaN'", "1e100", "-0.000001"];
            known.map(|(kind, v)| (*kind, if *kind == "numeric" { finite } else { *v })).collect()
        }
    })
}

/// A type, and literals of it.
pub(in crate::engine::postgres) const TYPES: &[Kind] = &[
    ("smallint", &["-32768", "32767", "0"]),
    ("integer", &["-2147483648", "2147483647"]),
    ("bigint", &["-9223372036854775808", "9223372036854775807"]),
    ("oid", &["0", "4294967295"]),
    ("real", &["0.1", "'-0'", "'NaN'", "'Infinity'", "'-Infinity'", "3.4e38", "1e-45"]),
    (
        "double precision",
        &["0.1", "'-0'", "'NaN'", "'-Infinity'", "5e-324", "1.7976931348623157e308"],
    ),
    (
        "numeric",
        &[
            "1.10",
            "'NaN'",
            "'Infinity'",
            "'-Infinity'",
            "1e100",
            "-0.000001",
            "123456789012345678901234567890.123",
        ],
    ),
    ("numeric(10,2)", &["1.10", "'NaN'", "-99999999.99", "0"]),
    ("numeric(38,10)", &["1.1", "9999999999999999999999999999.9999999999"]),
    ("numeric(60,20)", &["1.1", "1e39"]),
    ("boolean", &["true", "false"]),
    ("text", &["''", "'NULL'", "E'a\\tb\\nc\\\\'", "'\u{1f600}'"]),
    ("varchar(5)", &["'ab'", "'ab   '"]),
    ("char(5)", &["'ab'", "''"]),
    ("name", &["'n'"]),
    ("\"char\"", &["'x'", "''"]),
    ("citext", &["'AbC'"]),
    ("bytea", &["'\\x'", "'\\x00ff27'"]),
    ("date", &["'2024-02-29'", "'infinity'", "'-infinity'", "'4713-11-24 BC'", "'5874897-12-31'"]),
    ("time", &["'00:00'", "'24:00:00'", "'01:02:03.000001'"]),
    ("time(0)", &["'23:59:59'"]),
    ("timetz", &["'01:02:03.5+05:30'", "'24:00:00-15:59'"]),
    (
        "timestamp",
        &[
            "'2024-03-10 02:30:00.123456'",
            "'infinity'",
            "'0044-03-15 BC'",
            "'294276-12-31 23:59:59.999999'",
        ],
    ),
    ("timestamptz", &["'2024-03-10 02:30:00+01'", "'-infinity'", "'4714-11-24 00:00:00+00 BC'"]),
    ("interval", &["'1 year -2 mons 3 days -04:05:06.7'", "'0'", "'24:00:00'"]),
    ("uuid", &["'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'"]),
    ("json", &["'{\"b\": 1,  \"a\": 1.00}'", "'null'"]),
    ("jsonb", &["'{\"b\": 1,  \"a\": 1.00}'", "'null'", "'[]'"]),
    ("xml", &["'<a>x</a>'", "'text'"]),
    ("inet", &["'10.0.0.1'", "'10.0.0.1/8'", "'::1'"]),
    ("cidr", &["'10.0.0.0/8'"]),
    ("macaddr", &["'08:00:2b:01:02:03'"]),
    ("macaddr8", &["'08:00:2b:01:02:03:04:05'"]),
    ("bit(5)", &["B'10101'"]),
    ("varbit", &["B'101'", "B''"]),
    ("money", &["'-1234.56'", "'0'"]),
    ("mood", &["'sad'", "'it''s \"ok\"'"]),
    ("positive", &["7"]),
    ("int[]", &["'{1,NULL,3}'", "'{}'", "'[0:1]={1,2}'", "'{{1,2},{3,4}}'"]),
    ("text[]", &["array['a', null, 'NULL', '', 'x\"y', '{']"]),
    ("float8[]", &["'{0.1,NaN,-0}'"]),
    ("pair", &["row(1, 'x,\"y')", "row(null, null)", "row(null, '')"]),
    ("int4range", &["'[1,5)'", "'empty'", "'(,)'"]),
    ("numrange", &["'[1.10,2.20]'"]),
    ("tstzrange", &["'[2024-01-01 00:00+00,infinity]'"]),
    ("int4multirange", &["'{[1,5),[7,9)}'", "'{}'"]),
    ("nummultirange", &["'{[1.10,2.20],(3,)}'"]),
    ("mood[]", &["'{sad,NULL}'"]),
    ("tsvector", &["'a:1A fat:2B,4C cat:5D'"]),
    ("tsquery", &["'fat & (rat | cat)'"]),
    ("hstore", &["'a=>1, \"b c\"=>NULL'"]),
    ("point", &["'(0.1,-0)'"]),
    ("line", &["'{1,2,3}'"]),
    ("lseg", &["'[(0,0),(1,1)]'"]),
    ("box", &["'(1,1),(0,0)'"]),
    ("path", &["'[(0,0),(1,1)]'", "'((0,0),(1,1))'"]),
    ("polygon", &["'((0,0),(1,1),(1,0))'"]),
    ("circle", &["'<(0,0),5>'"]),
    ("pg_lsn", &["'16/B374D848'"]),
];
