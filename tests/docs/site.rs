//! The pages of the site, and what they tell their readers to type.

use crate::{blocks, configuration::parse, files, markdown, root, text_of};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    process::Command,
};

const SUMMARY: &str = "docs/site/SUMMARY.md";

#[test]
fn every_document_is_a_page_of_the_site() {
    let summary = text_of(SUMMARY);
    let links = summary.split("](").skip(1);
    let targets = links.map(|rest| rest.split(')').next().unwrap_or_default());
    let path_of = |path: PathBuf| path.canonicalize().expect("a document");
    let folder = root().join("docs/site");
    let pages: BTreeSet<_> = targets.map(|target| path_of(folder.join(target))).collect();
    let summary = path_of(root().join(SUMMARY));
    let documents = markdown().into_iter().map(path_of);
    let documents: BTreeSet<_> = documents.filter(|path| *path != summary).collect();
    assert_eq!(pages, documents);
}

#[test]
fn the_readme_names_every_document() {
    let readme = text_of("README.md");
    for path in files("docs", "md") {
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .expect("a name");
        assert!(
            readme.contains(&format!("](docs/{name}")),
            "README.md does not name docs/{name}"
        );
    }
}

/// Python in a document is a file of the examples, which a test runs.
#[test]
fn every_worker_in_the_documents_is_an_example() {
    let mut seen = BTreeSet::new();
    for path in markdown() {
        let text = text_of(&path);
        let marks = text.split("<!-- the same as ").skip(1);
        let examples: Vec<_> = marks.filter_map(|rest| rest.split(" -->").next()).collect();
        let shown = blocks(&text, "python");
        let texts: Vec<_> = examples.iter().map(text_of).collect();
        assert_eq!(shown, texts, "{}: {examples:?}", path.display());
        seen.extend(examples.into_iter().map(str::to_owned));
    }
    assert!(seen.len() >= 6, "{seen:?}");
}

/// The lines of a document that a reader types into a shell.
fn typed(text: &str) -> Vec<String> {
    let console = blocks(text, "console").concat();
    let console = console.lines().filter_map(|line| line.strip_prefix("$ "));
    let shell = blocks(text, "sh").concat().replace("\\\n", " ");
    let shell = shell.lines().filter(|line| !line.starts_with('#'));
    let lines = shell.chain(console);
    lines
        .map(|line| line.split(" #").next().unwrap_or_default().to_owned())
        .collect()
}

/// The commands of the bridge in a line: the subcommand, and its options.
fn commands(line: &str) -> Vec<(String, Vec<String>)> {
    let words: Vec<_> = line.split_whitespace().collect();
    let mut found = Vec::new();
    for (index, word) in words.iter().enumerate() {
        let name = Path::new(word).file_name().and_then(|name| name.to_str());
        let Some(subcommand) = words
            .get(index + 1)
            .filter(|_| name == Some("activity-bridge"))
        else {
            continue;
        };
        if subcommand
            .chars()
            .all(|c| c.is_ascii_lowercase() || c == '-')
            && !subcommand.starts_with('-')
        {
            let nested = ["config", "parked"].contains(subcommand);
            let words = &words[index + 2..];
            let (second, rest) = match (nested, words.split_first()) {
                (true, Some((second, rest))) => (format!("{subcommand} {second}"), rest),
                _ => ((*subcommand).to_owned(), words),
            };
            let rest = rest.iter();
            let own = rest.take_while(|word| !["|", "&", "&&", ";", ">"].contains(*word));
            let options = own.filter(|word| word.starts_with("--"));
            found.push((second, options.map(|&word| word.to_owned()).collect()));
        }
    }
    found
}

fn help(subcommand: &str) -> String {
    let mut asked = Command::new(env!("CARGO_BIN_EXE_activity-bridge"));
    let said = asked
        .args(subcommand.split(' '))
        .arg("--help")
        .output()
        .expect("it runs");
    assert!(
        said.status.success(),
        "there is no `activity-bridge {subcommand}`"
    );
    String::from_utf8(said.stdout).expect("UTF-8")
}

