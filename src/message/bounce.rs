//! Other people's delivery reports, RFC 3464: what happened, in three numbers. Nothing of their text is kept.
//!
//! Old and small servers write reports in prose. Those are read only where a fixed sign says that it is one, and only so far as to tell
//! failed from late: to take an answer for a failure would tell an author that his message did not arrive when it did.

use super::headers::{message_ids, split};
use super::mime::Part;

mod prose;

/// What a report says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It will not be delivered.
    Failed,
    /// It is late.
    Delayed,
    /// It was delivered, relayed or expanded.
    Delivered,
    /// An automatic answer of another kind: on vacation, received, read.
    Answer,
}

impl Action {
    /// The word for the history.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Failed => "bounced",
            Self::Delayed => "reported-late",
            Self::Delivered => "reported-delivered",
            Self::Answer => "automatic-answer",
        }
    }
}

/// A report, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// What it says.
    pub action: Action,
    /// Its status, `5.1.1` (RFC 3463).
    pub status: Option<(u16, u16, u16)>,
    /// The reply code that it repeats; 0 if it repeats none.
    pub code: u16,
    /// The Message-ID of the message that it gives back, or of its header, without angle brackets.
    pub about: Option<String>,
}

/// Parts that are looked at; reports have three.
const PARTS: usize = 20;

/// Octets of a part that are looked at: the parts that programs read are small.
const STATUS: usize = 64 * 1024;

/// Reads a report. What is none is an automatic answer.
#[must_use]
pub fn read(raw: &[u8]) -> Report {
    let top = Part::read(raw, false);
    let standard = read_standard(&top);
    let prose = if standard.action == Action::Answer { prose::read(&top) } else { None };
    let said = prose.unwrap_or(standard);
    let Report { action, status, code, about } = said;
    Report { action, status, code, about: returned(&top).or(about) }
}

/// Mailboxes that mail systems report from. No provider gives one of them to a person: what comes
/// from there, proved, is the system's word. Exchange's has a number behind it.
const DAEMONS: &[&str] = &["mailer-daemon", "mailerdaemon", "mailer_daemon", "postmaster", "mail-daemon", "mmdf"];
const EXCHANGE: &str = "microsoftexchange";

/// Whether reports come from a mailbox of this name.
#[must_use]
pub fn is_daemon(local: &str) -> bool {
    let local = local.to_ascii_lowercase();
    DAEMONS.contains(&local.as_str()) || local.starts_with(EXCHANGE)
}

/// A receiver's domain, and the one that its provider reports from.
const REPORTERS: &[(&str, &str)] = &[("gmail.com", "googlemail.com")];

/// Whether mail systems of one domain report for receivers in another.
#[must_use]
pub fn reports_for(reporter: &str, receiver: &str) -> bool {
    let is = |(of, from): &(&str, &str)| of.eq_ignore_ascii_case(receiver) && from.eq_ignore_ascii_case(reporter);
    reporter.eq_ignore_ascii_case(receiver) || REPORTERS.iter().any(is)
}

/// RFC 3464 2, RFC 6533 3: the last part is the message, or its header.
fn returned(top: &Part<'_>) -> Option<String> {
    let kinds = ["message/rfc822", "text/rfc822-headers", "message/global", "message/global-headers"];
    let mut parts = top.children()?.into_iter().take(PARTS).map(|child| Part::read(child, false));
    let part = parts.find(|part| kinds.contains(&part.kind.value.as_str()))?;
    let decoded = part.decoded();
    let (fields, _) = split(decoded.get(..STATUS.min(decoded.len())).unwrap_or(&[]));
    let id = fields.iter().find(|field| field.is("Message-ID"))?;
    message_ids(&id.text(), 1).pop()
}

