//! The connection to a Redis, or to each node of a Cluster. All calls share it.
//!
//! It has a timeout for each answer, and it connects again where the client library does not.

use super::limits::{ANSWER_TIMEOUT, tcp};
use super::{
    format::millis,
    probe::{Advice, is_about_content, is_final, probe_any},
    settings::RedisConfig,
    url::RedisUrl,
};
use crate::{
    store::StoreError,
    util::{Backoff, jittered},
};
use anyhow::bail;
use parking_lot::{Mutex, MutexGuard};
use redis::{
    Client, Cmd, FromRedisValue, Pipeline, RedisError, RedisFuture, ScriptInvocation, Value,
    aio::{ConnectionLike, ConnectionManager, ConnectionManagerConfig},
    cluster::ClusterClientBuilder,
    cluster_async::ClusterConnection,
};
use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, warn};

/// Timeout for the connections to the nodes of a Cluster.
const CLUSTER_TIMEOUT: Duration = Duration::from_secs(10);

/// The error text if Redis does not answer.
pub(crate) const NO_ANSWER: &str = "no answer";

/// Minimum interval between two replacements of the connection.
const REPLACE_INTERVAL: Duration = Duration::from_secs(2);

/// Time without any answer of a Cluster after which its connection is replaced.
const UNANSWERED_TIME: Duration = Duration::from_secs(5);

/// Minimum interval between attempts to connect. It is short so that all owners are connected again before one may adopt
/// another's tasks.
const MIN_RETRY_INTERVAL: Duration = Duration::from_millis(50);

/// Maximum interval between attempts to connect.
const MAX_RETRY_INTERVAL: Duration = Duration::from_millis(500);

/// Maximum number of commands that wait to be written.
const MAX_QUEUED_COMMANDS: usize = 1_000;

/// See the module.
pub(crate) struct Connection {
    config: RedisConfig,
    link: Arc<Mutex<ReplaceableLink>>,
    opened: Instant,
    /// Since when no command was answered, in milliseconds after `opened`; 0 if no command waits for an answer.
    unanswered_since: AtomicU64,
    /// Whether Redis refused a command in a way that another attempt can't change.
    refused: AtomicBool,
    /// Advice about the configuration of Redis.
    pub(crate) advice: Advice,
}

struct ReplaceableLink {
    link: Link,
    /// The earliest time at which the link may be replaced.
    replace_after: Instant,
}

/// The client library's connection. It is cheap to clone, and all clones share one connection.
#[derive(Clone)]
enum Link {
    Server(ConnectionManager),
    Cluster(ClusterConnection),
}

impl Connection {
    /// Connects, and checks that the server can be used.
    ///
    /// # Errors
    ///
    /// At once if another attempt can't succeed; otherwise after `limit`.
    pub(crate) async fn open(config: &RedisConfig, limit: Duration) -> anyhow::Result<Self> {
        let end = Instant::now() + limit;
        let secs = limit.as_secs();
        let mut backoff = Backoff::new(MIN_RETRY_INTERVAL, MAX_RETRY_INTERVAL);
        let (advice, link) = loop {
            let (url, error) = match connect(config).await {
                Ok(connected) => break connected,
                Err(refused) => refused,
            };
            let why = describe(&error);
            if is_final(&error) {
                bail!("the token store {url} can't be used: {why}");
            }
            if Instant::now() >= end {
                bail!("the token store {url} was not to be reached for {secs} s: {why}");
            }
            if backoff.attempts() == 0 {
                warn!(%url, error = why, "Redis can't be reached; trying for {secs} s");
            }
            sleep(backoff.next_wait()).await;
        };
        let opened = Instant::now();
        let replace_after = opened;
        Ok(Self {
            config: config.clone(),
            link: Arc::new(Mutex::new(ReplaceableLink {
                link,
                replace_after,
            })),
            opened,
            unanswered_since: AtomicU64::new(0),
            refused: AtomicBool::new(false),
            advice,
        })
    }

    /// Repeats a call until it succeeds, until another attempt can't succeed, or until `end`. A server may not be a primary
    /// yet, and a shard of a Cluster may be unavailable.
    pub(crate) async fn retry_until<T>(
        &self,
        end: Instant,
        ask: impl AsyncFn() -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut backoff = Backoff::new(MIN_RETRY_INTERVAL, MAX_RETRY_INTERVAL);
        loop {
            let answer = ask().await;
            let Err(error) = &answer else {
                return answer;
            };
            let is_final = matches!(error, StoreError::Unreadable(_));
            if is_final || self.refused.load(Ordering::Relaxed) || Instant::now() >= end {
                return answer;
            }
            if backoff.attempts() == 0 {
                warn!(url = %self.url(), %error, "Redis can't be used yet; trying again");
            }
            sleep(backoff.next_wait()).await;
        }
    }

    /// Runs a script.
    pub(crate) async fn run<T: FromRedisValue>(
        &self,
        script: &ScriptInvocation<'_>,
    ) -> Result<T, StoreError> {
        let mut link = self.link();
        self.answer(script.invoke_async(&mut link)).await
    }

    /// Sends a command.
    pub(crate) async fn send<T: FromRedisValue>(&self, cmd: &Cmd) -> Result<T, StoreError> {
        let mut link = self.link();
        self.answer(cmd.query_async(&mut link)).await
    }

    /// Sends several commands for keys of one slot of a Cluster.
    pub(crate) async fn send_all(&self, pipeline: &Pipeline) -> Result<(), StoreError> {
        let mut link = self.link();
        self.answer(pipeline.query_async(&mut link)).await
    }

