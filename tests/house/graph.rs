//! Which file imports which, and what of that the house forbids.

use crate::source::{Crate, File};
use std::collections::{BTreeMap, BTreeSet};
use syn::Item;

/// One file names another.
struct Import<'c> {
    from: &'c str,
    line: usize,
    to: &'c str,
    /// The room of each in the folder that they share: a file or a sub-folder.
    rooms: (&'c str, &'c str),
    /// That folder; the root is empty.
    folder: &'c str,
}

/// Everything in a crate that breaks the import rule, in words that name the files.
pub(crate) fn problems(files: Vec<File>) -> Vec<String> {
    let parsed = Crate::new(files);
    let imports = imports(&parsed);
    let mut problems = odd_folders(&parsed);
    problems.extend(against_the_order(&parsed, &imports));
    problems.extend(circles(&imports));
    problems
}

fn odd_folders(parsed: &Crate) -> Vec<String> {
    let odd = parsed.files.iter().filter(|file| file.is_folder());
    odd.filter(|file| file.odd_items() > 0)
        .map(|file| {
            let (path, count) = (&file.path, file.odd_items());
            format!("{path} has {count} items that are no declaration and no re-export; give them a file")
        })
        .collect()
}

fn imports(parsed: &Crate) -> Vec<Import<'_>> {
    let mut imports = Vec::new();
    let mut seen = BTreeSet::new();
    for file in &parsed.files {
        for reference in parsed.references(file) {
            let Some(target) = parsed.definition(&reference.path) else {
                continue;
            };
            let (from, to) = (file.path.as_str(), parsed.files[target].path.as_str());
            // A folder may re-export what is in it.
            let own = file.is_folder() && parsed.files[target].module.starts_with(&file.module);
            // One line for each pair of files.
            if from != to && !own && seen.insert((from, to)) {
                imports.push(import(from, reference.line, to));
            }
        }
    }
    imports
}

/// Cuts two paths where they part.
fn import<'c>(from: &'c str, line: usize, to: &'c str) -> Import<'c> {
    let shared = from
        .bytes()
        .zip(to.bytes())
        .take_while(|(a, b)| a == b)
        .count();
    let folder = from[..shared].rfind('/').map_or("", |end| &from[..end]);
    let room = |path: &'c str| {
        let below = path.strip_prefix(folder).unwrap_or(path);
        let below = below.strip_prefix('/').unwrap_or(below);
        below.split(['/', '.']).next().unwrap_or(below)
    };
    Import {
        from,
        line,
        to,
        rooms: (room(from), room(to)),
        folder,
    }
}

/// In the root, a room may import only from those that `lib.rs` lists above it.
fn against_the_order(parsed: &Crate, imports: &[Import<'_>]) -> Vec<String> {
    let root = parsed.files.iter().find(|file| file.path == "lib.rs");
    let root = root.expect("a crate has a lib.rs");
    let mut order = BTreeMap::new();
    for item in &root.tree.items {
        if let Item::Mod(module) = item {
            order.insert(module.ident.to_string(), order.len());
        }
    }
    let place = |room: &str| order.get(room).copied().unwrap_or(usize::MAX);
    imports
        .iter()
        .filter(|import| import.folder.is_empty() && place(import.rooms.0) < place(import.rooms.1))
        .map(|Import { from, line, to, .. }| {
            format!("{from}:{line} imports {to}, which lib.rs lists below it")
        })
        .collect()
}

/// In every folder, the rooms must not import each other in a circle.
fn circles(imports: &[Import<'_>]) -> Vec<String> {
    let mut folders: BTreeMap<&str, BTreeMap<&str, BTreeSet<&str>>> = BTreeMap::new();
    for import in imports {
        let rooms = folders.entry(import.folder).or_default();
        rooms
            .entry(import.rooms.0)
            .or_default()
            .insert(import.rooms.1);
    }
    let reaches = |folder: &str, from: &str, to: &str| {
        let (mut seen, mut open) = (BTreeSet::new(), vec![from]);
        while let Some(room) = open.pop() {
            if room == to {
                return true;
            }
            if seen.insert(room)
                && let Some(next) = folders[folder].get(room)
            {
                open.extend(next);
            }
        }
        false
    };
    imports
        .iter()
        .filter(|import| reaches(import.folder, import.rooms.1, import.rooms.0))
        .map(|Import { from, line, to, .. }| {
            format!("{from}:{line} imports {to}, and is imported by it, directly or through others")
        })
        .collect()
}
