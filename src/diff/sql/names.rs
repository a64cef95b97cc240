//! Column names as people type them. SQL folds an unquoted name to lower case, which finds
//! no `AlbumId`; so names that are columns of the mounted tables are quoted as they are.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, Ident, ObjectName, ObjectNamePart, Statement, VisitMut, VisitorMut, visit_relations,
};

/// The columns of every table, by the table's name in lower case.
#[derive(Debug, Default)]
pub(crate) struct Names {
    tables: HashMap<String, HashSet<String>>,
}

impl Names {
    /// A table's columns; those of a name on both sides add up.
    pub(crate) fn add<'a>(&mut self, table: &str, columns: impl Iterator<Item = &'a str>) {
        let known = self.tables.entry(table.to_lowercase()).or_default();
        known.extend(columns.map(str::to_owned));
    }

    /// Quotes the unquoted names of columns that are not in lower case, where the tables of
    /// the statement have one such column only.
    pub(crate) fn resolve(&self, statement: &mut Statement) {
        let mut tables = HashSet::new();
        let mut functions = false;
        let _ = visit_relations(statement, |name: &ObjectName| {
            let last = name.0.last().and_then(ObjectNamePart::as_ident);
            if let Some(last) = last {
                let last = last.value.to_lowercase();
                functions |= last == "diff";
                tables.insert(last);
            }
            ControlFlow::<()>::Continue(())
        });
        let mut columns: HashMap<String, Option<&str>> = HashMap::new();
        for (_, known) in self.tables.iter().filter(|(t, _)| functions || tables.contains(*t)) {
            for column in known {
                columns
                    .entry(column.to_lowercase())
                    .and_modify(|one| *one = one.filter(|one| one == column))
                    .or_insert(Some(column));
            }
        }
        let _ = VisitMut::visit(statement, &mut Quoter { columns });
    }
}

struct Quoter<'a> {
    columns: HashMap<String, Option<&'a str>>,
}

impl Quoter<'_> {
    fn quote(&self, name: &mut Ident) {
        if name.quote_style.is_none()
            && let Some(Some(column)) = self.columns.get(&name.value.to_lowercase())
            && *column != name.value.to_lowercase()
        {
            *name = Ident::with_quote('"', *column);
        }
    }
}

impl VisitorMut for Quoter<'_> {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        match expr {
            Expr::Identifier(name) => self.quote(name),
            Expr::CompoundIdentifier(names) => names.iter_mut().skip(1).for_each(|n| self.quote(n)),
            _ => {}
        }
        ControlFlow::Continue(())
    }
}
