//! Nobody learns from what is replaced or refused: a guess in a text, a quote or a file comes back
//! as written.
//!
//! A proved author writes guesses of the other side's address, as long as the right one. Whatever
//! he sees of it must be the same but for the guess itself: the reply, the verdict and facts that
//! the history tells, notices, and the answer that quotes it.

use super::common::{BUYER, Place, Relay, SELLER, Sink, Wire, run};
use data_encoding::BASE64;
use mail_parser::{MessageParser, MimeHeaders as _, PartType};
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;

/// A side that guesses, and the side whose address it guesses.
struct Side<'a> {
    own: &'static str,
    other: &'static str,
    /// As long as the other's address.
    wrong: &'static str,
    /// To whom it writes.
    to: &'a str,
}

fn sides<'a>(buyer_alias: &'a str, seller_alias: &'a str) -> [Side<'a>; 2] {
    [
        Side { own: SELLER, other: BUYER, wrong: "x-fake-9c1@home.example", to: buyer_alias },
        Side { own: BUYER, other: SELLER, wrong: "x-fake-7f3@sellerco.example", to: seller_alias },
    ]
}

/// Sends a message as it is; the reply to it.
fn send(relay: &Relay, from: &str, to: &str, message: &[u8]) -> String {
    let mut write = TcpStream::connect(("127.0.0.1", relay.port)).unwrap();
    let mut read = BufReader::new(write.try_clone().unwrap());
    let mut reply = || {
        let mut all = String::new();
        loop {
            let mut line = String::new();
            assert!(read.read_line(&mut line).unwrap() > 0, "closed after {all}");
            all.push_str(&line);
            if line.as_bytes().get(3) != Some(&b'-') {
                return all;
            }
        }
    };
    reply();
    for command in
        ["EHLO client.test".to_owned(), format!("MAIL FROM:<{from}>"), format!("RCPT TO:<{to}>"), "DATA".to_owned()]
    {
        write.write_all(format!("{command}\r\n").as_bytes()).unwrap();
        let said = reply();
        assert!(said.starts_with(['2', '3']), "{command}: {said}");
    }
    write.write_all(message).unwrap();
    write.write_all(b"\r\n.\r\n").unwrap();
    reply()
}

/// `text` without the ids and guesses that make one reply or message different from another.
fn shape(text: &str, side: &Side<'_>) -> String {
    let mut out = text.to_owned();
    for guess in [side.other, side.wrong] {
        let user = guess.split('@').next().unwrap();
        out = out.replace(user, "GUESS").replace(&user.to_uppercase(), "GUESS");
    }
    let is_id = |word: &str| word.len() == 13 && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let word = |word: &str| if is_id(word.trim()) { "ID".to_owned() } else { word.to_owned() };
    out.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

/// Archives and documents with a guess in them.
const PACK: &str = r"
import sys, io, zipfile, tarfile, gzip, base64
kind, guess = sys.argv[1:]
out, text = io.BytesIO(), ('is it ' + guess + ' ?\n').encode()
if kind == 'tar':
    with tarfile.open(fileobj=out, mode='w') as tar:
        info = tarfile.TarInfo('a.txt'); info.size = len(text); tar.addfile(info, io.BytesIO(text))
elif kind == 'gz':
    out.write(gzip.compress(text, mtime=0))
else:
    way = zipfile.ZIP_STORED if kind == 'zip' else zipfile.ZIP_DEFLATED
    names = {'docx': ['[Content_Types].xml', 'word/document.xml', 'docProps/core.xml'], 'xlsx': ['[Content_Types].xml', 'xl/sharedStrings.xml']}
    with zipfile.ZipFile(out, 'w', way) as file:
        for name in names.get(kind, ['a.txt', guess + '.txt']):
            file.writestr(zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0)), b'<a>' + text + b'</a>')
print(base64.b64encode(out.getvalue()).decode())
";

fn packed(kind: &str, guess: &str) -> Vec<u8> {
    let output = run("python3", &["-c", PACK, kind, guess], "");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    BASE64.decode(String::from_utf8(output.stdout).unwrap().trim().as_bytes()).unwrap()
}

