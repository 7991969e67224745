//! The policies in `deploy/iam/` allow the calls that the bridge makes, and no others.

use crate::{blocks, root, text_of};
use serde_json::Value;
use std::{collections::BTreeSet, fs, path::Path};

const SWF: &str = "deploy/iam/swf.json";
const STEP_FUNCTIONS: &str = "deploy/iam/step-functions.json";
const KMS: &str = "deploy/iam/step-functions-kms.json";

/// The actions that a policy allows.
fn allowed(policy: &str) -> BTreeSet<String> {
    let policy: Value = serde_json::from_str(&text_of(policy)).expect("JSON");
    let mut actions = BTreeSet::new();
    for statement in policy["Statement"].as_array().expect("statements") {
        assert_eq!(statement["Effect"], "Allow");
        match &statement["Action"] {
            Value::String(action) => drop(actions.insert(action.clone())),
            several => {
                let several = several.as_array().expect("one or several");
                let names = several.iter().map(|action| action.as_str().expect("text"));
                actions.extend(names.map(str::to_owned));
            }
        }
    }
    actions
}

/// The code of a folder below `src/source`, without comments, unit tests and white space.
fn code(service: &str) -> String {
    let mut code = String::new();
    for entry in fs::read_dir(root().join("src/source").join(service)).expect("a folder") {
        let path = entry.expect("readable").path();
        if path.extension().is_none_or(|found| found != "rs") {
            continue;
        }
        let text = text_of(path);
        let shipped = text.split("#[cfg(test)]").next().unwrap_or_default();
        let lines = shipped
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"));
        let written = lines.flat_map(str::chars);
        code.extend(written.filter(|character| !character.is_whitespace()));
    }
    code
}

/// The calls to AWS in a piece of code, as the SDK's functions are called. Each begins at a client.
fn calls(code: &str) -> Vec<String> {
    let clients = [".poll.", ".respond.", ".client."];
    let after = clients.iter().flat_map(|client| code.split(client).skip(1));
    let name = |rest: &str| Some(rest.split_once("()")?.0.to_owned());
    let is_name = |name: &String| name.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    after.filter_map(name).filter(is_name).collect()
}

/// `poll_for_activity_task` of SWF is the action `swf:PollForActivityTask`.
fn action(prefix: &str, call: &str) -> String {
    let words = call.split('_').map(|word| {
        let (first, rest) = word.split_at(1);
        format!("{}{rest}", first.to_uppercase())
    });
    format!("{prefix}:{}", words.collect::<String>())
}

/// Nobody who has these permissions can take tasks of another list or activity.
#[test]
fn the_policies_allow_polls_of_the_named_task_lists_and_activities_only() {
    let polls = |policy: &str, action: &str| {
        let policy: Value = serde_json::from_str(&text_of(policy)).expect("JSON");
        let statements = policy["Statement"].as_array().expect("statements");
        let of_polls = |statement: &&Value| statement["Action"].to_string().contains(action);
        let found: Vec<_> = statements.iter().filter(of_polls).cloned().collect();
        assert_eq!(found.len(), 1, "{found:?}");
        found[0].clone()
    };
    let swf = polls(SWF, "swf:PollForActivityTask");
    assert_eq!(swf["Action"], "swf:PollForActivityTask");
    let lists = &swf["Condition"]["StringEquals"]["swf:taskList.name"];
    assert!(lists.as_array().is_some_and(|lists| !lists.is_empty()));
    let activities = polls(STEP_FUNCTIONS, "states:GetActivityTask");
    let arns = activities["Resource"].to_string();
    assert!(arns.contains(":activity:") && !arns.contains('*'), "{arns}");
}

#[test]
fn the_policies_allow_the_calls_of_the_bridge_and_no_others() {
    for (service, prefix, policy) in [
        ("swf", "swf", SWF),
        ("step_functions", "states", STEP_FUNCTIONS),
    ] {
        let code = code(service);
        let calls = calls(&code);
        // A call that is made in another way would not be found above.
        assert_eq!(calls.len(), code.matches(".send()").count(), "{calls:?}");
        let made: BTreeSet<_> = calls.iter().map(|call| action(prefix, call)).collect();
        assert_eq!(allowed(policy), made, "{policy}");
    }
    assert_eq!(allowed(KMS), BTreeSet::from(["kms:Decrypt".to_owned()]));
}

#[test]
fn the_calls_are_found_in_code() {
    let code = "self.clients.respond.respond_activity_task_failed();self.client.describe_activity().name(a).send()client.poll.0.max(1)";
    let found = calls(code);
    assert_eq!(
        found,
        ["respond_activity_task_failed", "describe_activity"],
        "{found:?}"
    );
    assert_eq!(
        action("states", "describe_activity"),
        "states:DescribeActivity"
    );
}

/// Whether a path below `src` is in one of the two folders that call AWS.
fn calls_aws(path: &Path) -> bool {
    let folders = ["src/source/swf", "src/source/step_functions"];
    folders
        .iter()
        .any(|folder| path.starts_with(root().join(folder)))
}

#[test]
fn nothing_else_calls_aws() {
    let mut folders = vec![root().join("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("readable").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|found| found == "rs") && !calls_aws(&path) {
                let text = text_of(&path);
                let shipped = text.split("#[cfg(test)]").next().unwrap_or_default();
                assert!(!shipped.contains(".send()"), "{}", path.display());
            }
        }
    }
}

#[test]
fn the_role_of_ecs_allows_the_same() {
    let text = text_of("deploy/ecs/service.yaml");
    let words = text.split(|c: char| c.is_whitespace());
    let actions = words.filter(|word| word.starts_with("swf:") && !word.ends_with(':'));
    let actions: BTreeSet<_> = actions.map(str::to_owned).collect();
    assert_eq!(actions, allowed(SWF));
}

#[test]
fn the_roles_of_pods_trust_the_cluster_or_its_agent() {
    let document = text_of("docs/kubernetes.md");
    for (policy, principal, actions) in [
        (
            "deploy/iam/trust-irsa.json",
            "Federated",
            &["sts:AssumeRoleWithWebIdentity"][..],
        ),
        (
            "deploy/iam/trust-pod-identity.json",
            "Service",
            &["sts:AssumeRole", "sts:TagSession"][..],
        ),
    ] {
        let expected: BTreeSet<_> = actions.iter().map(|action| (*action).to_owned()).collect();
        assert_eq!(allowed(policy), expected, "{policy}");
        let text: Value = serde_json::from_str(&text_of(policy)).expect("JSON");
        let trusted = &text["Statement"][0]["Principal"][principal];
        assert!(trusted.is_string(), "{policy}");
        assert!(document.contains(&format!("](../{policy})")), "{policy}");
    }
}

#[test]
fn the_policies_in_the_documents_are_the_files() {
    let text = text_of("docs/operations.md");
    let shown = blocks(&text, "json");
    for policy in [SWF, STEP_FUNCTIONS, KMS] {
        assert!(shown.contains(&text_of(policy)), "{policy}");
        assert!(text.contains(&format!("](../{policy})")), "{policy}");
    }
}
