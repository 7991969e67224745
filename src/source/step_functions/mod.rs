//! Activities of AWS Step Functions as a source of tasks.

mod activity;
pub mod settings;

pub use activity::{SfnClients, SfnOptions, StepFunctions, worker_name};
pub use settings::{ResultAs, StepFunctionsConfig};
