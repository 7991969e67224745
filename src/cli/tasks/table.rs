//! The list of tasks in flight as a table for people.

use crate::admin::{
    Listing,
    listing::{Entry, RouteNote},
};
use std::fmt::{self, Write};

/// Number of digits that are shown of an owner. They are enough to tell owners apart.
const OWNER_DIGITS: usize = 8;

/// A list, perhaps with some of the tasks only.
pub(super) struct Shown<'a> {
    pub(super) listing: &'a Listing,
    /// The number of all tasks; `None` if the list has all.
    pub(super) of: Option<usize>,
}

/// Writes the aligned table, the number of tasks, and the notes about the routes.
impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { listing, of } = self;
        listing.write_tasks(f, *of)?;
        for (index, RouteNote { route, note }) in listing.notes.iter().enumerate() {
            let gap = if index == 0 { "\n" } else { "" };
            writeln!(f, "{gap}route {route}: {note}")?;
        }
        Ok(())
    }
}

impl Listing {
    fn write_tasks(&self, f: &mut fmt::Formatter<'_>, of: Option<usize>) -> fmt::Result {
        if self.tasks.is_empty() {
            return match of {
                None | Some(0) => f.write_str("no tasks in flight\n"),
                Some(all) => writeln!(f, "none of the {all} tasks in flight"),
            };
        }
        let heading = ["ID", "ROUTE", "STATE", "AGE", "LAST HEARTBEAT", "OWNER"];
        let mut rows = vec![heading.map(str::to_owned)];
        rows.extend(self.tasks.iter().map(Entry::row));
        let mut widths = [0; 6];
        for row in &rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.len());
            }
        }
        let mut line = String::new();
        for row in &rows {
            line.clear();
            for (width, cell) in widths.into_iter().zip(row) {
                write!(line, "{cell:<width$}  ")?;
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        match (self.tasks.len(), of) {
            (count, Some(all)) => write!(f, "\n{count} of {all} tasks in flight\n"),
            (1, None) => f.write_str("\n1 task in flight\n"),
            (count, None) => write!(f, "\n{count} tasks in flight\n"),
        }
    }
}

impl Entry {
    fn row(&self) -> [String; 6] {
        let beat = self.last_heartbeat_secs_ago;
        let owner = self.owner.as_deref().unwrap_or("-");
        [
            self.id.as_ref().unwrap_or(&self.short_id).clone(),
            self.route.clone(),
            self.state.to_string(),
            span(self.age_secs),
            beat.map_or_else(|| "-".to_owned(), |secs| format!("{} ago", span(secs))),
            owner.chars().take(OWNER_DIGITS).collect(),
        ]
    }
}

/// A time in its two largest units: `37 s`, `2 h 5 min`.
pub(in crate::cli) fn span(secs: u64) -> String {
    const UNITS: [(&str, u64, u64); 4] = [
        ("d", 86_400, u64::MAX),
        ("h", 3_600, 24),
        ("min", 60, 60),
        ("s", 1, 60),
    ];
    let mut parts = UNITS
        .iter()
        .map(|(name, size, most)| (name, secs / size % most))
        .skip_while(|(_, count)| *count == 0)
        .take(2)
        .filter(|(_, count)| *count > 0)
        .map(|(name, count)| format!("{count} {name}"));
    match (parts.next(), parts.next()) {
        (Some(large), Some(small)) => format!("{large} {small}"),
        (Some(one), None) => one,
        (None, _) => "0 s".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inflight::Progress;
    use rstest::rstest;

    #[rstest]
    #[case(0, "0 s")]
    #[case(37, "37 s")]
    #[case(60, "1 min")]
    #[case(61, "1 min 1 s")]
    #[case(3_599, "59 min 59 s")]
    #[case(3_600, "1 h")]
    #[case(3_637, "1 h")]
    #[case(7_537, "2 h 5 min")]
    #[case(86_399, "23 h 59 min")]
    #[case(90_000, "1 d 1 h")]
    #[case(400 * 86_400 + 59, "400 d")]
    fn a_time_is_written_in_its_two_largest_units(#[case] secs: u64, #[case] words: &str) {
        assert_eq!(span(secs), words);
    }

    fn entry(id: &str, route: &str, state: Progress) -> Entry {
        Entry {
            id: Some(id.repeat(32)),
            short_id: id.repeat(8),
            route: route.to_owned(),
            state,
            age_secs: 7_537,
            last_heartbeat_secs_ago: Some(37),
            owner: Some("0123456789abcdef".to_owned()),
        }
    }

    fn shown(listing: &Listing) -> String {
        Shown { listing, of: None }.to_string()
    }

    #[test]
    fn of_all_tasks_those_that_are_wanted_are_counted() {
        let one = listing(vec![entry("a", "payments", Progress::Settling)]);
        let (listing, of) = (&one, Some(7));
        let text = Shown { listing, of }.to_string();
        assert!(text.ends_with("\n\n1 of 7 tasks in flight\n"), "{text}");
        let listing = &self::listing(Vec::new());
        let text = Shown { listing, of }.to_string();
        assert_eq!(text, "none of the 7 tasks in flight\n");
    }

    fn listing(tasks: Vec<Entry>) -> Listing {
        let owner = Some("0123456789abcdef".to_owned());
        Listing {
            owner,
            store: "memory".to_owned(),
            tasks,
            notes: Vec::new(),
        }
    }

    #[test]
    fn the_notes_about_routes_follow_the_count() {
        let note = |route: &str| RouteNote {
            route: route.to_owned(),
            note: "workers acknowledge too early".to_owned(),
        };
        let listing = listing(Vec::new()).with_notes(vec![note("payments"), note("mail")]);
        let expected = "no tasks in flight\n\n\
                        route payments: workers acknowledge too early\n\
                        route mail: workers acknowledge too early\n";
        assert_eq!(shown(&listing), expected);
    }

    #[test]
    fn the_table_is_aligned_and_ends_with_the_count() {
        let young = Entry {
            age_secs: 5,
            last_heartbeat_secs_ago: None,
            owner: None,
            ..entry("b", "thumbnails", Progress::Waiting)
        };
        let table = shown(&listing(vec![
            entry("a", "payments", Progress::Working),
            young,
        ]));
        let expected = "\
ID                                ROUTE       STATE    AGE        LAST HEARTBEAT  OWNER
aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa  payments    working  2 h 5 min  37 s ago        01234567
bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb  thumbnails  waiting  5 s        -               -

2 tasks in flight
";

        assert_eq!(table, expected);
    }

    #[test]
    fn who_may_not_know_ids_sees_their_beginnings() {
        let mut listing = listing(vec![entry("a", "payments", Progress::Working)]);
        listing.tasks[0].id = None;
        let table = shown(&listing);
        let row = table.lines().nth(1).unwrap_or_default();
        assert!(row.starts_with("aaaaaaaa  payments  working"), "{table}");
    }

    #[test]
    fn the_count_of_one_task_and_of_none_reads_well() {
        let one = shown(&listing(vec![entry("a", "payments", Progress::Settling)]));
        assert!(one.ends_with("\n\n1 task in flight\n"), "{one}");
        assert_eq!(shown(&listing(Vec::new())), "no tasks in flight\n");
    }
}
