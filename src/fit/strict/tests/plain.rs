//! Whole columns at once and cell by cell come to the same.

use proptest::prelude::*;

use super::*;
use crate::fit::cell::plain;
use crate::fit::cell::staged::Tags;
use crate::fit::strict::Fitter;

/// A column, the tag of a dump's cells of it, plain cells of it, and one that is not plain.
fn columns() -> Vec<(Column, Tag, &'static [&'static str], &'static str)> {
    let sqlite = |declared: &str, carrier, affinity| Column {
        declared: declared.into(),
        affinity,
        ..Column::new("c", carrier)
    };
    vec![
        (pg("bigint", Carrier::Int), Tag::Digits, &["0", "-1", "007", "999999999999999999"], "+1"),
        (pg("smallint", Carrier::Int), Tag::Digits, &["32767", "-32768"], "32768"),
        (
            my("bigint unsigned", Carrier::Unsigned),
            Tag::Digits,
            &["0", "12"],
            "18446744073709551615",
        ),
        (
            pg("numeric(10,2)", decimal(10, 2)),
            Tag::Digits,
            &["1.5", "-0.01", "7", "0.00", "99999999.99"],
            "1e2",
        ),
        (my("decimal(4,2) unsigned", decimal(4, 2)), Tag::Digits, &["-0.00", "99.99"], "-0.01"),
        (
            pg("timestamp without time zone", Carrier::Stamp),
            Tag::Moment,
            &["2024-03-14 02:02:03", "1969-12-31 23:59:59.999999", "0001-01-01 00:00:00.5"],
            "2024-03-14 02:02:03 BC",
        ),
        (
            pg("timestamp with time zone", Carrier::Instant),
            Tag::Moment,
            &["2024-03-14 02:02:03+00", "2024-03-14 02:02:03.25-03:30", "2024-03-14 00:00:00+01"],
            "infinity",
        ),
        (pg("date", Carrier::Date), Tag::Moment, &["2024-02-29", "9999-12-31"], "10000-01-01"),
        (
            my("datetime(3)", Carrier::Stamp),
            Tag::Moment,
            &["2024-03-14 02:02:03.125000"],
            "0000-00-00 00:00:00",
        ),
        (
            my("timestamp", Carrier::Instant),
            Tag::Moment,
            &["2038-03-14 02:02:03+00:00"],
            "1969-12-31 00:00:00+00:00",
        ),
        (pg("text", Carrier::Text), Tag::OwnText, &["", "a", "é東🙂", "NULL"], "\0"),
        (my("varchar(3)", Carrier::Text), Tag::OwnText, &["abc", ""], "abcd"),
        (pg("json", Carrier::Text), Tag::OwnText, &["{ }"], "a\0"),
        (
            pg("jsonb", Carrier::Text),
            Tag::OwnText,
            &["{\"b\":1,\"a\":[ ]}", "\"\\u00e9\"", "1e2"],
            "{",
        ),
        (pg("bytea", Carrier::Blob), Tag::OwnBlob, &["", "\0a"], ""),
        (my("tinyblob", Carrier::Blob), Tag::OwnBlob, &["ab"], ""),
        (pg("boolean", Carrier::Bool), Tag::True, &[""], ""),
        (
            sqlite("TEXT", Carrier::Text, Affinity::Text),
            Tag::OwnText,
            &["", "12", "NULL", "\0"],
            "",
        ),
        (sqlite("TEXT", Carrier::Text, Affinity::Text), Tag::Bare, &["x", "12"], "null"),
        (sqlite("", Carrier::Text, Affinity::Blob), Tag::Quoted, &["x", ""], "NULL"),
        (sqlite("INTEGER", Carrier::Int, Affinity::Integer), Tag::OwnNumber, &["-5", "0"], "1.0"),
        (sqlite("INT", Carrier::Int, Affinity::Integer), Tag::Bare, &["12"], ""),
    ]
}

fn staged(cells: &[Option<&[u8]>], tags: Tags) -> StagedCells {
    StagedCells::new(cells.iter().copied().collect(), tags)
}

/// What a column is fitted as: its values, misfits and habits; or that it is refused.
fn fitted(cells: &StagedCells, column: &Column) -> Result<(ArrayRef, String), ()> {
    let (table, mut tally) = (TableName::bare("t"), Tally::default());
    let mut place = Place { table: &table, column, rows: Rows::From(0), tally: &mut tally };
    let carried = cell::fit(cells, "c", &FileHabits::default(), &mut place).map_err(|_| ())?;
    let beside = format!("{:?} {tally:?}", carried.misfits);
    Ok((carried.array, beside))
}

/// Whether a column is taken at once.
fn at_once(cells: &StagedCells, column: &Column) -> bool {
    match crate::fit::strict::holds(column) {
        true => Fitter::new(column).cells(cells, column).is_some(),
        false => plain::cells(cells, column).is_some(),
    }
}

fn law(column: &Column, tag: Tag, cells: &[Option<&[u8]>]) {
    let whole = fitted(&staged(cells, Tags::All(tag)), column);
    // NULL first, so that no column has one tag in common that it could be taken by.
    let each: Vec<u8> = cells.iter().map(|cell| cell.map_or(0, |_| tag as u8)).collect();
    let apart = fitted(&staged(cells, Tags::Each(each.into())), column);
    assert_eq!(whole, apart, "{column:?} {tag:?} {cells:?}");
}

#[test]
fn plain_cells_are_taken_at_once_and_come_to_the_same() {
    for (column, tag, plain, odd) in columns() {
        let mut cells: Vec<Option<&[u8]>> =
            plain.iter().map(|text| Some(text.as_bytes())).collect();
        cells.insert(1, None);
        assert!(at_once(&staged(&cells, Tags::All(tag)), &column), "{column:?}");
        law(&column, tag, &cells);
        cells.push(Some(odd.as_bytes()));
        law(&column, tag, &cells);
    }
}

#[test]
fn bytes_that_are_no_text_are_not_taken_for_it() {
    for (column, ..) in columns().into_iter().filter(|(c, ..)| c.carrier == Carrier::Text) {
        // Apart neither is UTF-8, one behind the other they are.
        for cells in [&[Some(&b"\xc3"[..]), Some(b"\xa9")][..], &[Some(b"a\xff")]] {
            law(&column, Tag::OwnText, cells);
            assert!(!at_once(&staged(cells, Tags::All(Tag::OwnText)), &column), "{column:?}");
        }
    }
}

proptest! {
    #[test]
    fn whole_columns_and_single_cells_come_to_the_same(
        drawn in prop::collection::vec(prop::option::weighted(0.9, prop_oneof![
            "[-+]?[0-9]{0,20}",
            "-?[0-9]{1,12}[.]?[0-9]{0,4}",
            "[-+0-9.eE ]{0,6}",
            "[0-2][0-9]{3}-[01][0-9]-[0-3][0-9]( [0-2][0-9]:[0-5][0-9]:[0-6][0-9]([.][0-9]{0,7})?([-+][01][0-9](:?[0-5][0-9])?)?)?",
            "[01\\[\\]{}\", :a\\\\]{0,8}",
            "(t|f|true|NULL|null||0000-00-00|NaN|Infinity)",
            "\\PC{0,6}",
        ]), 0..5),
    ) {
        let cells: Vec<Option<&[u8]>> =
            drawn.iter().map(|cell| cell.as_ref().map(|text| text.as_bytes())).collect();
        for (column, tag, ..) in columns() {
            law(&column, tag, &cells);
        }
    }
}
