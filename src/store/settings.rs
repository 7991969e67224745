//! The settings of the token store: which one, and where it is.

use crate::{
    settings::{Reader, Word},
    store::{
        file::{FileConfig, settings::read_file},
        redis::{RedisConfig, settings::read_redis},
    },
};
use std::fmt;

/// The settings of the token store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreConfig {
    /// The store `memory`: its records end with the process.
    Memory,
    /// The store `file`: a file on this machine.
    File(FileConfig),
    /// The store `redis`: a Redis that several processes share.
    Redis(RedisConfig),
}

impl StoreConfig {
    /// Whether the records outlive the process.
    #[must_use]
    pub fn outlives_the_process(&self) -> bool {
        match self {
            Self::Memory => false,
            Self::File(_) | Self::Redis(_) => true,
        }
    }
}

impl StoreConfig {
    /// The kind and place of the store, for people. Processes with the same place use the same store.
    #[must_use]
    pub fn place(&self) -> String {
        match self {
            Self::Memory => self.to_string(),
            Self::File(file) => {
                let whole = std::path::absolute(&file.path);
                let path = whole.as_ref().unwrap_or(&file.path);
                format!("{self} {}", path.display())
            }
            Self::Redis(redis) => {
                let urls: Vec<_> = redis.urls.iter().map(ToString::to_string).collect();
                format!("{self} {} prefix {}", urls.join(","), redis.prefix)
            }
        }
    }
}

impl fmt::Display for StoreConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Memory => "memory",
            Self::File(_) => "file",
            Self::Redis(_) => "redis",
        })
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    File,
    Redis,
    Memory,
}

impl Word for Kind {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("file", Self::File),
        ("redis", Self::Redis),
        ("memory", Self::Memory),
    ];
}

/// Reads the table `[store]`.
pub(crate) fn read(mut store: Reader<'_>) -> Option<StoreConfig> {
    let help = "file keeps the tasks in a file of this process. redis keeps them in a Redis that several processes share. memory forgets \
                them when the process ends.";
    let kind = store.word("kind", help).unless_wrong(Kind::File);
    refuse_keys_of_others(&mut store, kind);
    let config = match kind {
        Some(Kind::Memory) => Some(StoreConfig::Memory),
        Some(Kind::Redis) => read_redis(&mut store).map(StoreConfig::Redis),
        Some(Kind::File) => Some(StoreConfig::File(read_file(&mut store))),
        None => None,
    };
    store.finish();
    config
}

