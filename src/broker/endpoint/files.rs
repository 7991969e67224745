//! The files that the settings name: passwords, certificates and keys.

use super::settings::EndpointConfig;
use crate::settings::{Problem, secret_file};
use std::{fmt, path::Path};

/// What is in the files.
#[derive(Debug, PartialEq, Eq)]
pub struct EndpointFiles {
    /// The passwords of the users, in the order of the configuration; `None` for a user without one.
    pub passwords: Vec<Option<UserPassword>>,
    /// The files for TLS; `None` without it.
    pub tls: Option<TlsFiles>,
}

/// The password of a user. It is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct UserPassword(pub Vec<u8>);

impl fmt::Debug for UserPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UserPassword")
    }
}

/// The files for TLS, as they were read.
#[derive(PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificates of the server, in PEM.
    pub cert: Vec<u8>,
    /// The private key, in PEM.
    pub key: Vec<u8>,
    /// The authorities of the clients' certificates, in PEM; `None` if clients need none.
    pub client_ca: Option<Vec<u8>>,
}

impl fmt::Debug for TlsFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsFiles")
    }
}

impl EndpointFiles {
    /// Reads all files. It may block.
    ///
    /// # Errors
    ///
    /// All files that can't be used, each with the key that names it.
    pub fn read(config: &EndpointConfig) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut file = |key: String, path: &Path, is_password| {
            let read = match is_password {
                true => secret_file::read_line(path),
                false => secret_file::read(path),
            };
            read.unwrap_or_else(|rule| {
                problems.push(Problem::about(key, rule));
                Vec::new()
            })
        };
        let tls = config.tls.as_ref().map(|tls| TlsFiles {
            cert: file("amqp.tls.cert_file".to_owned(), &tls.cert_file, false),
            key: file("amqp.tls.key_file".to_owned(), &tls.key_file, false),
            client_ca: tls
                .client_ca_file
                .as_ref()
                .map(|path| file("amqp.tls.client_ca_file".to_owned(), path, false)),
        });
        let mut passwords = Vec::with_capacity(config.users.len());
        for (index, user) in config.users.iter().enumerate() {
            let key = format!("amqp.users[{index}].password_file");
            let read = |path: &_| UserPassword(file(key, path, true));
            passwords.push(user.password_file.as_deref().map(read));
        }
        match problems.is_empty() {
            true => Ok(Self { passwords, tls }),
            false => Err(problems),
        }
    }

    /// The keys of the files that are not as they were.
    pub(crate) fn changes_since(&self, old: &Self) -> Vec<String> {
        let mut keys = Vec::new();
        if let (Some(new), Some(old)) = (&self.tls, &old.tls) {
            for (key, is_same) in [
                ("cert_file", new.cert == old.cert),
                ("key_file", new.key == old.key),
                ("client_ca_file", new.client_ca == old.client_ca),
            ] {
                if !is_same {
                    keys.push(format!("amqp.tls.{key}"));
                }
            }
        }
        let passwords = self.passwords.iter().zip(&old.passwords);
        for (index, (new, old)) in passwords.enumerate() {
            if new != old {
                keys.push(format!("amqp.users[{index}].password_file"));
            }
        }
        keys
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{broker::BrokerConfig, config::Config};

    const PASSWORD: &str = "correct-horse";

    /// The settings of an endpoint whose files are in this folder.
    fn config(folder: &Path) -> EndpointConfig {
        let path = |name: &str| format!("{:?}", folder.join(name));
        let text = format!(
            "[amqp]\ntls = {{ cert_file = {}, key_file = {} }}\n[[amqp.users]]\nname = \"u\"\npassword_file = {}\n\
             [[routes]]\nname = \"r\"\nqueue = \"q\"\nswf = {{ domain = \"d\", task_list = \"l\" }}\n",
            path("cert"),
            path("key"),
            path("password")
        );
        let config: Config = text.parse().expect("valid without its files");
        match config.broker {
            BrokerConfig::Endpoint(endpoint) => endpoint,
            BrokerConfig::RabbitMq(_) => panic!("there is no address"),
        }
    }

    #[test]
    fn a_password_is_read_without_its_line_end_and_is_never_shown() {
        let folder = tempfile::tempdir().expect("a folder");
        let config = config(folder.path());
        let write = |name: &str, text: &str| {
            std::fs::write(folder.path().join(name), text).expect("writable");
        };
        write("cert", "CERT\n");
        write("key", "KEY\n");
        for ending in ["", "\n", "\r\n"] {
            write("password", &format!("{PASSWORD}{ending}"));
            let files = EndpointFiles::read(&config).expect("readable");
            let password = Some(UserPassword(PASSWORD.into()));
            assert_eq!(files.passwords, [password], "{ending:?}");
            let shown = format!("{files:?}");
            assert!(
                !shown.contains("horse") && !shown.contains("KEY"),
                "{shown}"
            );
            let tls = files.tls.expect("TLS");
            assert_eq!((tls.cert, tls.key), (b"CERT\n".to_vec(), b"KEY\n".to_vec()));
        }
    }

    #[test]
    fn a_password_with_a_byte_order_mark_or_of_several_lines_is_refused_and_not_shown() {
        let folder = tempfile::tempdir().expect("a folder");
        let config = config(folder.path());
        let write = |name: &str, text: &str| {
            std::fs::write(folder.path().join(name), text).expect("writable");
        };
        write("cert", "CERT\n");
        write("key", "KEY\n");
        for (text, rule) in [
            (
                format!("\u{feff}{PASSWORD}\n"),
                "begins with a byte order mark",
            ),
            (
                format!("{PASSWORD}\n{PASSWORD}\n"),
                "has more than one line",
            ),
            (format!("{PASSWORD}\r\n\r\n"), "has more than one line"),
        ] {
            write("password", &text);
            let problems = EndpointFiles::read(&config).expect_err("refused");
            assert_eq!(problems.len(), 1, "{problems:?}");
            let problem = problems[0].to_string();
            assert!(
                problem.starts_with("amqp.users[0].password_file: ") && problem.contains(rule),
                "{problem}"
            );
            assert!(!problem.contains("horse"), "{problem}");
        }
    }

    #[test]
    fn each_file_that_cannot_be_used_is_reported_with_its_key() {
        let folder = tempfile::tempdir().expect("a folder");
        let config = config(folder.path());
        std::fs::write(folder.path().join("key"), "\n").expect("writable");
        let long = vec![b'x'; 1_048_577];
        std::fs::write(folder.path().join("password"), long).expect("writable");
        let problems = EndpointFiles::read(&config).expect_err("no file is right");
        let expected = [
            ("amqp.tls.cert_file", "can't be read: No such file"),
            ("amqp.tls.key_file", "is empty"),
            (
                "amqp.users[0].password_file",
                "is longer than 1048576 bytes",
            ),
        ];
        assert_eq!(problems.len(), expected.len(), "{problems:?}");
        for (problem, (path, rule)) in problems.iter().zip(expected) {
            assert_eq!(problem.path, path);
            assert!(problem.rule.contains(rule), "{problem}");
        }
    }
}
