//! Floor 3, notices: the mail that the relay itself writes, in the reader's language.
//!
//! Owns: the texts ([`texts`]), delivery reports (RFC 3464), the opt-out auto-reply (RFC 3834) and short confirmations. They
//! name aliases only, carry nothing of what a remote server said, and no field of anybody's message but the reader's own
//! Message-ID, so that they thread. Whoever queues them sends them with the null sender.
//! Not here: reading other people's bounces (`message::bounce`), and deciding who is told what.

#[cfg(test)]
mod tests;
pub mod texts;
mod write;

pub use texts::Texts;

use crate::policy::failure::{DECISION_KEYS, FailureClass};
use crate::types::{Address, Alias, MessageId, Time};
use jiff::tz::TimeZone;

/// Which notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Name {
    /// A message was given up.
    Failure,
    /// A report that nothing proves says that a message was not delivered.
    Doubtful,
    /// A message waits for a long time.
    Delayed,
    /// Some of the recipients were refused.
    Partial,
    /// The buyer has opted out.
    OptOut,
    /// The same where no tag helps.
    OptOutStrict,
    /// The same where a tag would help, but for the seller's limit of a day.
    OptOutLimit,
    /// A message was reported.
    ReportDone,
    /// A message was marked as needing no response.
    NoResponseDone,
    /// The buyer has opted out by mail.
    StopDone,
    /// Mail in the reader's name was refused.
    Refused,
    /// A file that was passed on shows the reader's own address.
    FileAddress,
}

impl Name {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Failure,
        Self::Doubtful,
        Self::Delayed,
        Self::Partial,
        Self::OptOut,
        Self::OptOutStrict,
        Self::OptOutLimit,
        Self::ReportDone,
        Self::NoResponseDone,
        Self::StopDone,
        Self::Refused,
        Self::FileAddress,
    ];

    /// The file's name without its ending, and the word used in metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Failure => "failure",
            Self::Doubtful => "doubtful",
            Self::Delayed => "delayed",
            Self::Partial => "partial",
            Self::OptOut => "opt-out",
            Self::OptOutStrict => "opt-out-strict",
            Self::OptOutLimit => "opt-out-limit",
            Self::ReportDone => "report-done",
            Self::NoResponseDone => "no-response-done",
            Self::StopDone => "stop-done",
            Self::Refused => "refused",
            Self::FileAddress => "file-address",
        }
    }

    fn words() -> String {
        Self::ALL.map(|name| format!("{}.txt", name.as_str())).join(", ") + ", reasons.txt, footer.txt"
    }

    /// The placeholders that are filled in, and those of them that a text must have.
    fn placeholders(self) -> (&'static [&'static str], &'static [&'static str]) {
        match self {
            Self::Failure => (&["marketplace", "reference", "received", "receiver", "reason"], &["receiver", "reason"]),
            Self::Doubtful => (&["marketplace", "reference", "received", "receiver"], &["receiver"]),
            Self::Delayed => (&["marketplace", "reference", "received", "receiver", "until"], &["receiver", "until"]),
            Self::Partial => (&["marketplace", "reference", "received", "list"], &["list"]),
            Self::OptOut => {
                (&["marketplace", "reference", "received", "receiver", "subject", "tags"], &["receiver", "tags"])
            }
            Self::OptOutStrict => (&["marketplace", "reference", "received", "receiver", "subject"], &["receiver"]),
            Self::OptOutLimit => (
                &["marketplace", "reference", "received", "receiver", "subject", "limit", "opens"],
                &["receiver", "limit", "opens"],
            ),
            Self::ReportDone | Self::NoResponseDone | Self::StopDone => {
                (&["marketplace", "reference", "received"], &[])
            }
            Self::FileAddress => {
                (&["marketplace", "reference", "received", "receiver", "subject", "part"], &["receiver"])
            }
            Self::Refused => {
                (&["marketplace", "reference", "received", "number", "list", "quiet"], &["number", "list", "quiet"])
            }
        }
    }
}

/// The keys that `reasons.txt` has sentences for.
fn reason_keys() -> impl Iterator<Item = &'static str> {
    FailureClass::ALL.into_iter().map(FailureClass::as_str).chain(DECISION_KEYS).chain(CHECKS)
}

