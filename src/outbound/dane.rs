//! DANE for SMTP (RFC 7672): the certificate that a receivers' domain names in signed DNS, in place of the authorities that everybody believes.
//!
//! Only validated records count; [`crate::dns`] says which are. MX records that nobody signed are as good as none here (RFC 7672 2.2.1 leaves
//! that open): who can forge them has no use for the TLSA records of the true host. The base of TLSA records is the MX host's own name; an
//! alias of it, which RFC 5321 forbids, is not followed.

#[cfg(test)]
mod tests;

use super::Means;
use super::route::Server;
use crate::dns::{DnsError, Tlsa};
use crate::smtp::client::Failure;
use crate::tls::{Judge, judged, provider};
use aws_lc_rs::digest::{SHA256, SHA512, digest};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, RootCertStore};
use std::sync::Arc;

/// Records that are looked at; a host needs two or three.
const RECORDS: usize = 32;

/// What DANE says of a server.
pub(super) enum Dane {
    /// Nothing.
    Silent,
    /// TLS, but no certificate that could be checked (RFC 7672 2.2).
    AnyCertificate,
    /// TLS with one of these certificates.
    Certificate(Arc<ClientConfig>),
}

impl Means {
    /// Asks for the TLSA records of a server. `domain`: the receivers', which a certificate may name, too.
    ///
    /// # Errors
    /// The records cannot be had, or are forged: the server may not be used now.
    pub(super) async fn dane(&self, server: &Server, domain: &str) -> Result<Dane, Failure> {
        if !server.secure {
            return Ok(Dane::Silent);
        }
        let records = match self.dns.tlsa(&format!("_25._tcp.{}", server.name)).await {
            Ok(found) if found.secure && !found.records.is_empty() => found.records,
            Ok(_) | Err(DnsError::NoName | DnsError::NoRecords) => return Ok(Dane::Silent),
            Err(DnsError::Temporary) => return Err(Failure::Policy("dane: the TLSA records cannot be had")),
        };
        let records = usable(records);
        if records.is_empty() {
            return Ok(Dane::AnyCertificate);
        }
        let domain = ServerName::try_from(domain.to_owned()).ok();
        let config = judged(Named { records, domain }).map_err(|_| Failure::Policy("dane: no TLS"))?;
        Ok(Dane::Certificate(Arc::new(config)))
    }
}

/// The records that RFC 7672 3.1 gives a meaning; of two digests of the same thing the better one (RFC 7671 9).
fn usable(mut records: Vec<Tlsa>) -> Vec<Tlsa> {
    records.truncate(RECORDS);
    records.retain(|record| {
        let length = match record.matching {
            0 => !record.data.is_empty(),
            1 => record.data.len() == SHA256.output_len(),
            2 => record.data.len() == SHA512.output_len(),
            _ => false,
        };
        matches!(record.usage, 2 | 3) && record.selector <= 1 && length
    });
    let better: Vec<(u8, u8)> =
        records.iter().filter(|record| record.matching == 2).map(|record| (record.usage, record.selector)).collect();
    records.retain(|record| record.matching != 1 || !better.contains(&(record.usage, record.selector)));
    records
}

/// Whether a record names a certificate.
fn matches(record: &Tlsa, certificate: &CertificateDer<'_>) -> bool {
    let part = if record.selector == 0 { Some(certificate.as_ref()) } else { public_key(certificate) };
    part.is_some_and(|part| match record.matching {
        0 => record.data == part,
        1 => record.data == digest(&SHA256, part).as_ref(),
        2 => record.data == digest(&SHA512, part).as_ref(),
        _ => false,
    })
}

/// The SubjectPublicKeyInfo, DER.
fn public_key<'a>(certificate: &'a CertificateDer<'_>) -> Option<&'a [u8]> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate.as_ref()).ok()?;
    Some(parsed.tbs_certificate.subject_pki.raw)
}

/// Takes the certificates that usable records name.
#[derive(Debug)]
struct Named {
    records: Vec<Tlsa>,
    domain: Option<ServerName<'static>>,
}

impl Named {
    /// Whether the chain leads to `anchor`, is in its time, and has one of the names (RFC 7672 3.2.2).
    fn leads_to(
        &self,
        anchor: CertificateDer<'_>,
        certificate: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> bool {
        let mut roots = RootCertStore::empty();
        if roots.add(anchor.into_owned()).is_err() {
            return false;
        }
        let built = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider()).build();
        let Ok(verifier) = built else { return false };
        let good = |name: &ServerName<'_>| verifier.verify_server_cert(certificate, chain, name, &[], now).is_ok();
        good(name) || self.domain.as_ref().is_some_and(good)
    }
}

impl Judge for Named {
    fn takes(
        &self,
        certificate: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> bool {
        self.records.iter().any(|record| match (record.usage, record.selector, record.matching) {
            // DANE-EE: neither names nor times of the certificate count (RFC 7672 3.1.1).
            (3, ..) => matches(record, certificate),
            // DANE-TA: the authority may be in the record alone.
            (2, 0, 0) => self.leads_to(CertificateDer::from(record.data.as_slice()), certificate, chain, name, now),
            (2, ..) => chain
                .iter()
                .filter(|anchor| matches(record, anchor))
                .any(|anchor| self.leads_to(anchor.clone(), certificate, chain, name, now)),
            _ => false,
        })
    }
}
