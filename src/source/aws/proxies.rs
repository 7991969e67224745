//! The proxies that the environment names, as the HTTP stack reads them. It ignores a value that is no URL without a word, and connects
//! directly. So the start tells them.

use hyper::Uri;
use std::env;
use tracing::{info, warn};

/// The variables for each kind of URL. The first that is set counts.
const VARIABLES: [(&str, [&str; 2]); 3] = [
    ("http", ["HTTP_PROXY", "http_proxy"]),
    ("https", ["HTTPS_PROXY", "https_proxy"]),
    ("other", ["ALL_PROXY", "all_proxy"]),
];

/// Logs which proxies are used, without user and password.
pub(crate) fn tell() {
    for (calls, names) in VARIABLES {
        let set = names
            .iter()
            .find_map(|name| Some((name, env::var(name).ok()?)));
        let Some((name, value)) = set.filter(|(_, value)| !value.is_empty()) else {
            continue;
        };
        match place(&value) {
            Some(proxy) => info!(calls, proxy, "calls to AWS go through a proxy ({name})"),
            None => warn!(
                "{name} is not the URL of an HTTP proxy, like http://proxy.example:3128; correct it, or unset it"
            ),
        }
    }
}

/// The scheme, host and port of a proxy. `None` if the value is no URL of an HTTP proxy.
fn place(value: &str) -> Option<String> {
    let uri: Uri = value.parse().ok()?;
    let scheme = uri.scheme_str().unwrap_or("http");
    let authority = uri.authority()?.as_str();
    let (_, place) = authority.rsplit_once('@').unwrap_or(("", authority));
    matches!(scheme, "http" | "https").then(|| format!("{scheme}://{place}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_told_without_its_password() {
        for (value, told) in [
            ("http://proxy:3128", Some("http://proxy:3128")),
            ("http://me:hunter2@proxy:3128/", Some("http://proxy:3128")),
            ("https://proxy", Some("https://proxy")),
            ("me:hunter2@proxy:3128", Some("http://proxy:3128")),
            ("proxy:3128", Some("http://proxy:3128")),
            ("socks5://proxy:1080", None),
            ("http://", None),
            ("a b", None),
            ("http://proxy:3128\n", None),
        ] {
            assert_eq!(place(value).as_deref(), told, "{value}");
        }
    }
}
