//! What a user may do, by the server's own SHOW GRANTS.

use crate::engine::mysql::failure::number;
use crate::engine::mysql::session::{Session, Stop};

/// The grants that hold in a session.
#[derive(Debug)]
pub(crate) struct Grants(Vec<String>);

impl Grants {
    /// Asks for them, with those of roles.
    pub(crate) async fn of(session: &mut Session) -> Result<Self, Stop> {
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
        Ok(Self(rows.into_iter().filter_map(|row| row.into_iter().next().flatten()).collect()))
    }

    /// True where a right (`DELETE`) holds on this table.
    pub(crate) fn give(&self, right: &str, database: &str, table: &str) -> bool {
        let named = |schema: &str, name: &str| {
            (schema == "*" || matches(&plain(schema), database))
                && (name == "*" || plain(name) == table)
        };
        let mut parts = self.0.iter().filter_map(|line| part(line, right));
        parts.clone().any(|(gives, schema, name)| gives && named(schema, name))
            && !parts.any(|(gives, schema, name)| !gives && named(schema, name))
    }

    /// True where a right holds on all that the server has.
    pub(crate) fn give_everywhere(&self, right: &str) -> bool {
        let mut parts = self.0.iter().filter_map(|line| part(line, right));
        parts.clone().any(|(gives, schema, name)| gives && schema == "*" && name == "*")
            && parts.all(|(gives, ..)| gives)
    }
}

/// Of a line about this right (`GRANT SELECT, DELETE ON `app`.* TO ..`): whether it gives it or,
/// REVOKE, takes a part of it away again, and on which database and table.
fn part<'a>(line: &'a str, right: &str) -> Option<(bool, &'a str, &'a str)> {
    let (gives, rest, to) = match line.strip_prefix("GRANT ") {
        Some(rest) => (true, rest, " TO "),
        None => (false, line.strip_prefix("REVOKE ")?, " FROM "),
    };
    let (rights, rest) = rest.split_once(" ON ")?;
    let (schema, name) = rest.split_once(to)?.0.rsplit_once('.')?;
    let named = |r: &str| r == right || matches!(r, "ALL PRIVILEGES" | "ALL");
    rights.split(',').map(str::trim).any(named).then_some((gives, schema, name))
}

fn plain(name: &str) -> String {
    name.trim_matches('`').replace("``", "`")
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
            let grants = Grants(vec![grant.to_owned()]);
            assert_eq!(grants.give("DELETE", "app", "t"), is, "{grant}");
            assert_eq!(grants.give_everywhere("DELETE"), grant.contains("*.*"), "{grant}");
        }
        let parts = ["GRANT SELECT ON *.* TO `u`@`%`", "REVOKE SELECT ON `app`.* FROM `u`@`%`"];
        let grants = Grants(parts.map(str::to_owned).to_vec());
        assert!(!grants.give("SELECT", "app", "t") && grants.give("SELECT", "other", "t"));
        assert!(!grants.give_everywhere("SELECT"));
    }
}
