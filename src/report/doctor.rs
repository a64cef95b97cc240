//! The screen and the JSON of a set-up's checks.

use std::io::Write;

use serde_json::json;

use crate::error::Result;
use crate::model::check::{Check, Outcome};
use crate::report::json;
use crate::report::text::{Style, Tone, escape};

/// Writes the checks, one a line, with advice under those that need it.
pub fn screen(out: &mut dyn Write, style: Style, checks: &[Check]) -> Result<()> {
    let room = checks.iter().map(|c| c.name.chars().count()).max().unwrap_or(0);
    for check in checks {
        let (mark, tone) = match check.outcome {
            Outcome::Good => ("✔", Tone::Extra),
            Outcome::Warning => ("!", Tone::Changed),
            Outcome::Bad => ("✘", Tone::Missing),
        };
        let name = format!("{:<room$}", check.name);
        writeln!(out, "{} {name}  {}", style.paint(tone, mark), escape(&check.found))?;
        if let Some(advice) = &check.advice {
            let line = format!("{:room$}    {}", "", escape(advice));
            writeln!(out, "{}", style.paint(Tone::Dim, line))?;
        }
    }
    Ok(())
}

/// Writes the checks as JSON.
pub fn json(out: &mut dyn Write, checks: &[Check]) -> Result<()> {
    let bad = checks.iter().any(|c| c.outcome == Outcome::Bad);
    json::document(out, json!({ "ok": !bad, "checks": checks }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advice_stands_under_its_check() {
        let check = |name: &str, outcome, advice: Option<&str>| Check {
            name: name.into(),
            outcome,
            found: format!("{name} was looked at"),
            advice: advice.map(Into::into),
        };
        let checks = [
            check("live", Outcome::Good, None),
            check("snapshot age", Outcome::Warning, Some("restorekit snapshot --live prod.db")),
            check("key", Outcome::Bad, None),
        ];
        let mut out = Vec::new();
        screen(&mut out, Style::plain(), &checks).unwrap();
        insta::assert_snapshot!(String::from_utf8(out).unwrap(), @r#"
        ✔ live          live was looked at
        ! snapshot age  snapshot age was looked at
                        restorekit snapshot --live prod.db
        ✘ key           key was looked at
        "#);
    }
}
