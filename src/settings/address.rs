//! The address of a server: one address, several, or a file that contains one. An address may contain a password, so it is
//! never shown.

use super::{reader::Reader, record::HIDDEN, secret_file};
use std::{
    path::{Path, PathBuf},
    str::FromStr,
};

/// The names of the three keys, and the words for messages about them.
pub(crate) struct Words {
    /// The keys for one address, for several, and for a file.
    pub(crate) keys: [&'static str; 3],
    /// What each is for.
    pub(crate) help: [&'static str; 3],
    /// The noun for an address.
    pub(crate) noun: &'static str,
    /// The noun for the server.
    pub(crate) server: &'static str,
}

/// What the three keys say.
pub(crate) struct Addresses<T> {
    /// The addresses. The list is empty if there is a problem.
    pub(crate) found: Vec<T>,
    /// The file that the address was read from. It may change.
    pub(crate) file: Option<PathBuf>,
}

/// Reads the three keys. Exactly one must be given.
pub(crate) fn read<T: FromStr<Err = String>>(
    table: &mut Reader<'_>,
    words: &Words,
) -> Addresses<T> {
    let Words {
        keys,
        help,
        noun,
        server,
    } = words;
    let [one, several, file] = *keys;
    let given = keys.iter().filter(|key| table.has(key)).count();
    let list = table.secrets(several, help[1], str::parse, without_password);
    let mut found = list.optional().unwrap_or_default();
    found.extend(
        table
            .secret(one, help[0], str::parse, without_password)
            .optional(),
    );
    let mut path_of_file = None;
    let rule = |path: &str| {
        // An address that was written here by mistake must not be shown. A path that can't be read must be shown.
        if path.contains("://") {
            return Err(format!(
                "must be the path of a file that holds the {noun}, not the {noun}"
            ));
        }
        let path = Path::new(path);
        let address = parse(&secret_file::read_text(path)?, path, noun)?;
        path_of_file = Some(path.to_owned());
        Ok(address)
    };
    let from_file = table.secret(file, help[2], rule, secret_file::shown_path);
    found.extend(from_file.optional());
    let rule = match given {
        0 => format!("is missing; say where {server} is: {one}, {several} or {file}"),
        1 => {
            return Addresses {
                found,
                file: path_of_file,
            };
        }
        _ => format!("give one of {one}, {several} and {file}, not several"),
    };
    table.problem(one, None, rule);
    Addresses {
        found: Vec::new(),
        file: None,
    }
}

/// Parses the address that a file holds.
///
/// # Errors
///
/// What is wrong with it, without a part of it.
pub(crate) fn parse<T: FromStr<Err = String>>(
    text: &str,
    path: &Path,
    noun: &str,
) -> Result<T, String> {
    text.parse()
        .map_err(|why: String| format!("the {noun} in the file {path:?} {why}"))
}

/// The parameters of an address that are no secrets.
const PLAIN_PARAMETERS: [&str; 6] = [
    "auth_mechanism",
    "channel_max",
    "connection_timeout",
    "frame_max",
    "heartbeat",
    "protocol",
];

/// An address that has no problem, as it may be shown. It is an address again.
pub(crate) fn without_password(address: &str) -> String {
    let (scheme, rest) = address.split_once("://").unwrap_or(("", address));
    let (authority, rest) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let authority = match authority.rsplit_once('@') {
        Some((login, host)) => match login.split_once(':') {
            Some((user, _)) => format!("{user}:{HIDDEN}@{host}"),
            None => authority.to_owned(),
        },
        None => authority.to_owned(),
    };
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    let shown = |parameter: &str| match parameter.split_once('=') {
        Some((name, _)) if !PLAIN_PARAMETERS.contains(&name) => format!("{name}={HIDDEN}"),
        _ => parameter.to_owned(),
    };
    let query: Vec<_> = query.split('&').map(shown).collect();
    let query = match query.concat().is_empty() {
        true => String::new(),
        false => format!("?{}", query.join("&")),
    };
    format!("{scheme}://{authority}{path}{query}")
}

/// Refuses an address in which a character of the password may be taken for the end of the password. The rest of the password would
/// be a part of the host or the path, which are shown.
///
/// # Errors
///
/// The rule, without a part of the address.
pub(crate) fn refuse_raw_characters(address: &str) -> Result<(), String> {
    let rest = address.split_once("://").map_or(address, |(_, rest)| rest);
    let (authority, rest) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    if authority.matches('@').count() > 1 || rest.contains(['@', '#']) {
        let rule = "has an @, a /, a # or a ? that is not percent-encoded in the user, the password or the path; percent-encode \
                    them there: %40, %2F, %23, %3F";
        return Err(rule.to_owned());
    }
    match address.contains(char::is_control) {
        true => Err("must not have line ends or other control characters".to_owned()),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_its_password() {
        for (address, shown) in [
            ("amqp://b", "amqp://b"),
            ("amqps://me@b:5671/%2f", "amqps://me@b:5671/%2f"),
            (
                "amqp://me:hunter2@b:5672/%2f?heartbeat=5",
                "amqp://me:***@b:5672/%2f?heartbeat=5",
            ),
            (
                "amqp://b?key=hunter2&heartbeat=5",
                "amqp://b?key=***&heartbeat=5",
            ),
            ("redis://:hunter2@h/2", "redis://:***@h/2"),
            ("redis://u:hunter2:hunter2@[::1]:1", "redis://u:***@[::1]:1"),
        ] {
            assert_eq!(without_password(address), shown);
        }
    }
}
