//! How much workers may open at the bridge as the broker. A reload of the configuration changes it.

/// The bounds of the configuration on what workers do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkerLimits {
    /// Maximum number of connections.
    pub connections: usize,
    /// Maximum number of open channels of a connection.
    pub channels: u16,
    /// Maximum number of consumers of a connection.
    pub consumers: usize,
    /// Maximum number of a connection's own queues.
    pub own_queues: usize,
    /// Maximum size of a message, in bytes.
    pub message_bytes: usize,
    /// The prefetch of a consumer that sets none.
    pub default_prefetch: u16,
}
