//! Small files that settings name: passwords, addresses, tokens, certificates, keys. What is wrong with one is told without a part of
//! it.

use super::record::HIDDEN;
use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

/// Maximum size of one of these files, in bytes.
const MAX_FILE_BYTES: u64 = 1_048_576;

/// The byte order mark, in UTF-8.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// The path of a file. What belongs into the file was sometimes written here instead, so a value with a problem must not be shown.
///
/// # Errors
///
/// The rule, without a part of the value.
pub(crate) fn path_rule(text: &str) -> Result<PathBuf, String> {
    if text.is_empty() {
        return Err("must not be empty".to_owned());
    }
    if text.contains("-----") || text.contains(char::is_control) {
        return Err("must be the path of a file, not what is in it".to_owned());
    }
    Ok(text.into())
}

/// The path as it may be shown: only where there is such a file. Otherwise it may be what belongs into the file.
pub(crate) fn shown_path(text: &str) -> String {
    match Path::new(text).exists() {
        true => text.to_owned(),
        false => HIDDEN.to_owned(),
    }
}

/// Reads a file. It may block.
///
/// # Errors
///
/// The file can't be read, is too long or is empty.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, String> {
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
    match bytes.trim_ascii().is_empty() {
        true => Err(format!("the file {path:?} is empty")),
        false => Ok(bytes),
    }
}

/// Reads a file that holds one secret on one line. Editors and scripts add to such a file what nobody sees. It may block.
///
/// # Errors
///
/// As [`read`], and what is wrong with the line.
pub(crate) fn read_line(path: &Path) -> Result<Vec<u8>, String> {
    let content = without_line_end(read(path)?);
    check(path, &content)?;
    Ok(content)
}

/// As [`read_line`] for a text with blanks and line ends around it, which do not count.
///
/// # Errors
///
/// As [`read_line`], or the file is not UTF-8.
pub(crate) fn read_text(path: &Path) -> Result<String, String> {
    let text = String::from_utf8(read(path)?);
    let text = text.map_err(|_| format!("the file {path:?} is not UTF-8; save it as UTF-8"))?;
    let text = text.trim();
    check(path, text.as_bytes())?;
    Ok(text.to_owned())
}

fn check(path: &Path, content: &[u8]) -> Result<(), String> {
    if content.starts_with(BYTE_ORDER_MARK) {
        return Err(format!(
            "the file {path:?} begins with a byte order mark; save it as UTF-8 without one"
        ));
    }
    if content.contains(&b'\n') || content.contains(&b'\r') {
        return Err(format!(
            "the file {path:?} has more than one line; leave one line in it"
        ));
    }
    Ok(())
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
