//! Merges the layers of settings: the files in their order, then the environment.

use super::{
    places::{Layer, Places},
    value::path_below,
    variables::Variable,
};
use figment::value::{Dict, Value};
use std::collections::HashMap;

/// Settings of several layers. A later layer wins.
#[derive(Default)]
pub struct Layers {
    tree: Dict,
    places: Places,
}

impl Layers {
    /// Puts a file on top. Tables are merged, and lists of tables are joined. Any other value takes the place of the one below.
    pub fn add_file(&mut self, name: String, settings: Dict) {
        let layer = self.places.file(name);
        merge(&mut self.places, layer, "", &mut self.tree, settings);
    }

    /// Puts the environment on top; `texts` are its values as they were given. Only tables are merged.
    pub fn add_environment(&mut self, settings: Dict, texts: HashMap<String, String>) {
        let layer = self.places.environment(texts);
        merge(&mut self.places, layer, "", &mut self.tree, settings);
    }

    /// The settings, with what the variables hold in their places, and where each value comes from.
    #[must_use]
    pub fn fill(mut self, variable: Variable<'_>) -> (Dict, Places) {
        self.places.fill(&mut self.tree, variable);
        (self.tree, self.places)
    }
}

fn merge(places: &mut Places, layer: Layer, path: &str, below: &mut Dict, above: Dict) {
    for (key, value) in above {
        let path = path_below(path, &key);
        let merged = match (below.remove(&key), value) {
            (Some(Value::Dict(tag, mut below)), Value::Dict(_, above)) => {
                places.note_several(&path);
                merge(places, layer, &path, &mut below, above);
                Value::Dict(tag, below)
            }
            (Some(Value::Array(tag, mut below)), Value::Array(_, above))
                if layer != Layer::Environment && are_tables(&below) && are_tables(&above) =>
            {
                places.note_several(&path);
                for mut value in above {
                    let path = format!("{path}[{}]", below.len());
                    places.note(&path, &mut value, layer);
                    below.push(value);
                }
                Value::Array(tag, below)
            }
            (_, mut value) => {
                places.note(&path, &mut value, layer);
                value
            }
        };
        below.insert(key, merged);
    }
}

fn are_tables(items: &[Value]) -> bool {
    items.iter().all(|item| matches!(item, Value::Dict(..)))
}
