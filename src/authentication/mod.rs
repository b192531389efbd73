//! Floor 4, authentication: whether the domain of an author stands behind a message. SPF (RFC 7208), DKIM (RFC 6376) and
//! DMARC (RFC 9989) by the relay itself ([`verify`]), or what a trusted front MTA found ([`front`], RFC 8601).
//!
//! Owns: results as plain values, and what follows from them ([`policy::author::Proof`](crate::policy::author::Proof)).
//! Not here: whether the author may write (`policy::author`), and reading the `From` field (`message::author`). ARC proves
//! nothing here: it says who forwarded a message, not who wrote it. Whether a seal was good stands in the history.

pub mod front;
pub mod guessing;
pub mod password;
#[cfg(test)]
pub(crate) mod tests;
pub mod verify;

pub use verify::{Check, Verifier};

use crate::policy::author::Proof;
use crate::policy::reason::Method;
use crate::types::Address;

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
    /// What follows.
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
    /// SHA-256 of the value (`b=`, decoded) of each signature that proves the author.
    pub signatures: Vec<[u8; 32]>,
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
        }
    }

    /// What is proved of the author of a message to this recipient. A signature alone proves him only
    /// to whom the signed `To` or `Cc` names.
    #[must_use]
    pub fn proof_to(&self, _recipient: &Address) -> Proof {
        self.proof
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
}

/// A check's outcome and the domain that it speaks for.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Found {
    domain: String,
    outcome: Outcome,
}

/// What all checks found, each with the domain it speaks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Results {
    spf: Option<Found>,
    dkim: Vec<Found>,
    /// DMARC's own answer, which knows relaxed alignment (RFC 9989 4.10.2) by the author domain's record.
    dmarc: Outcome,
}

/// What the results prove of an author in `domain`.
///
/// Without a DMARC record nobody says what an organisation is, so only the very domain of the author counts. What another
/// domain's SPF or DKIM says, pass or fail, proves nothing.
fn conclude(results: &Results, domain: &str) -> Proof {
    let speaks = |found: &&Found| found.domain.eq_ignore_ascii_case(domain);
    let spf = results.spf.as_ref().filter(speaks).map_or(Outcome::None, |found| found.outcome);
    let dkim = || results.dkim.iter().filter(speaks).map(|found| found.outcome);
    let any = |wanted: Outcome| spf == wanted || results.dmarc == wanted || dkim().any(|outcome| outcome == wanted);
    if any(Outcome::Pass) {
        return Proof::Proved;
    }
    if any(Outcome::TempError) {
        return Proof::Trouble;
    }
    match (results.dmarc, spf, dkim().next()) {
        (Outcome::None, Outcome::None, None) => Proof::Absent,
        (Outcome::None, _, None) => Proof::Failed(Method::Spf),
        (Outcome::None, Outcome::None, Some(_)) => Proof::Failed(Method::Dkim),
        _ => Proof::Failed(Method::Several),
    }
}
