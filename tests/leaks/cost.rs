//! What a message costs: its shape must not matter, only its size. Time of one thread on a processor, least of several runs, at 1, 2, 4 and 8 times the size.
//!
//! `tests/bench/rewrite` runs the same in a release build and prints it as a table, with the throughput of everyday mail.

use super::house::House;
use data_encoding::BASE64;
use marketrelay::config::Limits;
use marketrelay::message::inspect;
use marketrelay::message::work::{Allowance, within};
use std::fmt::Write as _;

/// At most so much more for twice the size: the promise is 2.5.
const DOUBLING: f64 = 2.5;
/// Octets of the smallest message of each shape.
const UNIT: usize = 8 << 10;
/// Times under this are all noise, and no harm.
const NOISE: f64 = 0.0005;

/// Seconds of this thread on a processor; getrusage counts by the clock's ticks. Yielding brings
/// the count up to date.
pub fn used() -> f64 {
    std::thread::yield_now();
    let line = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    line.split(' ').next().unwrap().parse::<f64>().unwrap() / 1e9
}

/// The whole way of a message, in seconds of this thread.
fn cost(house: &House, raw: &[u8]) -> f64 {
    let before = used();
    let limits = Limits { header_size: marketrelay::config::Size::mib(8), ..Limits::default() };
    if inspect(raw, false, &limits).is_ok()
        && let Ok(out) = house.rewrite(raw)
    {
        let _ = house.guard(&out.bytes);
    }
    used() - before
}

const FROM: &str = "From: Real Name <b-real-9c1@home.example>\r\nMIME-Version: 1.0\r\n";

fn part(kind: &str, body: &str) -> Vec<u8> {
    format!("{FROM}Content-Type: {kind}\r\n\r\n{body}\r\n").into_bytes()
}

fn file(kind: &str, body: &[u8]) -> Vec<u8> {
    part(
        &format!("{kind}\r\nContent-Transfer-Encoding: base64\r\nContent-Disposition: attachment; filename=a"),
        &BASE64.encode(body),
    )
}

/// A field whose value is a piece repeated.
fn field(name: &str, before: &str, piece: &str, size: usize) -> Vec<u8> {
    let lines: String = piece.repeat(size / piece.len());
    format!("{FROM}{name}: {before}{lines}\r\n\r\nx\r\n").into_bytes()
}

/// Containers in containers, or beside one another.
fn nested(size: usize, depth: usize) -> Vec<u8> {
    let mut out = FROM.to_owned();
    for n in 0..depth {
        let _ = write!(out, "Content-Type: multipart/mixed; boundary=\"b{n}\"\r\n\r\n--b{n}\r\n");
    }
    let _ = write!(out, "\r\n{}", "--b\r\nwords and words\r\n".repeat(size / 22));
    out.into_bytes()
}

fn base64_in_base64(size: usize) -> Vec<u8> {
    let mut inner = "Subject: x\r\n\r\n".to_owned() + &"b-real-9c1@home.example\r\n".repeat(size / 25);
    for _ in 0..6 {
        let data = BASE64.encode(inner.as_bytes());
        inner = format!("Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\n{data}\r\n");
    }
    (FROM.to_owned() + &inner).into_bytes()
}

fn winmail(size: usize) -> Vec<u8> {
    let mut data = vec![0x78, 0x9f, 0x3e, 0x22, 1, 0];
    for _ in 0..size / 16 {
        data.push(1);
        data.extend_from_slice(&0x0002_800c_u32.to_le_bytes());
        data.extend_from_slice(&5_u32.to_le_bytes());
        data.extend_from_slice(b"Hello\0\0");
    }
    file("application/ms-tnef", &data)
}

fn pdf(size: usize, piece: &str) -> Vec<u8> {
    let mut data = String::from("%PDF-1.4\n");
    for n in 0..size / (piece.len() + 20) {
        let _ = write!(data, "{n} 0 obj\n{piece}\nendobj\n");
    }
    data.push_str("trailer <</Info 1 0 R>>\n%%EOF");
    file("application/pdf", data.as_bytes())
}

