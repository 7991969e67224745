//! How results, failures and names are sent to Step Functions.

use super::*;
use crate::task::OwnFailure;
use proptest::prelude::*;

fn source(result_as: ResultAs) -> StepFunctions {
    let config = aws_config::SdkConfig::builder()
        .behavior_version(aws_config::BehaviorVersion::latest())
        .build();
    let options = SfnOptions {
        activity_arn: "arn:aws:states:eu-west-1:123456789012:activity:thumbnails",
        worker_name: worker_name("thumbnails", "host", 7),
        timeouts: Timeouts::default(),
        result_as,
    };
    StepFunctions::new(&SfnClients::new(&config.into()), options)
}

#[test]
fn json_goes_as_it_is_and_other_text_as_a_json_string_or_not_at_all() {
    let (lenient, strict) = (source(ResultAs::JsonOrString), source(ResultAs::Json));
    for json in ["null", "1", " {\"a\": [1, \"é\"]} ", "\"done\""] {
        assert_eq!(lenient.result(json), Ok(Cow::Borrowed(json)));
        assert_eq!(strict.result(json), Ok(Cow::Borrowed(json)));
    }
    for (text, wrapped) in [
        ("done", "\"done\""),
        ("", "\"\""),
        ("say \"hi\"\n", "\"say \\\"hi\\\"\\n\""),
        ("{\"a\":1} trailing", "\"{\\\"a\\\":1} trailing\""),
    ] {
        assert_eq!(lenient.result(text), Ok(Cow::Owned(wrapped.to_owned())));
        let refused = strict.result(text);
        assert!(matches!(refused, Err(Unfit::WrongForm(_))), "{refused:?}");
    }
}

#[test]
fn a_result_is_measured_in_bytes_as_it_is_sent() {
    let source = source(ResultAs::JsonOrString);
    for (text, fits) in [
        // The JSON string has two quotes.
        ("x".repeat(MAX_OUTPUT - 2), true),
        ("x".repeat(MAX_OUTPUT - 1), false),
        ("é".repeat(MAX_OUTPUT / 2), false),
        // Each line feed is escaped to two bytes.
        ("\n".repeat(MAX_OUTPUT / 2), false),
        (format!("\"{}\"", "x".repeat(MAX_OUTPUT - 2)), true),
    ] {
        assert_eq!(source.result(&text).is_ok(), fits, "{} bytes", text.len());
    }
}

#[test]
fn a_failure_of_the_bridges_own_has_a_name_to_catch_it_by() {
    let source = source(ResultAs::Json);
    let fitted = |own, reason: &str, details: &str| {
        let (reason, details) = (reason.to_owned(), details.to_owned());
        source.fit(Outcome::Failed {
            own,
            reason,
            details,
        })
    };
    let failed = |error: &str, cause: &str| Outcome::Failed {
        own: None,
        reason: error.to_owned(),
        details: cause.to_owned(),
    };
    let own = Some(OwnFailure::DeadLetter);
    let name = "ActivityBridge.DeadLetter";
    assert_eq!(fitted(own, "why", ""), failed(name, "why"));
    assert_eq!(fitted(own, "why", "more"), failed(name, "why: more"));
    assert_eq!(fitted(None, "NoCard", "more"), failed("NoCard", "more"));
    let canceled = Outcome::Canceled {
        details: "stopped".to_owned(),
    };
    assert_eq!(source.fit(canceled), failed("Canceled", "stopped"));
}

#[test]
fn the_worker_name_fits_and_keeps_route_and_process() {
    assert_eq!(worker_name("payments", "pod-7", 42), "payments@pod-7.42");
    let long = worker_name(&"r".repeat(64), &"h".repeat(63), u32::MAX);
    assert_eq!(long.len(), MAX_WORKER_NAME);
    assert!(long.ends_with("h.4294967295"), "{long}");
}

proptest! {
    #[test]
    fn every_text_becomes_json_that_reads_back_as_it(text in any::<String>()) {
        let source = source(ResultAs::JsonOrString);
        let output = source.result(&text).expect("short");
        let value: serde_json::Value = serde_json::from_str(&output).expect("JSON");
        match output {
            Cow::Owned(_) => prop_assert_eq!(value, serde_json::Value::String(text.clone())),
            Cow::Borrowed(output) => prop_assert_eq!(output, text.as_str()),
        }
    }
}

#[test]
fn a_token_or_an_input_beyond_the_services_limit_is_refused() {
    let source = source(ResultAs::Json);
    let task = |token: usize, input: usize| {
        let answer = GetActivityTaskOutput::builder()
            .task_token("t".repeat(token))
            .input("i".repeat(input));
        source.task(answer.build())
    };
    assert!(task(MAX_TOKEN + 1, 0).is_err());
    let words = format!("Step Functions' inputs have at most {MAX_INPUT}");
    for (input, fits) in [(MAX_INPUT, true), (MAX_INPUT + 1, false)] {
        let task = task(MAX_TOKEN, input).expect("a token that fits");
        let refused = source.oversize(&task.expect("a task"));
        assert_eq!(refused.is_none(), fits, "{refused:?}");
        assert!(refused.is_none_or(|why| why.contains(&words)));
    }
}
