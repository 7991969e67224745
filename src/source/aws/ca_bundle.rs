//! `AWS_CA_BUNDLE`: a file of certificates that are trusted instead of those of the system, as the AWS CLI reads it. The SDK does not.

use aws_smithy_http_client::tls::{TlsContext, TrustStore};
use std::{env, ffi::OsString, fs::File, io::Read, path::Path};
use tokio_rustls::rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};

const VARIABLE: &str = "AWS_CA_BUNDLE";

/// Maximum size of the file, in bytes. All authorities that a system trusts take 250 kB.
const MAX_FILE_BYTES: u64 = 8 << 20;

/// The file can't be used.
#[derive(Debug, thiserror::Error)]
#[error("{VARIABLE} = {path:?}: {why}")]
pub struct BadCaBundle {
    path: OsString,
    why: String,
}

/// What the clients trust: the certificates of the file, or without it those of the system.
pub(super) fn tls() -> Result<TlsContext, BadCaBundle> {
    let store = match env::var_os(VARIABLE).filter(|path| !path.is_empty()) {
        None => TrustStore::default(),
        Some(path) => match read(Path::new(&path)) {
            Ok(pem) => TrustStore::empty().with_pem_certificate(pem),
            Err(why) => return Err(BadCaBundle { path, why }),
        },
    };
    let tls = TlsContext::builder().with_trust_store(store).build();
    Ok(tls.unwrap_or_default())
}

/// Reads the file. Each certificate is looked at here, because the HTTP stack panics over a wrong one.
fn read(path: &Path) -> Result<Vec<u8>, String> {
    let unreadable = |error| format!("can't be read: {error}");
    let file = File::open(path).map_err(unreadable)?;
    let mut pem = Vec::new();
    let within = file.take(MAX_FILE_BYTES + 1).read_to_end(&mut pem);
    within.map_err(unreadable)?;
    if pem.len() as u64 > MAX_FILE_BYTES {
        return Err(format!("is longer than {MAX_FILE_BYTES} bytes"));
    }
    let mut store = RootCertStore::empty();
    for (index, certificate) in CertificateDer::pem_slice_iter(&pem).enumerate() {
        let number = index + 1;
        let certificate = certificate.map_err(|error| format!("certificate {number}: {error}"))?;
        let added = store.add(certificate);
        added.map_err(|error| format!("certificate {number}: {error}"))?;
    }
    match store.is_empty() {
        true => Err("there is no certificate in it; it must be in the format PEM".to_owned()),
        false => Ok(pem),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_is_one_or_more_certificates_in_pem() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("bundle.pem");
        let write = |text: &str| std::fs::write(&path, text).expect("writable");
        let missing = read(&path).expect_err("no file");
        assert!(missing.starts_with("can't be read: "), "{missing}");

        let pem = |name: &str| {
            let names = [name.to_owned()];
            let made = rcgen::generate_simple_self_signed(names).expect("a certificate");
            made.cert.pem()
        };
        let two = format!("# ours\n{}{}", pem("a"), pem("b"));
        write(&two);
        assert_eq!(read(&path), Ok(two.clone().into_bytes()));

        const WRONG: &str = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        for (text, told) in [
            ("", "there is no certificate in it"),
            ("certificate", "there is no certificate in it"),
            (&format!("{two}{WRONG}"), "certificate 3: "),
            ("-----BEGIN CERTIFICATE-----\nAAAA\n", "certificate 1: "),
        ] {
            write(text);
            let why = read(&path).expect_err(text);
            assert!(why.starts_with(told), "{text}: {why}");
        }
    }
}
