//! What a person who will write to a database should know of it: as whom it was reached,
//! with which rights, and what would stop a patch.
//!
//! Rights are the server's own words: `information_schema.columns.privileges` for reading and
//! writing, with those of roles, and SHOW GRANTS for those that columns do not have: DELETE, TRIGGER, PROCESS.

use std::collections::BTreeMap;

use crate::engine::mysql::address::Address;
use crate::engine::mysql::grants::Grants;
use crate::engine::mysql::session::{Server, Session, Stop};
use crate::engine::rights::{self, Table};
use crate::model::check::{Check, Outcome};

/// Looks a database over.
pub(crate) async fn checkup(
    session: &mut Session,
    address: &Address,
    server: &Server,
) -> Result<Vec<Check>, Stop> {
    let mut checks = vec![who(session, server).await?];
    checks.extend(rights(session, address.database()).await?);
    checks.extend(writing(session, server).await?);
    Ok(checks)
}

async fn who(session: &mut Session, server: &Server) -> Result<Check, Stop> {
    let rows = session.strings("select current_user(), @@hostname", &[]).await?;
    let mut cells = rows.into_iter().flatten().flatten();
    let user = cells.next().unwrap_or_default();
    let host = cells.next().unwrap_or_default();
    let cipher = session.strings("show session status like 'Ssl_cipher'", &[]).await?;
    let cipher = cipher.into_iter().flatten().flatten().nth(1).unwrap_or_default();
    let line = match cipher.is_empty() {
        true => "not encrypted".to_owned(),
        false => format!("TLS, {cipher}"),
    };
    let found = format!("{user} on {host}, {}, {line}", server.kind());
    Ok(Check::new("user", Outcome::Good, found))
}

/// The tables on which a right is missing.
async fn rights(session: &mut Session, database: &str) -> Result<Vec<Check>, Stop> {
    let rows = session
        .strings(
            "select c.table_name, c.privileges from information_schema.columns c \
             join information_schema.tables t \
             on t.table_schema = c.table_schema and t.table_name = c.table_name \
             where c.table_schema = database() and t.table_type = 'BASE TABLE'",
            &[],
        )
        .await?;
    let mut tables: BTreeMap<String, [bool; 3]> = BTreeMap::new();
    for row in rows {
        let [Some(table), privileges] = <[_; 2]>::try_from(row).unwrap_or_default() else {
            continue;
        };
        let privileges = privileges.unwrap_or_default().to_ascii_lowercase();
        let has = |right: &str| privileges.split(',').any(|p| p.trim() == right);
        let all = tables.entry(table).or_insert([true; 3]);
        for (known, right) in all.iter_mut().zip(["select", "insert", "update"]) {
            *known &= has(right);
        }
    }
    if tables.is_empty() {
        return Ok(Vec::new());
    }
    let grants = Grants::of(session).await?;
    let tables = tables.into_iter().map(|(name, [select, insert, update])| {
        let delete = grants.give("DELETE", database, &name);
        Table { name, has: [select, insert, update, delete] }
    });
    let tables: Vec<Table> = tables.collect();
    let mut checks = rights::checks(&tables, &format!("{database}.*"));
    let mut blind = tables.iter().filter(|table| !grants.give("TRIGGER", database, &table.name));
    if let Some(first) = blind.next() {
        let others = match blind.count() {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let found = format!(
            "no right to trigger on {}{others}: what fires there can't be seen",
            first.name
        );
        let advice = format!("grant trigger on {database}.* to this user");
        checks.push(Check::new("rights", Outcome::Warning, found).advice(advice));
    }
    if !grants.give_everywhere("PROCESS") && !grants.give_everywhere("SELECT") {
        let found = "who refers to a table can't be asked for: nothing is taken back there, nor a \
                     column with an index patched";
        let advice = "grant process on *.* to this user";
        checks.push(Check::new("rights", Outcome::Warning, found).advice(advice));
    }
    Ok(checks)
}

/// What keeps the whole server from being written to.
async fn writing(session: &mut Session, server: &Server) -> Result<Vec<Check>, Stop> {
    let standing = session.standing(server).await?;
    let mut checks = Vec::new();
    if standing.read_only {
        let check = Check::new("writing", Outcome::Bad, "the server is read-only");
        checks.push(check.advice("name the primary server as --live"));
    }
    if standing.replica {
        let found = "the server is a replica: what is written there diverges from its primary";
        let check = Check::new("replication", Outcome::Bad, found);
        checks.push(check.advice("name the primary server as --live"));
    }
    if checks.is_empty() {
        checks.push(Check::new("writing", Outcome::Good, "a primary server that can be written"));
    }
    Ok(checks)
}
