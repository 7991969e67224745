//! A message as the endpoint holds it: its properties and its body as they came, and where it was published to.

use super::properties::Properties;
use bytes::Bytes;
use std::sync::Arc;

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    /// The exchange; empty for the default exchange.
    pub(crate) exchange: Arc<str>,
    /// The routing key.
    pub(crate) routing_key: Arc<str>,
    /// The properties, as they came.
    pub(crate) properties: Properties,
    /// The body.
    pub(crate) body: Bytes,
}

impl Message {
    /// What the message counts for in bounds, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        /// What a message costs beside its content.
        const OVERHEAD: usize = 256;
        self.body.len() + self.properties.raw().len() + self.routing_key.len() + OVERHEAD
    }
}
