//! What the status page says to do is what `docs/operations.md` says.

use crate::{plain, root, rows, text_of};
use std::{env, fs};

const PLACE: &str = "src/admin/status/advice.txt";

/// Words with which a sentence begins that is about the line, and not about what to do.
const ABOUT_THE_LINE: [&str; 14] = [
    "And why",
    "With ",
    "At most once",
    "At a start",
    "At the start",
    "At a connection",
    "Once for each",
    "Written once",
    "The end of",
    "Part of several",
    "The same",
    "Only where",
    "It begins with",
    "What to do",
];

/// Set it to write the file anew.
const UPDATE: &str = "UPDATE_ADVICE";

#[test]
fn the_advice_of_the_status_page_is_that_of_the_documents() {
    let document = text_of("docs/operations.md");
    let mut table = String::new();
    let mut add = |kind: &str, words: &str, cell: &str, section: &str| {
        let columns = [kind, words, &sentences(cell), &target(cell, section)];
        table += &(columns.join("\t") + "\n");
    };
    for row in rows(&document, "Line") {
        if row[1].contains("warn") || row[1].contains("error") {
            add("log", plain(&row[0]), &row[2], "#logs");
        }
    }
    for row in rows(&document, "What it says") {
        if row[1] != "Nothing." {
            for words in row[0].split('`').skip(1).step_by(2) {
                add("state", &without_numbers(words), &row[1], "#readiness");
            }
        }
    }
    if env::var_os(UPDATE).is_some() {
        fs::write(root().join(PLACE), &table).expect("written");
    }
    assert!(
        table == text_of(PLACE),
        "{PLACE} is older than docs/operations.md: {UPDATE}=1 cargo test --test docs writes it anew"
    );
}

/// What to do, without Markdown.
fn sentences(cell: &str) -> String {
    let text = without_links(cell)
        .replace(" ¹", "")
        .replace(['`', '*'], "");
    let text = text.replace(": see below", "");
    let sentences = text.split(". ").filter_map(|sentence| {
        let sentence = sentence.trim_end_matches('.');
        let sentence = match sentence.strip_prefix("And why: ") {
            Some(why) => capitalized(why),
            None => sentence.to_owned(),
        };
        let end = if sentence.ends_with('?') { "" } else { "." };
        let is_advice = !sentence.is_empty()
            && sentence != "The file"
            && !ABOUT_THE_LINE
                .iter()
                .any(|words| sentence.starts_with(words));
        is_advice.then(|| sentence + end)
    });
    sentences.collect::<Vec<_>>().join(" ")
}

fn capitalized(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|c| c.to_uppercase().to_string());
    first.unwrap_or_default() + chars.as_str()
}

/// The texts of links in the place of the links.
fn without_links(text: &str) -> String {
    let mut parts = text.split("](");
    let mut shown = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let begun = shown.rfind('[').expect("a link begins with a bracket");
        shown.remove(begun);
        shown += part.split_once(')').expect("a link ends with a bracket").1;
    }
    shown
}

/// The section that the first link leads to; without one, this section of the document.
fn target(cell: &str, section: &str) -> String {
    let link = cell
        .split("](")
        .nth(1)
        .and_then(|rest| rest.split(')').next());
    match link.unwrap_or(section) {
        here if here.starts_with('#') => format!("docs/operations.md{here}"),
        other => format!("docs/{other}"),
    }
}

/// The words with … in the place of each number.
fn without_numbers(words: &str) -> String {
    let mut shown = String::new();
    for c in words.chars() {
        match c.is_ascii_digit() {
            false => shown.push(c),
            true if shown.ends_with('…') => {}
            true => shown.push('…'),
        }
    }
    shown
}

#[test]
fn a_cell_becomes_sentences_and_a_section() {
    let cell = "And why: the [file](token-stores.md#the-file) is full. At most once in 10 s. Check *write* on `a.b`. Was it [so](#here)? ¹";
    assert_eq!(
        sentences(cell),
        "The file is full. Check write on a.b. Was it so?"
    );
    assert_eq!(target(cell, "#logs"), "docs/token-stores.md#the-file");
    assert_eq!(target("none", "#logs"), "docs/operations.md#logs");
    assert_eq!(sentences("And why."), "");
    assert_eq!(
        without_numbers("50 messages, 3 tasks"),
        "… messages, … tasks"
    );
}
