//! Rule 3: what a message may hold. By what a part says of itself and by what it is.
//!
//! Not here: finding the parts and looking into them (`message`).

use super::{Decision, Facts, Reason};
use crate::config::{Attachments, Size};
use crate::types::is_invisible;

/// The content type that stands for an archive of which not all could be listed. Ours.
pub const UNLISTED: &str = "application/x-unlisted-archive";
/// The content type that stands for a file, or one in it, that opens only with a password. Ours.
pub const ENCRYPTED: &str = "application/x-encrypted";

/// What a forbidden part is, as far as people have a word for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind<'r> {
    /// It opens only with a password.
    Password,
    /// An archive that cannot be looked into.
    Archive,
    /// A program or script, by what is in it.
    Program,
    /// A document with macros; its extension, or nothing.
    Macros(&'r str),
    /// Files with this extension.
    Extension(&'r str),
    /// Files of this content type, for which we have no word.
    Other(&'r str),
}

/// Content types of programs.
const PROGRAMS: &[&str] = &[
    "application/x-msdownload",
    "application/x-dosexec",
    "application/x-executable",
    "application/x-sharedlib",
    "application/x-mach-binary",
    "application/vnd.microsoft.portable-executable",
    "application/x-msi",
    "application/x-ms-shortcut",
    "application/x-shellscript",
    "application/x-sh",
    "application/x-bat",
    "application/java-archive",
    "application/vnd.android.package-archive",
    "application/vnd.ms-htmlhelp",
];
/// Extensions of documents with macros.
const WITH_MACROS: &[&str] = &["docm", "dotm", "xlsm", "xltm", "xlam", "pptm", "potm", "ppam", "ppsm", "sldm"];
const MACROS: &str = "application/vnd.ms-office.vbaproject";

impl<'r> Kind<'r> {
    /// What an entry of the operator's lists stands for: a content type, or an extension, with or
    /// without its dot.
    #[must_use]
    pub fn of(rule: &'r str) -> Self {
        let rule = rule.trim().trim_start_matches('.');
        let is = |kind: &&str| kind.eq_ignore_ascii_case(rule);
        match rule {
            _ if is(&ENCRYPTED) => Self::Password,
            _ if is(&UNLISTED) => Self::Archive,
            _ if is(&MACROS) => Self::Macros(""),
            _ if PROGRAMS.iter().any(is) => Self::Program,
            _ if rule.contains('/') => Self::Other(rule),
            _ if WITH_MACROS.iter().any(is) => Self::Macros(rule),
            _ => Self::Extension(rule),
        }
    }

    /// The key of its sentence in `conf/notices/LANG/reasons.txt`.
    #[must_use]
    pub fn key(&self) -> &'static str {
        match self {
            Self::Password => "password",
            Self::Archive => "archive",
            Self::Program => "program",
            Self::Macros(_) => "macros",
            Self::Extension(_) | Self::Other(_) => "forbidden",
        }
    }

    /// What people call such files, where that is a name: `.exe`. An entry of any length is cut, so
    /// that a reply line stays below RFC 5321's 512 octets.
    #[must_use]
    pub fn name(&self) -> String {
        let (dot, name) = match self {
            Self::Macros("") | Self::Password | Self::Archive | Self::Program => return String::new(),
            Self::Extension(name) | Self::Macros(name) => (".", name),
            Self::Other(name) => ("", name),
        };
        let short: String = name.chars().take(64).collect();
        let end = if short.len() < name.len() { "..." } else { "" };
        format!("{dot}{}{end}", short.to_ascii_lowercase())
    }
}

/// Why nobody here can read a part, and judge a claim about it.
///
/// Whom each hits, and what it tells a liar: the author of such mail, behind the proof of who he
/// is, and of his own message alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// Nobody but the receiver can. People with a key of the other side: few, and they hear that
    /// plain mail helps.
    Encrypted,
    /// Signed, words and signature in one, in a form that does not open: broken on the way, or by
    /// a program that nobody here knows. They hear that it goes without the signature.
    Signed,
    /// A piece of a message that was cut up (RFC 2046 5.2.2): the others come apart, and no piece
    /// can be cleaned alone. Programs that cut up large mail do so without asking.
    Partial,
    /// What it says lies elsewhere (RFC 2046 5.2.3): whoever fetched it would be seen there.
    Elsewhere,
}

impl Closed {
    /// The word among the facts.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Encrypted => "encrypted-part",
            Self::Signed => "signed-part",
            Self::Partial => "partial-part",
            Self::Elsewhere => "external-part",
        }
    }

    /// The reason to refuse a message with such a part.
    #[must_use]
    pub fn reason(self, part: &str) -> Reason {
        let part = part.to_owned();
        match self {
            Self::Encrypted => Reason::Encrypted { part },
            Self::Signed => Reason::UnreadableSignature { part },
            Self::Partial => Reason::Partial { part },
            Self::Elsewhere => Reason::Elsewhere { part },
        }
    }
}