fn read_standard(top: &Part<'_>) -> Report {
    let mut found = Report { action: Action::Answer, status: None, code: 0, about: None };
    let Some(children) = top.children() else { return found };
    for child in children.into_iter().take(PARTS) {
        let part = Part::read(child, false);
        if !matches!(part.kind.value.as_str(), "message/delivery-status" | "message/global-delivery-status") {
            continue;
        }
        let decoded = part.decoded();
        // A block for the message, then one for each recipient; ours had one.
        let mut rest: &[u8] = decoded.get(..STATUS.min(decoded.len())).unwrap_or(&[]);
        for _ in 0..PARTS {
            let (fields, after) = split(rest);
            for field in &fields {
                let text = field.text().to_ascii_lowercase();
                if field.is("Action") {
                    found.action = match text.split([' ', ';', '(']).next().unwrap_or("") {
                        "failed" => Action::Failed,
                        "delayed" => Action::Delayed,
                        "delivered" | "relayed" | "expanded" => Action::Delivered,
                        _ => continue,
                    };
                } else if field.is("Diagnostic-Code") {
                    found.code = text.strip_prefix("smtp;").map_or(found.code, |reply| code(reply.trim_start()));
                } else if field.is("Status") {
                    found.status = status(&text).or(found.status);
                }
            }
            if after.is_empty() || after.len() == rest.len() {
                break;
            }
            rest = after;
        }
    }
    // Some leave the action out.
    if found.action == Action::Answer && top.kind.get("report-type") == Some("delivery-status") {
        found.action = match found.status {
            Some((5, ..)) => Action::Failed,
            Some((4, ..)) => Action::Delayed,
            _ => Action::Answer,
        };
    }
    found
}

/// The reply code at the start of a text; 0 if there is none.
fn code(text: &str) -> u16 {
    let digits = text.get(..3).filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()));
    let ends = text.as_bytes().get(3).is_none_or(|b| !b.is_ascii_digit());
    digits.filter(|_| ends).and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

