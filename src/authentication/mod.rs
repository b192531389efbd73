//! Floor 4, authentication: whether the domain of an author stands behind a message. SPF (RFC 7208), DKIM (RFC 6376) and
//! DMARC (RFC 9989) by the relay itself ([`verify`]), or what a trusted front MTA found ([`front`], RFC 8601).
//!
//! A domain's word is proof of an author only where it is about this message: SPF for this
//! envelope, a login, or a signature that covers what is read, and names the recipient
//! ([`Weakness`]).
//!
//! Owns: results as plain values, and what follows from them ([`policy::author::Proof`](crate::policy::author::Proof)).
//! Not here: whether the author may write (`policy::author`), and reading the `From` field (`message::author`). ARC proves
//! nothing here: it says who forwarded a message, not who wrote it. Whether a seal was good stands in the history.

pub mod front;
pub mod guessing;
pub mod password;
mod records;
mod signature;
#[cfg(test)]
pub(crate) mod tests;
pub mod verify;

pub use signature::Weakness;
pub use verify::{Check, Verifier};

use crate::policy::author::{By, Proof};
use crate::policy::reason::Method;
use crate::types::Address;
use signature::Signed;

/// What one check found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// There is nothing to check by.
    #[default]
    None,
    /// It is so.
    Pass,
    /// It is not so.
    Fail,
    /// The domain does not say (SPF neutral and softfail; a DKIM signature that is expired or not understood).
    Neutral,
    /// DNS did not answer.
    TempError,
    /// The domain's record cannot be understood.
    PermError,
}

impl Outcome {
    /// The word of RFC 8601 2.7.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Neutral => "neutral",
            Self::TempError => "temperror",
            Self::PermError => "permerror",
        }
    }
}

/// What is known of a message's author, for policy and for the history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authentication {
    /// What follows to a recipient whom no signature names: from SPF, a login, or from what failed.
    pub proof: Proof,
    /// SPF of the envelope sender's domain.
    pub spf: Outcome,
    /// Each DKIM signature that was looked at.
    pub dkim: Vec<Outcome>,
    /// DMARC of the author's domain; none if it has no record.
    pub dmarc: Outcome,
    /// ARC, where nothing proves the author: whether a forwarder's seal is good. Proves nothing.
    pub arc: Outcome,
    /// The author logged in; nothing else was asked.
    pub login: bool,
    /// SHA-256 of the value (`b=`, decoded) of each signature that proves the author to those whom
    /// it names, or would if its key had come in time.
    pub signatures: Vec<[u8; 32]>,
    /// The signatures of the author's domain.
    signed: Vec<Signed>,
    /// The envelope sender that a front asked SPF about, if it says so.
    pub mail_from: Option<Address>,
}

impl Authentication {
    /// This is known, and no check says more: nobody looked, or there was nothing to look at.
    #[must_use]
    pub fn only(proof: Proof) -> Self {
        Self {
            proof,
            spf: Outcome::None,
            dkim: Vec::new(),
            dmarc: Outcome::None,
            arc: Outcome::None,
            login: false,
            signatures: Vec::new(),
            signed: Vec::new(),
            mail_from: None,
        }
    }

    /// What is proved of the author of a message to this recipient. A signature alone proves him
    /// only to whom the signed `To` or `Cc` names.
    #[must_use]
    pub fn proof_to(&self, recipient: &Address) -> Proof {
        match (self.proof, self.signed_to(recipient)) {
            (Proof::Proved, _) | (_, Outcome::Pass) => Proof::Proved,
            (_, Outcome::TempError) => Proof::Trouble,
            (proof, _) => proof,
        }
    }

    /// By what he is proved to this recipient; the strongest.
    #[must_use]
    pub fn by(&self, recipient: &Address) -> By {
        match (self.login, self.signed_to(recipient), self.proof) {
            (true, ..) => By::Login,
            (_, Outcome::Pass, _) => By::Signature,
            (_, _, Proof::Proved) => By::Spf,
            _ => By::Nothing,
        }
    }

