//! Why mail could not be delivered, in the few words that the author is told: never what a remote server said.

use super::reason::Reason;

/// What kind of failure it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailureClass {
    /// No such mailbox, or a disabled one.
    NoMailbox,
    /// No such domain, or one that takes no mail (RFC 7505).
    NoDomain,
    /// The mailbox is full.
    MailboxFull,
    /// Too large for the receiver's server.
    TooLarge,
    /// The receiver's server does not want mail of ours, or this one.
    Refused,
    /// The receiver's server does not like what is in it.
    Content,
    /// Tried for days: nobody there, or never accepted.
    Expired,
    /// The receiver was removed while the message waited.
    Gone,
    /// It could not be made anonymous.
    Unclean,
    /// Anything else.
    Other,
}

impl FailureClass {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::NoMailbox,
        Self::NoDomain,
        Self::MailboxFull,
        Self::TooLarge,
        Self::Refused,
        Self::Content,
        Self::Expired,
        Self::Gone,
        Self::Unclean,
        Self::Other,
    ];

    /// The class of a remote server's refusal: its reply code and the subject and detail of its enhanced code, RFC 3463.
    #[must_use]
    pub fn of_reply(code: u16, enhanced: Option<(u16, u16)>) -> Self {
        match enhanced {
            Some((1, 1 | 0 | 3 | 6)) | Some((2, 1)) => Self::NoMailbox,
            Some((1, 2 | 10)) => Self::NoDomain,
            Some((2, 2)) => Self::MailboxFull,
            Some((2, 3)) | Some((3, 4)) => Self::TooLarge,
            Some((4, 7)) => Self::Expired,
            Some((7, _)) => Self::Refused,
            Some((6, _)) => Self::Content,
            Some(_) => Self::Other,
            None => match code {
                550 | 551 | 553 => Self::NoMailbox,
                552 => Self::MailboxFull,
                556 => Self::NoDomain,
                554 | 530 | 521 => Self::Refused,
                _ => Self::Other,
            },
        }
    }

    /// The word used in the history, metrics and logs, and the key of its sentence in `conf/notices/LANG/reasons.txt`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoMailbox => "no-mailbox",
            Self::NoDomain => "no-domain",
            Self::MailboxFull => "mailbox-full",
            Self::TooLarge => "too-large",
            Self::Refused => "refused",
            Self::Content => "content",
            Self::Expired => "expired",
            Self::Gone => "gone",
            Self::Unclean => "unclean",
            Self::Other => "other",
        }
    }

    /// The class whose word this is.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.as_str() == word)
    }

    /// The status code for a delivery report, RFC 3463.
    #[must_use]
    pub fn status(self) -> &'static str {
        match self {
            Self::NoMailbox | Self::Gone => "5.1.1",
            Self::NoDomain => "5.1.2",
            Self::MailboxFull => "5.2.2",
            Self::TooLarge => "5.3.4",
            Self::Refused => "5.7.1",
            Self::Content | Self::Unclean => "5.6.0",
            Self::Expired => "5.4.7",
            Self::Other => "5.0.0",
        }
    }
}

/// What the author is told of a recipient that policy refused while others were accepted: the key of its sentence, and the
/// status code.
#[must_use]
pub fn of_decision(reason: &Reason) -> (&'static str, &'static str) {
    match reason {
        Reason::TooLarge(_) | Reason::AttachmentsTooLarge(_) | Reason::TooCostly => ("over-size", "5.3.4"),
        Reason::TooManyAttachments(_) | Reason::Forbidden { .. } => ("forbidden", "5.6.1"),
        Reason::AddressInFile { .. } => ("address-in-file", "5.6.1"),
        Reason::Encrypted { .. } => ("encrypted", "5.6.1"),
        Reason::UnreadableSignature { .. } => ("unreadable-signature", "5.6.1"),
        Reason::Partial { .. } => ("partial", "5.6.1"),
        Reason::Elsewhere { .. } => ("elsewhere", "5.6.1"),
        Reason::Unclean | Reason::Malformed | Reason::RepeatedField(_) => ("unclean", "5.6.0"),
        Reason::OverQuota { .. } => ("over-quota", "5.4.5"),
        Reason::OptedOut | Reason::OverCritical { .. } => ("opted-out", "5.7.1"),
        Reason::AutomaticRepeated | Reason::SameWords => ("automatic", "5.7.1"),
        Reason::Unauthenticated | Reason::AuthenticationFailed(_) | Reason::DnsTrouble => ("unauthenticated", "5.7.26"),
        Reason::Gone => ("gone", "5.1.1"),
        Reason::Loop => ("other", "5.4.6"),
        _ => ("not-allowed", "5.7.1"),
    }
}

/// The keys that [`of_decision`] gives beside those of [`FailureClass`].
pub const DECISION_KEYS: [&str; 12] = [
    "address-in-file",
    "over-size",
    "forbidden",
    "encrypted",
    "unreadable-signature",
    "partial",
    "elsewhere",
    "over-quota",
    "opted-out",
    "automatic",
    "unauthenticated",
    "not-allowed",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_of_replies() {
        let table = [
            (550, Some((1, 1)), "no-mailbox", "5.1.1"),
            (550, Some((2, 1)), "no-mailbox", "5.1.1"),
            (550, None, "no-mailbox", "5.1.1"),
            (552, Some((2, 2)), "mailbox-full", "5.2.2"),
            (552, Some((3, 4)), "too-large", "5.3.4"),
            (556, Some((1, 10)), "no-domain", "5.1.2"),
            (550, Some((7, 1)), "refused", "5.7.1"),
            (554, Some((6, 0)), "content", "5.6.0"),
            (554, None, "refused", "5.7.1"),
            (500, None, "other", "5.0.0"),
            (550, Some((0, 0)), "other", "5.0.0"),
        ];
        for (code, enhanced, word, status) in table {
            let class = FailureClass::of_reply(code, enhanced);
            assert_eq!((class.as_str(), class.status()), (word, status), "{code} {enhanced:?}");
            assert_eq!(FailureClass::from_word(word), Some(class));
        }
    }
}
