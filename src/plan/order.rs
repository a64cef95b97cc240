//! The order of writing: parents before their children, by the foreign keys of live.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::table::{TableName, TableSchema};

/// Sorts tables so that every parent stands before its children. References of a table to
/// itself do not count. Tables on a cycle come in the order of their names, and are
/// returned as the second value, so that a plan can say so.
pub fn parents_first(schemas: &[&TableSchema]) -> (Vec<TableName>, Vec<TableName>) {
    let known: BTreeSet<&TableName> = schemas.iter().map(|s| &s.name).collect();
    let mut waiting: BTreeMap<&TableName, BTreeSet<&TableName>> = schemas
        .iter()
        .map(|s| {
            let parents = s.foreign_keys.iter().filter_map(|f| known.get(&f.parent).copied());
            (&s.name, parents.filter(|p| *p != &s.name).collect())
        })
        .collect();
    let mut order = Vec::with_capacity(schemas.len());
    let mut cyclic = Vec::new();
    while !waiting.is_empty() {
        let free: Vec<&TableName> =
            waiting.iter().filter(|(_, parents)| parents.is_empty()).map(|(t, _)| *t).collect();
        let next = if free.is_empty() {
            // Every waiting table hangs from a cycle: the first that stands on one goes next.
            let on_cycle = waiting.keys().copied().find(|t| reaches_itself(t, &waiting));
            let next = on_cycle.into_iter().collect::<Vec<_>>();
            cyclic.extend(next.iter().map(|t| (*t).clone()));
            next
        } else {
            free
        };
        if next.is_empty() {
            break;
        }
        for table in next {
            waiting.remove(table);
            order.push(table.clone());
            for parents in waiting.values_mut() {
                parents.remove(table);
            }
        }
    }
    (order, cyclic)
}

fn reaches_itself(table: &TableName, waiting: &BTreeMap<&TableName, BTreeSet<&TableName>>) -> bool {
    let mut seen = BTreeSet::new();
    let mut todo: Vec<&TableName> = waiting[table].iter().copied().collect();
    while let Some(next) = todo.pop() {
        if next == table {
            return true;
        }
        if seen.insert(next) {
            todo.extend(waiting.get(next).into_iter().flatten().copied());
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::table::{ForeignAction, ForeignKey, TableKind};

    fn table(name: &str, parents: &[&str]) -> TableSchema {
        TableSchema {
            name: TableName::bare(name),
            kind: TableKind::Base,
            columns: Vec::new(),
            keys: Vec::new(),
            uniques: Vec::new(),
            foreign_keys: parents
                .iter()
                .map(|p| ForeignKey {
                    columns: vec![format!("{p}_id")],
                    parent: TableName::bare(*p),
                    parent_columns: vec!["id".into()],
                    on_delete: ForeignAction::NoAction,
                    on_update: ForeignAction::NoAction,
                })
                .collect(),
            triggers: Vec::new(),
            rowid_alias: None,
            without_rowid: false,
            autoincrement: false,
            unwritable: None,
            left_out: Vec::new(),
            ddl: String::new(),
        }
    }

    fn names(order: &[TableName]) -> Vec<&str> {
        order.iter().map(|t| t.name.as_str()).collect()
    }

    #[test]
    fn c6_parents_come_first() {
        let line = table("line", &["invoice", "track"]);
        let invoice = table("invoice", &["customer"]);
        let customer = table("customer", &["employee"]);
        let employee = table("employee", &["employee"]);
        let track = table("track", &["elsewhere"]);
        let (order, cyclic) = parents_first(&[&line, &invoice, &customer, &employee, &track]);
        assert_eq!(names(&order), ["employee", "track", "customer", "invoice", "line"]);
        assert!(cyclic.is_empty());
    }

    #[test]
    fn c6_a_cycle_is_broken_once_and_said() {
        let a = table("a", &["b"]);
        let b = table("b", &["a"]);
        let c = table("c", &["b"]);
        let (order, cyclic) = parents_first(&[&c, &b, &a]);
        assert_eq!(names(&order), ["a", "b", "c"]);
        assert_eq!(names(&cyclic), ["a"]);
    }
}
