//! Which tasks are listed: by route, state and age.

use crate::{
    admin::{Listing, listing::Entry},
    config::Config,
    inflight::Progress,
};
use anyhow::bail;
use clap::Args;
use std::time::Duration;

/// The tasks that a person wants to see. Each condition must hold that is given.
#[derive(Args, Clone, Debug, Default)]
pub struct TaskFilter {
    /// Only tasks of this route. May be given several times
    #[arg(long, value_name = "NAME")]
    pub route: Vec<String>,
    /// Only tasks in this state: publishing, waiting, working or settling. May be given several times
    #[arg(long, value_name = "STATE", value_parser = state)]
    pub state: Vec<Progress>,
    /// Only tasks that were polled at least so long ago: seconds, or a number with s, m, h or d, as 90, 15m or 2h
    #[arg(long, value_name = "AGE", value_parser = age)]
    pub older_than: Option<Duration>,
    /// Only tasks that were polled less than so long ago
    #[arg(long, value_name = "AGE", value_parser = age)]
    pub younger_than: Option<Duration>,
}

impl TaskFilter {
    /// Takes the other tasks out of a list, and the notes about other routes. Returns the number of tasks before; `None` if all are
    /// wanted.
    ///
    /// # Errors
    ///
    /// If a route is named that is neither in the configuration nor in the list.
    pub(super) fn apply(
        &self,
        listing: &mut Listing,
        config: &Config,
    ) -> anyhow::Result<Option<usize>> {
        for name in &self.route {
            let names = config.routes.iter().map(|route| route.name.as_str());
            let is_known = names.clone().any(|known| known == name)
                || listing.tasks.iter().any(|task| task.route == *name);
            if !is_known {
                let names: Vec<_> = names.collect();
                bail!(
                    "there is no route {name:?}; there are: {}",
                    names.join(", ")
                );
            }
        }
        let all = listing.tasks.len();
        let has = |route: &String| self.route.is_empty() || self.route.contains(route);
        listing.notes.retain(|note| has(&note.route));
        listing
            .tasks
            .retain(|task| has(&task.route) && self.wants(task));
        let is_empty = self.route.is_empty()
            && self.state.is_empty()
            && self.older_than.is_none()
            && self.younger_than.is_none();
        Ok((!is_empty).then_some(all))
    }

    /// Whether a task has one of the states and the age.
    fn wants(&self, task: &Entry) -> bool {
        let age = Duration::from_secs(task.age_secs);
        (self.state.is_empty() || self.state.contains(&task.state))
            && self.older_than.is_none_or(|least| age >= least)
            && self.younger_than.is_none_or(|most| age < most)
    }
}

fn state(text: &str) -> Result<Progress, String> {
    let state = serde_json::from_value(text.into());
    state.map_err(|_| "a state is publishing, waiting, working or settling".to_owned())
}

fn age(text: &str) -> Result<Duration, String> {
    let units = [("s", 1), ("m", 60), ("h", 3_600), ("d", 86_400)];
    let unit = units.iter().find(|(unit, _)| text.ends_with(unit));
    let (unit, secs) = unit.copied().unwrap_or(("", 1));
    let number = text.strip_suffix(unit).and_then(|number| {
        let number: u64 = number.parse().ok()?;
        number.checked_mul(secs)
    });
    let wrong = "an age is a number of seconds, or a number with s, m, h or d: 90, 15m, 2h";
    number
        .map(Duration::from_secs)
        .ok_or_else(|| wrong.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::listing::RouteNote;

    fn task(route: &str, state: Progress, age_secs: u64) -> Entry {
        Entry {
            id: None,
            short_id: format!("{age_secs:08}"),
            route: route.to_owned(),
            state,
            age_secs,
            last_heartbeat_secs_ago: None,
            owner: None,
        }
    }

    fn listing() -> Listing {
        let note = |route: &str| RouteNote {
            route: route.to_owned(),
            note: "paused".to_owned(),
        };
        Listing {
            owner: None,
            store: "memory".to_owned(),
            tasks: vec![
                task("payments", Progress::Working, 7_200),
                task("payments", Progress::Waiting, 60),
                task("mail", Progress::Waiting, 59),
                task("of-another-process", Progress::Settling, 1),
            ],
            notes: vec![note("payments"), note("mail")],
        }
    }

    fn config() -> Config {
        let route = |name: &str| {
            format!(
                "[[routes]]\nname = {name:?}\nqueue = {name:?}\nswf = {{ domain = \"d\", task_list = {name:?} }}\n"
            )
        };
        let text = format!(
            "store.kind = \"memory\"\n{}{}",
            route("payments"),
            route("mail")
        );
        text.parse().expect("a configuration")
    }

    fn ages(filter: &TaskFilter) -> (Vec<u64>, Option<usize>, usize) {
        let mut listing = listing();
        let all = filter.apply(&mut listing, &config()).expect("known routes");
        let ages = listing.tasks.iter().map(|task| task.age_secs);
        (ages.collect(), all, listing.notes.len())
    }

    #[test]
    fn tasks_are_chosen_by_route_by_state_and_by_age_and_by_all_of_them() {
        let none = TaskFilter::default();
        assert_eq!(ages(&none), (vec![7_200, 60, 59, 1], None, 2));
        let route = TaskFilter {
            route: vec!["payments".to_owned(), "of-another-process".to_owned()],
            ..none.clone()
        };
        assert_eq!(ages(&route), (vec![7_200, 60, 1], Some(4), 1));
        let state = TaskFilter {
            state: vec![Progress::Waiting],
            ..none.clone()
        };
        assert_eq!(ages(&state), (vec![60, 59], Some(4), 2));
        let age = TaskFilter {
            older_than: age("1m").ok(),
            younger_than: age("2h").ok(),
            ..none
        };
        assert_eq!(ages(&age), (vec![60], Some(4), 2));
        let all = TaskFilter {
            state: state.state,
            ..route
        };
        assert_eq!(ages(&all), (vec![60], Some(4), 1));
    }

    #[test]
    fn a_route_that_nobody_knows_is_refused() {
        let filter = TaskFilter {
            route: vec!["paymnts".to_owned()],
            ..TaskFilter::default()
        };
        let refused = filter.apply(&mut listing(), &config());
        let words = refused.expect_err("no such route").to_string();
        assert_eq!(
            words,
            "there is no route \"paymnts\"; there are: payments, mail"
        );
    }

    #[test]
    fn an_age_has_a_unit_or_is_in_seconds() {
        for (text, secs) in [
            ("90", 90),
            ("90s", 90),
            ("15m", 900),
            ("2h", 7_200),
            ("1d", 86_400),
        ] {
            assert_eq!(age(text), Ok(Duration::from_secs(secs)), "{text}");
        }
        for text in [
            "",
            "m",
            "-1",
            "1.5h",
            "2 h",
            "1w",
            "99999999999999999999d",
            "999999999999999999d",
        ] {
            assert!(age(text).is_err(), "{text}");
        }
        assert_eq!(state("working"), Ok(Progress::Working));
        assert!(state("begun").is_err());
    }
}
