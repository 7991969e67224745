//! Writes settings as TOML that can be read again.

use crate::settings::{Place, Setting};
use serde_json::Value;

/// Width of a setting before its comment.
const WIDTH: usize = 46;

/// The settings as TOML. A default is a comment, so that it stays a default where this is read again: some defaults go by others, and
/// some settings mean more where they are written.
pub(super) fn write(settings: &[Setting]) -> String {
    let mut tables: Vec<(&str, Vec<String>)> = Vec::new();
    for setting in settings {
        let (table, key) = setting.path.rsplit_once('.').unwrap_or(("", &setting.path));
        let line = line(key, setting);
        match tables.iter_mut().find(|(path, _)| *path == table) {
            Some((_, lines)) => lines.push(line),
            None => tables.push((table, vec![line])),
        }
    }
    let mut text = String::new();
    for (path, lines) in tables {
        let name = without_indices(path);
        let lines = lines.join("\n");
        text += &match path.ends_with(']') {
            true => format!("\n[[{name}]]\n{lines}\n"),
            false => format!("\n[{name}]\n{lines}\n"),
        };
    }
    text
}

fn without_indices(path: &str) -> String {
    let names = path.split('.').map(|part| part.split('[').next());
    names
        .map(Option::unwrap_or_default)
        .collect::<Vec<_>>()
        .join(".")
}

fn line(key: &str, setting: &Setting) -> String {
    let comment = match &setting.place {
        Some(place) => words(place),
        None => "default".to_owned(),
    };
    let begin = if setting.place.is_some() { "" } else { "# " };
    match &setting.value {
        Some(value) => {
            let setting = format!("{begin}{key} = {}", literal(value));
            format!("{setting:<WIDTH$}  # {comment}")
        }
        None => format!("# {key} is not set"),
    }
}

fn words(place: &Place) -> String {
    match place {
        Place::Environment(name) => name.clone(),
        Place::File {
            name,
            line,
            variables,
        } => {
            let line = line.map(|line| format!(":{line}")).unwrap_or_default();
            let variables = variables.iter().map(|name| format!(", ${{{name}}}"));
            // A line end in a name would end the comment.
            let name = name.escape_debug();
            format!("{name}{line}{}", variables.collect::<String>())
        }
    }
}

/// A value in TOML. A text of JSON is one of TOML, but for the character that JSON leaves as it is; and a `${` would be a variable.
fn literal(value: &Value) -> String {
    let text = value.to_string();
    text.replace('\u{7f}', "\\u007f").replace("${", "$${")
}
