//! The table `tls` of the settings of a client, and the files that it names.

use crate::settings::{Problem, Reader, secret_file};
use std::{fmt, path::PathBuf};

/// The files for TLS to a server. They are read anew for each attempt to connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientTls {
    /// The path of the table in the configuration, for messages.
    pub place: &'static str,
    /// The authorities that are trusted, in PEM; `None` for those of the system.
    pub ca_file: Option<PathBuf>,
    /// The certificate that the bridge shows and those that lead to its authority, in PEM; `None` if it shows none.
    pub cert_file: Option<PathBuf>,
    /// The private key of that certificate, in PEM.
    pub key_file: Option<PathBuf>,
}

/// What is in the files. It is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct ClientTlsFiles {
    /// The path of the table in the configuration, for messages.
    pub(crate) place: &'static str,
    /// The authorities that are trusted, in PEM; `None` for those of the system.
    pub(crate) ca: Option<Vec<u8>>,
    /// What the bridge shows; `None` if it shows nothing.
    pub(crate) identity: Option<Identity>,
}

/// A certificate and its private key, in PEM.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) certificates: Vec<u8>,
    pub(crate) key: Vec<u8>,
}

impl fmt::Debug for ClientTlsFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientTlsFiles")
    }
}

/// What the file of the bridge's certificate at its broker is for, or as the broker.
pub(crate) const CERT_FILE: &str =
    "The certificate of the bridge in PEM, and after it those that lead to its authority.";

/// What the file of its key is for.
pub(crate) const KEY_FILE: &str = "The private key of that certificate in PEM.";

/// What the keys are for.
pub(crate) struct TlsHelp {
    pub(crate) ca_file: &'static str,
    pub(crate) cert_file: &'static str,
    pub(crate) key_file: &'static str,
}

impl ClientTls {
    /// Reads the table, which is there. `place` is its path.
    pub(crate) fn read(place: &'static str, table: &mut Reader<'_>, help: TlsHelp) -> Self {
        let has = ["cert_file", "key_file"].map(|key| table.has(key));
        // A key that was written here by mistake must not be shown.
        let mut path = |key, help| {
            let (rule, shown) = (secret_file::path_rule, secret_file::shown_path);
            table.secret(key, help, rule, shown).optional()
        };
        let ca_file = path("ca_file", help.ca_file);
        let cert_file = path("cert_file", help.cert_file);
        let key_file = path("key_file", help.key_file);
        match has {
            [true, false] => table.problem("key_file", None, "is missing beside cert_file"),
            [false, true] => table.problem("cert_file", None, "is missing beside key_file"),
            _ => {}
        }
        Self {
            place,
            ca_file,
            cert_file,
            key_file,
        }
    }

    /// Whether the bridge shows a certificate.
    #[must_use]
    pub fn has_identity(&self) -> bool {
        self.cert_file.is_some() && self.key_file.is_some()
    }

    /// Reads the files.
    ///
    /// # Errors
    ///
    /// The first file that can't be read, with the key that names it.
    pub(crate) fn read_files(&self) -> Result<ClientTlsFiles, Problem> {
        let file = |key: &str, path: &Option<PathBuf>| {
            let read = |path: &PathBuf| {
                secret_file::read(path).map_err(|rule| problem(self.place, key, rule))
            };
            path.as_ref().map(read).transpose()
        };
        let ca = file("ca_file", &self.ca_file)?;
        let certificates = file("cert_file", &self.cert_file)?;
        let key = file("key_file", &self.key_file)?;
        Ok(ClientTlsFiles {
            place: self.place,
            ca,
            identity: certificates
                .zip(key)
                .map(|(certificates, key)| Identity { certificates, key }),
        })
    }
}

impl ClientTlsFiles {
    /// The system's authorities, and nothing to show.
    pub(crate) fn of_the_system(place: &'static str) -> Self {
        Self {
            place,
            ca: None,
            identity: None,
        }
    }
}

/// A problem with a file that a key of the table names.
pub(super) fn problem(place: &str, key: &str, rule: String) -> Problem {
    Problem::about(format!("{place}.{key}"), rule)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_file_that_cannot_be_read_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = |name: &str| Some(folder.path().join(name));
        let tls = ClientTls {
            place: "store.tls",
            ca_file: file("ca"),
            cert_file: file("cert"),
            key_file: file("key"),
        };
        for (name, said) in [
            ("ca", "can't be read: No such file"),
            ("cert", "can't be read: No such file"),
            ("key", "is empty"),
        ] {
            if name == "key" {
                std::fs::write(folder.path().join(name), "\n").expect("writable");
            }
            let problem = tls.read_files().expect_err(name).to_string();
            let begins = format!("store.tls.{name}_file: the file ");
            assert!(
                problem.starts_with(&begins) && problem.contains(said),
                "{problem}"
            );
            std::fs::write(folder.path().join(name), name).expect("writable");
        }
        let files = tls.read_files().expect("readable");
        assert_eq!(files.ca, Some(b"ca".to_vec()));
        let shown = format!("{files:?}");
        assert_eq!(shown, "ClientTlsFiles");
    }
}
