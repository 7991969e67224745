//! Asks the running process on its local socket, and prints its answer.

use super::{
    arguments::{ParkedCommand, normal},
    results::Results,
    table::{Content, Table},
};
use crate::{
    admin::parked::{ParkedRequest, ParkedVerb},
    cli::{local_socket::RunningBridge, standard_output},
    config::Config,
    settle::parked::{ParkedContent, ParkedListing, ParkedResults},
};
use anyhow::Context;
use bytes::Bytes;
use serde::de::DeserializeOwned;
use std::time::Duration;

/// Timeout for the answer. The bridge answers sooner.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(40);

/// Does this with parked messages. True if nothing is left to be done.
///
/// # Errors
///
/// If the bridge can't be asked, if it refuses, if there is no such message, or if standard output can't be written.
pub async fn parked(config: &Config, command: &ParkedCommand) -> anyhow::Result<bool> {
    let bridge = RunningBridge::of(&config.admin)?;
    let request = ParkedRequest {
        store: config.store.place(),
        verb: verb(command),
    };
    let answer = bridge.post("/parked", &request, ANSWER_TIMEOUT).await;
    let answer = answer.map_err(|error| bridge.failed(error))?;
    let (text, is_done) = printed(command, &answer)?;
    standard_output::write(&text)?;
    Ok(is_done)
}

fn verb(command: &ParkedCommand) -> ParkedVerb {
    match command {
        ParkedCommand::List {
            limit,
            reason_filter,
            ..
        } => ParkedVerb::List {
            limit: *limit,
            because: reason_filter.clone(),
        },
        ParkedCommand::Show { id, raw: true, .. } => ParkedVerb::Body(normal(id)),
        ParkedCommand::Show { id, .. } => ParkedVerb::Show(normal(id)),
        ParkedCommand::Replay {
            named,
            reason_filter,
            ..
        } => ParkedVerb::Replay(named.which(reason_filter.as_ref())),
        ParkedCommand::Drop {
            named,
            reason_filter,
            ..
        } => ParkedVerb::Drop(named.which(reason_filter.as_ref())),
    }
}

/// What is printed, and whether nothing is left to be done.
fn printed(command: &ParkedCommand, answer: &Bytes) -> anyhow::Result<(Bytes, bool)> {
    let as_json = || Bytes::from([&answer[..], b"\n"].concat());
    match command {
        ParkedCommand::Show { raw: true, .. } => Ok((answer.clone(), true)),
        ParkedCommand::List { json: true, .. } | ParkedCommand::Show { json: true, .. } => {
            Ok((as_json(), true))
        }
        ParkedCommand::List { .. } => {
            let listing: ParkedListing = read(answer)?;
            Ok((Table(&listing).to_string().into(), !listing.ended_early))
        }
        ParkedCommand::Show { .. } => {
            let content: ParkedContent = read(answer)?;
            Ok((Content(&content).to_string().into(), true))
        }
        ParkedCommand::Replay { json, .. } | ParkedCommand::Drop { json, .. } => {
            let results: ParkedResults = read(answer)?;
            let results = Results(&results);
            let text = match json {
                true => as_json(),
                false => results.to_string().into(),
            };
            Ok((text, results.are_done()))
        }
    }
}

fn read<T: DeserializeOwned>(answer: &[u8]) -> anyhow::Result<T> {
    serde_json::from_slice(answer).context("answered something else than parked messages")
}
