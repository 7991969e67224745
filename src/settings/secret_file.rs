//! What is wrong with a file that holds one secret on one line. Editors and scripts add to such a file what nobody sees.

use std::path::Path;

/// The byte order mark, in UTF-8.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// Checks what a file holds, without the line end behind it.
///
/// # Errors
///
/// The rule, without a part of the content.
pub(crate) fn check(path: &Path, content: &[u8]) -> Result<(), String> {
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
