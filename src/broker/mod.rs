//! Where messages go and answers come from: the seam between the bridge and whatever carries messages to workers.

mod contract;
pub(crate) mod destination;
mod error;
mod inbound;
mod link;
mod message;
pub mod names;
mod open;
mod queue;
pub mod rabbitmq;
pub mod settings;
pub mod template;

pub use contract::{Broker, Durability, InboundStream, Readiness};
pub use destination::Destination;
pub use error::{PublishError, ReadinessError};
pub use inbound::{Acknowledge, Delivery, Inbound, Receipt};
pub use link::Link;
pub use message::{Announcement, ParkedMessage, TaskMessage};
pub use open::{BrokerOptions, ReplyLifetime, check, open};
pub use queue::{QueueArguments, QueueSpec};
