//! What a backup holds: single values as they are given, and Arrow columns of any type as
//! columns of such values.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{
    DataType, Decimal128Type, Float32Type, Float64Type, Int64Type, TimeUnit, UInt64Type,
};

use crate::error::Result;
use crate::fit::moment::Moment;
use crate::fit::notes::Habit;
use crate::model::value::ValueRef;

const DAY_MILLIS: i64 = 86_400_000;

/// What a value becomes in live's column, and the habit that it shows; else what it is, in
/// an error's words.
pub(crate) type Found<'a> = Result<(ValueRef<'a>, Option<Habit>), String>;

/// Casts that fail where a value would change.
pub(crate) const EXACTLY: CastOptions<'static> =
    CastOptions { safe: false, format_options: arrow::util::display::FormatOptions::new() };

/// A value as a backup holds it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Given<'a> {
    Null,
    Int(i64),
    Unsigned(u64),
    Double(f64),
    /// A float of 32 bits.
    Single(f32),
    /// The digits without the point, and how many stand behind it.
    Decimal(i128, i8),
    Bool(bool),
    /// Text that may mean anything.
    Text(&'a [u8]),
    /// A number as it is written.
    Numeral(&'a [u8]),
    Bytes(&'a [u8]),
    /// Days since 1970.
    Day(i64),
    /// A moment, and whether it is an instant of UTC.
    Moment(Moment, bool),
    /// A time of day.
    Time(Moment),
}

impl<'a> From<ValueRef<'a>> for Given<'a> {
    fn from(value: ValueRef<'a>) -> Self {
        match value {
            ValueRef::Null => Given::Null,
            ValueRef::Int(i) => Given::Int(i),
            ValueRef::Unsigned(u) => Given::Unsigned(u),
            ValueRef::Real(r) => Given::Double(r),
            ValueRef::Text(text) => Given::Text(text),
            ValueRef::Blob(bytes) => Given::Bytes(bytes),
            ValueRef::Bool(truth) => Given::Bool(truth),
            ValueRef::Date(day) => Given::Day(day.into()),
            ValueRef::Stamp(micros) => Given::Moment(Moment::of(micros, 1_000_000), false),
            ValueRef::Instant(micros) => Given::Moment(Moment::of(micros, 1_000_000), true),
            ValueRef::Decimal(digits, scale) => Given::Decimal(digits, scale),
        }
    }
}

/// The kinds of values that an Arrow column gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// NULLs only.
    Null,
    /// `Int64`.
    Int,
    /// `UInt64`.
    Unsigned,
    /// `Float64`.
    Double,
    /// `Float32`.
    Single,
    /// `Decimal128` of this scale.
    Decimal(i8),
    /// `Boolean`.
    Bool,
    /// `Utf8`.
    Text,
    /// `Utf8`: decimals of more than 38 digits.
    Numeral,
    /// `Binary`.
    Bytes,
    /// `Int64`: days since 1970.
    Day,
    /// `Int64`: units since 1970, so many in a second.
    Moment { per_second: i64, zoned: bool },
    /// `Int64`: units since midnight, so many in a second.
    Time { per_second: i64 },
}

/// An Arrow column of any plain type, as one of the arrays that [`Kind`] names.
#[derive(Clone, Debug)]
pub(crate) struct Givens {
    pub(crate) array: ArrayRef,
    pub(crate) kind: Kind,
}

