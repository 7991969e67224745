//! The status page. The server writes all that it tells; the script only asks again and draws the plots.

use super::{
    html::Html,
    parts::{ended_cell, mark, notes, time_cell, what_to_do},
    routes::routes,
    shape::{Problem, RouteStatus, Status},
    words::{age, count, moment, span},
};

const CSS: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// The page, whose style and script have this nonce.
pub(super) fn page(status: &Status, nonce: &str) -> String {
    let mut html = Html::default();
    html.raw("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n")
        .raw("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n")
        .raw("<meta name=\"color-scheme\" content=\"light dark\">\n<link rel=\"icon\" href=\"data:,\">\n<title>")
        .text(format_args!("{} · {}", readiness(status), status.host))
        .raw(" · activity-bridge</title>\n<style nonce=\"")
        .text(nonce)
        .raw("\">\n")
        .raw(CSS)
        .raw("</style>\n</head>\n<body>\n");
    header(&mut html, status);
    html.raw("<main>\n");
    facts(&mut html, status);
    routes(&mut html, status);
    problems(&mut html, &status.problems);
    html.raw("</main>\n<footer>The same for programs: <a href=\"status.json\">status.json</a>, <a href=\"readyz\">readyz</a>, ")
        .raw("<a href=\"tasks\">tasks</a>, <a href=\"metrics\">metrics</a>. ")
        .raw("Whoever reaches this address sees this page.</footer>\n<script nonce=\"")
        .text(nonce)
        .raw("\">\n")
        .raw(SCRIPT)
        .raw("</script>\n</body>\n</html>\n");
    html.into_string()
}

fn readiness(status: &Status) -> &'static str {
    if status.ready { "ready" } else { "not ready" }
}

fn header(html: &mut Html, status: &Status) {
    html.raw("<header id=\"head\" data-uptime=\"")
        .text(status.uptime_secs)
        .raw("\">\n<h1>activity-bridge <span class=\"dim\">")
        .text(&status.host)
        .raw("</span></h1>\n<p class=\"pill ")
        .raw(mark(status.ready))
        .raw("\">")
        .text(readiness(status))
        .raw("</p>\n<p class=\"dim\">")
        .text(&status.phase)
        .raw(" · version ")
        .text(&status.version)
        .raw(" · up ")
        .text(span(status.uptime_secs))
        .raw(" · ")
        .text(moment(status.at))
        .raw(" UTC</p>\n<p class=\"dim\" id=\"live\"></p>\n<noscript><p class=\"dim\">Reload for newer numbers: the page does so by itself with JavaScript.</p></noscript>\n");
    if let Some(advice) = &status.advice {
        what_to_do(html, advice);
    }
    html.raw("</header>\n");
}

fn facts(html: &mut Html, status: &Status) {
    let totals = |of: fn(&RouteStatus) -> u64| status.routes.iter().map(of).sum::<u64>();
    let ended = totals(|route| route.totals.ended);
    let secs: f64 = status
        .routes
        .iter()
        .map(|route| route.totals.duration_secs)
        .sum();
    let oldest = status
        .routes
        .iter()
        .filter_map(|route| route.oldest_task_secs)
        .max();
    html.raw("<dl id=\"facts\">\n<div><dt>Tasks in flight</dt><dd><b>")
        .text(count(status.tasks_in_flight))
        .raw("</b>");
    match oldest {
        Some(secs) => html.raw("<small>oldest ").text(age(secs)).raw("</small>"),
        None => html.raw("<small>none</small>"),
    };
    html.raw("</dd></div>\n<div data-key=\"\" data-ended=\"")
        .text(ended)
        .raw("\" data-secs=\"")
        .text(secs)
        .raw("\"><dt>Tasks ended</dt><dd>");
    ended_cell(html, ended);
    html.raw("</dd></div>\n<div data-of=\"\"><dt>From poll to end</dt><dd>");
    time_cell(html, ended, secs);
    html.raw("</dd></div>\n<div><dt>Broker</dt><dd><span class=\"mark ")
        .raw(mark(status.broker.ready))
        .raw("\">")
        .text(&status.broker.state)
        .raw("</span><small>")
        .text(&status.broker.kind);
    if let Some(connections) = status.broker.connections {
        html.raw(", worker connections: ").text(count(connections));
    }
    html.raw("</small></dd></div>\n<div><dt>Token store</dt><dd><span class=\"mark ")
        .raw(mark(status.store.ready))
        .raw("\">")
        .text(&status.store.state)
        .raw("</span><small>")
        .text(&status.store.place)
        .raw("</small>");
    notes(html, &status.store.notes);
    html.raw("</dd></div>\n<div><dt>Replies</dt><dd><b>")
        .text(count(status.replies.late))
        .raw("</b> late, <b>")
        .text(count(status.replies.parked))
        .raw("</b> parked<small>of these without room: ")
        .text(count(status.replies.unparked))
        .raw("</small></dd></div>\n</dl>\n");
}

fn problems(html: &mut Html, problems: &[Problem]) {
    html.raw("<section id=\"problems\">\n<h2>Warnings and errors of the log</h2>\n");
    if problems.is_empty() {
        html.raw("<p class=\"none\">None since the start.</p>\n</section>\n");
        return;
    }
    html.raw("<ol>\n");
    for one in problems {
        html.raw("<li><p class=\"when\"><span class=\"pill ")
            .raw(if one.level == "ERROR" { "bad" } else { "warn" })
            .raw("\">")
            .text(one.level.to_lowercase())
            .raw("</span> <time>")
            .text(moment(one.at))
            .raw("</time>");
        if one.times > 1 {
            html.raw("<small>")
                .text(count(one.times))
                .raw(" times</small>");
        }
        html.raw("</p><div><p>");
        if !one.route.is_empty() {
            html.raw("<b>").text(&one.route).raw("</b> ");
        }
        html.text(&one.message).raw("</p>");
        if !one.fields.is_empty() {
            html.raw("<p class=\"fields\">")
                .text(&one.fields)
                .raw("</p>");
        }
        if let Some(advice) = &one.advice {
            what_to_do(html, advice);
        }
        html.raw("</div></li>\n");
    }
    html.raw("</ol>\n</section>\n");
}

#[cfg(test)]
mod tests;
