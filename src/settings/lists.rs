//! Reads lists of texts.

use super::{reader::Reader, value::shown};
use figment::value::Value;

impl Reader<'_> {
    /// A list of texts that are never shown. At least one is needed if the key is there.
    pub fn secrets<T>(
        &mut self,
        key: &'static str,
        rule: impl Fn(&str) -> Result<T, String>,
    ) -> Vec<T> {
        let items = match self.remove(key) {
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

    /// A list of texts that may be shown. It may be empty. The rule's error completes the sentence "`path` = `value`: …".
    pub fn texts<T>(
        &mut self,
        key: &'static str,
        rule: impl Fn(&str) -> Result<T, String>,
    ) -> Option<Vec<T>> {
        let items = match self.remove(key)? {
            Value::Array(_, items) => items,
            other => return self.wrong_kind(key, &other, "a list of texts in quotes"),
        };
        let read = |(index, item): (usize, &Value)| {
            let result = item.as_str().ok_or("must be a text in quotes".to_owned());
            let place = format!("{key}[{index}]");
            result
                .and_then(&rule)
                .map_err(|why| self.problem(&place, Some(shown(item)), why))
                .ok()
        };
        Some(items.iter().enumerate().filter_map(read).collect())
    }
}
