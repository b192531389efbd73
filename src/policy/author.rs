//! Rule 2: only the other party of the pair may write, proved.
//!
//! Not here: reading the `From` field (`message`) and checking SPF, DKIM and DMARC (`authentication`).

use super::reason::{Method, Reason, Verdict};
use super::wrapping::{self, Wrapped};
use super::{Decision, Facts};
use crate::types::{Address, Providers, provider};

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

/// By what the author is proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// By nothing.
    Nothing,
    /// By SPF alone: his domain allows the client to send, whoever wrote it.
    Spf,
    /// By a DKIM signature that covers who wrote it, to whom, and what.
    Signature,
    /// By his password.
    Login,
}

/// What shows, beside `From`, that somebody else than the author sent a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// The envelope sender.
    Envelope,
    /// The envelope sender `<>`, which is nobody.
    NullSender,
    /// `i=` of a signature (RFC 6376 3.5).
    Identity,
    /// The `Sender` field.
    Sender,
}

impl Sign {
    /// The word used in the history.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Envelope => "envelope",
            Self::NullSender => "null-sender",
            Self::Identity => "identity",
            Self::Sender => "sender",
        }
    }
}

/// Who sent a message, as far as it tells.
#[derive(Clone, Copy, Debug)]
pub struct Senders<'a> {
    /// The author.
    pub author: &'a Address,
    /// The addresses under which his party may write.
    pub registered: &'a [Address],
    /// The domains that are his party's alone.
    pub domains: &'a [String],
    /// By what he is proved to this recipient.
    pub by: By,
    /// The envelope sender.
    pub envelope: Option<&'a Address>,
    /// To whom it was sent.
    pub recipient: &'a Address,
    /// It is a machine's answer, which is sent from `<>` (RFC 3834 3.3).
    pub answer: bool,
    /// Whom `i=` of each signature names that passed for the author's domain; none where it cannot
    /// be read.
    pub identities: &'a [Option<Address>],
    /// Whom the `Sender` field names; none where it cannot be read.
    pub field: Option<Option<&'a Address>>,
}

impl Senders<'_> {
    /// What shows that somebody else sent it, and whether it is refused for that. SPF, DKIM and
    /// DMARC prove the domain, not the person: `mallory@provider` could otherwise write `From:
    /// ann@provider` with everything passing. A registered address is the author's own.
    ///
    /// Refused are neighbours at a provider, and wherever SPF alone proves the author: it says who
    /// may send for the domain, not for whom. Elsewhere a signature of the domain makes the others
    /// there colleagues: told in the history, and let through.
    ///
    /// Whom it hits: mailing services that bounce to `bounces@` of the author's own domain and sign
    /// nothing; an assistant who writes for somebody at a provider. Their operator registers the
    /// address, or all of a seller's own domain. What it tells a liar: no more than the reply that
    /// every unproved author gets.
    #[must_use]
    pub fn somebody_else(&self, providers: &Providers) -> Option<(Sign, bool)> {
        if self.by == By::Login {
            return None;
        }
        let signs = [self.of_envelope(providers), self.of_identities(providers), self.of_field(providers)];
        let refused = signs.iter().flatten().find(|(_, refused)| *refused);
        refused.or_else(|| signs.iter().flatten().next()).copied()
    }

    /// Whom a sign names, where it names somebody.
    #[must_use]
    pub fn named_by(&self, sign: Sign, providers: &Providers) -> Option<&Address> {
        match sign {
            Sign::Envelope => self.envelope,
            Sign::NullSender => None,
            Sign::Identity => self.identities.iter().flatten().find(|address| !self.is_own(providers, address)),
            Sign::Sender => self.field.flatten(),
        }
    }

    fn is_own(&self, providers: &Providers, address: &Address) -> bool {
        providers.same_author(self.author, address) || providers.is_among(self.registered, self.domains, address)
    }

    fn of_envelope(&self, providers: &Providers) -> Option<(Sign, bool)> {
        let provider = providers.gives_mailboxes(self.author.domain());
        let Some(sender) = self.envelope else {
            // SPF of `<>` is that of the EHLO name: a machine, not a person. A machine's answer
            // comes from there.
            let refused = !self.answer && (self.by == By::Spf || (self.by == By::Signature && provider));
            return refused.then_some((Sign::NullSender, true));
        };
        if self.is_own(providers, sender) || self.is_wrapped(providers, sender) {
            return None;
        }
        let near = if provider {
            providers.neighbours(sender.domain(), self.author.domain())
        } else {
            provider::is_within(sender.domain(), self.author.domain())
        };
        match self.by {
            By::Spf => Some((Sign::Envelope, true)),
            By::Signature => near.then_some((Sign::Envelope, provider)),
            // Nothing is proved, and yet it may be let through: where nobody checks, or this seller
            // needs no proof.
            By::Nothing => {
                (near && (provider || sender.domain() == self.author.domain())).then_some((Sign::Envelope, true))
            }
            By::Login => None,
        }
    }

    fn of_identities(&self, providers: &Providers) -> Option<(Sign, bool)> {
        let other = |found: &Option<Address>| !found.as_ref().is_some_and(|address| self.is_own(providers, address));
        let provider = providers.gives_mailboxes(self.author.domain());
        self.identities.iter().any(other).then_some((Sign::Identity, provider))
    }

    fn of_field(&self, providers: &Providers) -> Option<(Sign, bool)> {
        let provider = providers.gives_mailboxes(self.author.domain());
        match self.field? {
            Some(address) if self.is_own(providers, address) => None,
            Some(address) => (provider || provider::is_within(address.domain(), self.author.domain()))
                .then_some((Sign::Sender, provider)),
            None => provider.then_some((Sign::Sender, true)),
        }
    }

    /// Whether the envelope sender is an own address in the wrapping that a server puts around it.
    fn is_wrapped(&self, providers: &Providers, sender: &Address) -> bool {
        let proves = |inside: &Wrapped| !inside.forwarded || self.by == By::Signature;
        let found = wrapping::inside(sender, self.recipient);
        found.iter().any(|inside| proves(inside) && self.is_own(providers, &inside.address))
    }
}

