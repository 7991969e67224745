//! The AWS service that handed out a task.

use crate::util::labels;

labels! {
    /// The AWS service that handed out a task. Only this service takes the task's token.
    pub enum SourceKind {
        /// Amazon SWF.
        Swf = "swf",
        /// AWS Step Functions.
        StepFunctions = "step-functions",
    }
}
