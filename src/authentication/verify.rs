//! SPF, DKIM and DMARC by the relay itself, through mail-auth over our resolver. What mail-auth leaves to its caller is done
//! here: that it reads the same header as we do, that `From` is signed, limits, and a step around a fault in its body hash.

use super::{Authentication, Found, Outcome, Results, conclude};
use crate::message::headers;
use crate::policy::author::Proof;
use crate::policy::reason::Method;
use crate::types::Address;
use hickory_resolver::TokioResolver;
use mail_auth::common::crypto::Algorithm;
use mail_auth::dkim::Canonicalization;
use mail_auth::dmarc::verify::DmarcParameters;
use mail_auth::spf::verify::SpfParameters;
use mail_auth::{
    AuthenticatedMessage, DkimOutput, DkimResult, DmarcOutput, DmarcResult, MessageAuthenticator, SpfOutput, SpfResult,
};
use std::net::IpAddr;
use std::time::Duration;
use tokio::runtime::{Handle, RuntimeFlavor};

/// Signatures that are verified, those of the author's own domain first.
const SIGNATURES: usize = 5;
/// Longest DKIM-Signature field, in octets: RSA-4096 and a hundred field names fit.
const LONGEST_SIGNATURE: usize = 8 * 1024;
/// Most header fields of a message whose signatures are looked at: each name in `h=` is sought among them.
const MOST_FIELDS: usize = 2000;
/// Messages above this are hashed aside, in octets.
const HEAVY: usize = 128 * 1024;
/// All look-ups of a message together.
const TIMEOUT: Duration = Duration::from_secs(20);
/// ARC sets of a message that are looked at: one for each forwarder, and each costs a look-up or two.
const SEALS: usize = 4;
/// The look-ups of ARC, which decide nothing, beside the others.
const ARC_TIMEOUT: Duration = Duration::from_secs(2);

/// Checks authors. Cheap to clone.
#[derive(Clone)]
pub struct Verifier {
    authenticator: MessageAuthenticator,
    hostname: String,
    timeout: Duration,
}

/// A message to check.
#[derive(Clone, Copy, Debug)]
pub struct Check<'a> {
    /// As received.
    pub raw: &'a [u8],
    /// The client's network address.
    pub ip: IpAddr,
    /// What it said in EHLO.
    pub helo: &'a str,
    /// The envelope sender; `None` is `<>`.
    pub sender: Option<&'a Address>,
    /// The one author.
    pub author: &'a Address,
}

impl Verifier {
    /// Looks up by `resolver`; `hostname` is ours, for SPF macros.
    #[must_use]
    pub fn new(resolver: TokioResolver, hostname: &str) -> Self {
        let authenticator = MessageAuthenticator(resolver);
        Self { authenticator, hostname: hostname.to_owned(), timeout: TIMEOUT }
    }

    /// The same with another limit on the time of all look-ups of a message.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Whether the author's domain stands behind the message. DNS that does not answer in time is trouble, not failure.
    pub async fn verify(&self, check: &Check<'_>) -> Authentication {
        let mut message = aside(check.raw.len(), || read(check)).unwrap_or_default();
        // Our reader of `From` is the strict one.
        message.from = vec![check.author.expose().to_lowercase()];
        let found = match tokio::time::timeout(self.timeout, self.look(check, &message)).await {
            Ok(found) => found,
            Err(_) => Authentication::only(Proof::Trouble),
        };
        // Where nothing proves the author the history tells whether a forwarder sealed it: that explains what broke. It comes last, so that it changes nothing.
        let arc = if found.proof == Proof::Proved { Outcome::None } else { self.arc(&message).await };
        Authentication { arc, ..found }
    }

    /// RFC 8617 5.2. Who sealed a message says what he saw; nobody has to believe it, and we do not.
    async fn arc(&self, message: &AuthenticatedMessage<'_>) -> Outcome {
        match message.ams_headers.len() {
            0 => Outcome::None,
            1..=SEALS => match tokio::time::timeout(ARC_TIMEOUT, self.authenticator.verify_arc(message)).await {
                Ok(output) => of_result(output.result()),
                Err(_) => Outcome::TempError,
            },
            _ => Outcome::Neutral,
        }
    }

