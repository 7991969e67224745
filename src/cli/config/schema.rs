//! `activity-bridge config schema`: a JSON Schema of the configuration, from the declarations that read it. Editors complete from it.
//!
//! The schema is about one file. A file need not be whole, because others and the environment may complete it. So a key is required only
//! in a table of a list, which comes from one file. What concerns several keys is in no schema; `activity-bridge check` says it.

use crate::{
    config::declarations,
    settings::{Kind, Setting},
};
use serde_json::{Map, Value, json};
use std::{
    collections::{BTreeMap, btree_map::Entry},
    io::{self, Write},
};

/// Prints the schema.
///
/// # Errors
///
/// If standard output can't be written.
pub fn print() -> io::Result<()> {
    writeln!(io::stdout(), "{:#}", schema())
}

/// The schema. It keeps to what draft 4 and draft 7 have in common, because some editors know only draft 4.
#[must_use]
pub fn schema() -> Value {
    let mut root = Table::default();
    for setting in declarations() {
        root.add(setting);
    }
    let mut schema = root.schema(false);
    let variable = json!({
        "type": "string",
        "pattern": "\\$\\{",
        "description": "A text with a variable of the environment in it: ${NAME}, ${NAME:-default} or ${NAME:?why}.",
    });
    schema.insert("definitions".to_owned(), json!({ "variable": variable }));
    let dialect = "http://json-schema.org/draft-07/schema#";
    schema.insert("$schema".to_owned(), dialect.into());
    let title = "The configuration of activity-bridge";
    schema.insert("title".to_owned(), title.into());
    schema.into()
}

#[derive(Default)]
struct Table(BTreeMap<String, Node>);

enum Node {
    Key(Setting),
    Table(Table),
    List(Table),
}

impl Table {
    fn add(&mut self, setting: Setting) {
        let path = without_numbers(&setting.path);
        self.add_at(&path, setting);
    }

    fn add_at(&mut self, path: &str, setting: Setting) {
        let Some((table, rest)) = path.split_once('.') else {
            match self.0.entry(path.to_owned()) {
                Entry::Vacant(free) => {
                    free.insert(Node::Key(setting));
                }
                Entry::Occupied(mut known) => known.get_mut().join(&setting),
            }
            return;
        };
        let name = table.trim_end_matches("[]").to_owned();
        let new = || match table.ends_with("[]") {
            true => Node::List(Self::default()),
            false => Node::Table(Self::default()),
        };
        if let Node::Table(inner) | Node::List(inner) = self.0.entry(name).or_insert_with(new) {
            inner.add_at(rest, setting);
        }
    }

    fn schema(&self, in_list: bool) -> Map<String, Value> {
        let mut properties = Map::new();
        let mut required = Vec::new();
        for (name, node) in &self.0 {
            properties.insert(name.clone(), node.schema(in_list));
            if let Node::Key(Setting { required: true, .. }) = node
                && in_list
            {
                required.push(name.as_str());
            }
        }
        let mut schema = Map::new();
        schema.insert("type".to_owned(), "object".into());
        schema.insert("additionalProperties".to_owned(), false.into());
        schema.insert("properties".to_owned(), properties.into());
        if !required.is_empty() {
            schema.insert("required".to_owned(), required.into());
        }
        schema
    }
}

impl Node {
    /// Joins what another configuration says of the same key.
    fn join(&mut self, other: &Setting) {
        let Self::Key(known) = self else { return };
        known.required &= other.required;
        known.computed |= other.computed;
        if known.place.is_some() {
            known.value.clone_from(&other.value);
            known.place.clone_from(&other.place);
        }
    }

    fn schema(&self, in_list: bool) -> Value {
        match self {
            Self::Key(setting) => key(setting),
            Self::Table(table) => table.schema(in_list).into(),
            Self::List(table) => json!({ "type": "array", "items": table.schema(true) }),
        }
    }
}

/// The path of a key in each table of a list: `routes[].name`.
fn without_numbers(path: &str) -> String {
    path.replace(|c: char| c.is_ascii_digit(), "")
}

fn key(setting: &Setting) -> Value {
    let variable = || json!({ "$ref": "#/definitions/variable" });
    let mut schema = match &setting.kind {
        Kind::Text => json!({ "type": "string" }),
        Kind::Word(words) => json!({ "anyOf": [{ "enum": words }, variable()] }),
        Kind::Flag => json!({ "anyOf": [{ "type": "boolean" }, variable()] }),
        Kind::Integer { min, max, word } => {
            let mut any = vec![json!({ "type": "integer", "minimum": min, "maximum": max })];
            any.extend(word.map(|word| json!({ "enum": [word] })));
            any.push(variable());
            json!({ "anyOf": any })
        }
        Kind::Texts { min } => {
            json!({ "type": "array", "items": { "type": "string" }, "minItems": min })
        }
    };
    schema["description"] = setting.help.into();
    if let Some(default) = &setting.value
        && setting.place.is_none()
        && !setting.computed
    {
        schema["default"] = default.clone();
    }
    schema
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_several_configurations_declare_is_declared_in_the_same_words() {
        let mut seen = BTreeMap::new();
        for Setting {
            path, kind, help, ..
        } in declarations()
        {
            let path = without_numbers(&path);
            let first = seen
                .entry(path.clone())
                .or_insert_with(|| (kind.clone(), help));
            assert_eq!(*first, (kind, help), "{path}");
        }
    }

    #[test]
    fn only_a_table_of_a_list_requires_keys_since_another_file_may_have_those_of_others() {
        let schema = schema();
        let required = |path: &str| schema.pointer(path).cloned();
        let route = "/properties/routes/items";
        assert_eq!(
            required(&format!("{route}/required")),
            Some(json!(["name"]))
        );
        let swf = format!("{route}/properties/swf/required");
        assert_eq!(required(&swf), Some(json!(["domain", "task_list"])));
        let user = "/properties/amqp/properties/users/items/required";
        assert_eq!(required(user), Some(json!(["name"])));
        for table in ["", "/properties/otlp", "/properties/amqp/properties/tls"] {
            assert_eq!(required(&format!("{table}/required")), None, "{table}");
        }
    }

    #[test]
    fn a_default_that_goes_by_other_settings_is_not_in_the_schema() {
        let schema = schema();
        let default = |path: &str| schema.pointer(&format!("{path}/default")).cloned();
        let shutdown = "/properties/shutdown/properties";
        assert_eq!(default(&format!("{shutdown}/grace_secs")), Some(json!(90)));
        assert_eq!(default(&format!("{shutdown}/give_back")), None);
        let kind = "/properties/store/properties/kind";
        assert_eq!(default(kind), Some(json!("file")));
        for computed in ["ack", "max_ready", "delivery_limit", "ack_result"] {
            let path = format!("/properties/routes/items/properties/{computed}");
            assert_eq!(default(&path), None, "{computed}");
        }
    }
}
