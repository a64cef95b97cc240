//! Tables, columns and keys, as every engine and format describes them.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::model::value::EXACT;

/// A table's name, with its schema where the engine has schemas.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TableName {
    /// The schema, `None` on engines without schemas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
    /// The table.
    pub name: String,
}

impl TableName {
    /// A name without a schema.
    pub fn bare(name: impl Into<String>) -> Self {
        Self { schema: None, name: name.into() }
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.schema {
            Some(schema) => write!(f, "{schema}.{}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

impl FromStr for TableName {
    type Err = std::convert::Infallible;

    /// The whole text is the table's name: engines with schemas split it themselves,
    /// since a SQLite table may be called `a.b`.
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        Ok(Self::bare(s))
    }
}

/// How a column's values travel in Arrow. A value that its carrier can't hold exactly is
/// NULL there and stands in the row's [`EXACT`] cell instead, with its storage class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Carrier {
    /// `Int64`.
    Int,
    /// `Float64`; every value is a REAL.
    Real,
    /// `Float64` for SQLite's NUMERIC affinity: an integral value of magnitude up to
    /// 2^53 stands for an INTEGER, any other for a REAL. -0.0 does not fit.
    Number,
    /// `Utf8`, valid UTF-8 only; NUL characters are allowed.
    Text,
    /// `Binary`.
    Blob,
    /// `UInt64`.
    Unsigned,
    /// `Boolean`.
    Bool,
    /// `Date32`.
    Date,
    /// `Timestamp` in microseconds, without a zone.
    Stamp,
    /// `Timestamp` in microseconds, UTC.
    Instant,
    /// `Decimal128`, where every value has just this scale.
    Decimal {
        /// The most digits, 38 at most.
        precision: u8,
        /// The digits behind the point.
        scale: i8,
    },
}

impl Carrier {
    /// The Arrow type of this carrier.
    pub fn data_type(self) -> DataType {
        match self {
            Carrier::Int => DataType::Int64,
            Carrier::Real | Carrier::Number => DataType::Float64,
            Carrier::Text => DataType::Utf8,
            Carrier::Blob => DataType::Binary,
            Carrier::Unsigned => DataType::UInt64,
            Carrier::Bool => DataType::Boolean,
            Carrier::Date => DataType::Date32,
            Carrier::Stamp => DataType::Timestamp(TimeUnit::Microsecond, None),
            Carrier::Instant => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Carrier::Decimal { precision, scale } => DataType::Decimal128(precision, scale),
        }
    }

    /// True for the carriers whose values can't be told apart by equality as numbers: keys
    /// must not be bound as floating-point numbers (K6).
    pub fn is_floating(self) -> bool {
        matches!(self, Carrier::Real | Carrier::Number)
    }
}

/// What the engine does to a value that is written into a column: SQLite's affinities
/// ("Datatypes In SQLite", section 3), or the rules of an engine whose columns hold values
/// of their declared type only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Affinity {
    /// Numbers become text.
    Text,
    /// Text that looks like a number becomes INTEGER or REAL.
    Numeric,
    /// As `Numeric`; integral reals become INTEGER.
    Integer,
    /// As `Numeric`; integers become REAL.
    Real,
    /// Nothing is converted.
    Blob,
    /// PostgreSQL: the declared type's values only, in their canonical text where they
    /// travel as text.
    Postgres,
    /// MySQL and MariaDB in strict mode: the declared type's values only.
    Mysql,
}

impl Affinity {
    /// True where the column holds values of its declared type only.
    pub fn is_strict(self) -> bool {
        matches!(self, Affinity::Postgres | Affinity::Mysql)
    }
}

/// The text form in which live's sampled values write a moment, so that a backup's
/// typed timestamp can be written in the same form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TimeForm {
    /// `' '` or `'T'` between date and time; `None` when there is only a date.
    pub separator: Option<char>,
    /// Digits of the fraction of a second.
    pub fraction: Fraction,
    /// What follows the time.
    pub zone: Zone,
}

/// How a fraction of a second is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Fraction {
    /// Always this many digits (0: none and no point).
    Fixed(u8),
    /// Six digits, left out with its point when zero (Python's `str(datetime)`).
    SixUnlessZero,
}

/// How a text timestamp writes its zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Zone {
    /// No zone.
    None,
    /// `Z`.
    Zulu,
    /// `+00:00`.
    Offset,
}

