//! What is asked for: rows or columns, a predicate, a limit; as a command line, and as what
//! the model makes of it.

use std::fmt;

use crate::common::Random;
use crate::model::schema::{Kind, Schema};
use crate::model::table::{Key, Row, Table, Write};
use crate::model::value::Cell;

/// Which columns a patch sets, and from where.
#[derive(Clone, Debug)]
struct Patch {
    /// Columns of live, each set from a column of the backup.
    set: Vec<(usize, usize)>,
    include_null: bool,
    allow_null: bool,
    include_untouched: bool,
}

/// A condition: its SQL, and what it says of a row by its columns `w` and `s`. A bare name
/// means live's row where there is one.
type Condition = (&'static str, Of, fn(&Cell, &Cell) -> bool);

/// The side that a condition names.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Of {
    Bare,
    Live,
    Backup,
}

fn w(cell: &Cell) -> i64 {
    let Cell::Int(i) = cell else { panic!("{cell:?}") };
    *i
}

fn s(cell: &Cell) -> Option<&[u8]> {
    match cell {
        Cell::Text(text) => Some(text),
        _ => None,
    }
}

const CONDITIONS: &[Condition] = &[
    ("w < 5", Of::Bare, |a, _| w(a) < 5),
    ("w in (1, 3, 7) or w = 9", Of::Bare, |a, _| [1, 3, 7, 9].contains(&w(a))),
    ("w % 2 = 0", Of::Bare, |a, _| w(a) % 2 == 0),
    ("backup.w between 2 and 6", Of::Backup, |a, _| (2..=6).contains(&w(a))),
    ("live.w >= 4", Of::Live, |a, _| w(a) >= 4),
    ("not live.w = 4", Of::Live, |a, _| w(a) != 4),
    ("s is null", Of::Bare, |_, b| s(b).is_none()),
    ("s = 'x'", Of::Bare, |_, b| s(b) == Some(b"x")),
    ("s like 'x%' and w <> 3", Of::Bare, |a, b| {
        s(b).is_some_and(|s| s.starts_with(b"x")) && w(a) != 3
    }),
    ("backup.s <> ''", Of::Backup, |_, b| s(b).is_some_and(|s| !s.is_empty())),
];

/// A random request.
#[derive(Clone, Debug)]
pub(super) struct Selection {
    schema: Schema,
    patch: Option<Patch>,
    condition: Option<Condition>,
    limit: Option<usize>,
    batch_size: u64,
    pub(super) atomic: bool,
}

impl fmt::Display for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.command("..").join(" "))
    }
}

impl Selection {
    pub(super) fn random(schema: &Schema, random: &mut Random) -> Self {
        let settable: Vec<usize> =
            (schema.key + 2..schema.common()).filter(|i| schema.unique != Some(*i)).collect();
        let any = |random: &mut Random| settable[random.below(settable.len() as u64) as usize];
        let patch = (random.below(2) == 0).then(|| {
            let first = any(random);
            // Columns whose type says what they hold: others travel as their values suggest, and
            // two that travel otherwise are refused.
            let column = &schema.columns[first];
            let typed = !matches!(column.kind, Kind::Any | Kind::Numeric);
            let twin = format!("d{}", &column.name[1..]);
            let twin = schema
                .columns
                .iter()
                .position(|c| typed && c.name == twin && c.name != column.name);
            let set = match (twin, random.below(3)) {
                (Some(from), 0 | 1) => vec![(first, from)],
                _ => {
                    let second = any(random);
                    let mut set = vec![(first, first)];
                    if second != first {
                        set.push((second, second));
                    }
                    set
                }
            };
            Patch {
                set,
                include_null: random.below(2) == 0,
                allow_null: random.below(2) == 0,
                include_untouched: random.below(3) == 0,
            }
        });
        let condition = (random.below(2) == 0).then(|| {
            loop {
                let condition = CONDITIONS[random.below(CONDITIONS.len() as u64) as usize];
                // Missing rows have no live side.
                if patch.is_some() || condition.1 != Of::Live {
                    break condition;
                }
            }
        });
        Self {
            schema: schema.clone(),
            patch,
            condition,
            limit: (random.below(4) == 0).then(|| 1 + random.below(4) as usize),
            batch_size: 1 + random.below(6),
            atomic: random.below(5) == 0,
        }
    }

