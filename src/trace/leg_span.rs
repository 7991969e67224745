//! The leg of a task's way between the broker's confirm and the outcome: the wait for a worker, or a worker's work.

use super::tracer::Span;

/// The span of the leg that a task is on. It is not recorded where the task's span is not.
#[derive(Debug, Default)]
pub enum LegSpan {
    /// Neither.
    #[default]
    None,
    /// The task waits for a worker.
    Wait(Span),
    /// A worker has the task.
    Work(Span),
}

impl LegSpan {
    /// The broker has the task. It waits for a worker, unless one has begun.
    pub fn confirmed(&mut self, task: &Span) {
        if let Self::None = self {
            *self = Self::Wait(task.leg("wait"));
        }
    }

    /// A worker has the task, perhaps before the broker's confirm.
    pub fn started(&mut self, task: &Span) {
        if let Self::Work(_) = self {
            return;
        }
        self.confirmed(task);
        self.ended("started");
        *self = Self::Work(task.leg("work"));
    }

    /// The task waits for a worker again.
    pub fn came_back(&mut self, task: &Span) {
        if let Self::Work(_) = self {
            self.ended("came-back");
        }
        self.confirmed(task);
    }

    /// The leg has ended in this way.
    pub fn ended(&mut self, end: &'static str) {
        match std::mem::take(self) {
            Self::None => {}
            Self::Wait(span) | Self::Work(span) => span.ended(end),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{task::Traceparent, trace::recorder::Recorder};
    use parking_lot::Mutex;
    use std::sync::Arc;

    type Log = Arc<Mutex<Vec<String>>>;

    /// Notes which span began, and how it ended.
    struct Noted(&'static str, Log);

    impl Recorder for Noted {
        fn child(&self, name: &'static str, is_call: bool) -> Arc<dyn Recorder> {
            assert!(!is_call, "nobody is called");
            self.1.lock().push(name.to_owned());
            Arc::new(Self(name, Arc::clone(&self.1)))
        }

        fn note(&self, _key: &'static str, end: &'static str, is_error: bool) {
            let mark = if is_error { "!" } else { "" };
            self.1.lock().push(format!("{} {end}{mark}", self.0));
        }

        fn end(&self) {}

        fn traceparent(&self) -> Option<Traceparent> {
            None
        }
    }

    fn spans(way: impl FnOnce(&mut LegSpan, &Span)) -> Vec<String> {
        let log = Log::default();
        let task = Span::of(Arc::new(Noted("activity_task", Arc::clone(&log))));
        way(&mut LegSpan::default(), &task);
        log.lock().clone()
    }

    #[test]
    fn a_task_waits_until_a_worker_begins_who_works_until_the_answer() {
        let spans = spans(|leg, task| {
            leg.confirmed(task);
            leg.started(task);
            // A heartbeat of the same worker.
            leg.started(task);
            leg.ended("answered");
        });
        let expected = ["wait", "wait started", "work", "work answered"];
        assert_eq!(spans, expected);
    }

    #[test]
    fn a_worker_that_begins_before_the_confirm_ends_a_wait_too() {
        let spans = spans(|leg, task| {
            leg.started(task);
            leg.confirmed(task);
            leg.ended("acknowledged");
        });
        let expected = ["wait", "wait started", "work", "work acknowledged"];
        assert_eq!(spans, expected);
    }

    #[test]
    fn a_worker_that_says_nothing_before_its_answer_has_no_work() {
        let spans = spans(|leg, task| {
            leg.confirmed(task);
            leg.ended("answered");
        });
        assert_eq!(spans, ["wait", "wait answered"]);
    }

    #[test]
    fn a_task_that_comes_back_waits_again_and_the_work_on_it_is_an_error() {
        let spans = spans(|leg, task| {
            leg.confirmed(task);
            leg.started(task);
            leg.came_back(task);
            // Nobody had it.
            leg.came_back(task);
            leg.started(task);
        });
        let expected = [
            "wait",
            "wait started",
            "work",
            "work came-back!",
            "wait",
            "wait started",
            "work",
        ];
        assert_eq!(spans, expected);
    }

    #[test]
    fn a_task_whose_span_is_not_recorded_has_no_spans() {
        let mut leg = LegSpan::default();
        leg.confirmed(&Span::none());
        leg.started(&Span::none());
        leg.ended("answered");
    }
}
