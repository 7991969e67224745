//! TLS of the endpoint: from the files to what accepts connections.

use super::files::TlsFiles;
use crate::{settings::Problem, tls::pem};
use std::sync::Arc;
use tokio_rustls::{
    TlsAcceptor,
    rustls::{RootCertStore, ServerConfig, crypto::ring, server::WebPkiClientVerifier},
};

/// Makes what accepts connections.
///
/// # Errors
///
/// The problem of the first file that can't be used, with the key that names it.
pub(crate) fn acceptor(files: &TlsFiles) -> Result<TlsAcceptor, Problem> {
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
    let builder = builder
        .with_safe_default_protocol_versions()
        .map_err(|error| problem("cert_file", error))?;
    let builder = match &files.client_ca {
        None => builder.with_no_client_auth(),
        Some(authorities) => {
            let mut roots = RootCertStore::empty();
            let certificates = pem::certificates(authorities);
            for certificate in certificates.map_err(|why| problem("client_ca_file", why))? {
                let added = roots.add(certificate);
                added.map_err(|error| problem("client_ca_file", error))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            let verifier = verifier.build();
            builder.with_client_cert_verifier(
                verifier.map_err(|error| problem("client_ca_file", error))?,
            )
        }
    };
    let chain = pem::certificates(&files.cert).map_err(|why| problem("cert_file", why))?;
    let key = pem::key(&files.key).map_err(|why| problem("key_file", why))?;
    let config = builder.with_single_cert(chain, key);
    let config = config.map_err(|error| problem("key_file", error))?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn problem(key: &str, error: impl ToString) -> Problem {
    let rule = format!("can't be used: {}", error.to_string());
    Problem::about(format!("amqp.tls.{key}"), rule)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_no_certificate_or_no_key_is_named() {
        let pair = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]);
        let pair = pair.expect("a certificate");
        let cert = pair.cert.pem().into_bytes();
        let key = pair.signing_key.serialize_pem().into_bytes();
        let files = |cert: &[u8], key: &[u8], client_ca: Option<&[u8]>| TlsFiles {
            cert: cert.to_vec(),
            key: key.to_vec(),
            client_ca: client_ca.map(<[u8]>::to_vec),
        };
        assert!(acceptor(&files(&cert, &key, None)).is_ok());
        assert!(acceptor(&files(&cert, &key, Some(&cert))).is_ok());
        for (files, expected) in [
            (files(b"x", &key, None), "amqp.tls.cert_file"),
            (files(&cert, b"x", None), "amqp.tls.key_file"),
            (files(&cert, &key, Some(b"x")), "amqp.tls.client_ca_file"),
        ] {
            let problem = acceptor(&files).err().expect("a problem");
            assert_eq!(problem.path, expected, "{problem}");
        }
    }
}
