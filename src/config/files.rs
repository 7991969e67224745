//! Finds the files of the configuration and parses them.

use crate::settings::Lines;
use figment::{
    Profile, Provider,
    providers::{Format, Toml},
    value::Dict,
};
use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
};
use toml_edit::{ImDocument, Key, TableLike};

/// A file or a folder that can't be read, or is not TOML.
pub(super) struct Unreadable {
    pub(super) path: String,
    pub(super) why: String,
}

impl Unreadable {
    fn new(path: &Path, why: impl ToString) -> Self {
        Self {
            path: path.display().to_string(),
            why: why.to_string(),
        }
    }
}

/// Reads a file, or those of a folder: the name of each, what is in it, and where.
pub(super) fn read(path: &Path) -> Result<Vec<(String, Dict, Lines)>, Unreadable> {
    let read_one = |file: PathBuf| {
        let text = fs::read_to_string(&file).map_err(|error| Unreadable::new(&file, error))?;
        let settings = parse(&text).map_err(|why| Unreadable::new(&file, why))?;
        Ok((file.display().to_string(), settings, lines(&text)))
    };
    files_of(path)?.into_iter().map(read_one).collect()
}

/// The file itself; of a folder, the files `*.toml` in the order of their names. Links are followed and hidden names are left
/// out, because a ConfigMap is mounted as links into the hidden folder `..data`.
fn files_of(path: &Path) -> Result<Vec<PathBuf>, Unreadable> {
    let unreadable = |error| Unreadable::new(path, error);
    if !fs::metadata(path).map_err(unreadable)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let file = entry.path();
        let is_hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
        let is_toml = file.extension() == Some(OsStr::new("toml"));
        if is_toml && !is_hidden && !file.is_dir() {
            files.push(file);
        }
    }
    files.sort();
    match files.is_empty() {
        true => Err(Unreadable::new(path, "this folder has no file *.toml")),
        false => Ok(files),
    }
}

/// Parses a TOML text.
///
/// # Errors
///
/// What is wrong, and where. The line itself is not shown, because it may contain a password.
pub(super) fn parse(text: &str) -> Result<Dict, String> {
    let mut profiles = Toml::string(text).data().map_err(|error| {
        let text = error.to_string();
        let quoted = |line: &&str| !line.contains('|');
        text.lines().filter(quoted).collect::<Vec<_>>().join(": ")
    })?;
    Ok(profiles.remove(&Profile::Default).unwrap_or_default())
}

/// The lines of the keys of a TOML text.
pub(super) fn lines(text: &str) -> Lines {
    let mut lines = Lines::new();
    let ends: Vec<_> = text.match_indices('\n').map(|(end, _)| end).collect();
    if let Ok(document) = ImDocument::parse(text) {
        note_table(&ends, "", document.as_table(), &mut lines);
    }
    lines
}

/// Notes the lines of the keys of a table. `ends` are the ends of all lines.
fn note_table(ends: &[usize], path: &str, table: &dyn TableLike, lines: &mut Lines) {
    for (name, item) in table.iter() {
        let path = match path {
            "" => name.to_owned(),
            path => format!("{path}.{name}"),
        };
        if let Some(span) = table.key(name).and_then(Key::span) {
            let line = ends.partition_point(|end| *end < span.start) + 1;
            lines.insert(path.clone(), line);
        }
        if let Some(table) = item.as_table_like() {
            note_table(ends, &path, table, lines);
        } else if let Some(tables) = item.as_array_of_tables() {
            let tables = tables.iter().map(|table| table as &dyn TableLike);
            note_list(ends, &path, tables, lines);
        } else if let Some(items) = item.as_array() {
            let tables = items.iter().filter_map(|item| item.as_inline_table());
            let tables = tables.map(|table| table as &dyn TableLike);
            note_list(ends, &path, tables, lines);
        }
    }
}

fn note_list<'t>(
    ends: &[usize],
    path: &str,
    tables: impl Iterator<Item = &'t dyn TableLike>,
    lines: &mut Lines,
) {
    for (index, table) in tables.enumerate() {
        note_table(ends, &format!("{path}[{index}]"), table, lines);
    }
}