    /// The best outcome of the signatures that may prove the author to this recipient.
    fn signed_to(&self, recipient: &Address) -> Outcome {
        let mut usable = self.signed.iter().filter(|signed| signed.weakness_to(recipient).is_none());
        let is = |wanted: Outcome| move |signed: &Signed| signed.outcome == wanted;
        if usable.clone().any(is(Outcome::Pass)) {
            Outcome::Pass
        } else if usable.any(is(Outcome::TempError)) {
            Outcome::TempError
        } else {
            Outcome::None
        }
    }

    /// Why no signature proves the author to this recipient, though one is good; or would have
    /// been, but for its `l=`.
    #[must_use]
    pub fn weakness_to(&self, recipient: &Address) -> Option<Weakness> {
        if self.signed_to(recipient) == Outcome::Pass {
            return None;
        }
        let told = self
            .signed
            .iter()
            .filter(|signed| signed.outcome == Outcome::Pass || signed.weakness == Some(Weakness::LengthTag));
        told.map(|signed| signed.weakness_to(recipient)).next().flatten()
    }

    /// Whom `i=` of each good signature of the author's domain names; none where it cannot be read.
    #[must_use]
    pub fn identities(&self) -> Vec<Option<Address>> {
        let good = self.signed.iter().filter(|signed| signed.outcome == Outcome::Pass);
        good.flat_map(|signed| &signed.identities).cloned().collect()
    }

    /// The author logged in (RFC 4954), and writes as himself.
    #[must_use]
    pub fn login() -> Self {
        Self { login: true, ..Self::only(Proof::Proved) }
    }

    /// For the history: `spf=pass dkim=pass,fail dmarc=none`, or `auth=pass` for who logged in (RFC 8601 2.7.4). Words only.
    #[must_use]
    pub fn summary(&self) -> String {
        if self.login {
            return "auth=pass".to_owned();
        }
        let dkim: Vec<&str> = self.dkim.iter().map(|outcome| outcome.as_str()).collect();
        let dkim = if dkim.is_empty() { "none".to_owned() } else { dkim.join(",") };
        let arc = if self.arc == Outcome::None { String::new() } else { format!(" arc={}", self.arc.as_str()) };
        format!("spf={} dkim={dkim} dmarc={}{arc}", self.spf.as_str(), self.dmarc.as_str())
    }

    /// Keeps the signatures, and tells the values of those that prove something. One whose key did
    /// not come counts, too: the message may be relayed for its SPF, and whoever sends it again has
    /// a key that comes.
    fn with_signed(mut self, signed: Vec<Signed>) -> Self {
        let proves = |signed: &&Signed| {
            matches!(signed.outcome, Outcome::Pass | Outcome::TempError) && signed.weakness.is_none()
        };
        self.signatures = signed.iter().filter(proves).flat_map(|signed| &signed.values).copied().collect();
        self.signed = signed;
        self
    }
}

/// What the checks found of the author's domain, but for signatures that are good: each of those is
/// weighed by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Results {
    /// SPF, where the envelope sender's domain is the author's, or DMARC takes it for that.
    spf: Outcome,
    /// The first signature of the author's very domain that is not good.
    dkim: Outcome,
    /// DMARC's own answer by SPF: none where there is no record, trouble where it did not come.
    dmarc: Outcome,
}

/// What the results prove of an author.
///
/// Without a DMARC record nobody says what an organisation is, so only the very domain of the author counts. What another
/// domain's SPF or DKIM says, pass or fail, proves nothing.
fn conclude(results: Results) -> Proof {
    match (results.dmarc, results.spf, results.dkim) {
        (_, Outcome::Pass, _) => Proof::Proved,
        (Outcome::TempError, ..) | (_, Outcome::TempError, _) => Proof::Trouble,
        (Outcome::None, Outcome::None, Outcome::None) => Proof::Absent,
        (Outcome::None, _, Outcome::None) => Proof::Failed(Method::Spf),
        (Outcome::None, Outcome::None, _) => Proof::Failed(Method::Dkim),
        _ => Proof::Failed(Method::Several),
    }
}
