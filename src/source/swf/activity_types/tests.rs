//! How often SWF is asked for activity types, on paused time.

use super::*;
use futures_util::future::join_all;
use std::cell::RefCell;

const SECOND: Duration = Duration::from_secs(1);

fn key(name: &str) -> TypeKey<'_> {
    TypeKey {
        domain: "shop",
        name,
        version: "1",
    }
}

fn some() -> Timeouts {
    Timeouts {
        heartbeat: Some(SECOND).into(),
        ..Timeouts::default()
    }
}

/// Counts the calls of a service that answers after 100 ms.
#[derive(Default)]
struct Service {
    calls: RefCell<Vec<Instant>>,
}

impl Service {
    async fn call(&self, answer: Result<Timeouts, SourceError>) -> Result<Timeouts, SourceError> {
        self.calls.borrow_mut().push(Instant::now());
        tokio::time::sleep(SECOND / 10).await;
        answer
    }

    fn count(&self) -> usize {
        self.calls.borrow().len()
    }
}

#[tokio::test(start_paused = true)]
async fn a_hundred_types_are_learnt_within_seventeen_seconds_at_six_calls_a_second() {
    let (types, service) = (ActivityTypes::new(), Service::default());
    let names: Vec<_> = (0..100).map(|n| format!("type {n}")).collect();
    let start = Instant::now();
    let (types, service_of) = (&types, &service);
    let learn = async |name: &String| {
        while types
            .of(key(name), service_of.call(Ok(some())), |_| {})
            .await
            != Some(some())
        {
            tokio::time::sleep(SECOND / 2).await;
        }
    };
    join_all(names.iter().map(&learn)).await;
    assert!(start.elapsed() <= SECOND * 17, "{:?}", start.elapsed());
    let calls = service.calls.borrow();
    assert_eq!(calls.len(), 100, "each type once");
    for (n, window) in calls.windows(12).enumerate() {
        let took = window[11] - window[0];
        // The burst is among the first of them.
        let least = if n < 6 { SECOND } else { SECOND * 11 / 6 };
        assert!(
            took + SECOND / 100 >= least,
            "call {n} and the 11 after it: {took:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn one_call_answers_all_who_ask_for_a_type_at_the_same_time() {
    let (types, service) = (ActivityTypes::new(), Service::default());
    let ask = || types.of(key("charge"), service.call(Ok(some())), |_| {});
    let found = join_all((0..100).map(|_| ask())).await;
    assert!(found.iter().all(|found| *found == Some(some())));
    assert_eq!(service.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_type_is_asked_for_again_after_a_growing_wait_that_is_longer_after_a_refusal() {
    for (error, steps) in [
        (SourceError::Throttled(String::new()), [10, 20, 40, 60, 60]),
        (
            SourceError::Refused(String::new()),
            [120, 240, 240, 240, 240],
        ),
    ] {
        let (types, service) = (ActivityTypes::new(), Service::default());
        while service.count() <= steps.len() {
            let answer = service.call(Err(error.clone()));
            assert_eq!(types.of(key("charge"), answer, |_| {}).await, None);
            tokio::time::sleep(SECOND / 10).await;
        }
        let calls = service.calls.borrow();
        for (pair, step) in calls.windows(2).zip(steps) {
            let (wait, step) = (pair[1] - pair[0], SECOND * step);
            assert!(
                wait >= step / 2 && wait <= step + SECOND / 2,
                "{wait:?} of {step:?}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_would_have_to_wait_for_long_does_not_wait_and_makes_no_call() {
    let (types, service) = (ActivityTypes::new(), Service::default());
    let names: Vec<_> = (0..100).map(|n| format!("type {n}")).collect();
    let start = Instant::now();
    let asked = names
        .iter()
        .map(|name| types.of(key(name), service.call(Ok(some())), |_| {}));
    let found = join_all(asked).await;
    let known = found.iter().flatten().count();
    assert_eq!(known, 11, "a burst, and the calls of 0.9 s");
    assert_eq!(service.count(), known);
    assert!(start.elapsed() <= SECOND * 2);
}