#[test]
fn every_command_of_the_bridge_in_the_documents_exists() {
    let mut helps = BTreeMap::new();
    for path in markdown() {
        for (subcommand, options) in typed(&text_of(&path))
            .iter()
            .flat_map(|line| commands(line))
        {
            let asked = helps.entry(subcommand.clone());
            let help = asked.or_insert_with(|| help(&subcommand));
            for option in options {
                let known = help.split([' ', '\n', ',']).any(|word| word == option);
                assert!(known, "{}: {subcommand} {option}", path.display());
            }
        }
    }
    assert!(helps.len() >= 6, "{:?}", helps.keys());
}

#[test]
fn a_command_is_found_where_a_reader_types_one() {
    let line = "docker exec bridge /usr/local/bin/activity-bridge drain --config A & echo --no";
    assert_eq!(
        commands(line),
        [("drain".to_owned(), vec!["--config".to_owned()])]
    );
    for other in [
        "docker build -t activity-bridge .",
        "journalctl -u activity-bridge",
        "kubectl -c activity-bridge -- x",
    ] {
        assert!(commands(other).is_empty(), "{other}");
    }
}

#[test]
fn every_target_of_make_in_the_documents_exists() {
    let makefile = text_of("Makefile");
    let (_, phony) = makefile.split_once(".PHONY:").expect("the targets");
    let targets: BTreeSet<_> = phony
        .lines()
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    let mut seen = 0;
    for path in markdown() {
        let text = text_of(&path);
        let spans = text.split('`').skip(1).step_by(2).map(str::to_owned);
        for line in typed(&text).into_iter().chain(spans) {
            let mut words = line
                .split_whitespace()
                .skip_while(|word| word.contains('='));
            if words.next() == Some("make") {
                for target in words.filter(|word| !word.contains('=')) {
                    assert!(
                        targets.contains(target),
                        "{}: make {target}",
                        path.display()
                    );
                    seen += 1;
                }
            }
        }
    }
    assert!(seen > 20, "{seen}");
}

/// A part of a configuration, with what it needs to be a whole one.
fn completed(part: &str) -> String {
    let first = part
        .lines()
        .find(|line| !line.starts_with('#'))
        .unwrap_or_default();
    let of_a_route = first.starts_with("name =");
    let route = "[[routes]]\nname = \"payments\"\nqueue = \"payments\"\nswf = { domain = \"a\", task_list = \"a\" }\n";
    // The file that it names is not here, and beside `[amqp.tls]` it would hold this.
    let with_uri = |line: &str| match line.starts_with("uri_file = ") {
        true => "uri = \"amqps://127.0.0.1\"".to_owned(),
        false => line.to_owned(),
    };
    let lines: Vec<_> = part.lines().map(with_uri).collect();
    let part = lines.join("\n");
    match of_a_route {
        true => format!("[[routes]]\n{part}"),
        false => format!("{part}\n{route}"),
    }
}

/// Whole configurations have a test of their own.
#[test]
fn every_part_of_a_configuration_in_the_documents_can_be_read() {
    let mut seen = 0;
    for path in files("docs", "md") {
        for block in blocks(&text_of(&path), "toml") {
            let variables = block.contains("${");
            let unknown = block.contains("[otlp]") && !cfg!(feature = "otlp");
            if !block.contains("[[routes]]") && !variables && !unknown {
                let completed = completed(&block);
                if let Err(error) = parse(&completed) {
                    panic!("{}: {completed}\n{error}", path.display());
                }
                seen += 1;
            }
        }
    }
    assert!(seen >= 3, "{seen}");
}

#[test]
fn the_configuration_of_getting_started_parses() {
    let commands = blocks(&text_of("docs/getting-started.md"), "sh").concat();
    let (_, rest) = commands
        .split_once("cat > first-swf.toml <<END\n")
        .expect("a command that writes it");
    let (written, _) = rest.split_once("\nEND\n").expect("its end");
    assert!(written.contains("[[routes]]"), "{written}");
    parse(written).expect("a configuration");
}