/// Reports keys of another kind of store, because they would have no effect. If the kind itself is a problem, these keys are
/// ignored.
fn refuse_keys_of_others(store: &mut Reader<'_>, kind: Option<Kind>) {
    for (key, of) in [
        ("path", Kind::File),
        ("url", Kind::Redis),
        ("urls", Kind::Redis),
        ("url_file", Kind::Redis),
        ("tls", Kind::Redis),
        ("cluster", Kind::Redis),
        ("prefix", Kind::Redis),
    ] {
        if kind != Some(of)
            && store.discard(key)
            && let Some(kind) = kind
        {
            let (of, kind) = (of.word(), kind.word());
            let rule = format!(
                "is of the store \"{of}\", and this one is \"{kind}\"; remove it, or write kind = \"{of}\""
            );
            store.problem(key, None, rule);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::{Config, ConfigError},
        settings::Problem,
        tls::ClientTls,
    };

    fn read(store: &str) -> Result<Config, Vec<String>> {
        let text = format!(
            "[store]\n{store}\n[amqp]\nuri = \"amqp://b\"\n[[routes]]\nname = \"r\"\nqueue = \"r\"\n\
             swf = {{ domain = \"d\", task_list = \"t\" }}\n"
        );
        text.parse().map_err(|error| match error {
            ConfigError::Invalid(problems) => problems.iter().map(Problem::to_string).collect(),
            other @ ConfigError::Unreadable { .. } => panic!("{other}"),
        })
    }

    #[test]
    fn each_kind_has_its_keys_and_its_defaults() {
        let store = |text: &str| read(text).expect(text).store;
        let file = |path: &str| StoreConfig::File(FileConfig { path: path.into() });
        let redis = |urls: &[&str], cluster, prefix: &str| {
            let urls = urls.iter().map(|url| url.parse().expect(url)).collect();
            StoreConfig::Redis(RedisConfig::at(urls, cluster, prefix.to_owned()))
        };
        assert_eq!(store(""), file("/var/lib/activity-bridge/tasks.redb"));
        assert_eq!(store("path = \"a/b.redb\""), file("a/b.redb"));
        assert_eq!(store("kind = \"memory\""), StoreConfig::Memory);
        assert_eq!(
            store("kind = \"redis\"\nurl = \"redis://h/2\""),
            redis(&["redis://h:6379/2"], false, "activity-bridge")
        );
        let cluster = "kind = \"redis\"\ncluster = true\nprefix = \"shop/a\"\n\
                       urls = [\"rediss://u:p@a:1\", \"rediss://u:p@b:2\"]";
        assert_eq!(
            store(cluster),
            redis(&["rediss://u:p@a:1", "rediss://u:p@b:2"], true, "shop/a")
        );
    }

    #[test]
    fn the_files_for_redis_are_those_of_its_address_and_of_tls() {
        let folder = tempfile::tempdir().expect("a folder");
        let url = folder.path().join("url");
        std::fs::write(&url, "rediss://u:p@h\n").expect("writable");
        let text = format!(
            "kind = \"redis\"\nurl_file = {url:?}\ntls = {{ ca_file = \"a\", cert_file = \"c\", key_file = \"k\" }}"
        );
        let path = |name: &str| Some(name.into());
        let expected = RedisConfig {
            url_file: Some(url),
            tls: Some(ClientTls {
                place: "store.tls",
                ca_file: path("a"),
                cert_file: path("c"),
                key_file: path("k"),
            }),
            ..RedisConfig::at(
                vec!["rediss://u:p@h".parse().expect("a URL")],
                false,
                "activity-bridge".to_owned(),
            )
        };
        let found = read(&text).expect("valid").store;
        assert_eq!(found, StoreConfig::Redis(expected));
    }

    #[test]
    fn give_back_follows_the_store_unless_it_is_configured() {
        let given_back = |text: &str| read(text).expect(text).shutdown.give_back;
        assert!(given_back("kind = \"memory\""));
        assert!(!given_back(""));
        assert!(!given_back("kind = \"redis\"\nurl = \"redis://h\""));
        assert!(given_back("[shutdown]\ngive_back = true"));
        assert!(!given_back(
            "kind = \"memory\"\n[shutdown]\ngive_back = false"
        ));
    }

    #[test]
    fn every_problem_says_what_to_do_and_shows_no_password() {
        let of_redis = |key: &str, kind: &str| {
            format!(
                "store.{key}: is of the store \"redis\", and this one is \"{kind}\"; remove it, or write kind = \"redis\""
            )
        };
        for (text, expected) in [
            (
                "kind = \"redis\"",
                vec!["store.url: is missing; say where Redis is: url, urls or url_file".to_owned()],
            ),
            (
                "kind = \"redis\"\nurl = \"redis://u:hunter2@h\"\nurl_file = \"none\"",
                vec!["store.url_file: the file \"none\" can't be read".to_owned(),
                     "store.url: give one of url, urls and url_file, not several".to_owned()],
            ),
            (
                "kind = \"redis\"\nurl = \"u:hunter2@h\"",
                vec!["store.url: must begin with redis:// or rediss://".to_owned()],
            ),
            (
                "kind = \"redis\"\nurl_file = \"redis://u:hunter2@h\"",
                vec!["store.url_file: must be the path of a file that holds the URL, not the URL".to_owned()],
            ),
            (
                "kind = \"redis\"\nurls = [\"redis://a\", \"redis://u:hunter2@b\"]",
                vec!["store.urls: several are the nodes of a Redis Cluster; give one, or write cluster = true".to_owned()],
            ),
            (
                "kind = \"redis\"\nurl = \"redis://u:hunter2@b/1\"\ncluster = true",
                vec!["store.url: must not name a database".to_owned()],
            ),
            (
                "kind = \"redis\"\nurl = \"redis://u:hunter2@h\"\ntls = { ca_file = \"a\" }",
                vec!["store.url: begins with redis://, and [store.tls] is for rediss://; write rediss://".to_owned()],
            ),
            (
                "kind = \"redis\"\nurl = \"rediss://h\"\ntls = { cert_file = \"c\", ca_file = \"-----BEGIN hunter2\" }",
                vec!["store.tls.ca_file: must be the path of a file, not what is in it".to_owned(),
                     "store.tls.key_file: is missing beside cert_file".to_owned()],
            ),
            (
                "kind = \"memory\"\ntls = { ca_file = \"a\" }",
                vec![of_redis("tls", "memory")],
            ),
            (
                "kind = \"redis\"\nurl = \"redis://h\"\nprefix = \"a{b}\"\npath = \"x\"",
                vec![
                    "store.path: is of the store \"file\", and this one is \"redis\"; remove it, or write kind = \"file\"".to_owned(),
                    "store.prefix = \"a{b}\": must be 1 to 100 characters".to_owned(),
                ],
            ),
            (
                "url = \"redis://u:hunter2@h\"\nurls = 3\nurl_file = \"f\"\ncluster = true\nprefix = \"p\"",
                ["url", "urls", "url_file", "cluster", "prefix"].map(|key| of_redis(key, "file")).into(),
            ),
            (
                "kind = \"memory\"\nurl = \"redis://u:hunter2@h\"",
                vec![of_redis("url", "memory")],
            ),
            (
                "kind = \"rediss\"\nurl = \"redis://u:hunter2@h\"",
                vec!["store.kind = \"rediss\": must be \"file\", \"redis\" or \"memory\"".to_owned()],
            ),
            ("path = \"\"", vec!["store.path = \"\": must not be empty".to_owned()]),
        ] {
            let found = read(text).expect_err(text);
            assert_eq!(found.len(), expected.len(), "{text}: {found:#?}");
            for (found, expected) in found.iter().zip(&expected) {
                assert!(found.starts_with(expected), "{text}: {found}");
            }
            assert!(!found.join("\n").contains("hunter2"), "{found:#?}");
        }
    }
}
