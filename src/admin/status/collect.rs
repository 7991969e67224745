//! Reads the state of the process when somebody asks.

use super::{
    advice::{on_line, on_state},
    shape::{
        BrokerStatus, InFlight, Note, Problem, QueueStatus, ReplyTotals, RouteStatus, Status,
        StoreStatus,
    },
};
use crate::{
    admin::{
        readiness::{Readiness, RouteReadiness},
        shared::Admin,
    },
    broker::Broker,
    inflight::{Progress, Tally},
    route::Route,
    util::{
        Label, host,
        recent_problems::{self, RecentProblems},
    },
};
use std::time::{SystemTime, UNIX_EPOCH};

/// The state of the process now.
pub(in crate::admin) fn collect(admin: &Admin) -> Status {
    let bridge = &admin.bridge;
    let readiness = Readiness::of(admin);
    let is_connected = bridge.broker.link().borrow().is_connected();
    let tallies = bridge.inflight.tally();
    // Nothing reloads the configuration between the two.
    let routes = bridge.routes.all();
    let routes = routes.iter().zip(readiness.routes);
    let routes = routes.map(|(route, seen)| {
        let tally = tallies.get(route.name()).copied().unwrap_or_default();
        route_status(&*bridge.broker, route, seen, tally)
    });
    let problems = RecentProblems::of_process().newest_first().into_iter();
    Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        host: host(),
        at: since_1970(SystemTime::now()),
        uptime_secs: admin.since.elapsed().as_secs_f64(),
        ready: readiness.ready,
        phase: readiness.phase.to_owned(),
        advice: match readiness.phase {
            "running" => None,
            phase => on_state(phase).or_else(|| on_state(&format!("no new polls: {phase}"))),
        },
        tasks_in_flight: readiness.tasks_in_flight as u64,
        broker: BrokerStatus {
            kind: admin.broker.to_string(),
            ready: is_connected,
            state: readiness.broker,
            connections: bridge.broker.connections().map(|number| number as u64),
        },
        store: StoreStatus {
            place: admin.store.to_string(),
            ready: bridge.store.unavailable().is_none(),
            state: readiness.store,
            notes: notes(readiness.store_notes),
        },
        replies: ReplyTotals {
            late: bridge.metrics.late_replies.get(),
            parked: bridge.metrics.parked_replies.get(),
            unparked: bridge.metrics.unparked_replies.get(),
        },
        routes: routes.collect(),
        problems: problems.map(problem).collect(),
    }
}

fn route_status(
    broker: &dyn Broker,
    route: &Route,
    seen: RouteReadiness,
    tally: Tally,
) -> RouteStatus {
    let destination = &route.config.destination;
    let of_queue = route.metrics.queue();
    let queue = destination.queue().map(|_| QueueStatus {
        ready: of_queue.ready,
        consumers: of_queue.consumers,
        unacknowledged: broker
            .unacknowledged(destination)
            .map(|number| number as u64),
        // Only a broker that knows its consumers knows their credit.
        credit: broker.connections().map(|_| of_queue.credit),
    });
    let tasks = |progress: Progress| tally.by_progress[progress.index()] as u64;
    let is_any = tally.by_progress.iter().any(|number| *number > 0);
    RouteStatus {
        name: seen.name,
        source: seen.source.to_owned(),
        destination: destination.to_string(),
        ready: seen.ready,
        reason: seen.reason.label().to_owned(),
        advice: on_state(&seen.state),
        state: seen.state,
        notes: notes(seen.notes),
        open_polls: route.open_polls.number() as u64,
        slots_taken: seen.slots_taken as u64,
        slots: seen.slots as u64,
        queue,
        in_flight: InFlight {
            publishing: tasks(Progress::Publishing),
            waiting: tasks(Progress::Waiting),
            working: tasks(Progress::Working),
            settling: tasks(Progress::Settling),
        },
        oldest_task_secs: is_any.then(|| tally.oldest_age().as_secs()),
        totals: route.metrics.totals(),
        legs: route.metrics.legs(),
    }
}

fn notes(texts: Vec<String>) -> Vec<Note> {
    let note = |text: String| Note {
        advice: on_state(&text),
        text,
    };
    texts.into_iter().map(note).collect()
}

fn problem(known: recent_problems::Problem) -> Problem {
    Problem {
        level: known.level.to_string(),
        at: since_1970(known.at),
        times: known.times,
        route: known.route,
        advice: on_line(&known.message),
        message: known.message,
        fields: known.fields,
    }
}

fn since_1970(at: SystemTime) -> f64 {
    at.duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs_f64()
}
