//! The checks of one round.

use super::{clock, polls, report::Report};
use crate::{
    broker::{self, BrokerKind},
    cli::tasks::print,
    config::Config,
    process::descriptors,
    source::{
        SourceError, Sources,
        aws::{AwsConfig, proxies},
    },
    store::{self, StoreConfig},
    util::{Mark, Row, database_file::folder, file_access::exposure},
};
use std::{io, path::Path, time::Duration};
use tokio::time::timeout;

/// Timeout for one check of AWS.
const ASK_TIMEOUT: Duration = Duration::from_secs(25);

/// The sections of the documents that help.
mod see {
    pub(super) const AWS: &str = "docs/configuration.md#aws";
    pub(super) const ROWS: &str = "docs/operations.md#the-rows-of-the-check";
    pub(super) const ROUTE: &str = "docs/operations.md#readiness";
    pub(super) const IAM: &str = "docs/operations.md#iam";
    pub(super) const ENDPOINT: &str = "docs/brokers.md#users-tls-and-bounds";
    pub(super) const RABBITMQ_FILES: &str = "docs/brokers.md#tls-and-login-at-a-rabbitmq";
    pub(super) const FILE: &str = "docs/token-stores.md#the-file";
    pub(super) const REDIS: &str = "docs/token-stores.md#when-redis-cant-be-used";
}

/// Makes all checks.
pub(super) async fn add_all(config: &Config, online: bool, report: &mut Report) -> io::Result<()> {
    let valid = format!("valid, routes: {}", config.routes.len());
    report.add(see::ROWS, Row::new("configuration", Mark::Ok, valid))?;
    for route in &config.routes {
        if let Some(interval) = route.supposed_interval() {
            let words = format!(
                "heartbeat.timeout_secs is not set; waiting tasks are kept alive every {} s",
                interval.as_secs()
            );
            let what = format!("route {}", route.name);
            report.add(see::ROUTE, Row::new(what, Mark::Note, words))?;
        }
    }
    let files = match config.broker.kind() {
        BrokerKind::Endpoint => see::ENDPOINT,
        BrokerKind::RabbitMq => see::RABBITMQ_FILES,
    };
    report.add_all(files, broker::examine(&config.broker, online))?;
    if let StoreConfig::Redis(redis) = &config.store
        && let Some(problem) = store::redis::examine_files(redis)
    {
        let row = Row::new(problem.path, Mark::Fail, problem.rule);
        report.add(see::REDIS, row)?;
    }
    if config.broker.kind() == BrokerKind::Endpoint {
        for route in &config.routes {
            let what = format!("route {}: ack = {:?}", route.name, route.ack.ack.label());
            report.add(see::ROUTE, Row::new(what, Mark::Ok, route.ack.to_string()))?;
        }
    }
    if online {
        report.add(see::ROWS, check_descriptors(config))?;
        report.add_all(see_store(config), check_store(config).await)?;
        check_aws(config, report).await?;
        report.add_all(see::IAM, polls::rows(config).await)?;
        let destinations = config.routes.iter().map(|route| &route.destination);
        let rows = broker::check(&config.broker, destinations).await;
        report.add_all(see::ROUTE, rows)?;
    }
    Ok(())
}

/// The limit of this process. That of the bridge may be another one.
fn check_descriptors(config: &Config) -> Row {
    let limit = descriptors::hard_limit();
    let (mark, words) = match (
        descriptors::few(&config.broker, &config.routes, limit),
        limit,
    ) {
        (Some(words), _) => (Mark::Note, words),
        (None, Some(limit)) => (Mark::Ok, format!("limit here: {limit}")),
        (None, None) => (Mark::Ok, "no limit here".to_owned()),
    };
    Row::new("open files", mark, words)
}

fn check_proxies() -> Vec<Row> {
    let row = |proxy: proxies::Setting| {
        let (mark, words) = match proxy.explained() {
            Ok(words) => (Mark::Ok, words),
            Err(words) => (Mark::Note, words),
        };
        Row::new(format!("proxy for {}", proxy.calls), mark, words)
    };
    proxies::configured().into_iter().map(row).collect()
}

fn see_store(config: &Config) -> &'static str {
    match &config.store {
        StoreConfig::Redis(_) => see::REDIS,
        StoreConfig::Memory | StoreConfig::File(_) => see::FILE,
    }
}

