//! How the calls of each action ended.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::record::CallCount;

/// Counts since the last reset.
#[derive(Debug, Default)]
pub(crate) struct Calls(Mutex<BTreeMap<&'static str, CallCount>>);

impl Calls {
    pub(crate) fn ok(&self, action: &'static str) {
        self.lock().entry(action).or_default().ok += 1;
    }

    pub(crate) fn error(&self, action: &'static str, fault: &str) {
        let mut counts = self.lock();
        let errors = &mut counts.entry(action).or_default().errors;
        match errors.get_mut(fault) {
            Some(count) => *count += 1,
            None => {
                errors.insert(fault.to_owned(), 1);
            }
        }
    }

    pub(crate) fn counts(&self) -> BTreeMap<String, CallCount> {
        self.lock()
            .iter()
            .map(|(action, count)| ((*action).to_owned(), count.clone()))
            .collect()
    }

    pub(crate) fn clear(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, CallCount>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
