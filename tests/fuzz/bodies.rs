//! What each fuzz target does with its input, shared by cargo-fuzz (`tests/fuzz/fuzz_targets`) and by the bounded test (`tests/bounded_fuzz.rs`).

use marketrelay::config::{self, Limits};
use marketrelay::message::{self, author, bounce, guard, headers, rewrite, scrub};
use marketrelay::smtp::data::{DataReader, Fed};
use marketrelay::smtp::{command, proxy};
use marketrelay::types::token::Purpose;
use marketrelay::types::{Address, Alias, Time};

/// A command line, and the PROXY header before it.
pub fn command_line(data: &[u8]) {
    let _ = command::parse(data);
    let _ = proxy::read(data);
}

/// The data reader: the same message wherever the input is cut.
pub fn data_reader(data: &[u8]) {
    let read = |cut: usize| {
        let mut reader = DataReader::default();
        let mut message = Vec::new();
        let mut from = 0;
        for to in [cut, data.len()] {
            match reader.feed(&data[from..to], |bytes| message.extend_from_slice(bytes)) {
                Fed::More => from = to,
                Fed::End(used) => return (Some(message), Fed::End(from + used)),
                // How much of a refused message was handed out is of no consequence.
                Fed::BareNewline => return (None, Fed::BareNewline),
            }
        }
        (Some(message), Fed::More)
    };
    let whole = read(0);
    for cut in 1..=data.len().min(64) {
        assert_eq!(read(cut), whole, "cut at {cut}");
    }
}

/// The strict reader of From: what it accepts is one address that reads back.
pub fn from_reader(data: &[u8]) {
    let raw = [b"From: ", data, b"\r\n\r\n"].concat();
    if let Ok(author) = author::read(&headers::split(&raw).0) {
        let address = author.address.expose().to_owned();
        assert_eq!(Address::parse(&address).map(|a| a.expose().to_owned()), Ok(address));
    }
}

/// A configuration: an answer, whatever it is.
pub fn configuration(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data)
        && let Ok(config) = config::parse(text)
    {
        let _ = config.check(|_| Ok(None));
    }
}

/// Bounces of other people.
pub fn bounce_reader(data: &[u8]) {
    let _ = bounce::read(data);
}

fn secret() -> (Address, Alias) {
    (Address::parse("b-real-9c1@home.example").unwrap(), Alias::from_text("k7bzn4wq3xv9hdtm2@m.test"))
}

/// The scrubber: what it has cleaned is clean.
pub fn scrubber(data: &[u8]) {
    let (address, alias) = secret();
    let replacements = [scrub::Replacement::new(&address.key(), Some(&alias))];
    let text = String::from_utf8_lossy(data);
    for html in [false, true] {
        let _ = message::footer::strip(&text, html);
        if let Some(clean) = scrub::scrub(&text, html, &replacements) {
            assert_eq!(scrub::scrub(&clean, html, &replacements), None);
        }
    }
}

fn footer() -> message::Footer {
    let purpose = Purpose::Stop;
    let action =
        message::footer::Action { purpose, label: "Stop & go".to_owned(), address: format!("stop+{TOKEN}@m.test") };
    let seller = message::footer::Seller { label: "Seller".to_owned(), name: "Käse & <Co>".to_owned() };
    let [mark, links, addresses, send, unsigned] =
        ["bbqxerik4m2fdq7opkxa2zzt", "Wörter", "Wörter", "Wörter & mehr", "Wörter"].map(str::to_owned);
    message::Footer { mark, links, addresses, send, unsigned, seller: Some(seller), actions: vec![action] }
}

/// A token's form.
const TOKEN: &str = "bbqxerik4m2fdq7opkxa2zztabcde";

