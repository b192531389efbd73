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
use super::super::work::skip;
use super::{Action, PARTS, Report, code, status};
use std::borrow::Cow;

/// First octets of a text that are looked at for what it says, and for the message in it.
const LOOK: usize = 8 * 1024;
const BELOW: usize = 64 * 1024;
/// First octets of `From` and of the subject that are looked at.
const FIELD: usize = 2 * 1024;

/// What stands in `From` of mail systems, in lower case.
const WRITERS: &[&str] = &[
    "mailer-daemon",
    "mailerdaemon",
    "mailer_daemon",
    "mail-daemon",
    "postmaster",
    "post_master@",
    "mail deliver",
    "mail system",
    "mail administrator",
    "mailsystem",
    "system administrator",
    "microsoftexchange",
    "delivery subsystem",
    "mdaemon",
    "mmdf",
    "interscan",
    "sysadmin@",
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
    ("[bounce]", Action::Failed),
    ("message undeliverable", Action::Failed),
    ("mail undeliverable", Action::Failed),
    ("nondeliverable mail", Action::Failed),
    ("undelivered mail", Action::Failed),
    ("undeliverable", Action::Failed),
    ("undelivered", Action::Failed),
    ("mail delivery fail", Action::Failed),
    ("mail delivery system", Action::Failed),
    ("mail delivery problem", Action::Failed),
    ("mail system error", Action::Failed),
    ("mail could not be delivered", Action::Failed),
    ("mail failure", Action::Failed),
    ("failure delivery", Action::Failed),
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
    ("delivery delayed", Action::Delayed),
    ("will be retried", Action::Delayed),
    ("still being retried", Action::Delayed),
    ("再送を試み", Action::Delayed),
    ("this is the qmail-send program", Action::Failed),
    ("wasn't able to deliver your message", Action::Failed),
    ("could not be delivered", Action::Failed),
    ("couldn't be delivered", Action::Failed),
    ("was not delivered", Action::Failed),
    ("cannot be delivered", Action::Failed),
    ("was undeliverable", Action::Failed),
    ("delivery has failed", Action::Failed),
    ("delivery failed", Action::Failed),
    ("failed permanently", Action::Failed),
    ("did not reach the following recipient", Action::Failed),
    ("had permanent fatal errors", Action::Failed),
    ("had delivery problems", Action::Failed),
    ("had delivery errors", Action::Failed),
    ("recipients was rejected by a remote mail server", Action::Failed),
    ("rejected recipient", Action::Failed),
    ("the user(s) account is", Action::Failed),
    ("unable to deliver", Action::Failed),
    ("failure reasons", Action::Failed),
    ("konnte nicht zugestellt", Action::Failed),
    ("配信できません", Action::Failed),
    ("配信に失敗", Action::Failed),
    ("配信されません", Action::Failed),
    ("送信に失敗", Action::Failed),
    ("配送できません", Action::Failed),
    ("配送に失敗", Action::Failed),
    ("配達できません", Action::Failed),
    ("お届けできません", Action::Failed),
    ("届けることができません", Action::Failed),
    ("届きませんでした", Action::Failed),
    ("送信できません", Action::Failed),
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
    ("mailbox exceeds", (5, 2, 2)),
    ("容量", (5, 2, 2)),
    ("いっぱい", (5, 2, 2)),
    ("一杯", (5, 2, 2)),
    ("満杯", (5, 2, 2)),
    ("account is disabled", (5, 2, 1)),
    ("temporarily limited", (5, 2, 1)),
    ("no longer accepts mail", (5, 2, 1)),
    ("too large", (5, 3, 4)),
    ("size limit exceeded", (5, 3, 4)),
    ("サイズ", (5, 3, 4)),
    ("host unknown", (5, 1, 2)),
    ("unknown host", (5, 1, 2)),
    ("host not found", (5, 1, 2)),
    ("find any host", (5, 1, 2)),
    ("domain not found", (5, 1, 2)),
    ("domain does not exist", (5, 1, 2)),
    ("domain doesn't exist", (5, 1, 2)),
    ("domain doesnt exist", (5, 1, 2)),
    ("ドメインが", (5, 1, 2)),
    ("ホストが", (5, 1, 2)),
    ("not delivered within", (5, 4, 7)),
    ("not responding", (5, 4, 7)),
    ("message expired", (5, 4, 7)),
    ("timeout exceeded", (5, 4, 7)),
    ("in the queue too long", (5, 4, 7)),
    ("受信拒否", (5, 7, 1)),
    ("受信を拒否", (5, 7, 1)),
    ("user unknown", (5, 1, 1)),
    ("unknown user", (5, 1, 1)),
    ("unknown recipient", (5, 1, 1)),
    ("invalid recipient", (5, 1, 1)),
    ("no valid recipients", (5, 1, 1)),
    ("no such user", (5, 1, 1)),
    ("no mailbox here", (5, 1, 1)),
    ("user not found", (5, 1, 1)),
    ("user doesn't have", (5, 1, 1)),
    ("does not exist", (5, 1, 1)),
    ("wasn't found", (5, 1, 1)),
    ("not listed in", (5, 1, 1)),
    ("リストにありません", (5, 1, 1)),
    ("登録されていません", (5, 1, 1)),
    ("見つかりません", (5, 1, 1)),
    ("見つからない", (5, 1, 1)),
    ("存在しない", (5, 1, 1)),
    ("存在しません", (5, 1, 1)),
    ("宛先不明", (5, 1, 1)),
];

