//! The log of this process: warnings and errors of all tests.

use std::{
    io::{self, Write},
    sync::{Mutex, MutexGuard, Once, PoisonError},
};
use tracing::Level;

static LOG: Mutex<Vec<u8>> = Mutex::new(Vec::new());

fn log() -> MutexGuard<'static, Vec<u8>> {
    LOG.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Writer;

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        log().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Begins to keep the log. To be called before what is to be in it.
pub fn keep() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let subscriber = tracing_subscriber::fmt().with_max_level(Level::WARN);
        subscriber.with_ansi(false).with_writer(|| Writer).init();
    });
}

/// The lines with this text. It must be one that no other test causes.
pub fn lines(text: &str) -> Vec<String> {
    let log = String::from_utf8_lossy(&log()).into_owned();
    let lines = log.lines().filter(|line| line.contains(text));
    lines.map(str::to_owned).collect()
}
