//! Reading a table of settings without stopping at the first mistake.
//!
//! Serde stops at the first thing that it dislikes. An operator wants them all at once, each with the key's
//! path, the value, the rule and the fix, so the tree that figment merges is walked here by hand.

use figment::value::{Dict, Value};
use std::{cell::RefCell, fmt, ops::RangeInclusive};

/// One thing that is wrong with the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where: `routes[0].swf.domain`.
    pub path: String,
    /// What stands there, or `None` where nothing does or where it is a secret.
    pub value: Option<String>,
    /// What ought to stand there, and how to get there.
    pub rule: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Some(value) => write!(f, "{} = {value}: {}", self.path, self.rule),
            None => write!(f, "{}: {}", self.path, self.rule),
        }
    }
}

/// All that was found wrong so far.
#[derive(Debug, Default)]
pub(super) struct Problems(RefCell<Vec<Problem>>);

impl Problems {
    /// Adds one.
    pub(super) fn add(
        &self,
        path: impl Into<String>,
        value: Option<String>,
        rule: impl Into<String>,
    ) {
        self.0.borrow_mut().push(Problem {
            path: path.into(),
            value,
            rule: rule.into(),
        });
    }

    /// All of them, in the order in which they were found.
    pub(super) fn into_inner(self) -> Vec<Problem> {
        self.0.into_inner()
    }
}

/// A table being read. Keys are taken out one by one; what is left at the end is unknown.
pub(super) struct Reader<'p> {
    path: String,
    dict: Dict,
    known: Vec<&'static str>,
    problems: &'p Problems,
}

impl<'p> Reader<'p> {
    /// A reader of the whole configuration.
    pub(super) fn root(dict: Dict, problems: &'p Problems) -> Self {
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
    pub(super) fn path_of(&self, key: &str) -> String {
        match self.path.as_str() {
            "" => key.to_owned(),
            path => format!("{path}.{key}"),
        }
    }

    fn take(&mut self, key: &'static str) -> Option<Value> {
        self.known.push(key);
        self.dict.remove(key)
    }

    /// Takes a key without a look at its value. True where it was there.
    pub(super) fn discard(&mut self, key: &'static str) -> bool {
        self.take(key).is_some()
    }

    /// Whether the key is there.
    pub(super) fn has(&self, key: &str) -> bool {
        self.dict.contains_key(key)
    }

    /// Adds a problem about a key of this table.
    pub(super) fn problem(&self, key: &str, value: Option<String>, rule: impl Into<String>) {
        self.problems.add(self.path_of(key), value, rule);
    }

    fn wrong_kind<T>(&self, key: &str, value: &Value, wanted: &str) -> Option<T> {
        self.problem(key, Some(shown(value)), format!("must be {wanted}"));
        None
    }

    /// A sub-table; an absent one reads as empty.
    pub(super) fn table(&mut self, key: &'static str) -> Self {
        let dict = match self.take(key) {
            None => Dict::new(),
            Some(Value::Dict(_, dict)) => dict,
            Some(other) => {
                // What stands here may be a whole URI with its password.
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
    pub(super) fn tables(&mut self, key: &'static str) -> Vec<Self> {
        let items = match self.take(key) {
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
    pub(super) fn text<T>(
        &mut self,
        key: &'static str,
        rule: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        match self.take(key)? {
            Value::String(_, text) => rule(&text)
                .map_err(|why| self.problem(key, Some(format!("{text:?}")), why))
                .ok(),
            other => self.wrong_kind(key, &other, "a text in quotes"),
        }
    }

    /// A text that is never shown, not even when it is wrong.
    pub(super) fn secret<T>(
        &mut self,
        key: &'static str,
        rule: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        match self.take(key)? {
            Value::String(_, text) => rule(&text).map_err(|why| self.problem(key, None, why)).ok(),
            _ => {
                self.problem(key, None, "must be a text in quotes");
                None
            }
        }
    }

    /// A list of texts that are never shown.
    pub(super) fn secrets<T>(
        &mut self,
        key: &'static str,
        rule: impl Fn(&str) -> Result<T, String>,
    ) -> Vec<T> {
        let items = match self.take(key) {
            None => return Vec::new(),
            Some(Value::Array(_, items)) => items,
            Some(_) => Vec::new(),
        };
        if items.is_empty() {
            self.problem(key, None, "must be a list of at least one text in quotes");
        }
        let read = |(index, item): (usize, &Value)| {
            let result = item.as_str().ok_or("must be a text in quotes".to_owned());
            result
                .and_then(&rule)
                .map_err(|why| self.problem(&format!("{key}[{index}]"), None, why))
                .ok()
        };
        items.iter().enumerate().filter_map(read).collect()
    }

    /// A whole number within bounds.
    pub(super) fn integer(
        &mut self,
        key: &'static str,
        bounds: RangeInclusive<u64>,
    ) -> Option<u64> {
        let value = self.take(key)?;
        let number = match &value {
            Value::Num(_, number) => number
                .to_u128()
                .or_else(|| number.to_i128().and_then(|n| u128::try_from(n).ok())),
            _ => None,
        };
        match number.and_then(|n| u64::try_from(n).ok()) {
            Some(number) if bounds.contains(&number) => Some(number),
            _ => {
                let wanted = format!("a whole number from {} to {}", bounds.start(), bounds.end());
                self.wrong_kind(key, &value, &wanted)
            }
        }
    }

    /// `true` or `false`.
    pub(super) fn flag(&mut self, key: &'static str) -> Option<bool> {
        match self.take(key)? {
            Value::Bool(_, flag) => Some(flag),
            other => self.wrong_kind(key, &other, "true or false, without quotes"),
        }
    }

    /// Reports every key that nobody took, with the one that was probably meant.
    pub(super) fn finish(self) {
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

/// A value as the operator wrote it, cut to a length that fits a line.
fn shown(value: &Value) -> String {
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
