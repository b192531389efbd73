//! Shapes of messages: `shapes.txt`.

mod characters;

use super::*;
use crate::message::footer::Action;
use crate::message::html;
use crate::message::inspect;
use crate::message::sealed::tests::signed;
use crate::message::work::{Allowance, within};
use crate::types::Address;
use data_encoding::BASE64_MIME;
use std::fmt::Write as _;

const KINDS: &[(&str, &str)] = &[
    ("plain", "text/plain"),
    ("html", "text/html"),
    ("amp", "text/x-amp-html"),
    ("csv", "text/csv"),
    ("ics", "text/calendar"),
    ("png", "image/png"),
    ("pdf", "application/pdf"),
    ("octets", "application/octet-stream"),
    ("p7s", "application/pkcs7-signature"),
    ("p7c", "application/pkcs7-mime"),
    ("pgp-signature", "application/pgp-signature"),
    ("pgp-keys", "application/pgp-keys"),
    ("mail", "message/rfc822"),
];

const MARK: &str = "bbqxerik4m2fdq7opkxa2zzt";
/// As footers show it.
const REFERENCE: &str = "Ref: bbqxer-ik4m2f-dq7opk-xa2zzt";

/// A shape as it is written in the table.
struct Shape<'a> {
    rest: &'a str,
    parts: usize,
}

impl Shape<'_> {
    /// The part that is written next, as it stands in a message.
    fn message(&mut self) -> String {
        let end = self.rest.find(['(', ')', ',']).unwrap_or(self.rest.len());
        let (own, rest) = self.rest.split_at(end);
        self.rest = rest;
        self.parts += 1;
        let boundary = format!("b{}", self.parts);
        let mut words = own.split_whitespace();
        let name = words.next().unwrap();
        let known = KINDS.iter().find(|(short, _)| *short == name).map(|(_, kind)| (*kind).to_owned());
        let multipart = known.is_none() && self.rest.starts_with('(');
        let mut kind = known.unwrap_or_else(|| if multipart { format!("multipart/{name}") } else { name.to_owned() });
        let (mut fields, mut body) = (String::new(), "words".to_owned());
        for word in words {
            let (what, value) = word.split_once('=').unwrap_or((word, ""));
            match what {
                "name" => write!(kind, "; name=\"{value}\"").unwrap(),
                "start" => write!(kind, "; start=\"<{value}@host.example>\"").unwrap(),
                "inline" | "attachment" if value.is_empty() => {
                    write!(fields, "Content-Disposition: {what}\r\n").unwrap()
                }
                "inline" | "attachment" => {
                    write!(fields, "Content-Disposition: {what}; filename=\"{value}\"\r\n").unwrap()
                }
                "id" => write!(fields, "Content-ID: <{value}@host.example>\r\n").unwrap(),
                "at" => write!(fields, "Content-Location: {value}\r\n").unwrap(),
                "shows" if value.contains('.') => body = format!("<img src=\"{value}\">"),
                "shows" => body = format!("<img src=\"cid:{value}@host.example\">"),
                "blank" => body = if name == "html" { "<br>&nbsp;" } else { " \r\n" }.to_owned(),
                _ => panic!("{word}"),
            }
        }
        if name == "p7c" {
            body = BASE64_MIME.encode(b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02\xa0\0");
            fields.push_str("Content-Transfer-Encoding: base64\r\n");
        }
        if let Some(inside) = self.rest.strip_prefix('(') {
            self.rest = inside;
            let mut parts = Vec::new();
            while !self.rest.starts_with(')') {
                self.rest = self.rest.trim_start_matches([',', ' ']);
                parts.push(self.message());
            }
            self.rest = &self.rest[1..];
            body = parts.concat();
            if multipart {
                write!(kind, "; boundary={boundary}").unwrap();
                body = parts.iter().map(|part| format!("--{boundary}\r\n{part}\r\n")).collect();
                write!(body, "--{boundary}--\r\n").unwrap();
            }
        }
        format!("Content-Type: {kind}\r\n{fields}\r\n{body}")
    }
}

