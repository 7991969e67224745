//! What the token store has and this version of the bridge can't read. It is left alone. The log names it once.

use super::error::StoreError;
use parking_lot::Mutex;
use std::{collections::BTreeSet, fmt::Display};
use tracing::{error, warn};

/// Maximum number of places that are remembered. Further ones are not named in the log.
const MAX_PLACES: usize = 1_000;

/// What a reader found who is no owner.
#[derive(Debug)]
pub struct Contents<T> {
    /// What could be read.
    pub records: Vec<T>,
    /// The number of records and keys that could not be read.
    pub unreadable: usize,
}

/// The places in the store that this process could not read: keys, or records. See the module.
#[derive(Debug, Default)]
pub(crate) struct UnreadablePlaces(Mutex<BTreeSet<String>>);

impl UnreadablePlaces {
    /// Notes that a place can't be read, and why. The log names it the first time.
    pub(crate) fn note(&self, place: &str, why: &dyn Display) {
        let mut places = self.0.lock();
        if places.len() >= MAX_PLACES || !places.insert(place.to_owned()) {
            return;
        }
        let is_last = places.len() == MAX_PLACES;
        drop(places);
        error!(%place, %why, "the token store has something that can't be read; leaving it alone");
        if is_last {
            warn!("the token store has more that can't be read; it is not named any more");
        }
    }

    /// Notes that a place can be read, or that nothing is there any more.
    pub(crate) fn clear(&self, place: impl FnOnce() -> String) {
        let mut places = self.0.lock();
        if !places.is_empty() {
            places.remove(&place());
        }
    }

    /// Notes a member of a set that has another form than the others. Only its beginning is given.
    pub(crate) fn note_member(&self, key: &str, beginning: &[u8]) {
        let place = format!("{key}, member \"{}\"", beginning.escape_ascii());
        self.note(&place, &"it is no name or id");
    }

    /// Notes that the set has no such members any more.
    pub(crate) fn clear_members(&self, key: &str) {
        let mut places = self.0.lock();
        if !places.is_empty() {
            let members = format!("{key}, member ");
            places.retain(|place| !place.starts_with(&members));
        }
    }

    /// The answer of a call about one place; `None` if what is there can't be read.
    pub(crate) fn check<T>(
        &self,
        place: &str,
        answer: Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        match answer {
            Ok(answer) => {
                self.clear(|| place.to_owned());
                Ok(Some(answer))
            }
            Err(StoreError::Unreadable(why)) => {
                self.note(place, &why);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// The number of places.
    pub(crate) fn count(&self) -> usize {
        self.0.lock().len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_counts_until_it_can_be_read() {
        let places = UnreadablePlaces::default();
        let unreadable = || Err::<(), _>(StoreError::Unreadable("a list".to_owned()));
        for _ in 0..2 {
            assert!(matches!(places.check("a", unreadable()), Ok(None)));
        }
        places.note("b", &"bytes");
        assert_eq!(places.count(), 2);
        let unavailable = Err::<(), _>(StoreError::Unavailable("away".to_owned()));
        assert!(places.check("a", unavailable).is_err());
        assert_eq!(places.count(), 2);
        assert!(matches!(places.check("a", Ok(1)), Ok(Some(1))));
        assert_eq!(places.count(), 1);
    }

    #[test]
    fn the_number_of_places_is_bounded() {
        let places = UnreadablePlaces::default();
        for number in 0..=MAX_PLACES {
            places.note(&number.to_string(), &"");
        }
        assert_eq!(places.count(), MAX_PLACES);
    }
}
