//! MariaDB's side of the laboratory.

use crate::engine::tests::lab;
pub(super) use crate::engine::tests::lab::{counts, reasons};

pub(super) use super::super::super::source::tests::mariadb::{Database, Server};

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
        format!("(select seq as n from seq_1_to_{last}) as numbers")
    }

    const MUST_BE_THERE: &'static str = "alter table t modify must varchar(9) not null";

    const AUDIT: &'static str =
        "create trigger audit after insert on t for each row insert into log values ('in');";

    // A packet's length and number, then COM_QUERY (MySQL source documentation, "Packets").
    const COMMIT: &'static [u8] = b"\x07\0\0\0\x03commit";
    const COMMITS_BEFORE: usize = 0;

    fn port(&self) -> u16 {
        self.server.port()
    }

    fn url_by(&self, port: u16) -> String {
        format!("mysql://tcp@127.0.0.1:{port}/{}", self.name)
    }

    fn kill_all(&self) {
        let kill = self.sql(
            "select concat('kill ', id, ';') from information_schema.processlist \
             where db = database() and id <> connection_id()",
        );
        self.server.sql(&format!("select 1; {kill}"));
    }
}

/// Both databases on this server after these statements; then the live one after these.
pub(super) fn on(server: &'static Server, both: &str, damage: &str) -> Lab {
    Lab::of(server.database(), server.database(), both, damage)
}
