//! activity-bridge pulls activity tasks of Amazon SWF and AWS Step Functions by long poll and hands them to workers in any
//! language over AMQP 0-9-1. It turns the workers' replies into completions, failures, cancellations and heartbeats.
//!
//! The modules are listed in the order in which they may import: each knows only those above it. A test holds the order
//! (`tests/house`). One task passes them from the bottom up and back:
//!
//! ```text
//!  intake/gate       may this route poll?                       broker up, not blocked, queue there, a consumer on it
//!    │
//!  intake/poller     slot ─► poll                               route/slots, intake/poll_scaler, source/
//!    │
//!  intake/publish    inflight.enter ─► store.insert ─► publish (mandatory, confirmed)                      broker/
//!    │
//!    ▼  … the worker …
//!    │
//!  settle/replies    whose? ─► what does it say?                settle/owner, settle/parse, settle/park
//!    │
//!  settle/outcome    AWS ─► acknowledge the reply ─► store.remove ─► free the slot
//! ```

/// What knows nothing of tasks: back-off, crash points, limits on log lines, supervised loops.
pub mod util;

/// What a task is: plain data, no I/O.
pub mod task;

/// How any table of settings is read.
pub mod settings;

/// TLS where the bridge is the client.
pub mod tls;

/// What is counted.
pub mod metrics;

/// Where tasks come from and outcomes go: Amazon SWF, AWS Step Functions.
pub mod source;

/// Where messages go and answers come from: the bridge as the broker, or RabbitMQ.
pub mod broker;

/// What survives a crash: memory, a file, Redis.
pub mod store;

/// One route at run time.
pub mod route;

/// The bridge's own spans.
pub mod trace;

/// The table of tasks in flight.
pub mod inflight;

/// What the process is about: running, draining, closed.
pub mod phase;

/// What all loops share.
pub mod context;

/// From the worker to AWS.
pub mod settle;

/// From AWS to the worker.
pub mod intake;

/// Several processes on one store.
pub mod replicas;

/// Signals, the start, the drain and the shutdown.
pub mod process;

/// The admin endpoint.
pub mod admin;

/// Logging.
pub mod telemetry;

/// The whole configuration.
pub mod config;

/// Build, spawn, drain.
pub mod app;

/// The command line, and the commands beside `run`.
pub mod cli;
