use super::*;
use crate::config::{Limits, Metadata};
use crate::message::guard::{self, Secrets};
use crate::message::work::{Allowance, within};
use crate::message::{html, mime::Part, text::decode_charset};
use crate::types::{Address, AddressKey, Alias, Time};

const SELLER: &str = "s-real-7f3@sellerco.example";
const BUYER: &str = "b-real-9c1@home.example";
/// As long as the buyer's.
const WRONG: &str = "x-real-9c1@home.example";

/// Makes an answer of a copy.
type Program = Box<dyn Fn(&str) -> String>;
/// Writes a guess.
type Write = fn(&str) -> String;

struct Way {
    author: [AddressKey; 1],
    receiver: [AddressKey; 1],
    mine: Alias,
    yours: Alias,
    id: &'static str,
}

impl Way {
    /// The seller asks, or the buyer answers.
    fn new(asks: bool) -> Self {
        let key = |text: &str| [Address::parse(text).unwrap().key()];
        let sides = [
            (key(SELLER), Alias::from_text("seller-alias@m.test")),
            (key(BUYER), Alias::from_text("buyer-alias@m.test")),
        ];
        let [(author, mine), (receiver, yours)] = if asks {
            sides
        } else {
            let [a, b] = sides;
            [b, a]
        };
        Self { author, receiver, mine, yours, id: if asks { "asks@m.test" } else { "answers@m.test" } }
    }

    fn replacements(&self) -> Replacements {
        Replacements::new((&self.author, &self.mine), (&self.receiver, &self.yours))
    }

    /// Rewrites a message; `quotes` as they are.
    fn written(&self, raw: &str, quotes: Quoting<'_>) -> String {
        let (replacements, limits, metadata) = (self.replacements(), Limits::default(), Metadata::default());
        let order = self.order(&replacements, &limits, &metadata);
        String::from_utf8(rewrite(raw.as_bytes(), &Order { quotes, ..order }).unwrap().bytes).unwrap()
    }

    fn order<'a>(&'a self, replacements: &'a Replacements, limits: &'a Limits, metadata: &'a Metadata) -> Order<'a> {
        Order {
            hostname: "mx.m.test",
            received: Time(1_800_000_000_000),
            id: "0s9wk4v7qf3fz".to_owned(),
            from: ("Sato Shop", &self.mine),
            author_name: Some("Real Name"),
            to: &self.yours,
            message_id: self.id.to_owned(),
            in_reply_to: Vec::new(),
            references: Vec::new(),
            replacements,
            footer: None,
            quotes: Quoting::Ignored,
            limits,
            calendar_key: [7; 32],
            metadata,
            documents: None,
        }
    }
}

/// What a party sees of a message: fields and decoded texts.
fn seen(message: &str) -> String {
    fn add(part: &Part<'_>, out: &mut String) {
        if let Some(subject) = part.field("Subject") {
            out.push_str(&format!("Subject: {}\n", crate::message::text::decode_words(&subject.text())));
        }
        out.push_str(&format!("{:?} {:?}\n", part.kind.get("charset"), part.file_name()));
        for child in part.children().unwrap_or_default() {
            add(&Part::read(child, false), out);
        }
        let bytes = part.decoded();
        if part.is("message") {
            add(&Part::read(&bytes, false), out);
        } else if part.is("text") {
            out.push_str(&decode_charset(&bytes, part.kind.get("charset").unwrap_or("")).replace("\r\n", "\n"));
        }
    }
    let mut out = String::new();
    add(&Part::read(message.as_bytes(), false), &mut out);
    out
}

/// The text of a message of one part.
fn body(message: &str) -> String {
    let part = Part::read(message.as_bytes(), false);
    decode_charset(&part.decoded(), part.kind.get("charset").unwrap_or("")).replace("\r\n", "\n")
}

