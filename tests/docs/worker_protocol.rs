//! Every row and every rule of the worker protocol has a test over a real RabbitMQ, named after it: `worker_protocol.txt`
//! says which, and is held here against the document and against the tests.

use crate::{files, root, text_of};
use std::path::Path;

/// A part of a section of the document.
struct Part {
    section: &'static str,
    /// A row's first cell, the beginning of a list's item, or words of the text.
    said: &'static str,
    tests: Vec<&'static str>,
}

/// As listed.
fn parts() -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    let (_, list) = include_str!("worker_protocol.txt")
        .split_once("\n\n")
        .expect("an introduction");
    let mut section = "";
    for line in list.lines().filter(|line| !line.is_empty()) {
        if let Some(heading) = line.strip_prefix("## ") {
            section = heading;
        } else if let Some(test) = line.strip_prefix("    ") {
            parts.last_mut().expect("a part").tests.push(test);
        } else {
            parts.push(Part {
                section,
                said: line,
                tests: Vec::new(),
            });
        }
    }
    parts
}

/// The sections of the document, each with its heading.
fn sections() -> Vec<(String, String)> {
    let document = text_of("docs/worker-protocol.md");
    let mut sections: Vec<(String, String)> = Vec::new();
    for line in document.lines() {
        if line.starts_with('#') {
            let heading = line.trim_start_matches('#').trim();
            sections.push((heading.to_owned(), String::new()));
        } else if let Some((_, text)) = sections.last_mut() {
            text.push_str(line);
            text.push('\n');
        }
    }
    sections
}

/// The first cells of all tables, but for their headings, as they are written.
fn rows(text: &str) -> Vec<&str> {
    let lines: Vec<_> = text.lines().collect();
    let pairs = lines.windows(2);
    let rows = pairs.filter(|pair| !pair[1].starts_with("|---"));
    rows.filter_map(|pair| pair[0].strip_prefix("| ")?.split(" |").next())
        .collect()
}

/// Without Markdown's marks and line breaks.
fn plain(text: &str) -> String {
    let words: Vec<_> = text.split_whitespace().collect();
    words.join(" ").replace(['`', '*'], "")
}

#[test]
fn every_section_row_and_item_has_a_test() {
    let parts = parts();
    for (heading, text) in sections() {
        let said = parts.iter().filter(|part| part.section == heading);
        let said: Vec<_> = said.map(|part| part.said).collect();
        assert!(!said.is_empty(), "{heading}: no test");
        for row in rows(&text) {
            let found = said.contains(&plain(row).as_str());
            assert!(found, "{heading}: no test for the row {row}");
        }
        for item in text.lines().filter_map(|line| line.strip_prefix("- ")) {
            let found = said.iter().any(|said| plain(item).starts_with(said));
            assert!(found, "{heading}: no test for the item {item}");
        }
    }
}

#[test]
fn everything_that_is_listed_is_in_the_document_and_has_a_test() {
    let sections = sections();
    for Part {
        section,
        said,
        tests,
    } in parts()
    {
        let found = sections.iter().find(|(heading, _)| heading == section);
        let (_, text) = found.unwrap_or_else(|| panic!("no section {section:?}"));
        assert!(
            plain(text).contains(said),
            "{section}: nothing says {said:?}"
        );
        assert!(!tests.is_empty(), "{section}: no test for {said:?}");
    }
}

/// What is written as code in a row's first cell is in the name of one of its tests.
#[test]
fn the_tests_of_a_row_are_named_after_it() {
    let parts = parts();
    for (heading, text) in sections() {
        for row in rows(&text) {
            let of_row = |part: &&Part| part.section == heading && part.said == plain(row);
            let tests: Vec<_> = parts
                .iter()
                .filter(of_row)
                .flat_map(|part| &part.tests)
                .collect();
            for code in row.split('`').skip(1).step_by(2) {
                let words = code.replace(['-', '.'], "_");
                let found = tests.iter().any(|test| test.contains(&words));
                assert!(
                    found,
                    "{heading}: no test of the row {row} has {words} in its name"
                );
            }
        }
    }
}

/// A test is in the module that it is listed with, or below it.
#[test]
fn every_test_that_is_listed_exists() {
    let modules = modules("tests/it", "");
    for path in parts().iter().flat_map(|part| &part.tests) {
        let (module, name) = path.rsplit_once("::").expect("a module");
        let test = format!("#[tokio::test]\nasync fn {name}(");
        let found = modules.iter().any(|(found, text)| {
            format!("{found}::").starts_with(&format!("{module}::")) && text.contains(&test)
        });
        assert!(found, "there is no test {path}");
    }
}

/// The files of the integration tests, each with its module.
fn modules(folder: &str, module: &str) -> Vec<(String, String)> {
    let stem = |path: &Path| path.file_stem().expect("a name").display().to_string();
    let below = |name: String| match (module, name.as_str()) {
        (module, "mod") => module.to_owned(),
        ("", name) => name.to_owned(),
        (module, name) => format!("{module}::{name}"),
    };
    let mut modules: Vec<_> = files(folder, "rs")
        .iter()
        .map(|path| (below(stem(path)), text_of(path)))
        .collect();
    for entry in std::fs::read_dir(root().join(folder)).expect("a folder") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            let name = stem(&path);
            modules.extend(self::modules(&format!("{folder}/{name}"), &below(name)));
        }
    }
    modules
}
