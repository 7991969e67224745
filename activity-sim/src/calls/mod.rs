//! What the simulator does to every call, whatever its action: it injects faults, throttles and counts.

mod counts;
mod faults;
mod rates;
mod throttle;

pub use self::faults::{FaultKind, FaultRule};
pub(crate) use self::{
    counts::CallCounts,
    faults::{CallScope, FaultEnd, Faults, Injected},
    rates::CallRates,
    throttle::Throttles,
};