/// The answer to `asked`, as `program` makes it of the copy, as the seller sees it. Also what the
/// buyer saw.
fn answered(asked: &str, program: &dyn Fn(&str) -> String) -> (String, String) {
    let (asks, answers) = (Way::new(true), Way::new(false));
    let copy = asks.written(asked, Quoting::Ignored);
    let answer = program(&copy);
    let needed = Question::new(&|| true);
    let plain = answers.written(&answer, Quoting::Asked(&needed));
    let replacements = asks.replacements();
    let (limits, metadata) = (Limits::default(), Metadata::default());
    let order = asks.order(&replacements, &limits, &metadata);
    let original = Original::read(asked.as_bytes(), &order, asks.replacements());
    let originals: Vec<Original> = original.into_iter().filter(|_| needed.answer()).collect();
    if originals.is_empty() {
        return (seen(&plain), copy);
    }
    let restored = |shown| answers.written(&answer, Quoting::Restored { originals: &originals, shown });
    let masked = restored(false);
    assert_eq!(guard::check(masked.as_bytes(), Secrets::of_author(&answers.author)), Ok(()), "{masked}");
    (seen(&restored(true)), copy)
}

fn plain(head: &str, text: &str) -> String {
    format!("From: {BUYER}\nSubject: Re: x\n{head}\n{text}").replace('\n', "\r\n")
}

fn marked(text: &str, mark: &str) -> String {
    text.lines().map(|line| format!("{mark}{line}\n")).collect()
}

/// Words of at most so many columns, as programs wrap what they quote.
fn wrapped(text: &str, columns: usize, mark: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        let mut length = 0;
        out.push_str(mark);
        for word in line.split(' ') {
            if length > 0 && length + word.len() >= columns {
                out.push_str(&format!("\n{mark}"));
                length = 0;
            } else if length > 0 {
                out.push(' ');
            }
            out.push_str(word);
            length += word.len() + 1;
        }
        out.push('\n');
    }
    out
}

fn linked(text: &str) -> String {
    let word = |word: &str| match word.contains('@') {
        true => format!("<a href=\"mailto:{word}\">{word}</a>"),
        false => word.to_owned(),
    };
    text.lines().map(|line| line.split(' ').map(word).collect::<Vec<_>>().join(" ") + "<br>\n").collect()
}

/// How programs quote a plain text.
fn programs() -> Vec<(&'static str, Program)> {
    let flowed = "Content-Type: text/plain; charset=utf-8; format=flowed\n";
    let html = "Content-Type: text/html; charset=utf-8\n";
    vec![
        (
            "marks",
            Box::new(|copy| {
                plain(
                    "",
                    &format!(
                        "Yes.\n\nOn Sat, 21 Nov 2026, Sato <seller-alias@m.test> wrote:\n{}",
                        marked(&body(copy), "> ")
                    ),
                )
            }),
        ),
        ("deep", Box::new(|copy| plain("", &format!("Yes.\n{}", marked(&body(copy), ">>> "))))),
        ("bars", Box::new(|copy| plain("", &format!("Yes.\n{}", marked(&body(copy), "| "))))),
        ("wrapped", Box::new(|copy| plain("", &format!("Yes.\n{}", wrapped(&body(copy), 40, "> "))))),
        (
            "flowed",
            Box::new(move |copy| {
                plain(flowed, &format!("Yes.\n{}", wrapped(&body(copy), 50, "> ").replace("\n> ", " \n> ")))
            }),
        ),
        (
            "outlook",
            Box::new(|copy| {
                let head = "Yes.\n\n-----Original Message-----\nFrom: Sato\nTo: buyer-alias@m.test\nSubject: x\n\n";
                plain("", &format!("{head}{}", body(copy)))
            }),
        ),
        (
            "new outlook",
            Box::new(|copy| {
                plain("", &format!("Yes.\n\nFrom: Sato\nSent: Saturday\nTo: buyer-alias@m.test\n\n{}", body(copy)))
            }),
        ),
        (
            "outlook with links",
            Box::new(|copy| {
                let text = body(copy);
                let word =
                    |word: &str| if word.contains('@') { format!("{word}<mailto:{word}>") } else { word.to_owned() };
                let lines: Vec<String> =
                    text.lines().map(|line| line.split(' ').map(word).collect::<Vec<_>>().join(" ")).collect();
                plain("", &format!("Yes.\n\n差出人: Sato\n件名: x\n\n{}", lines.join("\n")))
            }),
        ),
        (
            "base64",
            Box::new(|copy| {
                let text = format!("はい\n{}", marked(&body(copy), "> "));
                plain(
                    "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: base64\n",
                    &data_encoding::BASE64.encode(text.as_bytes()),
                )
            }),
        ),
        (
            "gmail",
            Box::new(move |copy| {
                plain(
                    html,
                    &format!(
                        "<div>Yes.</div><br><div class=\"gmail_quote\"><div class=\"gmail_attr\">On Sat, Sato &lt;<a href=\"mailto:seller-alias@m.test\">seller-alias@m.test</a>&gt; wrote:<br></div><blockquote class=\"gmail_quote\">{}</blockquote></div>",
                        linked(&body(copy))
                    ),
                )
            }),
        ),
        (
            "apple",
            Box::new(move |copy| {
                plain(
                    html,
                    &format!(
                        "<p>Yes.</p><blockquote type=cite><pre>{}</pre></blockquote>",
                        html_escaped(&body(copy)).replace('@', "&#64;")
                    ),
                )
            }),
        ),
        (
            "word",
            Box::new(move |copy| {
                plain(
                    html,
                    &format!(
                        "<p>Yes.</p><div id=divRplyFwdMsg><b>From:</b> Sato<br><b>To:</b> buyer-alias@m.test<br></div>{}",
                        linked(&body(copy)).replace(' ', "\n")
                    ),
                )
            }),
        ),
        (
            "both",
            Box::new(|copy| {
                let (text, html) = (marked(&body(copy), "> "), linked(&body(copy)));
                plain(
                    "Content-Type: multipart/alternative; boundary=b\n",
                    &format!(
                        "--b\n\nYes.\n{text}\n--b\nContent-Type: text/html\n\n<p>Yes.</p><blockquote>{html}</blockquote>\n--b--\n"
                    ),
                )
            }),
        ),
    ]
}

