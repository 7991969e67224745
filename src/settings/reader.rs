//! Reads a table of settings and does not stop at the first mistake.
//!
//! A [`Reader`] belongs to one table. Each call takes one key out and checks its value. A problem is added to the list that
//! all readers share, and reading goes on. [`Reader::finish`] reports the keys that are left.

use super::problem::Problems;
use figment::value::{Dict, Value};
use std::ops::RangeInclusive;

/// A table that is being read. Keys are taken out one by one. The keys that are left at the end are unknown.
pub struct Reader<'p> {
    path: String,
    dict: Dict,
    known: Vec<&'static str>,
    problems: &'p Problems,
}

impl<'p> Reader<'p> {
    /// A reader of the whole configuration.
    pub fn root(dict: Dict, problems: &'p Problems) -> Self {
        Self::new(String::new(), dict, problems)
    }

    fn new(path: String, dict: Dict, problems: &'p Problems) -> Self {
        Self {
            path,
            dict,
            known: Vec::new(),
            problems,
        }
    }

    /// The path of a key of this table.
    pub fn path_of(&self, key: &str) -> String {
        match self.path.as_str() {
            "" => key.to_owned(),
            path => format!("{path}.{key}"),
        }
    }

    pub(super) fn remove(&mut self, key: &'static str) -> Option<Value> {
        self.known.push(key);
        self.dict.remove(key)
    }

    /// Takes a key and ignores its value. True if the key was there.
    pub fn discard(&mut self, key: &'static str) -> bool {
        self.remove(key).is_some()
    }

    /// Whether the key is there.
    pub fn has(&self, key: &str) -> bool {
        self.dict.contains_key(key)
    }

    /// Adds a problem about a key of this table.
    pub fn problem(&self, key: &str, value: Option<String>, rule: impl Into<String>) {
        self.problems.add(self.path_of(key), value, rule);
    }

    pub(super) fn wrong_kind<T>(&self, key: &str, value: &Value, wanted: &str) -> Option<T> {
        self.problem(key, Some(shown(value)), format!("must be {wanted}"));
        None
    }

    /// A sub-table. An absent one reads as empty.
    pub fn table(&mut self, key: &'static str) -> Self {
        let dict = match self.remove(key) {
            None => Dict::new(),
            Some(Value::Dict(_, dict)) => dict,
            Some(other) => {
                // The value may be a whole URI with its password.
                drop(other);
                let rule = format!(
                    "must be a table: write [{}] and its keys below",
                    self.path_of(key)
                );
                self.problem(key, None, rule);
                Dict::new()
            }
        };
        Reader::new(self.path_of(key), dict, self.problems)
    }

    /// A list of tables, `[[key]]`.
    pub fn tables(&mut self, key: &'static str) -> Vec<Self> {
        let items = match self.remove(key) {
            None => Vec::new(),
            Some(Value::Array(_, items)) => items,
            Some(other) => {
                let wanted = format!("a list of tables: write [[{}]]", self.path_of(key));
                self.wrong_kind::<()>(key, &other, &wanted);
                Vec::new()
            }
        };
        let path = self.path_of(key);
        let read = |(index, item)| {
            let path = format!("{path}[{index}]");
            if let Value::Dict(_, dict) = item {
                return Some(Reader::new(path, dict, self.problems));
            }
            let rule = "must be a table of settings";
            self.problems.add(path, Some(shown(&item)), rule);
            None
        };
        items.into_iter().enumerate().filter_map(read).collect()
    }

    /// A text that satisfies a rule. The rule's error completes the sentence "`path` = `value`: …".
    pub fn text<T>(
        &mut self,
        key: &'static str,
        rule: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        match self.remove(key)? {
            Value::String(_, text) => rule(&text)
                .map_err(|why| self.problem(key, Some(format!("{text:?}")), why))
                .ok(),
            other => self.wrong_kind(key, &other, "a text in quotes"),
        }
    }