fn pdf(text: &str) -> Vec<u8> {
    let stream = format!("BT /F1 12 Tf 72 700 Td ({text}) Tj ET");
    let objects = [
        "<< /Type /Catalog /Pages 2 0 R >>".to_owned(),
        "<< /Type /Pages /Kids [3 0 R] /Count 1 >>".to_owned(),
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R >>".to_owned(),
        format!("<< /Length {} >>\nstream\n{stream}\nendstream", stream.len()),
    ];
    let mut out = String::from("%PDF-1.4\n");
    let mut table = String::from("0000000000 65535 f \n");
    for (n, object) in objects.iter().enumerate() {
        let _ = writeln!(table, "{:010} 00000 n ", out.len());
        let _ = write!(out, "{} 0 obj\n{object}\nendobj\n", n + 1);
    }
    let at = out.len();
    let _ = write!(out, "xref\n0 5\n{table}trailer\n<< /Size 5 /Root 1 0 R >>\nstartxref\n{at}\n%%EOF\n");
    out.into_bytes()
}

/// A part of this type, in base 64.
fn part(kind: &str, name: &str, bytes: &[u8]) -> String {
    let name =
        if name.is_empty() { String::new() } else { format!("Content-Disposition: attachment; filename=\"{name}\"\n") };
    let lines = BASE64
        .encode(bytes)
        .into_bytes()
        .chunks(76)
        .map(|line| String::from_utf8_lossy(line).into_owned())
        .collect::<Vec<_>>();
    format!("Content-Type: {kind}\nContent-Transfer-Encoding: base64\n{name}\n{}\n", lines.join("\n"))
}

fn with_file(file: &str) -> String {
    format!("Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/plain\n\nhello\n--b\n{file}--b--\n")
}

fn utf16(text: &str) -> Vec<u8> {
    format!("\u{feff}{text}").encode_utf16().flat_map(u16::to_le_bytes).collect()
}

