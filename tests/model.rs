//! Random tables of every shape of key on both sides, random selections, the application
//! writing in between: plans built, applied and taken back by the program, against a model
//! in memory. What stands in the files is told by the sqlite3 shell.
//!
//! `RESTOREKIT_CASES` asks for more cases, `RESTOREKIT_SEED` repeats one.

mod schema;
mod selection;
mod table;
mod value;

use crate::common::{Random, Run, Sandbox, number, seed};
use crate::model::schema::Schema;
use crate::model::selection::Selection;
use crate::model::table::{Counts, Row, Table, apply, key_of};
use crate::model::value::Cell;

#[test]
fn plans_applies_and_undoes_do_just_what_the_model_does() {
    let (first, cases) = (seed(), number("RESTOREKIT_CASES").unwrap_or(40));
    let mut seen = Seen::default();
    for case in 0.. {
        // The cases are about something: more are thrown until rows and conflicts were met.
        if case >= cases && seen.enough() {
            return;
        }
        assert!(case < 10 * cases, "{seen:?}");
        Case::new(first + case).run(&mut seen);
    }
}

/// What the cases met.
#[derive(Debug, Default)]
struct Seen {
    written: u64,
    conflicts: u64,
    refused: u64,
}

impl Seen {
    fn enough(&self) -> bool {
        self.written > 20 && self.conflicts > 0
    }
}

/// A case: both sides, and the dice.
struct Case {
    sandbox: Sandbox,
    random: Random,
    schema: Schema,
    about: String,
}

