//! Floor 3, notices: the mail that the relay itself writes, in the reader's language.
//!
//! Owns: the texts ([`texts`]), delivery reports (RFC 3464), the opt-out auto-reply (RFC 3834) and short confirmations. They
//! name aliases only, carry nothing of what a remote server said, and of a message no more than its
//! author needs to know which it is: to him alone, his own Message-ID (so that they thread),
//! subject and file name. Whoever queues them sends them with the null sender.
//! Not here: reading other people's bounces (`message::bounce`), and deciding who is told what.

#[cfg(test)]
mod tests;
pub mod texts;
mod times;
mod write;

pub use texts::Texts;

use crate::policy::failure::{DECISION_KEYS, FailureClass, Why};
use crate::types::{Address, Alias, MessageId, Time, html_escaped};
use jiff::tz::TimeZone;
use texts::{Filled, Reader};

/// Which notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Name {
    /// A message was given up.
    Failure,
    /// A report that is proved says that a message was not delivered after all.
    Reported,
    /// A report that nothing proves says so.
    Doubtful,
    /// A message waits for a long time.
    Delayed,
    /// A message was refused or blocked.
    Stopped,
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
    pub const ALL: [Self; 14] = [
        Self::Failure,
        Self::Reported,
        Self::Doubtful,
        Self::Delayed,
        Self::Stopped,
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
            Self::Reported => "reported",
            Self::Doubtful => "doubtful",
            Self::Delayed => "delayed",
            Self::Stopped => "stopped",
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
        Self::ALL.map(|name| format!("{}.txt", name.as_str())).join(", ") + ", reasons.txt, words.txt, footer.txt"
    }

    /// The placeholders that a text must have, or it would say nothing.
    fn needed(self) -> &'static [&'static str] {
        match self {
            Self::Failure | Self::Reported | Self::Stopped => &["receiver", "reason"],
            Self::Doubtful => &["receiver"],
            Self::Delayed => &["receiver", "until"],
            Self::Partial => &["list"],
            Self::OptOut => &["receiver", "tags"],
            Self::OptOutStrict => &["receiver"],
            Self::OptOutLimit => &["receiver", "limit", "opens"],
            Self::ReportDone | Self::NoResponseDone | Self::StopDone => &[],
            Self::FileAddress => &["receiver"],
            Self::Refused => &["number", "list", "quiet"],
        }
    }

    /// Those that it may have besides.
    fn further(self) -> &'static [&'static str] {
        match self {
            Self::Doubtful => &["reason"],
            Self::Stopped => &["file"],
            Self::FileAddress => &["part"],
            _ => &[],
        }
    }

    /// Whether it is about one message to one receiver: [`WHICH`] tells which.
    #[must_use]
    pub fn is_of_one(self) -> bool {
        !matches!(self, Self::ReportDone | Self::NoResponseDone | Self::StopDone | Self::Refused)
    }

    /// The placeholders that are filled in.
    fn placeholders(self) -> Vec<&'static str> {
        let which = if self.is_of_one() { &WHICH[..] } else { &[] };
        let lists = [&EVERYWHERE[..], which, self.needed(), self.further()];
        let mut all: Vec<&str> = Vec::new();
        for name in lists.into_iter().flatten() {
            if !all.contains(name) {
                all.push(name);
            }
        }
        all
    }
}

/// Placeholders of every text. `contact`: whom to ask, the marketplace's name and how to reach it.
const EVERYWHERE: [&str; 4] = ["marketplace", "contact", "reference", "received"];
/// Which message it is: its subject, the other side's name, the order. Empty where it has none.
const WHICH: [&str; 4] = ["subject", "name", "receiver", "order"];

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
    /// A moment, as people of the text's language write it.
    Time(Time),
    /// What a reason's line says.
    Reason(&'a Why),
    /// The tags among these that people of the text's language read.
    Tags(&'a [String]),
    /// One line each.
    List(&'a [Row<'a>]),
}

