//! Thread marks: an answer whose mail program lost the thread is known by what it quotes, and the footer that it quotes goes no further.

use super::*;
use crate::message::transfer::{encode_base64, encode_qp};
use crate::store::Switch;
use crate::types::PartyId;
use crate::types::token::{MARK, Purpose};

const ASK: &str = "From: b-real-9c1@home.example\nSubject: Question\nMessage-ID: <ask@home.example>\nContent-Type: multipart/alternative; boundary=b\n\n\
                   --b\n\nIs it blue?\n--b\nContent-Type: text/html\n\n<html><body><p>Is it blue?</p></body></html>\n--b--\n";

/// What a reader sees of a message: every header, and its texts decoded.
fn seen(message: &str) -> String {
    let parsed = mail_parser::MessageParser::new().parse(message.as_bytes()).unwrap();
    let texts = parsed.parts.iter().filter_map(|part| part.text_contents().map(str::to_owned));
    let head = message.split("\n\n").next().unwrap().to_owned();
    std::iter::once(head).chain(texts).collect::<Vec<_>>().join("\n")
}

/// The footer of a message: its plain lines, and as HTML.
fn footer_of(message: &str) -> (Vec<String>, String) {
    let parsed = mail_parser::MessageParser::new().parse(message.as_bytes()).unwrap();
    let plain = parsed.body_text(0).unwrap().replace('\r', "");
    let plain = plain[plain.rfind("-- \n").unwrap()..].trim_end().lines().map(str::to_owned).collect();
    let html = parsed.html_bodies().next().unwrap().text_contents().unwrap();
    let html = html[html.find("<div class=\"rly-f\"").unwrap()..].trim_end().trim_end_matches("</body></html>");
    (plain, html.to_owned())
}

/// The reference at the end of a footer, and the mark in it.
fn reference(mark: &str) -> String {
    let groups: Vec<&str> = (0..4).map(|n| &mark[n * 6..n * 6 + 6]).collect();
    format!("Ref: {}", groups.join("-"))
}

/// The same footer as it was once written.
fn old_footer((plain, _): &(Vec<String>, String), mark: &str) -> (Vec<String>, String) {
    let [first, last] = [format!("[ref:{mark}] Please keep this line."), "[/ref]".to_owned()];
    let acts: Vec<_> =
        plain.iter().filter_map(|line| line.split_once(": ")).filter(|(_, to)| to.contains('+')).collect();
    let link = |(label, to): &(&str, &str)| format!("<a href=\"mailto:{to}?subject=x\">{label}</a><br>\r\n");
    let html = format!("{first}<br>\r\n{}{last}</div>", acts.iter().map(link).collect::<String>());
    let line = |(label, to): &(&str, &str)| format!("{label}: {to}");
    (std::iter::once(first).chain(acts.iter().map(line)).chain([last]).collect(), html)
}

/// HTML as Outlook's Word writes it again: paragraphs, links and line breaks.
fn as_word(html: &str) -> String {
    let mut out = String::new();
    for piece in html.split_inclusive('>') {
        let (text, tag) = piece.split_once('<').unwrap_or((piece, ""));
        out.push_str(text);
        let name = tag.trim_end_matches('>').split(' ').next().unwrap();
        match name {
            "a" | "/a" | "br" => out.push_str(&format!("<{tag}")),
            "div" | "td" => out.push_str("<o:p></o:p></span></p>\r\n<p class=MsoNormal><span>"),
            _ => {}
        }
    }
    out
}

/// Lines of at most `columns` characters, broken between words, as a mail program does; a longer word is cut.
fn wrapped(lines: &[String], columns: usize, end: &str) -> Vec<String> {
    let mut out = Vec::new();
    for line in lines {
        let chars: Vec<char> = line.chars().collect();
        let pieces: Vec<String> = chars.chunks(columns).map(|chunk| chunk.iter().collect()).collect();
        let last = pieces.len() - 1;
        out.extend(pieces.into_iter().enumerate().map(|(n, piece)| if n < last { piece + end } else { piece }));
    }
    out
}

