//! An AMQP URI. It usually holds a password, which is never shown.

use crate::settings::address;
use lapin::uri::{AMQPScheme, AMQPUri};
use std::{fmt, net::Ipv6Addr, str::FromStr};
use url::{Host, Url};

/// The address of a broker, with the user and the password. Shown without the password.
#[derive(Clone)]
pub struct Uri(AMQPUri);

/// Interval of AMQP heartbeats, in seconds. A frozen broker is noticed after twice this time.
const HEARTBEAT_SECS: u16 = 10;

/// Maximum size of a frame: RabbitMQ's default. If it is set before the handshake, lapin reserves its buffers (32
/// frames, twice for each connection) without touching them. If lapin learns it from the broker, lapin fills the
/// buffers, which takes 16 MB of resident memory.
const FRAME_MAX: u32 = 131_072;

impl Uri {
    /// The URI for lapin. An IPv6 address is its host without brackets, as name look-ups and certificates have it.
    pub(crate) fn inner(&self) -> AMQPUri {
        self.0.clone()
    }
}

impl FromStr for Uri {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if !text.starts_with("amqp://") && !text.starts_with("amqps://") {
            return Err("must begin with amqp:// or amqps://".to_owned());
        }
        address::refuse_raw_characters(text)?;
        let mut uri: AMQPUri = text.parse().map_err(|why| {
            format!("is not an AMQP URI ({why}); write amqp://user:password@host:5672/%2f")
        })?;
        // lapin takes only names and IPv4 addresses from a URI, and `localhost` for all else.
        if let Some(address) = ipv6_address(text) {
            uri.authority.host = address.to_string();
        }
        uri.query.heartbeat.get_or_insert(HEARTBEAT_SECS);
        uri.query.frame_max.get_or_insert(FRAME_MAX);
        Ok(Self(uri))
    }
}

fn ipv6_address(uri: &str) -> Option<Ipv6Addr> {
    match Url::parse(uri).ok()?.host()? {
        Host::Ipv6(address) => Some(address),
        Host::Ipv4(_) | Host::Domain(_) => None,
    }
}

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.0.scheme {
            AMQPScheme::AMQP => "amqp",
            AMQPScheme::AMQPS => "amqps",
        };
        let authority = &self.0.authority;
        let (user, host, port) = (
            &authority.userinfo.username,
            &authority.host,
            authority.port,
        );
        let host = match host.contains(':') {
            true => &format!("[{host}]"),
            false => host,
        };
        write!(f, "{scheme}://{user}@{host}:{port} vhost {}", self.0.vhost)
    }
}

impl fmt::Debug for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_shown() {
        let uri: Uri = "amqp://me:hunter2@host:1/%2f".parse().expect("valid");
        assert_eq!(format!("{uri:?}"), "amqp://me@host:1 vhost /");
        let wrong = "amqp://me:hunter2@host:port/"
            .parse::<Uri>()
            .expect_err("no port");
        assert!(!wrong.contains("hunter2"), "{wrong}");
    }

    #[test]
    fn an_ipv6_literal_is_the_host() {
        for (text, host, shown) in [
            (
                "amqp://me:pw@[fd00::5]:5673/%2f",
                "fd00::5",
                "amqp://me@[fd00::5]:5673 vhost /",
            ),
            (
                "amqps://[2001:DB8:0::1]",
                "2001:db8::1",
                "amqps://guest@[2001:db8::1]:5671 vhost /",
            ),
            (
                "amqp://[::ffff:127.0.0.2]/shop",
                "::ffff:127.0.0.2",
                "amqp://guest@[::ffff:127.0.0.2]:5672 vhost shop",
            ),
        ] {
            let uri: Uri = text.parse().expect(text);
            assert_eq!(uri.inner().authority.host, host);
            assert_eq!(uri.to_string(), shown);
        }
        for wrong in [
            "amqp://[fd00::5",
            "amqp://[fd00::5%25eth0]",
            "amqp://fd00::5",
        ] {
            assert!(wrong.parse::<Uri>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn other_hosts_passwords_and_virtual_hosts_are_read_as_before() {
        for (text, host, password, vhost) in [
            ("amqp://127.0.0.1", "127.0.0.1", "guest", "/"),
            ("amqp://me:p%40%2F%23%3F%25@host//", "host", "p@/#?%", "/"),
            (
                "amqp://me:a:b$c&d=e@host/a%2fb?heartbeat=5",
                "host",
                "a:b$c&d=e",
                "a/b",
            ),
            ("amqp:///shop", "localhost", "guest", "shop"),
        ] {
            let uri = text.parse::<Uri>().expect(text).inner();
            let authority = uri.authority;
            let found = (
                authority.host.as_str(),
                authority.userinfo.password.as_str(),
                uri.vhost.as_str(),
            );
            assert_eq!(found, (host, password, vhost), "{text}");
        }
    }

    #[test]
    fn a_character_of_the_password_that_would_end_it_is_refused_with_the_way_to_write_it() {
        for text in [
            "amqp://me:12/34secret@host:5672/%2f",
            "amqp://me:34secret@12@host/%2f",
            "amqp://me:12#34secret@host/%2f",
            "amqp://me:12?34secret@host/%2f",
            "amqps://me:12/3@4secret@host",
            "amqp://12/34secret@host",
            "amqp://me:pw@host/34secret#",
        ] {
            let why = text.parse::<Uri>().expect_err(text);
            assert!(why.contains("percent-encode"), "{text}: {why}");
            assert!(!why.contains("secret"), "{text}: {why}");
        }
        for text in ["amqp://me:34\nsecret@host", "amqp://me:34secret@host\t"] {
            let why = text.parse::<Uri>().expect_err(text);
            assert!(
                why.contains("control characters") && !why.contains("secret"),
                "{why}"
            );
        }
    }
}
