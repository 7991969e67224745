use super::*;
use crate::{
    admin::status::shape::{BrokerStatus, InFlight, QueueStatus, StoreStatus},
    metrics::RouteTotals,
};

fn status() -> Status {
    let payments = RouteStatus {
        name: "payments".to_owned(),
        ready: true,
        state: "polling".to_owned(),
        reason: "polling".to_owned(),
        open_polls: 2,
        slots_taken: 5,
        slots: 100,
        queue: Some(QueueStatus {
            consumers: 3,
            credit: Some(7),
            ..QueueStatus::default()
        }),
        in_flight: InFlight {
            working: 3,
            ..InFlight::default()
        },
        oldest_task_secs: Some(185),
        ..RouteStatus::default()
    };
    let refused = RouteStatus {
        name: "mail".to_owned(),
        state: "refused: UnknownResourceFault: Unknown domain: post".to_owned(),
        advice: Some(Advice {
            text: "SWF: create the domain.".to_owned(),
            section: "docs/operations.md#readiness".to_owned(),
        }),
        slots: 10,
        ..RouteStatus::default()
    };
    Status {
        version: "0.2.0".to_owned(),
        host: "web-0".to_owned(),
        at: 1_796_043_785.0,
        uptime_secs: 7_537.0,
        phase: "running".to_owned(),
        tasks_in_flight: 3,
        broker: BrokerStatus {
            kind: "endpoint 127.0.0.1:5672".to_owned(),
            ready: true,
            state: "connected".to_owned(),
            connections: Some(3),
        },
        store: StoreStatus {
            place: "memory".to_owned(),
            ready: true,
            state: "ok".to_owned(),
            notes: Vec::new(),
        },
        routes: vec![payments, refused],
        ..Status::default()
    }
}

fn text(lines: &[Line]) -> String {
    lines
        .iter()
        .map(|line| line.render(false, usize::MAX) + "\n")
        .collect()
}

#[test]
fn the_table_is_aligned_and_what_needs_a_person_comes_first() {
    let earlier = status();
    let mut now = status();
    now.uptime_secs += 2.0;
    now.routes[0].totals = RouteTotals {
        ended: 50,
        duration_secs: 60.0,
        ..RouteTotals::default()
    };
    let expected = "\
activity-bridge web-0  not ready  running  up 2 h 5 min  version 0.2.0  2026-11-30 13:03:05 UTC
broker   endpoint 127.0.0.1:5672: connected, worker connections: 3
store    memory: ok
tasks    3 in flight, the oldest since 3 min 5 s; 25 end in a second, each after 1.2 s
replies  late: 0, parked: 0, of these without room: 0

ROUTE     STATE                                 POLLS  SLOTS  CONSUMERS  CREDIT  QUEUED  PUBLISHING  WAITING  WORKING  SETTLING     OLDEST  ENDED/S   TIME
mail      refused: UnknownResourceFault: Unkn…      0   0/10          -       -       -           0        0        0         0          -      0.0      -
  refused: UnknownResourceFault: Unknown domain: post
  SWF: create the domain. (docs/operations.md#readiness)
payments  polling                                   2  5/100          3       7       0           0        0        3         0  3 min 5 s       25  1.2 s

no warnings and errors in the log since the start
";
    assert_eq!(text(&lines(Some(&earlier), &now)), expected);
}

#[test]
fn warnings_and_errors_are_lines_with_what_to_do() {
    let mut now = status();
    now.problems = vec![Problem {
        level: "WARN".to_owned(),
        at: 1_796_043_785.0,
        times: 3,
        route: "mail".to_owned(),
        message: "a poll failed; it is tried again".to_owned(),
        fields: "error=\u{1b}[2J".to_owned(),
        advice: Some(Advice {
            text: "AWS could not be reached.".to_owned(),
            section: "docs/operations.md#logs".to_owned(),
        }),
    }];
    let text = text(&lines(None, &now));
    let expected = "\
WARNINGS AND ERRORS OF THE LOG
2026-11-30 13:03:05  warn   3 times  mail  a poll failed; it is tried again error= [2J
  AWS could not be reached. (docs/operations.md#logs)
";
    assert!(text.ends_with(expected), "{text}");
}
