//! Reads a table of settings and does not stop at the first mistake.
//!
//! A [`Reader`] belongs to one table. Each call takes one key out and checks its value. A problem is added to the list that
//! all readers share, and reading goes on. [`Reader::finish`] reports the keys that are left.

use super::{
    places::Places,
    problem::Problems,
    value::{number_in, path_below, shown},
};
use figment::value::{Dict, Value};
use std::ops::RangeInclusive;

/// A table that is being read. Keys are taken out one by one. The keys that are left at the end are unknown.
pub struct Reader<'p> {
    path: String,
    dict: Dict,
    known: Vec<&'static str>,
    problems: &'p Problems,
    places: &'p Places,
}

impl<'p> Reader<'p> {
    /// A reader of the whole configuration, which says where its values come from.
    pub fn root(dict: Dict, places: &'p Places, problems: &'p Problems) -> Self {
        Self {
            path: String::new(),
            dict,
            known: Vec::new(),
            problems,
            places,
        }
    }

    fn below(&self, path: String, dict: Dict) -> Self {
        Self {
            path,
            dict,
            known: Vec::new(),
            problems: self.problems,
            places: self.places,
        }
    }

    /// The path of a key of this table.
    pub fn path_of(&self, key: &str) -> String {
        path_below(&self.path, key)
    }

    pub(super) fn remove(&mut self, key: &'static str) -> Option<Value> {
        self.known.push(key);
        self.dict.remove(key)
    }

    /// Takes the text of a key, or its value if that is no text. An environment variable has no quotes that could tell the
    /// text `2024` from the number, so it is a text wherever one is wanted.
    fn remove_text(&mut self, key: &'static str) -> Option<Result<String, Value>> {
        let value = self.remove(key)?;
        let given = self.places.given(&self.path_of(key));
        Some(match (value, given) {
            (Value::String(_, text), _) => Ok(text),
            (_, Some(given)) => Ok(given.trim().to_owned()),
            (other, None) => Err(other),
        })
    }

    /// Takes the value of a key that is no text. TOML has variables in texts only, so a text that had one is the number or the
    /// flag that it says. Nothing else can be made of it.
    fn remove_scalar(&mut self, key: &'static str) -> Option<Value> {
        let value = self.remove(key)?;
        let said = match &value {
            Value::String(_, text) if self.places.has_variables(&self.path_of(key)) => {
                let text = text.trim();
                let number = text.parse::<u64>().map(Value::from).ok();
                number.or_else(|| text.parse::<bool>().map(Value::from).ok())
            }
            _ => None,
        };
        Some(said.unwrap_or(value))
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
        self.below(self.path_of(key), dict)
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
                return Some(self.below(path, dict));
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
        match self.remove_text(key)? {
            Ok(text) => rule(&text)
                .map_err(|why| self.problem(key, Some(format!("{text:?}")), why))
                .ok(),
            Err(other) => self.wrong_kind(key, &other, "a text in quotes"),
        }
    }

    /// A text that is never shown, not even when it is wrong.
    pub fn secret<T>(
        &mut self,
        key: &'static str,
        rule: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        match self.remove_text(key)? {
            Ok(text) => rule(&text).map_err(|why| self.problem(key, None, why)).ok(),
            Err(_) => {
                self.problem(key, None, "must be a text in quotes");
                None
            }
        }
    }

    /// A whole number within bounds.
    pub fn integer(&mut self, key: &'static str, bounds: RangeInclusive<u64>) -> Option<u64> {
        let value = self.remove_scalar(key)?;
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
        let value = self.remove_scalar(key)?;
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
        match self.remove_scalar(key)? {
            Value::Bool(_, flag) => Some(flag),
            other => self.wrong_kind(key, &other, "true or false, without quotes"),
        }
    }

    /// Reports every key that was not taken, with the known key that was probably meant. The value is not shown, because it
    /// may be a password.
    pub fn finish(self) {
        for key in self.dict.keys() {
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
            self.problem(key, None, format!("there is no such setting; {advice}"));
        }
    }
}

/// Reads a text that has no default and is never shown. A missing key is a problem.
pub fn required_secret<T>(
    reader: &mut Reader<'_>,
    key: &'static str,
    rule: impl FnOnce(&str) -> Result<T, String>,
) -> Option<T> {
    if !reader.has(key) {
        reader.problem(key, None, "is missing");
    }
    reader.secret(key, rule)
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
