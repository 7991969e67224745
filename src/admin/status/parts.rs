//! Parts of the page that stand in several places.

use super::{
    html::Html,
    shape::{Advice, Note},
    words::{count, span},
};

/// The classes of a mark, by whether all is well.
pub(super) fn mark(is_well: bool) -> &'static str {
    if is_well { "ok" } else { "bad" }
}

pub(super) fn ended_cell(html: &mut Html, ended: u64) {
    html.raw("<b>")
        .text(count(ended))
        .raw("</b><span class=\"plot\" data-plot=\"rate\"></span>");
}

pub(super) fn time_cell(html: &mut Html, ended: u64, secs: f64) {
    let mean = (ended > 0).then(|| span(secs / ended as f64));
    html.raw("<b>")
        .text(mean.as_deref().unwrap_or("–"))
        .raw("</b><span class=\"plot\" data-plot=\"time\"></span>");
}

pub(super) fn notes(html: &mut Html, notes: &[Note]) {
    for note in notes {
        html.raw("<p class=\"note\">").text(&note.text).raw("</p>");
        if let Some(advice) = &note.advice {
            what_to_do(html, advice);
        }
    }
}

pub(super) fn what_to_do(html: &mut Html, advice: &Advice) {
    html.raw("<p class=\"note\">");
    if !advice.text.is_empty() {
        html.raw("<span>").text(&advice.text).raw("</span> ");
    }
    html.raw("<code>").text(&advice.section).raw("</code></p>");
}
