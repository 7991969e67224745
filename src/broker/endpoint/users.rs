//! The users of the endpoint, and the ways in which a client says who it is.

use super::{certificate::CertificateNames, exchange::Name, table};
use std::{collections::BTreeSet, fmt, hint::black_box, sync::Arc};

/// A user that may connect.
#[derive(Clone)]
pub(crate) struct User {
    /// The name.
    pub(crate) name: String,
    /// The password; `None` if the user has none.
    pub(crate) password: Option<Vec<u8>>,
    /// The name that the user's certificate has; `None` if it has none.
    pub(crate) certificate_name: Option<String>,
    /// The queues whose tasks it may see and settle; `None` for all.
    pub(crate) queues: Option<Arc<BTreeSet<Name>>>,
    /// Whether it may consume the parked replies.
    pub(crate) parked: bool,
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "User({})", self.name)
    }
}

impl User {
    fn rights(&self) -> Rights {
        Rights {
            queues: self.queues.clone(),
            parked: self.parked,
        }
    }
}

/// The users.
#[derive(Clone, Debug, Default)]
pub(crate) struct Users {
    /// The users.
    pub(crate) all: Vec<User>,
    /// Whether every client may connect with whatever it says. The endpoint then listens on loopback alone.
    pub(crate) anyone: bool,
}

/// What a client may do.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rights {
    /// The queues whose tasks it may see and settle; `None` for all.
    pub(crate) queues: Option<Arc<BTreeSet<Name>>>,
    /// Whether it may consume the parked replies.
    pub(crate) parked: bool,
}

/// How one client may log in.
#[derive(Clone, Debug, Default)]
pub(crate) struct Login {
    /// The users.
    pub(crate) users: Arc<Users>,
    /// The names of the certificate that the client has shown, and that is valid.
    pub(crate) certificate: Option<CertificateNames>,
}

impl Login {
    /// The mechanisms, as `connection.start` offers them.
    pub(crate) fn mechanisms(&self) -> &'static str {
        match self.certificate() {
            None => "PLAIN AMQPLAIN",
            Some(_) => "PLAIN AMQPLAIN EXTERNAL",
        }
    }

    /// The certificate, if any user logs in with one.
    fn certificate(&self) -> Option<&CertificateNames> {
        let users = self.users.all.iter();
        let mut names = users.filter_map(|user| user.certificate_name.as_ref());
        self.certificate.as_ref().filter(|_| names.next().is_some())
    }

    /// Reads what a client says, and checks it. The error is for the log.
    pub(crate) fn check(&self, mechanism: &str, response: &[u8]) -> Result<Rights, String> {
        let (name, password) = match (mechanism, self.certificate()) {
            // What the client says is not read: the certificate alone says who it is.
            ("EXTERNAL", Some(certificate)) => return self.users.with_certificate(certificate),
            ("PLAIN", _) => plain(response),
            ("AMQPLAIN", _) => amqplain(response),
            _ => return Err(format!("the mechanism {mechanism:?} is not offered")),
        }
        .ok_or_else(|| format!("the response to {mechanism} can't be read"))?;
        self.users.with_password(&name, &password)
    }
}

impl Users {
    fn with_certificate(&self, certificate: &CertificateNames) -> Result<Rights, String> {
        let is_named = |user: &&User| {
            let name = user.certificate_name.as_deref();
            name.is_some_and(|name| certificate.contain(name))
        };
        let mut found = self.all.iter().filter(is_named);
        match (found.next(), found.next()) {
            (Some(user), None) => Ok(user.rights()),
            (None, _) => Err(format!(
                "no user with the certificate_name of a certificate {}",
                certificate.shown()
            )),
            (Some(one), Some(other)) => Err(format!(
                "the certificate has the names of two users: {:?} and {:?}",
                one.name, other.name
            )),
        }
    }

    fn with_password(&self, name: &[u8], password: &[u8]) -> Result<Rights, String> {
        if self.anyone {
            return Ok(Rights {
                queues: None,
                parked: true,
            });
        }
        // Every user is compared, so that the time says nothing.
        let mut found = None;
        for user in &self.all {
            let Some(own) = &user.password else {
                continue;
            };
            let same = is_same(user.name.as_bytes(), name) & is_same(own, password);
            if same {
                found = Some(user);
            }
        }
        match found {
            Some(user) => Ok(user.rights()),
            None => Err(format!(
                "no user {:?} with this password",
                String::from_utf8_lossy(name)
            )),
        }
    }
}

/// `authorization NUL name NUL password`.
fn plain(response: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let mut parts = response.splitn(3, |octet| *octet == 0);
    let (_, name, password) = (parts.next()?, parts.next()?, parts.next()?);
    Some((name.to_vec(), password.to_vec()))
}

/// A table without its length, with `LOGIN` and `PASSWORD`.
fn amqplain(response: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let mut found = (None, None);
    for entry in table::entries(response) {
        match entry.ok()? {
            (b"LOGIN", table::Value::Text(text)) => found.0 = Some(text.to_vec()),
            (b"PASSWORD", table::Value::Text(text)) => found.1 = Some(text.to_vec()),
            _ => {}
        }
    }
    Some((found.0?, found.1?))
}

/// Compares in a time that depends on the lengths alone.
fn is_same(one: &[u8], other: &[u8]) -> bool {
    let differences = one.iter().zip(other).fold(0, |all, (a, b)| all | (a ^ b));
    (black_box(differences) == 0) & (one.len() == other.len())
}

#[cfg(test)]
mod tests;
