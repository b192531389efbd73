//! SPF, DKIM and DMARC by the relay itself, through mail-auth over our resolver. What mail-auth leaves to its caller is done
//! here: that it reads the same header as we do, that a signature covers what it has to, limits,
//! and a step around a fault in its body hash. All look-ups of a message run side by side, and each
//! that does not answer in time is trouble by itself: what the others found decides.

use super::records::{self, Dmarc};
use super::signature::{Header, Signed, Tags, Weakness, digest};
use super::{Authentication, Outcome, Results, conclude};
use crate::message::headers::{self, Field};
use crate::policy::author::Proof;
use crate::policy::reason::Method;
use crate::types::provider::is_within;
use crate::types::{Address, Time};
use hickory_resolver::TokioResolver;
use mail_auth::common::crypto::Algorithm;
use mail_auth::dkim::{Canonicalization, Signature};
use mail_auth::spf::verify::SpfParameters;
use mail_auth::{
    AuthenticatedMessage, DkimOutput, DkimResult, DmarcOutput, DmarcResult, MessageAuthenticator, SpfOutput, SpfResult,
};
use std::net::IpAddr;
use std::time::Duration;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::time::{Instant, timeout_at};

/// Signatures that are verified, those of the author's own domain first.
const SIGNATURES: usize = 5;
/// Longest DKIM-Signature field, in octets: RSA-4096 and a hundred field names fit.
pub(super) const LONGEST_SIGNATURE: usize = 8 * 1024;
/// Most header fields of a message whose signatures are looked at: each name in `h=` is sought among them.
const MOST_FIELDS: usize = 2000;
/// Messages above this are hashed aside, in octets.
const HEAVY: usize = 128 * 1024;
/// All look-ups of a message together.
const TIMEOUT: Duration = Duration::from_secs(5);
/// ARC sets of a message that are looked at: one for each forwarder, and each costs a look-up or two.
const SEALS: usize = 4;
/// The look-ups of ARC, which decide nothing, in what is left of the time.
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
    /// To whom it was sent.
    pub recipients: &'a [Address],
    /// When.
    pub now: Time,
    /// Strangers have mailboxes in the author's domain: a sub-domain does not speak for it.
    pub provider: bool,
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
        let until = Instant::now() + self.timeout;
        let (fields, body) = headers::split(check.raw);
        let body = check.raw.len() - body.len();
        let mut message = aside(check.raw.len(), || read(check, &fields, body)).unwrap_or_default();
        // Our reader of `From` is the strict one.
        message.from = vec![check.author.expose().to_lowercase()];
        let found = self.look(check, &fields, &message, until).await;
        // Where nothing proves the author the history tells whether a forwarder sealed it: that explains what broke. It comes last, so that it changes nothing.
        let proved = check.recipients.iter().any(|recipient| found.proof_to(recipient) == Proof::Proved);
        let until = until.min(Instant::now() + ARC_TIMEOUT);
        let arc = if proved { Outcome::None } else { self.arc(&message, until).await };
        Authentication { arc, ..found }
    }

    /// RFC 8617 5.2. Who sealed a message says what he saw; nobody has to believe it, and we do not.
    async fn arc(&self, message: &AuthenticatedMessage<'_>, until: Instant) -> Outcome {
        match message.ams_headers.len() {
            0 => Outcome::None,
            1..=SEALS => match timeout_at(until, self.authenticator.verify_arc(message)).await {
                Ok(output) => of_result(output.result()),
                Err(_) => Outcome::TempError,
            },
            _ => Outcome::Neutral,
        }
    }

    async fn look(
        &self,
        check: &Check<'_>,
        fields: &[Field<'_>],
        message: &AuthenticatedMessage<'_>,
        until: Instant,
    ) -> Authentication {
        // DMARC's records are asked for beside the others, so that what is left is enough to read
        // them again from the cache.
        let early = until - self.timeout / 5;
        let spf_domain = check.sender.map_or(check.helo, Address::domain);
        let nobody = SpfOutput::new(spf_domain.to_owned());
        let alone = alone(message);
        let verify = |message| timeout_at(early, records::dkim(&self.authenticator, message));
        let policy = Dmarc::of(&self.authenticator, message);
        let (spf, outputs, record) = tokio::join!(
            timeout_at(early, self.spf(check, check.sender.map(Address::expose))),
            all(alone.iter().map(verify).collect()),
            timeout_at(early, policy.check(&[], spf_domain, &nobody)),
        );
        let spf = spf.unwrap_or_else(|_| SpfOutput::new(spf_domain.to_owned()).with_result(SpfResult::TempError));
        let outputs: Vec<Option<DkimOutput<'_>>> = outputs.into_iter().map(|output| output.ok().flatten()).collect();
        let answered: Vec<DkimOutput<'_>> = outputs.iter().flatten().cloned().collect();
        let dmarc = match record {
            // No record, whatever the others found.
            Ok(none) if none.result() == DmarcResult::None && none.dmarc_record().is_none() => Some(none),
            _ => timeout_at(until, policy.check(&answered, spf_domain, &spf)).await.ok(),
        };

        let signed = self.signed(check, fields, (message, &policy), (&outputs, dmarc.as_ref()), until).await;
        let results = results(check, spf_domain, &spf, dmarc.as_ref(), &signed);
        let found = Authentication {
            spf: of_spf(&spf),
            dkim: outputs.iter().map(of_dkim).filter(|outcome| *outcome != Outcome::None).collect(),
            dmarc: dmarc.as_ref().map_or(Outcome::TempError, of_dmarc),
            ..Authentication::only(conclude(results))
        };
        let mut found = found.with_signed(signed.into_iter().map(|(signed, _)| signed).collect());
        let proved = || check.recipients.iter().any(|recipient| found.proof_to(recipient) == Proof::Proved);
        if found.proof == Proof::Absent && !proved() {
            // A forger takes another envelope sender and signs nothing. Does the author's domain have an SPF record by which
            // its mail could have been known?
            let spf = timeout_at(until, self.spf(check, Some(check.author.expose()))).await;
            found.proof = match spf.as_ref().map_or(Outcome::TempError, of_spf) {
                Outcome::None => Proof::Absent,
                Outcome::TempError => Proof::Trouble,
                _ => Proof::Failed(Method::Spf),
            };
        }
        found
    }

    /// The signatures that speak for the author's domain, and whether each is of that very domain.
    async fn signed(
        &self,
        check: &Check<'_>,
        fields: &[Field<'_>],
        (message, policy): (&AuthenticatedMessage<'_>, &Dmarc<'_>),
        (outputs, dmarc): (&[Option<DkimOutput<'_>>], Option<&DmarcOutput>),
        until: Instant,
    ) -> Vec<(Signed, bool)> {
        let header = Header::new(fields, check.recipients, check.now);
        let domain = check.author.domain();
        let relaxed = dmarc.is_some_and(|dmarc| *dmarc.dkim_result() == DmarcResult::Pass);
        let good = outputs.iter().filter(|output| of_dkim(output) == Outcome::Pass).count();
        let mut signed = Vec::new();
        for (field, output) in message.dkim_headers.iter().zip(outputs) {
            let (signature, outcome) = (&field.header, of_dkim(output));
            let exact = signature.d.eq_ignore_ascii_case(domain);
            let speaks = exact
                || match (outcome, output) {
                    // The only good one is the one that DMARC means; of several each is asked about
                    // by itself.
                    (Outcome::Pass, Some(output)) if relaxed && is_related(&signature.d, domain) => {
                        good == 1 || timeout_at(until, policy.is_aligned(output)).await.unwrap_or(false)
                    }
                    (Outcome::TempError, _) => is_related(&signature.d, domain),
                    _ => false,
                };
            if !speaks {
                continue;
            }
            let tags = Tags::read(field.value);
            let mut weakness = if same(&tags, signature) { header.weakness(&tags) } else { Some(Weakness::Malformed) };
            if check.provider && !exact {
                weakness = weakness.or(Some(Weakness::SubDomain));
            }
            let (names, identities) = (header.names(&tags), tags.mailbox().into_iter().collect());
            let values = vec![digest(&signature.b)];
            signed.push((Signed { outcome, weakness, names, values, identities }, exact));
        }
        signed.extend(shortened(fields, domain).map(|signed| (signed, false)));
        signed
    }

    /// RFC 7208 2.4: the envelope sender, or the EHLO name where that is `<>`.
    async fn spf(&self, check: &Check<'_>, sender: Option<&str>) -> SpfOutput {
        let parameters = match sender {
            Some(sender) => SpfParameters::verify_mail_from(check.ip, check.helo, &self.hostname, sender),
            None => SpfParameters::verify_ehlo(check.ip, check.helo, &self.hostname),
        };
        records::spf(&self.authenticator, parameters).await
    }
}

/// The message once for each of its signatures, so that one whose key does not come holds up no
/// other.
fn alone<'a>(message: &AuthenticatedMessage<'a>) -> Vec<AuthenticatedMessage<'a>> {
    let one = |header: &mail_auth::common::headers::Header<'a, Signature>| AuthenticatedMessage {
        headers: message.headers.clone(),
        from: message.from.clone(),
        raw_message: message.raw_message,
        body_offset: message.body_offset,
        body_hashes: message.body_hashes.clone(),
        dkim_headers: vec![header.clone()],
        ..AuthenticatedMessage::default()
    };
    message.dkim_headers.iter().map(one).collect()
}

