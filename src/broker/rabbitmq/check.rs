//! The check of a RabbitMQ for the command line: login, permissions, each queue and its arguments. It changes nothing
//! there.

use super::{
    access::{Access, Current, Target},
    connect::connect,
    convert::short,
    identity::identity,
    queue_error::{QueueError, QueueFacts},
    settings::RabbitMqConfig,
    topology,
};
use crate::{
    broker::{Destination, QueueSpec, names::PARKING_QUEUE},
    task::TaskId,
    util::{Mark, Row},
};
use lapin::{
    BasicProperties, Connection, Error,
    options::{BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions},
    types::FieldTable,
};
use std::{iter, time::Duration};
use tokio::time::timeout;

/// The sections of the documents about the login, and about permissions.
const LOGIN: &str = "docs/brokers.md#tls-and-login-at-a-rabbitmq";
const PERMISSIONS: &str = "docs/operations.md#rabbitmq-permissions";

const ASK_TIMEOUT: Duration = Duration::from_secs(10);

/// The files that can't be used.
pub(crate) fn examine(config: &RabbitMqConfig) -> Vec<Row> {
    match config.has_files().then(|| Current::read(config)) {
        Some(Err(problem)) => vec![Row::new(problem.path, Mark::Fail, problem.rule)],
        Some(Ok(_)) | None => Vec::new(),
    }
}

/// Checks the broker at each of its addresses.
pub(crate) async fn check(
    config: &RabbitMqConfig,
    routes: impl Iterator<Item = &Destination> + Clone,
) -> Vec<Row> {
    let access = Access::new(config.clone());
    let current = match access.read().await {
        Ok(current) => current,
        Err(why) => {
            let what = format!("broker {}", access.first());
            return vec![Row::new(what, Mark::Fail, why)];
        }
    };
    let mut rows = Vec::new();
    for target in &current.targets {
        rows.extend(check_one(target, routes.clone()).await);
    }
    rows
}

async fn check_one(target: &Target, routes: impl Iterator<Item = &Destination>) -> Vec<Row> {
    let what = format!("broker {}", target.uri);
    let connection = match connect(target, "check", &identity(iter::empty())).await {
        Ok(connection) => connection,
        Err(why) => return vec![Row::new(what, Mark::Fail, why).see(LOGIN)],
    };
    let mut rows = vec![Row::new(what, Mark::Ok, "logged in")];
    let may_publish = asked("permission to publish", may_publish(&connection));
    rows.push(may_publish.await.see(PERMISSIONS));
    let may_declare = asked("permission to have a reply queue", may_declare(&connection));
    rows.push(may_declare.await.see(PERMISSIONS));
    for exchange in &topology::EXCHANGES {
        let what = format!("exchange {}", exchange.name);
        rows.push(asked(&what, find_ours(&connection, exchange.name)).await);
    }
    let queue = QueueSpec::as_it_is(PARKING_QUEUE);
    rows.push(
        asked(
            &format!("queue {PARKING_QUEUE}"),
            find_parking(&connection, &queue),
        )
        .await,
    );
    for route in routes {
        if let Destination::Exchange { name, .. } = route {
            rows.push(asked(&format!("exchange {name}"), find_theirs(&connection, name)).await);
        }
        if let Some(queue) = route.queue() {
            rows.push(
                asked(
                    &format!("queue {}", queue.name),
                    check_queue(&connection, queue),
                )
                .await,
            );
        }
    }
    drop(timeout(ASK_TIMEOUT, connection.close(200, short("checked"))).await);
    rows
}

async fn asked(what: &str, answer: impl Future<Output = Result<(Mark, String), Error>>) -> Row {
    match timeout(ASK_TIMEOUT, answer).await {
        Ok(Ok((mark, words))) => Row::new(what, mark, words),
        Ok(Err(error)) => Row::new(what, Mark::Fail, error.to_string()),
        Err(_) => Row::new(what, Mark::Fail, "the broker does not answer"),
    }
}