impl Case {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let schema = Schema::random(&mut random);
        Self {
            sandbox: Sandbox::in_memory(),
            random,
            schema,
            about: format!("RESTOREKIT_SEED={seed}"),
        }
    }

    /// Both sides: rows that both have, some of them changed, and rows of one side.
    fn fill(&mut self) {
        let (schema, random) = (self.schema.clone(), &mut self.random);
        let (mut live, mut backup) = (Table::default(), Table::default());
        for i in 0..30 {
            let odd = schema.loose_key && i > 1;
            let old = schema.row(random, odd);
            let mut new = old.clone();
            // A newer column is not copied from the backup.
            for (index, cell) in new.iter_mut().enumerate().skip(schema.key) {
                if random.below(4) == 0 || index >= schema.common() {
                    *cell = schema.cell(index, random, false);
                }
            }
            // The first two rows are whole on both sides, so that a sample of either tells
            // what its columns hold.
            let where_to = if i < 2 { 0 } else { random.below(4) };
            let backups =
                where_to != 1 && (schema.loose_backup || self::free(&schema, &backup, &old));
            if backups {
                backup.0.push(old);
            }
            if where_to != 2 && self::free(&schema, &live, &new) {
                live.0.push(new);
            }
        }
        if schema.loose_backup && random.below(2) == 0 {
            // A key that stands twice, or not at all.
            let mut twin = schema.row(random, true);
            let other = backup.0[random.below(backup.0.len() as u64) as usize].clone();
            if random.below(2) == 0 {
                twin[..schema.key].clone_from_slice(&other[..schema.key]);
            } else {
                twin[0] = Cell::Null;
            }
            backup.0.push(twin);
        }
        let common = schema.common();
        self.insert("backup.db", &schema.backup_ddl(), &backup, common);
        self.insert("live.db", &schema.live_ddl(), &live, schema.columns.len());
    }

    fn insert(&self, database: &str, ddl: &str, table: &Table, columns: usize) {
        let mut script = format!("{ddl}\nbegin;\n");
        for row in &table.0 {
            script += &insert(&self.schema, row, columns);
        }
        self.sandbox.sqlite_script(database, &format!("{script}commit;\n"));
    }

    /// The table of a side. The backup's rows have a NULL where it lacks a column.
    fn read(&self, database: &str, columns: usize) -> Table {
        let cells = self.schema.columns[..columns].iter().map(|c| Cell::told(&c.name));
        let cells = cells.collect::<Vec<_>>().join(" || '|' || ");
        let text = self.sandbox.sqlite(database, &format!("select {cells} from t"));
        let rows = text.lines().map(|line| {
            let mut row: Row = line.split('|').map(Cell::parse).collect();
            row.resize(self.schema.columns.len(), Cell::Null);
            row
        });
        Table(rows.collect())
    }

    fn live(&self) -> Table {
        self.read("live.db", self.schema.columns.len())
    }

    /// The application inserts, updates and deletes some rows; now and then just what is
    /// planned.
    fn meddle(&mut self, planned: &[Row]) {
        let schema = self.schema.clone();
        for _ in 0..self.random.below(6) {
            let table = self.live();
            let random = &mut self.random;
            let sql = match random.below(4) {
                0 if !planned.is_empty() => {
                    let row = &planned[random.below(planned.len() as u64) as usize];
                    if free(&schema, &table, row) {
                        insert(&schema, row, row.len())
                    } else {
                        continue;
                    }
                }
                1 if !table.0.is_empty() => {
                    let row = &table.0[random.below(table.0.len() as u64) as usize];
                    format!("delete from t where {};", is(&schema, row))
                }
                2 if !table.0.is_empty() => {
                    let row = &table.0[random.below(table.0.len() as u64) as usize];
                    let index = schema.key
                        + random.below((schema.columns.len() - schema.key) as u64) as usize;
                    if schema.unique == Some(index) {
                        continue;
                    }
                    let cell = schema.cell(index, random, false).sql();
                    format!(
                        "update t set {} = {cell} where {};",
                        schema.columns[index].name,
                        is(&schema, row)
                    )
                }
                _ => {
                    let row = schema.row(random, schema.loose_key);
                    if free(&schema, &table, &row) {
                        insert(&schema, &row, row.len())
                    } else {
                        continue;
                    }
                }
            };
            self.sandbox.sqlite_script("live.db", &sql);
        }
    }

    /// What `--backup` names: the file, or a snapshot of it in one of the formats.
    fn backup(&mut self) -> String {
        let format = match self.random.below(4) {
            0 => "parquet",
            1 => "jsonl",
            _ => return "backup.db".into(),
        };
        let taken =
            self.sandbox.run(&format!("snapshot --live backup.db --out snaps --format {format}"));
        taken.exits(0);
        let folder = self.sandbox.path("snaps");
        let mut folders = std::fs::read_dir(folder).unwrap();
        folders.next().unwrap().unwrap().path().display().to_string()
    }

    fn run(mut self, seen: &mut Seen) {
        self.fill();
        let (backup, live) = (self.read("backup.db", self.schema.common()), self.live());
        let selection = Selection::random(&self.schema, &mut self.random);
        let place = self.backup();
        let about = format!(
            "{} {selection}\n{} {}",
            self.about,
            self.schema.live_ddl(),
            self.schema.backup_ddl()
        );
        self.about = about.clone();
        let before = self.bytes();
        let planned = self.sandbox.run_all(selection.command(&place));
        assert!(self.bytes() == before, "planning wrote, {about}");
        if selection.is_refused(&backup, &live) {
            planned.exits(5).complains("not proved");
            seen.refused += 1;
            return;
        }
        let (wanted, again) = selection.writes(&backup, &live);
        let code = if wanted.is_empty() && again > 0 { 3 } else { 0 };
        assert_eq!(planned.code, code, "{planned:?} {about}");
        let plan = planned.json();
        let rows = ["insert", "update"].map(|op| plan["tables"][0][op].as_u64().unwrap());
        assert_eq!(rows[0] + rows[1], wanted.len() as u64, "{plan} {wanted:?} {about}");
        if wanted.is_empty() {
            return;
        }
        let images: Vec<Row> = wanted.iter().map(|w| self.whole(w)).collect();
        self.meddle(&images);

        let mut table = self.live();
        let start = table.clone();
        let (counts, done) = apply(&self.schema, &mut table, &wanted);
        let command = format!("apply {} --yes --format json", plan["plan"].as_str().unwrap());
        let applied = self.sandbox.run(&command);
        if selection.atomic && counts.conflicts > 0 {
            assert_eq!(applied.code, 5, "{applied:?} {about}");
            assert_eq!(self.live().sorted(), start.sorted(), "{about}");
            seen.conflicts += counts.conflicts;
            return;
        }
        assert_eq!(self.live().sorted(), table.clone().sorted(), "{applied:?} {about}");
        assert_eq!(told(&applied), counts, "{applied:?} {about}");
        let whole = counts.conflicts == 0 && again == 0;
        assert_eq!(applied.code, if whole { 0 } else { 3 }, "{applied:?} {about}");
        seen.written += counts.written;
        seen.conflicts += counts.conflicts;

        let before = self.bytes();
        let again = self.sandbox.run(&command);
        assert_eq!(told(&again).written, 0, "{again:?} {about}");
        assert!(self.bytes() == before, "the second run wrote, {about}");
        if done.is_empty() {
            return;
        }

        // Taken back, after the application wrote again, or not.
        let undisturbed = self.random.below(2) == 0;
        if !undisturbed {
            let images: Vec<Row> = done.iter().map(|w| self.whole(w)).collect();
            self.meddle(&images);
        }
        let mut table = self.live();
        let inverse: Vec<_> = done.iter().rev().map(|w| w.inverse()).collect();
        let (counts, _) = apply(&self.schema, &mut table, &inverse);
        let operation = applied.json()["operation"].as_str().unwrap().to_owned();
        let undone = self.sandbox.run(&format!("undo {operation} --yes --format json"));
        if selection.atomic && counts.conflicts > 0 {
            assert_eq!(undone.code, 5, "{undone:?} {about}");
            return;
        }
        assert_eq!(self.live().sorted(), table.sorted(), "{undone:?} {about}");
        assert_eq!(told(&undone), counts, "{undone:?} {about}");
        if undisturbed {
            assert_eq!(self.live().sorted(), start.sorted(), "undo is exact, {about}");
        }
    }

    /// A planned row as it would be whole, for the application to write.
    fn whole(&self, write: &table::Write) -> Row {
        let mut row = write.key.clone();
        for (column, cell) in write.after.iter().flatten() {
            row[*column] = cell.clone();
        }
        row
    }

    fn bytes(&self) -> [Vec<u8>; 2] {
        ["live.db", "backup.db"].map(|name| std::fs::read(self.sandbox.path(name)).unwrap())
    }
}