/// The checks by which mail in somebody's name is refused: words of [`crate::policy::Reason`], and
/// keys of `reasons.txt`.
pub const CHECKS: [&str; 5] =
    ["unauthenticated", "other-mailbox", "spf-failed", "dkim-failed", "authentication-failed"];

/// What stands for a placeholder.
#[derive(Clone, Debug)]
pub enum Value<'a> {
    /// A text of one line.
    Text(&'a str),
    /// The sentence of a reason.
    Reason(&'a str),
    /// One line each: what, and the sentence of its reason.
    List(Vec<(String, &'a str)>),
}

/// What every notice needs.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// The texts.
    pub texts: &'a Texts,
    /// The marketplace's name.
    pub marketplace: &'a str,
    /// Its alias domain: the notice comes from its postmaster.
    pub domain: &'a str,
    /// Its language, for readers whose own has no text.
    pub default_language: &'a str,
    /// Its time zone, for the times in the text.
    pub zone: &'a TimeZone,
    /// The reader's language; may be empty.
    pub language: &'a str,
    /// The reader.
    pub to: &'a Address,
    /// When it is written.
    pub now: Time,
    /// The notice's own Message-ID, `token@domain`.
    pub message_id: &'a str,
    /// The message that it is about: named as a reference for questions.
    pub about: MessageId,
    /// When that message was received.
    pub received: Time,
    /// The reader's own Message-ID of it, as it came, without angle brackets.
    pub original_id: Option<&'a str>,
}

/// One recipient in a delivery report.
#[derive(Clone, Copy, Debug)]
pub struct Failed<'a> {
    /// The recipient as the author knows it.
    pub receiver: &'a Alias,
    /// The key of the reason's sentence: [`FailureClass::as_str`] or the first of [`crate::policy::failure::of_decision`].
    pub key: &'a str,
    /// The status code, RFC 3463: [`FailureClass::status`] or the second of `of_decision`.
    pub status: &'a str,
}

impl<'a> Failed<'a> {
    /// A delivery that was given up.
    #[must_use]
    pub fn delivery(receiver: &'a Alias, class: FailureClass) -> Self {
        Self { receiver, key: class.as_str(), status: class.status() }
    }
}

/// A message was given up: `multipart/report` after RFC 3464.
#[must_use]
pub fn failure(frame: &Frame<'_>, failed: &Failed<'_>) -> Vec<u8> {
    let values = [("receiver", Value::Text(failed.receiver.as_str())), ("reason", Value::Reason(failed.key))];
    write::report(frame, &frame.fill(Name::Failure, &values), "failed", None, std::slice::from_ref(failed))
}

/// A report that nothing proves says that a delivered message was not delivered. A letter for
/// people: programs are not told that it failed.
#[must_use]
pub fn doubtful(frame: &Frame<'_>, receiver: &Alias) -> Vec<u8> {
    write::letter(frame, &frame.fill(Name::Doubtful, &[("receiver", Value::Text(receiver.as_str()))]))
}

/// A message went, and a file of it shows its author's own address: in this part, `2.1`.
#[must_use]
pub fn file_address(frame: &Frame<'_>, receiver: &Alias, subject: &str, part: &str) -> Vec<u8> {
    let values =
        [("receiver", Value::Text(receiver.as_str())), ("subject", Value::Text(subject)), ("part", Value::Text(part))];
    write::letter(frame, &frame.fill(Name::FileAddress, &values))
}

/// A message waits for long and is tried until `until`.
#[must_use]
pub fn delayed(frame: &Frame<'_>, receiver: &Alias, until: Time) -> Vec<u8> {
    let time = frame.time(until);
    let values = [("receiver", Value::Text(receiver.as_str())), ("until", Value::Text(&time))];
    let recipient = Failed { receiver, key: "", status: "4.4.1" };
    write::report(frame, &frame.fill(Name::Delayed, &values), "delayed", Some(until), &[recipient])
}

/// A message was accepted, but not for these recipients.
#[must_use]
pub fn partial(frame: &Frame<'_>, refused: &[Failed<'_>]) -> Vec<u8> {
    let rows = refused.iter().map(|failed| (failed.receiver.as_str().to_owned(), failed.key)).collect();
    write::report(frame, &frame.fill(Name::Partial, &[("list", Value::List(rows))]), "failed", None, refused)
}

