//! `activity-bridge config print`: the effective settings, and where each comes from. No password is shown, and nothing of a key that
//! there is not.

use super::toml;
use crate::settings::{HIDDEN, Place, Setting};
use serde_json::{Value, json};
use std::io::{self, Write};

/// Prints the settings.
///
/// # Errors
///
/// If standard output can't be written.
pub fn print(settings: &[Setting], json: bool) -> io::Result<()> {
    let text = match json {
        true => format!("{:#}\n", as_json(settings)),
        false => as_toml(settings),
    };
    io::stdout().write_all(text.as_bytes())
}

/// The settings as TOML.
#[must_use]
pub fn as_toml(settings: &[Setting]) -> String {
    let version = env!("CARGO_PKG_VERSION");
    let settings = toml::write(settings);
    format!(
        "# What activity-bridge {version} reads. A line that begins with # is a default. {HIDDEN} is not shown.\n{settings}"
    )
}

/// The settings as JSON: `{"settings": [{"key", "value", "source", …}]}`.
#[must_use]
pub fn as_json(settings: &[Setting]) -> Value {
    let settings: Vec<_> = settings.iter().map(one_as_json).collect();
    json!({ "settings": settings })
}

fn one_as_json(setting: &Setting) -> Value {
    let source = match (&setting.place, &setting.value) {
        (Some(Place::File { .. }), _) => "file",
        (Some(Place::Environment(_)), _) => "environment",
        (None, Some(_)) => "default",
        (None, None) => "unset",
    };
    let mut json = json!({ "key": setting.path, "value": setting.value, "source": source });
    match &setting.place {
        Some(Place::File {
            name,
            line,
            variables,
        }) => {
            json["file"] = name.as_str().into();
            json["line"] = json!(line);
            if !variables.is_empty() {
                json["variables"] = json!(variables);
            }
        }
        Some(Place::Environment(name)) => json["variable"] = name.as_str().into(),
        None => {}
    }
    if setting.redacted {
        json["redacted"] = true.into();
    }
    json
}

#[cfg(test)]
mod tests;
