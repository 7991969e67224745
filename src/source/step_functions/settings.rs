//! The settings of an activity of Step Functions.

use crate::settings::{Reader, required};
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

/// Reads `[routes.step_functions]` and notes the problems. The result is complete only if there are none.
pub(crate) fn read_step_functions(mut table: Reader<'_>, needed: bool) -> StepFunctionsConfig {
    let activity_arn = match needed {
        true => required(&mut table, "activity_arn", activity_arn_rule),
        false => table.text("activity_arn", activity_arn_rule),
    };
    let result_as = table.text("result_as", |text| match text {
        "json-or-string" => Ok(ResultAs::JsonOrString),
        "json" => Ok(ResultAs::Json),
        _ => Err("must be \"json-or-string\" or \"json\"".to_owned()),
    });
    table.finish();
    StepFunctionsConfig {
        activity_arn: activity_arn.unwrap_or_default(),
        result_as: result_as.unwrap_or(ResultAs::JsonOrString),
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
