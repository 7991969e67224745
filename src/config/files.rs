//! Finds the files of the configuration and parses them.

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

/// Reads a file, or those of a folder: the name of each, and what is in it.
pub(super) fn read(path: &Path) -> Result<Vec<(String, Dict)>, Unreadable> {
    let read_one = |file: PathBuf| {
        let text = fs::read_to_string(&file).map_err(|error| Unreadable::new(&file, error))?;
        let settings = parse(&text).map_err(|why| Unreadable::new(&file, why))?;
        Ok((file.display().to_string(), settings))
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
