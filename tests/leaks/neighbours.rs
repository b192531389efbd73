//! Whatever stands beside an address, the address goes, and the message does not: each of the
//! author's addresses is planted between neighbours of many kinds, in texts, HTML, subjects and
//! names of files. It is never left, and the guard refuses less than one in 100,000.

use super::house::House;
use data_encoding::BASE64;
use mail_parser::{MessageParser, MimeHeaders as _, PartType};
use marketrelay::types::Random as _;
use marketrelay::types::random::Seeded;
use std::fmt::Write as _;

/// Whose address it is: distinct ones, words that many have, and those of mail providers.
const AUTHORS: &[&str] = &[
    "hanako.q9z@mizu-home.example",
    "b-real-9c1@home.example",
    "info@kobo-atelier.example",
    "ann@gmail.com",
    "x_y-z@b\u{fc}cher.example",
    "\"a..b.\"@docomo.ne.jp",
    "taro2024@yahoo.co.jp",
    "m\u{fc}ller@shop.de",
];
/// What stands before it.
#[rustfmt::skip]
const BEFORE: &[&str] = &[
    "", " ", "\r\n", "\t", "\u{3000}", "\u{a0}", "\u{3002}", "\u{3001}", "\u{ff0e}", "\u{ff0c}", "\u{ff1a}", "\u{ff1b}", "\u{ff01}", "\u{ff1f}", "\u{300c}",
    "\u{ff08}", "\u{3010}", "\u{30fb}", "\u{2026}", "\u{2026}\u{2026}", "....", ". . . ", "-", "--", "\u{2014}", "_", "__", "+", "=", "1.", "12. ",
    "03-0000-0000-", "TEL03-0000-0000.", "x", "Mail", "E-Mail:", "E-Mail.", "mail-", "メールは", "我的邮箱是", "메일은", "почта:", "почта", "(", "[",
    "{", "\"", "'", "\u{201c}", "mailto:", "https://x.test/?m=", "/", "|", "*", "#", "%", "~", "^", "`", "!", "?", ",", ";", ":", ".", "\u{200b}",
    "\u{feff}", "\u{301}", "\u{1f600}", "\\", "$", "> ", "&", "\u{b7}", "\u{2022}", "\u{2192}", "\u{ff5e}", "\u{30fc}", "です\u{ff61}",
];
/// What stands behind it.
#[rustfmt::skip]
const AFTER: &[&str] = &[
    "", " ", "\r\n", "\t", "\u{3000}", "\u{a0}", "\u{3002}", "\u{3001}", "\u{ff0e}", "\u{ff0c}", "\u{ff1a}", "\u{ff01}", "\u{ff1f}", "\u{300d}",
    "\u{ff09}", "\u{3011}", "\u{30fb}", "\u{2026}", "....", ". . .", "-", "--", "\u{2014}", "_", "__", "+", "=", ".TEL 03-0000-0000", ".ok thanks",
    "...ok", ".Please", ".please", "TEL", "03-0000", "2", "s", "-Hana", "まで", "です。", "입니다", "谢谢", ")", "]", "}", "\"", "'", "\u{201d}", "/",
    "/x", "|", "*", "#", "%", "~", "^", "`", "!", "?", "?subject=x", ",", ";", ":", ".", "\u{200b}", "\u{feff}", "\u{1f600}", "\\", "&x=1", "\u{2192}",
    ".TEL", ".\u{3000}", ".\r\n",
];

fn draw<'a>(from: &[&'a str], random: &mut Seeded) -> &'a str {
    from[random.below(from.len())]
}

/// Whether letters glued before a short name make it somebody else's.
fn is_other(author: &str, before: &str) -> bool {
    author == "ann@gmail.com" && before.ends_with(|c: char| c.is_ascii_alphanumeric())
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// A message with the address in all places, and the places as they were written.
fn message(author: &str, random: &mut Seeded) -> (String, Vec<String>) {
    let mut places = Vec::new();
    let mut place = |random: &mut Seeded, line: bool| loop {
        let before = draw(BEFORE, random);
        let written = if random.below(5) == 0 { author.to_uppercase() } else { author.to_owned() };
        let whole = format!("{before}{written}{}", draw(AFTER, random));
        if is_other(author, before) {
            continue;
        }
        let whole = if line { whole.replace(['\r', '\n', '\t'], "") } else { whole };
        places.push(whole.clone());
        return whole;
    };
    let (mut text, mut html) = (String::new(), String::from("<html><body>"));
    for _ in 0..12 {
        let _ = write!(text, "お世話に{}\r\n", place(random, false));
        let frame = [("<p>", "</p>"), ("<b>", "</b>"), ("<td>", "</td>"), ("", "<br>"), ("<i>x</i>", "<i>y</i>")]
            [random.below(5)];
        let _ = write!(html, "{}{}{}\r\n", frame.0, escaped(&place(random, false)), frame.1);
    }
    let subject = BASE64.encode(place(random, true).as_bytes());
    let name: String = place(random, true).bytes().map(|byte| format!("%{byte:02X}")).collect();
    let encoded = |text: &str| BASE64.encode(text.as_bytes());
    let raw = format!(
        "From: Real Name <b-real-9c1@home.example>\r\nMIME-Version: 1.0\r\nSubject: =?utf-8?B?{subject}?=\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n\
         --b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n{}\r\n\
         --b\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n{}\r\n\
         --b\r\nContent-Type: application/octet-stream\r\nContent-Disposition: attachment; filename*=utf-8''{name}\r\n\r\nx\r\n--b--\r\n",
        encoded(&text),
        encoded(&html)
    );
    (raw, places)
}

/// All that a reader sees.
fn seen(raw: &[u8]) -> String {
    let message = MessageParser::new().parse(raw).unwrap();
    let mut out = message.subject().unwrap_or("").to_owned();
    for part in &message.parts {
        out.push('\n');
        out.push_str(part.attachment_name().unwrap_or(""));
        out.push('\n');
        if let PartType::Text(text) | PartType::Html(text) = &part.body {
            out.push_str(text);
        }
    }
    out.to_lowercase()
}

#[test]
fn addresses_go_whatever_stands_beside_them() {
    let rounds = if cfg!(debug_assertions) { 60 } else { 1000 };
    let (mut planted, mut refused, mut left) = (0, Vec::new(), Vec::new());
    for (author, seed) in AUTHORS.iter().zip(12..) {
        let house = House::new(author, "s-real-7f3@sellerco.example", "Hana");
        let mut random = Seeded::new(seed);
        for _ in 0..rounds {
            let (raw, places) = message(author, &mut random);
            planted += places.len();
            let out = house.rewrite(raw.as_bytes()).unwrap();
            if let Err(place) = house.guard(&out.bytes) {
                refused.push(format!("{place:?} {places:?}"));
                continue;
            }
            let seen = seen(&out.bytes);
            if seen.contains(&author.to_lowercase()) || seen.contains(&author.replace('"', "").to_lowercase()) {
                let lines = seen.lines().filter(|line| line.contains(author.rsplit('@').next().unwrap()));
                left.push(lines.collect::<Vec<_>>().join("\n"));
            }
        }
    }
    assert!(left.is_empty(), "{} left, as in\n{}", left.len(), left[0]);
    assert!(refused.len() * 100_000 <= planted, "{} of {planted} refused, as\n{}", refused.len(), refused[0]);
}
