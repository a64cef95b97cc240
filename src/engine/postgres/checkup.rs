//! What a person who will write to this database should know of it: as whom it was reached,
//! with which rights, and what would stop a patch.

use crate::engine::postgres::address::Address;
use crate::engine::postgres::catalogue::shown;
use crate::engine::postgres::session::{Server, Session, Stop};
use crate::engine::rights::{self, Table};
use crate::engine::wire::words;
use crate::model::check::{Check, Outcome};

/// Looks a database over.
pub(crate) async fn checkup(
    session: &mut Session,
    address: &Address,
    server: &Server,
) -> Result<Vec<Check>, Stop> {
    let mut checks = vec![who(session, server).await?];
    checks.extend(rights(session, address.database()).await?);
    checks.extend(tables(session).await?);
    checks.extend(writing(session).await?);
    Ok(checks)
}

async fn who(session: &mut Session, server: &Server) -> Result<Check, Stop> {
    let rows = session
        .strings(
            "select current_user::text, coalesce(host(inet_server_addr()), 'a socket'), \
             coalesce((select version || ', ' || cipher from pg_catalog.pg_stat_ssl \
               where pid = pg_backend_pid() and ssl), 'not encrypted')",
            &[],
        )
        .await?;
    let [user, host, line] = words(rows.into_iter().next().unwrap_or_default());
    let found = format!("{user} on {host}, {}, {line}", server.kind());
    Ok(Check::new("user", Outcome::Good, found))
}

/// The base tables that a person may have to do with.
const TABLES: &str = "pg_catalog.pg_class c \
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace \
    where c.relkind in ('r', 'p') and not c.relispartition and c.relpersistence <> 't' \
    and n.nspname <> 'information_schema' and n.nspname not like 'pg\\_%'";

/// The tables on which a right is missing.
async fn rights(session: &mut Session, database: &str) -> Result<Vec<Check>, Stop> {
    let rows = session
        .strings(
            &format!(
                "select n.nspname::text, c.relname::text, \
                 has_table_privilege(c.oid, 'select')::text, \
                 has_table_privilege(c.oid, 'insert')::text, \
                 has_table_privilege(c.oid, 'update')::text, \
                 has_table_privilege(c.oid, 'delete')::text from {TABLES}"
            ),
            &[],
        )
        .await?;
    let tables = rows.into_iter().map(words).map(|[schema, name, rights @ ..]: [String; 6]| {
        Table { name: shown(&schema, &name).to_string(), has: rights.map(|has| has == "true") }
    });
    let tables: Vec<Table> = tables.collect();
    Ok(rights::checks(&tables, &format!("these tables of {database}")))
}

/// Tables whose rows a patch could not write, or would write with side effects.
async fn tables(session: &mut Session) -> Result<Vec<Check>, Stop> {
    let rows = session
        .strings(
            &format!(
                "select n.nspname::text, c.relname::text, row_security_active(c.oid)::text, \
                 (select pg_catalog.string_agg(t.tgname, ', ' order by t.tgname) \
                  from pg_catalog.pg_trigger t where t.tgrelid = c.oid \
                  and not t.tgisinternal and t.tgenabled in ('O', 'A')) from {TABLES} order by 1, 2"
            ),
            &[],
        )
        .await?;
    let mut checks = Vec::new();
    for row in rows {
        let [schema, name, secured, triggers] = words(row);
        let table = shown(&schema, &name);
        if secured == "true" {
            let found = format!("row-level security hides rows of {table} from this user");
            let advice = "enter as the table's owner or as a user with BYPASSRLS";
            checks.push(Check::new("security", Outcome::Bad, found).advice(advice));
        }
        if !triggers.is_empty() {
            let found = format!("{table} has triggers that will fire: {triggers}");
            checks.push(Check::new("triggers", Outcome::Warning, found));
        }
    }
    Ok(checks)
}

/// What keeps the whole server from being written to.
async fn writing(session: &mut Session) -> Result<Vec<Check>, Stop> {
    let standing = session.standing().await?;
    let mut checks = Vec::new();
    if standing.replica {
        let found = "the server is a standby: it takes no writes";
        let check = Check::new("replication", Outcome::Bad, found);
        checks.push(check.advice("name the primary server as --live"));
    }
    if standing.read_only {
        let found = "default_transaction_read_only is on for this user or database";
        let check = Check::new("writing", Outcome::Bad, found);
        checks.push(check.advice("whoever turned it on meant it: ask before it is turned off"));
    }
    if standing.unchecked {
        let found = "session_replication_role is replica for this user or database: neither \
                     references nor triggers would hold";
        let check = Check::new("writing", Outcome::Bad, found);
        checks.push(check.advice("alter database .. reset session_replication_role"));
    }
    if checks.is_empty() {
        checks.push(Check::new("writing", Outcome::Good, "a primary server that can be written"));
    }
    Ok(checks)
}
