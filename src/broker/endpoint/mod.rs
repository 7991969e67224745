//! The AMQP endpoint: a server of AMQP 0-9-1 inside the bridge. Workers connect to it, and no other broker is needed.
//!
//! | Files | What they own |
//! |---|---|
//! | `frame`, `table`, `property`, `properties`, `content_header`, `method` and their builders | the codec |
//! | `custody` and its parts | where each task is, and what an acknowledgement, a return or a loss means for it; pure |
//! | `confirms`, `exchange`, `binding_match`, `queue`, `message`, `refusal` | what brokers are made of; pure |
//! | `state` with `queues`, `consumers`, `direct_reply`, `deliver`, `settle`, `publish`, `tasks`, `methods` | all that the endpoint knows, behind one lock |
//! | `memory_usage`, `bounds`, `log_quota` | bounds over all connections: memory, log lines |
//! | `switch`, `outbox`, `receipt` | the lock, what waits for a socket, the confirm of a reply |
//! | `handshake`, `users`, `certificate`, `session`, `assembly`, `connection`, `doorway`, `keepalive`, `listener` | a client, from its first byte to its last |
//! | `settings`, `user_settings`, `files`, `tls` | the configuration |
//! | `server` | the implementation of the seam |
//! | `fuzz` | what fuzzers and tests drive without sockets; in no release |

mod assembly;
mod binding_match;
mod bounds;
mod certificate;
mod confirms;
mod connection;
mod consumers;
mod custody;
mod custody_connections;
mod custody_settlement;
mod custody_table;
mod custody_tasks;
mod custody_terms;
mod deliver;
mod direct_reply;
mod doorway;
mod early_acks;
mod exchange;
mod fast_tasks;
mod files;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod grace_clock;
mod handshake;
mod keepalive;
mod listener;
mod log_quota;
mod memory_usage;
mod message;
mod methods;
mod open_replies;
mod publish;
mod queue;
mod queues;
mod receipt;
mod refusal;
mod server;
mod session;
pub mod settings;
mod settle;
mod state;
mod switch;
mod tasks;
#[cfg(test)]
mod tests;
mod tls;
mod user_settings;
mod users;

pub(crate) use super::amqp::outbox;
pub use super::amqp::{
    content_header, frame, method, properties, properties_builder, table, table_builder,
};
pub use fast_tasks::FastTasks;
pub use files::{EndpointFiles, TlsFiles, UserPassword};
pub use server::TaskQueue;
pub(crate) use server::{Endpoint, Options};
pub use settings::{EndpointConfig, TlsConfig};
pub use user_settings::UserConfig;