/// A message as the table writes shapes. Ids are counted in their order.
fn shape(raw: &[u8], ids: &mut Vec<String>) -> String {
    let part = Part::read(raw, false);
    let mut number = |id: &str| {
        let id = id.trim_matches(['<', '>']).to_owned();
        let known = ids.iter().position(|known| *known == id);
        let at = known.unwrap_or_else(|| {
            ids.push(id);
            ids.len() - 1
        });
        (at + 1).to_string()
    };
    let kind = part.kind.value.as_str();
    let short = KINDS.iter().find(|(_, long)| *long == kind).map(|(short, _)| *short);
    let mut out = short.or(kind.strip_prefix("multipart/")).unwrap_or(kind).to_owned();
    let body = part.decoded();
    let text = String::from_utf8_lossy(&body).into_owned();
    if part.is("text") && text.contains(REFERENCE) {
        out.push('*');
    }
    let mut say = |what: &str, value: Option<String>| {
        if let Some(value) = value {
            write!(out, " {what}{}{value}", if value.is_empty() { "" } else { "=" }).unwrap();
        }
    };
    let own = part.disposition.get("filename").map(str::to_owned);
    // The same name in both places says one thing.
    let name = part.kind.get("name").filter(|name| own.as_deref() != Some(name));
    say("name", name.map(str::to_owned));
    if !part.disposition.value.is_empty() {
        say(&part.disposition.value, Some(own.unwrap_or_default()));
    }
    // What the author wrote: his part of a page, or what is above the separator.
    let ends = ["\r\n-- \r\n", "</article>", "<style>@media", "<div class=\"rly-f\""];
    let before = ends.iter().fold(text.as_str(), |text, end| text.split(end).next().unwrap());
    let before = before.split_once("<div class=\"rly-b\">").map_or(before, |(_, part)| part);
    if part.is("text") {
        let source = before.split_once("src=\"").map(|(_, rest)| rest.split('"').next().unwrap());
        say("shows", source.map(|to| to.strip_prefix("cid:").map_or_else(|| to.to_owned(), &mut number)));
        let words = html::read_entities(before);
        let blank = source.is_none() && words.replace("<br>", "").trim().is_empty();
        say("blank", blank.then(String::new));
    }
    say("id", part.field("Content-ID").map(|field| number(&field.text())));
    say("start", part.kind.get("start").map(&mut number));
    assert!(part.field("Content-Location").is_none());
    let parts = match kind {
        "message/rfc822" => vec![shape(&body, ids)],
        _ => part.children().unwrap_or_default().into_iter().map(|child| shape(child, ids)).collect(),
    };
    match parts.as_slice() {
        [] => out,
        parts => format!("{out}({})", parts.join(", ")),
    }
}

/// An order as tests want it: nothing is done about files, footers and quotes.
pub(in crate::message) fn plain_order<'a>(
    (author, receiver): (&'a Alias, &'a Alias),
    replacements: &'a Replacements,
    metadata: &'a Metadata,
    limits: &'a Limits,
) -> Order<'a> {
    Order {
        hostname: "mx.m.test",
        received: Time(1_780_000_000_000),
        id: "0".to_owned(),
        from: ("Sato", author),
        author_name: None,
        to: receiver,
        message_id: "1@m.test".to_owned(),
        in_reply_to: Vec::new(),
        references: Vec::new(),
        replacements,
        calendar_key: [7; 32],
        metadata,
        documents: None,
        footer: None,
        quotes: Quoting::Ignored,
        limits,
    }
}

/// What becomes of a message to the seller.
fn written_with(raw: &[u8], with_footer: bool) -> Result<Rewritten, Unclean> {
    let keys = ["b-real-9c1@home.example", "s-real-7f3@seller.example"].map(|a| [Address::parse(a).unwrap().key()]);
    let (author, receiver) = (Alias::from_text("buyer@m.test"), Alias::from_text("seller@m.test"));
    let replacements = Replacements::new((&keys[0], &author), (&keys[1], &receiver));
    let footer = Footer {
        mark: MARK.to_owned(),
        links: "Each opens a mail.".to_owned(),
        addresses: "Write to them.".to_owned(),
        send: "Just send it.".to_owned(),
        unsigned: "No signature.".to_owned(),
        seller: None,
        actions: vec![Action {
            purpose: Purpose::Report,
            label: "Report".to_owned(),
            address: "report+x@m.test".to_owned(),
        }],
    };
    let (metadata, limits) = (Metadata::default(), Limits::default());
    let plain = plain_order((&author, &receiver), &replacements, &metadata, &limits);
    let order = Order { footer: with_footer.then_some(footer), ..plain };
    let done = rewrite(raw, &order);
    // What the inspection found need not be looked for again.
    let inspection = inspect(raw, false, &limits);
    let known = inspection.map_or_else(|_| Shared::default(), |found| Shared::default().with_plain(&found.plain));
    assert_eq!(rewrite_copy(raw, &order, &mut { known }), done);
    done
}

