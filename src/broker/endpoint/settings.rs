//! The settings of the bridge's own broker.

use super::user_settings::{self as users, UserConfig};
use crate::{
    broker::WorkerLimits,
    settings::{
        Reader,
        secret_file::{path_rule, shown_path},
    },
    tls::{CERT_FILE, KEY_FILE},
};
use std::{net::SocketAddr, ops::RangeInclusive, path::PathBuf};

/// The settings of the bridge's own broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointConfig {
    /// The address that workers connect to.
    pub listen: SocketAddr,
    /// Maximum number of connections.
    pub max_connections: usize,
    /// Maximum number of open channels of a connection.
    pub max_channels: u16,
    /// Maximum number of consumers of a connection.
    pub max_consumers: usize,
    /// Maximum number of a connection's own queues.
    pub max_own_queues: usize,
    /// Maximum size of a message of a worker, in bytes.
    pub max_message_bytes: u64,
    /// The prefetch of a consumer that sets none.
    pub default_prefetch: u16,
    /// Whether workers of other machines may connect without TLS.
    pub plaintext: bool,
    /// The file of the parked replies; `None` keeps them in memory.
    pub parked_path: Option<PathBuf>,
    /// The settings of TLS; `None` without it.
    pub tls: Option<TlsConfig>,
    /// The users. If there are none, any user and password are taken.
    pub users: Vec<UserConfig>,
}

impl EndpointConfig {
    /// The bounds on what workers do.
    #[must_use]
    pub fn limits(&self) -> WorkerLimits {
        WorkerLimits {
            connections: self.max_connections,
            channels: self.max_channels,
            consumers: self.max_consumers,
            own_queues: self.max_own_queues,
            message_bytes: usize::try_from(self.max_message_bytes).unwrap_or(usize::MAX),
            default_prefetch: self.default_prefetch,
        }
    }
}

/// The files for TLS. They are read at the start, and again when clients connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsConfig {
    /// The certificate of the server and those that lead to its authority, in PEM.
    pub cert_file: PathBuf,
    /// The private key of the server's certificate, in PEM.
    pub key_file: PathBuf,
    /// The authorities whose certificates clients must show, in PEM; `None` if clients need none.
    pub client_ca_file: Option<PathBuf>,
}

/// The keys of `[amqp]` that only the bridge's own broker has.
pub(crate) const KEYS: [&str; 10] = [
    "listen",
    "max_connections",
    "max_channels",
    "max_consumers",
    "max_own_queues",
    "max_message_bytes",
    "default_prefetch",
    "plaintext",
    "parked_path",
    "users",
];

/// The address where AMQP servers usually listen, for workers of this machine.
const DEFAULT_LISTEN: ([u8; 4], u16) = ([127, 0, 0, 1], 5672);

/// The range of a number that AMQP keeps in 16 bits.
const SHORT: RangeInclusive<u64> = 1..=65_535;

/// The range of the size of a message: from the longest result that AWS takes to what a connection may have unfinished.
const MESSAGE_BYTES: RangeInclusive<u64> = 262_144..=4_194_304;

/// Reads the settings from the table `[amqp]` and notes their problems. What has a problem has its default in the result.
pub(crate) fn read(amqp: &mut Reader<'_>) -> EndpointConfig {
    let help = "The address that workers connect to.";
    let listen = amqp.text("listen", help, |text| {
        text.parse()
            .map_err(|_| "must be an address and a port, like \"127.0.0.1:5672\"".to_owned())
    });
    let listen = listen.or(SocketAddr::from(DEFAULT_LISTEN));
    let help = "Maximum number of connections.";
    let max_connections = amqp.integer("max_connections", help, 1..=60_000).or(1_000);
    let help = "Maximum number of open channels of a connection.";
    let max_channels = amqp.integer("max_channels", help, SHORT).or(255);
    let help = "Maximum number of consumers of a connection.";
    let max_consumers = amqp.integer("max_consumers", help, SHORT).or(256);
    let help =
        "Maximum number of queues that a connection declares for itself, for example for cancels.";
    let max_own_queues = amqp.integer("max_own_queues", help, SHORT).or(64);
    let help = "Maximum size of a message from a worker, in bytes.";
    let max_message_bytes = amqp.integer("max_message_bytes", help, MESSAGE_BYTES);
    let max_message_bytes = max_message_bytes.or(1_048_576);
    let help = "The prefetch of a consumer that sets none, or sets 0.";
    let default_prefetch = amqp.integer("default_prefetch", help, SHORT).or(1);
    let help = "true: workers on other machines may connect without TLS.";
    let plaintext = amqp.flag("plaintext", help).or(false);
    let help = "The file of the parked replies.";
    let parked_path = amqp.text("parked_path", help, path_rule).optional();
    let has_tls = amqp.has("tls");
    let tls = read_tls(amqp.table("tls"), has_tls);
    let by_certificate = tls.as_ref().is_some_and(|tls| tls.client_ca_file.is_some());
    let users = users::read(amqp, by_certificate);
    let config = EndpointConfig {
        listen,
        max_connections,
        max_channels,
        max_consumers,
        max_own_queues,
        max_message_bytes,
        default_prefetch,
        plaintext,
        parked_path,
        tls,
        users,
    };
    if has_tls && plaintext {
        let rule = "stands beside [amqp.tls], and with TLS nobody connects without it; remove one of the two";
        amqp.problem("plaintext", Some("true".to_owned()), rule);
    }
    refuse_an_open_door(amqp, &config, has_tls);
    config
}

/// Reports an address that other machines reach without a login, or with a password that everybody on the way can read.
fn refuse_an_open_door(amqp: &Reader<'_>, config: &EndpointConfig, has_tls: bool) {
    let listen = config.listen;
    if listen.ip().is_loopback() {
        return;
    }
    if config.users.is_empty() && !amqp.has("users") {
        let rule = format!(
            "there is none, and other machines reach amqp.listen = \"{listen}\"; add an [[amqp.users]] table for each \
             user, or listen on a loopback address"
        );
        amqp.problem("users", None, rule);
    }
    if !has_tls && !config.plaintext {
        let rule = format!(
            "is missing, and other machines reach amqp.listen = \"{listen}\"; add [amqp.tls] with cert_file and key_file, \
             or write amqp.plaintext = true if the network itself is safe, or listen on a loopback address"
        );
        amqp.problem("tls", None, rule);
    }
}

fn read_tls(mut table: Reader<'_>, given: bool) -> Option<TlsConfig> {
    if !given {
        return None;
    }
    // A key that was written here by mistake must not be shown.
    let mut path = |key, help| table.secret(key, help, path_rule, shown_path);
    let cert_file = path("cert_file", CERT_FILE).required();
    let key_file = path("key_file", KEY_FILE).required();
    let help = "The authorities of the clients' certificates in PEM.";
    let client_ca_file = path("client_ca_file", help).optional();
    if table.discard("ca_file") {
        let rule = "is for the certificate of a RabbitMQ, and without amqp.uri the bridge itself is the broker; remove it, or write \
                    client_ca_file for the authorities of clients' certificates";
        table.problem("ca_file", None, rule);
    }
    table.finish();
    Some(TlsConfig {
        cert_file: cert_file.unwrap_or_default(),
        key_file: key_file.unwrap_or_default(),
        client_ca_file,
    })
}
