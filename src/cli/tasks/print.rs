//! Finds the tasks in flight and prints them.
//!
//! The running process is asked first, on its admin endpoint. If none runs, the file of the store is read. The store `redis` is
//! always read, because it knows the tasks of all processes.

use super::{ask, filter::TaskFilter, table::Shown};
use crate::{
    admin::Listing,
    config::Config,
    store::{StoreConfig, file, redis},
};
use anyhow::{anyhow, bail};
use std::{
    io::{self, ErrorKind, Write},
    time::SystemTime,
};

/// Prints the tasks in flight that a person wants to see.
///
/// # Errors
///
/// If the tasks can't be found, if there is no such route, or if standard output can't be written.
pub async fn print(config: &Config, filter: &TaskFilter, json: bool) -> anyhow::Result<bool> {
    let Found {
        mut listing,
        unreadable,
    } = find(config).await?;
    let of = filter.apply(&mut listing, config)?;
    let text = match json {
        true => serde_json::to_string(&listing)? + "\n",
        false => Shown {
            listing: &listing,
            of,
        }
        .to_string(),
    };
    if unreadable > 0 {
        let not_all = format!("activity-bridge: not listed: {}", left_out(unreadable));
        drop(writeln!(io::stderr(), "{not_all}"));
    }
    let complete = unreadable == 0;
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // The reader has closed the pipe, as `head` does.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(complete),
        written => Ok(written.map(|()| complete)?),
    }
}

/// The tasks in flight, in a few words.
///
/// # Errors
///
/// If the tasks can't be found.
pub async fn count(config: &Config) -> anyhow::Result<String> {
    let found = find(config).await?;
    let words = format!("tasks in flight: {}", found.listing.tasks.len());
    Ok(match found.unreadable {
        0 => words,
        some => format!("{words}; and {}", left_out(some)),
    })
}

/// The tasks that were found.
struct Found {
    listing: Listing,
    /// The number of records and keys that can't be read.
    unreadable: usize,
}

impl From<Listing> for Found {
    fn from(listing: Listing) -> Self {
        Self {
            listing,
            unreadable: 0,
        }
    }
}

fn left_out(unreadable: usize) -> String {
    format!("records or keys of the token store that can't be read: {unreadable}")
}

/// The tasks in flight of the running process with this configuration.
async fn running(config: &Config) -> anyhow::Result<Listing> {
    let listing = ask::running(&config.admin).await?;
    let own = config.store.place();
    if listing.store != own {
        let (at, theirs) = (&config.admin, listing.store);
        bail!(
            "the bridge at {at} has the token store {theirs}, not {own}: give the configuration that it was started with"
        );
    }
    Ok(listing)
}

async fn find(config: &Config) -> anyhow::Result<Found> {
    const ADVICE: &str = "start the bridge, or give the configuration that it was started with";
    match &config.store {
        StoreConfig::Memory => running(config).await.map(Found::from).map_err(|error| {
            anyhow!("{error:#}; with store.kind = \"memory\" only the running process knows its tasks: {ADVICE}")
        }),
        StoreConfig::File(store) => match running(config).await {
            Err(error) if ask::is_nobody(&error) => {
                let found = file::read(&store.path)
                    .map_err(|unread| anyhow!("{error:#}; and {unread:#}; {ADVICE}"))?;
                let records = found.records.into_iter().map(|record| (record, None));
                let listing = Listing::of_records(records.collect(), &config.store, SystemTime::now());
                Ok(Found { listing, unreadable: found.unreadable })
            }
            answer => answer.map(Found::from),
        },
        StoreConfig::Redis(store) => {
            let (found, running) = tokio::join!(redis::read(store), running(config));
            let found = found?;
            let records = found.records.into_iter().map(|(record, owner)| (record, Some(owner)));
            let listing = Listing::of_records(records.collect(), &config.store, SystemTime::now());
            // The store knows nothing about routes. A process of this machine may.
            let notes = running.map(|listing| listing.notes).unwrap_or_default();
            Ok(Found { listing: listing.with_notes(notes), unreadable: found.unreadable })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Record;
    use crate::task::{TaskToken, Timeouts};
    use std::time::{Duration, UNIX_EPOCH};

    const NOW: u64 = 1_800_000_000;

    fn at(secs: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(secs)
    }

    fn record(digit: &str, polled: u64, published: bool, begun: bool) -> (Record, Option<String>) {
        let record = Record {
            id: digit.repeat(32).parse().expect("an id"),
            route: "payments".to_owned(),
            source: None,
            token: TaskToken::new("marked-token").expect("a token"),
            activity: "charge".into(),
            polled_at: at(polled),
            timeouts: Timeouts::default(),
            published,
            begun,
            heard: begun.then(|| at(NOW - 37)),
            durable: true,
            failed_deliveries: 0,
            has_outcome: false,
        };
        (record, begun.then(|| "0123456789abcdef".to_owned()))
    }

    #[test]
    fn records_are_listed_oldest_first_with_the_fields_that_machines_rely_on() {
        let records = vec![
            record("c", NOW + 9, false, false),
            record("b", NOW - 5, true, false),
            record("a", NOW - 7_537, true, true),
        ];
        let listing = Listing::of_records(records, &StoreConfig::Memory, at(NOW));
        let json = serde_json::to_value(&listing).expect("JSON");
        let expected = serde_json::json!({
            "owner": null,
            "store": "memory",
            "notes": [],
            "tasks": [
                {
                    "id": "a".repeat(32), "short_id": "a".repeat(8), "route": "payments", "state": "working", "age_secs": 7_537,
                    "last_heartbeat_secs_ago": 37, "owner": "0123456789abcdef",
                },
                {
                    "id": "b".repeat(32), "short_id": "b".repeat(8), "route": "payments", "state": "waiting", "age_secs": 5,
                    "last_heartbeat_secs_ago": null, "owner": null,
                },
                {
                    "id": "c".repeat(32), "short_id": "c".repeat(8), "route": "payments", "state": "publishing", "age_secs": 0,
                    "last_heartbeat_secs_ago": null, "owner": null,
                },
            ],
        });
        assert_eq!(json, expected);
    }
}
