//! Why mail could not be delivered, in the few words that the author is told: never what a remote server said.

use super::content::Kind;
use super::reason::Reason;
use crate::types::Time;

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

    /// The class of a remote server's refusal: its reply code, 0 if that is not known, and the
    /// subject and detail of its enhanced code, RFC 3463.
    ///
    /// Two are read by who writes them: 5.1.10 is a domain that takes no mail with code 556 (RFC
    /// 7505 4.1), and Microsoft's unknown mailbox with any other; 5.4.1 in a reply to RCPT is
    /// Microsoft's, too, and no host that does not answer.
    #[must_use]
    pub fn of_reply(code: u16, enhanced: Option<(u16, u16)>) -> Self {
        match enhanced {
            Some((1, 10)) if code == 556 => Self::NoDomain,
            Some((4, 1)) if code == 550 => Self::NoMailbox,
            Some((1, 0 | 1 | 3 | 6 | 10 | 351)) | Some((2, 1)) => Self::NoMailbox,
            Some((1, 2) | (4, 4 | 310)) => Self::NoDomain,
            Some((2, 2)) => Self::MailboxFull,
            Some((2, 3)) | Some((3, 4)) => Self::TooLarge,
            Some((4, 1 | 7 | 300 | 316 | 317)) => Self::Expired,
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

/// Why a message did not go, as its author is told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Why {
    /// The key of its sentences in `conf/notices/LANG/reasons.txt`.
    pub key: &'static str,
    /// The status code for a delivery report, RFC 3463.
    pub status: &'static str,
    /// The limit that it is over: messages, files, or MiB.
    pub number: Option<u64>,
    /// When it opens again.
    pub opens: Option<Time>,
    /// The kind of file that may not be sent, as people write it: `.exe`.
    pub kind: String,
    /// Which part it is about, `2.1`.
    pub part: String,
}

impl Why {
    /// One that its key tells whole.
    #[must_use]
    pub fn plain(key: &'static str, status: &'static str) -> Self {
        Self { key, status, ..Self::default() }
    }

    /// Why policy refused or blocked it.
    #[must_use]
    pub fn of(reason: &Reason) -> Self {
        let limit = |key, status, number: u64| Self { number: Some(number), ..Self::plain(key, status) };
        let file = |key, part: &str| Self { part: part.to_owned(), ..Self::plain(key, "5.6.1") };
        match reason {
            Reason::TooLarge(mib) | Reason::AttachmentsTooLarge(mib) => limit("over-size", "5.3.4", *mib),
            Reason::TooManyAttachments(count) => limit("too-many-files", "5.6.1", u64::from(*count)),
            Reason::TooCostly => Self::plain("too-complex", "5.3.4"),
            Reason::Forbidden { part, rule } => {
                let (kind, part) = (Kind::of(rule), part.clone());
                Self { kind: kind.name(), part, ..Self::plain(kind.key(), "5.6.1") }
            }
            Reason::Encrypted { part } => file("encrypted", part),
            Reason::AddressInFile { part, .. } => file("address-in-file", part),
            Reason::UnreadableSignature { part } => file("unreadable-signature", part),
            Reason::Partial { .. } => Self::plain("partial", "5.6.1"),
            Reason::Elsewhere { .. } => Self::plain("elsewhere", "5.6.1"),
            Reason::Unclean => FailureClass::Unclean.into(),
            Reason::Malformed | Reason::RepeatedField(_) => Self::plain("malformed", "5.6.0"),
            Reason::OverQuota { limit: number, opens } => {
                Self { opens: Time::from_rfc3339(opens), ..limit("over-quota", "5.4.5", *number) }
            }
            Reason::OptedOut | Reason::OverCritical { .. } => Self::plain("opted-out", "5.7.1"),
            Reason::AutomaticRepeated | Reason::SameWords => Self::plain("automatic", "5.7.1"),
            Reason::Suspended => Self::plain("suspended", "5.7.1"),
            Reason::Unauthenticated | Reason::AuthenticationFailed(_) | Reason::DnsTrouble => {
                Self::plain("unauthenticated", "5.7.26")
            }
            Reason::Gone => FailureClass::Gone.into(),
            Reason::Loop => Self::plain(FailureClass::Other.as_str(), "5.4.6"),
            _ => Self::plain("not-allowed", "5.7.1"),
        }
    }
}

impl From<FailureClass> for Why {
    fn from(class: FailureClass) -> Self {
        Self::plain(class.as_str(), class.status())
    }
}

/// The keys that [`Why::of`] gives beside those of [`FailureClass`].
pub const DECISION_KEYS: [&str; 20] = [
    "address-in-file",
    "unreadable-signature",
    "partial",
    "elsewhere",
    "over-size",
    "too-many-files",
    "too-complex",
    "forbidden",
    "password",
    "archive",
    "program",
    "macros",
    "encrypted",
    "malformed",
    "over-quota",
    "opted-out",
    "automatic",
    "suspended",
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
            (550, Some((1, 10)), "no-mailbox", "5.1.1"),
            (0, Some((1, 10)), "no-mailbox", "5.1.1"),
            (550, Some((4, 1)), "no-mailbox", "5.1.1"),
            (0, Some((4, 1)), "expired", "5.4.7"),
            (554, Some((4, 4)), "no-domain", "5.1.2"),
            (550, Some((4, 310)), "no-domain", "5.1.2"),
            (550, Some((4, 316)), "expired", "5.4.7"),
            (550, Some((4, 7)), "expired", "5.4.7"),
            (0, None, "other", "5.0.0"),
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

    /// What is forbidden, in words that people know.
    #[test]
    fn kinds_of_files() {
        // the operator's entry, key, kind
        let table = [
            (".exe", "forbidden", ".exe"),
            ("ISO", "forbidden", ".iso"),
            ("docm", "macros", ".docm"),
            ("application/vnd.ms-office.vbaproject", "macros", ""),
            ("application/x-encrypted", "password", ""),
            ("Application/X-Unlisted-Archive", "archive", ""),
            ("application/x-msdownload", "program", ""),
            ("application/x-mach-binary", "program", ""),
            ("image/svg+xml", "forbidden", "image/svg+xml"),
        ];
        for (rule, key, kind) in table {
            let why = Why::of(&Reason::Forbidden { part: "2".into(), rule: rule.into() });
            assert_eq!((why.key, why.kind.as_str(), why.part.as_str()), (key, kind, "2"), "{rule}");
            assert!(DECISION_KEYS.contains(&why.key));
        }
    }
}
