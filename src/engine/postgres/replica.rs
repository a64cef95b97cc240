//! A standby of live, and how far it is behind (PostgreSQL documentation, 9.28.3, "Recovery
//! Information Functions").

use std::time::Duration;

use async_trait::async_trait;

use crate::engine::postgres::address::Address;
use crate::engine::postgres::session::Session;
use crate::error::{Error, Result};
use crate::model::side::Which;
use crate::target::Replica;

/// Seconds behind, 0 where all that came is replayed; `none` while nothing comes; empty for a
/// server that follows none.
const BEHIND: &str = "select case when not pg_catalog.pg_is_in_recovery() then '' \
    when not exists (select from pg_catalog.pg_stat_wal_receiver) then 'none' \
    when pg_catalog.pg_last_wal_receive_lsn() = pg_catalog.pg_last_wal_replay_lsn() then '0' \
    else pg_catalog.ceil(extract(epoch from pg_catalog.clock_timestamp() \
      - pg_catalog.pg_last_xact_replay_timestamp()))::int8::text end";

/// A connection to a standby.
#[derive(Debug)]
pub(crate) struct PostgresReplica {
    session: Session,
    address: Address,
}

impl PostgresReplica {
    /// Connects to a standby.
    pub(crate) async fn open(url: &str) -> Result<Self> {
        let address = Address::parse(url, Which::Live)?;
        let (session, _) = Session::open(&address).await?;
        Ok(Self { session, address })
    }
}

#[async_trait]
impl Replica for PostgresReplica {
    fn shown(&self) -> &str {
        self.address.shown()
    }

    async fn lag(&mut self) -> Result<Option<Duration>> {
        let told = self.session.word(BEHIND).await;
        let told = told.map_err(|stop| stop.explain(&self.address, "tell how far it is behind"))?;
        match told.as_str() {
            "" => Err(Error::usage(format!("{} is no replica", self.address.shown()))
                .hint("name a server that replicates live with --replica")),
            seconds => Ok(seconds.parse().ok().map(Duration::from_secs)),
        }
    }
}
