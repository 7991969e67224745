//! The whole configuration: TOML files, then the environment. It is checked completely before anything starts.
//!
//! Each part reads and checks its own settings. This module composes them, and checks what concerns several parts. A [`Config`]
//! is valid; nothing checks it again.

mod across;
mod files;
pub mod written;

use crate::{
    admin::{self, AdminConfig},
    broker::{BrokerConfig, BrokerKind, WorkerLimits, settings::read_amqp},
    process::{self, ShutdownConfig},
    route::{self, RouteConfig},
    settings::{ENV_PREFIX, Layers, Problem, Problems, Reader, Record, Setting, Variable},
    source::aws::settings::region_rule,
    store::{self, StoreConfig},
    telemetry::{LogConfig, read_log},
    trace::{self, OtlpConfig},
};
use figment::{Profile, Provider, providers::Env};
use std::{path::PathBuf, str::FromStr};

/// The file that is read where the command line names none.
pub const DEFAULT_PATH: &str = "/etc/activity-bridge/config.toml";

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
    /// The settings as they are written, to compare those that a reload does not change.
    pub written: written::Written,
}

/// What a reload compares with the settings of the start.
#[derive(Clone, Debug)]
pub struct Basics {
    /// The kind of the broker.
    pub broker: BrokerKind,
    /// The AWS region; `None` leaves it to the usual AWS chain.
    pub region: Option<String>,
    /// The level of the log.
    pub log_level: tracing::Level,
    /// The bounds on what workers do; `None` if another broker sets them.
    pub limits: Option<WorkerLimits>,
    /// The settings as they are written.
    pub written: written::Written,
}

impl Basics {
    /// The key by which the routes stand on another ground than at the start: they are read for another broker or region. `None` if
    /// they are not.
    #[must_use]
    pub fn other_ground(&self, at_start: &Self) -> Option<&'static str> {
        if self.broker != at_start.broker {
            return Some("amqp.uri");
        }
        (self.region != at_start.region).then_some("aws.region")
    }
}

/// Why a configuration can't be used. Exit code 78 (`EX_CONFIG`).
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file can't be read, or is not TOML.
    #[error("{path}: {why}")]
    Unreadable {
        /// The file or the folder.
        path: String,
        /// What the system or the parser said.
        why: String,
    },
    /// The files were read, and they have these problems.
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

fn unreadable(path: impl Into<String>, why: impl Into<String>) -> ConfigError {
    ConfigError::Unreadable {
        path: path.into(),
        why: why.into(),
    }
}

impl Config {
    /// Reads files and folders in their order, applies the environment, and checks everything.
    ///
    /// # Errors
    ///
    /// If a file can't be read, or with all problems of the configuration at once.
    pub fn load(paths: &[PathBuf]) -> Result<Self, ConfigError> {
        Self::explained(paths).map(|(config, _)| config)
    }

    /// As [`Self::load`], with each setting that was read, and where it comes from.
    ///
    /// # Errors
    ///
    /// As [`Self::load`].
    pub fn explained(paths: &[PathBuf]) -> Result<(Self, Vec<Setting>), ConfigError> {
        Self::read(layers(paths)?, &|name| std::env::var_os(name))
    }

    /// Reads the settings of the admin endpoint alone, so that a bridge can be asked although the rest is wrong.
    ///
    /// # Errors
    ///
    /// If a file can't be read, or with the problems of these settings.
    pub fn load_admin(paths: &[PathBuf]) -> Result<AdminConfig, ConfigError> {
        let (settings, places) = layers(paths)?.fill(&|name| std::env::var_os(name));
        let (problems, record) = (Problems::default(), Record::default());
        let mut root = Reader::root(settings, &places, &problems, &record);
        let admin = admin::settings::read(root.table("admin"));
        let mut problems = places.explain(problems.into_inner());
        problems.retain(|problem| problem.path.starts_with("admin"));
        match problems.is_empty() {
            true => Ok(admin),
            false => Err(ConfigError::Invalid(problems)),
        }
    }

    /// What a reload compares with the settings of the start.
    #[must_use]
    pub fn basics(&self) -> Basics {
        Basics {
            broker: self.broker.kind(),
            region: self.region.clone(),
            log_level: self.log.level,
            limits: self.broker.worker_limits(),
            written: self.written.clone(),
        }
    }

    fn read(layers: Layers, variable: Variable<'_>) -> Result<(Self, Vec<Setting>), ConfigError> {
        let (settings, places) = layers.fill(variable);
        let written = written::Written::new(settings.clone());
        let (problems, record) = (Problems::default(), Record::default());
        let config = read_all(Reader::root(settings, &places, &problems, &record));
        let problems = places.explain(problems.into_inner());
        match config {
            Some(config) if problems.is_empty() => {
                Ok((Self { written, ..config }, record.into_inner()))
            }
            _ => Err(ConfigError::Invalid(problems)),
        }
    }
}

/// The layers of settings: these files and folders in their order, and the environment.
fn layers(paths: &[PathBuf]) -> Result<Layers, ConfigError> {
    let mut layers = Layers::default();
    for path in paths {
        let files = files::read(path);
        let files = files.map_err(|error| unreadable(error.path, error.why))?;
        for (name, settings, lines) in files {
            layers.add_file(name, settings, &lines);
        }
    }
    // Only names with a double underscore are settings. If there is a service with the name activity-bridge, Kubernetes
    // sets ACTIVITY_BRIDGE_PORT and similar variables in every pod.
    let env = Env::prefixed(ENV_PREFIX)
        .filter(|key| key.as_str().contains("__"))
        .split("__");
    let texts = env.iter().map(|(key, text)| (key.to_string(), text));
    let settings = env.data().map(|mut of| of.remove(&Profile::Default));
    let settings = settings.map_err(|e| unreadable("the environment", e.to_string()))?;
    layers.add_environment(settings.unwrap_or_default(), texts.collect());
    Ok(layers)
}

impl FromStr for Config {
    type Err = ConfigError;

    /// Reads a TOML text, without the environment: no variable is set.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const NAME: &str = "configuration";
        let settings = files::parse(text);
        let settings = settings.map_err(|why| unreadable(NAME, why))?;
        let mut layers = Layers::default();
        layers.add_file(NAME.to_owned(), settings, &files::lines(text));
        Self::read(layers, &|_| None).map(|(config, _)| config)
    }
}

/// Configurations that together have each table, and make each part read its settings.
const SAMPLES: [&str; 2] = [
    "amqp = { tls = {}, users = [{}] }\n\
     otlp = {}\n\
     routes = [{ queue = \"q\", swf = {} }]",
    "amqp = { uri = \"amqp://b\", tls = {} }\n\
     store = { kind = \"redis\", tls = {} }\n\
     routes = [{ exchange = \"e\", step_functions = {} }]",
];

/// All settings that there are: those that are read of a few configurations. A setting that depends on others may be there several
/// times.
#[must_use]
pub fn declarations() -> Vec<Setting> {
    let record = Record::default();
    for text in SAMPLES {
        let mut layers = Layers::default();
        let settings = files::parse(text).unwrap_or_default();
        layers.add_file(String::new(), settings, &files::lines(text));
        let (settings, places) = layers.fill(&|_| None);
        read_all(Reader::root(
            settings,
            &places,
            &Problems::default(),
            &record,
        ));
    }
    record.into_inner()
}

fn read_all(mut root: Reader<'_>) -> Option<Config> {
    let mut aws = root.table("aws");
    let region = aws.text("region", "The region of all routes.", region_rule);
    let region = region.optional();
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
        written: written::Written::default(),
    })
}

#[cfg(test)]
mod tests;