/// A zip of empty files that are not compressed.
fn zip(size: usize, name: &str) -> Vec<u8> {
    let (mut data, mut list) = (Vec::new(), Vec::new());
    let count = size / (name.len() + 80);
    for n in 0..count {
        let name = format!("{name}{n}");
        let length = u16::try_from(name.len()).unwrap().to_le_bytes();
        list.extend_from_slice(b"PK\x01\x02\x14\0\x14\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
        list.extend_from_slice(&length);
        list.extend_from_slice(&[0; 12]);
        list.extend_from_slice(&u32::try_from(data.len()).unwrap().to_le_bytes());
        list.extend_from_slice(name.as_bytes());
        data.extend_from_slice(b"PK\x03\x04\x14\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
        data.extend_from_slice(&length);
        data.extend_from_slice(&[0; 2]);
        data.extend_from_slice(name.as_bytes());
    }
    let start = u32::try_from(data.len()).unwrap();
    data.extend_from_slice(&list);
    data.extend_from_slice(b"PK\x05\x06\0\0\0\0");
    let count = u16::try_from(count).unwrap().to_le_bytes();
    data.extend_from_slice(&[count, count].concat());
    data.extend_from_slice(&u32::try_from(list.len()).unwrap().to_le_bytes());
    data.extend_from_slice(&start.to_le_bytes());
    data.extend_from_slice(&[0, 0]);
    file("application/zip", &data)
}

/// A shape's name, and the message of that shape and about that size.
type Shape = (String, Box<dyn Fn(usize) -> Vec<u8>>);

fn shapes() -> Vec<Shape> {
    let mut out: Vec<Shape> = Vec::new();
    let mut add = |name: String, shape: Box<dyn Fn(usize) -> Vec<u8>>| out.push((name, shape));
    // In a text.
    for piece in [
        "@",
        "a@",
        "%40",
        "b-real-9c1@",
        "@home.example",
        "b-real-9c1@home.example",
        "b-real-9c1+",
        "+@",
        "> ",
        ">",
        "> \r\n",
        "\r\n",
        "=",
        "x",
        "\u{200b}",
        "é",
        "begin 644 x\r\n",
        "begin 644 x\r\n#0V%T\r\n",
        "-----BEGIN PGP SIGNATURE-----\r\n",
        "-----BEGIN PGP SIGNED MESSAGE-----\r\n",
        "Real Name <",
        "=ybegin line=128 size=1 name=x\r\n",
        "[mailto:",
        "=?",
    ] {
        for (kind, label) in [
            ("text/plain; charset=utf-8", "text"),
            ("text/plain; format=flowed\r\nContent-Transfer-Encoding: quoted-printable", "quoted-printable"),
        ] {
            add(format!("{label} {piece:?}"), Box::new(move |size| part(kind, &piece.repeat(size / piece.len()))));
        }
    }
    for piece in [
        "<",
        "<a",
        "<a ",
        "<b>",
        "</b>",
        "<p>",
        "<div>",
        "<div></p>",
        "<!--",
        "-->",
        "<![CDATA[",
        "<a href=\"",
        "<a href='x' ",
        "<style>",
        "<style></style>",
        "<script>",
        "<table><tr><td>",
        "&",
        "&#64;",
        "&#",
        "&amp;",
        "b-real-9c1&#64;",
        "b-real-9c1@<b>",
        "<img src=\"cid:a\">",
        "cid:",
        "<img width=1 src=http://x>",
        "<x y=z>",
        "a{b:url(x)}",
        "<p style=\"a:b;c:url(x)\">x</p>",
        "<meta charset=x>",
        "<span hidden>",
        "</html>",
        "</body>",
    ] {
        add(
            format!("HTML {piece:?}"),
            Box::new(move |size| part("text/html; charset=utf-8", &piece.repeat(size / piece.len()))),
        );
    }
    for piece in ["a{b:url(x)}", "a{", "/*", "\\", "@import 'x';", "url("] {
        add(
            format!("style {piece:?}"),
            Box::new(move |size| part("text/html", &format!("<style>{}</style>", piece.repeat(size / piece.len())))),
        );
    }
    add(
        "attributes".into(),
        Box::new(|size| {
            part("text/html", &format!("<a {}>", (0..size / 8).map(|n| format!("a{n}=b ")).collect::<String>()))
        }),
    );
    for piece in [
        "ATTENDEE:mailto:a@b.test\r\n",
        "ATTENDEE;CN=x:mailto:b-real-9c1@home.example\r\n",
        "UID:x\r\n",
        " \r\n",
        "X;A=b;",
        ";",
        "METHOD:x\r\n",
        "SUMMARY:b-real-9c1@home.example\r\n",
        "BEGIN:VEVENT\r\n",
    ] {
        add(
            format!("calendar {piece:?}"),
            Box::new(move |size| {
                part("text/calendar", &format!("BEGIN:VCALENDAR\r\n{}", piece.repeat(size / piece.len())))
            }),
        );
        add(
            format!("card {piece:?}"),
            Box::new(move |size| part("text/vcard", &format!("BEGIN:VCARD\r\n{}", piece.repeat(size / piece.len())))),
        );
    }
    // In the header.
    for piece in [
        "=?utf-8?Q?a?=\r\n ",
        "=?utf-8?B?YQ==?= ",
        "=?",
        "=?a?b?",
        "=?utf-8?q?",
        "@",
        "b-real-9c1@home.example ",
        "(",
        "\"",
        "\\",
        ",",
        "<",
        ";",
        "x",
        "\r\n ",
        "; a*0*=utf-8''x",
        "; a=b",
        "; a=\"b\"",
        "<a@b>",
        "é",
    ] {
        for (name, before) in [
            ("Subject", ""),
            ("To", ""),
            ("References", ""),
            ("Content-Type", "text/plain"),
            ("Content-Disposition", "attachment"),
            ("Date", ""),
            ("Received", ""),
        ] {
            add(format!("{name} {piece:?}"), Box::new(move |size| field(name, before, piece, size)));
        }
    }
    add("fields".into(), Box::new(|size| field("X", "", "a\r\nX-Y: ", size)));
    add("one part in 49".into(), Box::new(|size| nested(size, 49)));
    add("too deep".into(), Box::new(|size| nested(0, size / 60)));
    add("parts".into(), Box::new(|size| part("multipart/mixed; boundary=b", &"--b\r\n\r\nx\r\n".repeat(size / 100))));
    add(
        "large parts".into(),
        Box::new(|size| {
            part("multipart/mixed; boundary=b", &format!("--b\r\n\r\n{}\r\n", "x ".repeat(size / 100)).repeat(50))
        }),
    );
    add("almost boundaries".into(), Box::new(|size| part("multipart/mixed; boundary=b", &"--bc\r\n".repeat(size / 6))));
    add("dashes".into(), Box::new(|size| part("multipart/mixed; boundary=\"-\"", &"-".repeat(size))));
    add(
        "long boundary".into(),
        Box::new(|size| part(&format!("multipart/mixed; boundary=\"{}\"", "-".repeat(900)), &"-".repeat(size))),
    );
    add("base 64 in base 64".into(), Box::new(|size| base64_in_base64(size / 6)));
    add("winmail.dat".into(), Box::new(winmail));
    for piece in [
        "<</Author(x)>>",
        "<<",
        "(",
        "<</Type/Metadata/Length 10>>stream\nxxxxxxxxxx\nendstream",
        "<</Type/ObjStm/N 9/First 9>>stream\nendstream",
        "[[",
        "<</Subtype/Text/T(x)>>",
        "<</Subtype/Text/T 7 0 R/T(",
        "stream",
    ] {
        add(format!("PDF {piece:?}"), Box::new(move |size| pdf(size, piece)));
    }
    for piece in [
        "=ybegin line=1 size=1 name=a\r\n",
        "=ybegin line=1 size=1 name=a\r\n=yend \r\n",
        "begin 644 a\r\nend\r\n",
        "cid:",
        "cid:a@b ",
    ] {
        for kind in ["text/plain", "text/html"] {
            add(format!("{kind} {piece:?}"), Box::new(move |size| part(kind, &piece.repeat(size / piece.len()))));
        }
    }
    for name in ["a", "word/document", "docProps/core.xml", "xl/comments", "../"] {
        add(format!("zip {name:?}"), Box::new(move |size| zip(size, name)));
    }
    for (name, head, piece) in [
        ("JPEG", &b"\xff\xd8\xff\xe1\0\x08Exif\0\0"[..], &b"\xff\xe1\0\x04ab"[..]),
        ("PNG", b"\x89PNG\r\n\x1a\n", b"\0\0\0\0tEXtabcd"),
        ("WebP", b"RIFF\xff\xff\0\0WEBP", b"EXIF\0\0\0\0"),
        ("GIF", b"GIF89a\x01\0\x01\0\0\0\0", b"!\xfe\x01a\0"),
        ("TIFF", b"II*\0\x08\0\0\0", b"\xff\xff\x0e\x01\x02\0\x01\0\0\0\x08\0\0\0"),
        ("HEIC", b"\0\0\0\x14ftypheic\0\0\0\0heic", b"\0\0\0\x08free"),
        ("HEIC meta", b"\0\0\0\x14ftypheic\0\0\0\0heic\0\x0f\xff\xffmeta\0\0\0\0", b"\0\0\0\x0ciloc\0\0\0\0"),
        ("MP4", b"\0\0\0\x14ftypisom\0\0\0\0isom\0\0\0\0moov", b"\0\0\0\x08udta"),
        ("MP4 tracks", b"\0\0\0\x14ftypisom\0\0\0\0isom\0\0\0\0moov", b"\0\0\0\x08trak"),
        ("MP4 too deep", b"\0\0\0\x14ftypisom\0\0\0\0isom\0\0\0\0moov", b"\0\0\0\0mdia"),
        ("PDF of pictures", b"%PDF-1.4\n\xff\xd8", b"\xff\xe1\0\x0c\xff\xd8\xff\xe1\0\x06abcd"),
    ] {
        add(name.into(), Box::new(move |size| file("image/x", &[head, &piece.repeat(size / piece.len())].concat())));
    }
    out
}

#[test]
fn cost_grows_with_size_alone() {
    let house = House::buyer_writes();
    let mut wrong = Vec::new();
    let mut table = Vec::new();
    for (name, shape) in shapes() {
        let mut least = measured(&house, &*shape, UNIT);
        if worst(&least) > DOUBLING {
            // What is not linear shows all the more in larger messages; what was the machine's caches and neighbours does not.
            least = measured(&house, &*shape, UNIT * 8);
        }
        let ms = least.map(|seconds| seconds * 1e3);
        table.push((
            ms[3],
            format!("{:9.2} {:9.2} {:9.2} {:9.2} {:6.2}  {name}", ms[0], ms[1], ms[2], ms[3], worst(&least)),
        ));
        if worst(&least) > DOUBLING {
            wrong.push(format!("{name}: {ms:.2?} ms"));
        }
    }
    table.sort_by(|a, b| b.0.total_cmp(&a.0));
    println!("milliseconds for {} KiB, 2, 4 and 8 times that, and the worst doubling", UNIT >> 10);
    table.iter().take(if cfg!(debug_assertions) { 15 } else { usize::MAX }).for_each(|(_, line)| println!("{line}"));
    assert!(wrong.is_empty(), "more than {DOUBLING} times the cost for twice the size:\n{}", wrong.join("\n"));
}

/// Seconds at once, twice, four and eight times `unit`: the least of some runs.
fn measured(house: &House, shape: &dyn Fn(usize) -> Vec<u8>, unit: usize) -> [f64; 4] {
    let messages = [1, 2, 4, 8].map(|factor| shape(unit * factor));
    let mut least = [f64::MAX; 4];
    // A machine that does other things as well needs more of them.
    for _ in 0..8 {
        for (least, message) in least.iter_mut().zip(&messages) {
            *least = least.min(cost(house, message));
        }
        if worst(&least) < DOUBLING - 0.2 {
            break;
        }
    }
    least
}

fn worst(least: &[f64; 4]) -> f64 {
    least
        .windows(2)
        .map(|pair| if pair[1] < NOISE { 0.0 } else { pair[1] / pair[0].max(NOISE / 2.0) })
        .fold(0.0, f64::max)
}

/// Mail as people send it: name, message, seconds that it may cost in a release build.
fn everyday() -> Vec<(&'static str, Vec<u8>, f64)> {
    let words = "Hello, thank you for your order. We send it tomorrow, by parcel.\r\n";
    let quoted = format!("{words}\r\nOn Sat, 21 Nov 2026, Hana <b-real-9c1@home.example> wrote:\r\n> {words}");
    let html = "<div class=\"MsoNormal\"><p style=\"margin:0;color:#333\">Hello, thank you for your <b>order</b>.&nbsp;<a href=\"https://shop.test/?a=1&amp;b=2\">See it</a></p></div>\r\n";
    let html = format!(
        "<html><head><style>p{{margin:0}}</style></head><body>{}<img src=\"cid:a@b\"></body></html>",
        html.repeat(400)
    );
    let noise: Vec<u8> = (0..7_500_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let attached = BASE64
        .encode(&noise)
        .as_bytes()
        .chunks(76)
        .map(|line| String::from_utf8_lossy(line) + "\r\n")
        .collect::<String>();
    let attached = format!(
        "--b\r\nContent-Type: text/plain\r\n\r\n{quoted}\r\n--b\r\nContent-Type: application/octet-stream; name=a.bin\r\nContent-Transfer-Encoding: base64\r\nContent-Disposition: attachment; filename=a.bin\r\n\r\n{attached}--b--"
    );
    vec![
        ("4 KiB of text", part("text/plain; charset=utf-8", &quoted.repeat(4096 / quoted.len())), 0.0005),
        ("1 MiB of text", part("text/plain; charset=utf-8", &quoted.repeat((1 << 20) / quoted.len())), 0.25),
        ("60 KiB of HTML", part("text/html; charset=utf-8", &html), 0.02),
        ("10 MB with a file", part("multipart/mixed; boundary=b", &attached), 0.6),
    ]
}

#[test]
fn everyday_mail_costs_little() {
    let house = House::buyer_writes();
    for (name, message, most) in everyday() {
        let rounds = if message.len() > 1 << 21 { 5 } else { 20 };
        let least = (0..rounds).map(|_| cost(&house, &message)).fold(f64::MAX, f64::min);
        let (_, spent) = within(&Allowance::endless(), || cost(&house, &message));
        println!(
            "{name:18} {:10} octets {:10.3} ms {:8.1} MB/s {:8.3} million steps",
            message.len(),
            least * 1e3,
            message.len() as f64 / least / 1e6,
            (spent.reading + spent.packing) as f64 / 1e6
        );
        // Unoptimised code of our own is some twenty times slower.
        let most = if cfg!(debug_assertions) { most * 30.0 } else { most };
        assert!(least < most, "{name}: {least} s");
    }
}
