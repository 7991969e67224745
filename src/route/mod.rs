//! One route: its settings, and its state at run time.
//!
//! A route joins one source of tasks to one destination of messages. This folder owns the route's settings, its slots (the
//! bound on tasks in flight), its part of the credit of its queue, its health (whether AWS refuses it), and
//! what AWS says of the tasks that wait there. It does not poll and does not publish: `intake/` does.

mod ack_settings;
mod credit;
mod demand;
mod early_acks;
pub mod heartbeat_settings;
mod open_polls;
mod pending_tasks;
mod poll_settings;
mod routes;
mod runtime;
pub mod settings;
mod slots;
mod users;

pub use ack_settings::{Ack, AckConfig};
pub use credit::{Observation, PollCredit, QueueCredits, RouteCredit};
pub use demand::{Demand, Pending};
pub use early_acks::EarlyAcks;
pub use heartbeat_settings::{BEATS_PER_TIMEOUT, By, HeartbeatConfig};
pub use open_polls::{OpenPollCount, OpenPolls};
pub use pending_tasks::PendingAtAws;
pub use poll_settings::{MaxReady, Pollers};
pub use routes::{Following, Routes};
pub use runtime::{Route, Undelivered, UnpersistedPermit};
pub use settings::{OversizeResult, RouteConfig};
pub use slots::{Slot, Slots};