/// How equal keys are found: SQLite's three built-in collations, or an engine's by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Collation {
    /// Byte order.
    #[default]
    Binary,
    /// ASCII letters compare without case.
    NoCase,
    /// Trailing spaces do not count.
    Rtrim,
    /// The engine's own, for which several texts may be one key (case, accents, trailing
    /// spaces). Rows are matched by their bytes; what the engine takes for a second row of
    /// a key, it refuses itself.
    Coarse(String),
    /// Any other; keys with it are refused.
    Other(String),
}

impl Collation {
    /// The form of a TEXT value that stands for all values equal to it: normalised bytes
    /// compare as the collation does. `Coarse` and `Other` have no such form; their bytes come
    /// back as they are, and keys with `Other` are refused before anyone asks.
    pub fn normalise<'a>(&self, text: &'a [u8]) -> Cow<'a, [u8]> {
        match self {
            Collation::NoCase if text.iter().any(u8::is_ascii_uppercase) => {
                Cow::Owned(text.to_ascii_lowercase())
            }
            Collation::Rtrim => {
                let end = text.iter().rposition(|byte| *byte != b' ').map_or(0, |last| last + 1);
                Cow::Borrowed(&text[..end])
            }
            _ => Cow::Borrowed(text),
        }
    }
}

/// A column as its side describes it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Column {
    /// The name, in its own case.
    pub name: String,
    /// The type as the engine declares it (`DECIMAL(10,2)`), empty when there is none.
    pub declared: String,
    /// How its values travel.
    pub carrier: Carrier,
    /// What the engine does to written values.
    pub affinity: Affinity,
    /// The text form of moments, where the values are text moments of one form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_form: Option<TimeForm>,
    /// NOT NULL is declared.
    pub not_null: bool,
    /// Generated columns are never written.
    pub generated: bool,
    /// The default as SQL, where one is declared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    /// The declared collation.
    #[serde(default)]
    pub collation: Collation,
    /// What the engine puts into it by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub automatic: Option<Automatic>,
}

/// A value that the engine provides where a statement names none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Automatic {
    /// The next number of a counter; an explicit value is taken (AUTO_INCREMENT, a
    /// `nextval` default, GENERATED BY DEFAULT AS IDENTITY).
    Counter,
    /// The next number of a counter; an explicit value needs OVERRIDING SYSTEM VALUE
    /// (GENERATED ALWAYS AS IDENTITY).
    CounterAlways,
    /// The time of the row's last update (ON UPDATE CURRENT_TIMESTAMP).
    UpdateTime,
}

impl Column {
    /// A column of which only the name and the carrier are known: nullable, without a
    /// declared type, nothing converted.
    pub fn new(name: impl Into<String>, carrier: Carrier) -> Self {
        Self {
            name: name.into(),
            declared: String::new(),
            carrier,
            affinity: Affinity::Blob,
            time_form: None,
            not_null: false,
            generated: false,
            default: None,
            collation: Collation::Binary,
            automatic: None,
        }
    }

    /// The Arrow field of this column; always nullable, since a misfit leaves NULL.
    pub fn field(&self) -> Field {
        Field::new(&self.name, self.carrier.data_type(), true)
    }
}

/// The Arrow schema of a scan: `columns` in order, then the [`EXACT`] column.
pub fn scan_schema<'a>(columns: impl IntoIterator<Item = &'a Column>) -> SchemaRef {
    let mut fields: Vec<Field> = columns.into_iter().map(Column::field).collect();
    fields.push(Field::new(EXACT, DataType::Binary, true));
    Arc::new(Schema::new(fields))
}

/// Why a key is one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyOrigin {
    /// The table's primary key.
    PrimaryKey,
    /// A unique index over NOT NULL columns.
    Unique(String),
    /// Named by the user with `--key`; writes need it proved on both sides.
    Named,
}

/// The columns by which rows of both sides are matched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// The key's columns in order, at least one.
    pub columns: Vec<String>,
    /// Why they are a key.
    pub origin: KeyOrigin,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.columns.join(", "))
    }
}

/// What a foreign key does when its parent changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ForeignAction {
    /// The statement or the commit fails.
    NoAction,
    /// The statement fails.
    Restrict,
    /// The child follows.
    Cascade,
    /// The child's columns become NULL.
    SetNull,
    /// The child's columns become their defaults.
    SetDefault,
}

/// A reference from this table to a parent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForeignKey {
    /// The referencing columns.
    pub columns: Vec<String>,
    /// The referenced table.
    pub parent: TableName,
    /// The referenced columns, of the same number.
    pub parent_columns: Vec<String>,
    /// When the parent is deleted.
    pub on_delete: ForeignAction,
    /// When the parent's key changes.
    pub on_update: ForeignAction,
}

