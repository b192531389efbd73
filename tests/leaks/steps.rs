//! Steps that scanners count grow with the size of what they read, whatever its shape: at most 2.3
//! times as many for twice the octets.
//!
//! Each scanner is given shapes that are drawn from the alphabet which it looks for: its anchors,
//! what may stand around them, what ends them, and what looks almost like them. Counted, not timed:
//! the same on every machine. `tests/bench/rewrite` goes up to 16 MiB, and prints times.

use super::alphabets::*;
use super::cost::used;
use super::house::House;
use data_encoding::BASE64;
use marketrelay::config::{Limits, Metadata};
use marketrelay::message::archive::Search;
use marketrelay::message::calendar::{self, CalendarOrder};
use marketrelay::message::footer::{self, Action, Footer};
use marketrelay::message::said::Said;
use marketrelay::message::work::{Allowance, within};
use marketrelay::message::{
    Replacements, bounce, cms, files, headers, html, inspect, metadata, mime, pgp, scrub, search, text, tnef, transfer,
    uuencode, vcard,
};
use marketrelay::types::random::Seeded;
use marketrelay::types::token::Purpose;
use marketrelay::types::{Address, Alias, Random as _};
use std::fmt::Write as _;

/// At most so many times the steps for twice the octets.
const DOUBLING: f64 = 2.3;
/// Growth that is none.
const DIP: f64 = 1.6;
/// What grows so fast in large inputs as well needs no larger ones.
const HOPELESS: f64 = 3.5;
/// Octets of the smallest input.
const UNIT: usize = 4 << 10;
/// Shapes for each scanner.
const SHAPES: usize = if cfg!(debug_assertions) { 60 } else { 400 };

/// What draws on an alphabet: its pieces, what stands before all of them, and what reads it.
struct Scanner {
    name: &'static str,
    before: &'static [u8],
    pieces: Vec<&'static [u8]>,
    read: Read,
}

type Read = Box<dyn Fn(&[u8])>;

/// The order in which pieces stand.
#[derive(Debug)]
enum Form {
    /// The same few again and again.
    Repeated,
    /// One kind, then another: what the second half tells is far from the first.
    Halves,
    /// One, and then a run of another to the end.
    Run,
    /// Any of them.
    Soup,
}

struct Shape<'a> {
    form: Form,
    pieces: Vec<&'a [u8]>,
    seed: u64,
}

impl<'a> Shape<'a> {
    fn draw(pieces: &[&'a [u8]], random: &mut Seeded) -> Self {
        let form = [Form::Repeated, Form::Repeated, Form::Halves, Form::Run, Form::Soup].into_iter();
        let form = form.collect::<Vec<_>>().swap_remove(random.below(5));
        let few = 1 + random.below(4);
        let pieces = (0..few.max(2)).map(|_| pieces[random.below(pieces.len())]).collect();
        Self { form, pieces, seed: random.number() }
    }

    fn written(&self, before: &[u8], size: usize) -> Vec<u8> {
        let mut out = before.to_vec();
        let fill = |out: &mut Vec<u8>, pieces: &[&[u8]], size: usize| {
            for piece in pieces.iter().cycle() {
                if out.len() >= size {
                    break;
                }
                out.extend_from_slice(piece);
            }
        };
        let (one, others) = self.pieces.split_at(1);
        match self.form {
            Form::Repeated => fill(&mut out, &self.pieces, size),
            Form::Halves => {
                fill(&mut out, one, size / 2);
                fill(&mut out, others, size);
            }
            Form::Run => {
                fill(&mut out, one, before.len() + 1);
                fill(&mut out, others, size);
            }
            Form::Soup => {
                let mut random = Seeded::new(self.seed);
                while out.len() < size {
                    out.extend_from_slice(self.pieces[random.below(self.pieces.len())]);
                }
            }
        }
        out
    }
}

impl std::fmt::Display for Shape<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let pieces = self.pieces.iter().map(|piece| String::from_utf8_lossy(piece)).collect::<Vec<_>>();
        write!(f, "{:?} of {pieces:?}", self.form)
    }
}

