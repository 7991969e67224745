//! What an attempt to connect to RabbitMQ needs: the address, the login and TLS. The files that the settings name are read anew for
//! each attempt. If they can't be used, what they said before stays.

use super::{
    settings::{NOUN, RabbitMqConfig},
    uri::Uri,
};
use crate::{
    settings::{Problem, address, secret_file},
    tls::{ClientTls, ClientTlsFiles, advice, client_config},
    util::FileReads,
};
use parking_lot::Mutex;
use std::{error::Error, fmt, path::PathBuf, sync::Arc, time::Duration};
use tokio::time::sleep;
use tokio_rustls::rustls::ClientConfig;
use tracing::warn;

/// Interval of reads while the bridge is connected.
const CHECK_INTERVAL: Duration = Duration::from_secs(2);

/// The table of TLS, for messages.
const TLS: &str = "amqp.tls";

/// See the module.
#[derive(Clone, Debug)]
pub struct Access {
    config: Arc<RabbitMqConfig>,
    reads: FileReads,
    /// What the files said when they could be used last.
    last: Arc<Mutex<Option<Current>>>,
}

/// One server, and all that a connection to it needs.
#[derive(Clone)]
pub(crate) struct Target {
    /// The address, with the login.
    pub(crate) uri: Uri,
    /// What the bridge trusts and shows; `None` without TLS.
    pub(crate) tls: Option<Arc<ClientConfig>>,
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.uri, f)
    }
}

impl Target {
    /// A target without TLS, for tests.
    #[cfg(test)]
    pub(super) fn plain(uri: Uri) -> Self {
        Self { uri, tls: None }
    }

    /// An error of a connection, and what to do about it if TLS is the reason.
    pub(super) fn explain(&self, error: &(dyn Error + 'static)) -> String {
        let advice = self.tls.as_ref().and_then(|_| advice(error, TLS));
        match advice {
            Some(advice) => format!("{error}: {advice}"),
            None => error.to_string(),
        }
    }
}

/// What is in the files. It is never shown.
#[derive(Clone, PartialEq, Eq)]
struct Contents {
    uri: Option<String>,
    token: Option<String>,
    tls: Option<ClientTlsFiles>,
}

/// What the files say at one time. It is never shown.
#[derive(Clone)]
pub(crate) struct Current {
    contents: Contents,
    /// The servers, tried in turn; at least one.
    pub(crate) targets: Vec<Target>,
}

impl fmt::Debug for Current {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Current")
    }
}

impl Current {
    /// Reads the files. It may block.
    ///
    /// # Errors
    ///
    /// The first file that can't be used, with the key that names it.
    pub(crate) fn read(config: &RabbitMqConfig) -> Result<Self, Problem> {
        let contents = Contents::read(config)?;
        let mut uris = config.uris.clone();
        if let (Some(path), Some(text)) = (&config.uri_file, &contents.uri) {
            let wrong = |rule: String| problem("uri_file", rule);
            let uri: Uri = address::parse(text, path, NOUN).map_err(wrong)?;
            let refused = |why: String| wrong(format!("the {NOUN} in the file {path:?} {why}"));
            config.check(&uri).map_err(refused)?;
            uris = vec![uri];
        }
        if let Some(token) = &contents.token {
            uris = uris.into_iter().map(|uri| uri.with_token(token)).collect();
        }
        let tls = match uris.iter().any(Uri::is_tls) {
            false => None,
            true => {
                let of_the_system = || ClientTlsFiles::of_the_system(TLS);
                let files = contents.tls.clone().unwrap_or_else(of_the_system);
                Some(client_config(&files)?)
            }
        };
        let target = |uri: Uri| Target {
            tls: tls.clone().filter(|_| uri.is_tls()),
            uri,
        };
        Ok(Self {
            targets: uris.into_iter().map(target).collect(),
            contents,
        })
    }

    /// The token; `None` if the login is another one.
    pub(crate) fn token(&self) -> Option<&str> {
        self.contents.token.as_deref()
    }

    /// The keys of the files that are not as they were.
    pub(crate) fn changes_since(&self, old: &Self) -> String {
        let (new, old) = (&self.contents, &old.contents);
        let is_same = [
            ("amqp.uri_file", new.uri == old.uri),
            ("amqp.token_file", new.token == old.token),
            (TLS, new.tls == old.tls),
        ];
        let changed = is_same.iter().filter(|(_, is_same)| !is_same);
        let keys: Vec<_> = changed.map(|(key, _)| *key).collect();
        keys.join(", ")
    }
}

impl Contents {
    fn read(config: &RabbitMqConfig) -> Result<Self, Problem> {
        let text = |key, path: Option<&PathBuf>| {
            let read =
                |path: &PathBuf| secret_file::read_text(path).map_err(|rule| problem(key, rule));
            path.map(read).transpose()
        };
        let tls = config.tls.as_ref().map(ClientTls::read_files);
        Ok(Self {
            uri: text("uri_file", config.uri_file.as_ref())?,
            token: text("token_file", config.token_file.as_ref())?,
            tls: tls.transpose()?,
        })
    }
}

fn problem(key: &str, rule: String) -> Problem {
    Problem::about(format!("amqp.{key}"), rule)
}

impl Access {
    /// By these settings.
    #[must_use]
    pub fn new(config: RabbitMqConfig) -> Self {
        Self {
            config: Arc::new(config),
            reads: FileReads::default(),
            last: Arc::default(),
        }
    }

