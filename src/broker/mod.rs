//! Where messages go and answers come from: the seam between the bridge and whatever carries messages to workers.

mod contract;
pub(crate) mod destination;
mod error;
mod inbound;
mod link;
mod message;
pub mod names;
mod queue;
pub mod rabbitmq;
pub mod settings;
pub mod template;

pub use contract::{Broker, Replies};
pub use destination::Destination;
pub use error::{PublishError, QueueError};
pub use inbound::{Acknowledge, Delivery, Receipt};
pub use link::Link;
pub use message::{Message, Published};
pub use queue::{NO_DELIVERY_LIMIT, QueueArguments, QueueFacts, QueueSpec};
