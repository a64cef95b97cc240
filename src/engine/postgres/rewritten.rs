//! A table that another client rewrote or emptied behind the snapshot.
//!
//! TRUNCATE, ALTER TABLE where it rewrites, pg_repack, and a partition that is dropped or
//! detached are not bound to snapshots: a table reads as empty, or without the partition, in
//! a snapshot that was taken before (PostgreSQL documentation, 13.6 "Caveats"). What is rewritten
//! has another file from then on, so once after the rows were read is often enough to ask.

use crate::engine::postgres::catalogue::{Table, parts};
use crate::engine::postgres::pool::Pool;
use crate::error::{Error, Result};

/// `true` when the file of the table or of a partition, as the snapshot knows it, is not the one
/// that the server reads now. The functions look at the catalogue as it is now, the query at
/// that of the snapshot.
const REWRITTEN: &str = concat!(
    parts!(),
    "select (exists (select from parts p join pg_catalog.pg_class c on c.oid = p.oid \
        where c.relfilenode <> 0 \
        and pg_catalog.pg_relation_filenode(p.oid) is distinct from c.relfilenode) \
      or exists (select from parts p where pg_catalog.pg_partition_root(p.oid) \
        is distinct from pg_catalog.pg_partition_root($1::oid)))::text"
);

/// Proves that what was read of a table is what the snapshot holds of it.
///
/// # Errors
/// `Failed` when it was rewritten or emptied since.
pub(crate) async fn prove_whole(pool: &Pool, table: &Table) -> Result<()> {
    let told = pool.keeper().await.session()?.strings(REWRITTEN, &[&table.oid]).await;
    let told = told.map_err(|stop| pool.failed("read its catalogue", stop))?;
    match told.into_iter().flatten().flatten().next().as_deref() {
        Some("false") => Ok(()),
        _ => Err(Error::failed(format!(
            "{}: table {} was rewritten or emptied by another client while it was read \
             (TRUNCATE, ALTER TABLE, VACUUM FULL, a partition dropped): its rows of before can't \
             be read any more",
            pool.address().side,
            table.name
        ))
        .hint("run the command again: it reads the table as it is now")),
    }
}
