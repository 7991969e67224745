//! Where the values of a configuration come from: their files, the environment, and the variables in their texts.

use super::{
    problem::Problem,
    value::{shown, walk},
    variables::{self, Variable},
};
use figment::value::{Dict, Value};
use std::{cell::RefCell, collections::HashMap, ffi::OsStr, iter, mem};

/// Minimum length of what a variable holds for it to be left out of a rule, in bytes. A shorter text is no password, and may be a
/// part of any word.
const MIN_LEFT_OUT: usize = 4;

/// A layer of settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layer {
    /// The file with this number.
    File(usize),
    /// The environment.
    Environment,
    /// A table or a list that more than one layer has put something into.
    Several,
}

/// The lines of the keys of a file, by their paths. The first line is 1.
pub type Lines = HashMap<String, usize>;

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A file.
    File {
        /// The name of the file.
        name: String,
        /// The line.
        line: Option<usize>,
        /// The names of the variables in the text.
        variables: Vec<String>,
    },
    /// The environment variable that sets this key, or a table above it.
    Environment(String),
}

/// What begins the names of the environment variables that set a key.
pub const ENV_PREFIX: &str = "ACTIVITY_BRIDGE_";

/// Where values come from, by the path of each. It has no `Debug`, because it has passwords.
#[derive(Default)]
pub struct Places {
    files: Vec<String>,
    layers: HashMap<String, Layer>,
    lines: Lines,
    /// The values from the environment, as they were given.
    environment: HashMap<String, String>,
    /// The texts with variables.
    filled: HashMap<String, Filled>,
    /// What is wrong with the variables in texts.
    problems: Vec<Problem>,
}

/// A text with variables.
struct Filled {
    /// As it is written.
    written: String,
    /// The names of the variables, and what they hold.
    variables: Vec<(String, String)>,
}

impl Filled {
    /// A rule that may quote a part of the text, with the names of the variables in place of what they hold.
    fn leave_out(&self, rule: &str) -> String {
        let mut rule = rule.to_owned();
        for (name, holds) in &self.variables {
            if holds.len() >= MIN_LEFT_OUT {
                let name = format!("${{{name}}}");
                rule = rule.replace(holds, &name);
                rule = rule.replace(&holds.escape_debug().to_string(), &name);
            }
        }
        rule
    }
}

impl Places {
    /// Notes a file, and returns its layer.
    pub(super) fn file(&mut self, name: String) -> Layer {
        self.files.push(name);
        Layer::File(self.files.len() - 1)
    }

    /// Notes the values from the environment, as they were given.
    pub(super) fn environment(&mut self, texts: HashMap<String, String>) -> Layer {
        self.environment = texts;
        Layer::Environment
    }

    /// Notes the layer of a value and of all that is in it, and the lines. The value has two paths: in the merged tree, and in its
    /// layer.
    pub(super) fn note(
        &mut self,
        [path, own]: [&str; 2],
        value: &mut Value,
        layer: Layer,
        lines: &Lines,
    ) {
        let start = path.len();
        walk(path, value, &mut |path, _| {
            self.layers.insert(path.to_owned(), layer);
            match lines.get(&format!("{own}{}", &path[start..])) {
                Some(line) => self.lines.insert(path.to_owned(), *line),
                None => self.lines.remove(path),
            };
        });
    }

    /// Where a value comes from that is there.
    pub(super) fn place(&self, path: &str) -> Place {
        let number = match self.layers.get(path) {
            Some(Layer::File(number)) => *number,
            Some(Layer::Several) | None => 0,
            Some(Layer::Environment) => return Place::Environment(self.variable_of(path)),
        };
        let items = (0..).map(|index| format!("{path}[{index}]"));
        let items = items.take_while(|item| self.layers.contains_key(item));
        let texts = iter::once(path.to_owned()).chain(items);
        let filled = texts.filter_map(|text| self.filled.get(&text));
        let names = filled.flat_map(|filled| &filled.variables);
        let mut variables: Vec<_> = names.map(|(name, _)| name.clone()).collect();
        variables.dedup();
        Place::File {
            name: self.files.get(number).cloned().unwrap_or_default(),
            line: self.lines.get(path).copied(),
            variables,
        }
    }

