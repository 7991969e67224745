//! An AMQP URI. It usually holds a password, which is never shown.

use lapin::uri::{AMQPScheme, AMQPUri};
use std::{fmt, str::FromStr};

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
    /// The URI for lapin.
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
        let mut uri: AMQPUri = text.parse().map_err(|why| {
            format!("is not an AMQP URI ({why}); write amqp://user:password@host:5672/%2f")
        })?;
        uri.query.heartbeat.get_or_insert(HEARTBEAT_SECS);
        uri.query.frame_max.get_or_insert(FRAME_MAX);
        Ok(Self(uri))
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
}
