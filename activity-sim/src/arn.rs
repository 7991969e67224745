//! The ARNs of AWS Step Functions, all of one account and region.

/// The ARN of the activity of this name.
pub fn activity_arn(name: impl AsRef<str>) -> String {
    of("activity", name.as_ref())
}

/// The state machine that runs an activity has the activity's name.
pub(crate) fn state_machine(name: &str) -> String {
    of("stateMachine", name)
}

pub(crate) fn execution(state_machine: &str, name: &str) -> String {
    of("execution", &format!("{state_machine}:{name}"))
}

fn of(kind: &str, name: &str) -> String {
    format!("arn:aws:states:eu-west-1:123456789012:{kind}:{name}")
}

/// The last name that an ARN says.
pub(crate) fn name_of(arn: &str) -> &str {
    arn.rsplit(':').next().unwrap_or_default()
}

/// Whether it has the form of an activity's ARN, of whatever account and region.
pub(crate) fn is_activity(arn: &str) -> bool {
    rest_of(arn, "activity").is_some_and(is_name)
}

/// Whether it has the form of an execution's ARN, of whatever account and region.
pub(crate) fn is_execution(arn: &str) -> bool {
    let names = rest_of(arn, "execution").and_then(|rest| rest.split_once(':'));
    names.is_some_and(|(machine, name)| is_name(machine) && is_name(name))
}

/// What an ARN of this kind says after its kind.
fn rest_of<'a>(arn: &'a str, kind: &str) -> Option<&'a str> {
    let mut parts = arn.splitn(7, ':');
    let mut next = || parts.next();
    let (prefix, partition, service) = (next()?, next()?, next()?);
    let (region, account, kind_found, rest) = (next()?, next()?, next()?, next()?);
    let digits = account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
    let well_formed = prefix == "arn"
        && partition.starts_with("aws")
        && service == "states"
        && !region.is_empty()
        && digits
        && kind_found == kind;
    well_formed.then_some(rest)
}

/// The rule for the names of activities, state machines and executions, up to 80 characters of which
/// are allowed.
pub(crate) fn is_name(name: &str) -> bool {
    let forbidden = |c: char| {
        c.is_whitespace()
            || c.is_control()
            || matches!(c, '\u{fffe}' | '\u{ffff}')
            || "<>{}[]?*\"#%\\^|~`$&,;:/".contains(c)
    };
    (1..=80).contains(&name.chars().count()) && !name.contains(forbidden)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_of_arns_follow_the_services_rules() {
        for good in [
            "a",
            "Charge-Card_2",
            "über.uns",
            "a+b@c=d(e)!'",
            &"x".repeat(80),
        ] {
            assert!(is_name(good), "{good}");
        }
        let long = "x".repeat(81);
        for bad in [
            "", "a b", "a:b", "a/b", "a*", "a?", "[a]", "a\u{7}", "a\u{85}", &long,
        ] {
            assert!(!is_name(bad), "{bad}");
        }
    }

    #[test]
    fn an_arn_has_all_its_parts() {
        assert!(is_activity(&activity_arn("charge")));
        assert!(is_activity(
            "arn:aws-cn:states:cn-north-1:000000000000:activity:a"
        ));
        let execution = execution("charge", "execution-1-2");
        assert!(is_execution(&execution) && !is_activity(&execution));
        for bad in [
            "charge",
            "arn:aws:states:eu-west-1:123456789012:activity",
            "arn:aws:states:eu-west-1:123456789012:activity:",
            "arn:aws:states:eu-west-1:123456789012:activity:a b",
            "arn:aws:states:eu-west-1:123456789012:activity:a:b",
            "arn:aws:states:eu-west-1:12345678901:activity:a",
            "arn:aws:states::123456789012:activity:a",
            "arn:aws:swf:eu-west-1:123456789012:activity:a",
            "arn:aws:states:eu-west-1:123456789012:stateMachine:a",
            "ARN:aws:states:eu-west-1:123456789012:activity:a",
        ] {
            assert!(!is_activity(bad), "{bad}");
        }
        assert!(!is_execution(&state_machine("charge")));
    }
}
