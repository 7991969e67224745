//! Reads a table of settings and does not stop at the first mistake.
//!
//! A [`Reader`] belongs to one table. Each call takes one key out and checks its value. A problem is added to the list that
//! all readers share, and reading goes on. [`Reader::finish`] reports the keys that are left.

use super::{
    places::Places,
    problem::Problems,
    record::{Found, Kind, Record, Setting, Shown, Word},
    value::{number_in, path_below, shown},
};
use figment::value::{Dict, Value};
use serde_json::Value as Json;
use std::ops::RangeInclusive;

/// A table that is being read. Keys are taken out one by one. The keys that are left at the end are unknown.
pub struct Reader<'p> {
    path: String,
    dict: Dict,
    known: Vec<&'static str>,
    problems: &'p Problems,
    places: &'p Places,
    record: &'p Record,
}

/// What a key is, and what was read of it, but for the value.
pub(super) struct Read {
    pub(super) kind: Kind,
    pub(super) help: &'static str,
    /// Whether the key is there.
    pub(super) given: bool,
    /// The value as it may be shown.
    pub(super) shown: Option<Json>,
    /// Whether a part of it is not shown.
    pub(super) redacted: bool,
}

impl<'p> Reader<'p> {
    /// A reader of the whole configuration. `places` says where its values come from; `record` takes what is read.
    pub fn root(
        dict: Dict,
        places: &'p Places,
        problems: &'p Problems,
        record: &'p Record,
    ) -> Self {
        Self {
            path: String::new(),
            dict,
            known: Vec::new(),
            problems,
            places,
            record,
        }
    }

    fn below(&self, path: String, dict: Dict) -> Self {
        Self {
            path,
            dict,
            known: Vec::new(),
            problems: self.problems,
            places: self.places,
            record: self.record,
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

    /// Whether the key is there, and its text. A value that is no text is a problem.
    fn remove_shown_text(&mut self, key: &'static str) -> (bool, Option<String>) {
        match self.remove_text(key) {
            None => (false, None),
            Some(Ok(text)) => (true, Some(text)),
            Some(Err(other)) => (true, self.wrong_kind(key, &other, "a text in quotes")),
        }
    }

    fn wrong_text(&self, key: &str, text: Option<&str>, rule: String) {
        self.problem(key, text.map(|text| format!("{text:?}")), rule);
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

    /// Records what was read of a key. `value` is `None` if there is none, or if it has a problem.
    pub(super) fn found<T>(&self, key: &str, value: Option<T>, read: Read) -> Found<'p, T> {
        Found {
            value,
            given: read.given,
            number: self.record_read(key, read),
            record: self.record,
            problems: self.problems,
        }
    }

    /// Records the setting and returns its number. The type of the value does not matter here.
    fn record_read(&self, key: &str, read: Read) -> usize {
        let path = self.path_of(key);
        let place = read.given.then(|| self.places.place(&path));
        self.record.add(Setting {
            path,
            kind: read.kind,
            help: read.help,
            required: false,
            value: read.shown,
            redacted: read.redacted,
            place,
            computed: false,
        })
    }

    /// Notes the default of a key of this table that was read, where the default goes by other settings.
    pub fn compute(&self, key: &str, default: &impl Shown) {
        self.record.compute(&self.path_of(key), default.shown());
    }

    /// A text that satisfies a rule. The rule's error completes the sentence "`path` = `value`: …".
    pub fn text<T>(
        &mut self,
        key: &'static str,
        help: &'static str,
        rule: impl FnOnce(&str) -> Result<T, String>,
    ) -> Found<'p, T> {
        self.text_of(key, help, Kind::Text, rule)
    }

    fn text_of<T>(
        &mut self,
        key: &'static str,
        help: &'static str,
        kind: Kind,
        rule: impl FnOnce(&str) -> Result<T, String>,
    ) -> Found<'p, T> {
        let (given, text) = self.remove_shown_text(key);
        let checked = text.as_deref().map(rule).transpose();
        let value = checked.unwrap_or_else(|why| {
            self.wrong_text(key, text.as_deref(), why);
            None
        });
        let read = Read {
            kind,
            help,
            given,
            shown: text.map(Json::from),
            redacted: false,
        };
        self.found(key, value, read)
    }

