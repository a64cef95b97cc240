//! Columns of another database, or of a snapshot of ours, into live's columns.

use crate::error::Result;
use crate::fit::carry::Carried;
use crate::fit::given::Givens;
use crate::fit::loose;
use crate::fit::place::Place;
use crate::fit::strict::{self, Door, Fitter};
use crate::model::table::{Affinity, Carrier, Collation, Column};
use crate::model::value::{ValueRef, carried};

/// True when every value of a column `then` is a value of `live` as it is.
pub fn is_same(then: &Column, live: &Column) -> bool {
    (then.carrier, then.affinity) == (live.carrier, live.affinity)
        && (!strict::holds(live) || then.declared == live.declared)
}

/// Fits a column that travels as `then` does, misfits and all.
pub fn fit(then: &Column, given: Carried, place: &mut Place<'_>) -> Result<Carried> {
    let live = place.column;
    if is_same(then, live) || given.misfits.is_empty() && is_kept(then, live) {
        return Ok(given);
    }
    let fitter = strict::holds(live).then(|| Fitter::new(live));
    if let (Some(fitter), true) = (&fitter, given.misfits.is_empty())
        && then.carrier != Carrier::Number
        && let Some(givens) = Givens::of(&given.array)?
        && let Some(array) = fitter.whole(&givens, place)?
    {
        return Ok(array.into());
    }
    let array = given.array.as_ref();
    let mut misfits = given.misfits.iter().peekable();
    place.carry(array.len(), |row, scratch, out| {
        let misfit = misfits.next_if(|(at, _)| *at == row);
        let value = match misfit {
            _ if array.is_valid(row) => carried(array, then.carrier, row),
            Some((_, value)) => value.as_ref(),
            None => ValueRef::Null,
        };
        let (value, habit) = match &fitter {
            Some(fitter) => fitter.value(value.into(), Door::Database, scratch)?,
            // Stored by the same rules, it needs no storing again.
            None if then.affinity == live.affinity => (value, None),
            None => loose::value(value, live, scratch)?,
        };
        out.push(value);
        Ok([habit])
    })
}

/// True when the values of two columns are told apart, and lie in the order of their carriers,
/// on both sides alike, however they were fitted: rows that come in the order of `then` come in
/// the order of `live`, and a value of `live` can be looked for in `then`.
pub fn keeps_order(then: &Column, live: &Column) -> bool {
    let bytes = matches!(live.collation, Collation::Binary | Collation::Coarse(_));
    is_same(then, live)
        || takes_as_is(live)
            && match (then.carrier, live.carrier) {
                (Carrier::Int | Carrier::Unsigned, Carrier::Int | Carrier::Unsigned)
                | (Carrier::Blob, Carrier::Blob) => true,
                (Carrier::Text, Carrier::Text) => bytes,
                _ => false,
            }
}

/// True when SQLite stores the values of another engine's column, where they fit its
/// carrier, as they are.
fn is_kept(then: &Column, live: &Column) -> bool {
    then.affinity.is_strict()
        && then.carrier == live.carrier
        && !strict::holds(live)
        && takes_as_is(live)
}

/// True for a column whose values of the carrier's kind are the values that it was given, or
/// refused.
fn takes_as_is(live: &Column) -> bool {
    if strict::holds(live) {
        return Fitter::new(live).takes_as_is();
    }
    match live.carrier {
        Carrier::Int => !matches!(live.affinity, Affinity::Text | Affinity::Real),
        Carrier::Text => matches!(live.affinity, Affinity::Text | Affinity::Blob),
        Carrier::Blob => true,
        _ => false,
    }
}
