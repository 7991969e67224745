//! The bridge as the broker: workers connect to the bridge itself, by AMQP 0-9-1.
//!
//! Today this folder has the settings, and the count of fast tasks that polls go by. `broker/open.rs` says at the start that such a broker can't be opened yet.

mod fast_tasks;
mod files;
pub mod settings;
mod user_settings;

pub use fast_tasks::FastTasks;
pub use files::{EndpointFiles, TlsFiles, UserPassword};
pub use settings::{EndpointConfig, TlsConfig};
pub use user_settings::UserConfig;
