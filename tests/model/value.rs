//! Cells in the sqlite3 shell's own words: storage class and bytes.

/// A cell of a table. Reals are bits, so that cells have an order and are equal when their
/// bytes are.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Cell {
    Null,
    Int(i64),
    Real(u64),
    Text(Vec<u8>),
    Blob(Vec<u8>),
}

impl Cell {
    pub(super) fn text(text: &str) -> Self {
        Cell::Text(text.as_bytes().to_vec())
    }

    pub(super) fn real(r: f64) -> Self {
        Cell::Real(r.to_bits())
    }

    /// The cell as a literal.
    pub(super) fn sql(&self) -> String {
        match self {
            Cell::Null => "null".into(),
            Cell::Int(i64::MIN) => "(-9223372036854775807 - 1)".into(),
            Cell::Int(i) => i.to_string(),
            Cell::Real(bits) if f64::from_bits(*bits).is_infinite() => "9e999".into(),
            Cell::Real(bits) => format!("{:e}", f64::from_bits(*bits)),
            Cell::Text(bytes) => format!("cast(x'{}' as text)", hex(bytes)),
            Cell::Blob(bytes) => format!("x'{}'", hex(bytes)),
        }
    }

    /// The expression that makes the shell tell a column's cells.
    pub(super) fn told(column: &str) -> String {
        format!(
            "case typeof({column}) when 'null' then 'n' when 'integer' then 'i' || {column} \
             when 'real' then 'r' || printf('%!.17g', {column}) when 'text' then 't' || hex({column}) \
             else 'b' || hex({column}) end"
        )
    }

    /// A cell that the shell told.
    pub(super) fn parse(told: &str) -> Self {
        let (class, rest) = told.split_at(1);
        match class {
            "n" => Cell::Null,
            "i" => Cell::Int(rest.parse().unwrap()),
            "r" => Cell::real(rest.parse().unwrap()),
            "t" => Cell::Text(unhex(rest)),
            _ => Cell::Blob(unhex(rest)),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
}
