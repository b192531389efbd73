//! Rule 2: only the other party of the pair may write, proved.
//!
//! Not here: reading the `From` field (`message`) and checking SPF, DKIM and DMARC (`authentication`).

use super::reason::{Method, Reason, Verdict};
use super::{Decision, Facts};
use crate::types::Address;

/// Who the `From` field says wrote the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Author {
    /// A registered address of the party whose turn it is.
    Party,
    /// Somebody else.
    Stranger,
    /// There is no `From`.
    Missing,
    /// Several fields, or several addresses.
    Several,
    /// No mailbox could be read from it.
    Malformed,
}

/// What is known of whether the author wrote this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// Nobody checks: `mode = "none"`, which `check` allows on loopback only.
    NotChecked,
    /// SPF or DKIM passed for a domain aligned with the author's (RFC 7489 3.1), or the author logged in.
    Proved,
    /// The domain has something to check by, and it failed.
    Failed(Method),
    /// There is nothing to check by.
    Absent,
    /// DNS did not answer.
    Trouble,
}

/// Whether the envelope sender is somebody else's mailbox in the author's domain. SPF and DMARC prove the domain, not the
/// person: `mallory@provider` could otherwise write `From: ann@provider` with everything passing.
///
/// `registered` are the addresses under which the author's party may write. The null sender is nobody's mailbox.
pub fn other_mailbox<'a>(
    sender: Option<&Address>,
    author: &Address,
    registered: impl IntoIterator<Item = &'a Address>,
) -> bool {
    let Some(sender) = sender else { return false };
    let key = sender.key();
    sender.domain() == author.domain() && key != author.key() && !registered.into_iter().any(|a| a.key() == key)
}

/// Whether the author is the party whose turn it is, as far as anybody can know. What is refused for
/// anything else is a stranger's mail, whomever it names.
#[must_use]
pub fn is_known(facts: &Facts<'_>) -> bool {
    facts.author == Author::Party && unproved(facts).is_none()
}

/// What keeps the mail of somebody who calls himself the party from being his.
fn unproved(facts: &Facts<'_>) -> Option<Reason> {
    if facts.other_mailbox {
        return Some(Reason::OtherMailbox);
    }
    match facts.proof {
        Proof::NotChecked | Proof::Proved => None,
        // A suspended seller's leave to write without proof is suspended, too: his own reply is only
        // for who is proved, and everybody else hears the one of strangers.
        Proof::Absent if facts.unauthenticated_allowed && !facts.author_suspended => None,
        Proof::Absent => Some(Reason::Unauthenticated),
        Proof::Failed(method) => Some(Reason::AuthenticationFailed(method)),
        Proof::Trouble => Some(Reason::DnsTrouble),
    }
}

/// The order hides who stands behind the alias. What the message alone tells comes first; then DNS
/// trouble, whoever the author says he is; then a stranger and a party that nothing proves, who are
/// answered alike. The honest: mail from a domain whose DNS is down waits, and comes again; a party
/// whose mail proves nothing is told so at its registered address (`relay::owners`). The liar: his
/// guess is refused in the words, and after the work, that every other guess gets.
pub(super) fn rule(facts: &Facts<'_>) -> Option<Decision> {
    let refused = |reason| Some(Decision::reject(reason));
    match facts.author {
        Author::Missing => return refused(Reason::NoAuthor),
        Author::Several => return refused(Reason::SeveralAuthors),
        Author::Malformed => return refused(Reason::MalformedAuthor),
        Author::Party | Author::Stranger if facts.proof == Proof::Trouble => {
            return Some(Decision::new(Verdict::Defer, Reason::DnsTrouble));
        }
        Author::Stranger => return refused(Reason::Stranger),
        Author::Party => {}
    }
    if let Some(reason) = unproved(facts) {
        return refused(reason);
    }
    if facts.author_suspended {
        return refused(Reason::Suspended);
    }
    facts.gone.then(|| Decision::reject(Reason::Gone))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_mailbox_of_the_same_domain() {
        let address = |text: &str| Address::parse(text).unwrap();
        let author = address("ann@mail.test");
        let registered = [address("ann@mail.test"), address("ann.office@mail.test"), address("shop@shop.test")];
        let cases = [
            (None, false, "null sender"),
            (Some("ann@mail.test"), false, "the author"),
            (Some("Ann+tag@MAIL.test"), false, "case and tag do not matter"),
            (Some("ann.office@mail.test"), false, "registered"),
            (Some("mallory@mail.test"), true, "somebody else there"),
            (Some("ann@sub.mail.test"), false, "another domain: alignment decides"),
            (Some("bounces@esp.test"), false, "another domain: alignment decides"),
        ];
        for (sender, want, why) in cases {
            let sender = sender.map(address);
            assert_eq!(other_mailbox(sender.as_ref(), &author, &registered), want, "{why}");
        }
    }
}
