//! What became of the tasks, for people.

use crate::{
    admin::release::{ReleasedTask, Releases, Target},
    intake::release::ReleaseResult,
};
use ReleaseResult as R;
use std::fmt;

/// What became of the tasks that a person named.
pub(super) struct Report<'a> {
    pub(super) releases: &'a Releases,
    pub(super) target: &'a Target,
    /// Whether other processes may have tasks of the route too.
    pub(super) is_shared: bool,
}

/// Every result with its word and with what a person should know, in the order in which they are told.
const RESULTS: [(R, &str, &str); 10] = [
    (R::Published, "published", "published again"),
    (R::Failed, "failed", "failed back to AWS"),
    (
        R::Queued,
        "queued",
        "left in the queue: the bridge is the broker, has not lost it, and no worker has taken it",
    ),
    (
        R::Publishing,
        "publishing",
        "not confirmed by the broker yet: the bridge goes on for publish_within_secs, and then fails it back to AWS",
    ),
    (
        R::Failing,
        "failing",
        "not taken by AWS yet: the bridge goes on",
    ),
    (
        R::NoCopy,
        "no-copy",
        "not published, because the bridge has no copy of the message: --fail fails it back to AWS",
    ),
    (
        R::StoreAway,
        "store-away",
        "not published, because the token store can't be read: mend that (see /readyz), and try again",
    ),
    (R::Ended, "ended", "ended meanwhile"),
    (
        R::Settling,
        "settling",
        "left alone: the outcome is on its way to AWS",
    ),
    (
        R::Begun,
        "begun",
        "left alone: a worker has begun and may still answer",
    ),
];

impl Report<'_> {
    /// Whether there is nothing left to be done.
    pub(super) fn is_done(&self) -> bool {
        self.releases.tasks.iter().all(|task| match task.result {
            R::Published | R::Failed | R::Queued | R::Ended => true,
            // For a route, only those that wait are meant.
            R::Begun | R::Settling => self.is_of_route(),
            R::Publishing | R::Failing | R::NoCopy | R::StoreAway => false,
        })
    }

    fn is_of_route(&self) -> bool {
        matches!(self.target, Target::Route(_))
    }

    /// The tasks that have a line of their own.
    fn rows(&self) -> Vec<&ReleasedTask> {
        let left_alone = [R::Begun, R::Settling];
        let tasks = self.releases.tasks.iter();
        let rows = tasks.filter(|task| !(self.is_of_route() && left_alone.contains(&task.result)));
        rows.collect()
    }
}

/// Writes the aligned table of the tasks that waited, and how many there are of each result.
impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = self.rows();
        let width = rows.iter().map(|task| task.route.len());
        let width = width.max().unwrap_or_default().max("ROUTE".len());
        if !rows.is_empty() {
            writeln!(f, "{:<32}  {:<width$}  RESULT", "ID", "ROUTE")?;
        }
        for task in &rows {
            let (_, word, _) = words(task.result);
            writeln!(f, "{}  {:<width$}  {word}", task.id, task.route)?;
        }
        match self.target {
            Target::Route(route) if rows.is_empty() => {
                writeln!(f, "no task of route {route} waits for a worker")?;
            }
            _ => writeln!(f)?,
        }
        for (result, _, sentence) in RESULTS {
            let of_it = |task: &&ReleasedTask| task.result == result;
            match self.releases.tasks.iter().filter(of_it).count() {
                0 => {}
                1 => writeln!(f, "1 task {sentence}")?,
                count => writeln!(f, "{count} tasks {sentence}")?,
            }
        }
        match self.is_shared && self.is_of_route() {
            true => writeln!(
                f,
                "\nOther processes with this token store may have tasks of the route too: release them there (see OWNER in activity-bridge tasks)."
            ),
            false => Ok(()),
        }
    }
}

fn words(result: R) -> (R, &'static str, &'static str) {
    let found = RESULTS.iter().find(|(of, _, _)| *of == result);
    found.copied().unwrap_or((result, "-", "-"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn releases(results: &[R]) -> Releases {
        let tasks = (0_u8..).zip(results).map(|(number, result)| ReleasedTask {
            id: format!("{number:032x}"),
            short_id: format!("{number:08x}"),
            route: "payments".to_owned(),
            result: *result,
        });
        Releases {
            owner: "0123456789abcdef".to_owned(),
            store: "memory".to_owned(),
            tasks: tasks.collect(),
        }
    }

    fn route() -> Target {
        Target::Route("payments".to_owned())
    }

    fn said(results: &[R], target: &Target) -> (String, bool) {
        let report = Report {
            releases: &releases(results),
            target,
            is_shared: false,
        };
        (report.to_string(), report.is_done())
    }

    #[test]
    fn for_a_route_those_that_waited_have_a_line_and_the_others_are_counted() {
        let (text, done) = said(
            &[R::Published, R::Begun, R::NoCopy, R::Published, R::Begun],
            &route(),
        );
        let expected = "\
ID                                ROUTE     RESULT
00000000000000000000000000000000  payments  published
00000000000000000000000000000002  payments  no-copy
00000000000000000000000000000003  payments  published

2 tasks published again
1 task not published, because the bridge has no copy of the message: --fail fails it back to AWS
2 tasks left alone: a worker has begun and may still answer
";
        assert_eq!((text.as_str(), done), (expected, false));
    }

    #[test]
    fn a_route_without_a_task_that_waits_is_no_failure() {
        let (text, done) = said(&[R::Begun], &route());
        let expected = "\
no task of route payments waits for a worker
1 task left alone: a worker has begun and may still answer
";
        assert_eq!((text.as_str(), done), (expected, true));
        let (text, done) = said(&[], &route());
        let expected = "no task of route payments waits for a worker\n";
        assert_eq!((text.as_str(), done), (expected, true));
    }

    #[test]
    fn where_others_share_the_store_a_person_is_told_that_they_may_have_tasks_too() {
        let report = Report {
            releases: &releases(&[R::Published]),
            target: &route(),
            is_shared: true,
        };
        let text = report.to_string();
        assert!(text.contains("release them there"), "{text}");
    }

    #[rstest]
    #[case(R::Published, true, true)]
    #[case(R::Failed, true, true)]
    #[case(R::Queued, true, true)]
    #[case(R::Ended, true, true)]
    #[case(R::Begun, true, false)]
    #[case(R::Settling, true, false)]
    #[case(R::Publishing, false, false)]
    #[case(R::Failing, false, false)]
    #[case(R::NoCopy, false, false)]
    #[case(R::StoreAway, false, false)]
    fn each_result_is_told_and_says_whether_a_person_has_something_left_to_do(
        #[case] result: R,
        #[case] of_route: bool,
        #[case] of_task: bool,
    ) {
        let task = Target::Task("00000000".to_owned());
        let (text, done) = said(&[result], &task);
        assert_eq!((said(&[result], &route()).1, done), (of_route, of_task));
        let word = serde_json::to_value(result).expect("JSON");
        let word = word.as_str().expect("a text");
        assert!(text.contains(&format!("payments  {word}\n")), "{text}");
        assert!(text.contains("\n1 task "), "{text}");
    }
}