/// A fixture with the footer in it, in its charset and encoding.
fn reply(fixture: &str, alias: &str, (plain, html): &(Vec<String>, String)) -> String {
    if fixture.starts_with("Content-Type: multipart/") {
        let parts = fixture.split("--b\n").map(|part| {
            match part.contains("\n\n") && !part.starts_with("Content-Type: multipart/") {
                true => reply(part, alias, &(plain.clone(), html.clone())),
                false => part.to_owned(),
            }
        });
        return parts.collect::<Vec<_>>().join("--b\n");
    }
    let (head, body) = fixture.split_once("\n\n").unwrap();
    let link = |line: &String, to: &str| {
        let acts = line.split_once(": ").filter(|(_, address)| address.contains('+'));
        acts.map_or(line.clone(), |(label, address)| to.replace("{l}", label).replace("{a}", address))
    };
    let targets = plain.iter().filter(|line| line.contains('+')).map(|line| link(line, "  1. mailto:{a}"));
    let is_reference = |line: &&String| line.starts_with("Ref: ") || line.starts_with("[ref:");
    let anchors = html.split("</a>").filter_map(|piece| Some(piece[piece.find("<a ")?..].to_owned() + "</a>"));
    let forms: [(&str, Vec<String>); 13] = [
        ("{footer}", plain.clone()),
        ("{mark}", plain.iter().filter(is_reference).cloned().collect()),
        ("{first}", plain.iter().take(2).cloned().collect()),
        ("{anchors}", anchors.collect()),
        ("{rendered}", mail_parser::decoders::html::html_to_text(html).lines().map(str::to_owned).collect()),
        ("{flowed}", wrapped(plain, 30, " ")),
        ("{narrow}", wrapped(plain, 20, "")),
        ("{squeezed}", vec![plain.join(" ")]),
        ("{targets}", plain.iter().map(|line| link(line, "{l}<mailto:{a}?subject=x>")).collect()),
        ("{footnotes}", plain.iter().map(|line| link(line, "[1]{l}")).chain(targets).collect()),
        ("{bare}", plain.iter().map(|line| link(line, "{l}")).collect()),
        ("{html}", vec![html.clone()]),
        ("{word}", vec![as_word(html)]),
    ];
    let mut out = String::new();
    for line in body.replace("{alias}", alias).split_inclusive('\n') {
        let form = forms.iter().find_map(|(word, lines)| Some((line.find(word)?, *word, lines)));
        match form {
            Some((at, _, lines)) if at < 12 => {
                lines.iter().for_each(|l| out.push_str(&format!("{}{l}\n", &line[..at])))
            }
            Some((_, word, lines)) => out.push_str(&line.replace(word, &lines.join("\n"))),
            None => out.push_str(line),
        }
    }
    let body = match head.contains("iso-2022-jp") {
        true => encoding_rs::ISO_2022_JP.encode(&out).0.into_owned(),
        false => out.into_bytes(),
    };
    let mut encoded = Vec::new();
    match head {
        head if head.contains("base64") => encode_base64(&body, &mut encoded),
        head if head.contains("quoted-printable") => encode_qp(&body, &mut encoded),
        _ => encoded = body,
    }
    format!("{head}\n\n{}", String::from_utf8(encoded).unwrap().replace("\r\n", "\n"))
}

fn fixtures() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/replies");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = files.filter(|path| path.extension().is_some_and(|e| e == "eml")).collect();
    files.sort();
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    files.iter().map(|path| (name(path), std::fs::read_to_string(path).unwrap())).collect()
}

impl World {
    /// One more pair, with `seller` or `buyer` of another name.
    async fn pair_with(&self, role: Role, id: &'static str, email: &'static str) -> Pair {
        let (buyer, seller) = (self.pair.buyer.id, self.pair.seller.id);
        let made = self.store.write(move |change| {
            let (new, _) = change.set_party(&party(role, id, "Other", email), &[], Time::now())?;
            let (buyer, seller): (PartyId, PartyId) = if role == Role::Buyer { (new, seller) } else { (buyer, new) };
            change.set_switch(buyer, Switch::OptedOut, true)?;
            let pair = change.pair_or_new(buyer, seller, ("m.test", 35), Time::now(), &mut SystemRandom)?;
            change.pair(pair)
        });
        made.await.unwrap()
    }

