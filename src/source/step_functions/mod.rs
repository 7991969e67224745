//! AWS Step Functions as a source of tasks: the calls, the faults and the settings of an activity.

mod activity;
pub mod settings;

pub use activity::{SfnClients, SfnOptions, StepFunctions, worker_name};
pub use settings::{ResultAs, StepFunctionsConfig};
