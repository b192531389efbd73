//! SPF, DKIM and DMARC by mail-auth, and what it leaves out: several records at one name.
//!
//! mail-auth takes the first that it can read, and the order of records is chance: a domain would
//! be proved at one time and not at another.
//! - SPF: none counts (RFC 7208 4.5, a permanent error), at the domain that is asked about and at
//!   each that `include` or `redirect` leads to.
//! - DMARC: none counts (RFC 7489 6.6.3, RFC 9989 4.10): it is as if the name had none.
//! - Keys of DKIM: any of them may be the one (RFC 6376 6.1.2), so each is tried.
//!
//! Whom it hits: senders whose domain has an old record beside the new one. A signature of that
//! very domain proves them still, and the history says `permerror` of SPF and `none` of DMARC. What
//! it tells a liar: what everybody can ask DNS; and he writes no records there.

use crate::types::locked;
use hickory_resolver::TokioResolver;
use hickory_resolver::proto::rr::{Name, RData};
use mail_auth::common::parse::TxtRecordParser as _;
use mail_auth::common::resolver::ToFqdn as _;
use mail_auth::common::verify::{DomainKey, VerifySignature as _};
use mail_auth::dmarc::verify::DmarcParameters;
use mail_auth::spf::verify::SpfParameters;
use mail_auth::{
    AuthenticatedMessage, DkimOutput, DkimResult, DmarcOutput, DmarcResult, DnsError, Error, MessageAuthenticator,
    Parameters, ResolverCache, SpfOutput, SpfResult, Txt,
};
use std::borrow::Borrow;
use std::hash::Hash;
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// Keys at one name that are tried.
const KEYS: usize = 4;

/// What mail-auth keeps answers in for one message: what was read is read once.
#[derive(Default)]
struct Read(Mutex<Vec<Record>>);

/// The record that stands at a name, or what is taken for it.
struct Record {
    name: Box<str>,
    text: Txt,
    /// It was asked whether there are others.
    counted: bool,
}

impl Read {
    /// Says that a record stands at a name, whatever DNS says.
    fn instead(name: &str, text: Txt) -> Self {
        Self(Mutex::new(vec![Record { name: name.into(), text, counted: true }]))
    }

    /// Where a record of SPF or DMARC was read, and nobody asked yet whether there are others.
    fn next(&self) -> Option<Box<str>> {
        let is_one = |record: &&Record| !record.counted && matches!(record.text, Txt::Spf(_) | Txt::Dmarc(_));
        locked(&self.0).iter().find(is_one).map(|record| record.name.clone())
    }

    /// That was asked; `several`: it is as if there were none.
    fn count(&self, name: &str, several: bool) {
        if let Some(record) = locked(&self.0).iter_mut().find(|record| *record.name == *name) {
            record.counted = true;
            if several {
                record.text = Txt::Error(Error::Dns(DnsError::InvalidRecordType));
            }
        }
    }
}

impl ResolverCache<Box<str>, Txt> for Read {
    fn get<Q>(&self, name: &Q) -> Option<Txt>
    where
        Box<str>: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let is = |record: &&Record| Borrow::<Q>::borrow(&record.name) == name;
        locked(&self.0).iter().find(is).map(|record| record.text.clone())
    }

    fn remove<Q>(&self, _: &Q) -> Option<Txt>
    where
        Box<str>: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        None
    }

    fn insert(&self, name: Box<str>, text: Txt, _: Instant) {
        locked(&self.0).push(Record { name, text, counted: false });
    }
}

/// What the records of SPF say of a client.
pub(super) async fn spf(authenticator: &MessageAuthenticator, parameters: SpfParameters<'_>) -> SpfOutput {
    let read = Read::default();
    let output = authenticator.verify_spf(Parameters::new(parameters).with_txt_cache(&read)).await;
    if matches!(output.result(), SpfResult::None | SpfResult::TempError | SpfResult::PermError) {
        return output;
    }
    while let Some(name) = read.next() {
        if texts(&authenticator.0, &name).await.iter().filter(|text| is_spf(text)).count() > 1 {
            return output.with_result(SpfResult::PermError);
        }
        read.count(&name, false);
    }
    output
}

