//! The settings of a RabbitMQ: where it is, and how the bridge logs in.

use super::uri::Uri;
use crate::{
    settings::{Reader, address, secret_file},
    tls::{CERT_FILE, ClientTls, KEY_FILE, TlsHelp},
};
use std::path::PathBuf;

/// The settings of a RabbitMQ.
#[derive(Clone, Debug)]
pub struct RabbitMqConfig {
    /// Its addresses, tried in turn; at least one. One that is from a file is as the file was at the start.
    pub uris: Vec<Uri>,
    /// The file that holds the address; `None` if the configuration does.
    pub uri_file: Option<PathBuf>,
    /// The files for TLS; `None` for what the system trusts.
    pub tls: Option<ClientTls>,
    /// The file that holds a token, which is the login.
    pub token_file: Option<PathBuf>,
}

/// The keys that say where a RabbitMQ is.
pub(crate) const URI_KEYS: [&str; 3] = ["uri", "uris", "uri_file"];

/// The noun for an address.
pub(super) const NOUN: &str = "URI";

impl RabbitMqConfig {
    /// At these addresses, without files.
    #[must_use]
    pub fn at(uris: Vec<Uri>) -> Self {
        Self {
            uris,
            uri_file: None,
            tls: None,
            token_file: None,
        }
    }

    /// Whether there is a file that may change.
    pub(super) fn has_files(&self) -> bool {
        self.uri_file.is_some() || self.tls.is_some() || self.token_file.is_some()
    }

    /// Refuses an address that the other settings do not fit.
    ///
    /// # Errors
    ///
    /// The rule; it completes a sentence that begins with the address.
    pub(super) fn check(&self, uri: &Uri) -> Result<(), String> {
        let shows = self.tls.as_ref().is_some_and(ClientTls::has_identity);
        let why = if self.tls.is_some() && !uri.is_tls() {
            "begins with amqp://, and [amqp.tls] is for amqps://; write amqps://, or remove [amqp.tls]"
        } else if uri.is_external() && !(uri.is_tls() && shows) {
            "has auth_mechanism=external, so the certificate is the login; write amqps://, and set amqp.tls.cert_file and key_file"
        } else if uri.is_external() && self.token_file.is_some() {
            "has auth_mechanism=external, and amqp.token_file is a login too; remove one of the two"
        } else if uri.has_password() && self.token_file.is_some() {
            "has a password, and amqp.token_file is a login too; remove one of the two"
        } else {
            return Ok(());
        };
        Err(why.to_owned())
    }
}

/// Reads the settings from the table `[amqp]`. `None` if the address has a problem.
pub(crate) fn read(amqp: &mut Reader<'_>) -> Option<RabbitMqConfig> {
    let given = URI_KEYS.into_iter().find(|key| amqp.has(key));
    let words = address::Words {
        keys: URI_KEYS,
        help: [
            "The address of the broker.",
            "Several addresses of one broker cluster.",
            "A file that holds the URI, with or without a line end.",
        ],
        noun: NOUN,
        server: "the broker",
    };
    let addresses: address::Addresses<Uri> = address::read(amqp, &words);
    let help = "A file that holds a token of OAuth 2.0, which is the login.";
    let rule = |text: &str| {
        match text.starts_with("ey") {
        true => {
            Err("must be the path of a file that holds the token, not the token; a relative path may begin with ./".to_owned())
        }
        false => secret_file::path_rule(text),
    }
    };
    let token_file = amqp.secret("token_file", help, rule, secret_file::shown_path);
    let config = RabbitMqConfig {
        uris: addresses.found,
        uri_file: addresses.file,
        tls: read_tls(amqp),
        token_file: token_file.optional(),
    };
    let refused = config.uris.iter().find_map(|uri| config.check(uri).err());
    if let (Some(key), Some(why)) = (given, refused) {
        amqp.problem(key, None, why);
    }
    (!config.uris.is_empty()).then_some(config)
}

fn read_tls(amqp: &mut Reader<'_>) -> Option<ClientTls> {
    let given = amqp.has("tls");
    let mut table = amqp.table("tls");
    if !given {
        return None;
    }
    if table.discard("client_ca_file") {
        let rule = "is for the bridge as the broker, and there is the address of a RabbitMQ; write ca_file for the authorities of its \
                    certificate";
        table.problem("client_ca_file", None, rule);
    }
    let help = TlsHelp {
        ca_file: "The authorities of RabbitMQ's certificate in PEM.",
        cert_file: CERT_FILE,
        key_file: KEY_FILE,
    };
    let tls = ClientTls::read("amqp.tls", &mut table, help);
    table.finish();
    Some(tls)
}
