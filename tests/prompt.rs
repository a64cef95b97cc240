//! The prompt of `sql`, typed at on a terminal.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::common::{Run, Sandbox};

const UP: &str = "\x1b[A";
const CTRL_C: &str = "\x03";
const CTRL_D: &str = "\x04";
const ASKS: &str = "sql> ";

/// Types at the prompt over the numbered rows, of which live has lost some.
fn typed(sandbox: &Sandbox, flags: &str, answers: &[(&str, &str)]) -> Run {
    let program = Path::new(env!("CARGO_BIN_EXE_restorekit")).parent().unwrap();
    let path = format!("{}:/usr/bin:/bin", program.display());
    let line = format!("restorekit sql --live live.db --backup old.db {flags}");
    sandbox.typed(&path, &line, answers)
}

fn lost(rows: u64) -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.numbered(rows);
    sandbox.sqlite("live.db", "delete from t where id % 100 = 7");
    sandbox
}

#[test]
fn w12_a_prompt_takes_statements_over_lines_tells_what_is_wrong_and_keeps_its_history_private() {
    let sandbox = lost(300);
    let run = typed(
        &sandbox,
        "",
        &[
            // Over two lines, the semicolon in the string being no end.
            (ASKS, "select ';' || change, 100 + count(*)\r"),
            ("count(*)", "from diff('t') group by 1;\r"),
            (";missing", ""),
            ("103", ""),
            // An error is told, and the next statement asked for.
            (ASKS, "select * from live.nowhere;\r"),
            ("nowhere", ""),
            ("error", ""),
            // Ctrl-C drops the line.
            (ASKS, "select 'never run'"),
            ("never run", CTRL_C),
            (ASKS, "select 40 + 2 as answer;\r"),
            ("42", ""),
            (ASKS, "\\dt\r"),
            ("backup", ""),
            (ASKS, "\\d t\r"),
            ("live.t", ""),
            ("primary key (id)", ""),
            ("backup.t", ""),
            (ASKS, "\\?\r"),
            ("Ctrl-C drops", ""),
            (ASKS, "\\copy\r"),
            ("there is no command \\copy", ""),
            (ASKS, CTRL_D),
        ],
    );
    let run = run.exits(0);
    assert!(!run.stdout.contains("never run\r\n"), "{}", run.stdout);

    let history = sandbox.path("state/restorekit/sql_history");
    let kept = std::fs::read_to_string(&history).unwrap();
    assert!(kept.contains("select 40 + 2 as answer;") && !kept.contains("never run"), "{kept}");
    assert_eq!(std::fs::metadata(&history).unwrap().permissions().mode() & 0o777, 0o600);

    // The last statement of the other day is an arrow away, or two.
    let run = typed(
        &sandbox,
        "",
        &[
            (ASKS, &format!("{UP}{UP}{UP}{UP}{UP}\r")),
            ("select 40 + 2 as answer;", ""),
            ("42", ""),
            (ASKS, "exit\r"),
        ],
    );
    run.exits(0);
}

#[test]
fn x5_ctrl_c_at_the_prompt_ends_the_query_and_asks_for_the_next() {
    let sandbox = lost(20_000);
    let long = "select count(*) from live.t a, live.t b, live.t c where a.id + b.id + c.id = 1;";
    let run = typed(
        &sandbox,
        "--verbose",
        &[
            (ASKS, &format!("{long}\r")),
            // Told once the terminal hears Ctrl-C as a signal again.
            ("a query begins", CTRL_C),
            ("the query was ended", ""),
            (ASKS, "select 40 + 2;\r"),
            ("42", ""),
            (ASKS, "\\q\r"),
        ],
    );
    run.exits(0);
}