/// Checks the token store without changing its records.
async fn check_store(config: &Config) -> Vec<Row> {
    let what = format!("token store {}", config.store);
    let advice = match &config.store {
        StoreConfig::Memory => return Vec::new(),
        StoreConfig::File(file) if !file.path.exists() => {
            return vec![missing_file(what, &file.path)];
        }
        StoreConfig::File(file) => Ok(exposure(&file.path).ok().flatten().into_iter().collect()),
        StoreConfig::Redis(redis) => {
            let advice = store::redis::examine(redis).await;
            advice.map(|advice| advice.into_iter().map(str::to_owned).collect::<Vec<_>>())
        }
    };
    let found = async {
        let advice = advice?;
        anyhow::Ok((advice, print::count(config).await?))
    };
    match found.await {
        Ok((advice, tasks)) => {
            let words = format!("reached, {tasks}");
            let note = |words| Row::new(what.clone(), Mark::Note, words);
            let notes: Vec<_> = advice.into_iter().map(note).collect();
            let mut rows = vec![Row::new(what, Mark::Ok, words)];
            rows.extend(notes);
            rows
        }
        Err(error) => vec![Row::new(what, Mark::Fail, format!("{error:#}"))],
    }
}

fn missing_file(what: String, path: &Path) -> Row {
    let folder = folder(path);
    let (folder_there, folder) = (folder.is_dir(), folder.display());
    match folder_there {
        true => {
            let words = format!("not in {folder} yet; the bridge makes it");
            Row::new(what, Mark::Note, words)
        }
        false => {
            let words = format!("the folder {folder} is not there; make it, or mount it");
            Row::new(what, Mark::Fail, words)
        }
    }
}

async fn check_aws(config: &Config, report: &mut Report) -> io::Result<()> {
    report.add_all(see::AWS, check_proxies())?;
    let (aws, clock) = match AwsConfig::load_with_clock(config.region.as_deref()).await {
        Ok(loaded) => loaded,
        Err(error) => return report.add(see::AWS, Row::new("AWS", Mark::Fail, error.to_string())),
    };
    let credentials = aws.check_credentials().await;
    let found = credentials.is_ok();
    let row = match credentials {
        Ok(()) => Row::new("AWS credentials", Mark::Ok, "found"),
        Err(why) => Row::new("AWS credentials", Mark::Fail, why),
    };
    report.add(see::AWS, row)?;
    let sources = match Sources::new(aws) {
        Ok(sources) => sources,
        Err(error) => {
            let row = Row::new("AWS region", Mark::Fail, error.to_string());
            return report.add(see::AWS, row);
        }
    };
    if !found {
        // A wrong clock may be why. A right one is not told: where an agent on this machine has answered, it has the same clock.
        let row = clock.difference().map(clock::row);
        let wrong = row.filter(|row| row.mark != Mark::Ok);
        return report.add_all(see::ROWS, wrong);
    }
    clock.clear();
    for route in &config.routes {
        let source = sources.for_route(route.source_options());
        let what = format!("route {}: {}", route.name, source.place());
        let answer = timeout(ASK_TIMEOUT, source.probe()).await;
        let row = match answer {
            Ok(Ok(words)) => Row::new(what, Mark::Ok, words),
            Ok(Err(error)) => aws_row(what, &error, source.probe_action()),
            Err(_) => Row::new(what, Mark::Fail, "no answer from AWS"),
        };
        report.add(see::ROUTE, row)?;
    }
    report.add_all(see::ROWS, clock.difference().map(clock::row))
}

fn aws_row(what: String, error: &SourceError, action: &str) -> Row {
    let words = error.to_string();
    match error {
        // Only the check needs this permission; the bridge itself does not.
        SourceError::Refused(_) if words.contains(&format!(":{action}")) => {
            let words = format!("{action} is not permitted, so this could not be checked: {words}");
            Row::new(what, Mark::Note, words)
        }
        SourceError::Throttled(_) | SourceError::TooMany(_) => Row::new(what, Mark::Note, words),
        SourceError::Refused(_)
        | SourceError::Unavailable(_)
        | SourceError::Invalid(_)
        | SourceError::Gone(_) => Row::new(what, Mark::Fail, words),
    }
}
