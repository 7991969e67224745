//! The status of a bridge as lines of text.

use super::{
    rates::Rates,
    text::{Line, Style, table},
};
use crate::admin::status::{
    Status,
    shape::{Advice, Note, Problem, RouteStatus},
    words::{age, count, moment, span},
};

/// Maximum length of a state in the table. A longer one has a line of its own.
const STATE_WIDTH: usize = 36;

const NONE: &str = "-";

const HEADING: [&str; 14] = [
    "ROUTE",
    "STATE",
    "POLLS",
    "SLOTS",
    "CONSUMERS",
    "CREDIT",
    "QUEUED",
    "PUBLISHING",
    "WAITING",
    "WORKING",
    "SETTLING",
    "OLDEST",
    "ENDED/S",
    "TIME",
];

/// The lines of a look. Rates are from the earlier look on.
pub(super) fn lines(earlier: Option<&Status>, now: &Status) -> Vec<Line> {
    let mut lines = vec![title(now)];
    lines.extend(now.advice.as_ref().map(what_to_do));
    lines.extend(parts(earlier, now));
    lines.push(Line::default());
    lines.extend(routes(earlier, now));
    lines.push(Line::default());
    lines.extend(problems(&now.problems));
    lines
}

fn title(status: &Status) -> Line {
    let (style, readiness) = match status.ready {
        true => (Style::Good, "ready"),
        false => (Style::Bad, "not ready"),
    };
    let more = format!(
        "  {}  up {}  version {}  {} UTC",
        status.phase,
        span(status.uptime_secs),
        status.version,
        moment(status.at)
    );
    Line::default()
        .with(Style::Strong, format!("activity-bridge {}  ", status.host))
        .with(style, readiness)
        .with(Style::Plain, more)
}

/// The broker, the store, the tasks and the replies.
fn parts(earlier: Option<&Status>, now: &Status) -> Vec<Line> {
    let part = |name: &str, is_well: bool, text: String| {
        let style = if is_well { Style::Plain } else { Style::Bad };
        Line::default()
            .with(Style::Dim, format!("{name:<9}"))
            .with(style, text)
    };
    let mut broker = format!("{}: {}", now.broker.kind, now.broker.state);
    if let Some(connections) = now.broker.connections {
        broker += &format!(", worker connections: {}", count(connections));
    }
    let store = format!("{}: {}", now.store.place, now.store.state);
    let mut tasks = format!("{} in flight", count(now.tasks_in_flight));
    if let Some(oldest) = now
        .routes
        .iter()
        .filter_map(|route| route.oldest_task_secs)
        .max()
    {
        tasks += &format!(", the oldest since {}", age(oldest));
    }
    if let Some(rates) = earlier.and_then(|earlier| Rates::of_all(earlier, now)) {
        tasks += &format!("; {} end in a second", rate(rates.ended_per_sec));
        if let Some(secs) = rates.duration_secs {
            tasks += &format!(", each after {}", span(secs));
        }
    }
    let replies = &now.replies;
    let replies = format!(
        "late: {}, parked: {}, of these without room: {}",
        count(replies.late),
        count(replies.parked),
        count(replies.unparked)
    );
    let mut lines = vec![
        part("broker", now.broker.ready, broker),
        part("store", now.store.ready, store),
    ];
    lines.extend(now.store.notes.iter().flat_map(note));
    lines.push(part("tasks", true, tasks));
    lines.push(part("replies", true, replies));
    lines
}