/// Where a guess can stand: name, and fields with body.
fn kinds(guess: &str) -> Vec<(&'static str, String)> {
    let percent = guess.replace('@', "%40");
    let japanese = encoding_rs::ISO_2022_JP.encode(&format!("住所は{guess}ですか")).0.into_owned();
    let card = format!("BEGIN:VCARD\r\nVERSION:3.0\r\nFN:X\r\nEMAIL:{guess}\r\nNOTE:is it {guess}\r\nEND:VCARD\r\n");
    let event = format!(
        "BEGIN:VCALENDAR\r\nMETHOD:REQUEST\r\nBEGIN:VEVENT\r\nUID:1\r\nATTENDEE:mailto:{guess}\r\nSUMMARY:{guess}\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
    );
    let message = format!("From: X <{guess}>\r\nTo: {guess}\r\nSubject: {guess}\r\n\r\nis it {guess}\r\n");
    let html = |text: &str| format!("Content-Type: text/html; charset=utf-8\n\n{text}\n");
    let file = |name: &str, bytes: &[u8]| with_file(&part("application/octet-stream", name, bytes));
    vec![
        ("text", format!("\nis it {guess}?\n")),
        ("text with its charset", format!("Content-Type: text/plain; charset=utf-8\n\nis it {guess}?\n")),
        (
            "quoted-printable",
            format!("Content-Transfer-Encoding: quoted-printable\n\nis it {}?\n", guess.replace('@', "=\n=40")),
        ),
        ("base64", part("text/plain; charset=utf-8", "", format!("is it {guess}?\n").as_bytes())),
        ("iso-2022-jp", part("text/plain; charset=iso-2022-jp", "", &japanese)),
        ("utf-16", part("text/plain; charset=utf-16le", "", &utf16(&format!("is it {guess}?\n")))),
        ("utf-7", format!("Content-Type: text/plain; charset=utf-7\n\nis it {}?\n", guess.replace('@', "+AEA-"))),
        ("subject", format!("Subject: is it {guess}\n\nx\n")),
        ("encoded subject", format!("Subject: =?utf-8?B?{}?=\n\nx\n", BASE64.encode(format!("ü {guess}").as_bytes()))),
        ("html", html(&format!("<p>is it <b>{guess}</b>?</p>"))),
        ("html entity", html(&format!("<p>is it {}?</p>", guess.replace('@', "&#64;")))),
        ("html across tags", html(&format!("<p>is it {}?</p>", guess.replace('@', "<b>@</b>")))),
        (
            "html link",
            html(&format!("<p><a href=\"https://x.test/?q={percent}\">x</a> <a href=\"mailto:{guess}\">y</a></p>")),
        ),
        ("html comment", html(&format!("<p>x</p><!-- {guess} -->"))),
        (
            "html attribute",
            html(&format!("<p title='{guess}'>x</p><img alt=\"{guess}\" src=\"https://x.test/{percent}.png\">")),
        ),
        ("html style", html(&format!("<style>p::after{{content:'{guess}'}}</style><p>x</p>"))),
        ("link", format!("\nSee https://x.test/?q={percent} .\n")),
        ("uuencoded", format!("\nbegin 644 a.txt\n{}\n`\nend\n", uuencoded(format!("is it {guess}").as_bytes()))),
        ("file name", with_file(&part("application/octet-stream", &format!("{guess}.bin"), b"\x01\x02"))),
        ("pdf", file("a.pdf", &pdf(guess))),
        ("docx", file("a.docx", &packed("docx", guess))),
        ("xlsx", file("a.xlsx", &packed("xlsx", guess))),
        ("zip", file("a.zip", &packed("zip", guess))),
        ("packed zip", file("b.zip", &packed("deflated", guess))),
        ("tar", file("a.tar", &packed("tar", guess))),
        ("gz", file("a.txt.gz", &packed("gz", guess))),
        ("csv", with_file(&part("text/csv", "a.csv", format!("name;{guess}\n").as_bytes()))),
        ("csv of no type", file("a.csv", format!("name;{guess}\n").as_bytes())),
        ("rtf", file("a.rtf", format!("{{\\rtf1 {guess}}}").as_bytes())),
        ("utf-16 file", file("a.txt", &utf16(guess))),
        ("binary", file("a.bin", format!("\0\x01{guess}\0").as_bytes())),
        ("wide binary", file("a.dat", &[&[0, 1, 2][..], &utf16(guess)].concat())),
        ("latin-1 file", file("b.txt", format!("é {guess}").chars().map(|c| c as u8).collect::<Vec<_>>().as_slice())),
        ("ics", with_file(&part("text/calendar", "a.ics", event.as_bytes()))),
        ("ics of no type", file("a.ics", event.as_bytes())),
        ("invitation", part("text/calendar; method=REQUEST; charset=utf-8", "", event.as_bytes())),
        ("vcf", with_file(&part("text/vcard", "a.vcf", card.as_bytes()))),
        ("message", with_file(&format!("Content-Type: message/rfc822\n\n{message}"))),
        ("message of no type", file("a.eml", message.as_bytes())),
        ("svg", with_file(&part("image/svg+xml", "a.svg", format!("<svg><text>{guess}</text></svg>").as_bytes()))),
        ("png text", file("a.png", &[b"\x89PNG\r\n\x1a\n".as_slice(), guess.as_bytes()].concat())),
    ]
}

fn uuencoded(bytes: &[u8]) -> String {
    let sign = |six: u8| char::from(if six == 0 { b'`' } else { six + 32 });
    let mut out = String::from(sign(u8::try_from(bytes.len()).unwrap()));
    for three in bytes.chunks(3) {
        let byte = |n: usize| three.get(n).copied().unwrap_or(0);
        let all = u32::from(byte(0)) << 16 | u32::from(byte(1)) << 8 | u32::from(byte(2));
        out.extend([18, 12, 6, 0].map(|shift| sign(u8::try_from(all >> shift & 63).unwrap())));
    }
    out
}

