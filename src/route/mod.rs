//! One route at run time: its settings, its slots, its health.

pub mod heartbeat_settings;
mod runtime;
pub mod settings;
mod slots;

pub use heartbeat_settings::{BEATS_PER_TIMEOUT, By, HeartbeatConfig};
pub use runtime::{Route, Undelivered, UnpersistedPermit};
pub use settings::{OversizeResult, Pollers, RouteConfig};
pub use slots::{Slot, Slots};