/// Both guesses' answers, each guess in it named alike.
fn alike(name: &str, asked: &dyn Fn(&str) -> String, program: &dyn Fn(&str) -> String) {
    let [(right, copy), (wrong, _)] = [BUYER, WRONG].map(|guess| answered(&asked(guess), program));
    let [right_named, wrong_named] = [(&right, BUYER), (&wrong, WRONG)].map(|(text, guess)| {
        let user = |address: &str| address.split('@').next().unwrap().to_owned();
        text.replace(&user(guess), "GUESS").replace(&user(guess).to_uppercase(), "GUESS")
    });
    assert_eq!(right_named, wrong_named, "{name}, of\n{copy}");
    assert!(right_named.contains("GUESS"), "{name}: not given back in\n{right}");
}

#[test]
fn a_guess_comes_back_as_it_was_written_by_every_program() {
    let texts: &[(&str, Write)] = &[
        ("alone", |guess| format!("Hello,\n\n{guess}\n\nBye")),
        ("in words", |guess| {
            format!("Hello,\nplease tell me whether I may write to {guess} in this matter, as it is urgent.\nBye")
        }),
        ("many", |guess| format!("One of\na@home.example\n{guess}\nb@home.example\nA{guess}\nis it?")),
        ("twice", |guess| format!("{guess}\n{guess}\n{}\n", guess.replace('@', "+tag@"))),
        ("like a header", |guess| format!("To: {guess}\nSubject: x\n")),
        ("with the alias", |guess| format!("buyer-alias@m.test\n{guess}\nbuyer-alias@m.test")),
        ("large", |guess| format!("My {} it is.", guess.to_uppercase())),
        ("at the end", |guess| format!("Hello\n{guess}")),
        ("link", |guess| format!("See https://x.test/?q={guess} and x.test/{guess}")),
        ("nested", |guess| format!("Hello\n> On Sat Hana <{guess}> wrote:\n> hi {guess}\n>> ok")),
        ("no spaces", |guess| format!("メールは{guess}ですか。\nほかの住所")),
        ("own", |guess| format!("{guess}, answer to {SELLER}\n")),
        ("percent", |guess| format!("is {} yours?\n", guess.replace('@', "%40"))),
        ("wide", |guess| format!("is {} yours?\n", guess.replace('@', "\u{ff20}"))),
    ];
    for (text, write) in texts {
        for (program, quote) in programs() {
            // Programs make links of what they know for an address.
            let asked = |guess: &str| {
                let body = write(guess);
                format!("From: {SELLER}\nSubject: x\nContent-Type: text/plain; charset=utf-8\n\n{body}\n")
                    .replace('\n', "\r\n")
            };
            if matches!((*text, program), ("link" | "nested", "outlook with links" | "gmail" | "both" | "word")) {
                continue;
            }
            alike(&format!("{text} by {program}"), &asked, &*quote);
        }
    }
}

