//! Reads files while the process runs. Each read has a thread of its own, so that a disk that hangs stops nothing else.

use std::{sync::Arc, thread, time::Duration};
use tokio::{
    sync::{Semaphore, oneshot},
    time::timeout,
};

/// Timeout for one read, and for the one before it.
const READ_TIMEOUT: Duration = Duration::from_secs(5);

/// See the module. Clones share the one thread that there may be at a time.
#[derive(Clone, Debug)]
pub struct FileReads(Arc<Semaphore>);

impl Default for FileReads {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(1)))
    }
}

impl FileReads {
    /// Runs a read on a thread.
    ///
    /// # Errors
    ///
    /// What hinders it, in words. It may still read after a timeout; then later reads end with an error, too, until it has ended.
    ///
    /// # Cancel safety
    ///
    /// The thread reads to its end, and the result is dropped.
    pub async fn run<T: Send + 'static>(
        &self,
        read: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, String> {
        let reading = async {
            let permit = Arc::clone(&self.0).acquire_owned().await;
            let (sender, result) = oneshot::channel();
            let thread = thread::Builder::new().name("files".to_owned());
            let started = thread.spawn(move || {
                let read = read();
                drop(permit);
                // An error means that nobody waits any more.
                drop(sender.send(read));
            });
            started.map_err(|error| format!("no thread can be started to read files: {error}"))?;
            // An error means that the read panicked.
            let panicked =
                |_| "reading the files panicked; this is a bug of activity-bridge".to_owned();
            result.await.map_err(panicked)
        };
        timeout(READ_TIMEOUT, reading).await.unwrap_or_else(|_| {
            let secs = READ_TIMEOUT.as_secs();
            Err(format!(
                "the files were not read within {secs} s; is their disk there?"
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[tokio::test]
    async fn a_read_that_hangs_ends_with_an_error_and_no_second_thread_is_started() {
        let reads = FileReads::default();
        assert_eq!(reads.run(|| 7).await, Ok(7));
        let (goes_on, waits) = mpsc::channel::<()>();
        let hung = reads.run(move || waits.recv().is_ok()).await;
        let why = hung.expect_err("it hangs");
        assert!(why.contains("is their disk there?"), "{why}");
        let why = reads
            .run(|| 8)
            .await
            .expect_err("the first one still reads");
        assert!(why.contains("is their disk there?"), "{why}");
        goes_on.send(()).expect("it waits");
        assert_eq!(reads.run(|| 9).await, Ok(9));
    }

    #[tokio::test]
    async fn a_read_that_panics_ends_with_an_error_and_the_next_one_is_made() {
        let reads = FileReads::default();
        let why = reads.run::<u8>(|| panic!("a test")).await;
        let why = why.expect_err("it panicked");
        assert!(why.contains("panicked"), "{why}");
        assert_eq!(reads.run(|| 7).await, Ok(7));
    }
}