    async fn look(&self, check: &Check<'_>, message: &AuthenticatedMessage<'_>) -> Authentication {
        let domain = check.author.domain();
        let spf_domain = check.sender.map_or(check.helo, Address::domain);
        let sender = check.sender.map(Address::expose);
        let (spf, signatures) = tokio::join!(self.spf(check, sender), self.authenticator.verify_dkim(message));
        let parameters = DmarcParameters::new(message, &signatures, spf_domain, &spf);
        let dmarc = of_dmarc(&self.authenticator.verify_dmarc(parameters).await);
        let results = Results {
            spf: Some(Found { domain: spf_domain.to_owned(), outcome: of_spf(&spf) }),
            dkim: signatures.iter().filter_map(of_dkim).collect(),
            dmarc,
        };
        let mut proof = conclude(&results, domain);
        if proof == Proof::Absent {
            // A forger takes another envelope sender and signs nothing. Does the author's domain have an SPF record by which
            // its mail could have been known?
            proof = match of_spf(&self.spf(check, Some(check.author.expose())).await) {
                Outcome::None => Proof::Absent,
                Outcome::TempError => Proof::Trouble,
                _ => Proof::Failed(Method::Spf),
            };
        }
        Authentication {
            proof,
            spf: of_spf(&spf),
            dkim: results.dkim.iter().map(|found| found.outcome).collect(),
            dmarc: results.dmarc,
            arc: Outcome::None,
            login: false,
            signatures: Vec::new(),
        }
    }

    /// RFC 7208 2.4: the envelope sender, or the EHLO name where that is `<>`.
    async fn spf(&self, check: &Check<'_>, sender: Option<&str>) -> SpfOutput {
        let parameters = match sender {
            Some(sender) => SpfParameters::verify_mail_from(check.ip, check.helo, &self.hostname, sender),
            None => SpfParameters::verify_ehlo(check.ip, check.helo, &self.hostname),
        };
        self.authenticator.verify_spf(parameters).await
    }
}

/// Hashing a large message takes as long as many small ones: the async thread's other work is handed on meanwhile, where the runtime can do that.
fn aside<T>(size: usize, work: impl FnOnce() -> T) -> T {
    let flavor = Handle::try_current().map(|handle| handle.runtime_flavor());
    if size > HEAVY && matches!(flavor, Ok(RuntimeFlavor::MultiThread)) {
        tokio::task::block_in_place(work)
    } else {
        work()
    }
}

/// The message as mail-auth needs it, with the signatures that count; `None`, so no signature counts, if the two of us do not read the same header.
///
/// The same-header check is what keeps a signed message from hiding behind a forged `From`: `From: ann@d`, a line that is no
/// field, and then a whole message that the domain `d` signed for somebody else.
fn read<'a>(check: &Check<'a>) -> Option<AuthenticatedMessage<'a>> {
    let (fields, body) = headers::split(check.raw);
    if fields.len() > MOST_FIELDS {
        return None;
    }
    let mut message = AuthenticatedMessage::parse(check.raw)?;
    let same = message.headers.len() == fields.len()
        && message.headers.iter().zip(&fields).all(|(theirs, ours)| theirs.0 == ours.name.as_bytes())
        && message.body_offset() == check.raw.len() - body.len()
        && fields.iter().filter(|field| field.is("From")).count() == 1;
    if !same {
        return None;
    }
    let domain = check.author.domain();
    message.dkim_headers.retain(|header| {
        let signature = &header.header;
        header.value.len() <= LONGEST_SIGNATURE
            && signature.a != Algorithm::RsaSha1
            && signature.h.iter().any(|name| name.eq_ignore_ascii_case("from"))
            && identity_is_within(&signature.i, &signature.d)
    });
    // Whoever puts a hundred signatures before the author's own hides it from nobody.
    message.dkim_headers.sort_by_key(|header| !header.header.d.eq_ignore_ascii_case(domain));
    message.dkim_headers.truncate(SIGNATURES);
    for header in &mut message.dkim_headers {
        // No look-ups beyond the key: not for reports (RFC 6651), not for third parties (RFC 6541).
        header.header.r = false;
        header.header.atps = None;
    }
    trim_body_hashes(&mut message, check.raw);
    Some(message)
}

/// RFC 6376 3.5: the domain of `i=` is that of `d=` or below it.
fn identity_is_within(identity: &str, domain: &str) -> bool {
    let Some((_, of)) = identity.rsplit_once('@') else { return identity.is_empty() };
    let (of, domain) = (of.to_ascii_lowercase(), domain.to_ascii_lowercase());
    of == domain || of.strip_suffix(&domain).is_some_and(|rest| rest.ends_with('.'))
}