fn steps(scanner: &Scanner, input: &[u8]) -> f64 {
    let ((), spent) = within(&Allowance::endless(), || (scanner.read)(input));
    (spent.reading + spent.packing) as f64
}

fn text_of(input: &[u8]) -> String {
    String::from_utf8_lossy(input).into_owned()
}

/// A message of one part, as the rewriter and the guard see it.
fn whole_way(house: &House, fields: &str, body: &[u8]) {
    let mut raw =
        format!("From: Real Name <b-real-9c1@home.example>\r\nMIME-Version: 1.0\r\n{fields}\r\n\r\n").into_bytes();
    raw.extend_from_slice(body);
    if inspect(&raw, false, &Limits::default()).is_ok()
        && let Ok(out) = house.rewrite(&raw)
    {
        let _ = house.guard(&out.bytes);
    }
}

fn bytes_of(pieces: &[&'static str]) -> Vec<&'static [u8]> {
    pieces.iter().map(|piece| piece.as_bytes()).collect()
}

fn scanners() -> Vec<Scanner> {
    let mut out: Vec<Scanner> = Vec::new();
    let mut add = |name, before: &'static [u8], pieces: &[&'static [u8]], read: Read| {
        out.push(Scanner { name, before, pieces: pieces.to_vec(), read });
    };
    let keys = || ["b-real-9c1@home.example", "s@bücher.example"].map(|a| Address::parse(a).unwrap().key());
    let alias = Alias::from_text("alias@m.test");
    let known = || keys().map(|key| scrub::Replacement::new(&key, Some(&alias)));
    let both = || {
        let keys = keys();
        Replacements::new((&keys[..1], &alias), (&keys[1..], &alias))
    };
    let addresses = bytes_of(ADDRESSES);
    for (name, is_html) in [("addresses in text", false), ("addresses in HTML", true)] {
        let known = known();
        add(name, b"", &addresses, Box::new(move |input| drop(scrub::scrub(&text_of(input), is_html, &known))));
    }
    let replacements = known();
    add(
        "addresses in names",
        b"",
        &addresses,
        Box::new(move |input| drop(scrub::scrub_name(&text_of(input), &replacements))),
    );
    let domains = ["home.example".to_owned()];
    add(
        "addresses of a domain",
        b"Subject: x\r\n\r\n",
        &addresses,
        Box::new(move |input| drop(search::addresses_in(input, &domains, 32))),
    );
    let footers = bytes_of(FOOTERS);
    for (name, is_html) in [("footers in text", false), ("footers in HTML", true)] {
        add(name, b"", &footers, Box::new(move |input| drop(footer::strip(&text_of(input), is_html))));
    }
    add("marks", b"", &footers, Box::new(|input| _ = footer::marks(&text_of(input), false, &mut Vec::new())));
    let tags = bytes_of(TAGS);
    for kind in ["plain", "html"] {
        let read = move |input: &[u8]| {
            let mut raw = format!("Content-Type: text/{kind}; charset=utf-8\r\n\r\n").into_bytes();
            raw.extend_from_slice(input);
            drop(Said::read(&raw, "seller@m.test", &Limits::default()));
        };
        add("own words", b"", &[footers.as_slice(), &tags, &bytes_of(LINES)].concat(), Box::new(read));
    }
    let replacements = both();
    add("HTML", b"", &tags, Box::new(move |input| drop(html::clean(&text_of(input), &replacements))));
    let foot = Footer {
        mark: "a".repeat(24),
        links: "Each opens a mail.".to_owned(),
        addresses: "Write to them.".to_owned(),
        send: "Just send it.".to_owned(),
        unsigned: "Not signed.".to_owned(),
        seller: None,
        actions: vec![Action { purpose: Purpose::Stop, label: "Stop".to_owned(), address: "stop+a@m.test".to_owned() }],
    };
    add("footers under HTML", b"", &tags, Box::new(move |input| drop(foot.under_html(&text_of(input)))));
    let styles = bytes_of(STYLES);
    for (name, before) in [("style sheets", &b"<style>"[..]), ("style attributes", b"<p style=\"")] {
        let replacements = both();
        let end = if name == "style sheets" { "</style>" } else { "\">" };
        add(name, before, &styles, Box::new(move |input| drop(html::clean(&(text_of(input) + end), &replacements))));
    }
    let lines = bytes_of(LINES);
    let (replacements, author, receiver) =
        (both(), Alias::from_text("buyer@m.test"), Alias::from_text("seller@m.test"));
    add(
        "calendars",
        b"BEGIN:VCALENDAR\r\n",
        &lines,
        Box::new(move |input| {
            let order =
                CalendarOrder { replacements: &replacements, author: &author, receiver: &receiver, key: &[7; 32] };
            drop(calendar::clean(&text_of(input), &order));
        }),
    );
    let (replacements, author) = (both(), Alias::from_text("buyer@m.test"));
    add(
        "cards",
        b"BEGIN:VCARD\r\n",
        &lines,
        Box::new(move |input| drop(vcard::clean(&text_of(input), "Hana", &author, &replacements))),
    );
    let armour = bytes_of(ARMOUR);
    add("OpenPGP", b"", &armour, Box::new(|input| drop(pgp::strip(&text_of(input)))));
    add(
        "uuencoded files",
        b"",
        &armour,
        Box::new(|input| {
            let text = text_of(input);
            // As a file may be a text with a file in it.
            uuencode::clean(&text, |file| uuencode::clean(&text_of(file), |_| None).map(String::into_bytes));
            let _ = uuencode::names(input);
            let _ = uuencode::decode(input);
        }),
    );
    let fields = bytes_of(FIELDS);
    add(
        "words of fields",
        b"",
        &fields,
        Box::new(|input| {
            let text = text::decode_words(&text_of(input));
            drop(text::encode_unstructured(&text, 9));
        }),
    );
    add("parameters", b"text/plain", &fields, Box::new(|input| drop(mime::parametrised(&text_of(input)))));
    add(
        "fields",
        b"X: y\r\n",
        &fields,
        Box::new(|input| {
            let part = mime::Part::read(input, false);
            drop(part.field("References").map(|field| headers::message_ids(&field.text(), 30)));
        }),
    );
    add(
        "transfer encodings",
        b"",
        &bytes_of(PARTS),
        Box::new(|input| {
            let _ = transfer::decode_q(input, false);
            let _ = transfer::decode_base64(input);
        }),
    );
    for charset in
        ["utf-8", "us-ascii", "x-unknown", "iso-2022-jp", "shift_jis", "gb18030", "utf-16le", "utf-7", "hz-gb-2312"]
    {
        let (house, fields) = (House::buyer_writes(), format!("Content-Type: text/plain; charset={charset}"));
        add("a text of some charset", b"", OCTETS, Box::new(move |input| whole_way(&house, &fields, input)));
    }
    for fields in ["Content-Type: text/plain; charset=utf-8", "Content-Type: text/html; charset=utf-8"] {
        let house = House::buyer_writes();
        add(
            "a whole text",
            b"",
            &[addresses.as_slice(), &tags].concat(),
            Box::new(move |input| whole_way(&house, fields, input)),
        );
        let house = House::buyer_writes();
        let links = [
            bytes_of(STYLES),
            bytes_of(&["cid:", "cid:a@b ", "cid:&gt;", "cid: ", "[cid:", ":", "&#34;", "&quot;", "&", "@", "x"]),
        ]
        .concat();
        add("links to parts", b"", &links, Box::new(move |input| whole_way(&house, fields, input)));
    }
    let house = House::buyer_writes();
    add(
        "a whole text with files",
        b"",
        &armour,
        Box::new(move |input| whole_way(&house, "Content-Type: text/plain", input)),
    );
    let house = House::buyer_writes();
    add(
        "parts",
        b"--b\r\n",
        &bytes_of(PARTS),
        Box::new(move |input| whole_way(&house, "Content-Type: multipart/mixed; boundary=b", input)),
    );
    let (house, related) = (House::buyer_writes(), "Content-Type: multipart/related; boundary=b");
    let page = b"--b\r\nContent-Type: image/png\r\nContent-Location: http://h.test/p.png\r\n\r\nx\r\n--b\r\nContent-Type: text/html\r\n\r\n";
    add("links to places", page, &bytes_of(PLACES), Box::new(move |input| whole_way(&house, related, input)));
    // What the guard finds in fields, texts and files: not rewritten before.
    for fields in [
        "Content-Type: text/plain; charset=utf-8",
        "Content-Type: application/x-unknown\r\nContent-Disposition: attachment",
    ] {
        let house = House::new("s-real-7f3@sellerco.example", "s@bücher.example", "Sato");
        add(
            "the guard",
            b"",
            &[OCTETS, &addresses].concat(),
            Box::new(move |input| {
                for (encoding, body) in [("8bit", input.to_vec()), ("base64", BASE64.encode(input).into_bytes())] {
                    let mut message = format!("{fields}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n").into_bytes();
                    message.extend_from_slice(&body);
                    let _ = house.guard(&message);
                }
            }),
        );
    }
    let house = House::buyer_writes();
    add(
        "the guard in fields",
        b"X: ",
        &[fields.as_slice(), &addresses].concat(),
        Box::new(move |input| {
            let value: String = text_of(input).replace(['\r', '\n'], "");
            let mut message = String::new();
            let _ = write!(message, "Subject: {value}\r\nContent-Disposition: attachment; filename={value}\r\n\r\nx");
            let _ = house.guard(message.as_bytes());
        }),
    );
    for (name, before, pieces) in [
        ("ZIP", &b"PK\x03\x04\x14\0\0\0\0\0"[..], ZIPS),
        ("gzip", b"\x1f\x8b\x08\0\0\0\0\0\0\0", ZIPS),
        ("RAR", b"Rar!\x1a\x07\0", ZIPS),
        ("compound files", b"\xd0\xcf\x11\xe0", ZIPS),
        ("PDF", b"%PDF-1.4\n", PDFS),
        ("JPEG", b"\xff\xd8\xff\xe1\0\x08Exif\0\0", PICTURES),
        ("PNG", b"\x89PNG\r\n\x1a\n", PICTURES),
        ("WebP", b"RIFF\xff\xff\0\0WEBP", PICTURES),
        ("GIF", b"GIF89a\x01\0\x01\0\0\0\0", PICTURES),
        ("TIFF", b"II*\0\x08\0\0\0", PICTURES),
        ("HEIC", b"\0\0\0\x14ftypheic\0\0\0\0heic", PICTURES),
        ("MP4", b"\0\0\0\x14ftypisom\0\0\0\0isom\0\0\0\0moov", PICTURES),
    ] {
        add(
            name,
            before,
            pieces,
            Box::new(|input| {
                drop(Search::default().look(input, "zip"));
                drop(metadata::clean(input, &Metadata::default(), &mut metadata::MOST_UNPACKED.clone()));
            }),
        );
    }
    let xml =
        [bytes_of(TAGS), bytes_of(ADDRESSES), bytes_of(&["<w:t>", "</w:t>", "<![CDATA[", "]]>", "<!--"])].concat();
    for (name, before, pieces) in [
        ("addresses in XML", &b"<?xml version=\"1.0\"?>@"[..], xml.as_slice()),
        ("addresses in RTF", b"{\\rtf1 ", RTFS),
        ("addresses in PDF", b"%PDF-1.4\n1 0 obj<</Length 99>>stream\n", DRAWN),
        ("addresses in ZIP", b"PK\x03\x04\x14\0\0\0\0\0", ZIPS),
        ("addresses in octets", b"\0", OCTETS),
    ] {
        let house = House::buyer_writes();
        add(name, before, pieces, Box::new(move |input| drop(files::looked(input, &house.order()))));
    }
    for before in [&b"\x30\x80\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02\xa0\x80\x30\x80\x02\x01\x01\x31\0\x30\x80\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01\xa0\x80"[..], b""] {
        add("cryptographic messages", before, ELEMENTS, Box::new(|input| drop(cms::read(input))));
    }
    for (name, before) in [
        ("reports in prose", &b"From: postmaster@b.test\r\nSubject: x\r\n\r\n"[..]),
        ("reports' subjects", b"From: postmaster@b.test\r\nSubject: "),
        ("reports in parts", b"From: postmaster@b.test\r\nContent-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n--b\r\n"),
    ] {
        add(name, before, REPORTS, Box::new(|input| drop(bounce::read(input))));
    }
    add("winmail.dat", b"\x78\x9f\x3e\x22\x01\0", TNEFS, Box::new(|input| drop(tnef::open(input))));
    let octets = [OCTETS, STATES].concat();
    add(
        "octets of a field",
        b"X: y\r\nSubject: ",
        &octets,
        Box::new(|input| {
            let part = mime::Part::read(input, false);
            drop((part.subject(), part.fields.iter().map(headers::Field::text).collect::<Vec<_>>()));
        }),
    );
    for charset in [
        "x-unknown",
        "iso-8859-1",
        "iso-2022-jp",
        "iso-2022-kr",
        "iso-2022-cn",
        "cp932",
        "big5",
        "euc-tw",
        "windows-1251",
        "cp437",
        "utf-16",
        "utf-32",
        "utf-7",
        "hz-gb-2312",
    ] {
        for kind in ["html", "plain"] {
            let house = House::buyer_writes();
            let fields = format!("Content-Type: text/{kind}; charset={charset}");
            add("charsets", b"", &octets, Box::new(move |input| whole_way(&house, &fields, input)));
        }
    }
    out
}

/// The worst doubling at these sizes.
fn worst(scanner: &Scanner, shape: &Shape<'_>, sizes: &[usize]) -> (f64, Vec<f64>) {
    let all: Vec<f64> =
        sizes.iter().map(|size| steps(scanner, &shape.written(scanner.before, *size + scanner.before.len()))).collect();
    // What ends at once costs next to nothing, twice of that too.
    let ratio = |pair: &[f64]| if pair[1] < UNIT as f64 { 0.0 } else { pair[1] / pair[0].max(UNIT as f64 / 2.0) };
    let ratios: Vec<f64> = all.windows(2).map(ratio).collect();
    // Where two encodings are as long as each other, one size takes the cheaper one: what counts is
    // how it grows from the first to the last.
    let worst = if ratios.iter().any(|ratio| *ratio > 0.0 && *ratio < DIP) {
        ratios.iter().product::<f64>().powf(1.0 / ratios.len() as f64)
    } else {
        ratios.iter().copied().fold(0.0, f64::max)
    };
    (worst, all)
}

/// Octets of the largest input, for `tests/bench/rewrite`: nothing is timed without it.
fn largest() -> Option<usize> {
    std::env::var("COST_LARGEST").ok().map(|size| size.parse().unwrap())
}

/// All shapes of a scanner: each piece alone, and so many that are drawn.
fn shapes(scanner: &Scanner, seed: u64, count: usize) -> impl Iterator<Item = Shape<'static>> + use<> {
    let (pieces, mut random) = (scanner.pieces.clone(), Seeded::new(seed));
    let alone =
        pieces.clone().into_iter().map(|piece| Shape { form: Form::Repeated, pieces: vec![piece, piece], seed: 0 });
    alone.chain((0..count).map(move |_| Shape::draw(&pieces, &mut random)))
}

