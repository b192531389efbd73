//! Reports in prose, as carriers, older servers and many in Japan write them: who writes them, and
//! the words by which one knows that mail failed, is late, and why.
//!
//! Whom a wrong reading hits: the author of mail that arrived hears that it may not have. So a
//! mailbox of a mail system has to have written it, and either the subject, or a sentence that
//! these programs begin with, or a reply of SMTP has to say it. What it tells a liar: nothing; he
//! can write a report after RFC 3464 as well.

use super::super::headers::message_ids;
use super::super::mime::Part;
use super::super::text::{decode_charset, decode_words};
use super::{Action, PARTS, Report, code, status};
use std::borrow::Cow;

/// First octets of a text that are looked at for what it says, and for the message in it.
const LOOK: usize = 8 * 1024;
const BELOW: usize = 64 * 1024;

/// What stands in `From` of mail systems, in lower case.
const WRITERS: &[&str] = &[
    "mailer-daemon",
    "mailerdaemon",
    "mailer_daemon",
    "mail-daemon",
    "postmaster",
    "mail delivery",
    "mail system",
    "mail administrator",
    "mailsystem",
    "system administrator",
    "microsoftexchange",
    "delivery subsystem",
    "mdaemon",
    "mmdf",
    "interscan",
    "no-reply@",
    "noreply@",
    "メール配信",
    "システム管理",
];

/// How subjects of reports begin, in lower case, and what they mean. Of two that fit the first one
/// counts.
const SUBJECTS: &[(&str, Action)] = &[
    ("delivery status notification (delay)", Action::Delayed),
    ("delivery status notification (mail delivery delayed)", Action::Delayed),
    ("delivery notification: delivery has been delayed", Action::Delayed),
    ("delivery status notification: delayed", Action::Delayed),
    ("delivery status notification: warning", Action::Delayed),
    ("warning:", Action::Delayed),
    ("delayed mail", Action::Delayed),
    ("delivery delayed", Action::Delayed),
    ("mail delivery delayed", Action::Delayed),
    ("delayed:", Action::Delayed),
    ("delivery status notification", Action::Failed),
    ("delivery notification: delivery has failed", Action::Failed),
    ("undelivered mail", Action::Failed),
    ("undeliverable", Action::Failed),
    ("undelivered", Action::Failed),
    ("mail delivery fail", Action::Failed),
    ("mail delivery system", Action::Failed),
    ("mail delivery problem", Action::Failed),
    ("mail system error", Action::Failed),
    ("mail could not be delivered", Action::Failed),
    ("mail failure", Action::Failed),
    ("message delivery has failed", Action::Failed),
    ("returned mail", Action::Failed),
    ("returned to sender", Action::Failed),
    ("failure notice", Action::Failed),
    ("failed delivery", Action::Failed),
    ("delivery fail", Action::Failed),
    ("permanent delivery failure", Action::Failed),
    ("postmaster notify", Action::Failed),
    ("there was an error sending your mail", Action::Failed),
    ("user unknown", Action::Failed),
    ("unzustellbar", Action::Failed),
    ("nicht zustellbar", Action::Failed),
    ("non remis", Action::Failed),
    ("non_remis", Action::Failed),
    ("non recapitabile", Action::Failed),
    ("no se puede entregar", Action::Failed),
    ("onbestelbaar", Action::Failed),
    ("não entregue", Action::Failed),
    ("配信遅延", Action::Delayed),
    ("配信不能", Action::Failed),
    ("配信エラー", Action::Failed),
    ("配信失敗", Action::Failed),
    ("配送不能", Action::Failed),
    ("送信エラー", Action::Failed),
    ("送信失敗", Action::Failed),
    ("宛先不明", Action::Failed),
    ("退信", Action::Failed),
    ("系统退信", Action::Failed),
    ("投递失败", Action::Failed),
];

/// What says it anywhere in a subject or at the start of a text, in lower case.
const SENTENCES: &[(&str, Action)] = &[
    ("do not need to resend", Action::Delayed),
    ("this is a warning message only", Action::Delayed),
    ("has not yet been delivered", Action::Delayed),
    ("has been delayed", Action::Delayed),
    ("will be retried", Action::Delayed),
    ("still being retried", Action::Delayed),
    ("再送を試み", Action::Delayed),
    ("this is the qmail-send program", Action::Failed),
    ("wasn't able to deliver your message", Action::Failed),
    ("could not be delivered", Action::Failed),
    ("couldn't be delivered", Action::Failed),
    ("was not delivered", Action::Failed),
    ("was undeliverable", Action::Failed),
    ("delivery has failed", Action::Failed),
    ("did not reach the following recipient", Action::Failed),
    ("had permanent fatal errors", Action::Failed),
    ("had delivery problems", Action::Failed),
    ("recipients was rejected by a remote mail server", Action::Failed),
    ("the user(s) account is", Action::Failed),
    ("unable to deliver", Action::Failed),
    ("konnte nicht zugestellt", Action::Failed),
    ("配信できません", Action::Failed),
    ("配信に失敗", Action::Failed),
    ("配信されません", Action::Failed),
    ("配達できません", Action::Failed),
    ("お届けできません", Action::Failed),
    ("届けることができません", Action::Failed),
    ("届きませんでした", Action::Failed),
    ("送信できません", Action::Failed),
    ("送信に失敗", Action::Failed),
    ("送信されませんでした", Action::Failed),
    ("メールアドレスが見つかりません", Action::Failed),
    ("宛先が見つかりません", Action::Failed),
    ("存在しないメールアドレス", Action::Failed),
];

