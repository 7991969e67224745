//! The settings of the store `redis`.

use super::url::RedisUrl;
use crate::{
    settings::{
        Reader,
        address::{self, Words},
    },
    tls::{ClientTls, KEY_FILE, TlsHelp},
};
use std::path::PathBuf;

/// The settings of the store `redis`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisConfig {
    /// The server, or some nodes of the Cluster; at least one. One that is from a file is as the file was at the start.
    pub urls: Vec<RedisUrl>,
    /// The file that holds the URL; `None` if the configuration does.
    pub url_file: Option<PathBuf>,
    /// The files for TLS; `None` for what the system trusts.
    pub tls: Option<ClientTls>,
    /// Whether it is a Redis Cluster.
    pub cluster: bool,
    /// The prefix of every key.
    pub prefix: String,
}

const DEFAULT_PREFIX: &str = "activity-bridge";

/// The noun for an address.
pub(super) const NOUN: &str = "URL";

const URLS: Words = Words {
    keys: ["url", "urls", "url_file"],
    help: [
        "The Redis server of the store redis.",
        "Several nodes of a Redis Cluster.",
        "A file that holds the URL of the Redis server, with or without a line end.",
    ],
    noun: NOUN,
    server: "Redis",
};

impl RedisConfig {
    /// At these addresses, without files.
    #[must_use]
    pub fn at(urls: Vec<RedisUrl>, cluster: bool, prefix: String) -> Self {
        Self {
            urls,
            url_file: None,
            tls: None,
            cluster,
            prefix,
        }
    }

    /// Whether there is a file that may change.
    pub(super) fn has_files(&self) -> bool {
        self.url_file.is_some() || self.tls.is_some()
    }

    /// Refuses an address that the other settings do not fit.
    ///
    /// # Errors
    ///
    /// The rule; it completes a sentence that begins with the address.
    pub(super) fn check(&self, url: &RedisUrl) -> Result<(), String> {
        if self.tls.is_some() && !url.is_tls() {
            let why = "begins with redis://, and [store.tls] is for rediss://; write rediss://, or remove [store.tls]";
            return Err(why.to_owned());
        }
        match self.cluster && url.database() != 0 {
            true => Err("must not name a database: a Redis Cluster has only database 0".to_owned()),
            false => Ok(()),
        }
    }
}

pub(crate) fn read_redis(store: &mut Reader<'_>) -> Option<RedisConfig> {
    let given = URLS.keys.into_iter().find(|key| store.has(key));
    let addresses: address::Addresses<RedisUrl> = address::read(store, &URLS);
    let tls = read_tls(store);
    let help = "true for a Redis Cluster.";
    let cluster = store.flag("cluster", help).or(false);
    let help = "The beginning of every key in Redis.";
    let prefix = store.text("prefix", help, prefix_rule);
    let config = RedisConfig {
        urls: addresses.found,
        url_file: addresses.file,
        tls,
        cluster,
        prefix: prefix.or(DEFAULT_PREFIX.to_owned()),
    };
    if config.urls.len() > 1 && !cluster {
        let rule = "several are the nodes of a Redis Cluster; give one, or write cluster = true";
        store.problem("urls", None, rule);
    }
    let refused = config.urls.iter().find_map(|url| config.check(url).err());
    if let (Some(key), Some(why)) = (given, refused) {
        store.problem(key, None, why);
    }
    (!config.urls.is_empty()).then_some(config)
}

fn read_tls(store: &mut Reader<'_>) -> Option<ClientTls> {
    let given = store.has("tls");
    let mut table = store.table("tls");
    if !given {
        return None;
    }
    let help = TlsHelp {
        ca_file: "The authorities of the certificate of Redis in PEM.",
        cert_file: "The certificate that the bridge shows to Redis in PEM, and after it those that lead to its authority.",
        key_file: KEY_FILE,
    };
    let tls = ClientTls::read("store.tls", &mut table, help);
    table.finish();
    Some(tls)
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
