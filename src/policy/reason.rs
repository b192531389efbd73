//! The words of a decision: what history, metrics and log call it, and what SMTP answers. Replies follow the table "SMTP
//! replies" of the specification; they help an honest person, and name no address and no rule that would help another.

use super::content::Kind;
use crate::types::{MessageId, Reply};

/// What becomes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// It goes to the other party.
    Relay,
    /// It is accepted and kept, and goes to nobody.
    Block,
    /// Refused for good: 5xx.
    Reject,
    /// Refused for now: 4xx.
    Defer,
}

impl Verdict {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Relay, Self::Block, Self::Reject, Self::Defer];

    /// The word used in the store, the CLI, metrics and logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Relay => "relay",
            Self::Block => "block",
            Self::Reject => "reject",
            Self::Defer => "defer",
        }
    }
}

/// Which check of the author's domain failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// Only SPF had something to say (RFC 7208).
    Spf,
    /// Only DKIM had (RFC 6376).
    Dkim,
    /// Both, or DMARC (RFC 7489).
    Several,
}

/// Why a verdict was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Nothing speaks against it.
    Relayed,
    /// The buyer has opted out, but began this thread; its headers say so.
    RelayedThread,
    /// The buyer has opted out, but began this thread; the mark that it quotes says so.
    RelayedMark,
    /// The buyer has opted out, but the message is needed to complete the order.
    RelayedCritical,
    /// The buyer has opted out.
    OptedOut,
    /// The buyer has opted out, and the seller has declared as many messages critical as a day
    /// allows.
    OverCritical {
        /// Critical messages a day.
        limit: u64,
        /// When the next day begins, RFC 3339 in the marketplace's zone.
        opens: String,
    },
    /// More answers of machines from this side of the pair than go to the other.
    AutomaticRepeated,
    /// Both sides have sent their own same words for the third time in turn.
    SameWords,
    /// The very message was relayed before.
    Repeated,
    /// It has been here before.
    Loop,
    /// No message by RFC 5322 that could be read safely.
    Malformed,
    /// A field of this name, which may stand once, stands twice with different values.
    RepeatedField(&'static str),
    /// No `From`.
    NoAuthor,
    /// Several `From` fields, or several addresses in it.
    SeveralAuthors,
    /// A `From` that names no mailbox.
    MalformedAuthor,
    /// The author is not the other party of the pair.
    Stranger,
    /// The envelope sender is somebody else's mailbox at the author's provider.
    OtherMailbox,
    /// The author is suspended.
    Suspended,
    /// A party of the pair was removed.
    Gone,
    /// Nothing proves the author.
    Unauthenticated,
    /// A check failed.
    AuthenticationFailed(Method),
    /// The check could not be made for now.
    DnsTrouble,
    /// The whole message is over the limit of so many MiB.
    TooLarge(u64),
    /// The attachments together are over the limit of so many MiB.
    AttachmentsTooLarge(u64),
    /// More attachments than allowed.
    TooManyAttachments(u32),
    /// A part that may not be sent.
    Forbidden {
        /// Which part, `2.1`.
        part: String,
        /// The entry of the operator's list: an extension or a content type.
        rule: String,
    },
    /// A part that nobody but the receiver could read.
    Encrypted {
        /// Which part, `2.1`.
        part: String,
    },
    /// A file shows the author's own address, and it cannot be replaced there.
    AddressInFile {
        /// Which part, `2.1`.
        part: String,
    },
    /// A part that is signed, words and signature in one, and does not open.
    UnreadableSignature {
        /// Which part, `2.1`.
        part: String,
    },
    /// A piece of a message that was cut up.
    Partial {
        /// Which part, `2.1`.
        part: String,
    },
    /// A part that says where its content is.
    Elsewhere {
        /// Which part, `2.1`.
        part: String,
    },
    /// It could not be made anonymous.
    Unclean,
    /// Looking through it takes more work than one message may cost.
    TooCostly,
    /// The seller has sent as many messages as a day allows.
    OverQuota {
        /// Messages a day.
        limit: u64,
        /// When the next day begins, RFC 3339 in the marketplace's zone.
        opens: String,
    },
}

