//! Names that the project once had for what the field has a word for. Plain words in comments and texts are free.

use proc_macro2::{TokenStream, TokenTree};
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// Identifiers, modules and files that must not come back.
#[rustfmt::skip]
const RETIRED: &[&str] = &[
    "Pulse", "pulse",                             // HeartbeatSchedule
    "Flight", "Flights", "flight", "flights",     // InflightTask, inflight
    "Ticket", "ticket",                           // TaskHandle
    "Budget", "budget", "Lane", "lane", "Turn",   // RateLimiter, operation, Permit; epoch
    "Way", "Origin", "carry",                     // Publication, Fresh and Recovered, publish
    "Unrecorded", "unrecorded", "Leave",          // UnpersistedPermit, PollGrant
    "bring", "forget",                            // submit, clean_up
    "Pacer", "pacer",                             // PollScaler
    "Trouble", "trouble",                         // last_error, unavailable
    "parking",                                    // park, notify
    "may_complain", "Complaint",                  // LogLimiter, LogTopic
    "Certainty", "looked", "Look", "look",        // OwnershipCheck, verify, renew
    "LOOK_EVERY",                                 // RENEW_INTERVAL
    "News", "mail", "letter",                     // PeerEvent, inbox, message
    "Kept", "sort_out",                           // Ownership, reconcile
    "take_on_all", "all_speak",                   // restore_all, await_peer_leases
    "Held", "doubt", "strays",                    // OwnedTasks, needs_resync
    "pass_on", "PassedOn", "Met", "meet",         // forward, ReplyOwner, locate
    "bury", "enlist", "strike",                   // remove_owner, add, remove
    "pass", "Point",                              // crash_point, CrashPoint
    "Life",                                       // Lifetime
    "PATIENCE", "AT_ONCE", "SILENT",              // …_TIMEOUT, MAX_CONCURRENT_…
];

/// What is not ours to name: the file, the identifier, and whose it is.
const OF_OTHERS: &[(&str, &str, &str)] = &[(
    "src/route/slots.rs",
    "forget",
    "a method of tokio's SemaphorePermit",
)];

/// The folders with code, tests included.
const FOLDERS: &[&str] = &[
    "src",
    "tests",
    "benches/src",
    "activity-sim/src",
    "activity-sim/examples",
    "activity-sim/tests",
];

/// A retired name and where it stands.
type Found = (String, usize, String);

#[test]
fn no_retired_name_is_left() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for folder in FOLDERS {
        let files = files_below(&root.join(folder));
        assert!(!files.is_empty(), "{folder} is read");
        for file in files {
            let text = fs::read_to_string(&file).expect("a text");
            let path = file.strip_prefix(root).expect("below the root");
            found.extend(retired(path.to_str().expect("UTF-8"), &text));
        }
    }
    let mut unused: BTreeSet<_> = OF_OTHERS.iter().collect();
    found.retain(|(path, _, name)| {
        let is_it = |of: &&(&str, &str, &str)| (of.0, of.1) == (path.as_str(), name.as_str());
        let allowed = OF_OTHERS.iter().find(is_it);
        if let Some(allowed) = allowed {
            unused.remove(allowed);
        }
        allowed.is_none()
    });
    assert!(unused.is_empty(), "no longer there: {unused:?}");
    let lines: Vec<_> = found
        .iter()
        .map(|(path, line, name)| format!("{path}:{line}: {name}"))
        .collect();
    assert!(lines.is_empty(), "retired names:\n{}", lines.join("\n"));
}

#[test]
fn a_retired_name_is_found_wherever_it_names_something() {
    let text = r##"
        //! pulse
        use crate::flights;
        /// A flight.
        struct Pulse { budget: u32 }
        fn f(r#pass: u32) {
            // carry
            info!(lane, "a ticket");
            x.strike(|meet| "mail", r#"look"#);
        }
    "##;
    let found = retired("src/pacer/news.rs", text);
    let found: Vec<_> = found
        .iter()
        .map(|(_, line, name)| (*line, name.as_str()))
        .collect();
    let expected = [
        (0, "pacer"),
        (3, "flights"),
        (5, "Pulse"),
        (5, "budget"),
        (6, "pass"),
        (8, "lane"),
        (9, "strike"),
        (9, "meet"),
    ];
    assert_eq!(found, expected);
}

#[test]
fn a_name_that_only_contains_a_retired_one_is_free() {
    let found = retired(
        "src/dead_letter.rs",
        "fn inflight(dead_letter: HeldReply) {}",
    );
    assert!(found.is_empty(), "{found:?}");
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            files.extend(files_below(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// The retired names in a file's path, at line 0, and among its identifiers.
fn retired(path: &str, text: &str) -> Vec<Found> {
    let stem = path.strip_suffix(".rs").expect("a Rust file");
    let mut names: Vec<_> = stem.split('/').map(|name| (0, name.to_owned())).collect();
    let tokens = text
        .parse()
        .unwrap_or_else(|error| panic!("{path}: {error}"));
    gather(tokens, &mut names);
    names
        .into_iter()
        .filter(|(_, name)| RETIRED.contains(&name.as_str()))
        .map(|(line, name)| (path.to_owned(), line, name))
        .collect()
}

fn gather(tokens: TokenStream, names: &mut Vec<(usize, String)>) {
    for token in tokens {
        match token {
            TokenTree::Ident(ident) => {
                let name = ident.to_string();
                let name = name.strip_prefix("r#").unwrap_or(&name).to_owned();
                names.push((ident.span().start().line, name));
            }
            TokenTree::Group(group) => gather(group.stream(), names),
            TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
    }
}
