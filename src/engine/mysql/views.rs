//! What the snapshots of several connections see, as InnoDB itself tells it, where there is no
//! binary log whose position would.
//!
//! ```text
//! SHOW ENGINE INNODB STATUS, of each transaction (`ReadView::print_limits`):
//!
//! ---TRANSACTION (0x7fb94f7dab80), ACTIVE 0 sec
//! MariaDB thread id 150, OS thread handle 140433824392896, query id 21944 ..
//! Trx read view will not see trx with id >= 101, sees < 101
//! ```
//!
//! Transactions from the first number on are not seen, those below the second are: it is the oldest
//! which still was writing, the first number where there was none. So where both are one number
//! the view is all below it, and views with the same number are the same. Between two numbers some
//! are seen and some are not, and nothing is proven.

use crate::engine::mysql::session::{Session, Stop};

/// Engines whose rows are in InnoDB's views, or in nobody's.
const ENGINES: &str = "'InnoDB', 'MyISAM', 'Aria', 'MEMORY', 'CSV', 'ARCHIVE'";

/// True where no table of the database is of an engine with snapshots of its own.
pub(super) async fn are_all(session: &mut Session) -> Result<bool, Stop> {
    let sql = format!(
        "select table_name from information_schema.tables where table_schema = database() \
         and engine is not null and engine not in ({ENGINES}) limit 1"
    );
    Ok(session.strings(&sql, &[]).await?.is_empty())
}

/// True when the sessions, which have begun, see one state; false where it can't be told.
pub(super) async fn are_one(sessions: &mut [Session]) -> Result<bool, Stop> {
    let mut threads = Vec::with_capacity(sessions.len());
    for session in sessions.iter_mut() {
        let told = session.strings("select cast(connection_id() as char)", &[]).await?;
        threads.extend(told.into_iter().flatten().flatten());
    }
    let Some(status) = sessions[0].innodb_status().await? else { return Ok(false) };
    let seen: Vec<Option<&str>> = threads.iter().map(|thread| bound(&status, thread)).collect();
    let all = seen.len() == sessions.len() && seen[0].is_some();
    Ok(all && seen.windows(2).all(|pair| pair[0] == pair[1]))
}

/// The number below which all is seen, and nothing beyond, by the transaction of a thread.
fn bound<'s>(status: &'s str, thread: &str) -> Option<&'s str> {
    let own = format!("thread id {thread}, ");
    let mut transactions = status.split("---TRANSACTION").skip(1);
    let told = transactions.find(|told| told.contains(&own))?;
    let (_, limits) = told.split_once("Trx read view will not see trx with id >= ")?;
    let (next, oldest) = limits.lines().next()?.split_once(", sees < ")?;
    (next == oldest && !next.is_empty() && next.bytes().all(|b| b.is_ascii_digit())).then_some(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn g1_a_view_is_known_by_its_number_only_while_nobody_writes() {
        let status = "LIST OF TRANSACTIONS FOR EACH SESSION:
---TRANSACTION 118, ACTIVE 2 sec
2 lock struct(s), heap size 1128, 1 row lock(s)
MariaDB thread id 15, OS thread handle 140433824392896, query id 1 localhost app
---TRANSACTION (0x7fb94f7dab80), ACTIVE 0 sec
MySQL thread id 150, OS thread handle 140433824392896, query id 21944 localhost 127.0.0.1 bench
Trx read view will not see trx with id >= 101, sees < 101
---TRANSACTION (0x7fb94f7dab90), ACTIVE 0 sec
MariaDB thread id 151, OS thread handle 140433824392897, query id 21944 localhost bench
select 'thread id 152, '
Trx read view will not see trx with id >= 119, sees < 118
---TRANSACTION (0x7fb94f7dab91), not started
--------
FILE I/O
";
        assert_eq!(bound(status, "150"), Some("101"));
        for unknown in ["15", "151", "1", "0", "153"] {
            assert_eq!(bound(status, unknown), None, "{unknown}");
        }
        assert_eq!(bound("", "150"), None);
        assert_eq!(bound(&status.replace("101", "1x1"), "150"), None);
        assert_eq!(bound(&status[..status.find(", sees").unwrap()], "150"), None);
    }
}
