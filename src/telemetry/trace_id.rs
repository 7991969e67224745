//! Adds the id of the trace to each line about a task whose trace is known.

use crate::util::log_traces::{any_is_known, trace_of};
use std::fmt;
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    fmt::{
        FmtContext,
        format::{FormatEvent, FormatFields, Writer},
    },
    registry::LookupSpan,
};

/// The format of a line, and the field `trace_id` at its end.
pub(super) struct WithTraceId<F> {
    format: F,
    /// Whether a line is a JSON object.
    json: bool,
}

impl<F> WithTraceId<F> {
    pub(super) fn json(format: F) -> Self {
        Self { format, json: true }
    }

    pub(super) fn text(format: F) -> Self {
        Self {
            format,
            json: false,
        }
    }
}

impl<S, N, F> FormatEvent<S, N> for WithTraceId<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut found = TraceOfTask(None);
        if any_is_known() {
            event.record(&mut found);
        }
        let Some(trace) = found.0 else {
            return self.format.format_event(context, writer, event);
        };
        let mut line = String::new();
        self.format
            .format_event(context, Writer::new(&mut line), event)?;
        let line = line.trim_end_matches('\n');
        match line.strip_suffix('}').filter(|_| self.json) {
            Some(object) => writeln!(writer, "{object},\"trace_id\":\"{trace:032x}\"}}"),
            None => writeln!(writer, "{line} trace_id={trace:032x}"),
        }
    }
}

/// The trace of the task that an event names.
struct TraceOfTask(Option<u128>);

impl Visit for TraceOfTask {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "task" {
            self.0 = trace_of(&format!("{value:?}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{task::TaskId, util::log_traces::LogTrace};
    use parking_lot::Mutex;
    use std::{io, sync::Arc};
    use tracing_subscriber::fmt::{SubscriberBuilder, format};

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(line);
            Ok(line.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// The lines about a task of a trace, about another task, and about none.
    fn lines(json: bool, ansi: bool) -> Vec<String> {
        let written = Written::default();
        let to = written.clone();
        let builder = SubscriberBuilder::default().with_writer(move || to.clone());
        let format = format().with_target(false).with_ansi(ansi);
        let log = || {
            let (task, other) = (0x0af7_1234_u128 << 96, 0x0af7_1235_u128 << 96);
            let _trace = LogTrace::new(0x0af7_1234, u128::from_str_radix(TRACE, 16).expect("hex"));
            for task in [task, other] {
                let task = TaskId::from(task);
                tracing::warn!(route = "payments", %task, "a line {{}}");
            }
            tracing::warn!("a line");
        };
        if json {
            let format = WithTraceId::json(format.json().flatten_event(true));
            let fields = format::JsonFields::new();
            let subscriber = builder.fmt_fields(fields).event_format(format).finish();
            tracing::subscriber::with_default(subscriber, log);
        } else {
            let subscriber = builder.event_format(WithTraceId::text(format)).finish();
            tracing::subscriber::with_default(subscriber, log);
        }
        let text = String::from_utf8(written.0.lock().clone()).expect("UTF-8");
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn a_line_about_a_task_of_a_trace_has_the_trace_in_text_and_in_json() {
        let text = lines(false, false);
        assert!(
            text[0].ends_with(&format!(" task=0af71234 trace_id={TRACE}")),
            "{text:?}"
        );
        let json: Vec<serde_json::Value> = lines(true, false)
            .iter()
            .map(|line| serde_json::from_str(line).expect("an object"))
            .collect();
        assert_eq!(json[0]["trace_id"], TRACE);
        assert_eq!(json[0]["task"], "0af71234");
        for other in [1, 2] {
            assert!(!text[other].contains("trace_id"), "{text:?}");
            assert_eq!(json[other].get("trace_id"), None);
        }
        assert_eq!((text.len(), json.len()), (3, 3));
    }

    #[test]
    fn a_line_with_a_trace_is_as_colourful_as_the_others() {
        let text = lines(false, true);
        for line in &text {
            assert!(line.contains("\u{1b}[33m WARN"), "{text:?}");
        }
    }
}
