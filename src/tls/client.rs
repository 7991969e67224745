//! What the bridge trusts, and what it shows, as a client.

use super::{
    files::{ClientTlsFiles, problem},
    pem,
};
use crate::settings::Problem;
use std::sync::Arc;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto::ring};

/// The settings of TLS for the connections to a server.
///
/// # Errors
///
/// The first file that can't be used, with the key that names it.
pub(crate) fn client_config(files: &ClientTlsFiles) -> Result<Arc<ClientConfig>, Problem> {
    let wrong = |key: &str, why: String| problem(files.place, key, format!("can't be used: {why}"));
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong("ca_file", error.to_string()))?
        .with_root_certificates(roots(files)?);
    let config = match &files.identity {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let chain = pem::certificates(&identity.certificates);
            let chain = chain.map_err(|why| wrong("cert_file", why))?;
            let key = pem::key(&identity.key).map_err(|why| wrong("key_file", why))?;
            let config = builder.with_client_auth_cert(chain, key);
            config.map_err(|error| wrong("key_file", error.to_string()))?
        }
    };
    Ok(Arc::new(config))
}

fn roots(files: &ClientTlsFiles) -> Result<RootCertStore, Problem> {
    let wrong = |why: String| problem(files.place, "ca_file", why);
    let mut roots = RootCertStore::empty();
    match &files.ca {
        Some(pem) => {
            let certificates = pem::certificates(pem);
            let certificates =
                certificates.map_err(|why| wrong(format!("can't be used: {why}")))?;
            for certificate in certificates {
                let added = roots.add(certificate);
                added.map_err(|error| wrong(format!("can't be used: {error}")))?;
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if roots.is_empty() {
                let why = "is missing, and this system trusts no authority; give the authorities of the server's certificate";
                return Err(wrong(why.to_owned()));
            }
        }
    }
    Ok(roots)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::Identity;

    #[test]
    fn a_file_that_is_no_certificate_or_no_key_or_of_another_pair_is_named() {
        let pair = |name: &str| {
            let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]);
            let made = made.expect("a certificate");
            let key = made.signing_key.serialize_pem();
            (made.cert.pem().into_bytes(), key.into_bytes())
        };
        let ((cert, key), (_, other)) = (pair("a"), pair("b"));
        let files = |ca: &[u8], cert: &[u8], key: &[u8]| ClientTlsFiles {
            place: "amqp.tls",
            ca: Some(ca.to_vec()),
            identity: Some(Identity {
                certificates: cert.to_vec(),
                key: key.to_vec(),
            }),
        };
        assert!(client_config(&files(&cert, &cert, &key)).is_ok());
        for (files, expected) in [
            (files(b"x", &cert, &key), "amqp.tls.ca_file: can't be used"),
            (
                files(&cert, b"x", &key),
                "amqp.tls.cert_file: can't be used",
            ),
            (
                files(&cert, &cert, b"x"),
                "amqp.tls.key_file: can't be used",
            ),
            (
                files(&cert, &cert, &other),
                "amqp.tls.key_file: can't be used",
            ),
        ] {
            let problem = client_config(&files).expect_err("a problem").to_string();
            assert!(problem.starts_with(expected), "{problem}");
        }
    }
}
