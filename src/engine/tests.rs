//! What holds on every server: one laboratory, and one contract that is signed by each.
//!
//! And docs/types.md: its tables are made by the tests that prove them, a section an engine.

pub(super) mod contract;
pub(super) mod lab;
pub(super) mod matrix;
pub(super) mod meddled;
pub(super) mod proxy;
pub(super) mod reading;

use std::path::Path;
use std::sync::Mutex;

use crate::diff::spec::refuse_key;
use crate::model::table::{Carrier, Column, TableName};

/// A type as its engine declares it, and what is to be said of it.
pub(crate) struct Line<'a> {
    /// The column as the engine describes it.
    pub(crate) column: &'a Column,
    /// What its carrier can't say, and how that travels.
    pub(crate) besides: &'a str,
    /// The values that the tests carry, as SQL.
    pub(crate) tried: &'a [&'a str],
}

/// The table of an engine's types.
pub(crate) fn table(lines: &[Line<'_>]) -> String {
    let mut text = "| declared | travels as | as a key | besides | values tried |\n\
                    |---|---|---|---|---|\n"
        .to_owned();
    for Line { column, besides, tried } in lines {
        let key = match refuse_key(&TableName::bare("t"), column) {
            Ok(()) => "yes",
            Err(_) => "refused",
        };
        let tried: Vec<String> = tried.iter().map(|value| code(value)).collect();
        text.push_str(&format!(
            "| {} | {} | {key} | {besides} | {} |\n",
            code(&column.declared),
            words(column.carrier),
            tried.join(", ")
        ));
    }
    text
}

fn words(carrier: Carrier) -> String {
    match carrier {
        Carrier::Int => "integer".into(),
        Carrier::Unsigned => "unsigned integer".into(),
        Carrier::Real => "double".into(),
        Carrier::Number => "number".into(),
        Carrier::Text => "text".into(),
        Carrier::Blob => "bytes".into(),
        Carrier::Bool => "true and false".into(),
        Carrier::Date => "date".into(),
        Carrier::Stamp => "moment without a zone, microseconds".into(),
        Carrier::Instant => "instant in UTC, microseconds".into(),
        Carrier::Decimal { precision, scale } => format!("decimal ({precision},{scale})"),
    }
}

/// A text as it stands, in a cell of a table.
pub(crate) fn code(text: &str) -> String {
    format!(
        "`{}`",
        text.replace('|', "\\|")
            .escape_debug()
            .to_string()
            .replace("\\\\", "\\")
            .replace("\\'", "'")
            .replace("\\\"", "\"")
    )
}

/// Fails when a section of docs/types.md is not this text; `RESTOREKIT_WRITE_DOCS=1` in the
/// environment writes it.
#[track_caller]
pub(crate) fn is_documented(section: &str, text: &str) {
    // Tests of several engines run at once.
    static FILE: Mutex<()> = Mutex::new(());
    let _one = FILE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/types.md");
    let file = std::fs::read_to_string(&path).unwrap();
    let begin = format!("<!-- {section}: made by a test -->\n");
    let (before, rest) = file.split_once(&begin).unwrap_or_else(|| panic!("no {begin}"));
    let (stands, after) = rest.split_once("<!-- end -->").unwrap();
    if stands == text {
        return;
    }
    if std::env::var_os("RESTOREKIT_WRITE_DOCS").is_some() {
        std::fs::write(&path, format!("{before}{begin}{text}<!-- end -->{after}")).unwrap();
        return;
    }
    let line = text.lines().zip(stands.lines()).find(|(a, b)| a != b);
    panic!(
        "docs/types.md is stale in its section {section:?}; run the test again with \
         RESTOREKIT_WRITE_DOCS=1\n{line:#?}"
    );
}
