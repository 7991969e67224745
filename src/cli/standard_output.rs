//! Standard output, whose reader may close it, as `head` does.

use std::io::{self, ErrorKind, Write};

/// Writes to standard output. That its reader has closed it is no error.
///
/// # Errors
///
/// If it can't be written.
pub(super) fn write(bytes: &[u8]) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}
