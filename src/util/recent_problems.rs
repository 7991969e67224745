//! The newest warnings and errors of the log, for whoever looks at the process. They are what the log says, and no more.
//!
//! Lines of one place in the code about one route are one entry, with the newest words and their number. So a line that comes each
//! second does not push out the others.

use super::invisible::is_invisible;
use parking_lot::Mutex;
use std::{
    collections::VecDeque,
    fmt::{self, Write},
    time::SystemTime,
};
use tracing::{
    Event, Level, Subscriber,
    callsite::Identifier,
    field::{Field, Visit},
};
use tracing_subscriber::{Layer, layer::Context};

/// Maximum number of entries.
const MAX_ENTRIES: usize = 50;

/// Maximum size of the texts of an entry, in bytes. All entries together have 16 KB at most.
const MAX_BYTES: usize = 320;

/// What stands at the end of a text that was cut.
const CUT: &str = "…";

/// Those of the process.
static OF_PROCESS: RecentProblems = RecentProblems(Mutex::new(VecDeque::new()));

/// See the module.
#[derive(Debug, Default)]
pub struct RecentProblems(Mutex<VecDeque<Problem>>);

/// An entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The level: a warning or an error.
    pub level: Level,
    /// The words.
    pub message: String,
    /// The other fields of the line, as `name=value`.
    pub fields: String,
    /// The route that the line names; empty if it names none.
    pub route: String,
    /// The number of such lines since the entry was made.
    pub times: u64,
    /// When the newest of them was written.
    pub at: SystemTime,
    place: Identifier,
}

impl RecentProblems {
    /// Those of the process.
    #[must_use]
    pub fn of_process() -> &'static Self {
        &OF_PROCESS
    }

    /// The entries, the newest first.
    #[must_use]
    pub fn newest_first(&self) -> Vec<Problem> {
        self.0.lock().iter().rev().cloned().collect()
    }

    fn note(&self, event: &Event<'_>) {
        let mut texts = Texts::default();
        event.record(&mut texts);
        let mut problem = Problem {
            level: *event.metadata().level(),
            message: texts.message.0,
            fields: texts.fields.0,
            route: texts.route.0,
            times: 1,
            at: SystemTime::now(),
            place: event.metadata().callsite(),
        };
        problem.cut();
        let mut entries = self.0.lock();
        let same =
            |known: &Problem| (&known.place, &known.route) == (&problem.place, &problem.route);
        if let Some(known) = entries
            .iter()
            .position(same)
            .and_then(|at| entries.remove(at))
        {
            problem.times += known.times;
        }
        if entries.len() == MAX_ENTRIES {
            entries.pop_front();
        }
        entries.push_back(problem);
    }
}

impl Problem {
    /// Keeps the texts within the bound. The words come first.
    fn cut(&mut self) {
        let mut room = MAX_BYTES;
        for text in [&mut self.route, &mut self.message, &mut self.fields] {
            if text.len() > room {
                let end = room.saturating_sub(CUT.len());
                text.truncate(text.floor_char_boundary(end));
                text.push_str(CUT);
            }
            text.shrink_to_fit();
            room = room.saturating_sub(text.len());
        }
    }
}

/// Notes warnings and errors, beside what writes the log.
#[derive(Clone, Copy, Debug)]
pub struct Recorder(pub &'static RecentProblems);

impl<S: Subscriber> Layer<S> for Recorder {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        if *event.metadata().level() <= Level::WARN {
            self.0.note(event);
        }
    }
}

/// The texts of a line, while they are read.
#[derive(Default)]
struct Texts {
    message: Text,
    fields: Text,
    route: Text,
}

impl Visit for Texts {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, format_args!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, format_args!("{value}"));
    }
}

impl Texts {
    fn add(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        // An error means that the text is as long as it may be.
        let _ = match field.name() {
            "message" => self.message.write_fmt(value),
            "route" => self.route.write_fmt(value),
            name => {
                let gap = if self.fields.0.is_empty() { "" } else { " " };
                self.fields.write_fmt(format_args!("{gap}{name}={value}"))
            }
        };
    }
}

/// A text that takes a little more than an entry may have, so that the cut is seen. Characters that could mean something to a terminal,
/// or hide, become spaces.
#[derive(Default)]
struct Text(String);

impl Write for Text {
    fn write_str(&mut self, more: &str) -> fmt::Result {
        for c in more.chars() {
            if self.0.len() > MAX_BYTES {
                return Err(fmt::Error);
            }
            self.0.push(if is_invisible(c) { ' ' } else { c });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing::{error, info, subscriber, warn};
    use tracing_subscriber::{Registry, layer::SubscriberExt};

    /// What is kept of the lines that this writes.
    fn kept(write: impl Fn()) -> Vec<Problem> {
        let problems: &'static RecentProblems = Box::leak(Box::default());
        let subscriber = Registry::default().with(Recorder(problems));
        subscriber::with_default(subscriber, write);
        problems.newest_first()
    }

    #[test]
    fn warnings_and_errors_are_kept_with_their_fields_the_newest_first() {
        let kept = kept(|| {
            info!("not this");
            warn!(route = "mail", error = %"away", tries = 3, "a poll failed");
            error!("a loop ended");
        });
        let shown: Vec<_> = kept
            .iter()
            .map(|one| {
                (
                    one.level,
                    one.route.as_str(),
                    one.message.as_str(),
                    one.fields.as_str(),
                )
            })
            .collect();
        assert_eq!(
            shown,
            [
                (Level::ERROR, "", "a loop ended", ""),
                (Level::WARN, "mail", "a poll failed", "error=away tries=3"),
            ]
        );
    }

    #[test]
    fn lines_of_one_place_about_one_route_are_one_entry_with_the_newest_words() {
        let kept = kept(|| {
            for number in 0..7 {
                let route = ["mail", "payments"][number % 2];
                warn!(route, number, "a poll failed");
            }
            warn!("another place");
        });
        let shown: Vec<_> = kept
            .iter()
            .map(|one| (one.route.as_str(), one.fields.as_str(), one.times))
            .collect();
        assert_eq!(
            shown,
            [
                ("", "", 1),
                ("mail", "number=6", 4),
                ("payments", "number=5", 3)
            ]
        );
    }

    #[test]
    fn the_number_and_the_size_of_the_entries_are_bounded_and_nothing_steers_a_terminal() {
        let long = "ü\u{1b}\u{202e}[2J".repeat(10_000);
        let kept = kept(|| {
            for number in 0..2 * MAX_ENTRIES {
                let route = format!("route-{number}");
                warn!(route, long, "{long}");
            }
        });
        assert_eq!(kept.len(), MAX_ENTRIES);
        assert_eq!(kept[0].route, format!("route-{}", 2 * MAX_ENTRIES - 1));
        for one in &kept {
            let size = one.message.len() + one.fields.len() + one.route.len();
            assert!(size <= MAX_BYTES + CUT.len(), "{size}");
            assert!(one.message.starts_with("ü  [2J") && one.message.ends_with(CUT));
            assert!(!one.message.contains(is_invisible));
        }
    }
}
