//! For tests: an authority of our own, and servers with its certificates.

use super::{Certificate, ClientTls};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::CertificateDer;
use std::path::PathBuf;
use tempfile::TempDir;

/// An authority that nobody believes by default.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    dir: TempDir,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { issuer, dir }
    }

    /// The authority's own certificate.
    pub(crate) fn der(&self) -> CertificateDer<'static> {
        self.issuer.der().clone()
    }

    pub(crate) fn roots(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    /// A client that believes it.
    pub(crate) fn client(&self) -> ClientTls {
        ClientTls::with_roots(Some(&self.roots())).unwrap()
    }

    /// A server's certificate, and what a client will see of it.
    pub(crate) fn server(&self, name: &str) -> (Certificate, CertificateDer<'static>) {
        let key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &self.issuer).unwrap();
        let (certificate, secret) = (self.dir.path().join("c.pem"), self.dir.path().join("k.pem"));
        std::fs::write(&certificate, format!("{}{}", leaf.pem(), self.issuer.pem())).unwrap();
        std::fs::write(&secret, key.serialize_pem()).unwrap();
        (Certificate::load(&certificate, &secret).unwrap(), leaf.der().clone())
    }
}