fn status(text: &str) -> Option<(u16, u16, u16)> {
    let mut numbers = text.split([' ', '(']).next()?.split('.').map(|n| n.parse::<u16>().ok().filter(|n| *n < 1000));
    let (class, subject, detail) = (numbers.next()??, numbers.next()??, numbers.next()??);
    (numbers.next().is_none() && matches!(class, 2 | 4 | 5)).then_some((class, subject, detail))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports() {
        let report = |status: &str| {
            format!(
                "Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n--b\r\n\r\nSorry, b-real@home.test\r\n\
                 --b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; x\r\n\r\n{status}\r\n--b--\r\n"
            )
        };
        let cases = [
            (
                report("Final-Recipient: rfc822; x\r\nAction: failed\r\nStatus: 5.1.1\r\n"),
                Action::Failed,
                Some((5, 1, 1)),
            ),
            (report("Action: Delayed (for now)\r\nStatus: 4.4.1 (x)\r\n"), Action::Delayed, Some((4, 4, 1))),
            (report("Action: relayed\r\nStatus: 2.0.0\r\n"), Action::Delivered, Some((2, 0, 0))),
            (report("Action: failed\r\nStatus: nonsense\r\n"), Action::Failed, None),
            (report("Status: 9.9.9\r\n"), Action::Answer, None),
            ("Auto-Submitted: auto-replied\r\n\r\nI am away\r\n".to_owned(), Action::Answer, None),
            ("Content-Type: multipart/report\r\n\r\n".to_owned(), Action::Answer, None),
        ];
        for (raw, action, status) in cases {
            let found = read(raw.as_bytes());
            assert_eq!((found.action, found.status), (action, status), "{raw}");
        }
    }

    #[test]
    fn what_is_given_back() {
        let report = |kind: &str, text: &str| {
            let head = "Content-Type: multipart/report; boundary=b\r\n\r\n--b\r\n\r\nSorry\r\n--b\r\n";
            format!("Message-ID: <own@x>\r\n{head}Content-Type: {kind}\r\n\r\n{text}\r\n--b--\r\n")
        };
        let cases = [
            ("message/rfc822", "From: a@b\r\nMessage-ID: <1@m>\r\n\r\nMessage-ID: <2@m>\r\n", Some("1@m")),
            ("text/rfc822-headers", "message-id:\r\n <1@m>\r\n", Some("1@m")),
            ("message/global-headers", "Message-ID: <1@m>\r\n", Some("1@m")),
            ("message/rfc822", "From: a@b\r\n\r\nMessage-ID: <2@m>\r\n", None),
            ("text/plain", "Message-ID: <2@m>\r\n", None),
        ];
        for (kind, text, about) in cases {
            assert_eq!(read(report(kind, text).as_bytes()).about.as_deref(), about, "{kind} {text}");
        }
        for (local, daemon) in [("MAILER-DAEMON", true), ("PostMaster", true), ("ann", false), ("postmaster2", false)] {
            assert_eq!(is_daemon(local), daemon, "{local}");
        }
        for (reporter, receiver, speaks) in [
            ("GoogleMail.com", "gmail.com", true),
            ("home.test", "HOME.test", true),
            ("gmail.com", "googlemail.com", false),
            ("mail.home.test", "home.test", false),
        ] {
            assert_eq!(reports_for(reporter, receiver), speaks, "{reporter} {receiver}");
        }
        assert!(is_daemon("MicrosoftExchange329e71ec88ae4615bbc36ab6ce41109e"));
    }

    #[test]
    fn reports_in_prose() {
        let daemon = "From: Mail Delivery System <Mailer-Daemon@home.test>";
        let exim =
            "This message was created by Exim 4.96.2.\r\n\r\n  b-real@home.test\r\n    550 5.1.1 no such user\r\n";
        let qmail = "Hi. This is the qmail-send program at home.test.\r\nThis is a permanent error.\r\n<b@home.test>:\r\nSorry, no mailbox here. (#5.1.1)\r\n";
        let cases = [
            (
                format!("{daemon}\r\nX-Failed-Recipients: b@home.test\r\nSubject: x\r\n\r\n{exim}"),
                Action::Failed,
                Some((5, 1, 1)),
            ),
            (
                format!("{daemon}\r\nSubject: Mail delivery failed: returning\r\n\r\n{exim}"),
                Action::Failed,
                Some((5, 1, 1)),
            ),
            (
                format!("From: MAILER-DAEMON@home.test\r\nSubject: failure notice\r\n\r\n{qmail}"),
                Action::Failed,
                Some((5, 1, 1)),
            ),
            (format!("From: MAILER-DAEMON@home.test\r\nSubject: x\r\n\r\n{qmail}"), Action::Failed, Some((5, 1, 1))),
            (
                format!("{daemon}\r\nSubject: Undeliverable: x\r\n\r\nat 10.20.30.40 on 21.11.2026\r\n"),
                Action::Failed,
                None,
            ),
            (
                format!("{daemon}\r\nSubject: Delivery Status Notification (Delay)\r\n\r\n4.4.1 later\r\n"),
                Action::Delayed,
                Some((4, 4, 1)),
            ),
            (format!("{daemon}\r\nSubject: =?utf-8?B?6YWN5L+h5LiN6IO9?=\r\n\r\nx\r\n"), Action::Failed, None),
            // a person's, or a vacation program's, is none, whatever it says
            (format!("From: bea@home.test\r\nSubject: Undeliverable: x\r\n\r\n{exim}"), Action::Answer, None),
            (format!("{daemon}\r\nSubject: Out of office\r\n\r\n5.1.1\r\n"), Action::Answer, None),
            (format!("Subject: failure notice\r\n\r\n{qmail}"), Action::Answer, None),
        ];
        for (raw, action, status) in cases {
            let found = read(raw.as_bytes());
            assert_eq!((found.action, found.status), (action, status), "{raw}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_octets(raw in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
            let _ = read(&raw);
            let head = b"Content-Type: multipart/report; boundary=b\r\n\r\n--b\r\nContent-Type: message/delivery-status\r\n\r\n";
            let _ = read(&[head.as_slice(), &raw].concat());
        }
    }
}