fn told(run: &Run) -> Counts {
    assert!([0, 3].contains(&run.code), "{run:?}");
    let receipt = run.json();
    let of = |name: &str| receipt["tables"][0][name].as_u64().unwrap();
    Counts { written: of("written"), already: of("already"), conflicts: of("conflicts") }
}

/// True when the table has room for a row: its key and its unique value are not taken.
fn free(schema: &Schema, table: &Table, row: &Row) -> bool {
    let same = |other: &Row| match (key_of(schema, row), key_of(schema, other)) {
        (Some(a), Some(b)) => a == b,
        _ => row[..schema.key] == other[..schema.key],
    };
    !table.0.iter().any(same) && table.takes(schema, row)
}

fn insert(schema: &Schema, row: &Row, columns: usize) -> String {
    let cells: Vec<String> = row[..columns].iter().map(Cell::sql).collect();
    format!("insert into t ({}) values ({});\n", schema.names(columns), cells.join(", "))
}

/// The predicate that names just one row.
fn is(schema: &Schema, row: &Row) -> String {
    let cells =
        schema.columns.iter().zip(row).map(|(c, cell)| {
            format!("({0} is {1} and typeof({0}) = typeof({1}))", c.name, cell.sql())
        });
    cells.collect::<Vec<_>>().join(" and ")
}
