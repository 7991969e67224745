//! Reads lists of texts.

use super::{
    reader::{Read, Reader},
    record::{Found, Kind},
    value::shown,
};
use figment::value::Value;
use serde_json::Value as Json;

impl<'p> Reader<'p> {
    /// A list of texts that are never shown where one is wrong. At least one is needed if the key is there. `shown` says what may
    /// be shown of one that has no problem.
    pub fn secrets<T>(
        &mut self,
        key: &'static str,
        help: &'static str,
        rule: impl Fn(&str) -> Result<T, String>,
        shown: impl Fn(&str) -> String,
    ) -> Found<'p, Vec<T>> {
        let found = self.remove(key);
        let given = found.is_some();
        let items = match found {
            Some(Value::Array(_, items)) => items,
            Some(_) | None => Vec::new(),
        };
        if given && items.is_empty() {
            self.problem(key, None, "must be a list of at least one text in quotes");
        }
        let read = |(index, item): (usize, &Value)| {
            let result = item.as_str().ok_or("must be a text in quotes".to_owned());
            result
                .and_then(&rule)
                .map_err(|why| self.problem(&format!("{key}[{index}]"), None, why))
                .ok()
        };
        let values: Vec<_> = items.iter().enumerate().filter_map(read).collect();
        let texts: Vec<_> = items.iter().filter_map(Value::as_str).collect();
        let all = values.len() == items.len();
        let shown: Vec<_> = texts
            .iter()
            .filter(|_| all)
            .map(|text| shown(text))
            .collect();
        let value = given.then_some(values);
        let read = Read {
            kind: Kind::Texts { min: 1 },
            help,
            given,
            redacted: given && texts != shown,
            shown: given.then(|| Json::from(shown)),
        };
        self.found(key, value, read)
    }

    /// A list of texts that may be shown. It may be empty. The rule's error completes the sentence "`path` = `value`: …".
    pub fn texts<T>(
        &mut self,
        key: &'static str,
        help: &'static str,
        rule: impl Fn(&str) -> Result<T, String>,
    ) -> Found<'p, Vec<T>> {
        let found = self.remove(key);
        let given = found.is_some();
        let items = found.and_then(|found| match found {
            Value::Array(_, items) => Some(items),
            other => self.wrong_kind(key, &other, "a list of texts in quotes"),
        });
        let read = |(index, item): (usize, &Value)| {
            let result = item.as_str().ok_or("must be a text in quotes".to_owned());
            let place = format!("{key}[{index}]");
            result
                .and_then(&rule)
                .map_err(|why| self.problem(&place, Some(shown(item)), why))
                .ok()
        };
        let values = |items: &Vec<_>| items.iter().enumerate().filter_map(read).collect();
        let texts = |items: &Vec<Value>| items.iter().filter_map(Value::as_str).collect::<Json>();
        let value = items.as_ref().map(values);
        let read = Read {
            kind: Kind::Texts { min: 0 },
            help,
            given,
            shown: items.as_ref().map(texts),
            redacted: false,
        };
        self.found(key, value, read)
    }
}