    /// A text that is never shown where it is wrong. `shown` says what may be shown of one that has no problem.
    pub fn secret<T>(
        &mut self,
        key: &'static str,
        help: &'static str,
        rule: impl FnOnce(&str) -> Result<T, String>,
        shown: impl FnOnce(&str) -> String,
    ) -> Found<'p, T> {
        let found = self.remove_text(key);
        let given = found.is_some();
        let value = match &found {
            None => None,
            Some(Ok(text)) => rule(text).map_err(|why| self.problem(key, None, why)).ok(),
            Some(Err(_)) => {
                self.problem(key, None, "must be a text in quotes");
                None
            }
        };
        let text = found.and_then(Result::ok).filter(|_| value.is_some());
        let shown = text.as_deref().map(shown);
        let read = Read {
            kind: Kind::Text,
            help,
            given,
            redacted: text != shown,
            shown: shown.map(Json::from),
        };
        self.found(key, value, read)
    }

    /// One of a few words.
    pub fn word<W: Word>(&mut self, key: &'static str, help: &'static str) -> Found<'p, W> {
        let words: Vec<_> = W::WORDS.iter().map(|(word, _)| *word).collect();
        let kind = Kind::Word(words.clone());
        let rule = |text: &str| W::read(text).ok_or_else(|| one_of(&words));
        let found = self.text_of(key, help, kind, rule);
        if let Some(value) = found.value {
            let change = |setting: &mut Setting| setting.value = Some(value.shown());
            self.record.change(found.number, change);
        }
        found
    }

    /// A whole number within bounds, which fit the type.
    pub fn integer<N: TryFrom<u64>>(
        &mut self,
        key: &'static str,
        help: &'static str,
        bounds: RangeInclusive<u64>,
    ) -> Found<'p, N> {
        let found = self.remove_scalar(key);
        let wanted = || format!("a whole number from {} to {}", bounds.start(), bounds.end());
        let number = found.as_ref().and_then(|value| {
            number_in(value, &bounds).or_else(|| self.wrong_kind(key, value, &wanted()))
        });
        let value = number.and_then(|number| N::try_from(number).ok());
        let read = Read {
            kind: Kind::Integer {
                min: *bounds.start(),
                max: *bounds.end(),
                word: None,
            },
            help,
            given: found.is_some(),
            shown: number.map(Json::from),
            redacted: false,
        };
        self.found(key, value, read)
    }

    /// A whole number within bounds, or a word. `meaning` is what the word means, and `number` what a number does.
    pub fn integer_or<T>(
        &mut self,
        key: &'static str,
        help: &'static str,
        bounds: RangeInclusive<u64>,
        (word, meaning, number): (&'static str, T, impl FnOnce(u64) -> T),
    ) -> Found<'p, T> {
        let found = self.remove_scalar(key);
        let (min, max) = (*bounds.start(), *bounds.end());
        let wanted = || format!("{word:?}, or a whole number from {min} to {max}");
        let (value, shown) = match &found {
            None => (None, None),
            Some(value) if value.as_str() == Some(word) => (Some(meaning), Some(Json::from(word))),
            Some(value) => match number_in(value, &bounds) {
                Some(found) => (Some(number(found)), Some(Json::from(found))),
                None => (self.wrong_kind(key, value, &wanted()), None),
            },
        };
        let read = Read {
            kind: Kind::Integer {
                min,
                max,
                word: Some(word),
            },
            help,
            given: found.is_some(),
            shown,
            redacted: false,
        };
        self.found(key, value, read)
    }

    /// `true` or `false`.
    pub fn flag(&mut self, key: &'static str, help: &'static str) -> Found<'p, bool> {
        let found = self.remove_scalar(key);
        let value = found.as_ref().and_then(|value| match value {
            Value::Bool(_, flag) => Some(*flag),
            other => self.wrong_kind(key, other, "true or false, without quotes"),
        });
        let read = Read {
            kind: Kind::Flag,
            help,
            given: found.is_some(),
            shown: value.map(Json::from),
            redacted: false,
        };
        self.found(key, value, read)
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

/// The rule for one of a few words.
fn one_of(words: &[&str]) -> String {
    let quoted: Vec<_> = words.iter().map(|word| format!("{word:?}")).collect();
    match quoted.split_last() {
        Some((last, [])) => format!("must be {last}"),
        Some((last, others)) => format!("must be {} or {last}", others.join(", ")),
        None => String::new(),
    }
}