fn mail(from: &str, to: &str, id: &str, rest: &str) -> Vec<u8> {
    let subject = if rest.starts_with("Subject:") { "" } else { "Subject: question\n" };
    format!("From: <{from}>\nTo: <{to}>\nMessage-ID: <{id}@client.test>\nDate: Sat, 28 Nov 2026 10:00:00 +0900\nMIME-Version: 1.0\n{subject}{rest}")
        .replace("\r\n", "\n")
        .replace('\n', "\r\n")
        .into_bytes()
}

/// What a reader sees of a message, ids and footers left out.
fn seen(wire: &Wire) -> String {
    let raw = wire.message.replace("\r\n..", "\r\n.");
    let mut out = String::new();
    let mut open = vec![MessageParser::new().parse(raw.as_bytes()).unwrap().into_owned()];
    while let Some(message) = open.pop() {
        let _ = writeln!(out, "Subject: {}", message.subject().unwrap_or(""));
        for part in message.parts {
            let _ = writeln!(out, "{:?} {:?}", part.content_type(), part.attachment_name());
            match part.body {
                PartType::Text(text) | PartType::Html(text) => {
                    let text = text.split("\n-- \r\n").next().and_then(|text| text.split("</article>").next());
                    let text = text.unwrap_or("").to_owned();
                    let _ = writeln!(out, "{}", text.replace("\r\n", "\n").trim_end());
                }
                PartType::Binary(bytes) | PartType::InlineBinary(bytes) => {
                    let _ = writeln!(out, "{}", String::from_utf8_lossy(&bytes));
                }
                PartType::Message(inner) => open.push(inner),
                PartType::Multipart(_) => {}
            }
        }
    }
    out
}

/// What a message was judged by.
fn facts(shown: &serde_json::Value) -> &serde_json::Value {
    let inside: Vec<&serde_json::Value> = match shown {
        serde_json::Value::Array(values) => values.iter().collect(),
        serde_json::Value::Object(values) => values.values().collect(),
        _ => Vec::new(),
    };
    let found = inside.into_iter().map(facts).find(|facts| !facts.is_null());
    let own = shown.get("facts").filter(|facts| !facts.is_null());
    own.or(found).unwrap_or(&serde_json::Value::Null)
}

#[test]
fn no_verdict_depends_on_whose_address_is_guessed() {
    let mut sink = Sink::start();
    let place = Place::new(sink.port, "");
    let relay = place.serve();
    let (buyer_alias, seller_alias) = place.register();
    let mut count = 0;
    for side in sides(&buyer_alias, &seller_alias) {
        let (right, wrong) = (kinds(side.other), kinds(side.wrong));
        assert!(right.len() > 35);
        for ((kind, right), (_, wrong)) in right.iter().zip(&wrong) {
            let mut told = |guess: &str, rest: &str| {
                count += 1;
                let reply = send(&relay, side.own, side.to, &mail(side.own, side.to, &format!("v{count:03}"), rest));
                assert!(reply.starts_with("250"), "{kind}: {reply}");
                let row = &place.cli(&["message", "list"])[0];
                let id = row["id"].as_str().unwrap();
                let shown = place.cli(&["message", "show", id]);
                let mut facts = facts(&shown).clone();
                assert_eq!(facts["author"], "party", "{shown}");
                // It counts every message.
                facts.as_object_mut().unwrap().remove("quota");
                let judged = format!("{} {} {facts}", row["verdict"], row["reason"]);
                // Octets of the message are those of the author's.
                let size = row["size"].as_i64().unwrap_or(0);
                let copy = sink.next(side.other);
                assert!(!copy.all().contains(side.own), "{kind}: the author's address goes out");
                (shape(&reply, &side), judged, size, copy.message.contains(guess))
            };
            let (right, wrong) = (told(side.other, right), told(side.wrong, wrong));
            assert_eq!((&right.0, &right.1), (&wrong.0, &wrong.1), "{kind}");
            if !matches!(*kind, "quoted-printable" | "docx" | "xlsx" | "packed zip" | "gz") && !kind.contains("base64")
            {
                assert_eq!(right.2, wrong.2, "{kind}: size");
            }
        }
    }
    // Nobody was told anything.
    assert!(sink.others().is_empty(), "{:?}", sink.others());
    relay.stop();
}

