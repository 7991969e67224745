//! The settings of an activity of Step Functions.

use crate::settings::{Reader, Word};
use serde::de::IgnoredAny;

/// The settings of an activity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepFunctionsConfig {
    /// The ARN of the activity, `arn:PARTITION:states:REGION:ACCOUNT:activity:NAME`.
    pub activity_arn: String,
    /// Which bodies of replies are accepted as results.
    pub result_as: ResultAs,
}

/// Which bodies of replies are accepted as results. Step Functions itself accepts only JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResultAs {
    /// Any text. JSON is sent as it is; any other text becomes a JSON string.
    JsonOrString,
    /// Only JSON.
    Json,
}

impl Word for ResultAs {
    const WORDS: &'static [(&'static str, Self)] =
        &[("json-or-string", Self::JsonOrString), ("json", Self::Json)];
}

/// Reads `[routes.step_functions]` and notes the problems. The result is complete only if there are none.
pub(crate) fn read_step_functions(mut table: Reader<'_>, needed: bool) -> StepFunctionsConfig {
    let activity_arn = table.text(
        "activity_arn",
        "The Step Functions activity.",
        activity_arn_rule,
    );
    let activity_arn = match needed {
        true => activity_arn.required(),
        false => activity_arn.optional(),
    };
    let help = "What becomes of a result that is not JSON. json-or-string: the bridge sends it as a JSON string. json: the bridge parks the \
                reply and fails the task.";
    let result_as = table.word("result_as", help).or(ResultAs::JsonOrString);
    table.finish();
    StepFunctionsConfig {
        activity_arn: activity_arn.unwrap_or_default(),
        result_as,
    }
}

/// Maximum length of a result, in bytes of UTF-8.
pub(super) const MAX_OUTPUT: usize = 262_144;

/// The rule of Step Functions for a result.
pub(crate) fn step_functions_result_rule(text: &str) -> Result<String, String> {
    if text.len() > MAX_OUTPUT {
        let length = text.len();
        return Err(format!(
            "must be at most {MAX_OUTPUT} bytes long; this has {length}"
        ));
    }
    match serde_json::from_str::<IgnoredAny>(text) {
        Ok(IgnoredAny) => Ok(text.to_owned()),
        Err(error) => Err(format!(
            "must be JSON, because Step Functions takes nothing else ({error}); a text is written '\"text\"'"
        )),
    }
}

/// The rules of Step Functions for the ARNs and names of activities, from its API reference.
pub(crate) fn activity_arn_rule(text: &str) -> Result<String, String> {
    const FORM: &str = "arn:aws:states:REGION:ACCOUNT:activity:NAME";
    let length = text.chars().count();
    if length > 256 {
        return Err(format!(
            "must be at most 256 characters long; this has {length}"
        ));
    }
    let parts: Vec<_> = text.split(':').collect();
    let ["arn", partition, "states", region, account, kind, name] = parts[..] else {
        return Err(format!("must be an ARN of the form {FORM}"));
    };
    if kind != "activity" {
        return Err(format!(
            "must be the ARN of an activity, {FORM}; this is of a {kind}"
        ));
    }
    let account_fits = account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit());
    if !partition.starts_with("aws") || region.is_empty() || !account_fits {
        return Err(format!(
            "must have a partition, a region and an account of 12 digits: {FORM}"
        ));
    }
    let forbidden =
        |c: char| c.is_whitespace() || c.is_control() || "<>{}[]?*\"#%\\^|~`$&,;/".contains(c);
    if let Some(bad) = name.chars().find(|c| forbidden(*c)) {
        return Err(format!("must not have {bad:?} in the activity's name"));
    }
    if !(1..=80).contains(&name.chars().count()) {
        return Err("must have a name of 1 to 80 characters at its end".to_owned());
    }
    Ok(text.to_owned())
}
