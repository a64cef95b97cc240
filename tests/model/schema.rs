//! Random tables: the shape of the key, the columns, and values as SQLite stores them there.

use crate::common::Random;
use crate::model::value::Cell;

/// What a column holds for the most part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Int,
    Real,
    Numeric,
    Text,
    Blob,
    Any,
}

/// How key texts compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Collation {
    Binary,
    NoCase,
    RTrim,
}

/// A column of the table.
#[derive(Clone, Debug)]
pub(super) struct Column {
    pub(super) name: String,
    /// Type and constraints.
    pub(super) declared: String,
    pub(super) kind: Kind,
    pub(super) collation: Collation,
    pub(super) not_null: bool,
}

/// A random table.
#[derive(Clone, Debug)]
pub(super) struct Schema {
    /// The key's columns first, then `w` and `s`, that predicates name, then the others.
    pub(super) columns: Vec<Column>,
    /// How many columns the key has.
    pub(super) key: usize,
    /// What stands behind the columns: constraints and options.
    pub(super) tail: (&'static str, &'static str),
    /// The key is declared nowhere: it has to be named.
    pub(super) named: bool,
    /// The key may be NULL, or a value of another class.
    pub(super) loose_key: bool,
    /// The column that is unique besides the key.
    pub(super) unique: Option<usize>,
    /// The backup's table has no constraints.
    pub(super) loose_backup: bool,
    /// The last column came to live after the backup was taken.
    pub(super) newer_column: bool,
}

/// Declarations of the key's columns, each with its kind and collation; constraint and
/// options of the table; whether odd keys can be stored.
type Shape = (&'static [(&'static str, Kind, Collation)], (&'static str, &'static str), bool);

const SHAPES: &[Shape] = {
    use Collation::{Binary, NoCase, RTrim};
    &[
        (&[("integer primary key", Kind::Int, Binary)], ("", ""), false),
        (&[("integer primary key autoincrement", Kind::Int, Binary)], ("", ""), false),
        (&[("int primary key", Kind::Int, Binary)], ("", ""), true),
        (&[("text primary key", Kind::Text, Binary)], ("", ""), true),
        (&[("text collate nocase primary key", Kind::Text, NoCase)], ("", ""), true),
        (&[("text collate rtrim primary key", Kind::Text, RTrim)], ("", ""), true),
        (&[("text primary key", Kind::Text, Binary)], ("", "without rowid"), false),
        (&[("varchar(9) primary key", Kind::Text, Binary)], ("", "without rowid"), false),
        (&[("blob primary key", Kind::Blob, Binary)], ("", ""), true),
        (&[("blob primary key", Kind::Blob, Binary)], ("", "without rowid"), false),
        (&[("text not null unique", Kind::Text, Binary)], ("", ""), false),
        (
            &[("integer", Kind::Int, Binary), ("text", Kind::Text, Binary)],
            (", primary key (k0, k1)", ""),
            true,
        ),
        (
            &[("text collate nocase", Kind::Text, NoCase), ("blob", Kind::Blob, Binary)],
            (", primary key (k0, k1)", "without rowid"),
            false,
        ),
        (
            &[("blob not null", Kind::Blob, Binary), ("integer not null", Kind::Int, Binary)],
            (", unique (k0, k1)", ""),
            false,
        ),
    ]
};

/// A key that no constraint declares.
const NAMED: Shape = (&[("integer", Kind::Int, Collation::Binary)], ("", ""), false);

const OTHERS: &[(&str, Kind)] = &[
    ("integer", Kind::Int),
    ("bigint", Kind::Int),
    ("real", Kind::Real),
    ("double", Kind::Real),
    ("numeric", Kind::Numeric),
    ("decimal(10,2)", Kind::Numeric),
    ("text", Kind::Text),
    ("varchar(10)", Kind::Text),
    ("blob", Kind::Blob),
    ("", Kind::Any),
];

impl Schema {
    pub(super) fn random(random: &mut Random) -> Self {
        let named = random.below(8) == 0;
        let shape =
            if named { &NAMED } else { &SHAPES[random.below(SHAPES.len() as u64) as usize] };
        let column = |name: String, declared: &str, kind, collation| Column {
            name,
            declared: declared.into(),
            kind,
            collation,
            not_null: declared.contains("not null"),
        };
        let key = shape.0.iter().enumerate();
        let mut columns: Vec<Column> = key
            .map(|(i, (declared, kind, collation))| {
                column(format!("k{i}"), declared, *kind, *collation)
            })
            .collect();
        let key = columns.len();
        columns.push(column("w".into(), "integer not null", Kind::Int, Collation::Binary));
        columns.push(column("s".into(), "text", Kind::Text, Collation::Binary));
        for i in 0..1 + random.below(3) {
            let (declared, kind) = OTHERS[random.below(OTHERS.len() as u64) as usize];
            let (nulls, again) = (random.below(5) == 0, random.below(2) == 0);
            let declared = format!("{declared}{}", if nulls { " not null" } else { "" });
            columns.push(column(format!("c{i}"), &declared, kind, Collation::Binary));
            // Another of the same type, to be set from.
            if again {
                columns.push(column(format!("d{i}"), &declared, kind, Collation::Binary));
            }
        }
        let unique = (random.below(2) == 0).then(|| {
            let (declared, kind, collation) = match random.below(2) {
                0 => ("integer unique", Kind::Int, Collation::Binary),
                _ => ("text collate nocase unique", Kind::Text, Collation::NoCase),
            };
            columns.push(column("u".into(), declared, kind, collation));
            columns.len() - 1
        });
        let newer_column = random.below(4) == 0;
        if newer_column {
            columns.push(column(
                "newer".into(),
                "text default 'new'",
                Kind::Text,
                Collation::Binary,
            ));
        }
        Self {
            columns,
            key,
            tail: shape.1,
            named,
            loose_key: shape.2,
            unique,
            loose_backup: random.below(3) == 0,
            newer_column,
        }
    }

