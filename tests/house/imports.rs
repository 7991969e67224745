//! A folder imports only from those that `lib.rs` lists above it, and no files import each other in a circle.

use crate::{graph::problems, source::File};
use std::{fs, path::Path};
use syn::{Expr, Item, Stmt};

/// All files below a `src/`.
pub(crate) fn files_of(src: &str) -> Vec<File> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(src);
    let mut files = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("readable").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            if path.extension().is_none_or(|extension| extension != "rs") {
                continue;
            }
            let text = fs::read_to_string(&path).expect("a text");
            let below = path.strip_prefix(&root).expect("below the root");
            let below = below.to_str().expect("UTF-8");
            // The program is the last to import, and tests in files of their own are no part of the house.
            let outside =
                below == "main.rs" || below.ends_with("tests.rs") || below.contains("/tests/");
            if !outside {
                files.push(File::parse(below, &text));
            }
        }
    }
    assert!(files.len() > 10, "{src} is read");
    files
}

#[test]
fn the_bridge_is_imported_in_order_and_without_circles() {
    let problems = problems(files_of("src"));
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn the_simulator_is_imported_in_order_and_without_circles() {
    let problems = problems(files_of("activity-sim/src"));
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

/// What the program and the library both compile is in the program twice: an `async fn` is compiled where it is awaited.
#[test]
fn the_program_only_calls_the_library() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/main.rs");
    let mut items = syn::parse_file(&fs::read_to_string(path).expect("a text"))
        .expect("Rust")
        .items;
    items.retain(|item| !matches!(item, Item::Use(_)));
    let [Item::Fn(main)] = &items[..] else {
        panic!("main.rs is more than one function");
    };
    let [Stmt::Expr(Expr::Call(_), None)] = &main.block.stmts[..] else {
        panic!("main does more than call the library");
    };
}

fn house(files: &[(&str, &str)]) -> Vec<String> {
    problems(
        files
            .iter()
            .map(|(path, text)| File::parse(path, text))
            .collect(),
    )
}

#[test]
fn an_import_against_the_order_is_refused_and_both_files_are_named() {
    let found = house(&[
        ("lib.rs", "pub mod low;\npub mod high;"),
        ("low.rs", "fn f() { crate::high::g() }"),
        ("high.rs", "pub fn g() {}"),
    ]);
    assert_eq!(
        found,
        ["low.rs:1 imports high.rs, which lib.rs lists below it"]
    );
}

#[test]
fn an_import_in_the_order_is_allowed() {
    let found = house(&[
        ("lib.rs", "pub mod low;\npub mod high;"),
        ("low.rs", "pub fn f() {}"),
        ("high.rs", "use crate::low::f; pub fn g() { f() }"),
    ]);
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn a_circle_between_the_files_of_a_folder_is_refused_and_both_files_are_named() {
    let found = house(&[
        ("lib.rs", "pub mod store;"),
        ("store/mod.rs", "mod a; mod b; pub use a::A;"),
        ("store/a.rs", "pub struct A; use super::b::B;"),
        ("store/b.rs", "pub struct B; use super::A;"),
    ]);
    assert_eq!(
        found,
        [
            "store/a.rs:1 imports store/b.rs, and is imported by it, directly or through others",
            "store/b.rs:1 imports store/a.rs, and is imported by it, directly or through others",
        ]
    );
}

#[test]
fn a_circle_of_three_that_hides_in_a_macro_and_behind_an_alias_is_refused() {
    let found = house(&[
        ("lib.rs", "pub mod store;"),
        ("store/mod.rs", "pub mod a; pub mod b; pub mod c;"),
        ("store/a.rs", "use super::b as other; fn f() { other::g() }"),
        (
            "store/b.rs",
            "pub fn g() { println!(\"{}\", crate::store::c::h()) }",
        ),
        ("store/c.rs", "pub fn h() { let x: super::a::X; }"),
    ]);
    assert_eq!(found.len(), 3, "{found:?}");
}

#[test]
fn what_is_only_in_tests_does_not_count() {
    let found = house(&[
        ("lib.rs", "pub mod low;\npub mod high;"),
        ("low.rs", "#[cfg(test)] mod tests { use crate::high::g; }"),
        ("high.rs", "pub fn g() {}"),
    ]);
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn a_folders_own_file_declares_and_re_exports_and_nothing_else() {
    let found = house(&[
        ("lib.rs", "pub mod store;"),
        ("store/mod.rs", "pub mod a; pub trait Store {}"),
        ("store/a.rs", ""),
    ]);
    let words =
        "store/mod.rs has 1 items that are no declaration and no re-export; give them a file";
    assert_eq!(found, [words]);
}
