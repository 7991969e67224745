//! The whole configuration: a TOML file, then the environment. It is checked completely before anything starts.
//!
//! Each part reads and checks its own settings. This module composes them, and checks what concerns several parts. A [`Config`]
//! is valid; nothing checks it again.

mod across;

use crate::{
    admin::{self, AdminConfig},
    broker::{BrokerConfig, settings::read_amqp},
    process::{self, ShutdownConfig},
    route::{self, RouteConfig},
    settings::{Environment, Problem, Problems, Reader},
    source::aws::settings::region_rule,
    store::{self, StoreConfig},
    telemetry::{LogConfig, read_log},
    trace::{self, OtlpConfig},
};
use figment::{
    Figment, Profile, Provider,
    providers::{Env, Format, Toml},
    value::Dict,
};
use std::{path::Path, str::FromStr};

const ENV_PREFIX: &str = "ACTIVITY_BRIDGE_";

/// The whole configuration.
#[derive(Debug)]
pub struct Config {
    /// The AWS region; `None` leaves it to the usual AWS chain.
    pub region: Option<String>,
    /// The settings of the broker.
    pub broker: BrokerConfig,
    /// The settings of the token store.
    pub store: StoreConfig,
    /// The settings of the admin endpoint.
    pub admin: AdminConfig,
    /// The settings of the shutdown.
    pub shutdown: ShutdownConfig,
    /// Whether the system may write core dumps of the process.
    pub core_dumps: bool,
    /// The settings of the log.
    pub log: LogConfig,
    /// The settings of the export of spans; `None` if there is none.
    pub otlp: Option<OtlpConfig>,
    /// The routes; at least one, all with different names.
    pub routes: Vec<RouteConfig>,
}

/// Why a configuration can't be used. Exit code 78 (`EX_CONFIG`).
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file can't be read, or is not TOML.
    #[error("{path}: {why}")]
    Unreadable {
        /// The file.
        path: String,
        /// What the system or the parser said.
        why: String,
    },
    /// The file was read, and it has these problems.
    #[error("{}", listed(.0))]
    Invalid(Vec<Problem>),
}

fn listed(problems: &[Problem]) -> String {
    let mut text = match problems.len() {
        1 => "1 problem in the configuration:".to_owned(),
        n => format!("{n} problems in the configuration:"),
    };
    for problem in problems {
        text.push_str("\n  ");
        text.push_str(&problem.to_string());
    }
    text
}

impl Config {
    /// Reads the file, applies the environment, and checks everything.
    ///
    /// # Errors
    ///
    /// If the file can't be read, or with all problems of the configuration at once.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let unreadable = |why: String| ConfigError::Unreadable {
            path: path.display().to_string(),
            why,
        };
        let text = std::fs::read_to_string(path).map_err(|e| unreadable(e.to_string()))?;
        // Only names with a double underscore are settings. If there is a service with the name activity-bridge, Kubernetes
        // sets ACTIVITY_BRIDGE_PORT and similar variables in every pod.
        let env = Env::prefixed(ENV_PREFIX)
            .filter(|key| key.as_str().contains("__"))
            .split("__");
        let environment = env.iter().map(|(key, text)| (key.to_string(), text));
        let environment = environment.collect();
        let figment = Figment::from(Toml::string(&text)).merge(env);
        let dict = figment
            .data()
            .map_err(|e| unreadable(without_source(&e)))?
            .remove(&Profile::Default)
            .unwrap_or_default();
        Self::read(dict, &environment)
    }

    fn read(dict: Dict, environment: &Environment) -> Result<Self, ConfigError> {
        let problems = Problems::default();
        let config = read_all(Reader::root(dict, environment, &problems));
        let problems = problems.into_inner();
        match config {
            Some(config) if problems.is_empty() => Ok(config),
            _ => Err(ConfigError::Invalid(problems)),
        }
    }
}

impl FromStr for Config {
    type Err = ConfigError;

    /// Reads a TOML text, without the environment.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let data = Figment::from(Toml::string(text)).data();
        let mut profiles = data.map_err(|e| ConfigError::Unreadable {
            path: "configuration".to_owned(),
            why: without_source(&e),
        })?;
        let dict = profiles.remove(&Profile::Default).unwrap_or_default();
        Self::read(dict, &Environment::new())
    }
}

/// What is wrong with a TOML text, and where. The line itself is not shown, because it may contain a password.
fn without_source(error: &figment::Error) -> String {
    let text = error.to_string();
    let quoted = |line: &&str| !line.contains('|');
    text.lines().filter(quoted).collect::<Vec<_>>().join(": ")
}

fn read_all(mut root: Reader<'_>) -> Option<Config> {
    let mut aws = root.table("aws");
    let region = aws.text("region", region_rule);
    aws.finish();

    let (broker_kind, mut broker) = read_amqp(root.table("amqp"));
    let store = store::settings::read(root.table("store"));
    if let (Some(broker), Some(store)) = (&mut broker, &store) {
        across::place_parked_replies(&root, broker, store);
    }

    let admin = admin::settings::read(root.table("admin"));
    let outlives = store
        .as_ref()
        .is_some_and(StoreConfig::outlives_the_process);
    let shutdown = process::settings::read(root.table("shutdown"), outlives);
    let core_dumps = process::settings::read_process(root.table("process"));
    let log = read_log(root.table("log"));
    let otlp = trace::settings::read(&mut root);

    let tables = root.tables("routes");
    if tables.is_empty() && !root.has("routes") {
        root.problem(
            "routes",
            None,
            "there is none; add a [[routes]] table for each task list or activity",
        );
    }
    let routes: Vec<_> = tables
        .into_iter()
        .filter_map(|table| route::settings::read(table, broker_kind))
        .collect();
    across::refuse_twins(&root, &routes);
    across::refuse_different_acks(&root, &routes);
    if let Some(region) = &region {
        across::refuse_other_regions(&root, region, &routes);
    }
    if let Some(broker) = &broker {
        across::refuse_unknown_routes(&root, broker, &routes);
    }
    root.finish();

    Some(Config {
        region,
        broker: broker?,
        store: store?,
        admin,
        shutdown,
        core_dumps,
        log,
        otlp,
        routes,
    })
}

#[cfg(test)]
mod tests;