/// All of them, side by side.
async fn all<F: Future>(futures: Vec<F>) -> Vec<F::Output> {
    let mut futures: Vec<_> = futures.into_iter().map(|future| (Box::pin(future), None)).collect();
    std::future::poll_fn(move |context| {
        let mut ready = true;
        for (future, output) in &mut futures {
            if output.is_none() {
                match future.as_mut().poll(context) {
                    std::task::Poll::Ready(found) => *output = Some(found),
                    std::task::Poll::Pending => ready = false,
                }
            }
        }
        if ready {
            std::task::Poll::Ready(futures.iter_mut().filter_map(|(_, output)| output.take()).collect())
        } else {
            std::task::Poll::Pending
        }
    })
    .await
}

/// What SPF, DMARC and the bad signatures say of the author's domain.
fn results(
    check: &Check<'_>,
    spf_domain: &str,
    spf: &SpfOutput,
    dmarc: Option<&DmarcOutput>,
    signed: &[(Signed, bool)],
) -> Results {
    let domain = check.author.domain();
    let by_spf = dmarc.map_or(&DmarcResult::TempError(mail_auth::Error::ParseError), DmarcOutput::spf_result).clone();
    let recorded = dmarc.is_some_and(|dmarc| dmarc.dmarc_record().is_some());
    let bad = |outcome: &Outcome| !matches!(outcome, Outcome::Pass | Outcome::TempError | Outcome::None);
    Results {
        spf: match by_spf {
            DmarcResult::Pass => Outcome::Pass,
            _ if spf_domain.eq_ignore_ascii_case(domain) => of_spf(spf),
            _ => Outcome::None,
        },
        dkim: signed.iter().filter(|(_, exact)| *exact).map(|(s, _)| s.outcome).find(bad).unwrap_or_default(),
        dmarc: match by_spf {
            DmarcResult::TempError(_) => Outcome::TempError,
            _ if recorded => Outcome::Fail,
            _ => Outcome::None,
        },
    }
}