/// Reads a report in prose; none if it is no such.
pub(super) fn read(top: &Part<'_>) -> Option<Report> {
    let field = |name| top.field(name).map(|field| field.value).unwrap_or_default();
    let fields = |name| {
        let value: &[u8] = field(name);
        let texts = readings(value.get(..FIELD.min(value.len())).unwrap_or(&[]), "");
        texts.into_iter().map(|text| decode_words(text.trim()).to_lowercase()).collect::<Vec<_>>()
    };
    let (from, subjects) = (fields("From"), fields("Subject"));
    if !WRITERS.iter().any(|name| from.iter().any(|from| from.contains(name))) {
        return None;
    }
    let text = first_text(top);
    let head = on_one_line(text.get(..text.floor_char_boundary(LOOK)).unwrap_or(""));
    let holds = |words: &str| {
        skip(head.len());
        head.contains(words)
    };
    let begins = |(words, _): &&(&str, Action)| subjects.iter().any(|subject| subject.starts_with(words));
    let says = |(words, _): &&(&str, Action)| holds(words) || subjects.iter().any(|subject| subject.contains(words));
    let action = SUBJECTS.iter().find(begins).or_else(|| SENTENCES.iter().find(says)).map(|(_, action)| *action);
    let reply = first_reply(&head);
    let action = action.or_else(|| top.field("X-Failed-Recipients").map(|_| Action::Failed));
    let action = action.or_else(|| reply.is_some().then_some(Action::Failed))?;
    // The first one of the right class: programs' versions look like status codes, too.
    let class = if action == Action::Delayed { 4 } else { 5 };
    let mut words = head.split(|c: char| !(c.is_ascii_digit() || c == '.'));
    let found = words.find_map(|word| status(word.trim_matches('.')).filter(|(found, ..)| *found == class));
    let meant = || REASONS.iter().find(|(words, _)| holds(words)).map(|(_, status)| *status);
    // Sendmail says 5.0.0 of what it does not know, below what the server said.
    let telling = found.filter(|(_, subject, detail)| (*subject, *detail) != (0, 0));
    let found = telling.or_else(|| meant().filter(|_| action == Action::Failed)).or(found);
    Some(Report { action, status: found, code: reply.unwrap_or(0), about: about(&text) })
}

/// In lower case, and without the line ends that programs put into their sentences: a space in
/// their place, but nothing between letters of languages that are written without.
fn on_one_line(text: &str) -> String {
    skip(text.len());
    let mut out = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        let ascii = |c: Option<char>| c.is_none_or(|c| c.is_ascii());
        if !out.is_empty() && (ascii(out.chars().next_back()) || ascii(word.chars().next())) {
            out.push(' ');
        }
        out.extend(word.chars().flat_map(char::to_lowercase));
    }
    out
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
    skip(bytes.len());
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

    /// Each row of `prose.txt` as its program writes it, in the charsets of its language; and the
    /// same words of a person, which are no report.
    #[test]
    fn what_mail_systems_write() {
        let rows = include_str!("prose.txt").lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        for row in rows {
            let cells: Vec<&str> = row.split(" | ").map(str::trim).collect();
            let [who, from, subject, text, want] = cells.as_slice() else { panic!("{row}") };
            let text = text.replace("\\n", "\r\n");
            let charsets: &[(&str, &str)] = match text.is_ascii() {
                true => &[("us-ascii", "us-ascii"), ("iso-2022-jp", "us-ascii")],
                false => &[("utf-8", "utf-8"), ("iso-2022-jp", "iso-2022-jp"), ("", "shift_jis"), ("", "euc-jp")],
            };
            for (label, charset) in charsets {
                let encoding = encoding_rs::Encoding::for_label(charset.as_bytes()).unwrap();
                let (octets, _, lost) = encoding.encode(&text);
                if lost {
                    continue;
                }
                let kind =
                    if label.is_empty() { "text/plain".to_owned() } else { format!("text/plain; charset={label}") };
                let message = |from: &str| {
                    let head = format!("From: {from}\r\nSubject: {subject}\r\nContent-Type: {kind}\r\n\r\n");
                    [head.as_bytes(), &octets, b"\r\n"].concat()
                };
                let found = read(&message(from));
                let status = found.status.map(|(class, subject, detail)| format!(" {class}.{subject}.{detail}"));
                let said = format!("{}{}", found.action.as_str(), status.unwrap_or_default());
                assert_eq!(said, *want, "{who} in {charset}: {text}");
                let person = read(&message("Bea <bea@b.test>"));
                assert_eq!(person.action, Action::Answer, "{who}, of a person");
            }
        }
    }

    #[test]
    fn what_is_given_back_below_the_words() {
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
