//! The files that the settings name: passwords, certificates and keys. They are read once, at the start.

use super::settings::EndpointConfig;
use crate::settings::{Problem, secret_file};
use std::{fmt, fs::File, io::Read, path::Path};

/// Maximum size of one of these files, in bytes.
const MAX_FILE_BYTES: u64 = 1_048_576;

/// What is in the files.
#[derive(Debug)]
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
    /// Reads all files.
    ///
    /// # Errors
    ///
    /// All files that can't be used, each with the key that names it.
    pub fn read(config: &EndpointConfig) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut file = |key: String, path: &Path, is_password| match read_file(path, is_password) {
            Ok(bytes) => bytes,
            Err(rule) => {
                problems.push(Problem {
                    file: None,
                    path: key,
                    value: None,
                    rule,
                });
                Vec::new()
            }
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
            let read = |path: &_| UserPassword(without_line_end(file(key, path, true)));
            passwords.push(user.password_file.as_deref().map(read));
        }
        match problems.is_empty() {
            true => Ok(Self { passwords, tls }),
            false => Err(problems),
        }
    }
}

fn read_file(path: &Path, is_password: bool) -> Result<Vec<u8>, String> {
    let unreadable = |error: std::io::Error| format!("the file {path:?} can't be read: {error}");
    let file = File::open(path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    let within = file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes);
    within.map_err(unreadable)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(format!(
            "the file {path:?} is longer than {MAX_FILE_BYTES} bytes"
        ));
    }
    let content = without_line_end(bytes.clone());
    if content.is_empty() {
        return Err(format!("the file {path:?} is empty"));
    }
    if is_password {
        secret_file::check(path, &content)?;
    }
    Ok(bytes)
}

/// The bytes without one line end.
fn without_line_end(mut bytes: Vec<u8>) -> Vec<u8> {
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
    }
    bytes
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