#[test]
fn steps_grow_with_size_alone() {
    let mut wrong = Vec::new();
    let mut costs: Vec<(f64, String)> = Vec::new();
    for (scanner, seed) in scanners().iter().zip(2026..) {
        for shape in shapes(scanner, seed, SHAPES) {
            let (mut ratio, mut all) = worst(scanner, &shape, &[UNIT, 2 * UNIT, 4 * UNIT]);
            let mut size = 4 * UNIT;
            // Limits that some shape reaches at one of these sizes lie behind it; what is not
            // linear shows all the more.
            for larger in [8, 32] {
                if ratio > DOUBLING && (larger == 8 || ratio < HOPELESS) {
                    size = larger * 4 * UNIT;
                    (ratio, all) = worst(scanner, &shape, &[size / 4, size / 2, size]);
                }
            }
            let told = format!("{}: {shape}: {all:.0?}", scanner.name);
            if ratio > DOUBLING {
                wrong.push(format!("{ratio:.2} {told}"));
            }
            costs.push((all.last().unwrap() / size as f64, told));
        }
    }
    costs.sort_by(|a, b| b.0.total_cmp(&a.0));
    println!("Most steps an octet");
    costs.iter().take(15).for_each(|(each, told)| println!("{each:8.1} {told}"));
    let count = wrong.len();
    assert!(wrong.is_empty(), "{count} shapes take more than {DOUBLING} times the steps:\n{}", wrong.join("\n"));
}