#[test]
fn html_comes_back_as_it_was_written() {
    let documents: &[(&str, Write)] = &[
        ("text", |guess| format!("<p>Hello</p><p>is it <b>{guess}</b>?</p>")),
        ("entity", |guess| format!("<p>is it {}?</p>", guess.replace('@', "&#64;"))),
        ("link", |guess| {
            format!(
                "<p>write <a href=\"mailto:{guess}\">here</a> or <a href='mailto:{guess}?subject=x'>{guess}</a></p>"
            )
        }),
        ("remote link", |guess| format!("<p><a href=\"https://x.test/?q={}\">this</a></p>", guess.replace('@', "%40"))),
        ("picture", |guess| format!("<p>x</p><img alt=\"is it {guess}\" src=\"https://x.test/{guess}.png\">")),
        ("only a picture", |guess| format!("<img title='{guess}' src=cid:x>")),
        ("across tags", |guess| format!("<p>is it <b>{}?</p>", guess.replace('@', "</b>@<wbr>"))),
        ("comment", |guess| format!("<p>x {}</p><!-- {guess} --><p>{guess}</p>", guess.replace('@', "<!-- x -->@"))),
        ("table", |guess| format!("<table><tr><td>{guess}<td>a@b.test<tr><td>c</table>")),
        ("style sheet", |guess| {
            format!("<style>p:after{{content:'{guess}'}} /* {guess} */ @{guess} {{}}</style><p>{guess}</p>")
        }),
        ("title", |guess| format!("<html><head><title>is it {guess}?</title></head><p>{guess}</p></html>")),
    ];
    let html = "Content-Type: text/html; charset=utf-8\n";
    let programs: Vec<(&str, Program)> = vec![
        (
            "blockquote",
            Box::new(move |copy| plain(html, &format!("<p>Yes</p><blockquote>{}</blockquote>", body(copy)))),
        ),
        (
            "outlook",
            Box::new(move |copy| {
                plain(
                    html,
                    &format!(
                        "<p>Yes</p><p><b>From:</b> Sato<br><b>Sent:</b> x<br><b>To:</b> <a href=\"mailto:buyer-alias@m.test\">Hana</a></p>{}",
                        body(copy)
                    ),
                )
            }),
        ),
        (
            "nested",
            Box::new(move |copy| {
                plain(
                    html,
                    &format!(
                        "<div class=yahoo_quoted><div dir=ltr>{}</div></div>",
                        body(copy).replace("<p>", "<p class=x>")
                    ),
                )
            }),
        ),
    ];
    for (document, write) in documents {
        for (program, quote) in &programs {
            let asked = |guess: &str| {
                format!("From: {SELLER}\nSubject: x\nContent-Type: text/html; charset=utf-8\n\n{}\n", write(guess))
                    .replace('\n', "\r\n")
            };
            alike(&format!("{document} by {program}"), &asked, &**quote);
        }
        // As a plain text, where nothing shows but words.
        if matches!(*document, "text" | "entity" | "across tags" | "comment") {
            let asked = |guess: &str| {
                format!("From: {SELLER}\r\nContent-Type: text/html; charset=utf-8\r\n\r\n{}", write(guess))
            };
            let text = |copy: &str| {
                let shown = body(copy).replace("</p>", "\n");
                let words: String = html::visible(&shown).0.replace('\0', "");
                plain("", &format!("Yes.\n{}", marked(&html::read_entities(&words), "> ")))
            };
            alike(&format!("{document} as text"), &asked, &text);
        }
    }
}

