//! Supervision of what runs beside the main task of the process: loops, which never end while the process runs, and
//! tasks of the runtime, which may end.
//!
//! If a loop ends or panics, the process ends. If a task panics, the process ends too. The token store and the broker
//! make a crash harmless. A process that reports ready and does nothing is worse. During a shutdown, both cases are
//! only logged, because the shutdown has a time limit of its own.
//!
//! A panic over one message must not end the process, because the next process would get the message again. So code
//! that reads a message runs in [`catch`] or [`catch_async`].

use futures_util::{FutureExt, future::BoxFuture};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll},
};
use tokio::{sync::watch, task::JoinHandle};
use tracing::{debug, error};

/// Supervises the loops and the tasks of one process. Clones share their state.
///
/// Each loop and task is a boxed `dyn Future`. So the runtime's code is compiled for loops and for tasks, and not for each one.
#[derive(Clone, Debug, Default)]
pub struct Supervisor(Arc<State>);

#[derive(Debug, Default)]
struct State {
    shutting_down: AtomicBool,
    broken: watch::Sender<bool>,
}

/// The code panicked. The log already says where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Panicked;

impl Supervisor {
    /// Spawns a loop under supervision. `name` names the loop in the log. A loop that is aborted does not count as ended.
    pub fn spawn_loop(
        &self,
        name: &str,
        looping: impl Future<Output = ()> + Send + 'static,
    ) -> JoinHandle<()> {
        tokio::spawn(self.clone().watch(name.to_owned(), Box::pin(looping)))
    }

    async fn watch(self, name: String, looping: BoxFuture<'static, ()>) {
        let ended = Catching(Some(looping)).await;
        let shutting_down = self.is_shutting_down();
        match ended {
            Ok(()) if shutting_down => debug!(name, "a loop ended"),
            Ok(()) => error!(
                name,
                "a loop ended by itself; this is a bug of activity-bridge, and the process ends"
            ),
            Err(Panicked) if shutting_down => error!(
                name,
                "a loop panicked; this is a bug of activity-bridge, and the shutdown goes on"
            ),
            Err(Panicked) => error!(
                name,
                "a loop panicked; this is a bug of activity-bridge, and the process ends"
            ),
        }
        self.end();
    }

    /// Spawns a task of the runtime under supervision. The task may end, but must not panic.
    pub fn spawn<T: 'static>(
        &self,
        name: &'static str,
        task: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<()> {
        tokio::spawn(self.clone().run(name, Box::pin(task.map(drop))))
    }

    async fn run(self, name: &'static str, task: BoxFuture<'static, ()>) {
        if Catching(Some(task)).await.is_ok() {
            return;
        }
        match self.is_shutting_down() {
            true => error!(
                name,
                "a task of the runtime panicked; this is a bug of activity-bridge, and the shutdown goes on"
            ),
            false => error!(
                name,
                "a task of the runtime panicked; this is a bug of activity-bridge, and the process ends"
            ),
        }
        self.end();
    }

    /// Notes that the shutdown has begun. From here on, loops may end.
    pub fn shut_down(&self) {
        self.0.shutting_down.store(true, Relaxed);
    }

    /// Waits until the process must end because a loop ended or something panicked.
    pub async fn broken(&self) {
        let mut broken = self.0.broken.subscribe();
        // An error would mean that the sender is dropped, but `self` holds it.
        drop(broken.wait_for(|broken| *broken).await);
    }

    /// Whether a loop has ended, or something has panicked, before the shutdown began.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        *self.0.broken.borrow()
    }

    fn is_shutting_down(&self) -> bool {
        self.0.shutting_down.load(Relaxed)
    }

    fn end(&self) {
        if !self.is_shutting_down() {
            self.0.broken.send_replace(true);
        }
    }
}

/// Runs code that may panic over one message.
///
/// # Errors
///
/// [`Panicked`] if it panicked.
pub fn catch<T>(run: impl FnOnce() -> T) -> Result<T, Panicked> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|_| Panicked)
}

/// Runs a future that may panic over one message. A panic of the future's destructor is caught too.
///
/// # Errors
///
/// [`Panicked`] if it panicked.
pub fn catch_async<F: Future>(run: F) -> impl Future<Output = Result<F::Output, Panicked>> {
    // On the heap, because each future that holds this one would hold the space for `run` more than once.
    Catching(Some(Box::pin(run)))
}

/// See [`catch_async`]. `None` once the future has ended.
struct Catching<F: ?Sized>(Option<Pin<Box<F>>>);

impl<F: Future + ?Sized> Future for Catching<F> {
    type Output = Result<F::Output, Panicked>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let run = &mut self.0;
        let polled = catch(|| {
            let polled = run
                .as_mut()
                .map_or(Poll::Pending, |run| run.as_mut().poll(cx));
            if polled.is_ready() {
                *run = None;
            }
            polled
        });
        match polled {
            Ok(polled) => polled.map(Ok),
            Err(Panicked) => {
                // The destructor of a future that panicked may panic too.
                let _ = catch(|| *run = None);
                Poll::Ready(Err(Panicked))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{future::pending, time::Duration};
    use tokio::time::{sleep, timeout};

    const SECOND: Duration = Duration::from_secs(1);

    async fn breaks(supervisor: &Supervisor) -> bool {
        timeout(2 * SECOND, supervisor.broken()).await.is_ok()
    }

    async fn ends() {
        sleep(SECOND).await;
    }

    async fn panics() {
        sleep(SECOND).await;
        panic!("as the test wants it");
    }

    #[tokio::test(start_paused = true)]
    async fn a_loop_that_ends_or_panics_ends_the_process() {
        let ended = Supervisor::default();
        ended.spawn_loop("a loop", ends());
        assert!(breaks(&ended).await);

        let panicked = Supervisor::default();
        panicked.spawn_loop("a loop", panics());
        assert!(breaks(&panicked).await);
        // A later call returns at once.
        assert!(breaks(&panicked.clone()).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_loop_that_goes_on_or_is_aborted_does_not_end_the_process() {
        let supervisor = Supervisor::default();
        supervisor.spawn_loop("a loop", pending());
        supervisor.spawn_loop("another", ends()).abort();
        assert!(!breaks(&supervisor).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_panics_ends_the_process_and_one_that_ends_does_not() {
        let supervisor = Supervisor::default();
        supervisor.spawn("a task", ends());
        assert!(!breaks(&supervisor).await);
        supervisor.spawn("a task", panics());
        assert!(breaks(&supervisor).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_shutdown_goes_on_whatever_ends_or_panics() {
        let supervisor = Supervisor::default();
        supervisor.spawn_loop("a loop", ends());
        supervisor.spawn_loop("a loop", panics());
        supervisor.spawn("a task", panics());
        supervisor.shut_down();
        assert!(!breaks(&supervisor).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_panic_in_the_destructor_of_a_task_ends_the_process() {
        struct Bomb;
        impl Future for Bomb {
            type Output = ();
            fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
                Poll::Ready(())
            }
        }
        impl Drop for Bomb {
            fn drop(&mut self) {
                panic!("as the test wants it");
            }
        }
        let supervisor = Supervisor::default();
        supervisor.spawn("a task", Bomb);
        assert!(breaks(&supervisor).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_caught_panic_is_returned_to_the_caller() {
        assert_eq!(catch(|| 1), Ok(1));
        assert_eq!(
            catch(|| panic!("as the test wants it")),
            Err::<(), _>(Panicked)
        );
        assert_eq!(catch_async(async { 1 }).await, Ok(1));
        assert_eq!(catch_async(panics()).await, Err(Panicked));
    }
}
