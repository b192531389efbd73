//! Any message: trees of parts, transfer encodings, charsets, and addresses in any of them, in any way of writing. What comes out holds no address, says
//! the same words, keeps its form, and comes out the same when it goes in again.

use super::house::{BUYER, House, MINE, SECRETS, form};
use super::plant::{encode, file_name, in_charset, word};
use mail_parser::{MessageParser, MimeHeaders as _, PartType};
use marketrelay::message::mime::Encoding;
use proptest::prelude::*;

/// A charset and words in it.
const CHARSETS: [(&str, &str); 26] = [
    ("us-ascii", "Hello, how much is it?"),
    ("utf-8", "日本語 — naïve Ωmega 🙂"),
    ("iso-8859-1", "Grüße, ça va"),
    ("iso-8859-2", "Zażółć gęślą"),
    ("iso-8859-5", "Привет"),
    ("iso-8859-7", "Γειά σου"),
    ("iso-8859-8", "שלום"),
    ("iso-8859-9", "Şişli güzel"),
    ("iso-8859-15", "5 € ça"),
    ("windows-1250", "Příliš žluťoučký"),
    ("windows-1251", "Здравствуйте"),
    ("windows-1252", "“Grüße” – 5 €"),
    ("windows-1253", "Καλημέρα"),
    ("windows-1254", "İyi günler"),
    ("windows-1256", "مرحبا"),
    ("windows-1257", "Labas rytas ąčę"),
    ("windows-1258", "Xin chào"),
    ("koi8-r", "Добрый день"),
    ("iso-2022-jp", "注文番号はいくつですか"),
    ("shift_jis", "表示ソフトの能力ア"),
    ("euc-jp", "東京都の住所"),
    ("gb18030", "你好，订单号是多少"),
    ("big5", "您好許功蓋"),
    ("euc-kr", "안녕하세요"),
    ("utf-16le", "Größe 日本"),
    ("utf-7", "Hello there"),
];

#[derive(Clone, Debug)]
enum Node {
    /// Charset, encoding, HTML, whether the charset is told, pieces: `None` is words, `Some` an address in this way of writing.
    Text(usize, u8, bool, bool, Vec<Option<u8>>),
    /// Name, content.
    File(u8, Vec<u8>),
    Several(u8, Vec<Node>),
    Message(u8, Box<Node>),
}

fn node() -> impl Strategy<Value = Node> {
    let text = (
        0..CHARSETS.len(),
        any::<u8>(),
        any::<bool>(),
        prop::bool::weighted(0.9),
        prop::collection::vec(prop::option::of(any::<u8>()), 0..5),
    )
        .prop_map(|(charset, encoding, html, told, pieces)| Node::Text(charset, encoding, html, told, pieces));
    let file = (any::<u8>(), prop::collection::vec(any::<u8>(), 0..80)).prop_map(|(name, data)| Node::File(name, data));
    prop_oneof![4 => text, 1 => file].prop_recursive(4, 14, 4, |inner| {
        prop_oneof![
            3 => (any::<u8>(), prop::collection::vec(inner.clone(), 0..4)).prop_map(|(kind, children)| Node::Several(kind, children)),
            1 => (any::<u8>(), inner).prop_map(|(form, inner)| Node::Message(form, Box::new(inner))),
        ]
    })
}

/// The author's address, in a way that people and programs write it in a text.
fn in_text(form: u8, unicode: bool) -> String {
    let (local, domain) = BUYER.split_once('@').unwrap();
    match form % if unicode { 11 } else { 7 } {
        0 => BUYER.to_owned(),
        1 => BUYER.to_uppercase(),
        2 => format!("{local}+shop@{domain}"),
        3 => BUYER.replace('@', "%40"),
        4 => format!("{local}@\r\n> > {domain}"),
        5 => format!("{local}%40home%2Eexample"),
        6 => format!("B-real-\r\n9C1@{domain}"),
        7 => format!("{}\u{200b}{}", &BUYER[..3], &BUYER[3..]),
        8 => format!("{local}\u{ff20}{domain}"),
        9 => format!("{local}@home\u{3002}example"),
        _ => format!("{local}@\u{feff}{}\u{ad}{}", &domain[..2], &domain[2..]),
    }
}

