//! The HTTP answers of the status page, and whose requests are answered.

use super::{page::page, shape::Status};
use axum::{
    Json,
    extract::Request,
    http::{
        HeaderMap, StatusCode,
        header::{
            CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, REFERRER_POLICY,
            X_CONTENT_TYPE_OPTIONS,
        },
        uri::Authority,
    },
    middleware::Next,
    response::{IntoResponse, Response},
};
use std::net::IpAddr;

/// Names that no stranger can own: those of this machine, of a cluster and of a private network.
const PRIVATE_ENDINGS: [&str; 4] = [".localhost", ".svc", ".cluster.local", ".internal"];

const REFUSED: &str = "refused: the name of this host in the request could be anybody's. Ask by an address, by localhost, or by a name without \
                       a dot or with the end .svc, .cluster.local or .internal. A proxy in between can send the header \"Host: localhost\".\n";

/// The status as a page.
pub(in crate::admin) fn html(status: &Status) -> Response {
    let nonce = format!("{:032x}", rand::random::<u128>());
    // The page has no parts elsewhere, so it may load none. A text that were taken for a script would not run: it has no nonce.
    let policy = format!(
        "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; img-src data:; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'"
    );
    let headers = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CONTENT_SECURITY_POLICY, policy.as_str()),
        (CACHE_CONTROL, "no-store"),
        (REFERRER_POLICY, "no-referrer"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, page(status, &nonce)).into_response()
}

/// The status as JSON.
pub(in crate::admin) fn json(status: &Status) -> Response {
    let headers = [
        (CACHE_CONTROL, "no-store"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, Json(status)).into_response()
}

/// Refuses a request for a name that a stranger may own. A page of a stranger could let its own name mean this machine, and then read
/// what is shown here (DNS rebinding). A browser always says the name.
pub(in crate::admin) async fn check_host(request: Request, next: Next) -> Response {
    match is_known(request.headers()) {
        true => next.run(request).await,
        false => (StatusCode::MISDIRECTED_REQUEST, REFUSED).into_response(),
    }
}

fn is_known(headers: &HeaderMap) -> bool {
    let Some(given) = headers.get(HOST) else {
        return true;
    };
    let Ok(authority) = Authority::try_from(given.as_bytes()) else {
        return false;
    };
    let host = authority.host().trim_end_matches('.').to_ascii_lowercase();
    let ip = host.trim_start_matches('[').trim_end_matches(']');
    ip.parse::<IpAddr>().is_ok()
        || !host.contains('.')
        || PRIVATE_ENDINGS.iter().any(|end| host.ends_with(end))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;
    use rstest::rstest;

    #[rstest]
    #[case("127.0.0.1:9464", true)]
    #[case("10.0.0.7", true)]
    #[case("[::1]:9464", true)]
    #[case("LOCALHOST:9464", true)]
    #[case("bridge:9464", true)]
    #[case("payments.localhost", true)]
    #[case("bridge.shop.svc:9464", true)]
    #[case("bridge.shop.svc.cluster.local.:9464", true)]
    #[case("ip-10-0-0-7.eu-west-1.compute.internal", true)]
    #[case("evil.example:9464", false)]
    #[case("127.0.0.1.evil.example", false)]
    #[case("localhost.evil.example", false)]
    #[case("evil.example.", false)]
    #[case("svc.example", false)]
    #[case("bad host", false)]
    #[case("", false)]
    fn only_names_that_no_stranger_can_own_are_answered(#[case] host: &str, #[case] known: bool) {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_str(host).expect("a value"));
        assert_eq!(is_known(&headers), known);
    }

    #[test]
    fn a_program_that_names_no_host_is_answered() {
        assert!(is_known(&HeaderMap::new()));
    }
}
