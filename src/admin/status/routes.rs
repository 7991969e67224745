//! The table of the routes.

use super::{
    html::Html,
    parts::{ended_cell, list, notes, time_cell, what_to_do},
    shape::{InFlight, QueueStatus, RouteStatus, Status},
    words::{count, span},
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
    let oldest = route.oldest_task_secs.map(|age| span(age as f64));
    html.text(oldest.as_deref().unwrap_or("–")).raw("</td>");
    cell(html);
    ended_cell(html, totals.ended);
    html.raw("</td>");
    cell(html);
    time_cell(html, totals.ended, totals.duration_secs);
    legs(html, &route.legs);
    html.raw("</td></tr>");
    if route.advice.is_some() || !route.notes.is_empty() || totals.not_taken > 0 {
        about(html, route);
    }
    html.raw("</tbody>\n");
}

/// A row below a route, with what to do about it.
fn about(html: &mut Html, route: &RouteStatus) {
    html.raw("<tr class=\"about\"><td colspan=\"11\">");
    if let Some(advice) = &route.advice {
        what_to_do(html, advice);
    }
    notes(html, &route.notes);
    if route.totals.not_taken > 0 {
        html.raw("<p class=\"note\">Outcomes that AWS did not take: ")
            .text(count(route.totals.not_taken))
            .raw("<code>docs/operations.md#settlements</code></p>");
    }
    html.raw("</td></tr>");
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
    let there = states.into_iter().filter(|(_, number)| *number > 0);
    list(
        html,
        there.map(|(state, number)| format!("{} {state}", count(number))),
    );
}

/// The mean time of each leg of a task's way.
fn legs(html: &mut Html, legs: &[LegTotals]) {
    let there = legs.iter().filter(|leg| leg.tasks > 0);
    list(
        html,
        there.map(|leg| format!("{} {}", leg.leg, span(leg.secs / leg.tasks as f64))),
    );
}
