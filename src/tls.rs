//! Floor 5: the server's certificate, read from PEM files and read again on SIGHUP; and the client's side of TLS.

#[cfg(test)]
pub(crate) mod testing;

use arc_swap::ArcSwap;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, SignatureScheme};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;

/// Why a certificate cannot be used. The text names the file and what to do.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read, or holds no PEM of that kind.
    #[error("cannot read {what} from {path}: {error}. Check [tls] in the configuration and the file's permissions")]
    File {
        /// Certificate or key.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong.
        error: rustls::pki_types::pem::Error,
    },
    /// Certificate and key do not belong together, or are of a kind we cannot use.
    #[error("the certificate in {path} cannot be used: {error}. Give the full chain, and the key that belongs to it")]
    Unusable {
        /// The certificate's file.
        path: PathBuf,
        /// What is wrong.
        error: rustls::Error,
    },
}

/// The server's certificate. Clones share it; [`reload`](Self::reload) changes it for new handshakes.
#[derive(Clone)]
pub struct Certificate {
    config: Arc<ArcSwap<rustls::ServerConfig>>,
    files: Arc<(PathBuf, PathBuf)>,
}

/// The one crypto provider of the program.
#[must_use]
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

impl Certificate {
    /// Reads both files.
    ///
    /// # Errors
    /// [`TlsError`] names the file and the remedy.
    pub fn load(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let config = read(certificate, key)?;
        let files = Arc::new((certificate.to_owned(), key.to_owned()));
        Ok(Self { config: Arc::new(ArcSwap::new(config)), files })
    }

    /// Reads the files again. On an error the old certificate stays in use.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn reload(&self) -> Result<(), TlsError> {
        let (certificate, key) = &*self.files;
        self.config.store(read(certificate, key)?);
        Ok(())
    }

    /// For one handshake.
    #[must_use]
    pub fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.config.load_full())
    }
}

fn read(certificate: &Path, key: &Path) -> Result<Arc<rustls::ServerConfig>, TlsError> {
    let file = |what, path: &Path| {
        let path = path.to_owned();
        move |error| TlsError::File { what, path, error }
    };
    let chain: Vec<_> = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect)
        .map_err(file("a certificate", certificate))?;
    let secret = PrivateKeyDer::from_pem_file(key).map_err(file("a private key", key))?;
    let unusable = |error| TlsError::Unusable { path: certificate.to_owned(), error };
    let config = rustls::ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .with_no_client_auth()
        .with_single_cert(chain, secret)
        .map_err(unusable)?;
    Ok(Arc::new(config))
}

/// The client's two ways to use TLS.
#[derive(Clone)]
pub struct ClientTls {
    /// The certificate must be good and have the server's name: routes that the operator wrote as `smtps://`.
    pub verified: Arc<rustls::ClientConfig>,
    /// Any certificate will do: better than none, where the other way is plain text (RFC 7435).
    pub opportunistic: Arc<rustls::ClientConfig>,
}

impl ClientTls {
    /// With the system's roots, and those of Mozilla beside them.
    ///
    /// # Errors
    /// The provider lacks the protocol versions.
    pub fn new() -> Result<Self, rustls::Error> {
        Self::believing(Vec::new())
    }

    /// As [`new`](Self::new), and with the authorities in a PEM file if one is named.
    ///
    /// # Errors
    /// [`TlsError`] names the file and the remedy.
    pub fn with_roots(file: Option<&Path>) -> Result<Self, TlsError> {
        let Some(path) = file else {
            return Self::new().map_err(|error| TlsError::Unusable { path: PathBuf::new(), error });
        };
        let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let extra = match read {
            Ok(extra) if !extra.is_empty() => extra,
            Ok(_) => {
                let error = rustls::pki_types::pem::Error::NoItemsFound;
                return Err(TlsError::File { what: "an authority", path: path.to_owned(), error });
            }
            Err(error) => return Err(TlsError::File { what: "an authority", path: path.to_owned(), error }),
        };
        Self::believing(extra).map_err(|error| TlsError::Unusable { path: path.to_owned(), error })
    }

    /// # Errors
    /// One of `extra` is no authority.
    fn believing(extra: Vec<CertificateDer<'static>>) -> Result<Self, rustls::Error> {
        let mut roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        for certificate in extra {
            roots.add(certificate)?;
        }
        let verified = builder()?.with_root_certificates(roots).with_no_client_auth();
        Ok(Self { verified: Arc::new(verified), opportunistic: Arc::new(judged(Any)?) })
    }
}

fn builder() -> Result<rustls::ConfigBuilder<rustls::ClientConfig, rustls::WantsVerifier>, rustls::Error> {
    rustls::ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()
}

/// Whose certificate is taken. That the server holds its key is checked in any case.
pub trait Judge: std::fmt::Debug + Send + Sync {
    /// Whether it may be this server.
    fn takes(
        &self,
        certificate: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> bool;
}

/// A client that asks `judge`, and no authority.
///
/// # Errors
/// The provider lacks the protocol versions.
pub fn judged(judge: impl Judge + 'static) -> Result<rustls::ClientConfig, rustls::Error> {
    let verifier = Arc::new(Verifier { judge, provider: provider() });
    Ok(builder()?.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth())
}

#[derive(Debug)]
struct Any;

impl Judge for Any {
    fn takes(&self, _: &CertificateDer<'_>, _: &[CertificateDer<'_>], _: &ServerName<'_>, _: UnixTime) -> bool {
        true
    }
}

#[derive(Debug)]
struct Verifier<J> {
    judge: J,
    provider: Arc<CryptoProvider>,
}

impl<J: Judge> ServerCertVerifier for Verifier<J> {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if !self.judge.takes(certificate, chain, name, now) {
            return Err(rustls::Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure));
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_reload_keeps_the_old_certificate() {
        let dir = tempfile::tempdir().unwrap();
        let (certificate, key) = (dir.path().join("c.pem"), dir.path().join("k.pem"));
        let missing = Certificate::load(&certificate, &key).map(|_| ()).unwrap_err().to_string();
        assert!(missing.contains("c.pem") && missing.contains("[tls]"), "{missing}");
        let write = |name: &str| {
            let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
            std::fs::write(&certificate, made.cert.pem()).unwrap();
            std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        };
        write("one.test");
        let loaded = Certificate::load(&certificate, &key).unwrap();
        let first = loaded.config.load_full();
        std::fs::write(&certificate, "nonsense").unwrap();
        assert!(loaded.reload().is_err());
        assert!(Arc::ptr_eq(&first, &loaded.config.load_full()));
        write("two.test");
        loaded.reload().unwrap();
        assert!(!Arc::ptr_eq(&first, &loaded.config.load_full()));
        let other = rcgen::generate_simple_self_signed(vec!["x.test".to_owned()]).unwrap();
        std::fs::write(&key, other.signing_key.serialize_pem()).unwrap();
        assert!(loaded.reload().unwrap_err().to_string().contains("belongs to it"));
    }
}
