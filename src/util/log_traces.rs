//! Which traces the log's lines about tasks belong to.
//!
//! A line names its task by the first digits of the id. A [`LogTrace`] says for its lifetime that a task belongs to a trace, and
//! [`trace_of`] finds it by these digits. Two tasks with the same digits may be there at once. Then neither has a trace here,
//! because a line would name the wrong one.

use parking_lot::Mutex;
use std::collections::BTreeMap;

static TRACES: Mutex<BTreeMap<u32, Known>> = Mutex::new(BTreeMap::new());

struct Known {
    tasks: u32,
    /// `None`: the tasks belong to different traces.
    trace: Option<u128>,
}

/// Says that a task belongs to a trace, until it is dropped.
#[derive(Debug)]
pub struct LogTrace(u32);

impl LogTrace {
    /// `task`: the number that the first 8 digits of its id are.
    #[must_use]
    pub fn new(task: u32, trace: u128) -> Self {
        let mut traces = TRACES.lock();
        let known = traces.entry(task).or_insert(Known {
            tasks: 0,
            trace: Some(trace),
        });
        known.tasks += 1;
        known.trace = known.trace.filter(|of_others| *of_others == trace);
        Self(task)
    }
}

impl Drop for LogTrace {
    fn drop(&mut self) {
        let mut traces = TRACES.lock();
        if let Some(known) = traces.get_mut(&self.0) {
            known.tasks -= 1;
            if known.tasks == 0 {
                traces.remove(&self.0);
            }
        }
    }
}

/// Whether the trace of any task is known.
#[must_use]
pub fn any_is_known() -> bool {
    !TRACES.lock().is_empty()
}

/// The trace of the task with these first digits; `None` if it is not known.
#[must_use]
pub fn trace_of(task: &str) -> Option<u128> {
    let task = u32::from_str_radix(task, 16).ok()?;
    TRACES.lock().get(&task)?.trace
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_is_known_as_long_as_its_task_is_there() {
        let task = LogTrace::new(0x00ab_cdef, 7);
        assert_eq!(trace_of("00abcdef"), Some(7));
        drop(task);
        assert_eq!(trace_of("00abcdef"), None);
        assert_eq!(trace_of("not digits"), None);
    }

    #[test]
    fn two_tasks_with_the_same_digits_have_a_trace_only_where_it_is_the_same() {
        let (first, second) = (LogTrace::new(0x11, 7), LogTrace::new(0x11, 7));
        assert_eq!(trace_of("00000011"), Some(7));
        let other = LogTrace::new(0x11, 8);
        assert_eq!(trace_of("00000011"), None);
        drop((first, second, other));
        let _again = LogTrace::new(0x11, 8);
        assert_eq!(trace_of("00000011"), Some(8));
    }
}
