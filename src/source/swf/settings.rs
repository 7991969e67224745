//! The settings of an SWF task list.

use crate::settings::Reader;

/// The settings of an SWF task list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SwfConfig {
    /// The name of the domain.
    pub domain: String,
    /// The name of the task list.
    pub task_list: String,
}

/// Which timeouts are asked of AWS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Discover {
    /// None.
    Off,
    /// The default timeouts of each activity type.
    Types,
    /// The default timeouts of each activity type, and the timeouts that each task was scheduled with.
    Overrides,
}

/// Reads `[routes.swf]` and notes the problems. The result is complete only if there are none.
pub(crate) fn read_swf(mut table: Reader<'_>, needed: bool) -> SwfConfig {
    let mut name = |key, help| {
        let name = table.text(key, help, swf_name_rule);
        match needed {
            true => name.required(),
            false => name.optional(),
        }
    };
    let domain = name("domain", "The SWF domain.");
    let task_list = name("task_list", "The SWF task list.");
    table.finish();
    SwfConfig {
        domain: domain.unwrap_or_default(),
        task_list: task_list.unwrap_or_default(),
    }
}

/// Maximum length of a result, in characters.
pub(super) const MAX_RESULT: usize = 32_768;

/// SWF's rule for a result.
pub(crate) fn swf_result_rule(text: &str) -> Result<String, String> {
    match text.chars().count() {
        length if length > MAX_RESULT => Err(format!(
            "must be at most {MAX_RESULT} characters long; this has {length}"
        )),
        _ => Ok(text.to_owned()),
    }
}

/// SWF's rules for the names of domains and task lists, from SWF's API reference.
pub(crate) fn swf_name_rule(text: &str) -> Result<String, String> {
    let length = text.chars().count();
    if !(1..=256).contains(&length) {
        return Err(format!(
            "must be 1 to 256 characters long; this has {length}"
        ));
    }
    if text.trim() != text {
        return Err("must not begin or end with white space".to_owned());
    }
    let forbidden =
        |c: char| ":/|".contains(c) || matches!(c, '\u{0}'..='\u{1f}' | '\u{7f}'..='\u{9f}');
    if let Some(bad) = text.chars().find(|c| forbidden(*c)) {
        return Err(format!("must not contain {bad:?}"));
    }
    if text == "arn" {
        return Err("must not be \"arn\", which SWF refuses".to_owned());
    }
    Ok(text.to_owned())
}
