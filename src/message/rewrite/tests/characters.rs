//! Characters of messages: `characters.txt`. Read by another reader than ours.

use super::written_with;
use crate::message::guard::{Secrets, check};
use crate::message::mime::Part;
use crate::types::Address;
use data_encoding::BASE64;
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

const NAMES: &[&str] = &[
    "",
    "utf-8",
    "us-ascii",
    "iso-8859-1",
    "shift_jis",
    "cp932",
    "euc-jp",
    "iso-2022-jp",
    "iso-2022-kr",
    "iso-2022-cn",
    "hz-gb-2312",
    "utf-7",
    "utf-16",
    "utf-16le",
    "utf-32",
    "gb18030",
    "big5",
    "euc-tw",
    "cp437",
    "x-unknown",
];
const ADDRESS: &[u8] = b"b-real-9c1@home.example";
const OCTETS: &[&[u8]] = &[
    ADDRESS,
    b"b\0-\0r\0e\0a\0l\0-\x009\0c\x001\0@\0h\0o\0m\0e\0.\0e\0x\0a\0m\0p\0l\0e\0",
    b"b-real-9c1+AEA-home.example",
    b"b-real-9c1\x1b$B!w\x1b(Bhome.example",
    b"\x82\xa0",
    b"\x83\x5c",
    b"\xa4\xa2",
    b"\xe3\x81\x82",
    b"\xc3\xa9",
    b"\xff",
    b"\x81",
    b"\x1b$B",
    b"\x1b(B",
    b"\x1b$)C",
    b"$\"",
    b"\x0e",
    b"\x0f",
    b"~{",
    b"~}",
    b"+",
    b"-",
    b"\0",
    b"\n",
    b"\r",
    b"\r\n",
    b" ",
    b".",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b"<meta charset=gbk>",
];

proptest::proptest! {
    /// Whatever a text is called, and whatever it is: mail servers pass what goes out, and what the
    /// guard lets through shows no address to a program that knows the name, or does not.
    #[test]
    fn any_text_goes_out_as_mail(
        name in proptest::sample::select(NAMES),
        kind in proptest::sample::select(&["plain", "html", "csv"][..]),
        transfer in proptest::sample::select(&["8bit", "base64", "quoted-printable", "7bit"][..]),
        is_file in proptest::bool::ANY,
        encoded in proptest::bool::ANY,
        pieces in proptest::collection::vec(proptest::sample::select(OCTETS), 0..9),
    ) {
        let octets = pieces.concat();
        let body = if encoded && transfer == "base64" { BASE64.encode(&octets).into_bytes() } else { octets };
        let charset = if name.is_empty() { String::new() } else { format!("; charset={name}") };
        let file = if is_file { "Content-Disposition: attachment; filename=a\r\n" } else { "" };
        let fields = format!(
            "Subject: x\r\nContent-Type: text/{kind}{charset}\r\nContent-Transfer-Encoding: {transfer}\r\n{file}\r\n"
        );
        let Ok(out) = written_with(&[fields.as_bytes(), &body].concat(), true) else { return Ok(()) };
        for line in out.bytes.split_inclusive(|byte| *byte == b'\n') {
            let line = line.strip_suffix(b"\r\n");
            let plain = |line: &[u8]| line.len() <= 998 && line.is_ascii() && !line.iter().any(|b| matches!(b, 0 | b'\r'));
            proptest::prop_assert!(line.is_some_and(plain), "{:?}", out.bytes);
        }
        let keys = [Address::parse("b-real-9c1@home.example").unwrap().key()];
        if check(&out.bytes, Secrets::of_author(&keys)).is_ok() {
            let part = Part::read(&out.bytes, false);
            let octets = part.decoded();
            let bare: Vec<u8> = octets.iter().copied().filter(|byte| *byte != 0).collect();
            let seen = [seen("text", &out.bytes), seen("html", &out.bytes), String::from_utf8_lossy(&octets).into_owned()];
            let shows = |text: &str| text.match_indices("b-real-9c1@home.example").any(|(at, whole)| {
                let behind = text[at + whole.len()..].starts_with(|c: char| c.is_alphanumeric() || c == '-');
                !behind && !text[..at].ends_with(char::is_alphanumeric)
            });
            proptest::prop_assert!(!seen.iter().any(|text| shows(text)), "{:?}", String::from_utf8_lossy(&out.bytes));
            proptest::prop_assert!(!shows(&String::from_utf8_lossy(&bare)), "{:?}", String::from_utf8_lossy(&out.bytes));
        }
    }
}