/// The seller's message was blocked because the buyer has opted out: RFC 3834. `subject` is the seller's own, decoded;
/// `tags` are the critical tags that the operator allows.
#[must_use]
pub fn opt_out_reply(frame: &Frame<'_>, receiver: &Alias, subject: &str, tags: &[String]) -> Vec<u8> {
    let name = if tags.is_empty() { Name::OptOutStrict } else { Name::OptOut };
    let tags = tags.join(", ");
    let values =
        [("receiver", Value::Text(receiver.as_str())), ("subject", Value::Text(subject)), ("tags", Value::Text(&tags))];
    write::letter(frame, &frame.fill(name, &values))
}

/// The same where the seller has declared as many messages critical as a day allows. `opens`: when
/// the next day begins.
#[must_use]
pub fn opt_out_limit(frame: &Frame<'_>, receiver: &Alias, subject: &str, limit: u64, opens: Time) -> Vec<u8> {
    let (limit, opens) = (limit.to_string(), frame.time(opens));
    let values = [
        ("receiver", Value::Text(receiver.as_str())),
        ("subject", Value::Text(subject)),
        ("limit", Value::Text(&limit)),
        ("opens", Value::Text(&opens)),
    ];
    write::letter(frame, &frame.fill(Name::OptOutLimit, &values))
}

/// What was asked for by mail to an address that acts is done: [`Name::ReportDone`], [`Name::NoResponseDone`] or
/// [`Name::StopDone`].
#[must_use]
pub fn confirmation(frame: &Frame<'_>, name: Name) -> Vec<u8> {
    write::letter(frame, &frame.fill(name, &[]))
}

/// Refused messages that named the reader as their author, of one alias and by one check.
#[derive(Clone, Copy, Debug)]
pub struct Named<'a> {
    /// The alias that they were sent to.
    pub receiver: &'a Alias,
    /// The check, one of [`CHECKS`].
    pub check: &'a str,
    /// How many.
    pub number: u64,
    /// When the first of them came.
    pub first: Time,
    /// And the last.
    pub last: Time,
}

/// Mail in the reader's name was refused: `number` in all, of which `named` tells the most. Nothing
/// of the messages stands in it, and nobody's address but the reader's aliases. `quiet`: the
/// address by which he wants to hear no more of it.
#[must_use]
pub fn refused(frame: &Frame<'_>, number: u64, named: &[Named<'_>], quiet: &str) -> Vec<u8> {
    let line = |named: &Named<'_>| {
        let (first, last) = (frame.time(named.first), frame.time(named.last));
        format!("{} × {}, {first} – {last}", named.receiver.as_str(), named.number)
    };
    let number = number.to_string();
    let values = [
        ("number", Value::Text(&number)),
        ("list", Value::List(named.iter().map(|named| (line(named), named.check)).collect())),
        ("quiet", Value::Text(quiet)),
    ];
    let mut filled = frame.fill(Name::Refused, &values);
    filled.html = filled.html.replace(quiet, &format!("<a href=\"mailto:{quiet}\">{quiet}</a>"));
    write::unasked(frame, &filled)
}

/// Mail to postmaster or abuse of `domain`, as an attachment: for an operator whose server takes 7-bit mail only. `id`: its own, and as a Message-ID.
#[must_use]
pub fn wrapped(domain: &str, to: &Address, now: Time, id: (MessageId, &str), raw: &[u8]) -> Vec<u8> {
    write::wrapped(domain, to, now, id, raw)
}

impl Frame<'_> {
    fn fill(&self, name: Name, values: &[(&str, Value<'_>)]) -> texts::Filled {
        let (reference, received) = (self.about.to_string(), self.time(self.received));
        let mut all = vec![
            ("marketplace", Value::Text(self.marketplace)),
            ("reference", Value::Text(&reference)),
            ("received", Value::Text(&received)),
        ];
        all.extend(values.iter().cloned());
        self.texts.fill(name, self.language, self.default_language, &all)
    }

    /// A moment as people write it, in the marketplace's zone: `2026-11-21 18:00 (+09:00)`.
    fn time(&self, time: Time) -> String {
        time.timestamp().to_zoned(self.zone.clone()).strftime("%Y-%m-%d %H:%M (%:z)").to_string()
    }
}
