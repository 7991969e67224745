//! The confirms of a channel: which messages are open, and which confirms are to be sent. Pure.

use std::collections::BTreeSet;

/// A confirm as it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Confirm {
    /// The number of the message.
    pub(crate) sequence: u64,
    /// Whether it confirms all messages before it too.
    pub(crate) multiple: bool,
}

/// See the module. Its size is bounded by the replies that a connection may have open, and by what is read at once.
#[derive(Debug, Default)]
pub(crate) struct Confirms {
    last: u64,
    /// Messages that are not confirmed.
    open: BTreeSet<u64>,
    /// Messages whose confirm is not sent yet.
    unsent: BTreeSet<u64>,
}

impl Confirms {
    /// Numbers a message.
    pub(crate) fn begin(&mut self) -> u64 {
        self.last += 1;
        self.open.insert(self.last);
        self.last
    }

    /// Notes that a message is confirmed.
    pub(crate) fn confirm(&mut self, sequence: u64) {
        if self.open.remove(&sequence) {
            self.unsent.insert(sequence);
        }
    }

    /// Notes that nobody took a message. The caller tells the publisher.
    pub(crate) fn refuse(&mut self, sequence: u64) {
        self.open.remove(&sequence);
    }

    /// The confirms to send: one for all messages before the first open one, and one for each other.
    pub(crate) fn take(&mut self) -> Vec<Confirm> {
        let first_open = self.open.first().copied().unwrap_or(u64::MAX);
        let later = self.unsent.split_off(&first_open);
        let whole = std::mem::take(&mut self.unsent);
        let whole = whole.last().map(|last| Confirm {
            sequence: *last,
            multiple: whole.len() > 1,
        });
        let single = later.into_iter().map(|sequence| Confirm {
            sequence,
            multiple: false,
        });
        whole.into_iter().chain(single).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn confirm(sequence: u64, multiple: bool) -> Confirm {
        Confirm { sequence, multiple }
    }

    #[test]
    fn messages_without_a_gap_are_confirmed_at_once() {
        let mut confirms = Confirms::default();
        for _ in 0..3 {
            let sequence = confirms.begin();
            confirms.confirm(sequence);
        }
        assert_eq!(confirms.take(), [confirm(3, true)]);
        assert_eq!(confirms.take(), []);
        let next = confirms.begin();
        confirms.confirm(next);
        assert_eq!(confirms.take(), [confirm(4, false)]);
    }

    #[test]
    fn a_confirm_never_covers_an_open_message() {
        let mut confirms = Confirms::default();
        let all: Vec<u64> = (0..6).map(|_| confirms.begin()).collect();
        for sequence in [1, 2, 4, 5] {
            confirms.confirm(sequence);
        }
        assert_eq!(
            confirms.take(),
            [confirm(2, true), confirm(4, false), confirm(5, false)]
        );
        confirms.refuse(3);
        confirms.confirm(all[5]);
        assert_eq!(confirms.take(), [confirm(6, false)]);
    }
}
