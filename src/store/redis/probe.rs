//! Whether a Redis can be reached and used, and what is unwise about how it is set up.

use super::limits::{ANSWER, tcp};
use super::{settings::RedisConfig, url::RedisUrl};
use redis::{AsyncConnectionConfig, Client, ErrorKind, RedisError, ServerErrorKind};
use std::{error::Error, io, sync::Arc};

/// Streams are trimmed by id since then.
const OLDEST: (u32, u32) = (6, 2);

const EVICTS: &str = "Redis may evict records of tasks in flight when its memory is full, and a crash then loses them; set maxmemory-policy noeviction";

const FORGETS: &str = "Redis may forget records of tasks in flight when it restarts, and a crash then loses them; set appendonly yes";

/// What is unwise, each with what to do.
pub(crate) type Advice = Vec<&'static str>;

/// What is to be said of how they are set up, if one of them answers and can be used; otherwise what the last one said.
pub(crate) async fn probe_any(config: &RedisConfig) -> Result<Advice, (&RedisUrl, RedisError)> {
    let mut found = Ok(Advice::new());
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

async fn probe(url: &RedisUrl, cluster: bool) -> Result<Advice, RedisError> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(ANSWER))
        .set_response_timeout(Some(ANSWER));
    let client = Client::open(url.inner().set_tcp_settings(tcp()))?;
    let mut connection = client
        .get_multiplexed_async_connection_with_config(&config)
        .await?;
    let () = redis::cmd("PING").query_async(&mut connection).await?;
    let info: Result<String, _> = redis::cmd("INFO").query_async(&mut connection).await;
    match info {
        Ok(info) => judge(&info, cluster),
        Err(silent) if silent.is_io_error() || silent.is_timeout() => Err(silent),
        // Not everybody may ask; then what does not fit shows when it is used.
        Err(_) => Ok(Advice::new()),
    }
}

/// Whether a server that says this of itself can be used, and what is unwise about it.
fn judge(info: &str, cluster: bool) -> Result<Advice, RedisError> {
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
    let mut advice = Advice::new();
    if says("maxmemory_policy").is_some_and(|policy| policy != "noeviction")
        && says("maxmemory").is_some_and(|limit| limit != "0")
    {
        advice.push(EVICTS);
    }
    if says("aof_enabled") == Some("0") {
        advice.push(FORGETS);
    }
    Ok(advice)
}

/// Whether waiting would not help.
pub(crate) fn is_final(error: &RedisError) -> bool {
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
            | ServerErrorKind::ReadOnly
            | ServerErrorKind::Moved
            | ServerErrorKind::Ask
            | ServerErrorKind::TryAgain,
        ) => false,
        _ => true,
    }
}
