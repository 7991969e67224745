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

/// A variable that names a proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Setting {
    /// The kind of URL that it is for.
    pub(crate) calls: &'static str,
    /// The name of the variable.
    name: &'static str,
    /// The proxy, without user and password; `None` if the value is no URL of an HTTP proxy.
    place: Option<String>,
}

impl Setting {
    /// What it means for calls to AWS.
    ///
    /// # Errors
    ///
    /// What is wrong with the value, without a part of it.
    pub(crate) fn explained(&self) -> Result<String, String> {
        let name = self.name;
        match &self.place {
            Some(proxy) => Ok(format!("{proxy} ({name}), but for the hosts of NO_PROXY")),
            None => Err(unusable(name)),
        }
    }
}

fn unusable(name: &str) -> String {
    format!(
        "{name} is not the URL of an HTTP proxy, like http://proxy.example:3128; correct it, or unset it"
    )
}

/// The proxies that the environment names.
pub(crate) fn configured() -> Vec<Setting> {
    let mut settings = Vec::new();
    for (calls, names) in VARIABLES {
        let set = names
            .iter()
            .find_map(|name| Some((*name, env::var(name).ok()?)));
        if let Some((name, value)) = set.filter(|(_, value)| !value.is_empty()) {
            let place = place(&value);
            settings.push(Setting { calls, name, place });
        }
    }
    settings
}

/// Logs which proxies are used, without user and password.
pub(crate) fn tell() {
    for Setting { calls, name, place } in configured() {
        match place {
            Some(proxy) => info!(calls, proxy, "calls to AWS go through a proxy ({name})"),
            None => warn!("{}", unusable(name)),
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
