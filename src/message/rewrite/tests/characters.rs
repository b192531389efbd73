//! Characters of messages: `characters.txt`. Read by another reader than ours.

use super::written_with;
use crate::message::mime::Part;
use mail_parser::{MessageParser, MimeHeaders as _};
use std::fmt::Write as _;

/// A row's octets: `\x1b`, `\r`, `\n`, `\t`; and `|` for CRLF between fields.
fn unescaped(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let mut buffer = [0; 4];
        let (octets, length): (&[u8], usize) = match (c, rest.get(1..2)) {
            ('\\', Some("x")) => (&[u8::from_str_radix(&rest[2..4], 16).unwrap()], 4),
            ('\\', Some("r")) => (b"\r", 2),
            ('\\', Some("n")) => (b"\n", 2),
            ('|', _) => (b"\r\n", 1),
            _ => (c.encode_utf8(&mut buffer).as_bytes(), c.len_utf8()),
        };
        out.extend_from_slice(octets);
        rest = &rest[length..];
    }
    out
}

/// What a mail program sees of it, as the table asks.
fn seen(what: &str, out: &[u8]) -> String {
    let message = MessageParser::new().parse(out).unwrap();
    let file = message.attachments().next();
    match what {
        "subject" => message.subject().unwrap_or("").to_owned(),
        "text" => message.body_text(0).unwrap_or_default().into_owned(),
        "html" => message.body_html(0).unwrap_or_default().into_owned(),
        "name" => file.and_then(|file| file.attachment_name()).unwrap_or("").to_owned(),
        "label" | "octets" => {
            let top = Part::read(out, false);
            let children = top.children().unwrap_or_default();
            let part = children.last().map_or(top.clone(), |child| Part::read(child, false));
            let octets: String = part.decoded().iter().map(|byte| char::from(*byte)).collect();
            if what == "octets" { octets } else { part.kind.get("charset").unwrap_or("").to_owned() }
        }
        _ => panic!("{what}"),
    }
}

#[test]
fn characters_arrive() {
    let mut wrong = String::new();
    let rows = include_str!("../characters.txt").lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    for row in rows.clone() {
        let mut columns = row.split('\t').filter(|column| !column.is_empty());
        let raw = unescaped(columns.next().unwrap());
        let Ok(out) = written_with(&raw, true) else { panic!("{row}") };
        for column in columns {
            let (what, want) = column.split_once('=').unwrap();
            let (what, part) = what.strip_suffix('~').map_or((what, false), |what| (what, true));
            let want = match what {
                "octets" => unescaped(want).iter().map(|byte| char::from(*byte)).collect(),
                _ => String::from_utf8(unescaped(want)).unwrap(),
            };
            let got = seen(what, &out.bytes);
            let is_so = if part { got.contains(&want) } else { got == want };
            if !is_so {
                writeln!(wrong, "{row}\n  {what}: {got:?}").unwrap();
            }
        }
        let all = ["subject", "text", "html", "name", "octets"].map(|what| seen(what, &out.bytes)).concat();
        // Nothing was put in place of what did not decode.
        let octets = seen("octets", &out.bytes);
        assert!(!octets.contains("\u{ef}\u{bf}\u{bd}"), "{row}\n{all:?}");
        assert!(!all.contains("b-real") && !all.contains("ｂ－ｒｅａｌ"), "{row}\n{all:?}");
    }
    assert!(rows.count() > 60 && wrong.is_empty(), "\n{wrong}");
}
