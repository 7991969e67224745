//! Merges the layers of settings: the files in their order, then the environment.

use super::{
    places::{Layer, Lines, Places},
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
    /// `lines` are those of its keys.
    pub fn add_file(&mut self, name: String, settings: Dict, lines: &Lines) {
        let layer = self.places.file(name);
        let mut merge = Merge {
            places: &mut self.places,
            layer,
            lines,
        };
        merge.tables(["", ""], &mut self.tree, settings);
    }

    /// Puts the environment on top; `texts` are its values as they were given. Only tables are merged.
    pub fn add_environment(&mut self, settings: Dict, texts: HashMap<String, String>) {
        let layer = self.places.environment(texts);
        let mut merge = Merge {
            places: &mut self.places,
            layer,
            lines: &Lines::new(),
        };
        merge.tables(["", ""], &mut self.tree, settings);
    }

    /// The settings, with what the variables hold in their places, and where each value comes from.
    #[must_use]
    pub fn fill(mut self, variable: Variable<'_>) -> (Dict, Places) {
        self.places.fill(&mut self.tree, variable);
        (self.tree, self.places)
    }
}

/// The merge of one layer into those below.
struct Merge<'a> {
    places: &'a mut Places,
    layer: Layer,
    lines: &'a Lines,
}

impl Merge<'_> {
    /// Merges a table. It has two paths: in the merged tree, and in its layer.
    fn tables(&mut self, paths: [&str; 2], below: &mut Dict, above: Dict) {
        for (key, value) in above {
            let [path, own] = paths.map(|path| path_below(path, &key));
            let merged = match (below.remove(&key), value) {
                (Some(Value::Dict(tag, mut below)), Value::Dict(_, above)) => {
                    self.places.note_several(&path);
                    self.tables([&path, &own], &mut below, above);
                    Value::Dict(tag, below)
                }
                (Some(Value::Array(tag, mut below)), Value::Array(_, above))
                    if self.layer != Layer::Environment
                        && are_tables(&below)
                        && are_tables(&above) =>
                {
                    self.places.note_several(&path);
                    for (index, mut value) in above.into_iter().enumerate() {
                        let path = format!("{path}[{}]", below.len());
                        self.note([&path, &format!("{own}[{index}]")], &mut value);
                        below.push(value);
                    }
                    Value::Array(tag, below)
                }
                (_, mut value) => {
                    self.note([&path, &own], &mut value);
                    value
                }
            };
            below.insert(key, merged);
        }
    }

    fn note(&mut self, paths: [&str; 2], value: &mut Value) {
        self.places.note(paths, value, self.layer, self.lines);
    }
}

fn are_tables(items: &[Value]) -> bool {
    items.iter().all(|item| matches!(item, Value::Dict(..)))
}
