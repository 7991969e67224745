//! What a scripted call answers.

use parking_lot::Mutex;
use std::{collections::VecDeque, time::Duration};
use tokio::sync::oneshot;

/// The answers of one call, in their order. When none is left, the usual answer is given.
pub struct Script<T>(Mutex<VecDeque<Step<T>>>);

enum Step<T> {
    /// After this time.
    After(Duration, T),
    /// When the test says so.
    Pending(oneshot::Receiver<T>),
    /// Never: the call panics.
    Panic,
}

impl<T> Default for Script<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T> Script<T> {
    /// The next call is answered like this, at once.
    pub fn then(&self, answer: T) {
        self.after(Duration::ZERO, answer);
    }

    /// The next call is answered like this, after a while.
    pub fn after(&self, wait: Duration, answer: T) {
        self.0.lock().push_back(Step::After(wait, answer));
    }

    /// The next call is answered when the test sends the answer.
    pub fn hold(&self) -> oneshot::Sender<T> {
        let (answer, held) = oneshot::channel();
        self.0.lock().push_back(Step::Pending(held));
        answer
    }

    /// The next call panics.
    pub fn panics(&self) {
        self.0.lock().push_back(Step::Panic);
    }

    /// From now on the usual answer is given.
    pub fn clear(&self) {
        self.0.lock().clear();
    }

    /// The answer to a call; `None`: the usual one. A call whose answer the test has dropped is never answered.
    pub async fn next(&self) -> Option<T> {
        let step = self.0.lock().pop_front();
        Some(match step? {
            Step::After(wait, answer) => {
                if !wait.is_zero() {
                    tokio::time::sleep(wait).await;
                }
                answer
            }
            Step::Panic => panic!("as the test wants it"),
            Step::Pending(held) => match held.await {
                Ok(answer) => answer,
                Err(_) => std::future::pending().await,
            },
        })
    }
}
