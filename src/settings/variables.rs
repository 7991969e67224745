//! Variables in texts: `${NAME}`, `${NAME:-default}` and `${NAME:?why}`. What a variable holds is not read again.

use std::ffi::OsString;

/// Says what a variable holds; `None` if it is not set.
pub type Variable<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// What begins a variable.
pub(super) const BEGIN: &str = "${";

const UNCLOSED: &str = "has a ${ without the } that ends it; write $${ where no variable is meant";
const NO_NAME: &str = "has a ${ without the name of a variable after it: letters, digits and _, no digit first; write $${ where no \
                       variable is meant";

/// Puts what the variables hold in their places. The text itself is in no problem, because it may contain a password.
///
/// # Errors
///
/// The rules that it breaks, one for each variable.
pub(super) fn fill(text: &str, variable: Variable<'_>) -> Result<String, Vec<String>> {
    let mut filled = String::with_capacity(text.len());
    let mut problems = Vec::new();
    let mut rest = text;
    while let Some((before, from)) = rest.split_once(BEGIN) {
        if let Some(before) = before.strip_suffix('$') {
            filled.push_str(before);
            filled.push_str(BEGIN);
            rest = from;
            continue;
        }
        filled.push_str(before);
        let Some((inside, after)) = split_at_end(from) else {
            problems.push(UNCLOSED.to_owned());
            return Err(problems);
        };
        match value(inside, variable) {
            Ok(value) => filled.push_str(&value),
            Err(more) => problems.extend(more),
        }
        rest = after;
    }
    filled.push_str(rest);
    match problems.is_empty() {
        true => Ok(filled),
        false => Err(problems),
    }
}

/// What is before the brace that ends a variable, and what is behind it. Braces in a default come in pairs.
fn split_at_end(text: &str) -> Option<(&str, &str)> {
    let mut depth = 1_usize;
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => continue,
        }
        if depth == 0 {
            return Some((&text[..at], &text[at + 1..]));
        }
    }
    None
}

