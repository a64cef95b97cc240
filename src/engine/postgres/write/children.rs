//! Who refers to a table: what goes or changes there would take or change with it.

use crate::engine::postgres::catalogue::{Table, parts};
use crate::engine::postgres::session::{Session, Stop};
use crate::engine::wire::words;

/// A reference of some table to a parent.
#[derive(Clone, Debug)]
pub(super) struct Child {
    /// The referencing table, quoted with its schema.
    pub(super) table: String,
    /// Its name for messages.
    pub(super) shown: String,
    /// Its columns with the parent's.
    pub(super) pairs: Vec<Pair>,
}

/// A column that refers to another.
#[derive(Clone, Debug)]
pub(super) struct Pair {
    /// The referencing column.
    pub(super) column: String,
    /// The referenced one.
    pub(super) parent: String,
    /// The operator of parent and child, with its schema.
    pub(super) equals: String,
}

/// The references to a table or a partition of it, its own too, from any schema. Those that the
/// server keeps besides, one for each partition, are left out.
pub(super) async fn children(session: &mut Session, parent: &Table) -> Result<Vec<Child>, Stop> {
    // For each batch: planning it takes longer than carrying it out.
    let rows = session
        .strings_again(
            concat!(
                parts!(),
                "select f.oid::pg_catalog.text, \
             pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname), \
             c.relname::pg_catalog.text, a.attname::pg_catalog.text, pa.attname::pg_catalog.text, \
             pg_catalog.quote_ident(o.nspname) || '.' || e.oprname \
             from pg_catalog.pg_constraint f \
             join pg_catalog.pg_class c on c.oid operator(pg_catalog.=) f.conrelid \
             join pg_catalog.pg_namespace n on n.oid operator(pg_catalog.=) c.relnamespace \
             cross join lateral rows from (pg_catalog.unnest(f.conkey), \
               pg_catalog.unnest(f.confkey), pg_catalog.unnest(f.conpfeqop)) \
               with ordinality as k(own, parent, equals, place) \
             join pg_catalog.pg_attribute a on a.attrelid operator(pg_catalog.=) f.conrelid \
               and a.attnum operator(pg_catalog.=) k.own \
             join pg_catalog.pg_attribute pa on pa.attrelid operator(pg_catalog.=) f.confrelid \
               and pa.attnum operator(pg_catalog.=) k.parent \
             join pg_catalog.pg_operator e on e.oid operator(pg_catalog.=) k.equals \
             join pg_catalog.pg_namespace o on o.oid operator(pg_catalog.=) e.oprnamespace \
             where f.contype operator(pg_catalog.=) 'f' \
             and f.confrelid operator(pg_catalog.=) any (select oid from parts) \
             and not exists (select from pg_catalog.pg_constraint p \
               where p.oid operator(pg_catalog.=) f.conparentid \
               and p.confrelid operator(pg_catalog.=) any (select oid from parts)) \
             order by f.oid, k.place"
            ),
            &[&parent.oid],
        )
        .await?;
    let mut found: Vec<Child> = Vec::new();
    let mut last = String::new();
    for row in rows {
        let [constraint, table, shown, column, parent, equals] = words(row);
        if constraint != last {
            found.push(Child { table, shown, pairs: Vec::new() });
            last = constraint;
        }
        if let Some(child) = found.last_mut() {
            child.pairs.push(Pair { column, parent, equals });
        }
    }
    Ok(found)
}