/// A unique index or constraint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UniqueIndex {
    /// The engine's name of it.
    pub name: String,
    /// Its columns; `None` for an expression.
    pub columns: Vec<Option<String>>,
    /// It has a WHERE clause.
    pub partial: bool,
}

/// What fires a trigger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TriggerEvent {
    /// A row is inserted.
    Insert,
    /// A row is updated.
    Update,
    /// A row is deleted.
    Delete,
}

/// A trigger on a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trigger {
    /// Its name.
    pub name: String,
    /// What fires it.
    pub event: TriggerEvent,
    /// Its definition as SQL.
    pub sql: String,
}

/// What kind of relation a table is; only base tables are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TableKind {
    /// A base table.
    Base,
    /// A view.
    View,
    /// A virtual, foreign or shadow table.
    Virtual,
}

/// All that a side says of one table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TableSchema {
    /// The table's name.
    pub name: TableName,
    /// What kind of relation it is.
    pub kind: TableKind,
    /// Its columns in declared order, generated ones too.
    pub columns: Vec<Column>,
    /// Its candidate keys, the primary key first. Empty: no key.
    pub keys: Vec<Key>,
    /// Its unique indexes, the primary key's too.
    pub uniques: Vec<UniqueIndex>,
    /// Its references to parents.
    pub foreign_keys: Vec<ForeignKey>,
    /// Its triggers.
    pub triggers: Vec<Trigger>,
    /// SQLite: the INTEGER PRIMARY KEY column that is the rowid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rowid_alias: Option<String>,
    /// SQLite: there is no rowid.
    #[serde(default)]
    pub without_rowid: bool,
    /// AUTOINCREMENT or an identity column.
    #[serde(default)]
    pub autoincrement: bool,
    /// Why its rows can't be written, where they can't.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unwritable: Option<String>,
    /// What of its rows a backup was made without.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<String>,
    /// The definition as the engine prints it, with its indexes; empty for a plain file.
    pub ddl: String,
}

impl TableSchema {
    /// A base table of which only the columns are known.
    pub fn of_columns(name: TableName, columns: Vec<Column>) -> Self {
        Self {
            name,
            kind: TableKind::Base,
            columns,
            keys: Vec::new(),
            uniques: Vec::new(),
            foreign_keys: Vec::new(),
            triggers: Vec::new(),
            rowid_alias: None,
            without_rowid: false,
            autoincrement: false,
            unwritable: None,
            left_out: Vec::new(),
            ddl: String::new(),
        }
    }

    /// The column of this name (exact case first, then without case when unique).
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|c| c.name == name).or_else(|| {
            let mut hits = self.columns.iter().filter(|c| c.name.eq_ignore_ascii_case(name));
            match (hits.next(), hits.next()) {
                (Some(one), None) => Some(one),
                _ => None,
            }
        })
    }

    /// The column of the other side's table that a column of this one is compared with: its namesake,
    /// and no namesake of another column here.
    pub fn counterpart<'b>(&self, column: &Column, other: &'b TableSchema) -> Option<&'b Column> {
        let found = other.column(&column.name)?;
        self.column(&found.name).is_some_and(|own| own.name == column.name).then_some(found)
    }

    /// Refuses a table whose rows can't be written.
    pub fn require_writable(&self) -> Result<()> {
        match &self.unwritable {
            None => Ok(()),
            Some(why) => Err(Error::refused(format!("{} is not written to: {why}", self.name))
                .hint("diff and sql read it all the same")),
        }
    }

    /// The column of this name, or an error that lists the ones there are.
    pub fn require(&self, name: &str) -> Result<&Column> {
        self.column(name).ok_or_else(|| {
            let known: Vec<&str> = self.columns.iter().map(|c| c.name.as_str()).collect();
            Error::usage(format!("table {} has no column {name}", self.name))
                .hint(format!("its columns: {}", known.join(", ")))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_normalised_key_stands_for_its_equals() {
        assert_eq!(&*Collation::Binary.normalise(b"Ab "), b"Ab ");
        assert_eq!(&*Collation::NoCase.normalise("\u{c4}Ab_".as_bytes()), "\u{c4}ab_".as_bytes());
        assert_eq!(&*Collation::Rtrim.normalise(b" a  "), b" a");
        assert_eq!(&*Collation::Rtrim.normalise(b"   "), b"");
    }
}
