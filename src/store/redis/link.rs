//! The client library's connection to a server, or to each node of a Cluster.

use super::{
    access::Access,
    format::millis,
    limits::{ANSWER_TIMEOUT, MAX_RETRY_INTERVAL, MIN_RETRY_INTERVAL, tcp},
    url::RedisUrl,
};
use redis::{
    Cmd, Pipeline, RedisError, RedisFuture, Value,
    aio::{ConnectionLike, ConnectionManager, ConnectionManagerConfig},
    cluster::ClusterClientBuilder,
    cluster_async::ClusterConnection,
};
use std::{io, time::Duration};
use tokio::time::timeout;

/// Timeout for the connections to the nodes of a Cluster.
pub(super) const CLUSTER_TIMEOUT: Duration = Duration::from_secs(10);

/// Maximum number of commands that wait to be written.
const MAX_QUEUED_COMMANDS: usize = 1_000;

/// See the module. It is cheap to clone, and all clones share one connection.
#[derive(Clone)]
pub(super) enum Link {
    Server(ConnectionManager),
    Cluster(ClusterConnection),
}

impl Link {
    /// Connects to the nodes of a Cluster. To a server it connects in the background.
    pub(super) async fn open(access: &Access, cluster: bool) -> Result<Self, RedisError> {
        if !cluster {
            return Self::server(access);
        }
        let connected = timeout(CLUSTER_TIMEOUT, connect_cluster(access)).await;
        let connected =
            connected.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into()));
        connected.map(Self::Cluster)
    }

    /// Connects to a server in the background.
    pub(super) fn server(access: &Access) -> Result<Self, RedisError> {
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(ANSWER_TIMEOUT))
            .set_response_timeout(Some(ANSWER_TIMEOUT))
            .set_min_delay(MIN_RETRY_INTERVAL)
            .set_max_delay(MAX_RETRY_INTERVAL)
            .set_pipeline_buffer_size(MAX_QUEUED_COMMANDS);
        let client = access.client(&access.urls[0])?;
        ConnectionManager::new_lazy_with_config(client, config).map(Self::Server)
    }
}

async fn connect_cluster(access: &Access) -> Result<ClusterConnection, RedisError> {
    let mut builder = ClusterClientBuilder::new(access.urls.iter().map(RedisUrl::inner))
        .connection_timeout(ANSWER_TIMEOUT)
        .response_timeout(ANSWER_TIMEOUT)
        .min_retry_wait(millis(MIN_RETRY_INTERVAL))
        .max_retry_wait(millis(MAX_RETRY_INTERVAL))
        .tcp_settings(tcp());
    if let Some(certificates) = access.certificates() {
        builder = builder.certs(certificates);
    }
    builder.build()?.get_async_connection().await
}

impl ConnectionLike for Link {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::Server(connection) => connection.req_packed_command(cmd),
            Self::Cluster(connection) => connection.req_packed_command(cmd),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Self::Server(connection) => connection.req_packed_commands(pipeline, offset, count),
            Self::Cluster(connection) => connection.req_packed_commands(pipeline, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Self::Server(connection) => connection.get_db(),
            Self::Cluster(connection) => connection.get_db(),
        }
    }
}