/// A line of a list.
#[derive(Clone, Debug)]
pub struct Row<'a> {
    /// What it is about.
    pub what: String,
    /// From when to when.
    pub span: Option<(Time, Time)>,
    /// What became of it.
    pub why: &'a Why,
}

/// What every notice needs.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// The texts.
    pub texts: &'a Texts,
    /// The marketplace's name.
    pub marketplace: &'a str,
    /// Where people reach it: a mail address or a web address; may be empty.
    pub contact: &'a str,
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
    /// Its subject, decoded; may be empty.
    pub subject: &'a str,
    /// The other side's name, as the reader knows it; may be empty.
    pub name: &'a str,
    /// The order or orders that it may be about; may be empty.
    pub order: &'a str,
}

/// One recipient in a delivery report.
#[derive(Clone, Debug)]
pub struct Failed<'a> {
    /// The recipient as the author knows it.
    pub receiver: &'a Alias,
    /// Why.
    pub why: Why,
}

/// A message was given up: `multipart/report` after RFC 3464.
#[must_use]
pub fn failure(frame: &Frame<'_>, failed: &Failed<'_>) -> Vec<u8> {
    undelivered(frame, Name::Failure, failed)
}

/// A report that is proved says that a message was not delivered after its server had taken it.
#[must_use]
pub fn reported(frame: &Frame<'_>, failed: &Failed<'_>) -> Vec<u8> {
    undelivered(frame, Name::Reported, failed)
}

fn undelivered(frame: &Frame<'_>, name: Name, failed: &Failed<'_>) -> Vec<u8> {
    let values = [("receiver", Value::Text(failed.receiver.as_str())), ("reason", Value::Reason(&failed.why))];
    write::report(frame, &frame.fill(name, &values), "failed", None, std::slice::from_ref(failed))
}

/// A message was refused or blocked, for all of these for the same reason. `file`: the attachment
/// that it is about; may be empty.
#[must_use]
pub fn stopped(frame: &Frame<'_>, failed: &[Failed<'_>], file: &str) -> Vec<u8> {
    let none = Why::default();
    let why = failed.first().map_or(&none, |failed| &failed.why);
    let receivers = receivers(failed);
    let values = [("receiver", Value::Text(&receivers)), ("reason", Value::Reason(why)), ("file", Value::Text(file))];
    write::report(frame, &frame.fill(Name::Stopped, &values), "failed", None, failed)
}

/// The first receivers, in a line.
fn receivers(failed: &[Failed<'_>]) -> String {
    let mut named = failed.iter().take(NAMED).map(|failed| failed.receiver.as_str()).collect::<Vec<_>>();
    if failed.len() > NAMED {
        named.push("…");
    }
    named.join(", ")
}

/// Receivers that a line names.
const NAMED: usize = 5;

/// A report that nothing proves says that a delivered message was not delivered. A letter for
/// people: programs are not told that it failed.
#[must_use]
pub fn doubtful(frame: &Frame<'_>, failed: &Failed<'_>) -> Vec<u8> {
    let values = [("receiver", Value::Text(failed.receiver.as_str())), ("reason", Value::Reason(&failed.why))];
    write::letter(frame, &frame.fill(Name::Doubtful, &values))
}

/// A message went, and a file of it shows its author's own address: in this part, `2.1`.
#[must_use]
pub fn file_address(frame: &Frame<'_>, receiver: &Alias, part: &str) -> Vec<u8> {
    let values = [("receiver", Value::Text(receiver.as_str())), ("part", Value::Text(part))];
    write::letter(frame, &frame.fill(Name::FileAddress, &values))
}

/// A message waits for long and is tried until `until`.
#[must_use]
pub fn delayed(frame: &Frame<'_>, receiver: &Alias, until: Time) -> Vec<u8> {
    let values = [("receiver", Value::Text(receiver.as_str())), ("until", Value::Time(until))];
    let recipient = Failed { receiver, why: Why::plain("", "4.4.1") };
    write::report(frame, &frame.fill(Name::Delayed, &values), "delayed", Some(until), &[recipient])
}

/// A message was accepted, but not for these recipients.
#[must_use]
pub fn partial(frame: &Frame<'_>, refused: &[Failed<'_>]) -> Vec<u8> {
    let row = |failed: &'_ Failed<'_>| failed.receiver.as_str().to_owned();
    let rows: Vec<Row<'_>> =
        refused.iter().map(|failed| Row { what: row(failed), span: None, why: &failed.why }).collect();
    let receivers = receivers(refused);
    let values = [("receiver", Value::Text(&receivers)), ("list", Value::List(&rows))];
    write::report(frame, &frame.fill(Name::Partial, &values), "failed", None, refused)
}

