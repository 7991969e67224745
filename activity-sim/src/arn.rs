//! The ARNs of AWS Step Functions. All are of one account and region.

/// The ARN of the activity of this name.
pub fn activity_arn(name: impl AsRef<str>) -> String {
    of("activity", name.as_ref())
}

/// The ARN of an execution. The state machine that runs an activity has the activity's name.
pub(crate) fn execution_arn(activity: &str, name: &str) -> String {
    of("execution", &format!("{activity}:{name}"))
}

fn of(kind: &str, name: &str) -> String {
    format!("arn:aws:states:eu-west-1:123456789012:{kind}:{name}")
}

/// Whether the text has the form of an activity's ARN, of any account and region.
pub(crate) fn is_activity(arn: &str) -> bool {
    activity_name(arn).is_some_and(is_name)
}

/// The name in an activity's ARN.
fn activity_name(arn: &str) -> Option<&str> {
    let mut parts = arn.splitn(7, ':');
    let mut next = || parts.next();
    let (prefix, partition, service) = (next()?, next()?, next()?);
    let (region, account, kind, name) = (next()?, next()?, next()?, next()?);
    let digits = account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
    let well_formed = prefix == "arn"
        && partition.starts_with("aws")
        && service == "states"
        && !region.is_empty()
        && digits
        && kind == "activity";
    well_formed.then_some(name)
}

/// Whether the text is a name for an activity or an execution: 1 to 80 allowed characters.
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
        assert!(!is_activity(&execution_arn("charge", "workflow-1-2")));
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
    }
}