/// The table of the routes. Those that need a person come first, and what there is to say about a route follows it.
fn routes(earlier: Option<&Status>, now: &Status) -> Vec<Line> {
    let (well, not): (Vec<_>, Vec<_>) = now.routes.iter().partition(|route| route.ready);
    let routes: Vec<_> = not.into_iter().chain(well).collect();
    let mut rows = vec![
        HEADING
            .map(|heading| (Style::Dim, heading.to_owned()))
            .to_vec(),
    ];
    rows.extend(routes.iter().map(|route| {
        let rates = earlier.and_then(|earlier| Rates::of_route(earlier, now, &route.name));
        row(route, rates)
    }));
    let mut table = table(&rows, 2).into_iter();
    let mut lines: Vec<_> = table.next().into_iter().collect();
    for (line, route) in table.zip(routes) {
        lines.push(line);
        if route.state.chars().count() > STATE_WIDTH {
            lines.push(Line::default().with(Style::Plain, format!("  {}", route.state)));
        }
        lines.extend(route.advice.as_ref().map(what_to_do));
        lines.extend(route.notes.iter().flat_map(note));
    }
    lines
}

fn row(route: &RouteStatus, rates: Option<Rates>) -> Vec<(Style, String)> {
    let state = match route.ready {
        true if route.reason == "polling" => Style::Good,
        true => Style::Warn,
        false => Style::Bad,
    };
    let mut row = vec![
        (Style::Strong, route.name.clone()),
        (state, cut(&route.state)),
    ];
    let queue = route.queue.as_ref();
    let number = |number: Option<u64>| number.map_or_else(|| NONE.to_owned(), count);
    let mut numbers = vec![
        count(route.open_polls),
        format!("{}/{}", count(route.slots_taken), count(route.slots)),
        number(queue.map(|queue| queue.consumers)),
        number(queue.and_then(|queue| queue.credit)),
        number(queue.map(|queue| queue.ready)),
    ];
    numbers.extend(route.in_flight.by_state().map(|(_, tasks)| count(tasks)));
    let none = || NONE.to_owned();
    numbers.push(route.oldest_task_secs.map_or_else(none, age));
    numbers.push(rates.map_or_else(none, |rates| rate(rates.ended_per_sec)));
    let duration = rates.and_then(|rates| rates.duration_secs);
    numbers.push(duration.map_or_else(none, span));
    row.extend(numbers.into_iter().map(|number| (Style::Plain, number)));
    row
}

fn cut(state: &str) -> String {
    match state.chars().count() > STATE_WIDTH {
        true => state.chars().take(STATE_WIDTH - 1).chain(['…']).collect(),
        false => state.to_owned(),
    }
}

fn rate(per_sec: f64) -> String {
    match per_sec < 9.95 {
        true => format!("{per_sec:.1}"),
        // Not negative, and small.
        false => count(per_sec.round() as u64),
    }
}

fn note(note: &Note) -> Vec<Line> {
    let text = Line::default().with(Style::Warn, format!("  {}", note.text));
    [text]
        .into_iter()
        .chain(note.advice.as_ref().map(what_to_do))
        .collect()
}

fn what_to_do(advice: &Advice) -> Line {
    let gap = if advice.text.is_empty() { "" } else { " " };
    Line::default().with(
        Style::Dim,
        format!("  {}{gap}({})", advice.text, advice.section),
    )
}

fn problems(problems: &[Problem]) -> Vec<Line> {
    if problems.is_empty() {
        return vec![Line::default().with(
            Style::Dim,
            "no warnings and errors in the log since the start",
        )];
    }
    let heading = Line::default().with(Style::Dim, "WARNINGS AND ERRORS OF THE LOG");
    let mut lines = vec![heading];
    for one in problems {
        let style = if one.level == "ERROR" {
            Style::Bad
        } else {
            Style::Warn
        };
        let times = match one.times {
            0 | 1 => String::new(),
            times => format!("{} times  ", count(times)),
        };
        let mut line = Line::default()
            .with(Style::Plain, format!("{}  ", moment(one.at)))
            .with(style, format!("{:<5}  ", one.level.to_lowercase()))
            .with(Style::Dim, times);
        if !one.route.is_empty() {
            line = line.with(Style::Strong, format!("{}  ", one.route));
        }
        let words = [one.message.as_str(), one.fields.as_str()].join(" ");
        lines.push(line.with(Style::Plain, words));
        lines.extend(one.advice.as_ref().map(what_to_do));
    }
    lines
}

#[cfg(test)]
mod tests;
