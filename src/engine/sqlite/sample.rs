//! What a sample of rows tells of a table's columns: in which carrier their values travel
//! best, and in which form they write moments.
//!
//! Any carrier is exact, since what does not fit it travels beside it; the choice decides
//! speed, and how columns look in SQL.

use crate::engine::sqlite::catalogue::{Table, TableColumn};
use crate::engine::sqlite::raw::{Connection, Row, SqliteError, quote};
use crate::engine::sqlite::schema::affinity;
use crate::model::table::{Affinity, Carrier, TableKind, TimeForm};
use crate::model::value::{F64_INTEGERS, ValueRef};

/// Rows looked at from each end of the table.
const SAMPLE: usize = 128;

/// Longer texts are cut when they are looked at; the longest moment has 35 characters.
const LONGEST: usize = 40;

/// What is known of one column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Learnt {
    /// The carrier.
    pub(crate) carrier: Carrier,
    /// The form of its moments.
    pub(crate) time_form: Option<TimeForm>,
}

/// The sampled values of one column, by storage class.
#[derive(Debug, Default)]
struct Seen {
    ints: usize,
    /// Integers that an f64 can't hold.
    wide: usize,
    reals: usize,
    texts: Vec<String>,
    blobs: usize,
}

/// Looks at the first and last rows of a base table, for each of its columns.
pub(crate) fn learn(connection: &Connection, table: &Table) -> Result<Vec<Learnt>, SqliteError> {
    let mut seen: Vec<Seen> = table.columns.iter().map(|_| Seen::default()).collect();
    if table.kind == TableKind::Base {
        for direction in ["", " desc"] {
            look(connection, table, direction, &mut seen)?;
        }
    }
    let learnt = table.columns.iter().zip(&seen).map(|(column, seen)| {
        let carrier = carrier(table, column, seen);
        let only_texts = seen.ints + seen.reals + seen.blobs == 0;
        let time_form = (carrier == Carrier::Text && only_texts)
            .then(|| TimeForm::learn(seen.texts.iter().map(String::as_str)))
            .flatten();
        Learnt { carrier, time_form }
    });
    Ok(learnt.collect())
}

fn look(
    connection: &Connection,
    table: &Table,
    direction: &str,
    seen: &mut [Seen],
) -> Result<(), SqliteError> {
    let cells: Vec<String> = table
        .columns
        .iter()
        .map(|c| quote(&c.name))
        .map(|c| {
            format!(
                "case typeof({c}) when 'blob' then x'' when 'text' then substr({c}, 1, {LONGEST}) \
                 else {c} end"
            )
        })
        .collect();
    let order: Vec<String> = match table.rowid() {
        Some(rowid) => vec![format!("{rowid}{direction}")],
        None => table.primary().iter().map(|c| format!("{}{direction}", quote(&c.name))).collect(),
    };
    let mut sql = format!("select {} from {}", cells.join(", "), quote(&table.name));
    if !order.is_empty() {
        sql.push_str(&format!(" order by {}", order.join(", ")));
    }
    sql.push_str(&format!(" limit {SAMPLE}"));
    connection.prepare(&sql)?.query(&[], |row: &Row<'_>| {
        for (index, seen) in seen.iter_mut().enumerate() {
            match row.get(index) {
                ValueRef::Null => {}
                ValueRef::Int(i) => {
                    seen.ints += 1;
                    seen.wide += usize::from(!(-F64_INTEGERS..=F64_INTEGERS).contains(&i));
                }
                ValueRef::Real(_) => seen.reals += 1,
                ValueRef::Text(b) => seen.texts.push(String::from_utf8_lossy(b).into_owned()),
                // Of SQLite's five classes this is the last.
                _ => seen.blobs += 1,
            }
        }
        Ok::<bool, SqliteError>(true)
    })
}

fn carrier(table: &Table, column: &TableColumn, seen: &Seen) -> Carrier {
    let declared = column.declared.to_ascii_uppercase();
    let by_affinity = match affinity(&column.declared, table.strict) {
        Affinity::Integer => Some(Carrier::Int),
        Affinity::Real => Some(Carrier::Real),
        Affinity::Text => Some(Carrier::Text),
        Affinity::Blob if declared.contains("BLOB") => Some(Carrier::Blob),
        Affinity::Blob | Affinity::Numeric | Affinity::Postgres | Affinity::Mysql => None,
    };
    let numbers = seen.ints + seen.reals;
    let all = numbers + seen.texts.len() + seen.blobs;
    if let Some(usual) = by_affinity {
        let (count, other) = commonest(table, column, seen);
        return if all > 0 && count == all && fitting(usual, seen) == 0 { other } else { usual };
    }
    if all > 0 {
        return commonest(table, column, seen).1;
    }
    if declared.contains("BOOL") {
        Carrier::Int
    } else if declared.contains("DATE") || declared.contains("TIME") || declared.is_empty() {
        Carrier::Text
    } else if affinity(&column.declared, table.strict) == Affinity::Numeric {
        Carrier::Number
    } else {
        Carrier::Text
    }
}

fn fitting(carrier: Carrier, seen: &Seen) -> usize {
    match carrier {
        Carrier::Int => seen.ints,
        Carrier::Real => seen.reals,
        Carrier::Number => seen.ints + seen.reals,
        Carrier::Text => seen.texts.len(),
        Carrier::Blob => seen.blobs,
        _ => 0,
    }
}

/// The commonest kind of value, how often it occurs, and the carrier for it.
fn commonest(table: &Table, column: &TableColumn, seen: &Seen) -> (usize, Carrier) {
    let numbers = seen.ints + seen.reals;
    let texts = seen.texts.len();
    if texts > numbers && texts >= seen.blobs {
        return (texts, Carrier::Text);
    }
    if seen.blobs > numbers {
        return (seen.blobs, Carrier::Blob);
    }
    let numeric = affinity(&column.declared, table.strict) == Affinity::Numeric;
    let declared = column.declared.to_ascii_uppercase();
    let decimal = numeric && (declared.contains("DEC") || declared.contains("NUM"));
    // Whole amounts so far don't make a price whole; but what rows are matched by is whole.
    let matched_by = column.primary > 0
        || table.indexes.iter().filter(|i| i.unique).any(|i| {
            i.columns.iter().flatten().any(|(name, _)| name.eq_ignore_ascii_case(&column.name))
        });
    let carrier = match (seen.ints, seen.reals) {
        (_, 0) if !decimal || matched_by || seen.wide > 0 => Carrier::Int,
        (0, _) if !numeric => Carrier::Real,
        _ => Carrier::Number,
    };
    (numbers, carrier)
}
