//! Certificates and keys in the format PEM. What is wrong with a file is told without a part of it.

use tokio_rustls::rustls::pki_types::{
    CertificateDer, PrivateKeyDer,
    pem::{Error, PemObject},
};

/// The certificates of a file; at least one.
///
/// # Errors
///
/// What is wrong with the file.
pub(crate) fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match read {
        Ok(certificates) if certificates.is_empty() => {
            Err("the file has no certificate in PEM".to_owned())
        }
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(told(&error, "certificate")),
    }
}

/// The private key of a file.
///
/// # Errors
///
/// What is wrong with the file.
pub(crate) fn key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, String> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|error| told(&error, "unencrypted private key"))
}

fn told(error: &Error, wanted: &str) -> String {
    match error {
        Error::NoItemsFound => format!("the file has no {wanted} in PEM"),
        Error::MissingSectionEnd { .. } => "the file ends within a section of PEM".to_owned(),
        Error::IllegalSectionStart { .. } => {
            "the file has a damaged line that begins a section of PEM".to_owned()
        }
        Error::Base64Decode(_) => "the file has a section that is not base64".to_owned(),
        _ => "the file can't be read as PEM".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_told_without_the_content() {
        let begin = "-----BEGIN PRIVATE KEY-----\n";
        for (text, said) in [
            ("", "has no unencrypted private key"),
            ("hunter2", "has no unencrypted private key"),
            (
                "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
                "has no unencrypted private key",
            ),
            (&format!("{begin}hunter2\n"), "ends within a section"),
            (
                &format!("{begin}hunter2!\n-----END PRIVATE KEY-----\n"),
                "is not base64",
            ),
            ("-----BEGIN hunter2\nAAAA\n", "a damaged line"),
        ] {
            let why = key(text.as_bytes()).expect_err(text);
            assert!(
                why.contains(said) && !why.contains("hunter"),
                "{text}: {why}"
            );
        }
    }
}