    /// The name of the environment variable that sets this key, or the nearest table or list above it.
    fn variable_of(&self, path: &str) -> String {
        let is_above = |key: &&String| {
            let rest = path.strip_prefix(key.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        let above = self.environment.keys().filter(is_above);
        let key = above.max_by_key(|key| key.len());
        let key = key.map_or(path, String::as_str);
        format!("{ENV_PREFIX}{}", key.to_uppercase().replace('.', "__"))
    }

    /// Notes that a table or a list has parts of several layers.
    pub(super) fn note_several(&mut self, path: &str) {
        self.layers.insert(path.to_owned(), Layer::Several);
    }

    /// Puts what variables hold into the texts of the files.
    pub(super) fn fill(&mut self, tree: &mut Dict, variable: Variable<'_>) {
        for (key, value) in tree {
            walk(key, value, &mut |path, value| {
                if let Value::String(_, text) = value
                    && text.contains(variables::BEGIN)
                    && self.layers.get(path) != Some(&Layer::Environment)
                {
                    self.fill_text(path, text, variable);
                }
            });
        }
    }

    fn fill_text(&mut self, path: &str, text: &mut String, variable: Variable<'_>) {
        let seen = RefCell::new(Vec::new());
        let noted = |name: &str| {
            let found = variable(name);
            if let Some(holds) = found.as_deref().and_then(OsStr::to_str) {
                seen.borrow_mut().push((name.to_owned(), holds.to_owned()));
            }
            found
        };
        match variables::fill(text, &noted) {
            Ok(filled) => {
                let filled = Filled {
                    written: mem::replace(text, filled),
                    variables: seen.into_inner(),
                };
                self.filled.insert(path.to_owned(), filled);
            }
            Err(rules) => {
                let problem = |rule| Problem {
                    file: None,
                    path: path.to_owned(),
                    value: None,
                    rule,
                };
                self.problems.extend(rules.into_iter().map(problem));
            }
        }
    }

    /// The text of a value from the environment, as it was given.
    pub(super) fn given(&self, path: &str) -> Option<&str> {
        self.environment.get(path).map(String::as_str)
    }

    /// Whether a text has variables that could be put in.
    pub(super) fn has_variables(&self, path: &str) -> bool {
        self.filled.contains_key(path)
    }

    /// All problems: those of variables, and those that were found afterwards. Where there are several files, each names its
    /// own. A text with variables is shown as it is written, because a variable may hold a password.
    #[must_use]
    pub fn explain(mut self, found: Vec<Problem>) -> Vec<Problem> {
        let mut problems = mem::take(&mut self.problems);
        // Without its variables a text may break other rules too.
        let unusable: Vec<_> = problems.iter().map(|p| p.path.clone()).collect();
        problems.extend(found.into_iter().filter(|p| !unusable.contains(&p.path)));
        for problem in &mut problems {
            problem.file = self.name_of(&problem.path);
            let Some(filled) = self.filled.get(&problem.path) else {
                continue;
            };
            problem.rule = filled.leave_out(&problem.rule);
            let written = || shown(&Value::from(filled.written.as_str()));
            problem.value = problem.value.take().map(|_| written());
        }
        problems
    }

    /// The file of a value, where there are several; of a value that is missing, the file of its table.
    fn name_of(&self, path: &str) -> Option<String> {
        if self.files.len() < 2 {
            return None;
        }
        let mut path = path;
        loop {
            match self.layers.get(path) {
                Some(Layer::File(number)) => return self.files.get(*number).cloned(),
                Some(Layer::Environment) => return Some("the environment".to_owned()),
                Some(Layer::Several) => return None,
                None => path = &path[..path.rfind(['.', '['])?],
            }
        }
    }
}