#[test]
fn texts_that_hold_nothing_rare_are_plain() {
    // what stands in a text, whether it is one
    let rows = [
        ("Hello.", true),
        ("Write to hanako@home.example, 100% of you\r\n> quoted", true),
        ("Grüße", true),
        ("[ref:bbqxerik4m2fdq7opkxa2zzt]", false),
        ("[/ref]", false),
        ("Ref: bbqxer-ik4m2f-dq7opk-xa2zzt", false),
        ("report+aaaaaaaaaaaaaaaaaaaaaaaaaaaaa@m.test", false),
        ("https://shop.test", false),
        ("-----BEGIN PGP MESSAGE-----", false),
        ("begin 644 a.txt", false),
        ("=ybegin line=128 size=4 name=a", false),
        ("IMCEASMTP-ann+40home+2Eexample@x.test", false),
        ("data:image/png;base64,AAAA", false),
    ];
    for (text, plain) in rows {
        let inspected = |fields: &str, text: &str| {
            inspect(format!("{fields}\r\n\r\n{text}\r\n").as_bytes(), false, &Limits::default()).unwrap().plain.len()
        };
        assert_eq!(inspected("Content-Type: text/plain; charset=utf-8", text), usize::from(plain), "{text}");
        assert_eq!(inspected("Content-Type: text/html; charset=utf-8", text), 0, "pages are looked at anew");
        assert_eq!(
            inspected("Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64", "SGVsbG8="),
            0
        );
    }
}

#[test]
fn shapes() {
    let mut wrong = String::new();
    let rows = include_str!("shapes.txt").lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    for row in rows.clone() {
        let (comes, goes) = row.split_once("->").unwrap();
        let raw = Shape { rest: comes.trim(), parts: 0 }.message();
        let out = written_with(raw.as_bytes(), true).unwrap().bytes;
        let (mut ids, mut got) = (Vec::new(), String::new());
        write!(got, "{}", shape(&out, &mut ids)).unwrap();
        // As the table may put a space before a bracket.
        if got != goes.trim().replace(" (", "(") {
            write!(wrong, "{row}\n  goes as {got}\n").unwrap();
        }
        assert!(!String::from_utf8_lossy(&out).contains("host.example"), "{row}");
    }
    assert!(rows.count() > 70 && wrong.is_empty(), "\n{wrong}");
}

#[test]
fn signatures_that_go_are_told() {
    // shape, paths
    let cases: [(&str, &[&str]); 6] = [
        ("signed(plain, p7s)", &["1"]),
        ("mixed(plain, p7s name=smime.p7s)", &["1"]),
        ("mixed(signed(plain, pgp-signature), plain)", &["1.1"]),
        ("mixed(plain, p7s name=contract.p7s)", &[]),
        ("signed(plain, plain)", &[]),
        ("mixed(plain, pgp-keys)", &[]),
    ];
    for (comes, want) in cases {
        let raw = Shape { rest: comes, parts: 0 }.message();
        let out = written_with(raw.as_bytes(), true).unwrap();
        let told = String::from_utf8_lossy(&out.bytes).contains("Write to them.\r\nNo signature.\r\n");
        assert_eq!((told, out.unsigned), (!want.is_empty(), want.iter().map(ToString::to_string).collect()), "{comes}");
    }
}

#[test]
fn what_is_signed_in_one_piece_goes_out_open() {
    let text = "Content-Type: text/plain; charset=utf-8\r\n\r\nMy mail: b-real-9c1@home.example\r\n";
    let pdf = "--b\r\nContent-Type: application/pdf; name=a.pdf\r\n\r\n%PDF\r\n--b--\r\n";
    let mixed = format!("Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n{text}{pdf}");
    let wrap = |kind: &str, content: &str, streamed| {
        let data = BASE64_MIME.encode(&signed(content.as_bytes(), streamed));
        format!("Content-Type: {kind}\r\nContent-Transfer-Encoding: base64\r\n\r\n{data}")
    };
    let mime = "application/pkcs7-mime; smime-type=signed-data; name=smime.p7m";
    let twice = wrap(mime, &wrap(mime, text, true), false);
    let beside = |part: &str| {
        format!(
            "Content-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\n\r\nA disclaimer.\r\n--c\r\n{part}\r\n--c--\r\n"
        )
    };
    // message, its shape, paths of what was signed
    let cases: Vec<(String, &str, &[&str])> = vec![
        (wrap(mime, text, false), "plain*", &["1"]),
        (wrap(mime, text, true), "plain*", &["1"]),
        (wrap("application/octet-stream; name=smime.p7m", text, true), "plain*", &["1"]),
        (wrap(mime, &mixed, true), "mixed(plain*, pdf attachment=a.pdf)", &["1"]),
        (twice, "plain*", &["1", "1.1"]),
        (beside(&wrap(mime, text, true)), "mixed(plain, plain*)", &["1.2"]),
        (
            wrap(mime, "Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n\r\nHi\r\n--b--\r\n", true),
            "plain*",
            &["1"],
        ),
    ];
    for (raw, want, unsigned) in cases {
        let out = written_with(raw.as_bytes(), true).unwrap();
        assert_eq!(shape(&out.bytes, &mut Vec::new()), want, "{raw}");
        assert_eq!(out.unsigned, unsigned, "{raw}");
        let words = String::from_utf8_lossy(&out.bytes).into_owned();
        assert!(!words.contains("home.example") && !words.contains("Real Name") && !words.contains("pkcs7"), "{words}");
    }
    // As deep as parts may be, and no deeper.
    let fields = format!("Content-Type: {mime}\r\n\r\n");
    let deep = |levels: usize| {
        let wrap = |inner: Vec<u8>, _| [fields.as_bytes(), &signed(&inner, false)].concat();
        written_with(&(0..levels).fold(text.as_bytes().to_vec(), wrap), true)
    };
    assert_eq!(deep(50).unwrap().unsigned.len(), 50);
    assert_eq!(deep(51).unwrap_err(), Unclean::Limits);
    let encrypted = wrap(mime, "Content-Type: multipart/encrypted; boundary=b\r\n\r\nx", true);
    assert_eq!(written_with(encrypted.as_bytes(), true).unwrap_err(), Unclean::Closed(Closed::Encrypted));
}

