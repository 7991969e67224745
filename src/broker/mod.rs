//! The seam between the bridge and what carries messages to workers.
//!
//! This folder owns the trait [`Broker`], the messages that cross it, the names of the worker protocol, and the
//! implementations. It does not know which tasks are in flight, and it does not decide what a reply means.

pub mod amqp;
mod contract;
pub(crate) mod destination;
pub mod endpoint;
mod error;
mod inbound;
mod kind;
mod link;
mod message;
pub mod names;
mod open;
mod parked;
mod queue;
pub mod rabbitmq;
mod read;
mod reply_type;
pub mod settings;
mod task_queue;
pub mod template;
mod worker_limits;

pub use contract::{Broker, Durability, InboundStream, Readiness};
pub use destination::Destination;
pub use error::{ParkError, PublishError, ReadinessError};
pub use inbound::{Acknowledge, Delivery, Inbound, Receipt};
pub use kind::BrokerKind;
pub use link::Link;
pub use message::{Announcement, ParkedMessage, TaskMessage};
pub use open::{BrokerOptions, ReplyLifetime, check, examine, open};
pub use parked::{ParkedReader, ParkedReading};
pub use queue::{QueueArguments, QueueSpec};
pub use reply_type::{ReplyType, is_type_of_task};
pub use settings::BrokerConfig;
pub use task_queue::TaskQueue;
pub use worker_limits::WorkerLimits;
