//! Checks whether a Redis can be reached and used, and collects advice about its configuration.

use super::{
    access::Access,
    error_text::{NO_ANSWER, explain},
    limits::ANSWER_TIMEOUT,
    url::RedisUrl,
};
use redis::{AsyncConnectionConfig, ErrorKind, RedisError, ServerErrorKind};
use std::{error::Error, io, sync::Arc, time::Duration};
use tokio::time::timeout;

/// Timeout for a check of what the files say now.
const CHECK_TIMEOUT: Duration = Duration::from_secs(10);

/// Minimum version of Redis: the first that trims streams by id.
const MIN_VERSION: (u32, u32) = (6, 2);

const EVICTS: &str = "Redis may evict records of tasks in flight when its memory is full, and a crash then loses them; set maxmemory-policy noeviction";

const FORGETS: &str = "Redis may forget records of tasks in flight when it restarts, and a crash then loses them; set appendonly yes";

/// Advice about the configuration of Redis. Each text says what is risky and what to do.
pub(crate) type Advice = Vec<&'static str>;

/// Checks the configured servers in order. Returns the advice of the first that can be used, or the error of the last.
pub(super) async fn probe_any(
    access: &Access,
    cluster: bool,
) -> Result<Advice, (&RedisUrl, RedisError)> {
    let mut found = Ok(Advice::new());
    for url in &access.urls {
        let probed = probe(access, url, cluster).await;
        found = probed.map_err(|error| (url, error));
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

/// Checks that one of the servers takes what the files say now.
///
/// # Errors
///
/// Why the last of them does not.
pub(super) async fn check_access(access: &Access, cluster: bool) -> Result<(), String> {
    match timeout(CHECK_TIMEOUT, probe_any(access, cluster)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err((url, error))) => Err(format!("{url}: {}", explain(&error, url))),
        Err(_) => Err(NO_ANSWER.to_owned()),
    }
}

async fn probe(access: &Access, url: &RedisUrl, cluster: bool) -> Result<Advice, RedisError> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(ANSWER_TIMEOUT))
        .set_response_timeout(Some(ANSWER_TIMEOUT));
    let client = access.client(url)?;
    let mut connection = client
        .get_multiplexed_async_connection_with_config(&config)
        .await?;
    let () = redis::cmd("PING").query_async(&mut connection).await?;
    let info: Result<String, _> = redis::cmd("INFO").query_async(&mut connection).await;
    match info {
        Ok(info) => read_info(&info, cluster),
        Err(error) if error.is_io_error() || error.is_timeout() => Err(error),
        // The user may lack the permission for INFO. Then a problem shows when Redis is used.
        Err(_) => Ok(Advice::new()),
    }
}

/// Reads the answer to INFO: whether the server can be used, and the advice about it.
fn read_info(info: &str, cluster: bool) -> Result<Advice, RedisError> {
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
    if version.is_some_and(|version: (u32, u32)| version < MIN_VERSION) {
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

/// The texts of errors about the content of a key. Redis 6.2 does not tell them by a code if a script causes them.
const CONTENT: [&str; 5] = [
    "WRONGTYPE",
    "attempt to compare",
    "attempt to perform arithmetic",
    "is not an integer",
    "invalid expire time",
];

/// Whether Redis answers so because of what is in a key. The server and the connection are fine.
pub(crate) fn is_about_content(error: &RedisError) -> bool {
    let answered = matches!(
        error.kind(),
        ErrorKind::Extension | ErrorKind::Server(ServerErrorKind::ResponseError)
    );
    answered && {
        let text = error.to_string();
        CONTENT.iter().any(|content| text.contains(content))
    }
}

/// Whether another attempt can't succeed.
pub(crate) fn is_final(error: &RedisError) -> bool {
    match error.kind() {
        ErrorKind::Io => {
            // The client library wraps the shared error in an `Arc`.
            let source = error.source();
            let source = source.and_then(|why| why.downcast_ref::<Arc<dyn Error + Send + Sync>>());
            let source = source.and_then(|why| why.downcast_ref::<io::Error>());
            // The certificate is not trusted, or the server does not speak TLS.
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
