//! Fields that a header holds once: RFC 5322 3.6, RFC 2045 and its kin. Where one stands twice, a
//! reader takes the first and a DKIM signature covers the last (RFC 6376 5.4.2): whoever puts a
//! second one on top speaks under somebody else's signature. So there is one value of each, or the
//! message is refused.
//!
//! Whom it hits: programs that write `To` and `Subject` twice, with the same value, do pass (PHP's
//! `mail` does). Two different values are a fault of the sender's program, and no two readers show
//! the same message of it. What it tells a liar: nothing, it is the same for every author and every
//! recipient.

use super::headers::Field;

/// The fields, in the order in which the history and the reply name them.
const ONCE: [&str; 12] = [
    "Date",
    "From",
    "Sender",
    "Reply-To",
    "To",
    "Cc",
    "Bcc",
    "Message-ID",
    "In-Reply-To",
    "References",
    "Subject",
    "MIME-Version",
];

/// What each field of a part's own description begins with (RFC 2045 9). Each says one thing of the
/// part.
const OF_A_PART: &str = "content-";
/// May stand several times (RFC 3297 3).
const ALTERNATIVE: &str = "Content-Alternative";
/// Fields of a part that are looked at: more different ones than a description has are one field
/// too many.
const MOST: usize = 64;

/// The name of a field that stands twice with different values.
#[must_use]
pub fn repeated(fields: &[Field<'_>]) -> Option<&'static str> {
    let mut first: [Option<&Field<'_>>; ONCE.len()] = [None; ONCE.len()];
    let mut described: Vec<&Field<'_>> = Vec::new();
    for field in fields {
        if let Some(at) = position(field.name) {
            match first.get_mut(at) {
                Some(Some(known)) if !same(known, field) => return ONCE.get(at).copied(),
                Some(slot @ None) => *slot = Some(field),
                _ => {}
            }
        } else if of_a_part(field.name) {
            match described.iter().find(|known| known.is(field.name)) {
                Some(known) if !same(known, field) => return Some("Content-*"),
                Some(_) => {}
                None if described.len() == MOST => return Some("Content-*"),
                None => described.push(field),
            }
        }
    }
    None
}

/// Most fields are settled by the length of their name and its first letter.
fn position(name: &str) -> Option<usize> {
    if name.len() > 12 {
        return None;
    }
    ONCE.iter().position(|once| once.eq_ignore_ascii_case(name))
}

fn of_a_part(name: &str) -> bool {
    let start = name.as_bytes().get(..OF_A_PART.len());
    start.is_some_and(|start| start.eq_ignore_ascii_case(OF_A_PART.as_bytes()))
        && !name.eq_ignore_ascii_case(ALTERNATIVE)
}

/// Whether two fields say the same: unfolded, trimmed, each run of white space one space.
#[must_use]
pub fn same(one: &Field<'_>, other: &Field<'_>) -> bool {
    one.value == other.value || words(one.value).eq(words(other.value))
}

fn words(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::headers::split;

    #[test]
    fn what_may_stand_once() {
        // header, what is told
        let cases = [
            ("Subject: a\r\nSubject: b\r\n", Some("Subject")),
            ("subject: a\r\nSUBJECT: b\r\n", Some("Subject")),
            ("Subject: a\r\nSubject: a\r\n", None),
            ("Subject: a  b\r\nSubject:\r\n a\r\n\tb \r\n", None),
            ("Subject: a b\r\nSubject: ab\r\n", Some("Subject")),
            ("Subject: a\r\nSubject: A\r\n", Some("Subject")),
            ("Subject: a\r\nSubject:\r\n", Some("Subject")),
            ("Subject: a\r\nSubject: a\r\nSubject: b\r\n", Some("Subject")),
            ("To: a@b.test\r\nTo: c@d.test\r\n", Some("To")),
            ("Cc: a@b.test\r\nCc: c@d.test\r\n", Some("Cc")),
            ("Date: x\r\nDate: y\r\n", Some("Date")),
            ("Sender: x\r\nSender: y\r\n", Some("Sender")),
            ("Reply-To: x\r\nReply-To: y\r\n", Some("Reply-To")),
            ("Message-ID: <a@b>\r\nMessage-Id: <c@d>\r\n", Some("Message-ID")),
            ("In-Reply-To: <a@b>\r\nIn-Reply-To: <c@d>\r\n", Some("In-Reply-To")),
            ("References: <a@b>\r\nReferences: <c@d>\r\n", Some("References")),
            ("MIME-Version: 1.0\r\nMIME-Version: 1.1\r\n", Some("MIME-Version")),
            ("Content-Type: a/b\r\nX: y\r\nContent-Type: c/d\r\n", Some("Content-*")),
            ("Content-Transfer-Encoding: 7bit\r\nContent-transfer-encoding: base64\r\n", Some("Content-*")),
            ("Content-Disposition: inline\r\nContent-Disposition: attachment\r\n", Some("Content-*")),
            ("Content-ID: <a@b>\r\nContent-ID: <c@d>\r\n", Some("Content-*")),
            ("Content-Language: de\r\nContent-Language: en\r\n", Some("Content-*")),
            ("Content-Type: a/b\r\nContent-Type: a/b\r\nContent-ID: <a@b>\r\n", None),
            ("Content-Alternative: a\r\nContent-Alternative: b\r\n", None),
            // Trace, resent blocks and everybody's own fields stand as often as they like.
            (
                "Received: a\r\nReceived: b\r\nResent-To: a\r\nResent-To: b\r\nX-A: 1\r\nX-A: 2\r\nKeywords: a\r\nKeywords: b\r\n",
                None,
            ),
            ("From: a@b.test\r\nFrom: c@d.test\r\n", Some("From")),
            ("From: a@b.test\r\nFROM:  a@b.test\r\n", None),
            ("", None),
        ];
        for (header, want) in cases {
            assert_eq!(repeated(&split(header.as_bytes()).0), want, "{header}");
        }
        let many: String = (0..200).map(|n| format!("Content-X{n}: y\r\n")).collect();
        assert_eq!(repeated(&split(many.as_bytes()).0), Some("Content-*"));
    }
}
