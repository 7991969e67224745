//! `activity-bridge check`: checks a configuration, and prints the results as a table.

use super::tasks::print;
use crate::{
    broker::{self, BrokerKind},
    config::Config,
    source::{SourceError, Sources, aws::AwsConfig},
    store::{self, StoreConfig},
    util::{Mark, Row, database_file::folder, file_access::exposure},
};
use std::{io::Write, path::Path, time::Duration};
use tokio::time::timeout;

/// Timeout for one check of AWS.
const ASK_TIMEOUT: Duration = Duration::from_secs(25);

/// Prints the table. Each row is printed as soon as it is known. True if no check failed.
///
/// # Errors
///
/// If standard output can't be written.
pub async fn check(config: &Config, online: bool) -> anyhow::Result<bool> {
    let mut table = Table::default();
    let routes = config.routes.len();
    table.add(Row::new(
        "configuration",
        Mark::Ok,
        format!("valid, routes: {routes}"),
    ))?;
    for route in &config.routes {
        if let Some(interval) = route.supposed_interval() {
            let words = format!(
                "heartbeat.timeout_secs is not set; waiting tasks are kept alive every {} s",
                interval.as_secs()
            );
            table.add(Row::new(format!("route {}", route.name), Mark::Note, words))?;
        }
    }
    for row in broker::examine(&config.broker, online) {
        table.add(row)?;
    }
    if let StoreConfig::Redis(redis) = &config.store
        && let Some(problem) = store::redis::examine_files(redis)
    {
        table.add(Row::new(problem.path, Mark::Fail, problem.rule))?;
    }
    if config.broker.kind() == BrokerKind::Endpoint {
        for route in &config.routes {
            let what = format!("route {}: ack = {:?}", route.name, route.ack.ack.label());
            table.add(Row::new(what, Mark::Ok, route.ack.to_string()))?;
        }
    }
    if online {
        for row in check_store(config).await {
            table.add(row)?;
        }
        check_aws(config, &mut table).await?;
        let destinations = config.routes.iter().map(|route| &route.destination);
        for row in broker::check(&config.broker, destinations).await {
            table.add(row)?;
        }
    }
    Ok(table.failed == 0)
}

#[derive(Default)]
struct Table {
    failed: usize,
}

impl Table {
    fn add(&mut self, row: Row) -> std::io::Result<()> {
        self.failed += usize::from(row.mark == Mark::Fail);
        writeln!(std::io::stdout(), "{row}")
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

async fn check_aws(config: &Config, table: &mut Table) -> std::io::Result<()> {
    let aws = match AwsConfig::load(config.region.as_deref()).await {
        Ok(aws) => aws,
        Err(error) => return table.add(Row::new("AWS", Mark::Fail, error.to_string())),
    };
    let credentials = aws.check_credentials().await;
    let found = credentials.is_ok();
    table.add(match credentials {
        Ok(()) => Row::new("AWS credentials", Mark::Ok, "found"),
        Err(why) => Row::new("AWS credentials", Mark::Fail, why),
    })?;
    let sources = match Sources::load(config.region.as_deref()).await {
        Ok(sources) => sources,
        Err(error) => return table.add(Row::new("AWS region", Mark::Fail, error.to_string())),
    };
    if !found {
        return Ok(());
    }
    for route in &config.routes {
        let source = sources.for_route(route.source_options());
        let what = format!("route {}: {}", route.name, source.place());
        let answer = timeout(ASK_TIMEOUT, source.probe()).await;
        table.add(match answer {
            Ok(Ok(words)) => Row::new(what, Mark::Ok, words),
            Ok(Err(error)) => aws_row(what, &error, source.probe_action()),
            Err(_) => Row::new(what, Mark::Fail, "no answer from AWS"),
        })?;
    }
    Ok(())
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
