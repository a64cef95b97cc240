//! What a person who will write to a database should know of it: as whom it was reached,
//! with which rights, and what would stop a patch.
//!
//! Rights are the server's own words: `information_schema.columns.privileges` for reading and
//! writing, with those of roles, and SHOW GRANTS for DELETE, which columns do not have.

use std::collections::BTreeMap;

use crate::engine::mysql::address::Address;
use crate::engine::mysql::failure::number;
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
    let grants = grants(session).await?;
    let tables = tables.into_iter().map(|(name, [select, insert, update])| {
        let delete = grants.iter().any(|grant| deletes(grant, database, &name));
        Table { name, has: [select, insert, update, delete] }
    });
    let tables: Vec<Table> = tables.collect();
    Ok(rights::checks(&tables, &format!("{database}.*")))
}

/// The grants that hold in this session.
async fn grants(session: &mut Session) -> Result<Vec<String>, Stop> {
    let shown = match session.strings("select current_role()", &[]).await {
        Ok(rows) => {
            let roles = rows.into_iter().flatten().flatten().next().unwrap_or_default();
            // MySQL gives a list of quoted names, and leaves their grants out unless asked;
            // MariaDB gives a bare name, and shows them.
            match roles.contains('`') {
                true => format!("show grants for current_user() using {roles}"),
                false => "show grants".to_owned(),
            }
        }
        Err(Stop::Server(e)) if number(&e).is_some() => "show grants".to_owned(),
        Err(e) => return Err(e),
    };
    let rows = session.strings(&shown, &[]).await?;
    Ok(rows.into_iter().filter_map(|row| row.into_iter().next().flatten()).collect())
}

/// True for a grant (`GRANT SELECT, DELETE ON `app`.* TO ..`) that lets rows of this table be
/// deleted.
fn deletes(grant: &str, database: &str, table: &str) -> bool {
    let Some((rights, rest)) = grant.strip_prefix("GRANT ").and_then(|g| g.split_once(" ON "))
    else {
        return false;
    };
    let right = |r: &str| matches!(r.trim(), "DELETE" | "ALL PRIVILEGES" | "ALL");
    let Some((object, _)) = rest.split_once(" TO ") else { return false };
    let plain = |name: &str| name.trim_matches('`').replace("``", "`");
    let Some((schema, name)) = object.rsplit_once('.') else { return false };
    rights.split(',').any(right)
        && (schema == "*" || matches(&plain(schema), database))
        && (name == "*" || plain(name) == table)
}

/// LIKE, as database names in grants are meant: `_` one character, `%` any number, `\` before
/// either takes it as it is.
fn matches(pattern: &str, text: &str) -> bool {
    let mut chars = pattern.chars();
    match chars.next() {
        None => text.is_empty(),
        Some('%') => {
            let rest = chars.as_str();
            text.char_indices().any(|(at, _)| matches(rest, &text[at..])) || matches(rest, "")
        }
        Some(c) => {
            let (any, c) = match c {
                '_' => (true, c),
                '\\' => (false, chars.next().unwrap_or('\\')),
                c => (false, c),
            };
            let mut rest = text.chars();
            rest.next().is_some_and(|t| any || t == c) && matches(chars.as_str(), rest.as_str())
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_is_read_as_the_server_means_it() {
        let cases = [
            ("GRANT ALL PRIVILEGES ON *.* TO `u`@`%`", true),
            ("GRANT SELECT, DELETE ON `app`.* TO `u`@`%`", true),
            ("GRANT DELETE ON `ap_`.* TO `u`@`%`", true),
            (r"GRANT DELETE ON `ap\_`.* TO `u`@`%`", false),
            ("GRANT DELETE ON `%p`.`t` TO `u`@`%`", true),
            ("GRANT DELETE ON `app`.`other` TO `u`@`%`", false),
            ("GRANT SELECT ON `app`.* TO `u`@`%`", false),
            ("GRANT DELETE HISTORY ON `app`.* TO `u`@`%`", false),
            ("GRANT `r1` TO `r2`", false),
            ("SET DEFAULT ROLE `r2` FOR `u`@`%`", false),
        ];
        for (grant, is) in cases {
            assert_eq!(deletes(grant, "app", "t"), is, "{grant}");
        }
    }
}
