//! Log lines and the life of a task are documented as they are.

use crate::{files, plain, root, rows, text_of};
use activity_bridge::inflight::lifecycle::{Command, Event, State, step};
use proc_macro2::{TokenStream, TokenTree};
use std::{collections::BTreeSet, fs};
use syn::{
    Attribute, Ident, ItemMod, Lit, LitStr, Macro, Meta,
    visit::{self, Visit},
};

#[test]
fn the_documented_log_lines_and_errors_are_in_the_code() {
    let texts = Texts::of_the_bridge();
    for (document, heading) in [
        ("docs/operations.md", "Line"),
        ("docs/token-stores.md", "What it says"),
        ("docs/workers-faq.md", "State"),
        ("docs/workers-faq.md", "The text says"),
        ("docs/workers-faq.md", "`parked-because` says"),
    ] {
        for row in rows(&text_of(document), heading) {
            texts.assert_have(document, &row[0]);
        }
    }
}

#[test]
fn the_words_in_the_headings_for_authors_of_workers_are_in_the_code() {
    let texts = Texts::of_the_bridge();
    let text = text_of("docs/workers-faq.md");
    let headings = text.lines().filter(|line| line.starts_with('#'));
    let spans = headings.flat_map(|line| line.split('`').skip(1).step_by(2));
    let said: Vec<_> = spans.filter(|span| span.contains(' ')).collect();
    assert!(said.len() >= 4, "{said:?}");
    for words in said {
        // AMQP's own word for the code comes first.
        let words = words.split_once(" - ").map_or(words, |(_, text)| text);
        texts.assert_have("docs/workers-faq.md", words);
    }
}

#[test]
fn a_log_line_is_looked_for_in_what_the_code_says_and_nowhere_else() {
    let mut texts = Texts::default();
    texts.read(
        r##"
            //! in the comment of a file
            /// in a comment
            #[expect(lint, reason = "in a reason")]
            #[error("in an error: {0}")]
            const TEXT: &str = "in a constant";
            fn say() {
                // in a short comment
                warn!(%error, "in a \"macro\", \
                      and its next line");
                bail!(r#"in a "raw" text"#);
            }
            #[cfg(test)]
            mod tests {
                const TEXT: &str = "in a test";
            }
        "##,
    );
    for said in [
        "in an error: {0}",
        "in a constant",
        "in a \"macro\", and its next line",
        "in a \"raw\" text",
    ] {
        assert!(texts.have(said), "{said}");
    }
    for unsaid in [
        "in the comment of a file",
        "in a comment",
        "in a short comment",
        "in a reason",
        "in a test",
    ] {
        assert!(!texts.have(unsaid), "{unsaid}");
    }
}

/// The texts that a program can say: the string literals of its code, without comments and tests.
#[derive(Default)]
struct Texts(Vec<String>);

impl Texts {
    fn of_the_bridge() -> Self {
        let mut texts = Self::default();
        let mut folders = vec![root().join("src")];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).expect("a folder") {
                let path = entry.expect("readable").path();
                match path.file_stem().and_then(|name| name.to_str()) {
                    Some("tests") => {}
                    _ if path.is_dir() => folders.push(path),
                    _ if path.extension().is_some_and(|found| found == "rs") => {
                        texts.read(&text_of(path));
                    }
                    _ => {}
                }
            }
        }
        texts
    }

    fn read(&mut self, code: &str) {
        self.visit_file(&syn::parse_file(code).expect("code that compiles"));
    }

    fn have(&self, words: &str) -> bool {
        self.0.iter().any(|text| text.contains(words))
    }

    /// Words in which an ellipsis stands for what differs.
    #[track_caller]
    fn assert_have(&self, document: &str, words: &str) {
        let parts: Vec<_> = plain(words).split('…').map(str::trim).collect();
        let in_order = |text: &String| {
            let mut rest = text.as_str();
            parts.iter().all(|part| match rest.split_once(part) {
                Some((_, after)) => {
                    rest = after;
                    true
                }
                None => false,
            })
        };
        assert!(
            self.0.iter().any(in_order),
            "{document}: nothing says {words:?}"
        );
    }

    /// The arguments of a macro, and what is in brackets among them.
    fn read_tokens(&mut self, tokens: TokenStream) {
        for token in tokens {
            match token {
                TokenTree::Group(group) => self.read_tokens(group.stream()),
                TokenTree::Literal(literal) => {
                    if let Lit::Str(text) = Lit::new(literal) {
                        self.0.push(text.value());
                    }
                }
                TokenTree::Ident(_) | TokenTree::Punct(_) => {}
            }
        }
    }
}