impl Reason {
    /// The word used in the store, the CLI, metrics and logs.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Relayed => "relayed",
            Self::RelayedThread => "relayed-thread",
            Self::RelayedMark => "relayed-mark",
            Self::RelayedCritical => "relayed-critical",
            Self::OptedOut => "opted-out",
            Self::OverCritical { .. } => "over-critical",
            Self::AutomaticRepeated => "automatic-repeated",
            Self::SameWords => "same-words",
            Self::Repeated => "repeated",
            Self::Loop => "loop",
            Self::Malformed => "malformed",
            Self::RepeatedField(_) => "repeated-field",
            Self::NoAuthor => "no-author",
            Self::SeveralAuthors => "several-authors",
            Self::MalformedAuthor => "malformed-author",
            Self::Stranger => "stranger",
            Self::OtherMailbox => "other-mailbox",
            Self::Suspended => "suspended",
            Self::Gone => "gone",
            Self::Unauthenticated => "unauthenticated",
            Self::AuthenticationFailed(Method::Spf) => "spf-failed",
            Self::AuthenticationFailed(Method::Dkim) => "dkim-failed",
            Self::AuthenticationFailed(Method::Several) => "authentication-failed",
            Self::DnsTrouble => "dns-trouble",
            Self::TooLarge(_) => "too-large",
            Self::AttachmentsTooLarge(_) => "attachments-too-large",
            Self::TooManyAttachments(_) => "too-many-attachments",
            Self::Forbidden { .. } => "forbidden",
            Self::Encrypted { .. } => "encrypted",
            Self::AddressInFile { .. } => "address-in-file",
            Self::UnreadableSignature { .. } => "unreadable-signature",
            Self::Partial { .. } => "partial",
            Self::Elsewhere { .. } => "elsewhere",
            Self::Unclean => "unclean",
            Self::TooCostly => "too-costly",
            Self::OverQuota { .. } => "over-quota",
        }
    }

    /// What SMTP says. `id` is the message's in the history: told to the author whose message it is, and to nobody else.
    #[must_use]
    pub fn reply(&self, verdict: Verdict, id: MessageId) -> Reply {
        let reply = |code, subject, detail, text: &'static str| Reply::new(code, subject, detail, text);
        let tell =
            |code, subject, detail, text: String| Reply::new(code, subject, detail, format!("{text} (ref {id})"));
        match (self, verdict) {
            (_, Verdict::Relay | Verdict::Block) => Reply::new(250, 6, 0, format!("Accepted as {id}")),
            (Self::Loop, _) => reply(554, 4, 6, "This message is going round in circles"),
            (Self::Malformed, _) => reply(550, 6, 0, "This message is damaged, or was not written as mail programs write: write it anew in a mail program"),
            // The same for every author and recipient. The name is one of a closed list, not what
            // the message holds.
            (Self::RepeatedField(field), _) => Reply::new(
                550,
                6,
                0,
                format!("{field} stands twice with different values: send each field of RFC 5322 and RFC 2045 once"),
            ),
            (Self::NoAuthor, _) => reply(550, 6, 0, "The message needs a From field"),
            (Self::SeveralAuthors, _) => reply(550, 6, 0, "The message must have one From field with one address"),
            (Self::MalformedAuthor, _) => reply(550, 6, 0, "The From field must hold one plain mail address"),
            // One reply for all: whether an address is registered is nobody's business. An honest
            // party whose mail proves nothing reads what helps; which check failed is told to its
            // registered address and to the operator. A liar reads the same whomever he names.
            (Self::Stranger | Self::OtherMailbox | Self::Unauthenticated | Self::AuthenticationFailed(_), _) => reply(
                550,
                7,
                1,
                "You may not write here: use the address that the marketplace knows you by, with SPF or DKIM that proves it",
            ),
            // For a proved author alone: the rules come to it behind the proof.
            (Self::Suspended, _) => {
                reply(550, 7, 1, "Your account at the marketplace is suspended; write to the marketplace")
            }
            (Self::Gone, _) => reply(550, 1, 1, NO_SUCH_ADDRESS),
            (Self::DnsTrouble, _) => reply(451, 7, 24, "The author's domain cannot be checked now; try again later"),
            (Self::TooLarge(mib), _) => tell(552, 3, 4, format!("The message is too large: {mib} MiB at most")),
            (Self::AttachmentsTooLarge(mib), _) => {
                tell(552, 3, 4, format!("The attachments are too large: {mib} MiB together at most"))
            }
            (Self::TooManyAttachments(count), _) => tell(554, 6, 1, format!("Too many attachments: {count} at most")),
            (Self::Forbidden { part, rule }, _) => {
                let kind = Kind::of(rule);
                let what = match &kind {
                    Kind::Password => "it opens only with a password; send it without one".to_owned(),
                    Kind::Archive => "it is an archive that cannot be looked into; send the files or a ZIP".to_owned(),
                    Kind::Program => "programs are not accepted".to_owned(),
                    Kind::Macros(_) => "documents with macros are not accepted; save it without them".to_owned(),
                    Kind::Extension(_) => format!("{} files are not accepted", kind.name()),
                    Kind::Other(_) => format!("files of type {} are not accepted", kind.name()),
                };
                tell(554, 6, 1, format!("Part {part} may not be sent: {what}"))
            }
            (Self::Encrypted { part }, _) => tell(
                554,
                6,
                1,
                format!("Part {part} is encrypted, and encrypted mail is not accepted: send it as plain mail"),
            ),
            (Self::AddressInFile { part }, _) => tell(
                554,
                6,
                1,
                format!(
                    "Part {part} shows your own mail address and cannot be changed: take the address out of the file"
                ),
            ),
            (Self::UnreadableSignature { part }, _) => tell(
                554,
                6,
                1,
                format!("Part {part} is signed, and the signature cannot be opened: send the message without it"),
            ),
            (Self::Partial { part }, _) => tell(
                554,
                6,
                1,
                format!(
                    "Part {part} is a piece of a message that was cut up: send it whole, with smaller attachments, and set the mail program not to split large messages"
                ),
            ),
            (Self::Elsewhere { part }, _) => tell(
                554,
                6,
                1,
                format!("Part {part} only says where its content is: attach the file itself, or write the link"),
            ),
            (Self::Unclean, _) => tell(
                554,
                6,
                0,
                "Your mail address may stand in this message where it cannot be hidden: write a new one without quoted mail or attachments"
                    .to_owned(),
            ),
            // Without an id: anybody's mail may be told so, before it is known whose it is. An
            // honest person with very many large documents hears what helps; a liar learns how much
            // one message may cost, which the configuration tells as well.
            (Self::TooCostly, _) => reply(
                554,
                3,
                4,
                "This message takes too much work to look through: send fewer or smaller attachments, or to fewer people at once",
            ),
            (Self::OverQuota { limit, opens }, Verdict::Defer) => {
                tell(450, 4, 5, format!("Over the limit of {limit} messages a day; it opens again at {opens}"))
            }
            (Self::OverQuota { limit, opens }, _) => {
                tell(550, 4, 5, format!("Over the limit of {limit} messages a day; it opens again at {opens}"))
            }
            (Self::OptedOut, _) => tell(
                550,
                7,
                1,
                "This buyer wants no messages from sellers except answers to their own and what an order needs"
                    .to_owned(),
            ),
            (Self::OverCritical { limit, opens }, _) => tell(
                550,
                7,
                1,
                format!(
                    "This buyer wants no messages from sellers, and you have marked {limit} as critical today; it opens again at {opens}"
                ),
            ),
            // Reasons to let a message through. They come with verdict relay or block; a refusal with them is a fault of
            // ours, and the honest answer to that is to ask for another try.
            (
                Self::Relayed
                | Self::RelayedThread
                | Self::RelayedMark
                | Self::RelayedCritical
                | Self::AutomaticRepeated
                | Self::SameWords
                | Self::Repeated,
                _,
            ) => reply(451, 3, 0, "Try again later"),
        }
    }
}

/// What an address that is no alias is answered, and one whose party is gone.
pub const NO_SUCH_ADDRESS: &str = "No such address here";