/// What stands for a variable, from what is between its braces.
fn value(inside: &str, variable: Variable<'_>) -> Result<String, Vec<String>> {
    let in_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let end = inside.find(|c| !in_name(c)).unwrap_or(inside.len());
    let (name, operator) = inside.split_at(end);
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        return Err(vec![NO_NAME.to_owned()]);
    }
    let one = |problem: String| vec![problem];
    let found = variable(name).map(OsString::into_string).transpose();
    let found = found.map_err(|_| one(format!("the variable {name} does not hold UTF-8")))?;
    let not_empty = || found.clone().filter(|text| !text.is_empty());
    if operator.is_empty() {
        let rule = || {
            format!("the variable {name} is not set; set it, or write a default: ${{{name}:-…}}")
        };
        return found.ok_or_else(|| one(rule()));
    }
    if let Some(default) = operator.strip_prefix(":-") {
        return not_empty().map_or_else(|| fill(default, variable), Ok);
    }
    if let Some(why) = operator.strip_prefix(":?") {
        let why = if why.is_empty() { "set it" } else { why };
        return not_empty().ok_or_else(|| {
            one(format!(
                "the variable {name} is not set, or is empty: {why}"
            ))
        });
    }
    Err(one(format!(
        "after the variable {name} comes }}, or :- and a default, or :? and what to say where it is not set; write $${{ where no \
         variable is meant"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{prop_assert_eq, proptest};
    use rstest::rstest;

    fn variable(name: &str) -> Option<OsString> {
        let text = match name {
            "POD" => "pod-1",
            "EMPTY" => "",
            "NESTED" => "${POD}",
            "DOLLARS" => "$${$",
            "QUOTES" => "\"\n[amqp]\nuri = \"",
            "_a1" => "lower",
            _ => return None,
        };
        Some(text.into())
    }

    #[rstest]
    #[case("payments.${POD}", "payments.pod-1")]
    #[case("${POD}${POD}/${_a1}", "pod-1pod-1/lower")]
    #[case("${EMPTY}", "")]
    #[case("a${EMPTY}b", "ab")]
    #[case("${NESTED}", "${POD}")]
    #[case("${DOLLARS}", "$${$")]
    #[case("${QUOTES}", "\"\n[amqp]\nuri = \"")]
    #[case("${POD:-x}${NONE:-x}${EMPTY:-x}", "pod-1xx")]
    #[case("${NONE:-}", "")]
    #[case("${NONE:-a b:-c:?d$e}", "a b:-c:?d$e")]
    #[case("${NONE:-{activity_type}}", "{activity_type}")]
    #[case("${NONE:-${POD}}", "pod-1")]
    #[case("${NONE:-${EMPTY:-größe}}", "größe")]
    #[case("${POD:-${NONE}}", "pod-1")]
    #[case("${POD:?why}", "pod-1")]
    #[case("$${POD}", "${POD}")]
    #[case("$${", "${")]
    #[case("$$${POD}", "$${POD}")]
    #[case("$ $$ $POD {POD} $(POD) %24{POD}", "$ $$ $POD {POD} $(POD) %24{POD}")]
    #[case("pa$$word$", "pa$$word$")]
    #[case("größe ${POD} größe", "größe pod-1 größe")]
    fn variables_are_put_in_and_nothing_else_is_changed(#[case] text: &str, #[case] filled: &str) {
        assert_eq!(fill(text, &variable), Ok(filled.to_owned()));
    }

    #[rstest]
    #[case(
        "${NONE}",
        "the variable NONE is not set; set it, or write a default: ${NONE:-…}"
    )]
    #[case(
        "${NONE:?the pod's name}",
        "the variable NONE is not set, or is empty: the pod's name"
    )]
    #[case(
        "${EMPTY:?the pod's name}",
        "the variable EMPTY is not set, or is empty: the pod's name"
    )]
    #[case("${NONE:?}", "the variable NONE is not set, or is empty: set it")]
    #[case("${EMPTY:-${NONE}}", "the variable NONE is not set; set it")]
    #[case("hunter2${POD", "has a ${ without the }")]
    #[case("hunter2${", "has a ${ without the }")]
    #[case("${NONE:-{hunter2}", "has a ${ without the }")]
    #[case("${}hunter2", "has a ${ without the name")]
    #[case("${hunter2 x}", "after the variable hunter2 comes }")]
    #[case("${{POD}}hunter2", "has a ${ without the name")]
    #[case("${ POD}hunter2", "has a ${ without the name")]
    #[case("${1POD}hunter2", "has a ${ without the name")]
    #[case("${größe}hunter2", "after the variable gr comes }")]
    #[case("${POD-x}", "after the variable POD comes }, or :- and a default")]
    #[case("${POD:=x}", "after the variable POD comes }, or :- and a default")]
    fn a_text_that_breaks_a_rule_says_which_and_nothing_of_its_own(
        #[case] text: &str,
        #[case] problem: &str,
    ) {
        let problems = fill(text, &variable).expect_err(text);
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].starts_with(problem), "{problems:?}");
        if !text.starts_with("${hunter2") {
            assert!(!problems[0].contains("hunter2"), "{problems:?}");
        }
    }

    #[test]
    fn each_variable_of_a_text_has_its_problem() {
        let problems = fill("${A}${POD}${B:?why}${C!}", &variable).expect_err("three");
        assert_eq!(problems.len(), 3, "{problems:?}");
    }

    #[test]
    fn a_variable_that_is_not_utf_8_is_named_and_not_shown() {
        use std::os::unix::ffi::OsStringExt;
        let variable = |_: &str| Some(OsString::from_vec(b"hunter2\xff".to_vec()));
        let problems = fill("${POD:-x}", &variable).expect_err("no UTF-8");
        assert_eq!(problems, ["the variable POD does not hold UTF-8"]);
    }

    proptest! {
        #[test]
        fn an_escaped_text_stands_for_itself_and_no_text_is_too_odd(text in "[${}:?A-]{0,12}|.{0,12}") {
            drop(fill(&text, &variable));
            let escaped = text.replace("${", "$${");
            prop_assert_eq!(fill(&escaped, &variable), Ok(text));
        }
    }
}
