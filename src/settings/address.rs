//! The address of a server: one address, several, or a file that contains one. An address may contain a password, so it is
//! never shown.

use super::{reader::Reader, secret_file};
use std::{
    path::{Path, PathBuf},
    str::FromStr,
};

/// The names of the three keys, and the words for messages about them.
pub(crate) struct Words {
    /// The keys for one address, for several, and for a file.
    pub(crate) keys: [&'static str; 3],
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
    let Words { keys, noun, server } = words;
    let [one, several, file] = *keys;
    let given = keys.iter().filter(|key| table.has(key)).count();
    let mut found = table.secrets(several, str::parse);
    found.extend(table.secret(one, str::parse));
    let mut path_of_file = None;
    found.extend(table.secret(file, |path| {
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
    }));
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