impl Givens {
    /// Takes a column; `None` for a type that holds no plain values.
    pub(crate) fn of(array: &ArrayRef) -> Result<Option<Self>> {
        let cast = |array: &ArrayRef, to: DataType| cast_with_options(array, &to, &EXACTLY);
        let (array, kind) = match array.data_type() {
            DataType::Null => (Arc::clone(array), Kind::Null),
            DataType::Dictionary(_, values) => {
                return Self::of(&cast(array, values.as_ref().clone())?);
            }
            DataType::Boolean => (Arc::clone(array), Kind::Bool),
            DataType::UInt64 => (Arc::clone(array), Kind::Unsigned),
            d if d.is_integer() => (cast(array, DataType::Int64)?, Kind::Int),
            DataType::Float16 | DataType::Float32 => {
                (cast(array, DataType::Float32)?, Kind::Single)
            }
            DataType::Float64 => (Arc::clone(array), Kind::Double),
            DataType::Decimal32(p, s) | DataType::Decimal64(p, s) | DataType::Decimal128(p, s) => {
                let (precision, scale) = (*p, *s);
                (cast(array, DataType::Decimal128(precision, scale))?, Kind::Decimal(scale))
            }
            DataType::Decimal256(_, scale) => match cast(array, DataType::Decimal128(38, *scale)) {
                Ok(narrow) => (narrow, Kind::Decimal(*scale)),
                Err(_) => (cast(array, DataType::Utf8)?, Kind::Numeral),
            },
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
                (cast(array, DataType::Utf8)?, Kind::Text)
            }
            DataType::Binary
            | DataType::LargeBinary
            | DataType::BinaryView
            | DataType::FixedSizeBinary(_) => (cast(array, DataType::Binary)?, Kind::Bytes),
            DataType::Date32 => {
                let days = cast(array, DataType::Int32)?;
                (cast(&days, DataType::Int64)?, Kind::Day)
            }
            DataType::Date64 => {
                let millis = cast(array, DataType::Int64)?;
                let counts = millis.as_primitive::<Int64Type>();
                if counts.iter().flatten().all(|count| count % DAY_MILLIS == 0) {
                    let days = counts.unary::<_, Int64Type>(|count| count / DAY_MILLIS);
                    (Arc::new(days) as ArrayRef, Kind::Day)
                } else {
                    (millis, Kind::Moment { per_second: 1_000, zoned: false })
                }
            }
            DataType::Timestamp(unit, zone) => {
                let kind = Kind::Moment { per_second: per_second(unit), zoned: zone.is_some() };
                (cast(array, DataType::Int64)?, kind)
            }
            DataType::Time32(unit) => {
                // Arrow casts Time32 to 64 bits by way of 32.
                let narrow = cast(array, DataType::Int32)?;
                (cast(&narrow, DataType::Int64)?, Kind::Time { per_second: per_second(unit) })
            }
            DataType::Time64(unit) => {
                (cast(array, DataType::Int64)?, Kind::Time { per_second: per_second(unit) })
            }
            _ => return Ok(None),
        };
        Ok(Some(Self { array, kind }))
    }

    /// How many values are not NULL.
    pub(crate) fn values(&self) -> usize {
        match self.kind {
            Kind::Null => 0,
            _ => self.array.len() - self.array.null_count(),
        }
    }

    /// The value in `row`.
    pub(crate) fn get(&self, row: usize) -> Given<'_> {
        if self.kind == Kind::Null || self.array.is_null(row) {
            return Given::Null;
        }
        let count = || self.array.as_primitive::<Int64Type>().value(row);
        match self.kind {
            Kind::Null => Given::Null,
            Kind::Int => Given::Int(count()),
            Kind::Unsigned => {
                ValueRef::unsigned(self.array.as_primitive::<UInt64Type>().value(row)).into()
            }
            Kind::Double => Given::Double(self.array.as_primitive::<Float64Type>().value(row)),
            Kind::Single => Given::Single(self.array.as_primitive::<Float32Type>().value(row)),
            Kind::Decimal(scale) => {
                Given::Decimal(self.array.as_primitive::<Decimal128Type>().value(row), scale)
            }
            Kind::Bool => Given::Bool(self.array.as_boolean().value(row)),
            Kind::Text => Given::Text(self.array.as_string::<i32>().value(row).as_bytes()),
            Kind::Numeral => Given::Numeral(self.array.as_string::<i32>().value(row).as_bytes()),
            Kind::Bytes => Given::Bytes(self.array.as_binary::<i32>().value(row)),
            Kind::Day => Given::Day(count()),
            Kind::Moment { per_second, zoned } => {
                Given::Moment(Moment::of(count(), per_second), zoned)
            }
            Kind::Time { per_second } => Given::Time(Moment::of(count(), per_second)),
        }
    }
}

fn per_second(unit: &TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    }
}
