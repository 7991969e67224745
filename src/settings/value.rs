//! Single values of a configuration.

use figment::value::Value;
use std::ops::RangeInclusive;

/// The value as a whole number, if it is one within the bounds.
pub(super) fn number_in(value: &Value, bounds: &RangeInclusive<u64>) -> Option<u64> {
    let Value::Num(_, number) = value else {
        return None;
    };
    let unsigned = number
        .to_u128()
        .or_else(|| number.to_i128().and_then(|n| u128::try_from(n).ok()));
    let number = u64::try_from(unsigned?).ok()?;
    bounds.contains(&number).then_some(number)
}

/// The path of a key in the table at this path; the root's is empty.
pub(super) fn path_below(table: &str, key: &str) -> String {
    match table {
        "" => key.to_owned(),
        table => format!("{table}.{key}"),
    }
}

/// Visits a value and all values in it, each with its path.
pub(super) fn walk(path: &str, value: &mut Value, visit: &mut impl FnMut(&str, &mut Value)) {
    visit(path, value);
    match value {
        Value::Dict(_, dict) => {
            for (key, value) in dict {
                walk(&path_below(path, key), value, visit);
            }
        }
        Value::Array(_, items) => {
            for (index, item) in items.iter_mut().enumerate() {
                walk(&format!("{path}[{index}]"), item, visit);
            }
        }
        _ => {}
    }
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