    /// How many columns both sides have: all but the newer one, which is the last.
    pub(super) fn common(&self) -> usize {
        self.columns.len() - usize::from(self.newer_column)
    }

    pub(super) fn position(&self, name: &str) -> usize {
        self.columns.iter().position(|c| c.name == name).unwrap()
    }

    /// The names of the first `n` columns.
    pub(super) fn names(&self, n: usize) -> String {
        self.columns[..n].iter().map(|c| c.name.as_str()).collect::<Vec<_>>().join(", ")
    }

    pub(super) fn live_ddl(&self) -> String {
        let columns = self.columns.iter().map(|c| format!("{} {}", c.name, c.declared));
        let columns = columns.collect::<Vec<_>>().join(", ");
        format!("create table t ({columns}{}) {};", self.tail.0, self.tail.1)
    }

    pub(super) fn backup_ddl(&self) -> String {
        let common = Self { columns: self.columns[..self.common()].to_vec(), ..self.clone() };
        if !self.loose_backup {
            return common.live_ddl();
        }
        let bare = |c: &Column| {
            let type_name = c.declared.split(" not null").next().unwrap();
            let type_name = type_name.split([' ']).next().unwrap();
            format!("{} {type_name}", c.name)
        };
        let columns = common.columns.iter().map(bare).collect::<Vec<_>>().join(", ");
        format!("create table t ({columns});")
    }

    /// A random row; `odd` lets its key be what can't be matched.
    pub(super) fn row(&self, random: &mut Random, odd: bool) -> Vec<Cell> {
        (0..self.columns.len()).map(|i| self.cell(i, random, odd)).collect()
    }

    /// A random value of one column, as SQLite stores it there.
    pub(super) fn cell(&self, index: usize, random: &mut Random, odd: bool) -> Cell {
        let column = &self.columns[index];
        if index < self.key {
            return match random.below(14) {
                0 if odd => Cell::Null,
                1 if odd && column.kind != Kind::Blob => Cell::Blob(b"odd".to_vec()),
                1 if odd => Cell::text("odd"),
                2 if odd && column.kind == Kind::Text => Cell::Text(b"\xff".to_vec()),
                _ => key_cell(column.kind, random),
            };
        }
        match column.name.as_str() {
            "w" => Cell::Int(random.below(10) as i64),
            "s" if random.below(4) == 0 => Cell::Null,
            "s" => Cell::text(random.of(&["", "x", "xy", "X", "y x"])),
            "u" if random.below(5) == 0 => Cell::Null,
            "u" if column.kind == Kind::Int => Cell::Int(random.below(40) as i64),
            "u" => Cell::text(&format!("{}{}", random.of(&["m", "M"]), random.below(30))),
            _ if !column.not_null && random.below(5) == 0 => Cell::Null,
            _ => other_cell(column.kind, random),
        }
    }
}

fn key_cell(kind: Kind, random: &mut Random) -> Cell {
    match kind {
        Kind::Int => match random.below(12) {
            0 => Cell::Int([i64::MIN, i64::MAX, 1 << 53, -1][random.below(4) as usize]),
            _ => Cell::Int(random.below(16) as i64),
        },
        Kind::Text => {
            let word = random.of(&["a", "A", "ab", "aB", "b", "é", "É", "z", "10", "9", ""]);
            let end = random.of(&["", "", "", " ", "  ", "\0", "1", "~"]);
            Cell::text(&format!("{word}{end}"))
        }
        _ => {
            let bytes = [&b""[..], b"\0", b"a", b"a\0", b"A", b"\xff", b"\xff\xff", b"b"];
            let mut key = bytes[random.below(bytes.len() as u64) as usize].to_vec();
            key.extend(vec![b'+'; random.below(3) as usize]);
            Cell::Blob(key)
        }
    }
}

fn other_cell(kind: Kind, random: &mut Random) -> Cell {
    // Now and then what the type does not say.
    if random.below(8) == 0 {
        return match random.below(3) {
            0 => Cell::text("no number"),
            1 => Cell::Blob(b"\0\xff".to_vec()),
            _ => Cell::Text(b"\xfe\0t".to_vec()),
        };
    }
    let int = |random: &mut Random| match random.below(6) {
        0 => Cell::Int([i64::MIN, i64::MAX, (1 << 53) + 1, -7][random.below(4) as usize]),
        _ => Cell::Int(random.below(3) as i64),
    };
    let broken = |random: &mut Random| {
        Cell::real([0.5, -1.25, 1e300, 5e-324, f64::INFINITY, 0.1][random.below(6) as usize])
    };
    let text =
        |random: &mut Random| Cell::text(random.of(&["", "x", "7", "1e3", "x ", "é", "q\0r"]));
    match kind {
        Kind::Int if random.below(9) == 0 => broken(random),
        Kind::Int => int(random),
        Kind::Real if random.below(3) == 0 => Cell::real(random.below(3) as f64),
        Kind::Real => broken(random),
        Kind::Numeric if random.below(2) == 0 => int(random),
        Kind::Numeric => broken(random),
        Kind::Text => text(random),
        Kind::Blob => Cell::Blob(vec![b'x'; random.below(3) as usize]),
        Kind::Any => match random.below(5) {
            0 => int(random),
            1 => Cell::real(random.below(3) as f64),
            2 => broken(random),
            3 => text(random),
            _ => Cell::Blob(vec![b'7'; random.below(2) as usize]),
        },
    }
}
