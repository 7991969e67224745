//! Opens the configured broker, and checks it for `activity-bridge check --online`. Here is decided how long a reply
//! queue is kept.

use super::{
    contract::{Broker, InboundStream},
    destination::Destination,
    endpoint::{self, Endpoint, EndpointConfig, EndpointFiles, Examined},
    names::REPLIES_EXCHANGE,
    rabbitmq::{self, Access, Options, RabbitMq},
    settings::BrokerConfig,
    task_queue::TaskQueue,
};
use crate::{
    settings::{Problem, in_one_line},
    task::TaskId,
    util::{Mark, Row, supervise::Supervisor},
};
use std::{sync::Arc, time::Duration};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Time for which a process's reply queue is kept without a consumer. After a day the process will not come back.
const PROCESS_REPLIES_TTL: Duration = DAY;
/// Time for which a store's reply queue is kept without a consumer: longer than a long weekend.
const STORE_REPLIES_TTL: Duration = DAY.saturating_mul(7);

/// What a broker must know of the bridge.
pub struct BrokerOptions {
    /// How long replies to this process's tasks can be used.
    pub replies: ReplyLifetime,
    /// Maximum number of tasks in flight, all routes together.
    pub max_in_flight: usize,
    /// The names of the routes.
    pub routes: Vec<String>,
    /// The queues of the routes, for the bridge as the broker.
    pub queues: Vec<TaskQueue>,
    /// Supervises the loops.
    pub supervisor: Supervisor,
}

/// How long replies can be used: as long as the records of their tasks live.
pub enum ReplyLifetime {
    /// As long as the process.
    Process,
    /// As long as the store with this id.
    Store(String),
}

/// Starts the broker. A RabbitMQ is connected to in the background, at the first address that answers.
///
/// # Errors
///
/// The bridge is to be the broker and can't: a file can't be used, or the address can't be listened on.
pub fn open(
    config: &BrokerConfig,
    options: BrokerOptions,
) -> anyhow::Result<(Arc<dyn Broker>, InboundStream)> {
    let config = match config {
        BrokerConfig::Endpoint(config) => {
            let files = EndpointFiles::read(config);
            let files = files.map_err(|problems| anyhow::anyhow!(in_one_line(&problems)))?;
            let id = match options.replies {
                ReplyLifetime::Process => TaskId::random().reveal(),
                ReplyLifetime::Store(id) => id,
            };
            let (endpoint, inbound) = Endpoint::start(endpoint::Options {
                config: config.clone(),
                files,
                queues: options.queues,
                id,
                supervisor: options.supervisor,
            })?;
            return Ok((Arc::new(endpoint), inbound));
        }
        BrokerConfig::RabbitMq(config) => config,
    };
    let (id, replies_expire) = match options.replies {
        ReplyLifetime::Process => (TaskId::random().reveal(), PROCESS_REPLIES_TTL),
        ReplyLifetime::Store(id) => (id, STORE_REPLIES_TTL),
    };
    let (broker, inbound) = RabbitMq::start(Options {
        access: Access::new(config.clone()),
        identity: rabbitmq::identity(options.routes.iter().map(String::as_str)),
        reply_queue: format!("{REPLIES_EXCHANGE}.{id}"),
        replies_expire,
        prefetch: rabbitmq::prefetch_for(options.max_in_flight),
        supervisor: options.supervisor,
    });
    Ok((Arc::new(broker), inbound))
}

/// What `check` says where the bridge is the broker, so that a missing address of a RabbitMQ is seen.
const IS_ENDPOINT: &str =
    "the bridge is the broker, because amqp.uri is not set; workers connect to it";

/// Checks what can be checked without reaching anything: the files that the settings name. `here`: on the machine on which the
/// bridge is to run, so folders must be there.
#[must_use]
pub fn examine(config: &BrokerConfig, here: bool) -> Vec<Row> {
    let endpoint = match config {
        BrokerConfig::Endpoint(endpoint) => endpoint,
        BrokerConfig::RabbitMq(config) => return rabbitmq::check::examine(config),
    };
    let mut rows = vec![Row::new(format!("broker {config}"), Mark::Ok, IS_ENDPOINT)];
    rows.extend(examine_files(endpoint));
    rows.push(examine_parked(endpoint, here));
    rows
}

fn examine_parked(endpoint: &EndpointConfig, here: bool) -> Row {
    const KEY: &str = "amqp.parked_path";
    let Some(path) = &endpoint.parked_path else {
        let words = "not set, so parked replies are kept in memory, and are lost with the process";
        return Row::new(KEY, Mark::Note, words);
    };
    let place = path.display();
    let (mark, words) = match endpoint::examine(path) {
        Ok(Examined::There(parked)) => (
            Mark::Ok,
            format!("{place}: there, parked replies: {parked}"),
        ),
        Ok(Examined::Open) => (Mark::Ok, format!("{place}: a running bridge has it open")),
        Ok(Examined::NotYet) => (
            Mark::Note,
            format!("{place}: not there yet; the bridge makes it"),
        ),
        Ok(Examined::NoFolder(words)) if here => (Mark::Fail, words),
        Ok(Examined::NoFolder(words)) => (Mark::Note, words),
        Err(error) => (Mark::Fail, error.to_string()),
    };
    Row::new(KEY, mark, words)
}

fn examine_files(endpoint: &EndpointConfig) -> Vec<Row> {
    let problems = endpoint::examine_files(endpoint);
    let row = |problem: Problem| Row::new(problem.path, Mark::Fail, problem.rule);
    problems.into_iter().map(row).collect()
}

/// Checks what works with the broker, and changes nothing there. A RabbitMQ has a table for each address.
pub async fn check(
    config: &BrokerConfig,
    destinations: impl Iterator<Item = &Destination> + Clone,
) -> Vec<Row> {
    match config {
        BrokerConfig::Endpoint(_) => Vec::new(),
        BrokerConfig::RabbitMq(config) => rabbitmq::check::check(config, destinations).await,
    }
}