    /// The first address as it was at the start, for messages.
    pub(super) fn first(&self) -> String {
        self.config
            .uris
            .first()
            .map(Uri::to_string)
            .unwrap_or_default()
    }

    /// What the files say now.
    ///
    /// # Errors
    ///
    /// What is wrong, and the key of the file.
    pub(crate) async fn read(&self) -> Result<Current, String> {
        let config = Arc::clone(&self.config);
        let read = move || Current::read(&config);
        // What the system trusts is in files, too.
        let is_on_disk = self.config.has_files() || self.config.uris.iter().any(Uri::is_tls);
        let read = match is_on_disk {
            true => self.reads.run(read).await?,
            false => read(),
        };
        let current = read.map_err(|problem| problem.to_string())?;
        *self.last.lock() = Some(current.clone());
        Ok(current)
    }

    /// What an attempt to connect uses: what the files say now, or what they said before if they can't be used.
    ///
    /// # Errors
    ///
    /// What is wrong, and the key of the file. They could never be used.
    pub(crate) async fn for_attempt(&self) -> Result<Current, String> {
        let why = match self.read().await {
            Ok(current) => return Ok(current),
            Err(why) => why,
        };
        let last = self.last.lock().clone();
        let Some(last) = last else {
            return Err(why);
        };
        warn!(
            why,
            "a file for the broker can't be used; the bridge connects with what it said before"
        );
        Ok(last)
    }

    /// Waits until the files say something else. While they can't be used, the log says why, once.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub(crate) async fn changed(&self, known: &Current) -> Current {
        if !self.config.has_files() {
            std::future::pending::<()>().await;
        }
        let mut told = None;
        loop {
            sleep(CHECK_INTERVAL).await;
            match self.read().await {
                Ok(current) if current.contents == known.contents => told = None,
                Ok(current) => return current,
                Err(why) => {
                    if told.as_ref() != Some(&why) {
                        warn!(
                            why,
                            "a file for the broker can't be used; the connection that is open stays"
                        );
                    }
                    told = Some(why);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn config(folder: &Path, amqp: &str) -> RabbitMqConfig {
        let amqp = amqp.replace("FOLDER", &folder.display().to_string());
        let text = format!(
            "[amqp]\n{amqp}\n[[routes]]\nname = \"r\"\nqueue = \"q\"\nswf = {{ domain = \"d\", task_list = \"l\" }}\n"
        );
        let config: crate::config::Config = text.parse().expect("valid");
        match config.broker {
            crate::broker::BrokerConfig::RabbitMq(config) => config,
            crate::broker::BrokerConfig::Endpoint(_) => panic!("there is an address"),
        }
    }

    fn login(current: &Current) -> String {
        let user = current.targets[0].uri.inner().authority.userinfo;
        format!("{}:{}", user.username, user.password)
    }

    #[tokio::test]
    async fn each_attempt_has_the_address_and_the_token_that_the_files_hold_now() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| {
            std::fs::write(folder.path().join(name), text).expect("writable");
        };
        write("uri", "amqp://u:old@b/%2f\n");
        let access = Access::new(config(folder.path(), "uri_file = \"FOLDER/uri\""));
        let old = access.read().await.expect("usable");
        assert_eq!(login(&old), "u:old");
        write("uri", "amqp://u:new@b/%2f\n");
        let new = access.read().await.expect("usable");
        assert_eq!(login(&new), "u:new");
        assert_eq!(new.changes_since(&old), "amqp.uri_file");
        for (text, said) in [
            ("", "is empty"),
            ("u:hunter2", "must begin with amqp:// or amqps://"),
            ("amqp://u:hunter2@b\namqp://c", "has more than one line"),
        ] {
            write("uri", text);
            let why = access.read().await.expect_err(text);
            assert!(
                why.starts_with("amqp.uri_file: the ") && why.contains(said),
                "{why}"
            );
            assert!(!why.contains("hunter2"), "{why}");
            let used = access.for_attempt().await.expect("what it said before");
            assert_eq!(login(&used), "u:new");
        }
        let other = Access::new(config(
            folder.path(),
            "uri = \"amqp://b\"\ntoken_file = \"FOLDER/none\"",
        ));
        let why = other.for_attempt().await.expect_err("no file yet");
        assert!(why.starts_with("amqp.token_file: the file "), "{why}");

        write("token", "ey.one\n");
        let of_token = "uri = \"amqp://b\"\ntoken_file = \"FOLDER/token\"";
        let access = Access::new(config(folder.path(), of_token));
        let one = access.read().await.expect("usable");
        assert_eq!(
            (login(&one).as_str(), one.token()),
            (":ey.one", Some("ey.one"))
        );
        write("token", "ey.two\n");
        let two = access.changed(&one).await;
        assert_eq!(two.token(), Some("ey.two"));
        assert_eq!(two.changes_since(&one), "amqp.token_file");
    }

    #[test]
    fn a_file_for_tls_that_cannot_be_used_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let tls = "uri = \"amqps://b\"\ntls = { ca_file = \"FOLDER/ca\" }";
        let config = config(folder.path(), tls);
        let problem = |config| Current::read(config).expect_err("a problem").to_string();
        let missing = problem(&config);
        assert!(
            missing.starts_with("amqp.tls.ca_file: the file "),
            "{missing}"
        );
        std::fs::write(folder.path().join("ca"), "x").expect("writable");
        let wrong = problem(&config);
        assert!(
            wrong.starts_with("amqp.tls.ca_file: can't be used: "),
            "{wrong}"
        );
    }
}