#[test]
fn titles_charsets_and_whole_messages() {
    let asked = |guess: &str| format!("From: {SELLER}\r\nSubject: is it {guess}\r\n\r\nhello\r\n");
    let subject = |copy: &str| {
        let subject = Part::read(copy.as_bytes(), false).field("Subject").unwrap().text();
        plain("", "Yes.").replace("Re: x", &format!("Re: AW: {subject}"))
    };
    alike("subject", &asked, &subject);
    // As a header over the quote tells it, and a receipt.
    let told = |field: &str, copy: &str| {
        let subject = Part::read(copy.as_bytes(), false).field("Subject").unwrap().text();
        format!("差出人: Sato\nTo: buyer-alias@m.test\n{field}: {subject}\n日時: x\n\nhello\n")
    };
    alike("subject in a header", &asked, &|copy: &str| plain("", &format!("Yes.\n\n{}", told("件名", copy))));
    alike("subject in HTML", &asked, &|copy: &str| {
        let told = told("<b>Subject", copy).replace("Subject:", "Subject:</b>").replace('\n', "<br>\n");
        plain("Content-Type: text/html\n", &format!("Yes.<br>\n{told}"))
    });
    alike("receipt", &asked, &|copy: &str| {
        let head = "Content-Type: multipart/report; boundary=b\n";
        plain(
            head,
            &format!(
                "--b\n\nread\n--b\nContent-Type: text/rfc822-headers\n\n{}\n--b--",
                told("Subject", copy).replace("差出人", "From")
            ),
        )
    });
    // In a message that is forwarded as a file.
    let asked = |guess: &str| format!("From: {SELLER}\r\nSubject: is it {guess}\r\n\r\nI mean\r\n{guess}\r\n");
    let forwarded = |copy: &str| {
        let head = "Content-Type: multipart/mixed; boundary=b\n";
        plain(head, &format!("--b\n\nsee\n--b\nContent-Type: message/rfc822\n\n{}\n--b--", copy.replace("\r\n", "\n")))
    };
    alike("forwarded", &asked, &forwarded);
    let asked = |guess: &str| {
        format!(
            "From: {SELLER}\r\nContent-Type: application/x; name=\"{guess}.bin\"\r\nContent-Disposition: attachment\r\n\r\nx\r\n"
        )
    };
    let file = |copy: &str| {
        let name = Part::read(copy.as_bytes(), false).file_name().unwrap().to_owned();
        plain(&format!("Content-Type: application/x; name=\"{name}\"\n"), "y")
    };
    alike("file name", &asked, &file);
    // A text in a charset of its own, and an answer in the same.
    let japanese = |text: &str, from: &str| {
        let bytes = encoding_rs::ISO_2022_JP.encode(text).0.into_owned();
        let body = String::from_utf8(bytes).unwrap();
        format!(
            "From: {from}\r\nSubject: x\r\nContent-Type: text/plain; charset=iso-2022-jp\r\n\r\n{}",
            body.replace('\n', "\r\n")
        )
    };
    let asked = |guess: &str| japanese(&format!("こんにちは\n住所は{guess}ですか\n"), SELLER);
    alike("japanese", &asked, &|copy: &str| japanese(&format!("はい\n\n{}", marked(&body(copy), "> ")), BUYER));
    let charset = |guess: &str| {
        Part::read(Way::new(true).written(&asked(guess), Quoting::Ignored).as_bytes(), false)
            .kind
            .get("charset")
            .map(str::to_owned)
    };
    assert_eq!((charset(BUYER).as_deref(), charset(WRONG).as_deref()), (Some("iso-2022-jp"), Some("iso-2022-jp")));
    // An invitation is answered with its words.
    let asked = |guess: &str| {
        format!(
            "From: {SELLER}\r\nContent-Type: text/calendar; charset=utf-8\r\n\r\nBEGIN:VCALENDAR\r\nMETHOD:REQUEST\r\nBEGIN:VEVENT\r\nUID:1\r\nATTENDEE;PARTSTAT=ACCEPTED:mailto:{guess}\r\nSUMMARY:Call {guess} about the long matter that we have talked of\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
        )
    };
    let answer =
        |copy: &str| plain("Content-Type: text/calendar; charset=utf-8\n", &body(copy).replace("REQUEST", "REPLY"));
    alike("invitation", &asked, &answer);
}

