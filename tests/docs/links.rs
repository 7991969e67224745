//! Links between the documents lead somewhere, and so do the documents that other files name.

use crate::{files, markdown, root, text_of};
use std::{collections::BTreeMap, path::Path};

/// The lines that are not in a fenced block: in one of TOML, a comment looks like a heading.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut fenced = false;
    text.lines().filter(move |line| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        !fence && !fenced
    })
}

/// The anchors of a document, by the rules of GitHub: a heading that comes again gets a number.
fn anchors(text: &str) -> Vec<String> {
    let mut seen = BTreeMap::new();
    let headings = prose(text).filter(|line| line.starts_with('#'));
    let anchor = |heading: &str| {
        let kept = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = kept
            .chars()
            .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        let anchor: String = kept.map(|c| if c == ' ' { '-' } else { c }).collect();
        let times = seen.entry(anchor.clone()).or_insert(0);
        *times += 1;
        match *times {
            1 => anchor,
            again => format!("{anchor}-{}", again - 1),
        }
    };
    headings.map(anchor).collect()
}

/// What is wrong with the links of a document.
fn problems(path: &Path, text: &str) -> Vec<String> {
    let prose: Vec<_> = prose(text).collect();
    let prose = prose.join("\n");
    let mut problems = Vec::new();
    for link in prose.split("](").skip(1) {
        let link = link.split(')').next().unwrap_or_default();
        if link.starts_with("http") || link.contains(char::is_whitespace) {
            continue;
        }
        let (file, fragment) = link.split_once('#').unwrap_or((link, ""));
        let target = match file {
            "" => path.to_owned(),
            file => path.parent().expect("a folder").join(file),
        };
        if !root().join(&target).exists() {
            problems.push(format!("{}: no {link}", path.display()));
        } else if !fragment.is_empty() && !anchors(&text_of(&target)).iter().any(|a| a == fragment)
        {
            problems.push(format!("{}: no heading for {link}", path.display()));
        }
    }
    problems
}

#[test]
fn every_link_between_documents_leads_somewhere() {
    let documents = markdown();
    assert!(documents.len() > 15, "{documents:?}");
    let problems: Vec<_> = documents
        .iter()
        .flat_map(|path| problems(path, &text_of(path)))
        .collect();
    assert!(problems.is_empty(), "{problems:#?}");
}

#[test]
fn a_link_that_leads_nowhere_is_found() {
    let broken = "[a](nowhere.md) [b](README.md#nowhere) [c](#here)\n```toml\n# here\n```\n";
    let found = problems(Path::new("README.md"), broken);
    assert_eq!(found.len(), 2 + 1, "{found:#?}");
    let whole = "# Here\n## Here\n[a](README.md) [b](#here) [c](#here-1)";
    let found = problems(Path::new("README.md"), "[a](README.md#a-worker)");
    assert!(found.is_empty(), "{found:#?}");
    assert_eq!(anchors(whole), ["here", "here-1"]);
}

/// `activity-bridge check` names the section that helps.
#[test]
fn every_section_of_the_documents_that_the_code_names_exists() {
    let mut problems = Vec::new();
    let mut seen = 0;
    for folder in ["src/cli/check", "src/broker/rabbitmq"] {
        for path in files(folder, "rs") {
            let text = text_of(&path);
            for link in text.split("\"docs/").skip(1) {
                let link = link.split('"').next().unwrap_or_default();
                let (file, fragment) = link.split_once('#').unwrap_or((link, ""));
                let file = Path::new("docs").join(file);
                // Tests have names of their own.
                if file.ends_with("a.md") || file.ends_with("b.md") {
                    continue;
                }
                seen += 1;
                if !anchors(&text_of(&file)).iter().any(|a| a == fragment) {
                    problems.push(format!("{}: no {link}", path.display()));
                }
            }
        }
    }
    assert!(seen > 5, "{seen}");
    assert!(problems.is_empty(), "{problems:#?}");
}

/// Configurations and manifests point to documents in their comments.
#[test]
fn every_document_that_a_configuration_names_exists() {
    for (folder, extension) in [
        ("config", "toml"),
        ("deploy/chart", "yaml"),
        ("deploy/chart/ci", "yaml"),
        ("deploy/debian", "toml"),
        ("deploy/ecs", "yaml"),
        ("deploy/kubernetes", "yaml"),
        ("deploy/systemd", "service"),
        ("docs", "yaml"),
    ] {
        for path in files(folder, extension) {
            let text = text_of(&path);
            let words = text.split(|c: char| c.is_whitespace() || "(),;:\"".contains(c));
            for word in words.map(|word| word.trim_end_matches('.')) {
                if word.starts_with("docs/") || word.starts_with("deploy/") {
                    assert!(root().join(word).exists(), "{}: no {word}", path.display());
                }
            }
        }
    }
}
