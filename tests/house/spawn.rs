//! Each loop and each task of the runtime is spawned under supervision.

use crate::{imports::files_of, source::File};
use syn::{
    Path,
    visit::{self, Visit},
};

/// Spawned without, each for a reason.
const UNSUPERVISED: [&str; 3] = [
    // The supervisor itself.
    "util/supervise.rs",
    // It only hands a change to the store's thread once there is room.
    "store/file/file_store.rs",
    // After a panic the next question connects anew.
    "store/redis/connection.rs",
];

#[test]
fn nothing_is_spawned_without_supervision() {
    let mut files = files_of("src");
    files.retain(spawns);
    let mut without: Vec<_> = files.into_iter().map(|file| file.path).collect();
    without.sort();
    let mut allowed = UNSUPERVISED.to_vec();
    allowed.sort_unstable();
    assert_eq!(without, allowed, "use Supervisor::spawn or spawn_loop");
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
            false,
            "/// Not `tokio::spawn(b)`.\nfn f() { supervisor.spawn(b); }",
        ),
    ] {
        assert_eq!(spawns(&File::parse("a.rs", code)), found, "{code}");
    }
}

fn spawns(file: &File) -> bool {
    struct Spawns(bool);
    impl<'c> Visit<'c> for Spawns {
        fn visit_path(&mut self, path: &'c Path) {
            let parts: Vec<_> = path.segments.iter().map(|part| &part.ident).collect();
            if let [first, .., last] = &parts[..] {
                self.0 |= *first == "tokio" && *last == "spawn";
            }
            visit::visit_path(self, path);
        }
        fn visit_macro(&mut self, called: &'c syn::Macro) {
            let said = called.tokens.to_string().replace(' ', "");
            self.0 |= said.contains("tokio::spawn(") || said.contains("tokio::task::spawn(");
            visit::visit_macro(self, called);
        }
    }
    let mut spawns = Spawns(false);
    spawns.visit_file(&file.tree);
    spawns.0
}
