//! The users of the endpoint, and the two ways in which a client says who it is.

use super::{exchange::Name, table};
use std::{collections::BTreeSet, fmt, hint::black_box, sync::Arc};

/// A user that may connect.
#[derive(Clone)]
pub(crate) struct User {
    /// The name.
    pub(crate) name: String,
    /// The password.
    pub(crate) password: Vec<u8>,
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

/// The users.
#[derive(Clone, Debug, Default)]
pub(crate) struct Users {
    /// The users that log in with a password.
    pub(crate) by_name: Vec<User>,
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

impl Users {
    /// The mechanisms, as `connection.start` offers them.
    pub(crate) const MECHANISMS: &'static str = "PLAIN AMQPLAIN";

    /// Reads what a client says, and checks it. The error is for the log.
    pub(crate) fn check(&self, mechanism: &str, response: &[u8]) -> Result<Rights, String> {
        let (name, password) = match mechanism {
            "PLAIN" => plain(response),
            "AMQPLAIN" => amqplain(response),
            other => return Err(format!("the mechanism {other:?} is not offered")),
        }
        .ok_or_else(|| format!("the response to {mechanism} can't be read"))?;
        if self.anyone {
            return Ok(Rights {
                queues: None,
                parked: true,
            });
        }
        // Every user is compared, so that the time says nothing.
        let mut found = None;
        for user in &self.by_name {
            let same = is_same(user.name.as_bytes(), &name) & is_same(&user.password, &password);
            if same {
                found = Some(user);
            }
        }
        match found {
            Some(user) => Ok(Rights {
                queues: user.queues.clone(),
                parked: user.parked,
            }),
            None => Err(format!(
                "no user {:?} with this password",
                String::from_utf8_lossy(&name)
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
mod tests {
    use super::*;

    fn users() -> Users {
        Users {
            anyone: false,
            by_name: vec![User {
                name: "shop".to_owned(),
                password: "se\u{e9}cret".as_bytes().to_vec(),
                queues: Some(Arc::new(BTreeSet::from(["payments".into()]))),
                parked: false,
            }],
        }
    }

    #[test]
    fn a_user_needs_its_password_by_either_mechanism() {
        let plain = "\0shop\0se\u{e9}cret".as_bytes();
        assert!(
            users()
                .check("PLAIN", plain)
                .is_ok_and(|rights| rights.queues.is_some())
        );
        let text = |name: &str, value: &str| {
            let mut bytes = vec![u8::try_from(name.len()).expect("short")];
            bytes.extend(name.as_bytes());
            bytes.push(b'S');
            bytes.extend(u32::try_from(value.len()).expect("short").to_be_bytes());
            bytes.extend(value.as_bytes());
            bytes
        };
        let table = [text("LOGIN", "shop"), text("PASSWORD", "se\u{e9}cret")].concat();
        assert!(users().check("AMQPLAIN", &table).is_ok());
        for (mechanism, response) in [
            ("PLAIN", "\0shop\0wrong"),
            ("PLAIN", "\0shop\0"),
            ("PLAIN", "\0other\0se\u{e9}cret"),
            ("PLAIN", "shop"),
            ("AMQPLAIN", "\0shop\0se\u{e9}cret"),
            ("EXTERNAL", ""),
        ] {
            assert!(
                users().check(mechanism, response.as_bytes()).is_err(),
                "{mechanism} {response:?}"
            );
        }
    }

    #[test]
    fn without_users_any_credentials_are_taken() {
        let anyone = Users {
            anyone: true,
            ..Users::default()
        };
        assert!(anyone.check("PLAIN", b"\0guest\0guest").is_ok());
        assert!(Users::default().check("PLAIN", b"\0guest\0guest").is_err());
    }
}
