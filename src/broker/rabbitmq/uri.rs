//! An AMQP URI. It usually holds a password, which is never shown.

use crate::settings::address;
use lapin::uri::{AMQPScheme, AMQPUri, SASLMechanism};
use std::{fmt, net::Ipv6Addr, str::FromStr};
use url::{Host, Url};

/// The address of a broker, with the user and the password. Shown without the password.
#[derive(Clone)]
pub struct Uri {
    inner: AMQPUri,
    /// Whether the text has a password. Without one, there is that of the user `guest`.
    has_password: bool,
}

/// Interval of AMQP heartbeats, in seconds. A frozen broker is noticed after twice this time.
const HEARTBEAT_SECS: u16 = 10;

/// Maximum size of a frame: RabbitMQ's default. If it is set before the handshake, lapin reserves its buffers (32
/// frames, twice for each connection) without touching them. If lapin learns it from the broker, lapin fills the
/// buffers, which takes 16 MB of resident memory.
const FRAME_MAX: u32 = 131_072;

impl Uri {
    /// The URI for lapin. An IPv6 address is its host without brackets, as name look-ups and certificates have it.
    pub(crate) fn inner(&self) -> AMQPUri {
        self.inner.clone()
    }

    /// Whether the connection has TLS.
    pub(crate) fn is_tls(&self) -> bool {
        self.inner.scheme == AMQPScheme::AMQPS
    }

    /// Whether the certificate of the bridge is its login.
    pub(crate) fn is_external(&self) -> bool {
        self.inner.query.auth_mechanism == Some(SASLMechanism::External)
    }

    /// Whether there is a password in it.
    pub(crate) fn has_password(&self) -> bool {
        self.has_password
    }

    /// The same server, with a token as the login. RabbitMQ reads the user's name from the token.
    pub(crate) fn with_token(mut self, token: &str) -> Self {
        let user = &mut self.inner.authority.userinfo;
        user.username.clear();
        token.clone_into(&mut user.password);
        self
    }

    /// Whether another address is that of the same virtual host of the same server.
    pub(crate) fn is_same_place(&self, other: &Self) -> bool {
        let (one, other) = (&self.inner, &other.inner);
        let server = |uri: &AMQPUri| (uri.authority.host.clone(), uri.authority.port);
        server(one) == server(other) && one.vhost == other.vhost
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
        match uri.query.auth_mechanism {
            None | Some(SASLMechanism::Plain | SASLMechanism::External) => {}
            Some(_) => {
                return Err(
                    "has an auth_mechanism that the bridge does not use; write plain or external"
                        .to_owned(),
                );
            }
        }
        uri.query.heartbeat.get_or_insert(HEARTBEAT_SECS);
        uri.query.frame_max.get_or_insert(FRAME_MAX);
        let url = Url::parse(text);
        Ok(Self {
            inner: uri,
            has_password: url.is_ok_and(|url| url.password().is_some()),
        })
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
        let scheme = match self.inner.scheme {
            AMQPScheme::AMQP => "amqp",
            AMQPScheme::AMQPS => "amqps",
        };
        let authority = &self.inner.authority;
        let (user, host, port) = (
            &authority.userinfo.username,
            &authority.host,
            authority.port,
        );
        let host = match host.contains(':') {
            true => &format!("[{host}]"),
            false => host,
        };
        // With a certificate or a token as the login, the address does not say the user.
        let user = match user.is_empty() || self.is_external() {
            true => String::new(),
            false => format!("{user}@"),
        };
        let vhost = &self.inner.vhost;
        write!(f, "{scheme}://{user}{host}:{port} vhost {vhost}")
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
    fn a_login_by_certificate_or_by_token_shows_no_user() {
        let uri: Uri = "amqps://b?auth_mechanism=external".parse().expect("valid");
        assert!(uri.is_external() && uri.is_tls() && !uri.has_password());
        assert_eq!(uri.to_string(), "amqps://b:5671 vhost /");
        let uri: Uri = "amqp://b".parse().expect("valid");
        let with_token = uri.clone().with_token("ey.hunter2");
        assert_eq!(with_token.to_string(), "amqp://b:5672 vhost /");
        let login = with_token.inner().authority.userinfo;
        let login = (login.username.as_str(), login.password.as_str());
        assert_eq!(login, ("", "ey.hunter2"));
        assert!(uri.is_same_place(&with_token));
        let why = "amqp://b?auth_mechanism=amqplain".parse::<Uri>();
        assert!(why.expect_err("refused").contains("plain or external"));
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