/// Why, where no status stands there: words in lower case, and the status that they stand for.
const REASONS: &[(&str, (u16, u16, u16))] = &[
    ("over quota", (5, 2, 2)),
    ("quota exceeded", (5, 2, 2)),
    ("exceeded the local limit", (5, 2, 2)),
    ("mailbox is full", (5, 2, 2)),
    ("mailbox full", (5, 2, 2)),
    ("容量", (5, 2, 2)),
    ("いっぱい", (5, 2, 2)),
    ("満杯", (5, 2, 2)),
    ("account is disabled", (5, 2, 1)),
    ("temporarily limited", (5, 2, 1)),
    ("too large", (5, 3, 4)),
    ("サイズ", (5, 3, 4)),
    ("host unknown", (5, 1, 2)),
    ("host not found", (5, 1, 2)),
    ("domain not found", (5, 1, 2)),
    ("not delivered within", (5, 4, 7)),
    ("not responding", (5, 4, 7)),
    ("user unknown", (5, 1, 1)),
    ("unknown user", (5, 1, 1)),
    ("no such user", (5, 1, 1)),
    ("user not found", (5, 1, 1)),
    ("does not exist", (5, 1, 1)),
    ("wasn't found", (5, 1, 1)),
    ("not listed in", (5, 1, 1)),
    ("見つかりません", (5, 1, 1)),
    ("存在しない", (5, 1, 1)),
    ("存在しません", (5, 1, 1)),
    ("宛先不明", (5, 1, 1)),
];

/// Reads a report in prose; none if it is no such.
pub(super) fn read(top: &Part<'_>) -> Option<Report> {
    let from = top.field("From").map(|field| decode_words(&field.text()).to_lowercase()).unwrap_or_default();
    if !WRITERS.iter().any(|name| from.contains(name)) {
        return None;
    }
    let text = first_text(top);
    let head: String = text.get(..text.floor_char_boundary(LOOK)).unwrap_or("").to_lowercase();
    let raw = top.field("Subject").map(|field| field.value).unwrap_or_default();
    let subjects = readings(raw, "").into_iter().map(|text| decode_words(text.trim()).to_lowercase());
    let subject: String = subjects.collect::<Vec<_>>().join("\n");
    let begins = |(words, _): &&(&str, Action)| subject.lines().any(|subject| subject.starts_with(words));
    let says = |(words, _): &&(&str, Action)| head.contains(words) || subject.contains(words);
    let action = SUBJECTS.iter().find(begins).or_else(|| SENTENCES.iter().find(says)).map(|(_, action)| *action);
    let reply = first_reply(&head);
    let action = action.or_else(|| top.field("X-Failed-Recipients").map(|_| Action::Failed));
    let action = action.or_else(|| reply.is_some().then_some(Action::Failed))?;
    // The first one of the right class: programs' versions look like status codes, too.
    let class = if action == Action::Delayed { 4 } else { 5 };
    let mut words = head.split(|c: char| !(c.is_ascii_digit() || c == '.'));
    let found = words.find_map(|word| status(word.trim_matches('.')).filter(|(found, ..)| *found == class));
    let meant = || REASONS.iter().find(|(words, _)| head.contains(words)).map(|(_, status)| *status);
    let found = found.or_else(|| meant().filter(|_| action == Action::Failed));
    Some(Report { action, status: found, code: reply.unwrap_or(0), about: about(&text) })
}

/// A failed reply of SMTP in a text, as mail systems repeat it: `said: 550`, `<a@b>: 550`,
/// `<<< 550`, or with its enhanced code, `550 5.1.1`.
fn first_reply(head: &str) -> Option<u16> {
    let mut before = "";
    let mut words = head.split_whitespace().peekable();
    while let Some(word) = words.next() {
        let number = word.trim_start_matches(['#', '(', '\'', '"']);
        let found = code(number);
        let behind = number.get(3..).unwrap_or("");
        let enhanced = behind.strip_prefix('-').or_else(|| words.peek().copied()).unwrap_or("");
        let is_reply = before.ends_with([':', '<', '>']) || status(enhanced.trim_start_matches('#')).is_some();
        if (500..600).contains(&found) && (behind.is_empty() || behind.starts_with('-')) && is_reply {
            return Some(found);
        }
        before = word;
    }
    None
}