impl<'c> Visit<'c> for Texts {
    fn visit_lit_str(&mut self, text: &'c LitStr) {
        self.0.push(text.value());
    }

    fn visit_macro(&mut self, called: &'c Macro) {
        self.read_tokens(called.tokens.clone());
    }

    /// A comment on an item is an attribute too. Of all attributes, only the words of an error are said.
    fn visit_attribute(&mut self, attribute: &'c Attribute) {
        if let Meta::List(error) = &attribute.meta
            && error.path.is_ident("error")
        {
            self.read_tokens(error.tokens.clone());
        }
    }

    fn visit_item_mod(&mut self, module: &'c ItemMod) {
        let is_for_tests = |attribute: &Attribute| {
            attribute.path().is_ident("cfg")
                && attribute.parse_args::<Ident>().is_ok_and(|of| of == "test")
        };
        if !module.attrs.iter().any(is_for_tests) {
            visit::visit_item_mod(self, module);
        }
    }
}

#[test]
fn the_documented_files_of_the_endpoint_are_those_that_there_are() {
    let rows = rows(&text_of("ARCHITECTURE.md"), "Files of the endpoint");
    let named = rows
        .iter()
        .flat_map(|row| row[0].split('`').skip(1).step_by(2));
    let documented: BTreeSet<_> = named.map(str::to_owned).collect();
    let paths = files("src/broker/endpoint", "rs");
    let stems = paths.iter().filter_map(|path| path.file_stem()?.to_str());
    let existing: BTreeSet<_> = stems
        .filter(|stem| *stem != "mod")
        .map(str::to_owned)
        .collect();
    assert_eq!(documented, existing);
}

#[test]
fn the_documented_life_of_a_task_is_the_functions() {
    use Event as E;
    use State as S;
    let states = [S::Publishing, S::Dispatched, S::Settling, S::Ended];
    let events = [
        E::Confirmed,
        E::Returned,
        E::PublishFailed,
        E::GiveUp,
        E::FinalReply,
        E::Beat,
        E::Gone,
        E::Settled,
        E::Delivered,
        E::CameBack,
        E::Acknowledged,
        E::Released,
        E::Abandoned,
        E::MessageLost,
    ];
    let rows = rows(&text_of("ARCHITECTURE.md"), "State");
    let lists = |cell: &str, name: String| cell.split(", ").any(|listed| listed == name);
    for state in states {
        for event in events {
            let row = rows.iter().find(|row| {
                lists(&row[0], format!("{state:?}")) && lists(&row[1], format!("{event:?}"))
            });
            let (next, command) = match row {
                None => (format!("{state:?}"), String::new()),
                Some(row) if row[2] == "the same" => (format!("{state:?}"), row[3].clone()),
                Some(row) => (row[2].clone(), row[3].clone()),
            };
            let command = if command.is_empty() {
                "Nothing"
            } else {
                &command
            };
            let (expected_next, expected): (State, Command) = step(state, event);
            assert_eq!(
                (next.as_str(), command),
                (
                    format!("{expected_next:?}").as_str(),
                    format!("{expected:?}").as_str()
                ),
                "{state:?} {event:?}"
            );
        }
    }
}
