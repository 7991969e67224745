//! The HTTP stack of the AWS clients: HTTP/1.1 and 2 over rustls with ring, through the proxies that the environment names.
//!
//! The addresses at which a machine or a container finds its credentials are never reached through a proxy. A proxy on another machine
//! would find its own there, or none.

use aws_sdk_swf::config::ConfigBag;
use aws_smithy_http_client::{
    Builder, Connector,
    proxy::ProxyConfig,
    tls::{Provider, TlsContext, rustls_provider::CryptoMode},
};
use aws_smithy_runtime_api::{
    box_error::BoxError,
    client::{
        connector_metadata::ConnectorMetadata,
        http::{
            HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings,
            SharedHttpClient, SharedHttpConnector,
        },
        orchestrator::HttpRequest,
        runtime_components::{RuntimeComponents, RuntimeComponentsBuilder},
    },
    shared::IntoShared,
};
use std::net::IpAddr;
use url::{Host, Url};

/// The HTTP client for credentials and all calls.
pub(super) fn client(tls: &TlsContext) -> SharedHttpClient {
    ByHost {
        proxied: build(ProxyConfig::from_env(), tls.clone()),
        direct: build(ProxyConfig::disabled(), tls.clone()),
    }
    .into_shared()
}

fn build(proxies: ProxyConfig, tls: TlsContext) -> SharedHttpClient {
    Builder::new().build_with_connector_fn(move |settings, components| {
        let mut connector = Connector::builder();
        connector.set_connector_settings(settings.cloned());
        connector.set_sleep_impl(components.and_then(RuntimeComponents::sleep_impl));
        connector
            .proxy_config(proxies.clone())
            .tls_provider(Provider::Rustls(CryptoMode::Ring))
            .tls_context(tls.clone())
            .build()
    })
}

/// Two clients, or two connectors, between which the host decides.
#[derive(Debug)]
struct ByHost<T> {
    proxied: T,
    direct: T,
}

impl HttpClient for ByHost<SharedHttpClient> {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        ByHost {
            proxied: self.proxied.http_connector(settings, components),
            direct: self.direct.http_connector(settings, components),
        }
        .into_shared()
    }

    fn validate_base_client_config(
        &self,
        components: &RuntimeComponentsBuilder,
        config: &ConfigBag,
    ) -> Result<(), BoxError> {
        HttpClient::validate_base_client_config(&self.proxied, components, config)
    }

    fn connector_metadata(&self) -> Option<ConnectorMetadata> {
        self.proxied.connector_metadata()
    }
}

impl HttpConnector for ByHost<SharedHttpConnector> {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        match is_of_this_machine(request.uri()) {
            true => self.direct.call(request),
            false => self.proxied.call(request),
        }
    }
}

/// Whether the host is an address that has another meaning on each machine: link-local, or one of EC2's for its instances.
fn is_of_this_machine(url: &str) -> bool {
    let address = match Url::parse(url)
        .ok()
        .and_then(|url| url.host().map(|host| host.to_owned()))
    {
        Some(Host::Ipv4(address)) => IpAddr::V4(address),
        Some(Host::Ipv6(address)) => IpAddr::V6(address),
        Some(Host::Domain(_)) | None => return false,
    };
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => {
            let ec2 = [0xfd00, 0x0ec2];
            address.is_unicast_link_local() || address.segments()[..2] == ec2
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_addresses_of_credentials_are_of_this_machine() {
        for url in [
            "http://169.254.169.254/latest/meta-data/",
            "http://169.254.170.2/v2/credentials/1",
            "http://169.254.170.23/v1/credentials",
            "http://[fd00:ec2::254]/latest/meta-data/",
            "http://[fd00:ec2::23]/v1/credentials",
            "http://[fe80::1]:80/",
        ] {
            assert!(is_of_this_machine(url), "{url}");
        }
        for url in [
            "https://swf.eu-west-1.amazonaws.com/",
            "http://127.0.0.1:8080/",
            "http://10.0.0.1/",
            "http://[fd00::5]/",
            "http://[fd00:ec3::1]/",
            "no URL",
        ] {
            assert!(!is_of_this_machine(url), "{url}");
        }
    }
}
