//! Columns of another database, or of a snapshot of ours, into live's columns.

use crate::error::Result;
use crate::fit::carry::Carried;
use crate::fit::given::Givens;
use crate::fit::loose;
use crate::fit::place::Place;
use crate::fit::strict::{self, Door, Fitter};
use crate::model::table::{Affinity, Carrier, Column};
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

/// True when SQLite stores the values of another engine's column, where they fit its
/// carrier, as they are.
fn is_kept(then: &Column, live: &Column) -> bool {
    then.affinity.is_strict()
        && then.carrier == live.carrier
        && !strict::holds(live)
        && match live.carrier {
            Carrier::Int => !matches!(live.affinity, Affinity::Text | Affinity::Real),
            Carrier::Text => matches!(live.affinity, Affinity::Text | Affinity::Blob),
            Carrier::Blob => true,
            _ => false,
        }
}
