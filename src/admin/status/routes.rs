//! The table of the routes.

use super::{
    html::Html,
    parts::{ended_cell, notes, time_cell, what_to_do},
    shape::{InFlight, QueueStatus, RouteStatus, Status},
    words::{age, count, span},
};
use crate::metrics::LegTotals;

/// The columns beside the first two, with what a narrow page calls them.
const COLUMNS: [&str; 9] = [
    "Polls",
    "Slots",
    "Consumers",
    "Credit",
    "Queued",
    "In flight",
    "Oldest",
    "Ended",
    "Time",
];

pub(super) fn routes(html: &mut Html, status: &Status) {
    // Those that need a person come first.
    let (well, not): (Vec<_>, Vec<_>) = status.routes.iter().partition(|route| route.ready);
    html.raw("<section id=\"routes\">\n<h2>Routes <span class=\"dim\">");
    if !not.is_empty() {
        html.text(not.len())
            .raw(" of ")
            .text(status.routes.len())
            .raw(" not ready");
    }
    html.raw("</span></h2>\n<table>\n<thead><tr><th scope=\"col\">Route</th><th scope=\"col\">State</th>");
    for column in COLUMNS {
        html.raw("<th scope=\"col\">").raw(column).raw("</th>");
    }
    html.raw("</tr></thead>\n");
    for route in not.into_iter().chain(well) {
        self::route(html, route);
    }
    html.raw("</table>\n</section>\n");
}

fn route(html: &mut Html, route: &RouteStatus) {
    let totals = &route.totals;
    html.raw("<tbody data-key=\"")
        .text(format_args!("route {}", route.name))
        .raw("\" data-ended=\"")
        .text(totals.ended)
        .raw("\" data-secs=\"")
        .text(totals.duration_secs)
        .raw("\"><tr><th scope=\"row\">")
        .text(&route.name)
        .raw("<small>")
        .text(&route.source)
        .raw(" → ")
        .text(&route.destination)
        .raw("</small></th><td class=\"state\"><span class=\"mark ")
        .raw(if route.ready && route.reason == "polling" {
            "ok"
        } else if route.ready {
            "idle"
        } else {
            "bad"
        })
        .raw("\">")
        .text(&route.state)
        .raw("</span></td>");
    let mut columns = COLUMNS.into_iter();
    let mut cell = |html: &mut Html| {
        html.raw("<td data-label=\"")
            .raw(columns.next().unwrap_or_default())
            .raw("\">");
    };
    cell(html);
    html.text(count(route.open_polls)).raw("</td>");
    cell(html);
    slots(html, route);
    html.raw("</td>");
    let queue = |of: fn(&QueueStatus) -> Option<u64>| {
        let number = route.queue.as_ref().and_then(of);
        number.map_or_else(|| "–".to_owned(), count)
    };
    let of_queue: [fn(&QueueStatus) -> Option<u64>; 3] = [
        |seen| Some(seen.consumers),
        |seen| seen.credit,
        |seen| Some(seen.ready),
    ];
    for of in of_queue {
        cell(html);
        html.text(queue(of)).raw("</td>");
    }
    cell(html);
    in_flight(html, route.in_flight);
    html.raw("</td>");
    cell(html);
    let oldest = route.oldest_task_secs.map(age);
    html.text(oldest.as_deref().unwrap_or("–")).raw("</td>");
    cell(html);
    ended_cell(html, totals.ended);
    html.raw("</td>");
    cell(html);
    time_cell(html, totals.ended, totals.duration_secs);
    html.raw("</td></tr>");
    about(html, route);
    html.raw("</tbody>\n");
}

/// A row below a route, with what there is to say and to do about it.
fn about(html: &mut Html, route: &RouteStatus) {
    let legs = mean_times(&route.legs);
    let not_taken = route.totals.not_taken;
    if route.advice.is_none() && route.notes.is_empty() && not_taken == 0 && legs.is_empty() {
        return;
    }
    html.raw("<tr class=\"about\"><td colspan=\"11\">");
    if let Some(advice) = &route.advice {
        what_to_do(html, advice);
    }
    notes(html, &route.notes);
    if not_taken > 0 {
        html.raw("<p class=\"note\"><span>Outcomes that AWS did not take: ")
            .text(count(not_taken))
            .raw("</span> <code>docs/operations.md#settlements</code></p>");
    }
    if !legs.is_empty() {
        html.raw("<p>Mean times since the start: ")
            .text(legs.join(", "))
            .raw("</p>");
    }
    html.raw("</td></tr>");
}

/// The mean time of each leg that tasks have come through.
fn mean_times(legs: &[LegTotals]) -> Vec<String> {
    let there = legs.iter().filter(|leg| leg.tasks > 0);
    let words = |leg: &LegTotals| format!("{} {}", leg.leg, span(leg.secs / leg.tasks as f64));
    there.map(words).collect()
}

fn slots(html: &mut Html, route: &RouteStatus) {
    html.text(count(route.slots_taken))
        .raw("<span class=\"dim\"> / ")
        .text(count(route.slots))
        .raw("</span><svg class=\"bar\" viewBox=\"0 0 100 4\" preserveAspectRatio=\"none\" aria-hidden=\"true\"><rect class=\"")
        .raw(if route.slots_taken < route.slots { "some" } else { "full" })
        .raw("\" height=\"4\" width=\"")
        .text(100 * route.slots_taken.min(route.slots) / route.slots.max(1))
        .raw("\"/></svg>");
}

fn in_flight(html: &mut Html, tasks: InFlight) {
    let states = tasks.by_state();
    html.text(count(states.iter().map(|(_, number)| number).sum()));
    let mut there = states
        .into_iter()
        .filter(|(_, number)| *number > 0)
        .peekable();
    if there.peek().is_none() {
        return;
    }
    html.raw("<small>");
    while let Some((state, number)) = there.next() {
        // A line ends between two states only.
        html.raw("<span class=\"of\">")
            .text(count(number))
            .raw(" ")
            .raw(state)
            .raw("</span>");
        html.raw(if there.peek().is_some() { ", " } else { "" });
    }
    html.raw("</small>");
}
