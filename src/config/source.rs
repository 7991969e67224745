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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, ConfigError, Discover, Problem};

    fn problems(text: &str) -> Vec<String> {
        match text.parse::<Config>() {
            Err(ConfigError::Invalid(problems)) => {
                problems.iter().map(Problem::to_string).collect()
            }
            Err(other) => panic!("unreadable: {other}"),
            Ok(_) => Vec::new(),
        }
    }

    fn activity(source: &str, rest: &str) -> String {
        format!(
            "{rest}\n[amqp]\nuri = \"amqp://b\"\n[[routes]]\nname = \"r\"\nqueue = \"r\"\n{source}\n"
        )
    }

    const ARN: &str =
        "activity_arn = \"arn:aws:states:eu-west-1:123456789012:activity:thumbnails\"";

    #[test]
    fn a_step_functions_route_has_defaults_of_its_own() {
        let text = activity(&format!("[routes.step_functions]\n{ARN}"), "");
        let config: Config = text.parse().expect("valid");
        let route = &config.routes[0];
        assert_eq!(route.pollers, Pollers { min: 2, max: 100 });
        assert_eq!(route.heartbeat.discover, Discover::Off);
        let SourceConfig::StepFunctions { result_as, .. } = route.source else {
            panic!("{:?}", route.source);
        };
        assert_eq!(result_as, ResultAs::JsonOrString);
        let few = activity(
            &format!("max_in_flight = 30\n[routes.step_functions]\n{ARN}"),
            "",
        );
        let config: Config = few.parse().expect("valid");
        assert_eq!(config.routes[0].pollers, Pollers { min: 2, max: 30 });
    }

    #[test]
    fn a_route_has_one_source_whose_settings_fit_it() {
        let both = format!(
            "[routes.swf]\ndomain = \"d\"\ntask_list = \"l\"\n[routes.step_functions]\n{ARN}"
        );
        let step_functions = |more: &str| format!("{more}\n[routes.step_functions]\n{ARN}");
        for (source, rest, rule) in [
            (
                String::new(),
                "",
                "routes[0].swf: is missing; add [routes.swf]",
            ),
            (both, "", "routes[0].step_functions: stands beside swf"),
            (
                "[routes.step_functions]".to_owned(),
                "",
                "routes[0].step_functions.activity_arn: is missing",
            ),
            (
                format!("[routes.step_functions]\n{ARN}\nresult_as = \"text\""),
                "",
                "routes[0].step_functions.result_as = \"text\": must be \"json-or-string\"",
            ),
            (
                step_functions("heartbeat = { discover = true }"),
                "",
                "routes[0].heartbeat.discover = true: Step Functions tells nobody its timeouts",
            ),
            (
                step_functions("heartbeat = { discover_overrides = true }"),
                "",
                "routes[0].heartbeat.discover_overrides = true: Step Functions tells",
            ),
            (
                step_functions("exchange = \"e\"\nrouting_key = \"{activity_type}.{workflow_id}\""),
                "",
                "routes[0].routing_key = {workflow_id}: is not told of tasks from this source; known: activity_type",
            ),
            (
                step_functions(""),
                "aws = { region = \"us-east-1\" }",
                "activity:thumbnails\": is in eu-west-1, and aws.region is us-east-1",
            ),
        ] {
            let text = activity(&source, rest);
            let found = problems(&text);
            assert!(
                matches!(&found[..], [problem] if problem.contains(rule)),
                "{text}\n{found:#?}\nexpected {rule}"
            );
        }
    }

    #[test]
    fn an_activity_arn_follows_the_rules_of_step_functions() {
        let long = format!(
            "arn:aws:states:eu-west-1:123456789012:activity:{}",
            "n".repeat(81)
        );
        for bad in [
            "",
            "thumbnails",
            "arn:aws:swf:eu-west-1:123456789012:activity:n",
            "arn:aws:states:eu-west-1:123456789012:stateMachine:n",
            "arn:aws:states:eu-west-1:123456789012:activity:n:1",
            "arn:aws:states::123456789012:activity:n",
            "arn:aws:states:eu-west-1:12345678901:activity:n",
            "arn:aws:states:eu-west-1:123456789012:activity:a b",
            "arn:aws:states:eu-west-1:123456789012:activity:a*",
            "arn:aws:states:eu-west-1:123456789012:activity:",
            &long,
        ] {
            assert!(activity_arn_rule(bad).is_err(), "{bad:?}");
        }
        for good in [
            "arn:aws:states:eu-west-1:123456789012:activity:thumbnails",
            "arn:aws-cn:states:cn-north-1:123456789012:activity:a-b_c.1",
        ] {
            assert!(activity_arn_rule(good).is_ok(), "{good:?}");
        }
    }
}