#[test]
fn the_authors_own_address_goes_out_nowhere() {
    let mut sink = Sink::start();
    let place = Place::new(sink.port, "");
    let relay = place.serve();
    let (buyer_alias, seller_alias) = place.register();
    for side in sides(&buyer_alias, &seller_alias) {
        let mut count = 0;
        for (kind, rest) in kinds(side.own) {
            count += 1;
            let reply = send(&relay, side.own, side.to, &mail(side.own, side.to, &format!("w{count}"), &rest));
            assert!(reply.starts_with("250"), "{kind}: {reply}");
            let seen = seen(&sink.next(side.other));
            // In a file that nobody can change it goes, and the history says so.
            let left = matches!(kind, "binary" | "png text");
            assert_eq!(seen.to_lowercase().contains(side.own), left, "{kind}: {seen}");
            let row = &place.cli(&["message", "list"])[0];
            let shown = place.cli(&["message", "show", row["id"].as_str().unwrap()]);
            let told = facts(&shown)["addresses"].is_string();
            assert_eq!(told, left || kind == "wide binary", "{kind}: {shown}");
        }
        // He is told once of all of them.
        let notice = sink.next(side.own);
        assert_eq!(notice.header("Subject").unwrap(), "A file that you sent shows your mail address");
    }
    relay.stop();
}

/// How programs answer: name, and fields with body made of the text that they got.
fn programs(text: &str) -> Vec<(&'static str, String)> {
    let marked = |mark: &str| text.lines().map(|line| format!("{mark}{line}\n")).collect::<String>();
    let wrapped = || {
        let mut out = String::new();
        for line in text.lines() {
            let mut length = 0;
            out.push_str("> ");
            for word in line.split(' ') {
                if length + word.len() > 44 && length > 0 {
                    out.push_str("\n> ");
                    length = 0;
                }
                let _ = write!(out, "{}{word}", if length > 0 { " " } else { "" });
                length += word.len() + 1;
            }
            out.push('\n');
        }
        out
    };
    let linked = || {
        let word = |word: &str| {
            if word.contains('@') { format!("<a href=\"mailto:{word}\">{word}</a>") } else { word.to_owned() }
        };
        text.lines().map(|line| line.split(' ').map(word).collect::<Vec<_>>().join(" ") + "<br>\n").collect::<String>()
    };
    let html = |body: String| format!("Content-Type: text/html; charset=utf-8\n\n{body}\n");
    vec![
        ("marks", format!("\nYes.\n\n{}", marked("> "))),
        ("mutt in base64", part("text/plain; charset=utf-8", "", format!("はい\n{}", marked("> ")).as_bytes())),
        ("wrapped", format!("\nYes.\n\nOn Sat, 28 Nov 2026 at 10:00, X wrote:\n\n{}", wrapped())),
        (
            "flowed",
            format!(
                "Content-Type: text/plain; charset=utf-8; format=flowed\n\nYes.\n\n{}",
                wrapped().replace("\n> ", " \n> ")
            ),
        ),
        (
            "outlook",
            format!("\nYes.\n\n-----Original Message-----\nFrom: X\nSent: Saturday\nSubject: question\n\n{text}\n"),
        ),
        (
            "gmail",
            html(format!(
                "<div>Yes.</div><div class=\"gmail_quote\"><blockquote class=\"gmail_quote\">{}</blockquote></div>",
                linked()
            )),
        ),
        (
            "outlook html",
            html(format!(
                "<p>Yes.</p><div><b>From:</b> X<br><b>Sent:</b> x<br><b>Subject:</b> question</div><div>{}</div>",
                linked()
            )),
        ),
    ]
}

