//! PostgreSQL's side of the laboratory.

use crate::engine::tests::lab;
pub(super) use crate::engine::tests::lab::{counts, reasons};

pub(super) use super::super::super::source::tests::postgres::{Database, Server};

pub(super) type Lab = lab::Lab<Database>;

impl lab::Database for Database {
    fn new() -> Self {
        Server::shared().database()
    }

    fn url(&self) -> String {
        self.url()
    }

    fn sql(&self, sql: &str) -> String {
        self.sql(sql)
    }

    fn dump(&self, table: &str) -> String {
        self.dump(table)
    }

    fn numbers(last: usize) -> String {
        format!("generate_series(1, {last}) as numbers(n)")
    }

    const MUST_BE_THERE: &'static str = "alter table t alter must set not null";

    const AUDIT: &'static str = "create function noted() returns trigger language plpgsql as
        $$begin insert into log values ('in'); return null; end$$;
     create trigger audit after insert on t for each row execute function noted();";

    // The simple query protocol (PostgreSQL documentation, 55.7: Query).
    const COMMIT: &'static [u8] = b"Q\0\0\0\x0bcommit\0";
    // That of the advisory lock.
    const COMMITS_BEFORE: usize = 1;

    fn port(&self) -> u16 {
        self.server.port()
    }

    fn url_by(&self, port: u16) -> String {
        format!("postgres://postgres@127.0.0.1:{port}/{}", self.name)
    }

    /// It waits until they are gone.
    fn kill_all(&self) {
        let others = format!("from pg_stat_activity where datname = '{}'", self.name);
        self.server.sql(&format!("select pg_terminate_backend(pid) {others}"));
        while self.server.sql(&format!("select count(*) {others}")).trim() != "0" {
            std::thread::yield_now();
        }
    }
}

/// Both databases on this server after these statements; then the live one after these.
pub(super) fn on(server: &'static Server, both: &str, damage: &str) -> Lab {
    Lab::of(server.database(), server.database(), both, damage)
}
