//! A simulator of the activity side of Amazon SWF and AWS Step Functions over real HTTP, for
//! development and tests.
//!
//! It has real long polls, time-outs, histories and executions, and the limits and faults of the
//! services. A poll whose caller has gone loses its task, as on the real services. A test can throttle
//! calls and inject faults, and afterwards read what happened to every task. The README says what is
//! enforced and what is assumed.
//!
//! The modules below are in the order in which they depend on each other: a module imports only from
//! those above it. The same call goes through them from the bottom to the top:
//!
//! ```text
//! HTTP ── conn ── server ─┬─ swf, sfn (actions, limits, faults) ─ wire (what both share) ─┐
//!                         └─ admin ── decider (schedule, cancel) ─────────────────────────┤
//! tests ── Sim ───────────────────────┘                                                   │
//!                         hub (one lock, the clock, answers to held polls) ───────────────┘
//!                         └─ world (task lists, polls, tasks, time-outs, histories: pure)
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

/// The simulator's time in microseconds.
mod clock;

/// The ARNs of Step Functions.
mod arn;

/// What a test gives to the simulator.
mod model;

/// What the simulator reports.
mod record;

/// The domains with their activity types, and the activities of Step Functions.
mod registry;

/// What the simulator does to every call, whatever its action: faults, throttles, counts.
mod calls;

/// Task lists, polls, tasks, executions and time-outs as a pure state machine.
mod world;

/// The number of open connections.
mod conns;

/// The state behind one lock, the timer, and the answers to held polls.
mod hub;

/// TLS for connections.
mod tls;

/// HTTP connections that can end without an answer.
mod conn;

/// What both services share: reading a call, answering it, task tokens.
mod wire;

/// The actions of Amazon SWF.
mod swf;

/// The actions of AWS Step Functions.
mod sfn;

/// What a decider does: scheduling and canceling. Also the faults and throttles of a test.
mod decider;

/// The admin API under `/_sim/`.
mod admin;

/// The HTTP server of the services and of the admin API.
mod server;

/// The simulator as a value in a Rust test.
mod sim;

pub use self::{
    arn::activity_arn,
    calls::{FaultKind, FaultRule},
    model::{ActivityType, Retry, STATES, Schedule, Throttle, Timeouts},
    record::{
        CallCount, CancelReport, ExecutionRecord, ExecutionStatus, HeartbeatRecord, Rates, Summary,
        TaskRecord, TaskState, TimeoutType,
    },
    sim::{Options, Sim, WaitError},
};