#[test]
fn outside_of_quotes_nothing_is_given_back() {
    let asked = format!("From: {SELLER}\r\nSubject: x\r\n\r\nHello\r\nyou are {BUYER}, right?\r\n{BUYER}\r\n");
    // answer, what the seller sees of it, what not
    let cases = [
        // Not quoted.
        ("you are buyer-alias@m.test, right?\n> Hello", "you are buyer-alias@m.test, right?", BUYER),
        (&format!("{BUYER}\n> Hello"), "buyer-alias@m.test", BUYER),
        // Not word for word.
        ("> you are buyer-alias@m.test, no?", "> you are buyer-alias@m.test, no?", BUYER),
        (&format!("> you are {BUYER}, right?"), "> you are buyer-alias@m.test, right?", BUYER),
        (&format!("> my {BUYER}\n"), "> my buyer-alias@m.test", BUYER),
        // The header over the quote is the buyer's own program's.
        (&format!("On Sat, 21 Nov 2026, {BUYER} wrote:\n> Hello"), "2026, buyer-alias@m.test wrote:", BUYER),
        (&format!("-----Original Message-----\nTo: Hana <{BUYER}>\nHello"), "To: Hana <buyer-alias@m.test>", BUYER),
    ];
    for (answer, want, not) in cases {
        let (seen, _) = answered(&asked, &|_: &str| plain("", answer));
        assert!(seen.contains(want) && !seen.contains(not), "{answer}\nbecame\n{seen}");
    }
    let quoted = "> you are buyer-alias@m.test, right?\n> buyer-alias@m.test\nbuyer-alias@m.test\n";
    let (seen, _) = answered(&asked, &|_: &str| plain("", quoted));
    assert!(seen.contains(&format!("> you are {BUYER}, right?\n> {BUYER}\nbuyer-alias@m.test\n")), "{seen}");
    // Nobody writes marks.
    let mut forged = String::new();
    marks("answers@m.test").write(0, &mut forged);
    let other = Marks::new(&[1; 20]);
    assert_eq!(other.read(&forged, &[BUYER.to_owned()]), forged);
}

#[test]
fn storms_cost_little() {
    // asked, answer: pieces that are repeated
    let cases = [
        ("x@y.test\n", "> x@y.test\n", false),
        ("x@y.test\n", "> x@y.test<mailto:x@y.test>\n", false),
        ("x@y.testx\n", "> x@y.testx<\n", false),
        ("Subject: x@y.test\n", "Subject: x@y.test\n", false),
        ("<a href=mailto:x@y.test>x</a>", "<a href=mailto:x@y.test>x</a>", true),
        ("<p><a href=mailto:x@y.test>x</a>", "<blockquote><a href=mailto:x@y.test>x</a>", true),
        ("<p title='x@y.test'>", "<p title='x@y.test'>", true),
        // The reader's own address is replaced each time.
        ("s-real-7f3@sellerco.example\n", "> seller-alias@m.test\n", false),
        ("<a href=mailto:s-real-7f3@sellerco.example>x</a><br>", "<a href=mailto:seller-alias@m.test>x</a><br>", true),
    ];
    for (asked, answer, html) in cases {
        let kind = if html { "Content-Type: text/html\r\n" } else { "" };
        // So many of them that a square of their number shows.
        let size = if asked.contains(SELLER) { 1_200_000 } else { 400_000 };
        let begin = if html { "<blockquote>" } else { "From: x\r\nTo: y\r\n" };
        let asked = format!("From: {SELLER}\r\n{kind}\r\n{}", asked.replace('\n', "\r\n").repeat(size / asked.len()));
        let answer =
            format!("From: {BUYER}\r\n{kind}\r\n{begin}{}", answer.replace('\n', "\r\n").repeat(size / answer.len()));
        let before = html::tests::on_processor();
        let (asks, answers) = (Way::new(true), Way::new(false));
        let (replacements, limits, metadata) = (asks.replacements(), Limits::default(), Metadata::default());
        let order = asks.order(&replacements, &limits, &metadata);
        let originals: Vec<Original> =
            Original::read(asked.as_bytes(), &order, asks.replacements()).into_iter().collect();
        let _ = answers.written(&answer, Quoting::Restored { originals: &originals, shown: true });
        let spent = html::tests::on_processor() - before;
        assert!(spent < 10_000, "{spent} ms: {}", asked.chars().take(100).collect::<String>());
    }
}

