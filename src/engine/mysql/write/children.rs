//! Who refers to a table: what goes or changes there would take or change with it.

use crate::engine::mysql::catalogue::Table;
use crate::engine::mysql::failure::number;
use crate::engine::mysql::grants::Grants;
use crate::engine::mysql::session::{Session, Stop, quote};
use crate::engine::wire::words;
use crate::error::Error;

/// "You need (at least one of) the .. privilege(s) for this operation."
const LACKS_A_RIGHT: u16 = 1227;

/// A reference of some table to a parent.
#[derive(Clone, Debug)]
pub(crate) struct Child {
    /// The referencing table, quoted with its database.
    pub(crate) table: String,
    /// Its name for messages.
    pub(crate) shown: String,
    /// Its columns.
    pub(crate) columns: Vec<String>,
    /// The referenced columns.
    pub(crate) parent_columns: Vec<String>,
    /// It is the parent itself.
    pub(crate) itself: bool,
}

/// The columns that indexes of a table are over.
pub(super) async fn indexed(session: &mut Session, table: &str) -> Result<Vec<String>, Stop> {
    let sql = "select distinct column_name from information_schema.statistics \
               where table_schema = database() and table_name = ?";
    let rows = session.strings(sql, &[table]).await?;
    Ok(rows.into_iter().flatten().flatten().collect())
}

/// The references to a table, its own too, from any database.
///
/// InnoDB itself tells all of them to who has the right PROCESS. The catalogue leaves out the
/// tables on which the user has no right, while rows go from them all the same: it is believed
/// where the user may read everything.
///
/// # Errors
/// `Refused` for who can't be told.
pub(super) async fn children(session: &mut Session, parent: &Table) -> Result<Vec<Child>, Stop> {
    let rows = match parent.engine.eq_ignore_ascii_case("innodb") {
        true => dictionary(session, &parent.name).await?,
        false => None,
    };
    let rows = match rows {
        Some(rows) => rows,
        None if Grants::of(session).await?.give_everywhere("SELECT") => {
            catalogue(session, &parent.name).await?
        }
        None => {
            return Err(Error::refused(format!(
                "live: this user is not told which tables refer to {}: a write could take rows of them along",
                parent.name
            ))
            .hint("grant process on *.* to this user (or select on *.*)")
            .into());
        }
    };
    let mut found: Vec<Child> = Vec::new();
    let mut last = None;
    for row in rows {
        let [constraint, schema, table, column, parent_column, own] = words(row);
        let this = Some((constraint, schema.clone(), table.clone()));
        if last != this {
            found.push(Child {
                itself: own == "1" && table == parent.name,
                table: format!("{}.{}", quote(&schema), quote(&table)),
                shown: if own == "1" { table } else { format!("{schema}.{table}") },
                columns: Vec::new(),
                parent_columns: Vec::new(),
            });
            last = this;
        }
        if let Some(child) = found.last_mut() {
            child.columns.push(column);
            child.parent_columns.push(parent_column);
        }
    }
    Ok(found)
}

/// What InnoDB's own dictionary says, where names are those of files; `None` for who may not ask.
async fn dictionary(
    session: &mut Session,
    parent: &str,
) -> Result<Option<Vec<Vec<Option<String>>>>, Stop> {
    // There the dictionary has names in lower case, and the catalogue as they were written.
    if session.variable("lower_case_table_names").await?.as_deref() == Some("2") {
        return Ok(None);
    }
    let (keys, columns) = match session.variable("server_uid").await?.is_some() {
        true => ("innodb_sys_foreign", "innodb_sys_foreign_cols"),
        false => ("innodb_foreign", "innodb_foreign_cols"),
    };
    let file = |name: &str| format!("cast(convert({name} using filename) as binary)");
    let part = |at: i8| format!("cast(substring_index(f.for_name, '/', {at}) as binary)");
    let name = |at: i8| format!("convert(convert({} using filename) using utf8mb4)", part(at));
    let sql = format!(
        "select f.id, {}, {}, c.for_col_name, c.ref_col_name, {} = {} \
         from information_schema.{keys} f join information_schema.{columns} c on c.id = f.id \
         where cast(f.ref_name as binary) = concat({}, '/', {}) order by f.id, c.pos",
        name(1),
        name(-1),
        part(1),
        file("database()"),
        file("database()"),
        file("?")
    );
    match session.strings(&sql, &[parent]).await {
        Ok(rows) => Ok(Some(rows)),
        Err(Stop::Server(e)) if number(&e) == Some(LACKS_A_RIGHT) => Ok(None),
        Err(e) => Err(e),
    }
}

/// What the catalogue says, for which the server opens every table that there is.
async fn catalogue(session: &mut Session, parent: &str) -> Result<Vec<Vec<Option<String>>>, Stop> {
    let sql = "select constraint_name, table_schema, table_name, column_name, \
               referenced_column_name, table_schema = database() \
               from information_schema.key_column_usage \
               where referenced_table_schema = database() and referenced_table_name = ? \
               order by table_schema, table_name, constraint_name, ordinal_position";
    session.strings(sql, &[parent]).await
}
