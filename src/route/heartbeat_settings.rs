//! The heartbeat settings of one route.

use crate::{
    settings::{Reader, Word},
    source::swf::Discover,
};
use std::time::Duration;

/// Number of heartbeats in one heartbeat timeout. One lost heartbeat therefore does no harm.
pub const BEATS_PER_TIMEOUT: u32 = 3;

/// Interval of heartbeats where no heartbeat timeout is known.
const USUAL_INTERVAL: Duration = Duration::from_secs(20);

/// The allowed range of a time in the settings, in seconds: up to a year.
const SECONDS: std::ops::RangeInclusive<u64> = 1..=31_536_000;

/// The heartbeat settings of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeartbeatConfig {
    /// Whose signs of life are sent to AWS.
    pub by: By,
    /// The heartbeat timeout of the activity type, if it is configured.
    pub timeout: Option<Duration>,
    /// Which timeouts are asked of AWS.
    pub discover: Discover,
    /// Minimum interval between two heartbeats of a task; a third of the timeout if it is not configured.
    pub interval: Option<Duration>,
    /// Maximum time that a task waits for a worker to start it.
    pub max_wait: Option<Duration>,
}

/// Whose signs of life are sent to AWS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// The bridge's while the task waits; the worker's from its first `started` or `heartbeat` on.
    Both,
    /// Only the worker's.
    Worker,
    /// Only the bridge's, until the task ends.
    Bridge,
}

impl Word for By {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("both", Self::Both),
        ("worker", Self::Worker),
        ("bridge", Self::Bridge),
    ];
}

impl HeartbeatConfig {
    /// The interval of heartbeats for a heartbeat timeout. A configured interval that is too long for the timeout is ignored.
    #[must_use]
    pub fn interval(&self, timeout: Option<Duration>) -> Duration {
        let fitting = timeout.map_or(USUAL_INTERVAL, |timeout| timeout / BEATS_PER_TIMEOUT);
        match (self.interval, timeout) {
            (Some(interval), Some(timeout)) if interval > timeout / 2 => fitting,
            (Some(interval), _) => interval,
            (None, _) => fitting,
        }
    }
}

/// Reads `[routes.heartbeat]` and notes its problems. `discoverable` says whether the source can be asked for timeouts.
pub(crate) fn read(mut table: Reader<'_>, discoverable: bool) -> HeartbeatConfig {
    let secs = |table: &mut Reader<'_>, key, help| {
        let secs = table.integer(key, help, SECONDS).optional()?;
        Some(Duration::from_secs(secs))
    };
    let help = "The side that keeps a task alive at AWS.";
    let by = table.word("by", help).or(By::Both);
    let help = "The heartbeat timeout of the activity types. On Step Functions, the state's HeartbeatSeconds.";
    let timeout = secs(&mut table, "timeout_secs", help);
    let help = "Minimum interval between two heartbeats of a task, in seconds.";
    let interval = secs(&mut table, "interval_secs", help);
    let help =
        "Maximum time that a task may wait for a worker's first started or heartbeat, in seconds.";
    let max_wait = secs(&mut table, "max_wait_secs", help);
    let help = "Only on SWF. true: the bridge learns the heartbeat and start-to-close timeouts of each activity type from SWF.";
    let discover = table.flag("discover", help).optional();
    let help = "Only on SWF. true: the bridge also learns the timeouts that a decider gave a single task instead of its type's.";
    let overrides = table.flag("discover_overrides", help).or(false);

    if let (Some(interval), Some(timeout)) = (interval, timeout)
        && interval > timeout / 2
    {
        let rule = format!(
            "can't meet timeout_secs = {}: must be at most half of it, so that one lost heartbeat costs nothing; \
             without it, a third",
            timeout.as_secs()
        );
        table.problem("interval_secs", Some(interval.as_secs().to_string()), rule);
    }
    if overrides && discover == Some(false) {
        let rule = "needs discover = true, or none of both";
        table.problem("discover_overrides", Some("true".to_owned()), rule);
    }
    for (key, set) in [
        ("discover", discover),
        ("discover_overrides", Some(overrides)),
    ] {
        if set == Some(true) && !discoverable {
            let rule = "Step Functions tells nobody its timeouts; remove it, and set timeout_secs to the state's HeartbeatSeconds";
            table.problem(key, Some("true".to_owned()), rule);
        }
    }
    let discover = match (discover, overrides) {
        (_, true) => Discover::Overrides,
        (Some(true), false) => Discover::Types,
        (None, false) if timeout.is_none() && discoverable => Discover::Types,
        (Some(false) | None, false) => Discover::Off,
    };
    table.compute("discover", &(discover != Discover::Off));
    table.finish();
    HeartbeatConfig {
        by,
        timeout,
        discover,
        interval,
        max_wait,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn parse(heartbeat: &str) -> Result<HeartbeatConfig, String> {
        let text = format!(
            "[amqp]\nuri = \"amqp://b\"\n[[routes]]\nname = \"r\"\nqueue = \"r\"\n[routes.heartbeat]\n{heartbeat}\n\
             [routes.swf]\ndomain = \"d\"\ntask_list = \"l\"\n"
        );
        match text.parse::<Config>() {
            Ok(config) => Ok(config.routes[0].heartbeat),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn timeouts_are_discovered_unless_one_is_configured() {
        for (text, expected) in [
            ("", Discover::Types),
            ("timeout_secs = 60", Discover::Off),
            ("timeout_secs = 60\ndiscover = true", Discover::Types),
            ("discover = false", Discover::Off),
            ("discover_overrides = true", Discover::Overrides),
        ] {
            let found = parse(text).map(|heartbeat| heartbeat.discover);
            assert_eq!(found, Ok(expected), "{text:?}");
        }
    }

    #[test]
    fn a_route_whose_interval_cannot_meet_its_timeout_is_refused() {
        for (text, rule) in [
            (
                "timeout_secs = 30\ninterval_secs = 16",
                "routes[0].heartbeat.interval_secs = 16: can't meet timeout_secs = 30",
            ),
            (
                "timeout_secs = 1\ninterval_secs = 1",
                "routes[0].heartbeat.interval_secs = 1: can't meet",
            ),
            (
                "discover = false\ndiscover_overrides = true",
                "routes[0].heartbeat.discover_overrides = true: needs discover",
            ),
            (
                "by = \"nobody\"",
                "routes[0].heartbeat.by = \"nobody\": must be \"both\"",
            ),
        ] {
            let refused = parse(text).expect_err(text);
            assert!(refused.contains(rule), "{text:?}: {refused}");
        }
        assert!(parse("timeout_secs = 30\ninterval_secs = 15").is_ok());
    }

    #[test]
    fn an_interval_that_is_too_long_for_a_discovered_timeout_is_ignored() {
        let secs = Duration::from_secs;
        for (set, timeout, expected) in [
            (None, None, secs(20)),
            (None, Some(secs(30)), secs(10)),
            (Some(secs(7)), None, secs(7)),
            (Some(secs(15)), Some(secs(30)), secs(15)),
            (Some(secs(16)), Some(secs(30)), secs(10)),
        ] {
            let config = HeartbeatConfig {
                by: By::Both,
                timeout: None,
                discover: Discover::Types,
                interval: set,
                max_wait: None,
            };
            assert_eq!(config.interval(timeout), expected, "{set:?} {timeout:?}");
        }
    }
}