/// What DMARC says of a message, asked several times: the records are the same each time.
pub(super) struct Dmarc<'a> {
    authenticator: &'a MessageAuthenticator,
    message: &'a AuthenticatedMessage<'a>,
    read: Read,
}

impl<'a> Dmarc<'a> {
    pub(super) fn of(authenticator: &'a MessageAuthenticator, message: &'a AuthenticatedMessage<'a>) -> Self {
        Self { authenticator, message, read: Read::default() }
    }

    pub(super) async fn check(&self, signatures: &[DkimOutput<'_>], spf_domain: &str, spf: &SpfOutput) -> DmarcOutput {
        loop {
            let parameters = DmarcParameters::new(self.message, signatures, spf_domain, spf);
            let parameters = Parameters::new(parameters).with_txt_cache(&self.read);
            let output = self.authenticator.verify_dmarc(parameters).await;
            let mut hidden = false;
            while let Some(name) = self.read.next() {
                let several =
                    texts(&self.authenticator.0, &name).await.iter().filter(|text| is_dmarc(text)).count() > 1;
                self.read.count(&name, several);
                hidden |= several;
            }
            // Each further round knows a name more; a domain has eight that are asked.
            if !hidden {
                return output;
            }
        }
    }

    /// Whether it takes this one signature's domain for the author's.
    pub(super) async fn is_aligned(&self, signature: &DkimOutput<'_>) -> bool {
        let nobody = SpfOutput::new(String::new());
        let found = self.check(std::slice::from_ref(signature), "", &nobody).await;
        *found.dkim_result() == DmarcResult::Pass
    }
}

/// Verifies the one signature of a message, by each key that stands at its name.
pub(super) async fn dkim<'a>(
    authenticator: &MessageAuthenticator,
    message: &'a AuthenticatedMessage<'a>,
) -> Option<DkimOutput<'a>> {
    let output = authenticator.verify_dkim(message).await.pop()?;
    let signature = &message.dkim_headers.first()?.header;
    if !matches!(output.result(), DkimResult::Fail(_)) {
        return Some(output);
    }
    let name = signature.domain_key().to_fqdn().into_owned();
    let found = texts(&authenticator.0, &name).await;
    let keys: Vec<DomainKey> = found.iter().filter_map(|text| DomainKey::parse(text).ok()).take(KEYS).collect();
    for key in keys.into_iter().skip(1) {
        let read = Read::instead(&name, Txt::DomainKey(Arc::new(key)));
        let found = authenticator.verify_dkim(Parameters::new(message).with_txt_cache(&read)).await;
        if found.first().is_some_and(|found| *found.result() == DkimResult::Pass) {
            return Some(DkimOutput::pass().with_signature(signature));
        }
    }
    Some(output)
}

/// The texts at a name, each of one record. It was asked a moment ago: the resolver knows.
async fn texts(resolver: &TokioResolver, name: &str) -> Vec<Vec<u8>> {
    // As mail-auth reads names: `_spf` is one.
    let Ok(name) = Name::from_str_relaxed(name) else { return Vec::new() };
    let Ok(found) = resolver.txt_lookup(name).await else { return Vec::new() };
    let texts = found.answers().iter().filter_map(|record| match &record.data {
        // Several strings of a record are one text, and nothing stands between them.
        RData::TXT(text) => Some(text.txt_data.concat()),
        _ => None,
    });
    texts.collect()
}

/// RFC 7208 4.5: the version, and then a space or nothing. The letters are of either case (4.6.1).
fn is_spf(record: &[u8]) -> bool {
    const VERSION: &[u8] = b"v=spf1";
    let (version, rest) = record.split_at_checked(VERSION.len()).unwrap_or((record, b"x"));
    version.eq_ignore_ascii_case(VERSION) && rest.first().is_none_or(|byte| *byte == b' ')
}

/// RFC 7489 6.4: `v`, `=`, `DMARC1`, which stand first, and then a semicolon or nothing. White
/// space may stand between them; the value is of these letters (6.3).
fn is_dmarc(record: &[u8]) -> bool {
    let (version, _) = record.split_at(memchr::memchr(b';', record).unwrap_or(record.len()));
    let mut halves = version.splitn(2, |byte| *byte == b'=').map(<[u8]>::trim_ascii);
    halves.next().is_some_and(|name| name.eq_ignore_ascii_case(b"v")) && halves.next() == Some(b"DMARC1")
}