/// Publishes a message that no queue takes. The broker returns it, or refuses it if the user may not publish.
async fn may_publish(connection: &Connection) -> Result<(Mark, String), Error> {
    let channel = connection.create_channel().await?;
    channel
        .confirm_select(ConfirmSelectOptions::default())
        .await?;
    let options = BasicPublishOptions {
        mandatory: true,
        ..Default::default()
    };
    let nowhere = format!("activity-bridge.nowhere.{}", TaskId::random().reveal());
    let confirm = channel
        .basic_publish(
            short(""),
            short(&nowhere),
            options,
            b"",
            BasicProperties::default(),
        )
        .await?;
    confirm.await?;
    Ok((Mark::Ok, "granted".to_owned()))
}

/// Declares a queue with a name like the reply queue's. It is deleted with this connection.
async fn may_declare(connection: &Connection) -> Result<(Mark, String), Error> {
    let channel = connection.create_channel().await?;
    let name = format!(
        "activity-bridge.replies.check-{}",
        TaskId::random().reveal()
    );
    let options = QueueDeclareOptions::exclusive().auto_delete();
    channel
        .queue_declare(short(&name), options, FieldTable::default())
        .await?;
    Ok((Mark::Ok, "granted".to_owned()))
}

/// The text for a queue or an exchange that is missing and that the bridge declares when it starts.
const NOT_YET: &str = "not there yet; the bridge declares it, if it may";

async fn find_ours(connection: &Connection, name: &str) -> Result<(Mark, String), Error> {
    let channel = connection.create_channel().await?;
    match topology::find_exchange(&channel, name).await {
        Ok(()) => Ok((Mark::Ok, "there".to_owned())),
        Err(error) if topology::is_missing(&error) => Ok((Mark::Note, NOT_YET.to_owned())),
        Err(error) => Err(error),
    }
}

/// Checks an exchange of the operator's. The bridge does not declare it.
async fn find_theirs(connection: &Connection, name: &str) -> Result<(Mark, String), Error> {
    let channel = connection.create_channel().await?;
    match topology::find_exchange(&channel, name).await {
        Ok(()) => Ok((Mark::Ok, "there".to_owned())),
        Err(error) if topology::is_missing(&error) => {
            let missing = QueueError::NoExchange(name.to_owned());
            Ok((Mark::Fail, missing.to_string()))
        }
        Err(error) => Err(error),
    }
}

async fn find_parking(connection: &Connection, queue: &QueueSpec) -> Result<(Mark, String), Error> {
    let channel = connection.create_channel().await?;
    Ok(match topology::inspect(&channel, queue).await {
        Ok(QueueFacts { ready: 0, .. }) => (Mark::Ok, "there, and empty".to_owned()),
        Ok(facts) => (
            Mark::Note,
            format!("there, replies parked: {}", facts.ready),
        ),
        Err(QueueError::Missing(_)) => (Mark::Note, NOT_YET.to_owned()),
        Err(error) => (Mark::Fail, error.to_string()),
    })
}

/// Checks a queue. It declares only a queue that exists already, because that compares the arguments.
async fn check_queue(connection: &Connection, queue: &QueueSpec) -> Result<(Mark, String), Error> {
    let as_it_is = QueueSpec::as_it_is(&queue.name);
    let there = topology::inspect(&connection.create_channel().await?, &as_it_is).await;
    let found = match there {
        Ok(_) => topology::inspect(&connection.create_channel().await?, queue).await,
        Err(QueueError::Missing(_)) if queue.declare.is_some() => {
            return Ok((Mark::Note, NOT_YET.to_owned()));
        }
        Err(error) => Err(error),
    };
    Ok(match found {
        Ok(facts) => {
            let mark = match facts.consumers {
                0 => Mark::Note,
                _ => Mark::Ok,
            };
            let words = format!(
                "there, consumers: {}, ready: {}",
                facts.consumers, facts.ready
            );
            (mark, words)
        }
        Err(error) => (Mark::Fail, error.to_string()),
    })
}