#[test]
fn ids_in_pages_of_unknown_charset() {
    let page = b"<p>Gr\xf6\xdfe <img src=\"cid:part1.AB@gw7.host.example\"></p>";
    let raw = [b"Content-Type: text/html\r\n\r\n".as_slice(), page].concat();
    let out = written_with(&raw, false).unwrap().bytes;
    let words = crate::message::transfer::decode_q(&out, false);
    assert!(memchr::memmem::find(&words, b"host.example").is_none(), "{}", String::from_utf8_lossy(&words));
    assert!(memchr::memmem::find(&words, b"cid:").is_some());
}

/// What goes out can be sent, whatever came: lines end in CRLF, hold no NUL, and are not too long.
fn can_be_sent(out: &[u8]) -> bool {
    let whole = out.ends_with(b"\r\n") && crate::types::lines::are_whole(out);
    whole && out.is_ascii() && !out.contains(&0) && out.split(|b| *b == b'\n').all(|line| line.len() <= 999)
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 600, ..Default::default() })]
    #[test]
    fn what_is_accepted_can_be_sent(
        pieces in proptest::collection::vec(proptest::sample::select(vec![
            &b"--b\r\n"[..], b"\r\n", b"\n", b"\r", b"\0", b"Content-Type: text/plain; charset=utf-16le; name=a.txt\r\n",
            b"Content-Type: text/html\r\n", b"Content-Type: text/plain; charset=utf-7\r\n", b"Content-Type: application/pdf; name=a.pdf\r\n",
            b"Content-Type: message/rfc822\r\n", b"Content-Type: multipart/signed; boundary=b\r\n",
            b"Content-Type: text/plain; charset=iso-2022-jp\r\n", b"Content-Type: text/calendar\r\n", b"Content-Type: text/plain; charset=ucs-2\r\n",
            b"Content-Transfer-Encoding: base64\r\n", b"Content-Transfer-Encoding: quoted-printable\r\n", b"Zm9vCmJhcgpnbmE=", b"foo\nbar\rgna",
            b"\xff\xfe\n\0", b"\x1b$B", b"=0A", b"=0D", b"words", b"\xe9", b"https://x", b"[/ref]", b"begin 644 a\r\n", b"From: ", b"Subject: \xe9\r\n", b"BEGIN:VCALENDAR\r\n",
        ]), 0..30),
        long in 0..2000_usize,
    ) {
        let mut raw = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n".to_vec();
        raw.extend(pieces.concat());
        raw.extend(vec![b'x'; long]);
        if let Ok(out) = written_with(&raw, true) {
            proptest::prop_assert!(can_be_sent(&out.bytes), "{}\n->\n{}", String::from_utf8_lossy(&raw), String::from_utf8_lossy(&out.bytes));
        }
    }
}

/// Texts behind one another, multiparts in multiparts: each is looked at for the last words a few
/// times at most.
#[test]
fn looking_for_the_last_words_takes_no_longer_than_writing() {
    let cost = |raw: &str| {
        let (done, spent) = within(&Allowance::endless(), || written_with(raw.as_bytes(), true));
        done.unwrap();
        spent.reading
    };
    for shape in ["png inline=a.png", "plain blank", "mixed(png, png)", "plain name=a"] {
        let raw = |count: usize| {
            let parts = vec![shape; count].join(", ");
            Shape { rest: &format!("mixed(plain, {parts})"), parts: 0 }.message()
        };
        let (few, many) = (cost(&raw(40)), cost(&raw(80)));
        assert!(many < few * 23 / 10, "{shape}: {few} {many}");
    }
}
