//! The schema of the configuration is what the reference of the keys says, and so is the file of it.

use crate::{
    configuration::{Key, bounds, code},
    root, text_of,
};
use activity_bridge::cli::config::schema::schema;
use serde_json::{Value, json};
use std::{collections::BTreeMap, fs};

const FILE: &str = "config/schema.json";

#[test]
fn the_file_of_the_schema_is_what_the_command_prints() {
    let printed = format!("{:#}\n", schema());
    let is_it = fs::read_to_string(root().join(FILE)).is_ok_and(|text| text == printed);
    assert!(
        is_it,
        "the declarations have changed: cargo run -- config schema > {FILE}"
    );
}

/// The schemas of all keys, by their paths.
fn keys() -> BTreeMap<String, Value> {
    let mut found = BTreeMap::new();
    let mut tables = vec![(String::new(), schema())];
    while let Some((path, table)) = tables.pop() {
        let properties = table["properties"].as_object().expect("properties");
        for (name, schema) in properties {
            let path = match path.as_str() {
                "" => name.clone(),
                path => format!("{path}.{name}"),
            };
            if schema["properties"].is_object() {
                tables.push((path, schema.clone()));
            } else if schema["items"]["properties"].is_object() {
                tables.push((format!("{path}[]"), schema["items"].clone()));
            } else {
                found.insert(path, schema.clone());
            }
        }
    }
    found
}

#[test]
fn the_schema_has_the_documented_keys() {
    let schema: Vec<_> = keys().into_keys().collect();
    let mut documented: Vec<_> = Key::all().into_iter().map(|key| key.path).collect();
    documented.sort();
    assert_eq!(schema, documented);
}

#[test]
fn the_schema_has_the_documented_types_bounds_and_defaults() {
    let keys = keys();
    for key in Key::all() {
        let schema = &keys[&key.path];
        let any = schema["anyOf"].as_array().cloned().unwrap_or_default();
        let of_type = key.of_type.as_str();
        let quoted: Vec<_> = of_type.split('`').skip(1).step_by(2).collect();
        let words: Vec<Value> = quoted
            .iter()
            .flat_map(|word| serde_json::from_str(word))
            .collect();
        if of_type.starts_with("whole number") {
            let (least, most) = bounds(of_type).expect("bounds");
            let integer = json!({ "type": "integer", "minimum": least, "maximum": most });
            assert!(any.contains(&integer), "{}: {any:?}", key.path);
        } else if of_type == "true or false" {
            assert!(any.contains(&json!({ "type": "boolean" })), "{}", key.path);
        } else if of_type.starts_with("list of") {
            let least = u64::from(of_type.contains("at least one"));
            assert_eq!(schema["minItems"], least, "{}", key.path);
        } else if of_type.starts_with("text") {
            assert_eq!(schema["type"], "string", "{}", key.path);
        } else {
            let listed = |known: &Value| {
                known["enum"]
                    .as_array()
                    .is_some_and(|all| all.len() == words.len())
            };
            assert!(any.iter().any(listed), "{}: {any:?}", key.path);
        }
        for word in words.iter().filter(|_| !of_type.starts_with("text")) {
            let has = |known: &Value| {
                known["enum"]
                    .as_array()
                    .is_some_and(|all| all.contains(word))
            };
            assert!(any.iter().any(has), "{}: {word}", key.path);
        }
        let default =
            code(&key.default).map(|default| serde_json::from_str(default).expect("JSON"));
        assert_eq!(schema.get("default"), default.as_ref(), "{}", key.path);
    }
}

/// The text of a paragraph without the marks of Markdown.
fn plain(markdown: &str) -> String {
    let mut text = String::new();
    let mut rest = markdown;
    while let Some((before, after)) = rest.split_once("](") {
        text.push_str(before);
        rest = after.split_once(')').map_or("", |(_, rest)| rest);
    }
    text.push_str(rest);
    let text = text.replace(['`', '['], "");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn the_schema_describes_keys_in_the_words_of_the_documents() {
    let text = text_of("docs/configuration.md");
    for (path, schema) in keys() {
        let (_, said) = text
            .split_once(&format!("\n#### `{path}`\n"))
            .expect("a heading");
        let said = plain(said.split("\n#").next().expect("a section"));
        let description = schema["description"].as_str().expect("a text");
        for sentence in description.split_inclusive(". ") {
            let sentence = sentence.trim_end().trim_end_matches('.');
            assert!(
                said.contains(sentence),
                "{path}: {sentence:?} is not in: {said}"
            );
        }
    }
}
