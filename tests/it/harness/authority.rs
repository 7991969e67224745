//! A certificate authority of a test's own.

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair,
    date_time_ymd,
};
use std::path::Path;

/// See the module.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, in PEM.
pub struct Identity {
    /// The certificate.
    pub certificate: String,
    /// The private key.
    pub key: String,
}

impl Authority {
    /// A new one.
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        // Two authorities of one name would look like one that has changed its key.
        let name = format!(
            "authority {}",
            activity_bridge::task::TaskId::random().reveal()
        );
        params.distinguished_name = named(&name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("a certificate"))
    }

    /// Its certificate, in PEM.
    pub fn certificate(&self) -> String {
        self.0.pem()
    }

    /// Signs a certificate for these DNS names and addresses. The first is its common name too.
    pub fn sign(&self, names: &[&str]) -> Identity {
        self.sign_with(names, |_| {})
    }

    /// As [`Authority::sign`], with a certificate that has expired long ago.
    pub fn sign_expired(&self, names: &[&str]) -> Identity {
        self.sign_with(names, |params| params.not_after = date_time_ymd(2020, 1, 1))
    }

    fn sign_with(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Identity {
        let all: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(all).expect("names");
        params.distinguished_name = named(names.first().copied().unwrap_or_default());
        change(&mut params);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.0).expect("a certificate");
        Identity {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        }
    }
}

fn named(name: &str) -> DistinguishedName {
    let mut names = DistinguishedName::new();
    names.push(DnType::CommonName, name);
    names
}

impl Identity {
    /// Writes the certificate and the key into a folder, as `NAME.pem` and `NAME.key`.
    pub fn write(&self, folder: &Path, name: &str) {
        let write = |ending: &str, text: &str| {
            let path = folder.join(format!("{name}.{ending}"));
            std::fs::write(path, text).expect("the file can be written");
        };
        write("pem", &self.certificate);
        write("key", &self.key);
    }
}
