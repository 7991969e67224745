//! The queue of log lines, and the thread that writes them. If the writing stands still, as with a full pipe that nobody reads,
//! this thread waits and nobody else does. Lines that do not fit into the queue are lost. Their number is told as soon as lines can
//! be written again.

use super::{
    crash_point::{CrashPoint, crash_point},
    supervise::catch,
};
use parking_lot::{Condvar, Mutex};
use std::{
    cell::Cell,
    io::{self, ErrorKind, Write},
    mem,
    sync::{Arc, OnceLock},
    thread,
    time::{Duration, Instant},
};

/// Maximum size of the lines that wait, in bytes. As many may be on their way. The lines lie in one buffer, so this bounds their
/// number too.
const MAX_BYTES: usize = 1 << 20;

/// Maximum memory that is kept for the next lines, in bytes.
const KEPT_BYTES: usize = 64 << 10;

/// Interval between attempts to write to what says that it would block.
const RETRY_INTERVAL: Duration = Duration::from_millis(50);

/// Timeout for the last lines at the end of the process.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// The queue of the process.
static OF_PROCESS: OnceLock<LogQueue> = OnceLock::new();

thread_local! {
    /// Whether this is the thread that writes.
    static IS_WRITER: Cell<bool> = const { Cell::new(false) };
}

/// See the module. Clones share the queue.
#[derive(Clone, Debug)]
pub struct LogQueue(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    /// Notified when there is a line.
    filled: Condvar,
    /// Notified when all lines are written.
    emptied: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    lines: Vec<u8>,
    /// The number of lines that were lost since that was last told.
    lost: u64,
    is_writing: bool,
}

impl LogQueue {
    /// Starts the thread that writes. `tell_lost` writes a line with the number of lines that were lost.
    ///
    /// # Errors
    ///
    /// The thread can't be started.
    pub fn start(
        to: impl Write + Send + 'static,
        tell_lost: impl Fn(u64) + Send + 'static,
    ) -> io::Result<Self> {
        let queue = Self(Arc::default());
        let writing = queue.clone();
        let thread = thread::Builder::new().name("log".to_owned());
        thread.spawn(move || {
            IS_WRITER.set(true);
            let (mut output, mut lines) = (Output::new(to), Vec::new());
            loop {
                let write = || writing.write(&mut output, &mut lines, &tell_lost);
                if catch(write).is_err() {
                    // They may be why. The log says where it panicked.
                    lines.clear();
                }
            }
        })?;
        Ok(queue)
    }

    /// Makes this the queue of the process, for [`flush`] and [`say`].
    pub fn serve_process(&self) {
        // There is one log.
        drop(OF_PROCESS.set(self.clone()));
    }

    /// Takes a whole line, without waiting.
    pub fn push(&self, line: &[u8]) {
        let mut queue = self.0.queue.lock();
        // The line about lost lines must not be lost.
        if queue.lines.len() + line.len() > MAX_BYTES && !IS_WRITER.get() {
            queue.lost += 1;
            return;
        }
        queue.lines.extend_from_slice(line);
        drop(queue);
        self.0.filled.notify_one();
    }

    /// Waits until all lines are written, but no longer than this.
    pub fn flush(&self, limit: Duration) {
        let until = Instant::now() + limit;
        let mut queue = self.0.queue.lock();
        while queue.is_writing || !queue.lines.is_empty() {
            if self.0.emptied.wait_until(&mut queue, until).timed_out() {
                return;
            }
        }
    }

    /// Writes what waits. Waits for it if there is nothing.
    fn write(&self, output: &mut Output<impl Write>, lines: &mut Vec<u8>, tell_lost: impl Fn(u64)) {
        crash_point(CrashPoint::LogLoop);
        self.take(lines);
        let lost = match output.write(lines) {
            Ok(()) => mem::take(&mut self.0.queue.lock().lost),
            Err(Unwritten(lost)) => {
                self.0.queue.lock().lost += lost;
                0
            }
        };
        lines.clear();
        lines.shrink_to(KEPT_BYTES);
        if lost > 0 {
            tell_lost(lost);
        }
    }

    fn take(&self, lines: &mut Vec<u8>) {
        let mut queue = self.0.queue.lock();
        queue.is_writing = false;
        while queue.lines.is_empty() {
            self.0.emptied.notify_all();
            self.0.filled.wait(&mut queue);
        }
        queue.is_writing = true;
        mem::swap(&mut queue.lines, lines);
    }
}

/// Writes the last lines at the end of the process, if that is possible in a second.
pub fn flush() {
    if let Some(queue) = OF_PROCESS.get() {
        queue.flush(FLUSH_TIMEOUT);
    }
}

/// Takes a whole line that is no event of the log. False if the process has no queue.
#[must_use]
pub fn say(line: &str) -> bool {
    let queue = OF_PROCESS.get();
    queue.map(|queue| queue.push(line.as_bytes())).is_some()
}

/// So many lines could not be written.
struct Unwritten(u64);

struct Output<W> {
    to: W,
    /// Whether what was written last is the beginning of a line.
    is_torn: bool,
}

impl<W: Write> Output<W> {
    fn new(to: W) -> Self {
        Self { to, is_torn: false }
    }

    /// Writes whole lines.
    #[expect(
        clippy::disallowed_methods,
        reason = "the thread does nothing else than to write"
    )]
    fn write(&mut self, lines: &[u8]) -> Result<(), Unwritten> {
        let mut rest = lines;
        while !rest.is_empty() {
            match self.to.write(if self.is_torn { b"\n" } else { rest }) {
                Ok(0) => return Err(self.give_up(lines, rest)),
                Ok(_) if self.is_torn => self.is_torn = false,
                Ok(written) => rest = &rest[written..],
                Err(error) => match error.kind() {
                    ErrorKind::Interrupted => {}
                    ErrorKind::WouldBlock => thread::sleep(RETRY_INTERVAL),
                    // Its reader has gone, or its disk is full.
                    _ => return Err(self.give_up(lines, rest)),
                },
            }
        }
        Ok(())
    }

    fn give_up(&mut self, lines: &[u8], rest: &[u8]) -> Unwritten {
        let written = &lines[..lines.len() - rest.len()];
        self.is_torn = written.last().map_or(self.is_torn, |last| *last != b'\n');
        let ends = rest.iter().filter(|byte| **byte == b'\n');
        Unwritten(ends.count() as u64)
    }
}

#[cfg(test)]
mod tests;
