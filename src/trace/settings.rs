//! The settings of the export of spans.

use crate::settings::{HIDDEN, Reader};

/// The settings of the export of spans, by OTLP over HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtlpConfig {
    /// The URL of the collector, without the path of a signal.
    endpoint: String,
    /// The percentage of exported traces, of those that begin here. A trace that an input names is exported if the input says
    /// that it is sampled.
    pub sample_percent: u8,
    /// The service name of the bridge in the traces.
    pub service_name: String,
}

impl OtlpConfig {
    /// The URL to which spans are sent.
    #[must_use]
    pub fn traces_url(&self) -> String {
        format!("{}/v1/traces", self.endpoint.trim_end_matches('/'))
    }

    /// The URL of the collector as it may be shown.
    #[must_use]
    pub fn shown_endpoint(&self) -> String {
        shown_endpoint(&self.endpoint)
    }
}

/// Reads the table `[otlp]`; `None` if there is none. A binary without the feature refuses the table.
pub(crate) fn read(root: &mut Reader<'_>) -> Option<OtlpConfig> {
    let given = root.has("otlp");
    if given && !cfg!(feature = "otlp") {
        let rule = "this binary was built without the feature `otlp` and exports no spans; remove the table, or build \
                    with `cargo build --release --features otlp`";
        root.problem("otlp", None, rule);
    }
    let mut otlp = root.table("otlp");
    if !given {
        return None;
    }
    if !otlp.has("endpoint") {
        otlp.problem("endpoint", None, "is missing; say where the collector is");
    }
    // A wrong URL is not shown, because it may contain a password by mistake. The path of a right one may be a key.
    let help = "The address of the collector.";
    let endpoint = otlp.secret("endpoint", help, endpoint_rule, shown_endpoint);
    let endpoint = endpoint.optional();
    let help = "The share of the traces that begin at the bridge and are exported, in percent.";
    let sample_percent = otlp.integer("sample_percent", help, 0..=100).or(100);
    let help = "The resource attribute service.name.";
    let service_name = otlp.text("service_name", help, |text| match text.trim().is_empty() {
        true => Err("must not be empty".to_owned()),
        false => Ok(text.to_owned()),
    });
    let service_name = service_name.or("activity-bridge".to_owned());
    otlp.finish();
    Some(OtlpConfig {
        endpoint: endpoint?,
        sample_percent,
        service_name,
    })
}

/// The scheme and the host of an endpoint without a problem, which has no user.
fn shown_endpoint(endpoint: &str) -> String {
    let host = endpoint.find("://").map_or(0, |scheme| scheme + 3);
    match endpoint[host..].split_once('/') {
        None | Some((_, "")) => endpoint.to_owned(),
        Some((address, _)) => format!("{}{address}/{HIDDEN}", &endpoint[..host]),
    }
}

fn endpoint_rule(text: &str) -> Result<String, String> {
    let rest = ["http://", "https://"]
        .iter()
        .find_map(|scheme| text.strip_prefix(scheme));
    let Some(rest) = rest else {
        return Err("must begin with http:// or https://".to_owned());
    };
    if rest.contains('@') {
        let rule = "must not hold credentials; headers for the collector come from OTEL_EXPORTER_OTLP_HEADERS";
        return Err(rule.to_owned());
    }
    let printable = rest.bytes().all(|b| b.is_ascii_graphic());
    if rest.is_empty() || rest.starts_with(['/', ':']) || !printable || rest.contains(['?', '#']) {
        return Err("must be an address like \"http://127.0.0.1:4318\"".to_owned());
    }
    if rest.ends_with("/v1/traces") {
        return Err("must end before /v1/traces, which the bridge adds".to_owned());
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(not(feature = "otlp"))]
    use crate::config::Config;

    #[cfg(not(feature = "otlp"))]
    #[test]
    fn a_binary_without_the_feature_refuses_the_table_and_reports_its_other_problems() {
        let text = "[otlp]\nendpoint = 1\nsample = 3\n";
        let error = text.parse::<Config>().expect_err("refused").to_string();
        for problem in [
            "otlp: this binary was built without the feature `otlp` and exports no spans; ",
            "otlp.endpoint: must be a text in quotes",
            "otlp.sample: there is no such setting; did you mean \"sample_percent\"?",
        ] {
            assert!(error.contains(problem), "no {problem:?} in {error}");
        }
    }

    #[test]
    fn an_endpoint_is_an_address_without_credentials_and_without_the_path_of_a_signal() {
        for bad in [
            "",
            "127.0.0.1:4318",
            "grpc://a:4317",
            "http://",
            "http:///v1",
            "http://:4318",
            "http://user:hunter2@a:4318",
            "http://a b:4318",
            "http://a:4318?x=1",
            "http://a:4318/v1/traces",
        ] {
            let rule = endpoint_rule(bad).expect_err(bad);
            assert!(!rule.contains("hunter2"), "{rule}");
        }
        for (good, url) in [
            ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
            ("https://otlp.example/", "https://otlp.example/v1/traces"),
            (
                "https://otlp.example/otlp",
                "https://otlp.example/otlp/v1/traces",
            ),
        ] {
            let config = OtlpConfig {
                endpoint: endpoint_rule(good).expect(good),
                sample_percent: 100,
                service_name: String::new(),
            };
            assert_eq!(config.traces_url(), url);
        }
    }

    #[test]
    fn the_path_of_an_endpoint_is_not_shown() {
        for (endpoint, shown) in [
            ("http://127.0.0.1:4318", "http://127.0.0.1:4318"),
            ("https://otlp.example/", "https://otlp.example/"),
            (
                "https://otlp.example:443/hunter2/otlp",
                "https://otlp.example:443/***",
            ),
            ("http://[::1]:4318//hunter2", "http://[::1]:4318/***"),
        ] {
            let endpoint = endpoint_rule(endpoint).expect(endpoint);
            let shown_again = endpoint_rule(shown).expect("what is shown can be read");
            assert_eq!(
                (shown_endpoint(&endpoint), &*shown_again),
                (shown.to_owned(), shown)
            );
        }
    }
}
