//! The settings of a route about acknowledgements: what a worker's acknowledgement means for its task.

use crate::{
    broker::BrokerKind,
    settings::{Reader, Word},
    source::SourceConfig,
};
use std::{fmt, time::Duration};

/// The settings of a route about acknowledgements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AckConfig {
    /// What an acknowledgement means.
    pub ack: Ack,
    /// Whether the configuration says so. If it does not, the bridge may change it while it runs.
    pub ack_written: bool,
    /// The result of a task that an acknowledgement completes; `None` for no result.
    pub result: Option<String>,
    /// Time after an acknowledgement in which a reply still decides.
    pub grace: Duration,
    /// Timeout for a worker that neither acknowledges nor says anything; `None` for no timeout.
    pub timeout: Option<Duration>,
}

/// What an acknowledgement means for its task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ack {
    /// The task is completed, if nothing was said about it.
    Completes,
    /// The worker has the task, and a reply will end it.
    Releases,
}

impl Word for Ack {
    const WORDS: &'static [(&'static str, Self)] =
        &[("completes", Self::Completes), ("releases", Self::Releases)];
}

impl Ack {
    /// The value in the configuration.
    #[must_use]
    pub fn label(self) -> &'static str {
        self.word()
    }
}

/// What an acknowledgement does to its task, in words.
impl fmt::Display for AckConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.ack {
            Ack::Completes => {
                let millis = self.grace.as_millis();
                write!(
                    f,
                    "an acknowledgement completes the task after {millis} ms, with "
                )?;
                match &self.result {
                    Some(result) => write!(f, "the result {result}"),
                    None => f.write_str("no result"),
                }?;
                f.write_str(", unless the worker has said something about it")
            }
            Ack::Releases => f.write_str(
                "an acknowledgement settles nothing; a reply or a timeout ends the task",
            ),
        }
    }
}

/// The result that Step Functions gets by default. It takes nothing but JSON.
const JSON_NOTHING: &str = "null";

/// Default time after an acknowledgement in which a reply still decides, in milliseconds.
const DEFAULT_GRACE_MS: u64 = 100;

/// Reads the keys about acknowledgements and notes their problems.
pub(super) fn read(route: &mut Reader<'_>, broker: BrokerKind, source: &SourceConfig) -> AckConfig {
    let ack_written = route.has("ack");
    let by_default = match broker {
        BrokerKind::Endpoint => Ack::Completes,
        BrokerKind::RabbitMq => Ack::Releases,
    };
    let help = "completes: an acknowledgement completes the task, if nothing was said about it. releases: the worker has the task, and \
                its reply ends it.";
    let mut ack = route.word("ack", help).or_computed(by_default);
    if (ack, broker) == (Ack::Completes, BrokerKind::RabbitMq) {
        let rule = "is for the bridge as the broker, because RabbitMQ tells nobody that a worker has acknowledged; remove it";
        route.problem("ack", Some(format!("{:?}", ack.label())), rule);
        ack = by_default;
    }
    refuse_without_effect(route, broker, ack);
    let help = "The result of a task that an acknowledgement completes.";
    let result = route.text("ack_result", help, |text| source.result_rule(text));
    let result = match source {
        SourceConfig::Swf(_) => result.optional(),
        SourceConfig::StepFunctions(_) => Some(result.or_computed(JSON_NOTHING.to_owned())),
    };
    let help = "Time after an acknowledgement before it completes the task, in milliseconds.";
    let grace = route.integer("ack_grace_ms", help, 0..=60_000);
    let help = "Timeout for a worker that has a task and neither acknowledges it nor says anything, in seconds.";
    let timeout = route.integer("ack_timeout_secs", help, 1..=31_536_000);
    AckConfig {
        ack,
        ack_written,
        result,
        grace: Duration::from_millis(grace.or(DEFAULT_GRACE_MS)),
        timeout: timeout.optional().map(Duration::from_secs),
    }
}

/// Reports keys that mean nothing with this broker, or with this meaning of an acknowledgement.
fn refuse_without_effect(route: &Reader<'_>, broker: BrokerKind, ack: Ack) {
    for key in ["ack_result", "ack_grace_ms", "ack_timeout_secs"] {
        if !route.has(key) {
            continue;
        }
        if broker == BrokerKind::RabbitMq {
            let rule = "is for the bridge as the broker, because RabbitMQ tells nobody that a worker has acknowledged; \
                        remove it";
            route.problem(key, None, rule);
        } else if ack == Ack::Releases && key != "ack_timeout_secs" {
            let rule = "is for ack = \"completes\"; remove it, or ack = \"releases\"";
            route.problem(key, None, rule);
        }
    }
}