/// The seller's message was blocked because the buyer has opted out: RFC 3834. `tags` are the
/// critical tags that the operator allows.
#[must_use]
pub fn opt_out_reply(frame: &Frame<'_>, receiver: &Alias, tags: &[String]) -> Vec<u8> {
    let name = if tags.is_empty() { Name::OptOutStrict } else { Name::OptOut };
    let values = [("receiver", Value::Text(receiver.as_str())), ("tags", Value::Tags(tags))];
    write::letter(frame, &frame.fill(name, &values))
}

/// The same where the seller has declared as many messages critical as a day allows. `opens`: when
/// the next day begins.
#[must_use]
pub fn opt_out_limit(frame: &Frame<'_>, receiver: &Alias, limit: u64, opens: Time) -> Vec<u8> {
    let limit = limit.to_string();
    let values =
        [("receiver", Value::Text(receiver.as_str())), ("limit", Value::Text(&limit)), ("opens", Value::Time(opens))];
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
    let checks = CHECKS.map(|check| Why::plain(check, "5.7.1"));
    let row = |named: &Named<'_>| {
        let why = checks.iter().find(|why| why.key == named.check)?;
        let what = format!("{} × {}", named.receiver.as_str(), named.number);
        Some(Row { what, span: Some((named.first, named.last)), why })
    };
    let (number, rows) = (number.to_string(), named.iter().filter_map(row).collect::<Vec<_>>());
    let values = [("number", Value::Text(&number)), ("list", Value::List(&rows)), ("quiet", Value::Text(quiet))];
    let mut filled = frame.fill(Name::Refused, &values);
    link(&mut filled, quiet);
    write::unasked(frame, &filled)
}

/// Makes a mail address or a web address of the text a link, where the HTML was made of the text.
fn link(filled: &mut Filled, to: &str) {
    if filled.is_made && !to.is_empty() {
        let shown = html_escaped(to);
        let scheme = if to.contains("://") { "" } else { "mailto:" };
        filled.html = filled.html.replace(&shown, &format!("<a href=\"{scheme}{shown}\">{shown}</a>"));
    }
}

/// Mail to postmaster or abuse of `domain`, as an attachment: for an operator whose server takes 7-bit mail only. `id`: its own, and as a Message-ID.
#[must_use]
pub fn wrapped(domain: &str, to: &Address, now: Time, id: (MessageId, &str), raw: &[u8]) -> Vec<u8> {
    write::wrapped(domain, to, now, id, raw)
}

impl Frame<'_> {
    fn fill(&self, name: Name, values: &[(&str, Value<'_>)]) -> Filled {
        let reference = self.about.to_string();
        let contact = match self.contact {
            "" => self.marketplace.to_owned(),
            contact => format!("{} ({contact})", self.marketplace),
        };
        let mut all = vec![
            ("marketplace", Value::Text(self.marketplace)),
            ("contact", Value::Text(&contact)),
            ("reference", Value::Text(&reference)),
            ("received", Value::Time(self.received)),
            ("subject", Value::Text(self.subject)),
            ("name", Value::Text(self.name)),
            ("order", Value::Text(self.order)),
        ];
        all.extend(values.iter().cloned());
        let reader = Reader { language: self.language, default: self.default_language, zone: self.zone };
        let mut filled = self.texts.fill(name, &reader, &all);
        link(&mut filled, self.contact);
        filled
    }
}
