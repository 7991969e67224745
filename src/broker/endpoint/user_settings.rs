//! The settings of the users of the bridge's own broker.

use crate::settings::{Reader, required};
use std::{collections::HashMap, path::PathBuf};

/// A user: how it logs in, and what it may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserConfig {
    /// The user's name; at most 255 bytes.
    pub name: String,
    /// The file that holds the password. It is read at the start. `None`: the user logs in with a certificate only.
    pub password_file: Option<PathBuf>,
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
    let mut names = HashMap::new();
    for (index, user) in users.iter().enumerate() {
        if user.name.is_empty() {
            continue;
        }
        if let Some(first) = names.insert(&user.name, index) {
            let place = amqp.path_of("users");
            let rule = format!("{place}[{first}] has this name too; give each user its own");
            let name = Some(format!("{:?}", user.name));
            amqp.problem(&format!("users[{index}].name"), name, rule);
        }
    }
    users
}

fn read_user(mut table: Reader<'_>, by_certificate: bool) -> UserConfig {
    let name = required(&mut table, "name", name_rule);
    if !by_certificate && !table.has("password_file") {
        let rule = "is missing; give the path of a file that holds the password, or amqp.tls.client_ca_file for a login \
                    with a certificate";
        table.problem("password_file", None, rule);
    }
    // A password that was written here by mistake must not be shown.
    let password_file = table.secret("password_file", |text| match text {
        "" => Err("must not be empty".to_owned()),
        path => Ok(PathBuf::from(path)),
    });
    let routes = table.texts("routes", |text| Ok(text.to_owned()));
    let parked = table.flag("parked").unwrap_or(false);
    table.finish();
    UserConfig {
        name: name.unwrap_or_default(),
        password_file,
        routes,
        parked,
    }
}

fn name_rule(text: &str) -> Result<String, String> {
    if text.is_empty() || text.len() > 255 || text.chars().any(char::is_control) {
        return Err("must be 1 to 255 bytes long, without control characters".to_owned());
    }
    Ok(text.to_owned())
}