/// Whether two names may be of one organisation: DMARC says whether they are.
pub(super) fn is_related(one: &str, other: &str) -> bool {
    let end = |name: &str| {
        let mut labels = name.rsplit('.').map(str::to_ascii_lowercase);
        (labels.next(), labels.next())
    };
    end(one) == end(other)
}

/// Whether our reader of a signature and the one that verified it found the same.
fn same(tags: &Tags, signature: &Signature) -> bool {
    let covered = signature.h.iter().map(|name| name.to_ascii_lowercase());
    tags.domain.eq_ignore_ascii_case(&signature.d) && covered.eq(tags.covered.iter().cloned())
}

/// Signatures of the author's domain that cover a part of the body only: nobody looked whether they
/// are good, and the history tells why.
fn shortened<'a>(fields: &'a [Field<'a>], domain: &'a str) -> impl Iterator<Item = Signed> {
    let fields = fields.iter().filter(|field| field.is("DKIM-Signature") && field.value.len() <= LONGEST_SIGNATURE);
    let tags = fields.take(SIGNATURES).map(|field| Tags::read(field.value));
    tags.filter(move |tags| tags.is_shortened() && tags.domain == domain).map(|_| Signed {
        outcome: Outcome::Neutral,
        weakness: Some(Weakness::LengthTag),
        names: Vec::new(),
        values: Vec::new(),
        identities: Vec::new(),
    })
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
fn read<'a>(check: &Check<'a>, fields: &[Field<'_>], body: usize) -> Option<AuthenticatedMessage<'a>> {
    if fields.len() > MOST_FIELDS {
        return None;
    }
    let mut message = AuthenticatedMessage::parse(check.raw)?;
    let same = message.headers.len() == fields.len()
        && message.headers.iter().zip(fields).all(|(theirs, ours)| theirs.0 == ours.name.as_bytes())
        && message.body_offset() == body
        // Where `From` stands twice its values are the same: see `message::author`, which read it.
        && fields.iter().any(|field| field.is("From"));
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
    is_within(&of.to_ascii_lowercase(), &domain.to_ascii_lowercase())
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

/// None: it did not come in time.
fn of_dkim(output: &Option<DkimOutput<'_>>) -> Outcome {
    output.as_ref().map_or(Outcome::TempError, |output| of_result(output.result()))
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