    pub(super) async fn opt_out(&self) {
        let buyer = self.pair.buyer.id;
        self.store.write(move |c| c.set_switch(buyer, Switch::OptedOut, true)).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_is_known_by_the_mark_that_it_quotes() {
    let world = world().await;
    let (buyer_alias, seller_alias) = world.aliases();
    world.opt_out().await;
    assert_eq!(world.send(BUYER, &[seller_alias], ASK).await.code(), 250);
    let asked = world.newest();
    let at_seller = world.arrived(SELLER).await.remove(0);
    let footer = footer_of(&at_seller);
    let secret = world.store.secret();
    let mark = secret.mark(world.pair.id, Role::Seller, MessageId(asked.number));
    assert_eq!(footer.0.last(), Some(&reference(&mark)), "{footer:?}");
    assert!(
        footer.0[1].starts_with("No response needed: done+") && footer.0[2].starts_with("Report this message: report+"),
        "{footer:?}"
    );
    assert!(header(&at_seller, "List-Unsubscribe").is_none());
    let fixtures = fixtures();
    assert!(fixtures.len() > 18, "{}", fixtures.len());
    let footers = [old_footer(&footer, &mark), footer];
    for ((name, fixture), footer) in fixtures.iter().flat_map(|one| footers.iter().map(move |footer| (one, footer))) {
        let message = format!("From: {SELLER}\nSubject: Re: Question\n{}", reply(fixture, buyer_alias, footer));
        let answer = world.send(SELLER, &[buyer_alias], &message).await.wire();
        let newest = world.newest();
        assert_eq!(
            (newest.reason.as_str(), &newest.thread),
            ("relayed-mark", &asked.id),
            "{name}: {answer}\n{message}"
        );
        let at_buyer = world.arrived(BUYER).await.remove(0);
        let text = seen(&at_buyer);
        assert!(text.contains("Yes, it is blue.") && text.contains("Is it blue?"), "{name}: {text}");
        // A label without its link, where the rest of the footer is lost, says nothing.
        let label = if name == "links-alone.eml" { "done+" } else { "No response needed" };
        for word in [&mark, &reference(&mark), "done+", label] {
            assert!(!text.contains(word), "{name}: {word} in\n{text}");
        }
        // The buyer's own footer, once in each text.
        let own = reference(&secret.mark(world.pair.id, Role::Buyer, MessageId(asked.number)));
        let texts = if name == "both-parts.eml" { 2 } else { 1 };
        for (word, times) in [
            (own.as_str(), texts),
            ("Ref: ", texts),
            ("Report this message", texts),
            ("Seller: Sato Shop", texts),
            ("No more messages from sellers", texts),
            ("stop+", texts + 1),
        ] {
            assert_eq!(text.matches(word).count(), times, "{name}: {word} in\n{text}");
        }
        assert_eq!(header(&at_buyer, "References"), Some("<ask@home.example>"), "the buyer's program knows the thread");
        let stop = header(&at_buyer, "List-Unsubscribe").unwrap();
        assert!(stop.starts_with("<mailto:stop+") && stop.ends_with("@m.test?subject=stop>"), "{stop}");
    }
}

/// Replies that other people collected, in many languages, with the footer at the end of what they quote. Not in a clone of the repository alone.
fn collected() -> Vec<(String, String)> {
    let places = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let Some(folder) =
        places.map(|place| place.join("shared/corpus/crisp-reply-MIT/test/fixtures")).find(|place| place.is_dir())
    else {
        return Vec::new();
    };
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files.map(|file| (file.display().to_string(), std::fs::read_to_string(&file).unwrap())).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn collected_replies_quote_the_mark_and_lose_nothing_else() {
    let world = world().await;
    let (buyer_alias, seller_alias) = world.aliases();
    world.opt_out().await;
    assert_eq!(world.send(BUYER, &[seller_alias], ASK).await.code(), 250);
    let asked = world.newest();
    let (footer, _) = footer_of(&world.arrived(SELLER).await.remove(0));
    for (name, text) in collected() {
        let mut lines: Vec<String> = text.replace('\r', "").lines().map(str::to_owned).collect();
        let last = lines.iter().rposition(|line| line.starts_with('>'));
        let quote =
            last.map_or("", |at| &lines[at][..lines[at].len() - lines[at].trim_start_matches(['>', ' ']).len()]);
        let (at, footer) = (last.map_or(lines.len(), |at| at + 1), footer.iter().map(|line| format!("{quote}{line}")));
        let quoted: Vec<String> = footer.collect();
        lines.splice(at..at, quoted);
        let head = format!("From: {SELLER}\nSubject: Re: Question\nContent-Type: text/plain; charset=utf-8");
        let reply = format!("{head}\nContent-Transfer-Encoding: 8bit\n\n{}\n", lines.join("\n"));
        assert_eq!(world.send(SELLER, &[buyer_alias], &reply).await.code(), 250, "{name}");
        let newest = world.newest();
        assert_eq!((newest.reason.as_str(), &newest.thread), ("relayed-mark", &asked.id), "{name}");
        let arrived = seen(&world.arrived(BUYER).await.remove(0));
        assert!(
            !arrived.contains("done+") && arrived.matches("Ref: ").count() == 1 + text.matches("Ref: ").count(),
            "{name}: {arrived}"
        );
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            assert!(arrived.contains(line), "{name}: {line:?} is lost\n{arrived}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mark_is_worth_nothing_elsewhere() {
    let world = world().await;
    let (buyer_alias, seller_alias) = world.aliases();
    world.opt_out().await;
    let other_buyer = world.pair_with(Role::Buyer, "b2", "b2@home.example").await;
    let other_seller = world.pair_with(Role::Seller, "s2", "s2@elsewhere.example").await;
    assert_eq!(world.send(BUYER, &[seller_alias], ASK).await.code(), 250);
    let first = MessageId(world.newest().number);
    let good = world.store.secret().mark(world.pair.id, Role::Seller, first);
    let marks = |role| world.store.secret().mark(world.pair.id, role, first);
    let forged = format!("{}{}", &good[..MARK - 1], if good.ends_with('a') { 'b' } else { 'a' });
    let unknown = world.store.secret().mark(world.pair.id, Role::Seller, MessageId(first.0 + 1));
    let token = |message| world.store.secret().token(Purpose::Report, message);
    let report = token(first);
    let many: String =
        (0..40).map(|n| format!("[ref:{}{}] ", &forged[..MARK - 2], ["aa", "bb", "cc", "dd"][n % 4])).collect();
    // who writes, to whom, the text, whether it arrives
    let cases = [
        (SELLER, buyer_alias, format!("[ref:{good}]"), true),
        (SELLER, buyer_alias, format!("{many} [ref:{}]", good.to_uppercase()), true),
        (SELLER, other_buyer.buyer_alias.as_str(), format!("[ref:{good}]"), false),
        ("s2@elsewhere.example", other_seller.buyer_alias.as_str(), format!("[ref:{good}]"), false),
        (SELLER, buyer_alias, format!("[ref:{}]", marks(Role::Buyer)), false),
        (SELLER, buyer_alias, format!("[ref:{forged}]"), false),
        (SELLER, buyer_alias, format!("[ref:{}]", &good[..MARK - 1]), false),
        (SELLER, buyer_alias, good.clone(), false),
        (SELLER, buyer_alias, format!("[ref:{unknown}]"), false),
        (SELLER, buyer_alias, reference(&good), true),
        (SELLER, buyer_alias, reference(&forged), false),
        (SELLER, other_buyer.buyer_alias.as_str(), reference(&good), false),
        // The token of an acting address, which the seller was sent.
        (SELLER, buyer_alias, format!("report+{report}@m.test"), true),
        (SELLER, buyer_alias, format!("DONE+{report}@m.test"), false),
        (SELLER, buyer_alias, format!("bounce+{report}@m.test"), false),
        (SELLER, other_buyer.buyer_alias.as_str(), format!("report+{report}@m.test"), false),
        ("s2@elsewhere.example", other_seller.buyer_alias.as_str(), format!("report+{report}@m.test"), false),
        (SELLER, buyer_alias, format!("report+{}@m.test", token(MessageId(first.0 + 1))), false),
    ];
    for (from, to, text, passes) in cases {
        let mail = format!("From: {from}\nSubject: Offer\n\n{text}\n");
        assert_eq!(world.send(from, &[to], &mail).await.code(), 250, "{text}");
        let reason = world.newest().reason;
        assert_eq!(reason, if passes { "relayed-mark" } else { "opted-out" }, "{from} {to} {text}");
    }
    // A thread that the seller began, and one that is too old, exempt nothing; the ids in the header come first.
    let offer = format!("From: {SELLER}\nSubject: [Important] x\nMessage-ID: <offer@sellerco.example>\n\nx\n");
    assert_eq!(world.send(SELLER, &[buyer_alias], &offer).await.code(), 250);
    let begun = MessageId(world.newest().number);
    let own = world.store.secret().mark(world.pair.id, Role::Seller, begun);
    for mail in [
        format!("From: {SELLER}\nSubject: Offer\n\n[ref:{own}]\n"),
        format!("From: {SELLER}\nSubject: Offer\nIn-Reply-To: <offer@sellerco.example>\n\n[ref:{good}]\n"),
    ] {
        assert_eq!(world.send(SELLER, &[buyer_alias], &mail).await.code(), 250);
        assert_eq!((world.newest().reason.as_str(), world.newest().thread), ("opted-out", begun.to_string()), "{mail}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn footers_are_the_same_after_a_restart_and_can_be_turned_off() {
    let world = world().await;
    let (buyer_alias, seller_alias) = world.aliases();
    assert_eq!(world.send(BUYER, &[seller_alias], ASK).await.code(), 250);
    let mark = footer_of(&world.arrived(SELLER).await.remove(0)).0.pop().unwrap();
    let reply = format!("From: {SELLER}\nSubject: Re: Question\n\nYes.\n> {mark}\n");
    assert_eq!(world.send(SELLER, &[buyer_alias], &reply).await.code(), 250);
    let arrived = world.arrived(BUYER).await.remove(0);
    let item = world.newest_item();
    let Loaded::Bytes(again) = world.relay.rebuilt(&item).unwrap() else { panic!("it is stopped") };
    let again = String::from_utf8(again.to_vec()).unwrap().replace("\r\n", "\n");
    assert!(again.contains("Ref: ") && arrived.ends_with(&again), "{again}\n{arrived}");

    let world = world_with(|config| config.policy.footers = false).await;
    let (buyer_alias, seller_alias) = world.aliases();
    assert_eq!(world.send(BUYER, &[seller_alias], ASK).await.code(), 250);
    let hello = format!("From: {SELLER}\nSubject: x\n\nHello\n> {mark}\n");
    assert_eq!(world.send(SELLER, &[buyer_alias], &hello).await.code(), 250);
    for copy in [world.arrived(SELLER).await.remove(0), world.arrived(BUYER).await.remove(0)] {
        assert!(
            !copy.contains("Ref: ") && !copy.contains("m.test?") && header(&copy, "List-Unsubscribe").is_none(),
            "{copy}"
        );
    }
}

/// Under the first plain text and the first HTML, and under nothing else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_footers_stand() {
    let world = world().await;
    let (_, seller_alias) = world.aliases();
    let part = |kind: &str, more: &str, text: &str| format!("--b\nContent-Type: {kind}\n{more}\n{text}\n");
    let file = "Content-Disposition: attachment; filename=a.txt\n";
    // parts, what each of them is followed by; all shapes: `message/rewrite/shapes.txt`
    let cases = [
        (vec![part("text/plain", "", "one"), part("text/plain", "", "two")], vec![false, true]),
        (vec![part("text/plain", file, "one"), part("text/plain", "", "two")], vec![false, true]),
        (vec![part("text/html", "", "one"), part("text/html", "", "two")], vec![false, true]),
        (vec![part("text/plain", "", "one"), part("text/html", "", "two")], vec![false, true]),
        (vec![part("message/rfc822", "", "Subject: in\n\none"), part("text/plain", "", "two")], vec![false, true]),
        (vec![part("text/plain; name=b.txt", "", "one"), part("text/csv", "", "two")], vec![true, false]),
    ];
    for (parts, want) in cases {
        let mail = format!(
            "From: {BUYER}\nSubject: x\nContent-Type: multipart/mixed; boundary=b\n\n{}--b--\n",
            parts.concat()
        );
        assert_eq!(world.send(BUYER, &[seller_alias], &mail).await.code(), 250);
        let copy = world.arrived(SELLER).await.remove(0);
        let two = copy.find("two").unwrap();
        let has: Vec<bool> = [&copy[..two], &copy[two..]].iter().map(|half| half.contains("Ref: ")).collect();
        assert_eq!(has, want, "{copy}");
        // Styles of a page reach nothing of another.
        assert_eq!(copy.matches("<article").count(), copy.matches("Content-Type: text/html").count(), "{copy}");
    }
}