/// mail-auth 0.13 hashes a body wrongly under `relaxed` that ends in lines of nothing but spaces (its issue 62; fixed in
/// 0.15). RFC 6376 3.4.4 makes such lines empty and drops them, so the hash of the body without them is the right one.
fn trim_body_hashes(message: &mut AuthenticatedMessage<'_>, raw: &[u8]) {
    let relaxed = message.body_hashes.iter().any(|(kind, ..)| *kind == Canonicalization::Relaxed);
    let end = trimmed_end(raw, message.body_offset());
    if !relaxed || end == raw.len() {
        return;
    }
    let Some(trimmed) = raw.get(..end).and_then(AuthenticatedMessage::parse) else { return };
    for (kind, algorithm, length, hash) in &mut message.body_hashes {
        let right = trimmed.body_hashes.iter().find(|(k, a, l, _)| (&*kind, &*algorithm, &*length) == (k, a, l));
        if let (Canonicalization::Relaxed, Some(right)) = (&kind, right) {
            hash.clone_from(&right.3);
        }
    }
}

/// Where the body ends without its last lines of nothing but spaces and tabs; the length of `raw` if it has none.
fn trimmed_end(raw: &[u8], body: usize) -> usize {
    let mut end = raw.len();
    let mut spaces = false;
    while let Some(line) = raw.get(body..end).filter(|rest| !rest.is_empty()) {
        let content = line.strip_suffix(b"\r\n").unwrap_or(line);
        let start = memchr::memrchr(b'\n', content).map_or(0, |at| at + 1);
        let last = content.get(start..).unwrap_or(&[]);
        if !last.iter().all(|b| matches!(b, b' ' | b'\t')) {
            break;
        }
        spaces |= !last.is_empty();
        end = body + start;
    }
    if spaces { end } else { raw.len() }
}

fn of_spf(output: &SpfOutput) -> Outcome {
    match output.result() {
        SpfResult::Pass => Outcome::Pass,
        SpfResult::Fail => Outcome::Fail,
        SpfResult::SoftFail | SpfResult::Neutral => Outcome::Neutral,
        SpfResult::TempError => Outcome::TempError,
        SpfResult::PermError => Outcome::PermError,
        SpfResult::None => Outcome::None,
    }
}

fn of_dkim(output: &DkimOutput<'_>) -> Option<Found> {
    let outcome = of_result(output.result());
    if outcome == Outcome::None { None } else { Some(Found { domain: output.signature()?.d.clone(), outcome }) }
}

/// Of a signature or a seal.
fn of_result(result: &DkimResult) -> Outcome {
    match result {
        DkimResult::Pass => Outcome::Pass,
        DkimResult::Fail(_) => Outcome::Fail,
        DkimResult::Neutral(_) => Outcome::Neutral,
        DkimResult::TempError(_) => Outcome::TempError,
        DkimResult::PermError(_) => Outcome::PermError,
        DkimResult::None => Outcome::None,
    }
}

fn of_dmarc(output: &DmarcOutput) -> Outcome {
    match output.result() {
        DmarcResult::Pass => Outcome::Pass,
        DmarcResult::Fail(_) => Outcome::Fail,
        DmarcResult::TempError(_) => Outcome::TempError,
        DmarcResult::PermError(_) => Outcome::PermError,
        DmarcResult::None => Outcome::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_of_bodies() {
        // body, octets that count
        let cases = [
            ("text\r\n", 6),
            ("text\r\n\r\n", 8),
            ("text\r\n \r\n", 6),
            ("text\r\n \t\r\n\r\n  \r\n", 6),
            ("text\r\n \r\nx", 10),
            ("text\r\n  ", 6),
            ("text \r\n", 7),
            (" \r\n", 0),
            ("", 0),
        ];
        for (body, want) in cases {
            let raw = format!("A: b\r\n\r\n{body}");
            assert_eq!(trimmed_end(raw.as_bytes(), 8), 8 + want, "{body:?}");
        }
    }

    #[test]
    fn identities() {
        let cases = [
            ("", "d.test", true),
            ("@d.test", "d.test", true),
            ("ann@D.test", "d.test", true),
            ("@mail.d.test", "d.test", true),
            ("@ad.test", "d.test", false),
            ("@test", "d.test", false),
            ("d.test", "d.test", false),
        ];
        for (identity, domain, want) in cases {
            assert_eq!(identity_is_within(identity, domain), want, "{identity}");
        }
    }
}
