//! Other people's delivery reports, RFC 3464: what happened, in three numbers. Nothing of their text is kept.

use super::headers::split;
use super::mime::Part;

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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// What it says.
    pub action: Action,
    /// Its status, `5.1.1` (RFC 3463).
    pub status: Option<(u16, u16, u16)>,
}

/// Parts that are looked at; reports have three.
const PARTS: usize = 20;

/// Reads a report. What is none is an automatic answer.
#[must_use]
pub fn read(raw: &[u8]) -> Report {
    let top = Part::read(raw, false);
    let mut found = Report { action: Action::Answer, status: None };
    let Some(children) = top.children() else { return found };
    for child in children.into_iter().take(PARTS) {
        let part = Part::read(child, false);
        if !matches!(part.kind.value.as_str(), "message/delivery-status" | "message/global-delivery-status") {
            continue;
        }
        let decoded = part.decoded();
        // A block for the message, then one for each recipient; ours had one.
        let mut rest: &[u8] = &decoded;
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
    found
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
            assert_eq!(read(raw.as_bytes()), Report { action, status }, "{raw}");
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
