//! Where a route's tasks come from, and what follows from that for its other settings.

use super::{
    Placeholder, Pollers,
    reader::Reader,
    route::{RouteConfig, required},
};

/// Where a route's tasks come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceConfig {
    /// An SWF task list.
    Swf {
        /// The domain.
        domain: String,
        /// The task list.
        task_list: String,
    },
    /// An activity of Step Functions.
    StepFunctions {
        /// `arn:PARTITION:states:REGION:ACCOUNT:activity:NAME`.
        activity_arn: String,
        /// What may be a result.
        result_as: ResultAs,
    },
}

/// What may be a result, where the service takes JSON alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResultAs {
    /// JSON as it is; any other text as a JSON string.
    JsonOrString,
    /// JSON alone.
    Json,
}

impl SourceConfig {
    /// Whether the service can be asked for the timeouts of its tasks.
    pub(super) fn tells_timeouts(&self) -> bool {
        match self {
            Self::Swf { .. } => true,
            Self::StepFunctions { .. } => false,
        }
    }

    /// The pollers where none are configured. AWS advises 100 for an activity that is busy.
    pub(super) fn usual_pollers(&self) -> Pollers {
        match self {
            Self::Swf { .. } => Pollers { min: 2, max: 20 },
            Self::StepFunctions { .. } => Pollers { min: 2, max: 100 },
        }
    }

    /// What a routing key can be made of.
    pub(super) fn placeholders(&self) -> &'static [Placeholder] {
        match self {
            Self::Swf { .. } => &Placeholder::ALL,
            Self::StepFunctions { .. } => &[Placeholder::ActivityType],
        }
    }
}

/// Reads `[routes.swf]` or `[routes.step_functions]`. Problems are noted; what is returned is whole only if there are none.
pub(super) fn read(route: &mut Reader<'_>) -> SourceConfig {
    let given = ["swf", "step_functions"].map(|key| route.has(key));
    match given {
        [true, false] | [false, true] => {}
        [false, false] => route.problem(
            "swf",
            None,
            "is missing; add [routes.swf] with domain and task_list, or [routes.step_functions] with activity_arn",
        ),
        [true, true] => route.problem(
            "step_functions",
            None,
            "stands beside swf; a route has one source, so make it two routes",
        ),
    }
    let [_, step_functions] = given;
    let swf = read_swf(route.table("swf"), given == [true, false]);
    let activity = read_step_functions(route.table("step_functions"), given == [false, true]);
    if step_functions { activity } else { swf }
}

fn read_swf(mut table: Reader<'_>, needed: bool) -> SourceConfig {
    let mut name = |key| match needed {
        true => required(&mut table, key, swf_name_rule),
        false => table.text(key, swf_name_rule),
    };
    let (domain, task_list) = (name("domain"), name("task_list"));
    table.finish();
    SourceConfig::Swf {
        domain: domain.unwrap_or_default(),
        task_list: task_list.unwrap_or_default(),
    }
}

fn read_step_functions(mut table: Reader<'_>, needed: bool) -> SourceConfig {
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
    SourceConfig::StepFunctions {
        activity_arn: activity_arn.unwrap_or_default(),
        result_as: result_as.unwrap_or(ResultAs::JsonOrString),
    }
}

/// SWF's rules for the names of domains and task lists, from its API reference.
pub(super) fn swf_name_rule(text: &str) -> Result<String, String> {
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

/// The rules of Step Functions for ARNs and the names of activities, from its API reference.
pub(super) fn activity_arn_rule(text: &str) -> Result<String, String> {
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

/// An activity is asked for where the bridge's AWS region is, and is not found there if it is of another.
pub(super) fn refuse_other_regions(root: &Reader<'_>, region: &str, routes: &[RouteConfig]) {
    for (index, route) in routes.iter().enumerate() {
        let SourceConfig::StepFunctions { activity_arn, .. } = &route.source else {
            continue;
        };
        if let Some(other) = activity_arn.split(':').nth(3)
            && other != region
        {
            let path = format!("routes[{index}].step_functions.activity_arn");
            let rule =
                format!("is in {other}, and aws.region is {region}; a bridge serves one region");
            root.problem(&path, Some(format!("{activity_arn:?}")), rule);
        }
    }
}
