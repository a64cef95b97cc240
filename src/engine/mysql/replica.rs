//! A replica of live, and how far it is behind.
//!
//! `Seconds_Behind_Master` ("SHOW REPLICA STATUS" of the MySQL manual, "SHOW REPLICA STATUS" of
//! MariaDB's): the age of what is being applied, NULL while nothing is.

use std::time::Duration;

use async_trait::async_trait;

use crate::engine::mysql::address::Address;
use crate::engine::mysql::session::{Purpose, Server, Session};
use crate::error::{Error, Result};
use crate::model::side::Which;
use crate::target::Replica;

/// A connection to a replica.
#[derive(Debug)]
pub(crate) struct MysqlReplica {
    session: Session,
    server: Server,
    address: Address,
}

impl MysqlReplica {
    /// Connects to a replica.
    pub(crate) async fn open(url: &str) -> Result<Self> {
        let address = Address::parse(url, Which::Live)?;
        let (session, server) = Session::open(&address, Purpose::Read).await?;
        Ok(Self { session, server, address })
    }
}

#[async_trait]
impl Replica for MysqlReplica {
    fn shown(&self) -> &str {
        self.address.shown()
    }

    async fn lag(&mut self) -> Result<Option<Duration>> {
        let channels = self.session.behind(&self.server).await;
        let channels =
            channels.map_err(|stop| stop.explain(&self.address, "tell how far it is behind"))?;
        let slowest = channels.into_iter().reduce(|a, b| Some(a?.max(b?)));
        match slowest {
            Some(seconds) => Ok(seconds.map(Duration::from_secs)),
            None => Err(Error::usage(format!("{} is no replica", self.address.shown()))
                .hint("name a server that replicates live with --replica")),
        }
    }
}
