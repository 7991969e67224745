//! The names in a client's certificate, by which a user is found. Pure. Whether the certificate is valid was checked in the
//! handshake of TLS.

use x509_parser::{
    extensions::GeneralName,
    prelude::{FromDer, X509Certificate},
};

/// The tags of the names that count, in a subject alternative name: an email address, a DNS name, a URI.
const TAGS: [u32; 3] = [1, 2, 6];

/// The names that count of a certificate.
///
/// They are its subject alternative names that are DNS names, URIs or email addresses. Authorities check these. The common
/// name, which may be any text, counts only if the certificate has none of these and has one common name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct CertificateNames(Vec<String>);

impl CertificateNames {
    /// Reads a certificate in DER.
    ///
    /// # Errors
    ///
    /// The certificate can't be read.
    pub(crate) fn read(der: &[u8]) -> Result<Self, String> {
        let (_, certificate) = X509Certificate::from_der(der).map_err(|error| error.to_string())?;
        let alternative = certificate.subject_alternative_name();
        let alternative = alternative.map_err(|error| error.to_string())?;
        let general = alternative.map(|names| names.value.general_names.as_slice());
        let mut names = Vec::new();
        let mut has_alternative = false;
        for name in general.unwrap_or_default() {
            match name {
                GeneralName::DNSName(name)
                | GeneralName::URI(name)
                | GeneralName::RFC822Name(name) => {
                    has_alternative = true;
                    names.push((*name).to_owned());
                }
                GeneralName::Invalid(tag, _) => has_alternative |= TAGS.contains(&tag.0),
                _ => {}
            }
        }
        let mut common = certificate.subject().iter_common_name();
        if !has_alternative
            && let (Some(name), None) = (common.next(), common.next())
            && let Ok(name) = name.as_str()
        {
            names.push(name.to_owned());
        }
        Ok(Self(names))
    }

    /// These names.
    #[cfg(test)]
    pub(crate) fn of(names: &[&str]) -> Self {
        Self(names.iter().map(|name| (*name).to_owned()).collect())
    }

    /// Whether a name is one of them, byte for byte.
    pub(crate) fn contain(&self, name: &str) -> bool {
        self.0.iter().any(|own| own == name)
    }

    /// The first of them, for the log.
    pub(crate) fn shown(&self) -> String {
        match self.0.as_slice() {
            [] => "without a name that counts".to_owned(),
            [first] => format!("with the name {first:.200?}"),
            [first, rest @ ..] => format!("with the name {first:.200?} and {} more", rest.len()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    fn der(common_names: &[&str], alternative: Vec<SanType>) -> Vec<u8> {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        for name in common_names {
            params.distinguished_name.push(DnType::CommonName, *name);
        }
        params.subject_alt_names = alternative;
        let key = KeyPair::generate().expect("a key");
        let signed = params.self_signed(&key).expect("a certificate");
        signed.der().to_vec()
    }

    fn names(common_names: &[&str], alternative: Vec<SanType>) -> Vec<String> {
        CertificateNames::read(&der(common_names, alternative))
            .expect("readable")
            .0
    }

    fn text<T: TryFrom<String>>(text: &str) -> T {
        T::try_from(text.to_owned())
            .ok()
            .expect("it is of the right form")
    }

    #[test]
    fn dns_names_uris_and_email_addresses_count() {
        let alternative = vec![
            SanType::DnsName(text("worker.shop")),
            SanType::IpAddress([127, 0, 0, 1].into()),
            SanType::URI(text("spiffe://shop/worker")),
            SanType::Rfc822Name(text("worker@shop")),
        ];
        let expected = ["worker.shop", "spiffe://shop/worker", "worker@shop"];
        assert_eq!(names(&["worker"], alternative), expected);
    }

    #[test]
    fn a_common_name_counts_if_it_stands_alone() {
        let ip = || vec![SanType::IpAddress([127, 0, 0, 1].into())];
        assert_eq!(names(&["worker"], vec![]), ["worker"]);
        assert_eq!(names(&["worker"], ip()), ["worker"]);
        assert!(names(&[], ip()).is_empty());
        let dns = vec![SanType::DnsName(text("other"))];
        assert_eq!(names(&["worker"], dns), ["other"]);
    }

    #[test]
    fn names_are_compared_byte_for_byte() {
        let dns = vec![SanType::DnsName(text("worker.shop"))];
        let names = CertificateNames::read(&der(&[], dns)).expect("readable");
        assert!(names.contain("worker.shop"));
        for other in ["", "worker", "WORKER.shop", "*.shop", "worker.shop."] {
            assert!(!names.contain(other), "{other}");
        }
        assert!(!CertificateNames::default().contain(""));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..64),
            place in any::<prop::sample::Index>(),
        ) {
            drop(CertificateNames::read(&bytes));
            let mut der = der(&["worker"], vec![SanType::DnsName(text("worker.shop"))]);
            let place = place.index(der.len());
            for (at, byte) in der.iter_mut().skip(place).zip(bytes) {
                *at = byte;
            }
            drop(CertificateNames::read(&der));
        }
    }
}
