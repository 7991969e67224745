//! What to do about a connection that TLS refuses.

use std::{
    error::Error,
    io::{self, ErrorKind},
    sync::Arc,
};
use tokio_rustls::rustls::{self, AlertDescription, CertificateError};

/// What to do about a failed attempt to connect over TLS. `place` is the table of the settings. `None` if TLS does not say why.
pub(crate) fn advice(error: &(dyn Error + 'static), place: &str) -> Option<String> {
    match find::<rustls::Error>(error) {
        Some(rustls::Error::InvalidCertificate(why)) => Some(of_server(why, place)),
        Some(rustls::Error::AlertReceived(alert)) => of_bridge(*alert, place),
        Some(_) => None,
        None => match find::<io::Error>(error)?.kind() {
            ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::BrokenPipe
            | ErrorKind::UnexpectedEof => Some(format!(
                "the server ended the connection; if it wants a certificate, it may refuse that of the bridge ({place}.cert_file); its log says why"
            )),
            _ => None,
        },
    }
}

/// The bridge refuses the server's certificate.
fn of_server(why: &CertificateError, place: &str) -> String {
    match why {
        CertificateError::UnknownIssuer => format!(
            "no trusted authority has signed the server's certificate; put its authority into the file of {place}.ca_file"
        ),
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "the server's certificate has expired; renew it there".to_owned()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "the server's certificate is not valid yet; compare the clocks".to_owned()
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "the server's certificate has other names; write one of them as the host of the address"
                .to_owned()
        }
        _ => "the server's certificate can't be used; renew it there".to_owned(),
    }
}

/// The server refuses the bridge's certificate.
fn of_bridge(alert: AlertDescription, place: &str) -> Option<String> {
    Some(match alert {
        AlertDescription::CertificateRequired | AlertDescription::NoCertificate => {
            format!(
                "the server wants a certificate of the bridge; set {place}.cert_file and key_file"
            )
        }
        AlertDescription::CertificateExpired => {
            format!("the bridge's certificate has expired; renew the file of {place}.cert_file")
        }
        AlertDescription::UnknownCA => format!(
            "the server does not trust the authority of the bridge's certificate; change the file of {place}.cert_file, or what the server trusts"
        ),
        AlertDescription::BadCertificate
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateRevoked
        | AlertDescription::CertificateUnknown
        | AlertDescription::AccessDenied => format!(
            "the server refuses the bridge's certificate, the file of {place}.cert_file; its log says why"
        ),
        AlertDescription::HandshakeFailure => format!(
            "the server refuses the handshake; it may want a certificate of the bridge ({place}.cert_file and key_file)"
        ),
        _ => return None,
    })
}

/// The first error of a type in a chain of causes.
fn find<'e, T: Error + 'static>(error: &'e (dyn Error + 'static)) -> Option<&'e T> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<T>() {
            return Some(found);
        }
        next = wrapped(error).or_else(|| error.source());
    }
    None
}

/// What an error wraps and does not tell as its source.
fn wrapped<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e (dyn Error + 'static)> {
    if let Some(error) = error.downcast_ref::<io::Error>() {
        return error.get_ref().map(|inner| inner as &(dyn Error + 'static));
    }
    let shared = error.downcast_ref::<Arc<dyn Error + Send + Sync>>()?;
    Some(&**shared)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_found_below_the_errors_of_the_libraries() {
        let tls = |error: rustls::Error| io::Error::new(ErrorKind::InvalidData, error);
        let untrusted = || rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let expired = rustls::Error::AlertReceived(AlertDescription::CertificateExpired);
        let of = |error: &(dyn Error + 'static)| advice(error, "amqp.tls");
        let says = |advice: Option<String>, words: &str| {
            let advice = advice.expect("an advice");
            assert!(advice.contains(words), "{advice}");
        };
        says(of(&tls(untrusted())), "amqp.tls.ca_file");
        says(of(&tls(expired)), "amqp.tls.cert_file");
        says(
            of(&lapin::Error::from(tls(untrusted()))),
            "amqp.tls.ca_file",
        );
        says(
            of(&redis::RedisError::from(tls(untrusted()))),
            "amqp.tls.ca_file",
        );
        let reset = io::Error::from(ErrorKind::ConnectionReset);
        says(of(&lapin::Error::from(reset)), "its log says why");
        assert_eq!(of(&io::Error::from(ErrorKind::ConnectionRefused)), None);
    }
}
