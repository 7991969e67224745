//! TLS of the endpoint: from the files to what accepts connections.

use super::files::TlsFiles;
use crate::settings::Problem;
use std::sync::Arc;
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        RootCertStore, ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
        server::WebPkiClientVerifier,
    },
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
        Some(pem) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates("client_ca_file", pem)? {
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
    let chain = certificates("cert_file", &files.cert)?;
    let key = PrivateKeyDer::from_pem_slice(&files.key);
    let key = key.map_err(|error| problem("key_file", format!("{error:?}")))?;
    let config = builder.with_single_cert(chain, key);
    let config = config.map_err(|error| problem("key_file", error))?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn certificates(key: &str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Problem> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match read {
        Ok(certificates) if certificates.is_empty() => {
            Err(problem(key, "the file has no certificate in PEM"))
        }
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(problem(key, format!("{error:?}"))),
    }
}

fn problem(key: &str, error: impl ToString) -> Problem {
    Problem {
        file: None,
        path: format!("amqp.tls.{key}"),
        value: None,
        rule: format!("can't be used: {}", error.to_string()),
    }
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