/// Up to the size of the largest message: steps, and what a step takes. Release builds, by
/// `tests/bench/rewrite`.
#[test]
fn cost_of_steps() {
    let Some(largest) = largest() else { return };
    println!(
        "scanner, worst doubling from {} to {largest} octets, and nanoseconds a step, mean and worst",
        largest / 8
    );
    for (scanner, seed) in scanners().iter().zip(1..) {
        let (mut doubling, mut slowest, mut seconds, mut all) = (0.0_f64, (0.0_f64, String::new()), 0.0, 0.0);
        for shape in shapes(scanner, seed, 12).skip(scanner.pieces.len()) {
            let (ratio, _) = worst(scanner, &shape, &[largest / 8, largest / 4, largest / 2, largest]);
            let input = shape.written(scanner.before, largest);
            let began = used();
            let steps = steps(scanner, &input);
            let took = used() - began;
            (doubling, seconds, all) = (doubling.max(ratio), seconds + took, all + steps);
            if took * 1e9 / steps > slowest.0 && took > 0.01 {
                slowest = (took * 1e9 / steps, shape.to_string());
            }
        }
        println!("{:24} {doubling:5.2} {:7.2} {:7.2}  {}", scanner.name, seconds * 1e9 / all, slowest.0, slowest.1);
    }
}

/// The longest that one message takes before its allowance is used up. Release builds, by
/// `tests/bench/rewrite`.
#[test]
fn cost_of_the_whole_allowance() {
    let Some(largest) = largest() else { return };
    let work = Limits::default().message_work * 1_000_000;
    let allowance = Allowance { reading: work, packing: 3 * work, ..Allowance::endless() };
    let mut took: Vec<(f64, String)> = Vec::new();
    for (scanner, seed) in scanners().iter().zip(1..) {
        for shape in shapes(scanner, seed, 8).skip(scanner.pieces.len()) {
            let input = shape.written(scanner.before, largest);
            let began = used();
            let ((), spent) = within(&allowance, || (scanner.read)(&input));
            took.push((used() - began, format!("{}: {shape}: {spent:?}", scanner.name)));
        }
    }
    took.sort_by(|a, b| b.0.total_cmp(&a.0));
    println!("Seconds of the slowest, of {largest} octets, with {work} steps");
    took.iter().take(20).for_each(|(seconds, told)| println!("{seconds:7.2} {told}"));
}
