//! A simulator of the activity side of Amazon SWF and AWS Step Functions over real HTTP, for
//! development and tests.
//!
//! Real long polls, tasks lost when a poll is abandoned, the time-outs, histories and executions, the
//! services' limits and faults, throttling, and injected faults; and a record of what happened to every
//! task. See the README for what is enforced and what is assumed.
//!
//! ```text
//! HTTP ── conn ── server ─┬─ wire (faults, throttles, held polls, tokens) ┐
//!                         │  ├─ swf (actions, limits, faults) ────────────┤
//!                         │  └─ sfn (the same of Step Functions) ─────────┤
//!                         └─ admin ── decider (schedule, cancel) ─────────┤
//! tests ── Sim ───────────────────────┘                                   │
//!              hub (one lock, the time, answers to held polls) ───────────┘
//!              └─ world (task lists, polls, tasks, time-outs, histories, executions: pure)
//! ```
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::time::Duration;
//! use activity_sim::{Options, Schedule, Sim};
//!
//! let sim = Sim::start(Options { domains: vec!["shop".into()], ..Options::default() }).await?;
//! let ids = sim.schedule(Schedule { count: 3, ..Schedule::new("shop", "payments") });
//! // … workers that use `sim.url()` as the endpoint …
//! let summary = sim.wait_until(Duration::from_secs(5), |s| s.scheduled == 3).await?;
//! assert_eq!(summary.open, ids.len() as u64);
//! # Ok(())
//! # }
//! ```

mod activities;
mod admin;
mod arn;
mod calls;
mod clock;
mod conn;
mod decider;
mod faults;
mod hub;
mod model;
mod rates;
mod record;
mod registry;
mod server;
mod sfn;
mod sim;
mod swf;
mod throttle;
mod wire;
mod world;

pub use self::{
    arn::activity_arn,
    faults::{FaultKind, FaultRule},
    model::{ActivityType, Retry, STATES, Schedule, Throttle, Timeouts},
    record::{
        CallCount, CancelReport, ExecutionRecord, ExecutionStatus, HeartbeatRecord, Rates, Summary,
        TaskRecord, TaskState, TimeoutType,
    },
    sim::{Options, Sim, WaitError},
};
