//! What became of parked messages, for people.

use super::{
    table::ENDED_EARLY,
    terminal::{cut, line},
};
use crate::settle::{
    parked::{ParkedOutcome, ParkedResults},
    replay::ParkedResult,
};
use ParkedResult as R;
use std::fmt;

/// Every result with its word and with what a person should know, in the order in which they are told.
const RESULTS: [(R, &str, &str); 12] = [
    (R::Replayed, "replayed", "replayed: AWS has what it says"),
    (R::Dropped, "dropped", "dropped"),
    (R::Ended, "ended", "left parked: its task has ended"),
    (
        R::Settling,
        "settling",
        "left parked: another outcome of its task is on its way to AWS",
    ),
    (
        R::Elsewhere,
        "elsewhere",
        "left parked: another process has its task; replay it there, or when that process has ended",
    ),
    (
        R::Unknown,
        "unknown",
        "left parked: this bridge has no such task",
    ),
    (R::Unusable, "unusable", "left parked: it can't be used"),
    (
        R::Refused,
        "refused",
        "left parked: AWS did not take what it says",
    ),
    (
        R::Sign,
        "sign",
        "left parked: a sign of life says nothing later; drop it",
    ),
    (
        R::NoReply,
        "no-reply",
        "left parked: a dead letter, an outcome that AWS did not take, or of an older version",
    ),
    (
        R::Waiting,
        "waiting",
        "left parked: AWS or the token store has not answered yet; a settlement that has begun goes on",
    ),
    (
        R::Taken,
        "taken",
        "taken by a consumer of the queue, or the connection to the broker has ended",
    ),
];

/// See the module.
pub(super) struct Results<'a>(pub(super) &'a ParkedResults);

impl Results<'_> {
    /// Whether nothing is left to be done.
    pub(super) fn are_done(&self) -> bool {
        let done = |one: &ParkedOutcome| matches!(one.result, R::Replayed | R::Dropped);
        self.0.unread == 0 && !self.0.ended_early && self.0.messages.iter().all(done)
    }
}

/// Writes the aligned table, and how many messages there are of each result.
impl fmt::Display for Results<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ParkedResults {
            messages,
            unread,
            ended_early,
        } = self.0;
        if messages.is_empty() {
            let beyond = match *ended_early || *unread > 0 {
                true => " among those that were looked at",
                false => ", unless somebody else reads or consumes it now",
            };
            writeln!(f, "no such message is parked{beyond}")?;
        } else {
            writeln!(f, "{:<12}  {:<9}  ROUTE", "ID", "RESULT")?;
        }
        for ParkedOutcome { entry, result, why } in messages {
            let route = line(entry.route.as_deref().unwrap_or("-"));
            let why = why.as_deref().map(|why| format!(": {}", cut(why, 200)));
            let why = why.unwrap_or_default();
            writeln!(f, "{}  {:<9}  {route}{why}", line(&entry.id), word(*result))?;
        }
        if !messages.is_empty() {
            writeln!(f)?;
        }
        for (result, _, sentence) in RESULTS {
            match messages.iter().filter(|one| one.result == result).count() {
                0 => {}
                1 => writeln!(f, "1 message {sentence}")?,
                count => writeln!(f, "{count} messages {sentence}")?,
            }
        }
        if *ended_early {
            writeln!(f, "{ENDED_EARLY}")?;
        }
        match unread {
            0 => Ok(()),
            _ => writeln!(
                f,
                "{unread} more parked messages were not looked at: repeat the command. It reaches them only when those before them are \
                 replayed or dropped"
            ),
        }
    }
}

fn word(result: R) -> &'static str {
    let found = RESULTS.iter().find(|(of, _, _)| *of == result);
    found.map_or("-", |(_, word, _)| word)
}

#[cfg(test)]
mod tests {
    use super::super::table::tests::entry;
    use super::*;

    fn results(results: &[R], unread: usize) -> ParkedResults {
        let messages = results.iter().map(|result| ParkedOutcome {
            entry: entry("a"),
            result: *result,
            why: (*result == R::Unusable).then(|| "no\u{1b} type".to_owned()),
        });
        ParkedResults {
            messages: messages.collect(),
            unread,
            ended_early: false,
        }
    }

    #[test]
    fn each_result_has_its_word_and_what_is_left_parked_is_left_to_be_done() {
        for (result, word, sentence) in RESULTS {
            let json = serde_json::to_value(result).expect("JSON");
            assert_eq!(json, word);
            let one = results(&[result], 0);
            let text = Results(&one).to_string();
            assert!(
                text.contains(&format!("aaaaaaaaaaaa  {word:<9}  payments")),
                "{text}"
            );
            assert!(
                text.ends_with(&format!("\n1 message {sentence}\n")),
                "{text}"
            );
            let done = matches!(result, R::Replayed | R::Dropped);
            assert_eq!(Results(&one).are_done(), done, "{result:?}");
        }
        let unusable = results(&[R::Unusable], 0);
        let text = Results(&unusable).to_string();
        assert!(text.contains("payments: no\\u{1b} type\n"), "{text}");
    }

    #[test]
    fn what_was_not_looked_at_is_said() {
        let some = results(&[R::Replayed], 7);
        let text = Results(&some).to_string();
        assert!(
            text.contains("7 more parked messages were not looked at"),
            "{text}"
        );
        assert!(!Results(&some).are_done());
        assert!(
            text.contains("those before them are replayed or dropped"),
            "{text}"
        );
        let mut none = results(&[], 0);
        let text = Results(&none).to_string();
        assert!(
            text.starts_with("no such message is parked, unless somebody"),
            "{text}"
        );
        assert!(Results(&none).are_done());
        none.ended_early = true;
        let text = Results(&none).to_string();
        assert!(text.contains("the reading ended early"), "{text}");
        assert!(!text.contains("unless"), "{text}");
        assert!(!Results(&none).are_done());
    }
}
