//! The documents say what the code does: configurations parse, tables match, links resolve. No broker is needed.

mod advice;
mod alerts;
mod code;
mod compatibility;
mod configuration;
mod deploy;
mod iam;
mod links;
mod metrics;
mod reload;
mod scaling;
mod schema;
mod site;
mod state_machines;
mod status;
mod worker_protocol;

use std::{
    fs,
    path::{Path, PathBuf},
};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn text_of(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn files(folder: &str, extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join(folder)).expect("a folder of the repository");
    let paths = entries.map(|entry| entry.expect("readable").path());
    paths
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .collect()
}

/// Every Markdown file of the project, but for what is built or installed.
fn markdown() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder of the repository") {
            let path = entry.expect("readable").path();
            let name = path.file_name().expect("a name").display().to_string();
            if path.is_dir() {
                let built = ["target", "node_modules"].contains(&name.as_str());
                if !built && !name.starts_with('.') {
                    folders.push(path);
                }
            } else if name.ends_with(".md") {
                found.push(path);
            }
        }
    }
    found
}

/// The fenced blocks of one language.
fn blocks(markdown: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    let begun = markdown.split(&fence).skip(1);
    begun
        .map(|rest| rest.split("```").next().unwrap_or_default().to_owned())
        .collect()
}

/// The cells of each row of all tables whose first column has this heading, without the backticks.
fn rows(markdown: &str, heading: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    let mut inside = false;
    for line in markdown.lines() {
        let Some(row) = line.strip_prefix("| ") else {
            inside = inside && line.starts_with("|---");
            continue;
        };
        // A pipe in a cell is written `\|`.
        let row = row.replace("\\|", "\u{0}");
        let cells = row.trim_end_matches('|').split(" |");
        let cells: Vec<_> = cells
            .map(|cell| cell.trim().replace('\u{0}', "|"))
            .collect();
        if inside {
            found.push(cells);
        } else {
            inside = cells[0] == heading;
        }
    }
    assert!(!found.is_empty(), "no table begins with {heading}");
    found
}

fn plain(cell: &str) -> &str {
    cell.trim_matches('`')
}