/// Whether the author is the party whose turn it is, as far as anybody can know. What is refused
/// for anything else is a stranger's mail, whomever it names.
#[must_use]
pub fn is_known(facts: &Facts<'_>) -> bool {
    facts.author == Author::Party && unproved(facts).is_none()
}

/// Whether he is proved, or nobody checks: then he may be written to. A seller who is let in
/// without proof is not: whoever forges his mail would have mail sent to him.
#[must_use]
pub fn is_proved(facts: &Facts<'_>) -> bool {
    is_known(facts) && matches!(facts.proof, Proof::Proved | Proof::NotChecked)
}

/// What keeps the mail of somebody who calls himself the party from being his.
fn unproved(facts: &Facts<'_>) -> Option<Reason> {
    if facts.other_mailbox {
        return Some(Reason::OtherMailbox);
    }
    match facts.proof {
        Proof::NotChecked | Proof::Proved => None,
        // A suspended seller's leave to write without proof is suspended, too: his own reply is
        // only for who is proved, and everybody else hears the one of strangers.
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

    const ANN: &str = "ann@mail.test";

    /// Author, proof, envelope sender, what is found: the sign, `!` in front where it is refused,
    /// and why.
    type Case<'a> = (&'a str, By, &'a str, &'a str, &'a str);

    fn found(author: &str, by: By, envelope: &str, more: impl Fn(&mut Senders<'_>)) -> String {
        let address = |text: &str| Address::parse(text).unwrap();
        let registered =
            [address(author), address("ann.office@mail.test"), address("shop@shop.test"), address("ann2@gmail.com")];
        let domains = ["company.test".to_owned()];
        let (author, recipient) = (address(author), address("bq7k@m.test"));
        let sender = Some(envelope).filter(|text| !text.is_empty()).map(address);
        let mut senders = Senders {
            author: &author,
            registered: &registered,
            domains: &domains,
            by,
            envelope: sender.as_ref(),
            recipient: &recipient,
            answer: false,
            identities: &[],
            field: None,
        };
        more(&mut senders);
        let providers = Providers::new(["provider.test".to_owned()], ["tags.test".to_owned()]);
        senders
            .somebody_else(&providers)
            .map_or(String::new(), |(sign, refused)| format!("{}{}", if refused { "!" } else { "" }, sign.as_str()))
    }

    #[test]
    fn envelope_senders() {
        use By::{Login, Nothing, Signature, Spf};
        let cases: &[Case<'_>] = &[
            (ANN, Spf, ANN, "", "the author"),
            (ANN, Spf, "ANN@MAIL.test", "", "letter case does not matter"),
            (ANN, Spf, "ann.office@mail.test", "", "registered"),
            (ANN, Spf, "shop@shop.test", "", "registered"),
            (ANN, Spf, "mallory@mail.test", "!envelope", "SPF says who may send, not for whom"),
            (ANN, Spf, "mallory@sub.mail.test", "!envelope", "DMARC's relaxed alignment: whose is the sub-domain?"),
            ("ann@sub.mail.test", Spf, "mallory@mail.test", "!envelope", "the same from above"),
            (ANN, Spf, "bounces@mail.test", "!envelope", "a service: registered, or it signs"),
            (ANN, Spf, "ann+x@mail.test", "!envelope", "a tag is another mailbox where nobody says otherwise"),
            ("ann@tags.test", Spf, "ann+x@tags.test", "", "the operator says so"),
            ("ann@gmail.com", Spf, "an.n+x@googlemail.com", "", "the table says so"),
            (ANN, Spf, "", "!null-sender", "an EHLO name is no person"),
            (ANN, Nothing, "mallory@mail.test", "!envelope", "the same provider, as ever"),
            (ANN, Nothing, "bounces@esp.test", "", "nobody knows"),
            (ANN, Nothing, "", "", "nobody knows"),
            (ANN, Login, "mallory@mail.test", "", "the password knows"),
            (ANN, Login, "", "", "the password knows"),
            // a signature of a company's domain: colleagues
            (ANN, Signature, ANN, "", "the author"),
            (ANN, Signature, "bounces@esp.test", "", "a mailing service"),
            (ANN, Signature, "bounces@mail.test", "envelope", "a colleague, or a service in the domain"),
            (ANN, Signature, "bounces@em.mail.test", "envelope", "the usual envelope of a mailing service"),
            (ANN, Signature, "", "", "signed is signed"),
            // a domain of the seller's own
            ("ann@company.test", Spf, "tanaka@company.test", "", "registered with `@company.test`"),
            ("ann@company.test", Spf, "bounces@em.company.test", "!envelope", "a domain below is another"),
            (ANN, Signature, "bounces@company.test", "", "his, too"),
            // of a provider's: neighbours
            ("ann@gmail.com", Signature, "mallory@gmail.com", "!envelope", "a neighbour"),
            ("ann@gmail.com", Signature, "mallory@googlemail.com", "!envelope", "a neighbour at the twin"),
            ("ann@gmail.com", Signature, "ann2@gmail.com", "", "registered"),
            ("ann@gmail.com", Signature, "bounces@esp.test", "", "a forwarder"),
            ("ann@gmail.com", Signature, "", "!null-sender", "a person's mail has a sender"),
            ("ann@provider.test", Signature, "mallory@provider.test", "!envelope", "the operator's provider"),
            (
                "ann@provider.test",
                Signature,
                "mallory@sub.provider.test",
                "!envelope",
                "a sub-domain may be had by anybody",
            ),
            ("ann@sub.provider.test", Signature, "mallory@provider.test", "!envelope", "and from there"),
            ("ann@outlook.com", Signature, "mallory@hotmail.com", "!envelope", "the same house"),
            ("ann@outlook.com", Signature, "mallory@gmail.com", "", "another house: it cannot sign here"),
            // what servers wrap around the author's own address
            (ANN, Spf, "prvs=1234abcdef=ann@mail.test", "", "BATV"),
            (ANN, Spf, "PRVS=1234abcdef=Ann@mail.test", "", "BATV"),
            (ANN, Spf, "prvs=ann/1234abcdef@mail.test", "", "BATV, early"),
            (ANN, Spf, "btv1==1234==ann@mail.test", "", "Barracuda"),
            (ANN, Spf, "ann+bq7k=m.test@mail.test", "", "VERP"),
            (ANN, Spf, "ann-bq7k=m.test@mail.test", "", "VERP"),
            ("ann@gmail.com", Signature, "prvs=1=ann@gmail.com", "", "the same table for both"),
            ("ann@gmail.com", Signature, "srs0=ab=cd=gmail.com=ann@gmail.com", "", "forwarded, and signed"),
            (ANN, Spf, "srs0=ab=cd=mail.test=ann@mail.test", "!envelope", "a neighbour had it forwarded"),
            (ANN, Spf, "prvs=1234abcdef=mallory@mail.test", "!envelope", "not his"),
            (ANN, Spf, "prvs=1234abcdef=ann=mallory@mail.test", "!envelope", "not his"),
            (ANN, Spf, "prvs=ann@mail.test", "!envelope", "no tag"),
            (ANN, Spf, "ann+prvs=1234abcdef@mail.test", "", "BATV behind the name"),
            (ANN, Spf, "ann+bncBCAAABBBCCCDDDEEE@mail.test", "", "Google Groups"),
            (ANN, Spf, "ann-bounces+bq7k=m.test@mail.test", "", "Mailman"),
            (ANN, Spf, "ann-return-7-bq7k=m.test@mail.test", "", "ezmlm"),
            (ANN, Spf, "prvs=12=ann+bq7k=m.test@mail.test", "", "two wrappings"),
            (ANN, Spf, "mallory+bncBCAAABBBCCCDDDEEE@mail.test", "!envelope", "another's group"),
            (ANN, Spf, "mallory-bounces+bq7k=m.test@mail.test", "!envelope", "another's list"),
            (ANN, Spf, "bounces+SRS=ab=cd=mail.test=ann@mail.test", "!envelope", "a neighbour had it forwarded"),
            ("ann@gmail.com", Signature, "a+SRS=ab=cd=gmail.com=an.n@gmail.com", "", "forwarded, and signed"),
            (ANN, Spf, "btv1==ann==mallory@mail.test", "!envelope", "not his"),
            (ANN, Spf, "mallory+bq7k=m.test@mail.test", "!envelope", "not his"),
            (ANN, Spf, "ann-other=m.test@mail.test", "!envelope", "of another recipient"),
            (ANN, Spf, "annbq7k=m.test@mail.test", "!envelope", "nothing between"),
            (ANN, Spf, "srs0@mail.test", "!envelope", "cut off"),
            (ANN, Spf, "prvs=\u{20ac}@mail.test", "!envelope", "no ASCII"),
        ];
        for (author, by, envelope, want, why) in cases {
            assert_eq!(found(author, *by, envelope, |_| {}), *want, "{why}: {author} {envelope}");
        }
        // A vacation program answers from nobody.
        for (author, by) in [(ANN, Spf), (ANN, Signature), ("ann@gmail.com", Spf), ("ann@gmail.com", Signature)] {
            assert_eq!(found(author, by, "", |senders| senders.answer = true), "");
        }
    }

    #[test]
    fn identities_and_sender_fields() {
        use By::{Login, Nothing, Signature, Spf};
        let address = |text: &str| Address::parse(text).unwrap();
        // author, proof, whom it names, what is found of `i=` and of `Sender`
        let cases = [
            (ANN, Signature, "ann@mail.test", "", ""),
            (ANN, Signature, "shop@shop.test", "", ""),
            (ANN, Signature, "mallory@mail.test", "identity", "sender"),
            (ANN, Signature, "mallory@sub.mail.test", "identity", "sender"),
            (ANN, Signature, "?", "identity", ""),
            (ANN, Spf, "mallory@mail.test", "identity", "sender"),
            (ANN, Nothing, "mallory@mail.test", "identity", "sender"),
            (ANN, Signature, "bounces@esp.test", "identity", ""),
            (ANN, Login, "mallory@mail.test", "", ""),
            ("ann@gmail.com", Signature, "Ann@gmail.com", "", ""),
            ("ann@gmail.com", Signature, "ann2@gmail.com", "", ""),
            ("ann@gmail.com", Signature, "mallory@gmail.com", "!identity", "!sender"),
            ("ann@gmail.com", Spf, "mallory@gmail.com", "!identity", "!sender"),
            ("ann@gmail.com", Signature, "mallory@elsewhere.test", "!identity", "!sender"),
            ("ann@gmail.com", Signature, "?", "!identity", "!sender"),
            ("ann@provider.test", Signature, "mallory@provider.test", "!identity", "!sender"),
        ];
        for (author, by, named, identity, field) in cases {
            let one = Some(named).filter(|named| *named != "?").map(address);
            let all = [one.clone()];
            let told = |identities: &[Option<Address>], field: Option<Option<&Address>>| {
                let own = address(author);
                let registered = [own.clone(), address("shop@shop.test"), address("ann2@gmail.com")];
                let senders = Senders {
                    author: &own,
                    registered: &registered,
                    domains: &[],
                    by,
                    envelope: Some(&own),
                    recipient: &own,
                    answer: false,
                    identities,
                    field,
                };
                let providers = Providers::new(["provider.test".to_owned()], []);
                senders.somebody_else(&providers).map_or(String::new(), |(sign, refused)| {
                    format!("{}{}", if refused { "!" } else { "" }, sign.as_str())
                })
            };
            assert_eq!(told(&all, None), identity, "i={named} for {author} by {by:?}");
            assert_eq!(told(&[], Some(one.as_ref())), field, "Sender: {named} for {author} by {by:?}");
        }
    }
}