/// The same in HTML.
fn in_html(form: u8) -> String {
    let (local, domain) = BUYER.split_once('@').unwrap();
    match form % 10 {
        0 => format!("<a href=\"mailto:{}?subject=x\">{BUYER}</a>", BUYER.replace('@', "%40")),
        1 => format!("{local}&#64;{domain}"),
        2 => format!("{local}&#x40;home&#46;example"),
        3 => format!("{local}&commat;home&period;example"),
        4 => format!("{local}<wbr>@<b>{domain}</b>"),
        5 => format!("<i title='{BUYER}'>x</i>"),
        6 => format!("{}&shy;{}", &BUYER[..4], &BUYER[4..]),
        7 => format!("<!-- {BUYER} --><img alt=\"{}\" src=\"cid:x\">", BUYER.to_uppercase()),
        8 => format!("&#98;{}", &BUYER[1..]),
        _ => format!("&lt;{local}@<span>{domain}</span>&gt;"),
    }
}

/// Writes a part; the words that have to arrive go to `words`.
fn write(node: &Node, out: &mut Vec<u8>, number: &mut usize, words: &mut Vec<String>) {
    *number += 1;
    match node {
        Node::Text(charset, encoding, html, told, pieces) => {
            let (charset, sample) = CHARSETS[*charset];
            let unicode = charset.starts_with("utf-8") || charset.starts_with("utf-16");
            let mut text = if *html { "<html><body><p>".to_owned() } else { String::new() };
            let mut want = String::new();
            for piece in pieces {
                let (written, read) = match piece {
                    None => (sample.to_owned(), sample),
                    Some(form) if *html => (in_html(*form), ""),
                    Some(form) => (in_text(*form, unicode), MINE),
                };
                text.push_str(&format!(" {written} "));
                want.push_str(&format!(" {read} "));
            }
            if *html {
                text.push_str("</p></body></html>");
            } else if *told && !matches!(charset, "iso-8859-8" | "utf-7") {
                words.push(want.trim().to_owned());
            }
            let encoding = match encoding % 3 {
                0 if !charset.starts_with("utf-16") => (Encoding::Identity, "8bit"),
                1 => (Encoding::QuotedPrintable, "Quoted-Printable"),
                _ => (Encoding::Base64, "BASE64"),
            };
            let kind = if *html { "html" } else { "plain" };
            let told = if *told || charset.starts_with("utf-16") || charset == "utf-7" {
                format!("; charset=\"{charset}\"")
            } else {
                String::new()
            };
            let header = format!(
                "Content-Type: text/{kind}{told}\r\nContent-Transfer-Encoding: {}\r\nContent-ID: <{number}.{BUYER}>\r\n\r\n",
                encoding.1
            );
            out.extend_from_slice(header.as_bytes());
            out.extend_from_slice(&encode(&in_charset(&text, charset), encoding.0));
        }
        Node::File(form, data) => {
            let form = usize::from(*form);
            let header = format!(
                "Content-Type: application/x-thing{}\r\nContent-Disposition: attachment{}\r\nContent-Description: {}\r\nContent-Location: http://{BUYER}/\r\nContent-Transfer-Encoding: base64\r\n\r\n",
                file_name("name", BUYER, form),
                file_name("filename", BUYER, form / 8),
                word(BUYER, form)
            );
            out.extend_from_slice(header.as_bytes());
            out.extend_from_slice(&encode(data, Encoding::Base64));
        }
        Node::Several(kind, children) => {
            let kind = ["mixed", "alternative", "related", "digest", "report", "appledouble"][usize::from(kind % 6)];
            let boundary = format!("=_{number}'{BUYER}'");
            out.extend_from_slice(
                format!("Content-Type: multipart/{kind}; boundary=\"{boundary}\"\r\n\r\n{BUYER}\r\n").as_bytes(),
            );
            for child in children {
                out.extend_from_slice(format!("\r\n--{boundary}\r\n").as_bytes());
                write(child, out, number, words);
            }
            out.extend_from_slice(format!("\r\n--{boundary}--\r\n{BUYER}").as_bytes());
        }
        Node::Message(form, inner) => {
            let header = format!(
                "Content-Type: message/rfc822\r\n\r\nFrom: \"{BUYER}\" <{BUYER}>\r\nTo: {BUYER}\r\nX-A: {BUYER}\r\nSubject: {}\r\n",
                word(BUYER, usize::from(*form))
            );
            out.extend_from_slice(header.as_bytes());
            write(inner, out, number, words);
        }
    }
}

