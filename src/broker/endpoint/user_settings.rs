//! The settings of the users of the bridge's own broker.

use crate::settings::{
    Reader,
    secret_file::{path_rule, shown_path},
};
use std::{collections::HashMap, path::PathBuf};

/// Maximum length of the name of a certificate, in bytes. It is that of a SPIFFE ID, the longest name that is common.
const CERTIFICATE_NAME_BYTES: usize = 2_048;

/// A user: how it logs in, and what it may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserConfig {
    /// The user's name; at most 255 bytes.
    pub name: String,
    /// The file that holds the password. It is read at the start, and again when clients connect. `None`: the user logs in with a certificate only.
    pub password_file: Option<PathBuf>,
    /// The name that the user's certificate has. `None`: the user logs in with a password only.
    pub certificate_name: Option<String>,
    /// The names of the routes whose tasks the user sees and settles; `None` for all routes.
    pub routes: Option<Vec<String>>,
    /// Whether the user may read parked replies.
    pub parked: bool,
}

/// Reads the tables `[[amqp.users]]`. `by_certificate`: clients show a certificate, which is a login too.
pub(super) fn read(amqp: &mut Reader<'_>, by_certificate: bool) -> Vec<UserConfig> {
    let tables = amqp.tables("users");
    let users: Vec<_> = tables
        .into_iter()
        .map(|table| read_user(table, by_certificate))
        .collect();
    let names = users.iter().map(|user| Some(user.name.as_str()));
    refuse_a_second(amqp, "name", names);
    let names = users.iter().map(|user| user.certificate_name.as_deref());
    refuse_a_second(amqp, "certificate_name", names);
    users
}

/// Reports each user that has a name of another user's.
fn refuse_a_second<'a>(amqp: &Reader<'_>, key: &str, names: impl Iterator<Item = Option<&'a str>>) {
    let mut seen = HashMap::new();
    for (index, name) in names.enumerate() {
        // What has a problem already is empty.
        let Some(name) = name.filter(|name| !name.is_empty()) else {
            continue;
        };
        if let Some(first) = seen.insert(name, index) {
            let place = amqp.path_of("users");
            let rule = format!("{place}[{first}] has this name too; give each user its own");
            let name = Some(format!("{name:?}"));
            amqp.problem(&format!("users[{index}].{key}"), name, rule);
        }
    }
}

fn read_user(mut table: Reader<'_>, by_certificate: bool) -> UserConfig {
    let name = table.text("name", "The name of the user.", |text| name_rule(text, 255));
    let name = name.required();
    if !table.has("password_file") && !table.has("certificate_name") {
        let rule = "is missing; give the path of a file that holds the password, or certificate_name for a login with a \
                    certificate";
        table.problem("password_file", None, rule);
    }
    // A password that was written here by mistake must not be shown.
    let help = "A file that holds the user's password, with or without a line end.";
    let password_file = table.secret("password_file", help, path_rule, shown_path);
    let password_file = password_file.optional();
    let help = "The name that the user's certificate has: a client that shows such a certificate may log in as the user by the mechanism \
                EXTERNAL.";
    let certificate_name = table.text("certificate_name", help, |text| {
        name_rule(text, CERTIFICATE_NAME_BYTES)
    });
    let certificate_name = certificate_name.optional();
    if let Some(name) = &certificate_name
        && !by_certificate
    {
        let rule = "needs amqp.tls.client_ca_file; without it no client shows a certificate";
        table.problem("certificate_name", Some(format!("{name:?}")), rule);
    }
    let help = "The routes whose tasks the user sees and settles.";
    let routes = table.texts("routes", help, |text| Ok(text.to_owned()));
    let routes = routes.optional();
    let help = "true: the user may read the parked replies.";
    let parked = table.flag("parked", help).or(false);
    table.finish();
    UserConfig {
        name: name.unwrap_or_default(),
        password_file,
        certificate_name,
        routes,
        parked,
    }
}

fn name_rule(text: &str, bytes: usize) -> Result<String, String> {
    if text.is_empty() || text.len() > bytes || text.chars().any(char::is_control) {
        return Err(format!(
            "must be 1 to {bytes} bytes long, without control characters"
        ));
    }
    Ok(text.to_owned())
}