/// The Message-ID of the message that a text gives back below its words.
fn about(text: &str) -> Option<String> {
    let line = text.lines().find(|line| line.get(..11).is_some_and(|name| name.eq_ignore_ascii_case("message-id:")))?;
    message_ids(line, 1).pop()
}

/// The first text of a message, decoded: in the first part of each multipart.
fn first_text(top: &Part<'_>) -> String {
    let mut part = top.clone();
    for _ in 0..PARTS {
        let Some(first) = part.children().and_then(|children| children.into_iter().next()) else { break };
        part = Part::read(first, false);
    }
    let bytes = part.decoded();
    let bytes = bytes.get(..BELOW.min(bytes.len())).unwrap_or(&[]);
    let texts = readings(bytes, part.kind.get("charset").unwrap_or(""));
    let text = texts.join("\n");
    if part.kind.value == "text/html" { mail_parser::decoders::html::html_to_text(&text) } else { text }
}

/// A text in the charset that it says, or else in each that such reports are in.
fn readings<'a>(bytes: &'a [u8], charset: &str) -> Vec<Cow<'a, str>> {
    if bytes.is_ascii() && memchr::memmem::find(bytes, b"\x1b$").is_some() {
        return vec![decode_charset(bytes, "iso-2022-jp")];
    }
    if bytes.is_ascii() || !charset.is_empty() || std::str::from_utf8(bytes).is_ok() {
        return vec![decode_charset(bytes, charset)];
    }
    ["shift_jis", "euc-jp", "gb18030", ""].into_iter().map(|charset| decode_charset(bytes, charset)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::{Action, read};

    /// `Subject|body|action status`.
    #[test]
    fn what_mail_systems_write() {
        let table = [
            (
                "Mail System Error - Returned Mail",
                "The following recipients:\r\n<a@b.test>: 550 user unknown",
                "bounced 5.1.1",
            ),
            (
                "Mail System Error - Returned Mail",
                "The user(s) account is temporarily over quota.\r\n<a@b.test>",
                "bounced 5.2.2",
            ),
            (
                "Mail System Error - Returned Mail",
                "Your message was not delivered within 0 days and 1 hours.",
                "bounced 5.4.7",
            ),
            (
                "=?UTF-8?B?44Oh44O844Or44Gv6YWN5L+h44Gn44GN44G+44Gb44KT44Gn44GX44Gf?=",
                "宛先のメールアドレスが見つかりません。\r\n<a@b.test> 5.1.1",
                "bounced 5.1.1",
            ),
            ("x", "お客様のメールは送信できませんでした。\r\n宛先が存在しません。", "bounced 5.1.1"),
            ("Undeliverable: order", "a@b.test wasn't found at b.test.\r\nStatus code: 550 5.1.10", "bounced 5.1.10"),
            (
                "failure notice",
                "Hi. This is the qmail-send program at b.test.\r\n<a@b.test>:\r\nSorry, no mailbox here. (#5.1.1)",
                "bounced 5.1.1",
            ),
            ("x", "host mx.b.test said: 552 5.2.2 Over quota", "bounced 5.2.2"),
            (
                "Returned mail: see transcript for details",
                "   ----- The following addresses had permanent fatal errors -----\r\n<a@b.test>\r\n    (reason: 550 Unknown user)",
                "bounced 5.1.1",
            ),
            (
                "Warning: could not send message for past 4 hours",
                "YOU DO NOT NEED TO RESEND YOUR MESSAGE",
                "reported-late ",
            ),
            ("Out of office", "I am away; order 550 was sent. 5.1.1", "automatic-answer "),
            ("About your order", "We have 550 of them.", "automatic-answer "),
        ];
        for (subject, body, want) in table {
            let raw = format!(
                "From: Postmaster@b.test\r\nSubject: {subject}\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{body}\r\n"
            );
            let found = read(raw.as_bytes());
            let status = found.status.map(|(class, subject, detail)| format!("{class}.{subject}.{detail}"));
            assert_eq!(format!("{} {}", found.action.as_str(), status.unwrap_or_default()), want, "{raw}");
            // A person's is none.
            let person = read(raw.replace("Postmaster", "bea").as_bytes());
            assert_eq!(person.action, Action::Answer, "{raw}");
        }
        let jis = encoding_rs::ISO_2022_JP.encode("メールを配信できませんでした。").0;
        let sjis = encoding_rs::SHIFT_JIS.encode("メールを配信できませんでした。").0;
        for text in [jis, sjis] {
            let raw = [&b"From: MAILER-DAEMON@b.test\r\nSubject: x\r\n\r\n"[..], &text, b"\r\nMessage-ID: <1@m>\r\n"]
                .concat();
            let found = read(&raw);
            assert_eq!((found.action, found.about.as_deref()), (Action::Failed, Some("1@m")));
        }
    }
}
