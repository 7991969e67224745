//! The address of a server: one address, several, or a file that contains one. An address may contain a password, so it is
//! never shown.

use super::{reader::Reader, secret_file};
use std::{path::Path, str::FromStr};

/// The names of the three keys, and the words for messages about them.
pub(crate) struct Words {
    /// The keys for one address, for several, and for a file.
    pub(crate) keys: [&'static str; 3],
    /// The noun for an address.
    pub(crate) noun: &'static str,
    /// The noun for the server.
    pub(crate) server: &'static str,
}

/// Reads the three keys. Exactly one must be given. The list is empty if there is a problem.
pub(crate) fn read<T: FromStr<Err = String>>(table: &mut Reader<'_>, words: &Words) -> Vec<T> {
    let Words { keys, noun, server } = words;
    let [one, several, file] = *keys;
    let given = keys.iter().filter(|key| table.has(key)).count();
    let mut found = table.secrets(several, str::parse);
    found.extend(table.secret(one, str::parse));
    found.extend(table.secret(file, |path| {
        // An address that was written here by mistake must not be shown. A path that can't be read must be shown.
        if path.contains("://") {
            return Err(format!(
                "must be the path of a file that holds the {noun}, not the {noun}"
            ));
        }
        let text = std::fs::read_to_string(path)
            .map_err(|error| format!("the file {path:?} can't be read: {error}"))?;
        let address = text.trim();
        secret_file::check(Path::new(path), address.as_bytes())?;
        let address = address.parse();
        address.map_err(|why: String| format!("the {noun} in the file {path:?} {why}"))
    }));
    let rule = match given {
        0 => format!("is missing; say where {server} is: {one}, {several} or {file}"),
        1 => return found,
        _ => format!("give one of {one}, {several} and {file}, not several"),
    };
    table.problem(one, None, rule);
    Vec::new()
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
