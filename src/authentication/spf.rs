//! SPF by mail-auth, and what it leaves out: a domain with two records has none that counts.
//!
//! RFC 7208 4.5 makes that a permanent error, for the domain that is asked about and for each that
//! `include` or `redirect` leads to. mail-auth takes the first that it can read, and the order of
//! records is chance: a domain would be proved at one time and not at another.
//!
//! Whom it hits: senders whose domain has an old record beside the new one; a signature proves them
//! still, and the word in the history is `permerror`. What it tells a liar: what everybody can ask
//! DNS.

use crate::types::locked;
use hickory_resolver::TokioResolver;
use hickory_resolver::proto::rr::{Name, RData};
use mail_auth::spf::verify::SpfParameters;
use mail_auth::{MessageAuthenticator, Parameters, ResolverCache, SpfOutput, SpfResult, Txt};
use std::borrow::Borrow;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};

/// What mail-auth would keep answers in. It keeps none, as the resolver has them, and notes at
/// which names a record of SPF was read.
#[derive(Default)]
struct Read(Mutex<Vec<Box<str>>>);

impl ResolverCache<Box<str>, Txt> for Read {
    fn get<Q>(&self, _: &Q) -> Option<Txt>
    where
        Box<str>: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        None
    }

    fn remove<Q>(&self, _: &Q) -> Option<Txt>
    where
        Box<str>: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        None
    }

    fn insert(&self, name: Box<str>, found: Txt, _: std::time::Instant) {
        if matches!(found, Txt::Spf(_)) {
            locked(&self.0).push(name);
        }
    }
}

/// What the records say of a client.
pub(super) async fn check(authenticator: &MessageAuthenticator, parameters: SpfParameters<'_>) -> SpfOutput {
    let read = Read::default();
    let output = authenticator.verify_spf(Parameters::new(parameters).with_txt_cache(&read)).await;
    if matches!(output.result(), SpfResult::None | SpfResult::TempError | SpfResult::PermError) {
        return output;
    }
    let names = read.0.into_inner().unwrap_or_else(PoisonError::into_inner);
    for name in &names {
        if has_several(&authenticator.0, name).await {
            return output.with_result(SpfResult::PermError);
        }
    }
    output
}

/// Whether a name has several records. It was asked a moment ago: the resolver knows.
async fn has_several(resolver: &TokioResolver, name: &str) -> bool {
    // As mail-auth reads names: `_spf` is one.
    let Ok(name) = Name::from_str_relaxed(name) else { return false };
    let Ok(found) = resolver.txt_lookup(name).await else { return false };
    let records = found.answers().iter().filter(|record| match &record.data {
        RData::TXT(text) => is_spf(&text.txt_data.concat()),
        _ => false,
    });
    records.count() > 1
}

/// RFC 7208 4.5: the version, and then a space or nothing. The letters are of either case (4.6.1).
fn is_spf(record: &[u8]) -> bool {
    const VERSION: &[u8] = b"v=spf1";
    let (version, rest) = record.split_at_checked(VERSION.len()).unwrap_or((record, b"x"));
    version.eq_ignore_ascii_case(VERSION) && rest.first().is_none_or(|byte| *byte == b' ')
}