/// The whole way of a message: inspected, rewritten, guarded.
pub fn rewriter(data: &[u8]) {
    let (address, alias) = secret();
    let limits = Limits::default();
    let _ = message::inspect(data, false, &limits);
    let replacements = message::Replacements::new((&[address.key()], &alias), (&[], &Alias::from_text("x@m.test")));
    let keys = [address.key()];
    let order = message::Order {
        hostname: "mx.m.test",
        received: Time(1_800_000_000_000),
        id: "0s9wk4v7qf3fz".to_owned(),
        from: ("Sato Shop", &alias),
        author_name: None,
        to: &alias,
        message_id: "token@m.test".to_owned(),
        in_reply_to: Vec::new(),
        references: Vec::new(),
        replacements: &replacements,
        calendar_key: [7; 32],
        metadata: &marketrelay::config::Metadata::default(),
        documents: Some(message::guard::Secrets::of_author(&keys)),
        footer: Some(footer()),
        quotes: message::quoted::Quoting::Ignored,
        limits: &limits,
    };
    let Ok(first) = rewrite::rewrite(data, &order) else { return };
    assert_eq!(
        rewrite::rewrite(data, &order).map(|r| r.bytes),
        Ok(first.bytes.clone()),
        "the same order gives the same bytes"
    );
    let (fields, _) = headers::split(&first.bytes);
    for name in ["From", "To", "Message-ID", "Date", "MIME-Version", "Content-Type"] {
        assert_eq!(fields.iter().filter(|f| f.is(name)).count(), 1, "{name}");
    }
    for line in first.bytes.split_inclusive(|b| *b == b'\n') {
        let line = line.strip_suffix(b"\r\n").expect("lines end in CRLF");
        assert!(line.len() <= 998 && !line.contains(&b'\r') && line.is_ascii());
    }
    // What the guard lets pass shows the address nowhere: neither on the wire nor decoded.
    if guard::check(&first.bytes, guard::Secrets::of_author(&[address.key()])).is_ok() {
        assert!(!shows(&String::from_utf8_lossy(&first.bytes)), "on the wire");
        let message = mail_parser::MessageParser::new().parse(&first.bytes).expect("the guard read it");
        for part in &message.parts {
            if let mail_parser::PartType::Text(text) | mail_parser::PartType::Html(text) = &part.body {
                assert!(!shows(text), "{text}");
            }
        }
    }
}

/// Whether the secret address stands in a text by itself, not as a piece of a longer one.
fn shows(text: &str) -> bool {
    const SECRET: &str = "b-real-9c1@home.example";
    let text = text.to_ascii_lowercase();
    text.match_indices(SECRET).any(|(at, _)| {
        let before = text.as_bytes()[..at].last().copied().unwrap_or(b' ');
        let after = text.as_bytes().get(at + SECRET.len()).copied().unwrap_or(b' ');
        !(before.is_ascii_alphanumeric()
            || b"._-+%".contains(&before)
            || after.is_ascii_alphanumeric()
            || b".-".contains(&after))
    })
}

/// HTML: what is cleaned shows no address, also when it is cleaned again.
pub fn html(data: &[u8]) {
    let (address, alias) = secret();
    let replacements = message::Replacements::new((&[address.key()], &alias), (&[], &Alias::from_text("x@m.test")));
    let text = String::from_utf8_lossy(data);
    let clean = message::html::clean(&text, &replacements).unwrap_or_else(|| text.into_owned());
    assert!(scrub::find(&clean, true, replacements.of_author()).is_empty(), "{clean}");
    let again = message::html::clean(&clean, &replacements).unwrap_or(clean);
    assert!(scrub::find(&again, true, replacements.of_author()).is_empty(), "{again}");
}

/// A target's name and what it does.
type Target = (&'static str, fn(&[u8]));

/// Every target by its name.
pub const TARGETS: &[Target] = &[
    ("command_line", command_line),
    ("data_reader", data_reader),
    ("from_reader", from_reader),
    ("configuration", configuration),
    ("bounce_reader", bounce_reader),
    ("scrubber", scrubber),
    ("html", html),
    ("rewriter", rewriter),
];
