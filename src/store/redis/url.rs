//! The URL of a Redis. It usually contains a password.

use crate::settings::address;
use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo};
use std::{fmt, str::FromStr};

/// The URL of a Redis server, with user and password. It is shown without the password.
#[derive(Clone)]
pub struct RedisUrl(ConnectionInfo);

impl RedisUrl {
    /// The URL for the client library.
    pub(crate) fn inner(&self) -> ConnectionInfo {
        self.0.clone()
    }

    /// Whether the connection has TLS.
    pub(crate) fn is_tls(&self) -> bool {
        matches!(self.0.addr(), ConnectionAddr::TcpTls { .. })
    }

    /// Whether another URL is that of the same database of the same server.
    pub(crate) fn is_same_place(&self, other: &Self) -> bool {
        let place = |url: &Self| (url.0.addr().to_string(), url.database());
        place(self) == place(other)
    }

    /// The number of the database. A Cluster has only 0.
    #[must_use]
    pub fn database(&self) -> i64 {
        self.0.redis_settings().db()
    }
}

impl FromStr for RedisUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if !text.starts_with("redis://") && !text.starts_with("rediss://") {
            return Err("must begin with redis:// or rediss://".to_owned());
        }
        // TLS always checks the certificate. `#insecure` is the only fragment that the client library knows, so no fragment
        // is accepted.
        if text.contains('#') {
            return Err("must not have a part after '#'".to_owned());
        }
        address::refuse_raw_characters(text)?;
        let info = text.into_connection_info().map_err(|error| {
            // Only the category is shown, because the detail may quote the URL.
            format!(
                "is not a Redis URL ({}); write redis://user:password@host:6379/0",
                error.category()
            )
        })?;
        Ok(Self(info))
    }
}

impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.0.addr() {
            ConnectionAddr::TcpTls { .. } => "rediss",
            _ => "redis",
        };
        let user = self.0.redis_settings().username().unwrap_or_default();
        let at = if user.is_empty() { "" } else { "@" };
        write!(
            f,
            "{scheme}://{user}{at}{}/{}",
            self.0.addr(),
            self.database()
        )
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl PartialEq for RedisUrl {
    fn eq(&self, other: &Self) -> bool {
        let password = |url: &Self| url.0.redis_settings().password().map(str::to_owned);
        self.to_string() == other.to_string() && password(self) == password(other)
    }
}

impl Eq for RedisUrl {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_shown() {
        for (text, shown) in [
            ("redis://me:hunter2@host:1/3", "redis://me@host:1/3"),
            ("redis://:hunter2@host", "redis://host:6379/0"),
            ("rediss://[::1]:7", "rediss://::1:7/0"),
        ] {
            let url: RedisUrl = text.parse().expect(text);
            assert_eq!(url.to_string(), shown);
            assert_eq!(format!("{url:?}"), shown);
        }
        for wrong in [
            "me:hunter2@host",
            "redis://me:hunter2@host:port/0",
            "redis://me:hunter2@host/hunter2",
            "redis://me:hunter2@host/?protocol=hunter2",
            "rediss://me:hunter2@host#insecure",
            "redis+unix:///hunter2",
            "redis://me:12?hunter2@host",
            "redis://me:12/hunter2@host",
            "redis://me:hun@ter2@host",
            "redis://me:hun\tter2@host",
        ] {
            let why = wrong.parse::<RedisUrl>().expect_err(wrong);
            for part in ["hun", "ter2"] {
                assert!(!why.contains(part), "{why}");
            }
        }
    }
}