#[test]
fn ordinary_mail_asks_for_nothing() {
    // answer, whether it matters what its reader wrote
    let cases = [
        ("Yes.\n", false),
        ("Write to me@other.test.\n\nOn Sat, 21 Nov 2026, Sato <Seller-Alias@m.test> wrote:\n> Hello\n> Sato\n", false),
        ("> Hello [ref:bbqxerik4m2fdq7opkxa2zzt] report+bbqxerik4m2fdq7opkxa2zztabcde@m.test [/ref]\n", false),
        ("> Hello\n> -- \n> report+bbqxerik4m2fdq7opkxa2zztabcde@m.test\n> Ref: bbqxer-ik4m2f-dq7opk-xa2zzt\n", false),
        ("Yes.\n> On Sat, Hana <buyer-alias@m.test> wrote:\n>> x\n", true),
        ("Yes.\n> is it x@y.test\n", true),
        ("Yes.\n> is it x%40y.test\n", true),
    ];
    for (answer, want) in cases {
        let asked = Question::new(&|| true);
        let _ = Way::new(false).written(&plain("", answer), Quoting::Asked(&asked));
        assert_eq!(asked.answer(), want, "{answer}");
    }
}

#[test]
fn what_quotes_cost_counts() {
    let (asks, answers) = (Way::new(true), Way::new(false));
    let (replacements, limits, metadata) = (asks.replacements(), Limits::default(), Metadata::default());
    let order = asks.order(&replacements, &limits, &metadata);
    let asked = format!("From: {SELLER}\r\n\r\n{}", format!("{BUYER} x\r\n").repeat(3000));
    let original = [Original::read(asked.as_bytes(), &order, asks.replacements()).unwrap()];
    let answer = plain("", &"> buyer-alias@m.test x\n".repeat(3000));
    let cost = |quotes| within(&Allowance::endless(), || answers.written(&answer, quotes)).1.reading;
    let (without, with) = (cost(Quoting::Ignored), cost(Quoting::Restored { originals: &original, shown: false }));
    assert!(with > without + 10 * answer.len() as u64, "{without} {with}");
}

proptest::proptest! {
    /// Whatever is quoted: it does not fail, the guard passes nothing that is not quoted, and
    /// without an original nothing changes. Addresses end in white space: where a line ends between
    /// two that are glued together the guard sees one, and refuses.
    #[test]
    fn any_answer(
        asked in "([>\n <@&;]|b-real-9c1@home\\.example[ \n]|x@y\\.test[ \n]|<p>|<a href=mailto:b-real-9c1@home\\.example>|To: ){0,20}",
        answer in "([>\n <@&;\\[\\]]|b-real-9c1@home\\.example[ \n]|buyer-alias@m\\.test[ \n]|x@y\\.test[ \n]|<p>|<blockquote>|From: |\nSent: ){0,30}",
        html: bool,
    ) {
        let kind = if html { "Content-Type: text/html\n" } else { "" };
        let asked = format!("From: {SELLER}\n{kind}\n{asked}").replace('\n', "\r\n");
        let (asks, answers) = (Way::new(true), Way::new(false));
        let (replacements, limits, metadata) = (asks.replacements(), Limits::default(), Metadata::default());
        let order = asks.order(&replacements, &limits, &metadata);
        let originals: Vec<Original> = Original::read(asked.as_bytes(), &order, asks.replacements()).into_iter().collect();
        let answer = plain(kind, &answer);
        let written = |shown| answers.written(&answer, Quoting::Restored { originals: &originals, shown });
        let masked = written(false);
        proptest::prop_assert_eq!(guard::check(masked.as_bytes(), Secrets::of_author(&answers.author)), Ok(()), "{}", masked);
        let shown = written(true);
        if !asked.contains(BUYER) {
            proptest::prop_assert_eq!(guard::check(shown.as_bytes(), Secrets::of_author(&answers.author)), Ok(()), "{}", shown);
        }
    }
}