/// Each leaf as mail-parser reads it: type, name, content; and the subject.
fn leaves(message: &[u8]) -> Vec<(String, String, Vec<u8>)> {
    let mut out = Vec::new();
    let mut open = vec![MessageParser::new().parse(message).unwrap()];
    while let Some(message) = open.pop() {
        out.push(("subject".to_owned(), message.subject().unwrap_or("").to_owned(), Vec::new()));
        for part in message.parts {
            let kind = part.content_type().map(|kind| format!("{}/{}", kind.ctype(), kind.subtype().unwrap_or("")));
            let name = part.attachment_name().unwrap_or("").to_owned();
            let bytes = match part.body {
                PartType::Text(text) | PartType::Html(text) => without_ids(text.trim_end()).into_bytes(),
                PartType::Binary(bytes) | PartType::InlineBinary(bytes) => bytes.into_owned(),
                PartType::Message(inner) => {
                    open.push(inner.into_owned());
                    continue;
                }
                PartType::Multipart(_) => continue,
            };
            out.push((kind.unwrap_or_default(), name, bytes));
        }
    }
    out
}

/// Ids of parts are others in each message.
fn without_ids(text: &str) -> String {
    let mut pieces = text.split("cid:");
    let first = pieces.next().unwrap_or("").to_owned();
    pieces.fold(first, |out, piece| {
        out + "cid:" + piece.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || "@.".contains(c))
    })
}

/// A text with every escape read and all that does not show taken out.
fn plain(text: &str) -> String {
    let percent = marketrelay::message::mime::percent_decode(text);
    let text = mail_parser::decoders::html::html_to_text(&String::from_utf8_lossy(&percent));
    let text: String = text
        .chars()
        .filter(|c| !matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{feff}' | '\n' | '\r' | ' ' | '>'))
        .collect();
    text.replace('\u{ff20}', "@").replace('\u{3002}', ".").to_lowercase()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn any_message_comes_out_clean(tree in node(), subject in any::<u8>()) {
        let mut raw = format!("From: Real Name <{BUYER}>\r\nTo: {BUYER}\r\nSubject: {}\r\nMIME-Version: 1.0\r\n", word(BUYER, usize::from(subject))).into_bytes();
        let mut words = Vec::new();
        write(&tree, &mut raw, &mut 0, &mut words);
        let house = House::buyer_writes();
        let out = house.rewrite(&raw).unwrap().bytes;
        prop_assert_eq!(form(&out), Vec::<String>::new());
        prop_assert_eq!(house.guard(&out), Ok(()), "{}\n{}", String::from_utf8_lossy(&raw), String::from_utf8_lossy(&out));
        let seen = leaves(&out);
        for (kind, name, content) in &seen {
            for text in [name.as_str(), &String::from_utf8_lossy(content)] {
                for text in [text.to_lowercase(), plain(text)] {
                    for secret in SECRETS {
                        prop_assert!(!text.contains(secret), "{} in {}: {}\n{}", secret, kind, text, String::from_utf8_lossy(&raw));
                    }
                }
            }
        }
        let texts: Vec<String> = seen.iter().map(|(_, _, content)| String::from_utf8_lossy(content).trim().to_owned()).collect();
        for want in &words {
            prop_assert!(texts.contains(want), "{:?} is not in {:?}\n{}", want, texts, String::from_utf8_lossy(&raw));
        }
        let again = house.rewrite(&out).unwrap().bytes;
        prop_assert_eq!(leaves(&again), seen, "{}", String::from_utf8_lossy(&out));
    }
}
