//! How many calls of each action succeeded, and how many ended with which error.

use std::collections::BTreeMap;

use parking_lot::Mutex;

use crate::record::CallCount;

/// Counts since the last reset.
#[derive(Debug, Default)]
pub(crate) struct CallCounts(Mutex<BTreeMap<&'static str, CallCount>>);

impl CallCounts {
    /// Counts a call that was answered with success.
    pub(crate) fn ok(&self, action: &'static str) {
        self.0.lock().entry(action).or_default().ok += 1;
    }

    /// Counts a call that ended with this error.
    pub(crate) fn error(&self, action: &'static str, name: &str) {
        let mut counts = self.0.lock();
        let errors = &mut counts.entry(action).or_default().errors;
        match errors.get_mut(name) {
            Some(count) => *count += 1,
            None => {
                errors.insert(name.to_owned(), 1);
            }
        }
    }

    pub(crate) fn counts(&self) -> BTreeMap<String, CallCount> {
        self.0
            .lock()
            .iter()
            .map(|(action, count)| ((*action).to_owned(), count.clone()))
            .collect()
    }

    pub(crate) fn clear(&self) {
        self.0.lock().clear();
    }
}
