//! Routing keys with placeholders. A template is parsed once, with the configuration, and rendered for each task.

/// A text with placeholders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Value(Placeholder),
}

/// A placeholder: a value that differs between tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placeholder {
    /// The name of the activity type, or of the activity.
    ActivityType,
    /// The activity type's version.
    ActivityVersion,
    /// The workflow id.
    WorkflowId,
    /// The task list that the route polls.
    TaskList,
}

impl Placeholder {
    /// All placeholders.
    pub(crate) const ALL: [Self; 4] = [
        Self::ActivityType,
        Self::ActivityVersion,
        Self::WorkflowId,
        Self::TaskList,
    ];

    /// The placeholder's name in a template.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::ActivityType => "activity_type",
            Self::ActivityVersion => "activity_version",
            Self::WorkflowId => "workflow_id",
            Self::TaskList => "task_list",
        }
    }

    /// The header of a task's message that holds the value; `None` if the property `type` holds it.
    #[must_use]
    pub fn header(self) -> Option<&'static str> {
        match self {
            Self::ActivityType => None,
            Self::ActivityVersion => Some("activity-version"),
            Self::WorkflowId => Some("workflow-id"),
            Self::TaskList => Some("task-list"),
        }
    }
}

impl Template {
    /// Reads a template. The error completes the sentence "`key` = `value`: …".
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            literal.push_str(&rest[..at]);
            let brace = &rest[at..=at];
            let after = &rest[at + 1..];
            if after.starts_with(brace) {
                literal.push_str(brace);
                rest = &after[1..];
                continue;
            }
            let name = match (brace, after.split_once(['{', '}'])) {
                ("{", Some((name, _))) if after[name.len()..].starts_with('}') => name,
                _ => return Err(format!("has a {brace:?} without its match; {}", advice())),
            };
            let known = Placeholder::ALL
                .into_iter()
                .find(|known| known.name() == name);
            let known = known.ok_or_else(|| format!("{{{name}}} is not known; {}", advice()))?;
            if !literal.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut literal)));
            }
            parts.push(Part::Value(known));
            rest = &after[name.len() + 1..];
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            parts.push(Part::Text(literal));
        }
        Ok(Self(parts))
    }

    /// The placeholders of this template, in their order.
    pub(crate) fn placeholders(&self) -> impl Iterator<Item = Placeholder> {
        self.0.iter().filter_map(|part| match part {
            Part::Value(placeholder) => Some(*placeholder),
            Part::Text(_) => None,
        })
    }

    /// The text with the values in place of the placeholders.
    pub fn render<'v>(&self, value: impl Fn(Placeholder) -> &'v str) -> String {
        let text = |part| match part {
            &Part::Value(placeholder) => value(placeholder),
            Part::Text(text) => text,
        };
        let mut rendered = String::with_capacity(self.0.iter().map(|part| text(part).len()).sum());
        self.0.iter().for_each(|part| rendered.push_str(text(part)));
        rendered
    }
}

fn advice() -> String {
    let known = Placeholder::ALL.map(|known| format!("{{{}}}", known.name()));
    let known = known.join(", ");
    format!("the placeholders are {known}; a brace itself is written twice")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rendered(text: &str) -> Result<String, String> {
        let template = Template::parse(text)?;
        Ok(template.render(|placeholder| match placeholder {
            Placeholder::ActivityType => "charge",
            Placeholder::ActivityVersion => "1.0",
            Placeholder::WorkflowId => "{activity_type}",
            Placeholder::TaskList => "payments",
        }))
    }

    #[test]
    fn placeholders_are_replaced_once_and_doubled_braces_stand_for_themselves() {
        for (text, expected) in [
            ("", ""),
            ("tasks", "tasks"),
            (
                "{task_list}.{activity_type}.v{activity_version}",
                "payments.charge.v1.0",
            ),
            ("{workflow_id}", "{activity_type}"),
            ("{{{task_list}}}", "{payments}"),
            ("{{task_list}}", "{task_list}"),
            ("größe.{task_list}{task_list}", "größe.paymentspayments"),
        ] {
            assert_eq!(rendered(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn an_unknown_or_unclosed_placeholder_is_refused_and_the_error_lists_the_known_ones() {
        for (text, why) in [
            ("{domain}", "{domain} is not known"),
            ("a.{}", "{} is not known"),
            ("{Task_List}", "{Task_List} is not known"),
            ("{task_list", "\"{\" without its match"),
            ("task_list}", "\"}\" without its match"),
            ("{task{list}", "\"{\" without its match"),
            ("{task_list}}", "\"}\" without its match"),
        ] {
            let error = rendered(text).expect_err(text);
            assert!(error.contains(why), "{text}: {error}");
            let known = "{activity_type}, {activity_version}, {workflow_id}, {task_list}";
            assert!(error.contains(known), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn a_text_with_its_braces_doubled_stands_for_itself(text in "[a-z{}ö.]{0,40}") {
            let doubled = text.replace('{', "{{").replace('}', "}}");
            prop_assert_eq!(rendered(&doubled), Ok(text));
        }
    }
}
