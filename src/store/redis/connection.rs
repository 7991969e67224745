//! One connection to a Redis, or one to each node of a Cluster, shared by everything and mended by the client.

use super::RedisUrl;
use crate::{backoff::Backoff, config::RedisConfig, store::StoreError};
use anyhow::bail;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ErrorKind, FromRedisValue, Pipeline, RedisError,
    RedisFuture, ScriptInvocation, ServerErrorKind, Value,
    aio::{ConnectionLike, ConnectionManager, ConnectionManagerConfig},
    cluster::ClusterClientBuilder,
    cluster_async::ClusterConnection,
    io::tcp::TcpSettings,
};
use std::{error::Error, io, sync::Arc, time::Duration};
use tokio::time::{Instant, sleep, timeout};
use tracing::warn;

/// How long an answer may take.
pub(super) const ANSWER: Duration = Duration::from_secs(2);
/// How long a start waits for a Redis that can't be reached.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between attempts to connect. Short, so that all owners are back before one may take another's tasks.
const FIRST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_millis(500);
/// A connection whose other end is gone without a word is given up after this time.
const UNACKNOWLEDGED: Duration = Duration::from_secs(5);
/// So many commands may wait to be written.
const QUEUED: usize = 1_000;
/// Streams are trimmed by id since then.
const OLDEST: (u32, u32) = (6, 2);

/// Cheap to clone; all clones are one connection.
#[derive(Clone)]
pub(super) enum Connection {
    Server(ConnectionManager),
    Cluster(ClusterConnection),
}

impl Connection {
    /// Connects, and looks whether the server is one that can be used.
    ///
    /// # Errors
    ///
    /// At once, where waiting would not help; otherwise after 30 s.
    pub(super) async fn open(config: &RedisConfig) -> anyhow::Result<Self> {
        let end = Instant::now() + PATIENCE;
        let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
        loop {
            let Err((url, error)) = probe_any(config).await else {
                break;
            };
            if is_final(&error) {
                bail!("the token store {url} can't be used: {}", describe(&error));
            }
            if Instant::now() >= end {
                let secs = PATIENCE.as_secs();
                bail!(
                    "the token store {url} was not to be reached for {secs} s: {}",
                    describe(&error)
                );
            }
            sleep(backoff.next_wait()).await;
        }
        let connected = match config.cluster {
            true => cluster(config).await.map(Self::Cluster),
            false => server(&config.urls[0]).map(Self::Server),
        };
        connected.map_err(|error| {
            anyhow::anyhow!(
                "the token store {} can't be used: {}",
                config.urls[0],
                describe(&error)
            )
        })
    }

    /// Runs a script.
    pub(super) async fn run<T: FromRedisValue>(
        &self,
        script: &ScriptInvocation<'_>,
    ) -> Result<T, StoreError> {
        let mut connection = self.clone();
        answer(script.invoke_async(&mut connection)).await
    }

    /// Sends a command.
    pub(super) async fn send<T: FromRedisValue>(&self, cmd: &Cmd) -> Result<T, StoreError> {
        let mut connection = self.clone();
        answer(cmd.query_async(&mut connection)).await
    }

    /// Sends commands for keys of one slot.
    pub(super) async fn send_all(&self, pipeline: &Pipeline) -> Result<(), StoreError> {
        let mut connection = self.clone();
        answer(pipeline.query_async(&mut connection)).await
    }
}

async fn answer<T>(asked: impl Future<Output = Result<T, RedisError>>) -> Result<T, StoreError> {
    match timeout(ANSWER, asked).await {
        Ok(answer) => answer.map_err(|error| StoreError::Unavailable(describe(&error))),
        Err(_) => Err(silent(ANSWER)),
    }
}

/// What is said of a Redis without an answer.
pub(super) fn silent(waited: Duration) -> StoreError {
    StoreError::Unavailable(no_answer(waited))
}

fn no_answer(waited: Duration) -> String {
    format!("Redis does not answer within {waited:?}")
}

