//! The AMQP endpoint: a server of AMQP 0-9-1 inside the bridge. Workers connect to it, and no other broker is needed.
//!
//! | Files | What they own |
//! |---|---|
//! | `frame`, `table`, `property`, `properties`, `content_header`, `method` and their builders | the codec |
//! | `custody` and its parts | where each task is, and what an acknowledgement, a return or a loss means for it; pure |
//! | `confirms`, `exchange`, `exchanges`, `exchange_declarations`, `binding_match`, `queue`, `queue_arguments`, `given_argument`, `message`, `refusal` | what brokers are made of; pure |
//! | `state`, `queue_state`, `own_queue`, `unused_queues`, `open_connection`, `ended_tasks`, with `task_queues`, `queues`, `queue_ends`, `bindings`, `consumers`, `get`, `direct_reply`, `deliver`, `settle`, `publish`, `enqueue`, `tasks`, `methods` | all that the endpoint knows, behind one lock |
//! | `parked_replies`, `park`, `parked_reader`, `parked_record`, `parked_file`, `parked_writer` | the parked replies, and the file that keeps them |
//! | `limits`, `memory_usage`, `bounds`, `log_quota` | bounds over all connections: memory, log lines |
//! | `switch`, `outbox`, `receipt` | the lock, what waits for a socket, the confirm of a reply |
//! | `handshake`, `users`, `certificate`, `session`, `assembly`, `connection`, `doorway`, `keepalive`, `sockets`, `listener` | a client, from its first byte to its last |
//! | `settings`, `user_settings`, `files`, `tls`, `admission` | the configuration, and who may connect as its files say now |
//! | `own_messages`, `task_queue`, `server` | what the bridge sends, and the implementation of the seam |
//! | `fuzz` | what fuzzers and tests drive without sockets; in no release |

mod admission;
mod assembly;
mod binding_match;
mod bindings;
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
mod ended_tasks;
mod enqueue;
mod exchange;
mod exchange_declarations;
mod exchanges;
mod fast_tasks;
mod files;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod get;
mod given_argument;
mod grace_clock;
mod handshake;
mod keepalive;
mod limits;
mod listener;
mod log_quota;
mod memory_usage;
mod message;
mod methods;
mod open_connection;
mod open_replies;
mod own_messages;
mod own_queue;
mod park;
mod parked_file;
mod parked_reader;
mod parked_record;
mod parked_replies;
mod parked_writer;
mod publish;
mod queue;
mod queue_arguments;
mod queue_ends;
mod queue_state;
mod queues;
mod receipt;
mod refusal;
mod server;
mod session;
pub mod settings;
mod settle;
mod sockets;
mod state;
mod switch;
mod task_queue;
mod task_queues;
mod tasks;
#[cfg(test)]
mod tests;
mod tls;
mod unused_queues;
mod user_settings;
mod users;

pub(crate) use super::amqp::outbox;
pub use super::amqp::{
    content_header, frame, method, properties, properties_builder, table, table_builder,
};
pub(crate) use admission::examine as examine_files;
pub use fast_tasks::FastTasks;
pub use files::{EndpointFiles, TlsFiles, UserPassword};
pub(crate) use parked_file::{Examined, examine};
pub(crate) use server::{Endpoint, Options};
pub use settings::{EndpointConfig, TlsConfig};
pub use user_settings::UserConfig;
