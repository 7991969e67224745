//! Each loop, each task of the runtime and each thread is supervised, and each loop is shown to end the process when it panics.

use crate::{
    imports::files_of,
    source::{File, is_test},
};
use std::{collections::BTreeSet, fs, path::Path};
use syn::{
    Expr, ExprMethodCall, ExprPath, ItemMod, Lit,
    visit::{self, Visit},
};

/// Where something is spawned without the supervisor, each for a reason.
const UNSUPERVISED: [&str; 12] = [
    // The supervisor itself.
    "util/supervise.rs",
    // After a panic the next read starts another thread.
    "util/file_reads.rs",
    // The log's thread catches its own panics.
    "util/log_queue.rs",
    // Its panic is a failed start.
    "store/open.rs",
    // It only hands a change to the store's thread once there is room.
    "store/file/file_store.rs",
    // The store's thread. Its end is the end of a loop: "the token store".
    "store/file/writer.rs",
    // After a panic the next question connects anew.
    "store/redis/connection.rs",
    // It only drops a socket.
    "broker/rabbitmq/connect.rs",
    // The thread of the parked replies. Its end is the end of a loop: "the parked replies".
    "broker/endpoint/parked_writer.rs",
    // The poll loop sees the panic of a poll.
    "intake/poller.rs",
    // The exporter's own thread sees the panic of an export.
    "trace/transport.rs",
    // The end of the exporter, which the shutdown awaits.
    "trace/otlp.rs",
];

/// The tests in which each loop panics.
const PANIC_TESTS: [&str; 5] = [
    "crash/points.rs",
    "endpoint/bugs.rs",
    "endpoint/parked.rs",
    "panics.rs",
    "service_manager.rs",
];

#[test]
fn nothing_is_spawned_without_supervision() {
    let mut files = files_of("src");
    files.retain(|file| Spawns::of(file).unsupervised);
    let mut without: Vec<_> = files.into_iter().map(|file| file.path).collect();
    without.sort();
    let mut allowed = UNSUPERVISED.to_vec();
    allowed.sort_unstable();
    assert_eq!(without, allowed, "use Supervisor::spawn or spawn_loop");
}

#[test]
fn each_loop_panics_in_a_test() {
    let files = files_of("src");
    let loops = files
        .iter()
        .filter(|file| file.path != "util/supervise.rs")
        .flat_map(|file| Spawns::of(file).loops);
    let loops: BTreeSet<String> = loops.collect();
    assert!(loops.len() > 10, "{loops:?}");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it");
    let tests = PANIC_TESTS.map(|path| fs::read_to_string(folder.join(path)).expect("a test"));
    for name in loops {
        assert!(!name.is_empty(), "write a loop's name where it is spawned");
        // A name of a route's loop ends with the route's.
        let said = match name.split_once('{') {
            Some((before, _)) => format!("\"{before}"),
            None => format!("\"{name}\""),
        };
        assert!(
            tests.iter().any(|test| test.contains(&said)),
            "no test of {PANIC_TESTS:?} lets {said} panic"
        );
    }
}

#[test]
fn a_spawn_is_found_wherever_it_is_said() {
    for (found, code) in [
        (true, "fn f() { tokio::spawn(async {}); }"),
        (true, "fn f() { g(|| drop(tokio::task::spawn(async {}))); }"),
        (
            true,
            "fn f() { select! { () = a => { tokio::spawn(b); } } }",
        ),
        (
            true,
            "fn f() { select! { () = a => { polls.spawn(b(c)); } } }",
        ),
        (true, "fn f() { a.map(tokio::spawn); }"),
        (true, "fn f() { std::thread::spawn(a); }"),
        (true, "fn f() { thread::Builder::new().name(a).spawn(b); }"),
        (true, "fn f() { Handle::current().spawn(a); }"),
        (true, "fn f() { tokio::task::spawn_blocking(a); }"),
        (true, "fn f() { set.spawn_on(a, b); }"),
        (
            false,
            "/// Not `tokio::spawn(b)`.\nfn f() { supervisor.spawn(\"b\", b); }",
        ),
        (false, "fn f() { supervisor.spawn_loop(\"a\", b); }"),
        (false, "fn f() { Command::new(\"a\").spawn(); }"),
        (
            false,
            "#[cfg(test)]\nmod tests { fn f() { tokio::spawn(a); } }",
        ),
    ] {
        let spawns = Spawns::of(&File::parse("a.rs", code));
        assert_eq!(spawns.unsupervised, found, "{code}");
    }
}

#[test]
fn the_names_of_loops_are_found() {
    let code = "fn f() { a.spawn_loop(\"one\", b); a.spawn_loop(&format!(\"two {}\", d), e); }";
    let loops = Spawns::of(&File::parse("a.rs", code)).loops;
    assert_eq!(loops, ["one", "two {}"]);
}

/// What a file spawns.
#[derive(Default)]
struct Spawns {
    /// Whether it spawns something without the supervisor.
    unsupervised: bool,
    /// The names that it gives to loops.
    loops: Vec<String>,
}

impl Spawns {
    fn of(file: &File) -> Self {
        let mut spawns = Self::default();
        spawns.visit_file(&file.tree);
        spawns
    }
}

/// The functions that spawn. Those of the supervisor take a name first.
const SPAWNING: [&str; 4] = ["spawn", "spawn_blocking", "spawn_local", "spawn_on"];

impl<'c> Visit<'c> for Spawns {
    fn visit_item_mod(&mut self, module: &'c ItemMod) {
        if !is_test(&module.attrs) {
            visit::visit_item_mod(self, module);
        }
    }

    fn visit_expr_path(&mut self, named: &'c ExprPath) {
        let parts = &named.path.segments;
        let last = parts.last().map(|part| part.ident.to_string());
        let is_spawning = last.is_some_and(|last| SPAWNING.contains(&&*last));
        self.unsupervised |= parts.len() > 1 && is_spawning;
        visit::visit_expr_path(self, named);
    }

    fn visit_expr_method_call(&mut self, call: &'c ExprMethodCall) {
        let name = call.method.to_string();
        let first = call.args.first();
        if SPAWNING.contains(&&*name) {
            // Without an argument it is a process.
            self.unsupervised |= first.is_some_and(|first| text(first).is_none());
        } else if name == "spawn_loop" {
            self.loops.push(first.and_then(text).unwrap_or_default());
        }
        visit::visit_expr_method_call(self, call);
    }

    fn visit_macro(&mut self, called: &'c syn::Macro) {
        let said = called.tokens.to_string().replace(' ', "");
        self.unsupervised |= SPAWNING.iter().any(|name| {
            let (by_path, by_method) = (format!("::{name}("), format!(".{name}("));
            let is_named = |(at, _): (usize, &str)| said[at + by_method.len()..].starts_with('"');
            said.contains(&by_path) || !said.match_indices(&by_method).all(is_named)
        });
        visit::visit_macro(self, called);
    }
}

/// A text, or the form of one.
fn text(argument: &Expr) -> Option<String> {
    match argument {
        Expr::Lit(literal) => match &literal.lit {
            Lit::Str(text) => Some(text.value()),
            _ => None,
        },
        Expr::Reference(reference) => text(&reference.expr),
        Expr::Macro(called) if called.mac.path.is_ident("format") => {
            let first = called.mac.tokens.clone().into_iter().next()?;
            text(&syn::parse_str(&first.to_string()).ok()?)
        }
        _ => None,
    }
}