    /// The command line that plans it.
    pub(super) fn command(&self, backup: &str) -> Vec<String> {
        let mut words: Vec<String> = Vec::new();
        let mut add = |text: &str| words.extend(text.split(' ').map(str::to_owned));
        let name = |i: usize| &self.schema.columns[i].name;
        match &self.patch {
            None => add("restore"),
            Some(patch) => {
                add("patch");
                for (column, _) in &patch.set {
                    add(&format!("--column {}", name(*column)));
                }
                if patch.allow_null {
                    add("--allow-null");
                }
                if let [(column, from)] = patch.set[..]
                    && column != from
                {
                    add(&format!("--from {}", name(from)));
                    for (flag, word) in [
                        (patch.include_null, "--include-null"),
                        (patch.include_untouched, "--include-untouched"),
                    ] {
                        if flag {
                            add(word);
                        }
                    }
                }
            }
        }
        add(&format!(
            "--live live.db --backup {backup} --table t --batch-size {}",
            self.batch_size
        ));
        add("--dry-run --format json");
        if self.atomic {
            add("--atomic");
        }
        if let Some(limit) = self.limit {
            add(&format!("--limit {limit}"));
        }
        if self.schema.named {
            add("--key k0");
        }
        if let Some((sql, ..)) = self.condition {
            words.extend(["--where".to_owned(), sql.to_owned()]);
        }
        words
    }

    /// A key that a person named must be proved over all rows.
    pub(super) fn is_refused(&self, backup: &Table, live: &Table) -> bool {
        self.schema.named && (backup.by_key(&self.schema).1 || live.by_key(&self.schema).1)
    }

    /// The writes of the plan, in its order, and how many rows the application made anew
    /// under another key.
    pub(super) fn writes(&self, backup: &Table, live: &Table) -> (Vec<Write>, usize) {
        let (theirs, ours) = (backup.by_key(&self.schema).0, live.by_key(&self.schema).0);
        let most = self.limit.unwrap_or(usize::MAX);
        let one = |key: &Key, rows: &[usize], table: &Table| match rows {
            [row] => Some((key.clone(), table.0[*row].clone())),
            _ => None,
        };
        match &self.patch {
            None => {
                let rows = theirs
                    .iter()
                    .filter(|(key, _)| !ours.contains_key(*key))
                    .filter_map(|(key, rows)| one(key, rows, backup))
                    .filter(|(_, row)| self.selects(Some(row), None))
                    .take(most);
                let (again, fresh): (Vec<_>, Vec<_>) =
                    rows.partition(|(_, row)| live.has_unique(&self.schema, row));
                (fresh.into_iter().map(|(_, row)| self.restore(row)).collect(), again.len())
            }
            Some(patch) => {
                let rows = ours
                    .iter()
                    .filter_map(|(key, rows)| one(key, rows, live))
                    .filter_map(|(key, row)| {
                        let (_, old) = one(&key, theirs.get(&key)?, backup)?;
                        self.selects(Some(&old), Some(&row)).then_some((old, row))
                    })
                    .filter_map(|(old, row)| self.update(patch, &old, &row))
                    .take(most)
                    .collect();
                (rows, 0)
            }
        }
    }

    fn selects(&self, backup: Option<&Row>, live: Option<&Row>) -> bool {
        let Some((_, of, holds)) = self.condition else { return true };
        let row = match of {
            Of::Backup => backup,
            Of::Live => live,
            Of::Bare => live.or(backup),
        };
        let (w, s) = (self.schema.position("w"), self.schema.position("s"));
        row.is_some_and(|row| holds(&row[w], &row[s]))
    }

    fn restore(&self, row: Row) -> Write {
        let after = (0..self.schema.common()).map(|i| (i, row[i].clone())).collect();
        Write { key: row, before: None, after: Some(after) }
    }

    fn update(&self, patch: &Patch, old: &Row, row: &Row) -> Option<Write> {
        let mut after: Vec<(usize, Cell)> =
            (0..self.schema.key).map(|i| (i, row[i].clone())).collect();
        let mut any = false;
        for (column, from) in &patch.set {
            let (new, now, two) = (&old[*from], &row[*column], column != from);
            let left = new == now
                || (two && row[*from] == *new && !patch.include_untouched)
                || (*new == Cell::Null && !patch.allow_null)
                || (two && *now == Cell::Null && !patch.include_null);
            any |= !left;
            after.push((*column, if left { now.clone() } else { new.clone() }));
        }
        // The guard sees the key, what is set, what it is set from, and what the predicate names.
        let mut seen: Vec<usize> = (0..self.schema.key).collect();
        seen.extend(patch.set.iter().flat_map(|(column, from)| [*column, *from]));
        if let Some((sql, of, _)) = self.condition
            && of != Of::Backup
        {
            let named = ["w", "s"]
                .into_iter()
                .filter(|name| sql.split(|c: char| !c.is_alphanumeric()).any(|word| word == *name));
            seen.extend(named.map(|name| self.schema.position(name)));
        }
        let before = seen.into_iter().map(|i| (i, row[i].clone())).collect();
        any.then(|| Write { key: row.clone(), before: Some(before), after: Some(after) })
    }
}
