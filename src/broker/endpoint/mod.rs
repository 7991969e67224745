//! The AMQP endpoint: a server of AMQP 0-9-1 inside the bridge. Workers connect to it, and no other broker is needed.
//!
//! | Files | What they own |
//! |---|---|
//! | `frame`, `table`, `property`, `properties`, `content_header`, `method` and their builders | the codec |
//! | `custody` and its parts | where each task is, and what an acknowledgement, a return or a loss means for it; pure |
//! | `exchange`, `queue`, `message`, `refusal` | what brokers are made of; pure |
//! | `state` with `queues`, `consumers`, `deliver`, `settle`, `publish`, `tasks`, `methods` | all that the endpoint knows, behind one lock |
//! | `budget`, `bounds`, `log_quota` | bounds over all connections: memory, log lines |
//! | `switch`, `outbox`, `receipt` | the lock, what waits for a socket, the confirm of a reply |
//! | `handshake`, `users`, `session`, `connection`, `doorway`, `keepalive`, `listener` | a client, from its first byte to its last |
//! | `settings`, `user_settings`, `files`, `tls` | the configuration |
//! | `endpoint` | the implementation of the seam |

mod bounds;
mod budget;
mod connection;
mod consumers;
mod content_header;
mod custody;
mod custody_connections;
mod custody_settlement;
mod custody_table;
mod custody_tasks;
mod custody_terms;
mod deliver;
mod doorway;
mod early_acks;
mod endpoint;
mod exchange;
mod files;
mod frame;
mod grace_clock;
mod handshake;
mod keepalive;
mod listener;
mod log_quota;
mod message;
mod method;
mod methods;
mod outbox;
mod properties;
mod properties_builder;
mod property;
mod publish;
mod queue;
mod queues;
mod receipt;
mod refusal;
mod session;
pub mod settings;
mod settle;
mod state;
mod switch;
mod table;
mod table_builder;
mod tasks;
mod tls;
mod user_settings;
mod users;

pub use endpoint::TaskQueue;
pub(crate) use endpoint::{Endpoint, Options};
pub use files::{EndpointFiles, TlsFiles, UserPassword};
pub use settings::{EndpointConfig, TlsConfig};
pub use user_settings::UserConfig;