    async fn answer<T>(
        &self,
        call: impl Future<Output = Result<T, RedisError>>,
    ) -> Result<T, StoreError> {
        let Ok(answer) = timeout(ANSWER_TIMEOUT, call).await else {
            return Err(no_answer());
        };
        if !answer.as_ref().is_err_and(RedisError::is_timeout) {
            self.unanswered_since.store(0, Ordering::Relaxed);
        }
        answer.map_err(|error| {
            if is_about_content(&error) {
                return StoreError::Unreadable(describe_content(&error));
            }
            self.replace_after_refusal(&error);
            self.refused.fetch_or(is_final(&error), Ordering::Relaxed);
            StoreError::Unavailable(describe(&error))
        })
    }

    /// Replaces a server's connection after a refusal. The client library connects again by itself while the server can't be
    /// reached. After a refusal, of the password for example, it repeats the error for ever. The client for a Cluster does
    /// not.
    fn replace_after_refusal(&self, error: &RedisError) {
        let mut old = locked(&self.link);
        let now = Instant::now();
        if !error.is_io_error()
            && now >= old.replace_after
            && matches!(old.link, Link::Server(_))
            && let Ok(new) = server(self.url())
        {
            *old = ReplaceableLink {
                link: Link::Server(new),
                replace_after: now + jittered(REPLACE_INTERVAL),
            };
        }
    }

    /// The connection for the next command.
    fn link(&self) -> Link {
        let now_ms = millis(self.opened.elapsed()).max(1);
        let nothing_waits =
            self.unanswered_since
                .compare_exchange(0, now_ms, Ordering::Relaxed, Ordering::Relaxed);
        if let Err(since) = nothing_waits
            && now_ms.saturating_sub(since) >= millis(UNANSWERED_TIME)
        {
            self.replace_cluster_link();
        }
        locked(&self.link).link.clone()
    }

    /// Replaces the connection to a Cluster. After the loss of a node the client for a Cluster was seen to answer nothing any
    /// more, while a new client got answers from the other nodes at once.
    fn replace_cluster_link(&self) {
        let mut old = locked(&self.link);
        let now = Instant::now();
        if now < old.replace_after || matches!(old.link, Link::Server(_)) {
            return;
        }
        // No second attempt begins before this one has ended.
        old.replace_after = now + CLUSTER_TIMEOUT + REPLACE_INTERVAL;
        let (config, link) = (self.config.clone(), Arc::clone(&self.link));
        tokio::spawn(async move {
            let new = timeout(CLUSTER_TIMEOUT, cluster(&config)).await;
            let mut old = locked(&link);
            old.replace_after = Instant::now() + jittered(REPLACE_INTERVAL);
            let url = &config.urls[0];
            match new {
                Ok(Ok(new)) => {
                    warn!(%url, "no answer for a while: connected to the Redis Cluster anew");
                    old.link = Link::Cluster(new);
                }
                Ok(Err(error)) => {
                    debug!(%url, error = describe(&error), "could not connect to the Redis Cluster anew");
                }
                Err(_) => {
                    debug!(%url, "no answer to an attempt to connect to the Redis Cluster anew")
                }
            }
        });
    }

    /// The first configured URL. A connection to a single server uses it.
    fn url(&self) -> &RedisUrl {
        &self.config.urls[0]
    }
}

fn locked(link: &Mutex<ReplaceableLink>) -> MutexGuard<'_, ReplaceableLink> {
    link.lock()
}

/// The error if Redis does not answer.
pub(crate) fn no_answer() -> StoreError {
    StoreError::Unavailable(NO_ANSWER.to_owned())
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

/// Checks that one of the configured servers can be used, and connects.
async fn connect(config: &RedisConfig) -> Result<(Advice, Link), (&RedisUrl, RedisError)> {
    let advice = probe_any(config).await?;
    let url = &config.urls[0];
    let link = match config.cluster {
        true => timeout(CLUSTER_TIMEOUT, cluster(config))
            .await
            .unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into()))
            .map(Link::Cluster),
        false => server(url).map(Link::Server),
    };
    Ok((advice, link.map_err(|error| (url, error))?))
}

fn server(url: &RedisUrl) -> Result<ConnectionManager, RedisError> {
    let config = ConnectionManagerConfig::new()
        .set_connection_timeout(Some(ANSWER_TIMEOUT))
        .set_response_timeout(Some(ANSWER_TIMEOUT))
        .set_min_delay(MIN_RETRY_INTERVAL)
        .set_max_delay(MAX_RETRY_INTERVAL)
        .set_pipeline_buffer_size(MAX_QUEUED_COMMANDS);
    let client = Client::open(url.inner().set_tcp_settings(tcp()))?;
    ConnectionManager::new_lazy_with_config(client, config)
}

async fn cluster(config: &RedisConfig) -> Result<ClusterConnection, RedisError> {
    let client = ClusterClientBuilder::new(config.urls.iter().map(RedisUrl::inner))
        .connection_timeout(ANSWER_TIMEOUT)
        .response_timeout(ANSWER_TIMEOUT)
        .min_retry_wait(millis(MIN_RETRY_INTERVAL))
        .max_retry_wait(millis(MAX_RETRY_INTERVAL))
        .tcp_settings(tcp())
        .build()?;
    client.get_async_connection().await
}

/// The text of an error, without the client library's name for its kind.
fn describe(error: &RedisError) -> String {
    if error.is_timeout() {
        return NO_ANSWER.to_owned();
    }
    let text = error.to_string();
    text.replace(&format!(" - {:?}", error.kind()), "")
}

/// The text of an error about the content of a key.
fn describe_content(error: &RedisError) -> String {
    let text = describe(error);
    if text.contains("WRONGTYPE") {
        return "it is a key of another type (WRONGTYPE)".to_owned();
    }
    let before_script = text.split(" script: ").next();
    before_script.unwrap_or_default().to_owned()
}
