//! A task's input, and the two facts that the bridge reads from it: whether it is JSON, and the trace that it belongs to.

use super::traceparent::Traceparent;
use serde::{Deserialize, de::IgnoredAny};

/// An input, byte for byte, with what one parse of it found.
#[derive(Clone, Debug)]
pub struct Input {
    text: String,
    json: bool,
    traceparent: Option<Traceparent>,
}

#[derive(Deserialize)]
struct Object {
    traceparent: Option<String>,
}

impl From<String> for Input {
    /// Parses the text once. It parses a second time if the text begins like an object and does not read as one.
    fn from(text: String) -> Self {
        // The implementation that serde derives would accept an array as an object.
        let object = text.trim_start().starts_with('{');
        let object = object.then(|| serde_json::from_str::<Object>(&text).ok());
        let (json, traceparent) = match object.flatten() {
            Some(Object { traceparent }) => (true, traceparent.and_then(|text| text.parse().ok())),
            // Either the text is not an object, or its `traceparent` is not a string or is there twice.
            None => (serde_json::from_str::<IgnoredAny>(&text).is_ok(), None),
        };
        Self {
            text,
            json,
            traceparent,
        }
    }
}

impl Input {
    /// The text as it came from AWS.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether the text is valid JSON.
    #[must_use]
    pub fn is_json(&self) -> bool {
        self.json
    }

    /// The valid `traceparent` at the top level, if the text is a JSON object with exactly one.
    #[must_use]
    pub fn traceparent(&self) -> Option<Traceparent> {
        self.traceparent
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::NotATraceparent;
    use proptest::prelude::*;

    const VALID: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn found(input: &str) -> (bool, Option<String>) {
        let read = Input::from(input.to_owned());
        assert_eq!(read.text(), input, "byte for byte");
        (
            read.is_json(),
            read.traceparent().map(|found| found.to_string()),
        )
    }

    #[test]
    fn a_traceparent_at_the_top_level_of_an_object_is_found() {
        for input in [
            format!(r#"{{"traceparent": "{VALID}"}}"#),
            format!("\t\r\n {{\"n\": [1, {{\"a\": null}}], \"traceparent\":\"{VALID}\" }} \n"),
            format!(r#"{{"tracepar\u0065nt": "{VALID}"}}"#),
        ] {
            assert_eq!(found(&input), (true, Some(VALID.to_owned())), "{input}");
        }
    }

    #[test]
    fn an_invalid_traceparent_is_ignored_and_the_input_is_still_json() {
        for input in [
            format!(r#"["{VALID}"]"#),
            format!(r#""{VALID}""#),
            format!(r#"{{"inner": {{"traceparent": "{VALID}"}}}}"#),
            format!(r#"{{"Traceparent": "{VALID}"}}"#),
            format!(r#"{{"traceparent": "{VALID}", "traceparent": "{VALID}"}}"#),
            format!(r#"{{"traceparent": ["{VALID}"]}}"#),
            r#"{"traceparent": 17}"#.to_owned(),
            r#"{"traceparent": null}"#.to_owned(),
            r#"{"traceparent": "today"}"#.to_owned(),
            r#"{"traceparent": "\ud800"}"#.to_owned(),
            "{}".to_owned(),
            "17".to_owned(),
            "1e999".to_owned(),
            "null".to_owned(),
        ] {
            assert_eq!(found(&input), (true, None), "{input}");
        }
    }

    #[test]
    fn a_text_that_is_not_json_has_no_traceparent() {
        for input in [
            String::new(),
            "plain words".to_owned(),
            VALID.to_owned(),
            format!(r#"{{"traceparent": "{VALID}""#),
            format!(r#"{{"traceparent": "{VALID}"}} and more"#),
            "{".to_owned(),
        ] {
            assert_eq!(found(&input), (false, None), "{input}");
        }
    }

    fn with(version: &str, trace: &str, span: &str, flags: &str) -> String {
        format!("{version}-{trace}-{span}-{flags}")
    }

    #[test]
    fn a_traceparent_follows_the_rules_of_w3c() {
        let (trace, span) = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");
        for invalid in [
            with("ff", trace, span, "01"),
            with("00", &"0".repeat(32), span, "01"),
            with("00", trace, &"0".repeat(16), "01"),
            with("00", &trace.to_uppercase(), span, "01"),
            with("00", trace, span, "1"),
            with("00", trace, span, "+1"),
            with("0", trace, span, "001"),
            format!("{VALID}-more"),
            format!("{VALID}x"),
            format!(" {VALID}"),
            VALID.replace('-', "_"),
            "é".repeat(40),
        ] {
            assert_eq!(
                invalid.parse::<Traceparent>(),
                Err(NotATraceparent),
                "{invalid}"
            );
        }
        let unsampled = with("00", trace, span, "00");
        assert_eq!(
            unsampled.parse::<Traceparent>().expect("valid").to_string(),
            unsampled
        );
        // A later version is read as far as version 00 defines it, and written as version 00.
        let later = format!("{}-more", VALID.replacen("00", "cc", 1));
        assert_eq!(
            later.parse::<Traceparent>().expect("valid").to_string(),
            VALID
        );
    }

    proptest! {
        /// The search for a trace does not change which texts count as JSON.
        #[test]
        fn json_is_what_serde_json_takes(input in r#"[ \t]{0,2}[\[{]?("[a-t]{0,3}\\?"|traceparent|[0-9e:,. ]|true|[\]}]){0,8}"#) {
            let json = serde_json::from_str::<IgnoredAny>(&input).is_ok();
            prop_assert_eq!(Input::from(input).is_json(), json);
        }

        #[test]
        fn a_traceparent_reads_back_as_written(trace_id in 1_u128.., span_id in 1_u64.., flags in 0_u8..) {
            let written = Traceparent { trace_id, span_id, flags };
            prop_assert_eq!(written.to_string().parse(), Ok(written));
        }
    }
}
