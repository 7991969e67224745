//! The settings of a route's source: `[routes.swf]` or `[routes.step_functions]`.

use crate::{
    settings::Reader,
    source::{
        step_functions::settings::{
            StepFunctionsConfig, read_step_functions, step_functions_result_rule,
        },
        swf::settings::{SwfConfig, read_swf, swf_result_rule},
    },
    task::SourceKind,
};

/// Where a route's tasks come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceConfig {
    /// An SWF task list.
    Swf(SwfConfig),
    /// An activity of Step Functions.
    StepFunctions(StepFunctionsConfig),
}

impl SourceConfig {
    /// The service.
    #[must_use]
    pub fn kind(&self) -> SourceKind {
        match self {
            Self::Swf(_) => SourceKind::Swf,
            Self::StepFunctions(_) => SourceKind::StepFunctions,
        }
    }

    /// Whether the service can be asked for the timeouts of tasks.
    pub(crate) fn tells_timeouts(&self) -> bool {
        match self {
            Self::Swf(_) => true,
            Self::StepFunctions(_) => false,
        }
    }

    /// The rule for a result that the configuration gives to tasks.
    pub(crate) fn result_rule(&self, text: &str) -> Result<String, String> {
        match self {
            Self::Swf(_) => swf_result_rule(text),
            Self::StepFunctions(_) => step_functions_result_rule(text),
        }
    }
}

/// Reads `[routes.swf]` or `[routes.step_functions]` and notes the problems. The result is complete only if there are none.
pub(crate) fn read(route: &mut Reader<'_>) -> SourceConfig {
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
    let [has_swf, has_step_functions] = given;
    let swf = route.table("swf");
    let swf = has_swf.then(|| read_swf(swf, !has_step_functions));
    let activity = route.table("step_functions");
    let activity = has_step_functions.then(|| read_step_functions(activity, !has_swf));
    match activity {
        Some(activity) => SourceConfig::StepFunctions(activity),
        None => SourceConfig::Swf(swf.unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::{Config, ConfigError},
        route::Pollers,
        settings::Problem,
        source::{
            step_functions::{ResultAs, settings::activity_arn_rule},
            swf::Discover,
        },
    };

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
        let SourceConfig::StepFunctions(StepFunctionsConfig { result_as, .. }) = route.source
        else {
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
