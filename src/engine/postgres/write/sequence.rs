//! Counters are raised past restored numbers, so that the application's next insert works (C9).
//!
//! A sequence belongs to no transaction: what is raised stays raised, whatever becomes of the
//! rows. It is never lowered: a small distance is walked by `nextval`, as any client does; over
//! a large one it is set, which leaves the application no way to overtake it meanwhile.

use crate::engine::postgres::catalogue::Table;
use crate::engine::postgres::failure::{NO_RIGHT, state};
use crate::engine::postgres::session::{Session, Stop, quote_text};
use crate::engine::wire::words;
use crate::error::Error;

/// Numbers that are walked one by one.
const WALKED: i64 = 1000;

/// A sequence that gives a column its numbers.
#[derive(Clone, Debug)]
pub(super) struct Sequence {
    /// The column.
    pub(super) column: String,
    /// The sequence, quoted with its schema.
    name: String,
    increment: i64,
    least: i64,
    greatest: i64,
}

/// The sequences of a table's identity columns, and those that its defaults name. It is asked
/// with `pg_catalog` as the search path.
pub(super) async fn sequences(session: &mut Session, table: &Table) -> Result<Vec<Sequence>, Stop> {
    let rows = session
        .strings(
            "select distinct a.attname::pg_catalog.text, \
             pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(s.relname), \
             q.seqincrement::pg_catalog.text, q.seqmin::pg_catalog.text, q.seqmax::pg_catalog.text \
             from (select d.objid as seq, d.refobjid as rel, d.refobjsubid as att \
               from pg_catalog.pg_depend d \
               where d.classid = 'pg_catalog.pg_class'::regclass \
               and d.refclassid = 'pg_catalog.pg_class'::regclass \
               and d.deptype = 'i' \
               union all \
               select d.refobjid, f.adrelid, f.adnum from pg_catalog.pg_attrdef f \
               join pg_catalog.pg_depend d on d.objid = f.oid \
               where d.classid = 'pg_catalog.pg_attrdef'::regclass \
               and d.refclassid = 'pg_catalog.pg_class'::regclass \
             ) as u \
             join pg_catalog.pg_sequence q on q.seqrelid = u.seq \
             join pg_catalog.pg_class s on s.oid = u.seq \
             join pg_catalog.pg_namespace n on n.oid = s.relnamespace \
             join pg_catalog.pg_attribute a on a.attrelid = u.rel \
               and a.attnum = u.att \
             where u.rel = $1::oid order by 2, 1",
            &[&table.oid],
        )
        .await?;
    let parsed = rows.into_iter().map(|row| {
        let [column, name, increment, least, greatest] = words(row);
        let number = |text: &str| text.parse::<i64>().ok();
        let numbers = (number(&increment), number(&least), number(&greatest));
        let (Some(increment), Some(least), Some(greatest)) = numbers else {
            let e = Error::failed(format!("live: the sequence {name} can't be understood"));
            return Err(Stop::from(e));
        };
        Ok(Sequence { column, name, increment, least, greatest })
    });
    parsed.collect()
}

impl Sequence {
    /// Of these numbers the one that the sequence comes to last.
    pub(super) fn last(&self, numbers: impl Iterator<Item = i64>) -> Option<i64> {
        let inside = numbers.filter(|n| (self.least..=self.greatest).contains(n));
        if self.increment > 0 { inside.max() } else { inside.min() }
    }

    /// Raises it until its next number comes after `last`.
    pub(super) async fn raise(&self, session: &mut Session, last: i64) -> Result<(), Stop> {
        let sequence = format!("{}::pg_catalog.regclass", quote_text(&self.name));
        loop {
            let steps = self.behind(session, last).await?;
            let sql = match steps {
                0 => return Ok(()),
                1..=WALKED => format!(
                    "select pg_catalog.max(pg_catalog.nextval({sequence}))::pg_catalog.text \
                     from pg_catalog.generate_series(1, {steps})"
                ),
                _ => format!("select pg_catalog.setval({sequence}, {last})::pg_catalog.text"),
            };
            session.word(&sql).await?;
        }
    }

    /// A failure to raise it that lacks a right, with the right.
    pub(super) fn denied(&self, stop: Stop) -> Stop {
        match stop {
            Stop::Server(e) if state(&e).as_deref() == Some(NO_RIGHT) => {
                let e = Error::failed(format!(
                    "live: this user has no right to raise the sequence {} past restored numbers",
                    self.name
                ));
                e.hint(format!(
                    "grant usage, select, update on sequence {} to this user",
                    self.name
                ))
                .into()
            }
            stop => stop,
        }
    }

    /// How many numbers it has to give until it has given `last`.
    async fn behind(&self, session: &mut Session, last: i64) -> Result<i64, Stop> {
        let sql = format!(
            "select last_value::pg_catalog.text, is_called::pg_catalog.text from {}",
            self.name
        );
        let row = session.strings(&sql, &[]).await?.into_iter().next().unwrap_or_default();
        let [at, called] = words(row);
        let Ok(at) = at.parse::<i64>() else {
            let e = Error::failed(format!("live: the sequence {} has no value", self.name));
            return Err(e.into());
        };
        let (at, last, step) = (i128::from(at), i128::from(last), i128::from(self.increment));
        let next = if called == "true" { at + step } else { at };
        let distance = if step > 0 { last - next } else { next - last };
        let steps = if distance < 0 { 0 } else { distance / step.abs() + 1 };
        Ok(i64::try_from(steps).unwrap_or(i64::MAX))
    }
}