/// What the message holds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Content<'a> {
    /// Octets of the whole message as received.
    pub size: u64,
    /// Leaf parts in order, those inside attached messages too.
    pub parts: &'a [Part<'a>],
    /// The first part that nobody here can read, and its path, `2.1`.
    pub closed: Option<(Closed, &'a str)>,
}

/// One leaf part.
#[derive(Clone, Copy, Debug, Default)]
pub struct Part<'a> {
    /// Where it is: `1`, `2.1`. Digits and dots.
    pub path: &'a str,
    /// File name, decoded.
    pub name: Option<&'a str>,
    /// What its `Content-Type` says, `type/subtype`.
    pub content_type: &'a str,
    /// What its octets say that it is and holds, where they say something.
    pub sniffed: &'a [&'a str],
    /// Octets, decoded.
    pub size: u64,
    /// File names listed in it, if it is an archive.
    pub listed: &'a [String],
}

impl Part<'_> {
    /// Whether the part is more than a text of the message.
    fn is_attachment(&self) -> bool {
        let text = self.content_type.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("text/"));
        self.name.is_some() || !text
    }

    /// The entry of the operator's lists that forbids this part.
    fn forbidden_by<'r>(&self, rules: &'r Attachments) -> Option<&'r str> {
        let names = self.name.into_iter().chain(self.listed.iter().map(String::as_str));
        for name in names {
            let found = rules.forbidden_extensions.iter().find(|entry| has_extension(name, entry));
            if let Some(entry) = found {
                return Some(entry);
            }
        }
        let types = || [self.content_type].into_iter().chain(self.sniffed.iter().copied());
        let found = rules
            .forbidden_types
            .iter()
            .find(|entry| types().any(|kind| kind.trim().eq_ignore_ascii_case(entry.trim())));
        found.map(String::as_str)
    }
}

/// Whether a system that opens files by extension would take `name` for one of `extension` (with or without its dot).
/// Windows ignores dots and spaces at the end, and what follows a colon; characters without width hide nothing.
fn has_extension(name: &str, extension: &str) -> bool {
    let extension = extension.trim().trim_start_matches('.');
    if extension.is_empty() {
        return false;
    }
    let visible: String = name.chars().filter(|c| !c.is_control() && !is_invisible(*c)).collect();
    let ends = |name: &str| {
        let name = name.trim_end_matches(['.', ' ', '\u{3000}', '"']);
        name.rsplit_once('.').is_some_and(|(_, end)| end.trim().eq_ignore_ascii_case(extension))
    };
    ends(&visible) || visible.split_once(':').is_some_and(|(before, _)| ends(before))
}

pub(super) fn rule(facts: &Facts<'_>) -> Option<Decision> {
    fault(&facts.content, &facts.rules.attachments).map(Decision::reject)
}

/// Whole MiB, rounded up, for a text.
fn mib(size: Size) -> u64 {
    size.0.div_ceil(Size::mib(1).0)
}

fn fault(content: &Content<'_>, rules: &Attachments) -> Option<Reason> {
    if content.size > rules.max_message_size.0 {
        return Some(Reason::TooLarge(mib(rules.max_message_size)));
    }
    if let Some((why, part)) = content.closed {
        return Some(why.reason(part));
    }
    for part in content.parts {
        if let Some(rule) = part.forbidden_by(rules) {
            return Some(Reason::Forbidden { part: part.path.to_owned(), rule: rule.to_owned() });
        }
    }
    let attachments = || content.parts.iter().filter(|part| part.is_attachment());
    if attachments().count() > usize::try_from(rules.max_count).unwrap_or(usize::MAX) {
        return Some(Reason::TooManyAttachments(rules.max_count));
    }
    let total = attachments().fold(0_u64, |sum, part| sum.saturating_add(part.size));
    (total > rules.max_total.0).then(|| Reason::AttachmentsTooLarge(mib(rules.max_total)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extensions_as_windows_sees_them() {
        let cases = [
            ("invoice.exe", true),
            ("INVOICE.EXE", true),
            ("invoice.pdf.exe", true),
            ("invoice.exe. .", true),
            ("invoice.e\u{200b}xe", true),
            ("invoice\u{202e}fdp.exe", true),
            ("invoice.exe:stream", true),
            ("x:invoice.exe", true),
            ("invoice.exe\"", true),
            ("invoice.exe.pdf", false),
            ("exe", false),
            (".exe", true),
            ("", false),
            ("invoice.exec", false),
        ];
        for (name, want) in cases {
            assert_eq!(has_extension(name, "exe"), want, "{name:?}");
            assert_eq!(has_extension(name, ".EXE"), want, "{name:?}");
        }
        assert!(!has_extension("a.", ""), "an empty entry forbids nothing");
    }
}
