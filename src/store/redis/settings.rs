//! The settings of the store `redis`.

use super::url::RedisUrl;
use crate::settings::{
    Reader,
    address::{self, Words},
};

/// The settings of the store `redis`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisConfig {
    /// The server, or some nodes of the Cluster; at least one.
    pub urls: Vec<RedisUrl>,
    /// Whether it is a Redis Cluster.
    pub cluster: bool,
    /// The prefix of every key.
    pub prefix: String,
}

const DEFAULT_PREFIX: &str = "activity-bridge";

const URLS: Words = Words {
    keys: ["url", "urls", "url_file"],
    noun: "URL",
    server: "Redis",
};

pub(crate) fn read_redis(store: &mut Reader<'_>) -> Option<RedisConfig> {
    let several = store.has("urls");
    let urls: Vec<RedisUrl> = address::read(store, &URLS);
    let cluster = store.flag("cluster").unwrap_or(false);
    let prefix = store.text("prefix", prefix_rule);
    if urls.len() > 1 && !cluster {
        let rule = "several are the nodes of a Redis Cluster; give one, or write cluster = true";
        store.problem("urls", None, rule);
    }
    if cluster && urls.iter().any(|url| url.database() != 0) {
        let rule = "must not name a database: a Redis Cluster has only database 0";
        store.problem(if several { "urls" } else { "url" }, None, rule);
    }
    (!urls.is_empty()).then(|| RedisConfig {
        urls,
        cluster,
        prefix: prefix.unwrap_or_else(|| DEFAULT_PREFIX.to_owned()),
    })
}

/// Refuses braces, which would move keys to other slots of a Cluster.
fn prefix_rule(text: &str) -> Result<String, String> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.:/".contains(&b);
    if text.is_empty() || text.len() > 100 || !text.bytes().all(plain) {
        return Err(
            "must be 1 to 100 characters long, of letters, digits, '-', '_', '.', ':' and '/'"
                .to_owned(),
        );
    }
    Ok(text.to_owned())
}