#[test]
fn what_is_quoted_comes_back_as_it_was_written() {
    let mut sink = Sink::start();
    let place = Place::new(sink.port, "");
    let relay = place.serve();
    let (buyer_alias, seller_alias) = place.register();
    let texts: [fn(&str) -> String; 3] = [
        |guess| format!("Please check:\nx@other.example\n{guess}\ny@other.example\n"),
        |guess| {
            format!(
                "I would like to know whether {guess} is the address that you read, as nothing came of what I sent.\n"
            )
        },
        |guess| format!("To: {guess}\nお客様の住所は{guess}ですか。\n"),
    ];
    let mut count = 0;
    let [seller, buyer] = sides(&buyer_alias, &seller_alias);
    for (side, back) in [(&seller, &buyer), (&buyer, &seller)] {
        for text in texts {
            let names: Vec<&str> = programs("").into_iter().map(|(name, _)| name).collect();
            for (n, name) in names.iter().enumerate() {
                let mut came_back = |guess: &str| {
                    count += 1;
                    let rest = format!("Content-Type: text/plain; charset=utf-8\n\n{}", text(guess));
                    let reply = send(&relay, side.own, side.to, &mail(side.own, side.to, &format!("q{count}"), &rest));
                    assert!(reply.starts_with("250"), "{reply}");
                    let copy = sink.next(side.other);
                    let read = MessageParser::new().parse(copy.message.as_bytes()).unwrap().into_owned();
                    let body = read.body_text(0).unwrap().split("\n-- \r\n").next().unwrap().trim_end().to_owned();
                    let (_, answer) = programs(&body.replace("\r\n", "\n")).remove(n);
                    // Half of the programs name what they answer.
                    let named = if n % 2 == 0 {
                        format!("In-Reply-To: {}\n", copy.header("Message-ID").unwrap())
                    } else {
                        String::new()
                    };
                    let answer = format!("{named}{answer}");
                    let reply =
                        send(&relay, back.own, back.to, &mail(back.own, back.to, &format!("a{count}"), &answer));
                    assert!(reply.starts_with("250"), "{reply}");
                    let came = sink.next(side.own);
                    let seen = seen(&came);
                    assert!(!seen.contains(side.to), "the alias came back\n{seen}");
                    shape(&seen, side)
                };
                let (right, wrong) = (came_back(side.other), came_back(side.wrong));
                assert_eq!(right, wrong, "{name}");
                assert!(right.contains("GUESS"), "{name}: {right}");
            }
        }
        // The subject comes back, too.
        let mut came_back = |guess: &str| {
            count += 1;
            let rest = format!("Subject: is it {guess}\n\nhello\n");
            assert!(
                send(&relay, side.own, side.to, &mail(side.own, side.to, &format!("s{count}"), &rest))
                    .starts_with("250")
            );
            let subject = sink.next(side.other).header("Subject").unwrap();
            let answer = format!("Subject: Re: {subject}\n\nYes.\n");
            assert!(
                send(&relay, back.own, back.to, &mail(back.own, back.to, &format!("t{count}"), &answer))
                    .starts_with("250")
            );
            shape(&sink.next(side.own).header("Subject").unwrap(), side)
        };
        assert_eq!(
            [came_back(side.other), came_back(side.wrong)],
            ["Re: is it GUESS@home.example", "Re: is it GUESS@home.example"]
                .map(|s| s.replace("home.example", side.other.split('@').nth(1).unwrap()))
        );
        // Outside of the quote nothing is given back.
        let rest = format!("\n{}\n", side.other);
        assert!(
            send(&relay, side.own, side.to, &mail(side.own, side.to, &format!("o{count}"), &rest)).starts_with("250")
        );
        let _ = sink.next(side.other);
        let answer = format!("\n{}\n{}\n\n> {}\n", side.to, side.other, side.to);
        assert!(
            send(&relay, back.own, back.to, &mail(back.own, back.to, &format!("p{count}"), &answer)).starts_with("250")
        );
        let came = sink.next(side.own);
        let body = came.message.split_once("\r\n\r\n").unwrap().1.replace("\r\n", "\n");
        assert!(body.starts_with(&format!("{0}\n{0}\n\n> {1}\n", side.to, side.other)), "{body}");
    }
    assert!(sink.others().is_empty(), "{:?}", sink.others());
    relay.stop();
}