impl ConnectionLike for Connection {
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

fn tcp() -> TcpSettings {
    let settings = TcpSettings::default().set_nodelay(true);
    #[cfg(target_os = "linux")]
    let settings = settings.set_user_timeout(UNACKNOWLEDGED);
    settings
}

fn server(url: &RedisUrl) -> Result<ConnectionManager, RedisError> {
    let config = ConnectionManagerConfig::new()
        .set_connection_timeout(Some(ANSWER))
        .set_response_timeout(Some(ANSWER))
        .set_min_delay(FIRST_WAIT)
        .set_max_delay(LONGEST_WAIT)
        .set_pipeline_buffer_size(QUEUED);
    let client = Client::open(url.inner().set_tcp_settings(tcp()))?;
    ConnectionManager::new_lazy_with_config(client, config)
}

async fn cluster(config: &RedisConfig) -> Result<ClusterConnection, RedisError> {
    let millis = |wait: Duration| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
    let client = ClusterClientBuilder::new(config.urls.iter().map(RedisUrl::inner))
        .connection_timeout(ANSWER)
        .response_timeout(ANSWER)
        .min_retry_wait(millis(FIRST_WAIT))
        .max_retry_wait(millis(LONGEST_WAIT))
        .tcp_settings(tcp())
        .build()?;
    client.get_async_connection().await
}

/// Nothing if one of them answers and can be used, otherwise what the last one said.
async fn probe_any(config: &RedisConfig) -> Result<(), (&RedisUrl, RedisError)> {
    let mut found = Ok(());
    for url in &config.urls {
        found = probe(url, config.cluster)
            .await
            .map_err(|error| (url, error));
        if found
            .as_ref()
            .err()
            .is_none_or(|(_, error)| is_final(error))
        {
            break;
        }
    }
    found
}

async fn probe(url: &RedisUrl, cluster: bool) -> Result<(), RedisError> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(ANSWER))
        .set_response_timeout(Some(ANSWER));
    let client = Client::open(url.inner().set_tcp_settings(tcp()))?;
    let mut connection = client
        .get_multiplexed_async_connection_with_config(&config)
        .await?;
    let () = redis::cmd("PING").query_async(&mut connection).await?;
    // Not everybody may ask; then what does not fit shows when it is used.
    let info: Result<String, _> = redis::cmd("INFO").query_async(&mut connection).await;
    match info {
        Ok(info) => judge(&info, cluster),
        Err(_) => Ok(()),
    }
}

/// Whether a server that says this of itself can be used.
fn judge(info: &str, cluster: bool) -> Result<(), RedisError> {
    let says = |key: &str| {
        let mut lines = info
            .lines()
            .filter_map(|line| line.trim_end().split_once(':'));
        lines.find_map(|(found, value)| (found == key).then_some(value))
    };
    let unfit = |why: &'static str| Err((ErrorKind::InvalidClientConfig, why).into());
    let version = says("redis_version").and_then(|version| {
        let mut parts = version.split('.').map(str::parse);
        Some((parts.next()?.ok()?, parts.next()?.ok()?))
    });
    if version.is_some_and(|version: (u32, u32)| version < OLDEST) {
        return unfit("Redis 6.2 or newer is needed");
    }
    match says("cluster_enabled") {
        Some("1") if !cluster => {
            return unfit("it is a node of a Redis Cluster: write store.cluster = true");
        }
        Some("0") if cluster => {
            return unfit("it is no node of a Redis Cluster: remove store.cluster");
        }
        _ => {}
    }
    if let Some(policy) = says("maxmemory_policy")
        && policy != "noeviction"
        && says("maxmemory").is_some_and(|limit| limit != "0")
    {
        warn!(
            policy,
            "Redis may evict records of tasks in flight when its memory is full, and a crash then loses them; set maxmemory-policy noeviction"
        );
    }
    Ok(())
}

/// Whether waiting would not help.
fn is_final(error: &RedisError) -> bool {
    match error.kind() {
        ErrorKind::Io => {
            // The client hands out what it shares.
            let source = error.source();
            let source = source.and_then(|why| why.downcast_ref::<Arc<dyn Error + Send + Sync>>());
            let source = source.and_then(|why| why.downcast_ref::<io::Error>());
            // A certificate that is not trusted, or no TLS at all.
            source.is_some_and(|why| why.kind() == io::ErrorKind::InvalidData)
        }
        ErrorKind::ClusterConnectionNotFound
        | ErrorKind::Server(
            ServerErrorKind::BusyLoading
            | ServerErrorKind::ClusterDown
            | ServerErrorKind::MasterDown
            | ServerErrorKind::TryAgain,
        ) => false,
        _ => true,
    }
}

/// What went wrong, without the client's own names for it.
fn describe(error: &RedisError) -> String {
    if error.is_timeout() {
        return no_answer(ANSWER);
    }
    let text = error.to_string();
    text.replace(&format!(" - {:?}", error.kind()), "")
}