    /// A text that is never shown, not even when it is wrong.
    pub fn secret<T>(
        &mut self,
        key: &'static str,
        rule: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        match self.remove(key)? {
            Value::String(_, text) => rule(&text).map_err(|why| self.problem(key, None, why)).ok(),
            _ => {
                self.problem(key, None, "must be a text in quotes");
                None
            }
        }
    }

    /// A whole number within bounds.
    pub fn integer(&mut self, key: &'static str, bounds: RangeInclusive<u64>) -> Option<u64> {
        let value = self.remove(key)?;
        let wanted = || format!("a whole number from {} to {}", bounds.start(), bounds.end());
        number_in(&value, &bounds).or_else(|| self.wrong_kind(key, &value, &wanted()))
    }

    /// A whole number within bounds, or a word. `meaning` is what the word means.
    pub fn integer_or<T>(
        &mut self,
        key: &'static str,
        bounds: RangeInclusive<u64>,
        (word, meaning): (&str, T),
        number: impl FnOnce(u64) -> T,
    ) -> Option<T> {
        let value = self.remove(key)?;
        if value.as_str() == Some(word) {
            return Some(meaning);
        }
        let (least, most) = (bounds.start(), bounds.end());
        let wanted = || format!("{word:?}, or a whole number from {least} to {most}");
        match number_in(&value, &bounds) {
            Some(found) => Some(number(found)),
            None => self.wrong_kind(key, &value, &wanted()),
        }
    }

    /// `true` or `false`.
    pub fn flag(&mut self, key: &'static str) -> Option<bool> {
        match self.remove(key)? {
            Value::Bool(_, flag) => Some(flag),
            other => self.wrong_kind(key, &other, "true or false, without quotes"),
        }
    }

    /// Reports every key that was not taken, with the known key that was probably meant.
    pub fn finish(self) {
        for (key, value) in &self.dict {
            let meant = self
                .known
                .iter()
                .map(|known| (strsim::jaro_winkler(key, known), *known))
                .filter(|(likeness, _)| *likeness > 0.8)
                .max_by(|a, b| a.0.total_cmp(&b.0));
            let advice = match meant {
                Some((_, known)) => format!("did you mean {known:?}?"),
                None if self.known.is_empty() => "remove it".to_owned(),
                None => format!("the keys here are {}", self.known.join(", ")),
            };
            let shown = match value {
                Value::Dict(..) | Value::Array(..) | Value::String(..) => None,
                plain => Some(shown(plain)),
            };
            self.problem(key, shown, format!("there is no such setting; {advice}"));
        }
    }
}

/// Reads a text that has no default. A missing key is a problem.
pub fn required<T>(
    reader: &mut Reader<'_>,
    key: &'static str,
    rule: impl FnOnce(&str) -> Result<T, String>,
) -> Option<T> {
    if !reader.has(key) {
        reader.problem(key, None, "is missing");
    }
    reader.text(key, rule)
}

/// The value as a whole number, if it is one within the bounds.
fn number_in(value: &Value, bounds: &RangeInclusive<u64>) -> Option<u64> {
    let Value::Num(_, number) = value else {
        return None;
    };
    let unsigned = number
        .to_u128()
        .or_else(|| number.to_i128().and_then(|n| u128::try_from(n).ok()));
    let number = u64::try_from(unsigned?).ok()?;
    bounds.contains(&number).then_some(number)
}

/// A value as the operator wrote it, cut to 80 characters.
pub(super) fn shown(value: &Value) -> String {
    let text = match value {
        Value::String(_, text) => format!("{text:?}"),
        Value::Char(_, c) => format!("{c:?}"),
        Value::Bool(_, flag) => flag.to_string(),
        Value::Num(_, number) => match (number.to_i128(), number.to_u128(), number.to_f64()) {
            (Some(n), ..) => n.to_string(),
            (None, Some(n), _) => n.to_string(),
            (None, None, Some(n)) => n.to_string(),
            (None, None, None) => "a number".to_owned(),
        },
        Value::Empty(..) => "nothing".to_owned(),
        Value::Dict(..) => "{ … }".to_owned(),
        Value::Array(..) => "[ … ]".to_owned(),
    };
    match text.char_indices().nth(80) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
