//! Guesses at who is behind an alias: the right one and a wrong one get the same reply for the same
//! work, whatever is proved of them and wherever they are sent. What is counted: DNS questions,
//! steps of SQLite's machine, commits, octets of the reply, and whether the session ends.

use super::*;
use crate::authentication::Verifier;
use crate::authentication::tests::{Asked, counting};
use crate::types::token::Purpose;
use std::sync::atomic::AtomicU64;

/// In the domain of the hidden party, and of the same length.
pub(super) const WRONG: [&str; 2] = ["b-real-9c2@home.example", "s-real-7f4@sellerco.example"];

/// Another address of the buyer, in a domain that has nothing to check by.
const UNSIGNED: &str = "b@none.example";

/// What a message costs, and what it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cost {
    pub(super) reply: String,
    closes: bool,
    questions: usize,
    pub(super) steps: u64,
    pub(super) commits: u64,
    rows: usize,
    events: usize,
    queued: u64,
}

impl Cost {
    /// Whether the one in the middle differs in nothing. Some rows are gone through for each
    /// automatic message, so that the next costs a little more.
    fn are_equal(three: [Self; 3]) -> bool {
        let steps = three.each_ref().map(|cost| cost.steps);
        let [first, second, third] = three.map(|cost| Self { steps: 0, ..cost });
        steps[0] + steps[2] == 2 * steps[1] && first == second && second == third
    }
}

pub(super) struct Guessed {
    pub(super) world: World,
    questions: Asked,
    steps: Arc<AtomicU64>,
    /// A message of each side, that the other has received.
    messages: [MessageId; 2],
}

pub(super) async fn guessed(change: impl FnOnce(&mut Config)) -> Guessed {
    let world = world_with(|config| {
        config.authentication.mode = AuthenticationMode::Verify;
        config.authentication.authserv_id = Some("mx.front.test".to_owned());
        change(config);
    });
    let world = world.await;
    let spf = |domain: &str, text: &str| (domain.to_owned(), vec![text.to_owned()]);
    let zone = [
        spf("home.example", "v=spf1 ip4:192.0.2.1 -all"),
        spf("sellerco.example", "v=spf1 ip4:192.0.2.1 -all"),
        spf("_dmarc.home.example", "v=DMARC1; p=reject"),
        // The server fails.
        spf("trouble.example", "!"),
        spf("_dmarc.trouble.example", "!"),
    ];
    let (resolver, questions) = counting(zone.into()).await;
    world.relay.verify_with(Verifier::new(resolver, "mx.m.test"));
    let (buyer_alias, seller_alias) = world.aliases();
    let mut messages = [MessageId(0); 2];
    for (at, (from, to)) in [(BUYER, seller_alias), (SELLER, buyer_alias)].into_iter().enumerate() {
        let mail = format!("From: {from}\nSubject: x\n\nx\n");
        if world.relay.config.authentication.mode == AuthenticationMode::Verify {
            assert_eq!(world.send(from, &[to], &mail).await.code(), 250);
            messages[at] = MessageId(world.newest().number);
        }
    }
    let further = Some(vec![Address::parse(UNSIGNED).unwrap()]);
    let new = NewParty { further, ..party(Role::Buyer, "b1", "Bea", BUYER) };
    world.store.write(move |c| c.set_party(&new, &[], Time::now())).await.unwrap();
    for party in [BUYER, SELLER] {
        world.arrived(party).await;
    }
    let steps = world.store.count_steps();
    Guessed { world, questions, steps, messages }
}

impl Guessed {
    /// A guess from a client that SPF does not know, or with what `extra` says; SPF passes from
    /// 192.0.2.1.
    pub(super) async fn guess(&self, client: [u8; 4], sender: &str, to: &str, mail: &str, trusted: bool) -> Cost {
        let w = &self.world;
        let recipients = vec![Address::parse(to).unwrap()];
        let client = Client { ip: client.into(), helo: "x".into(), tls: false, trusted, login: None };
        let sender = (!sender.is_empty()).then(|| Address::parse(sender).unwrap());
        let envelope = Envelope { sender, recipients, eight_bit: false, utf8: false };
        let raw = Bytes::from(mail.replace('\n', "\r\n"));
        let counted = || {
            let metrics = w.relay.metrics.text();
            let commits = metrics.lines().find_map(|line| line.strip_prefix("marketrelay_commit_jobs_count "));
            let newest = w.store.read(|v| v.last_message()).unwrap();
            let events = self.messages.map(|message| w.store.read(|v| v.events(message)).unwrap().len());
            let queued = w.store.read(|v| v.queue_length()).unwrap();
            let commits: u64 = commits.unwrap().parse().unwrap();
            (commits, newest, events[0] + events[1], u64::try_from(queued).unwrap())
        };
        let before = counted();
        self.questions.lock().unwrap().clear();
        self.steps.store(0, Ordering::SeqCst);
        let reply = Arc::clone(&w.relay).message(client, envelope, raw).await;
        let (steps, questions) = (self.steps.load(Ordering::SeqCst), self.questions.lock().unwrap().len());
        let after = counted();
        Cost {
            closes: reply.closes(),
            reply: reply.wire(),
            questions,
            steps,
            commits: after.0 - before.0,
            rows: usize::from(after.1 > before.1),
            events: after.2 - before.2,
            queued: after.3.saturating_sub(before.3),
        }
    }

    /// Where each side can write, with who is hidden there and a wrong guess.
    fn targets(&self) -> Vec<(String, &'static str, &'static str)> {
        let token = |purpose: Purpose, message| {
            format!("{}+{}@m.test", purpose.word(), self.world.store.secret().token(purpose, message))
        };
        let (buyer_alias, seller_alias) = self.world.aliases();
        // The buyer has written the first, and has received the second.
        let [asked, offered] = self.messages;
        vec![
            (seller_alias.to_owned(), BUYER, WRONG[0]),
            (seller_alias.to_owned(), UNSIGNED, "c@none.example"),
            (buyer_alias.to_owned(), SELLER, WRONG[1]),
            (token(Purpose::Report, offered), BUYER, WRONG[0]),
            (token(Purpose::Stop, offered), BUYER, WRONG[0]),
            (token(Purpose::Bounce, offered), BUYER, WRONG[0]),
            (token(Purpose::Report, asked), SELLER, WRONG[1]),
            (token(Purpose::NoResponse, asked), SELLER, WRONG[1]),
            (token(Purpose::Bounce, asked), SELLER, WRONG[1]),
        ]
    }
}

/// Each shape of a message that proves nothing, of the author in `{}`: name, client, envelope
/// sender, fields.
fn shapes() -> Vec<(&'static str, [u8; 4], &'static str, &'static str)> {
    let elsewhere = [198, 51, 100, 7];
    vec![
        ("a stranger's envelope", elsewhere, "x@attack.example", ""),
        ("SPF fails", elsewhere, "{}", ""),
        ("another mailbox", [192, 0, 2, 1], "mallory@{domain}", ""),
        ("null sender", elsewhere, "", ""),
        ("null sender, automatic", elsewhere, "", "Auto-Submitted: auto-replied\n"),
        ("automatic", elsewhere, "x@attack.example", "Auto-Submitted: auto-replied\n"),
        ("a delivery report", elsewhere, "", "Content-Type: multipart/report; boundary=b\n"),
        ("a report of a person", elsewhere, "x@attack.example", "Content-Type: multipart/report; boundary=b\n"),
        ("a loop", elsewhere, "x@attack.example", "X-Marketrelay-Loop: m.test\n"),
        ("two authors", elsewhere, "x@attack.example", "From: x@attack.example\n"),
        ("incomplete", elsewhere, "x@attack.example", "Content-Type: message/partial; id=a\n"),
        ("a wrong signature", elsewhere, "x@attack.example", SIGNED),
        ("an answer", elsewhere, "x@attack.example", "In-Reply-To: <x@home.example>\nReferences: <y@home.example>\n"),
    ]
}

const SIGNED: &str = "DKIM-Signature: v=1; a=rsa-sha256; d={domain}; s=s; h=from; b=AAAA; \
                      bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n";

fn filled(text: &str, author: &str) -> String {
    text.replace("{}", author).replace("{domain}", author.split_once('@').unwrap().1)
}

impl Guessed {
    /// Sends each shape to each target, in both orders, as the right guess and as the wrong one.
    async fn compare(&self, trusted: bool, field: &str) -> usize {
        // Nothing else reads the store meanwhile.
        self.world.outbound.drain(crate::outbound::DRAIN).await;
        let mut compared = 0;
        for (to, right, wrong) in self.targets() {
            for (shape, client, sender, fields) in shapes() {
                let cost = async |author: &str| {
                    let mail = format!("{}From: {author}\n{fields}Subject: x\n\nx\n", filled(field, author));
                    let mail = filled(&mail, author);
                    self.guess(client, &filled(sender, author), &to, &mail, trusted).await
                };
                // The first of all fills caches: of DNS, and of statements.
                cost(wrong).await;
                cost(right).await;
                let mut tries = Vec::new();
                // Now and then the store's own checkpoint falls into one of them.
                let equal = loop {
                    let three = [cost(wrong).await, cost(right).await, cost(wrong).await];
                    tries.push(three.clone());
                    if Cost::are_equal(three) || tries.len() > 4 {
                        break Cost::are_equal(tries.last().unwrap().clone());
                    }
                };
                assert!(equal, "{shape} to {to}: {tries:#?}");
                compared += 1;
            }
        }
        compared
    }
}

#[tokio::test]
async fn the_right_guess_and_a_wrong_one_cost_the_same() {
    let guessed = guessed(|_| ()).await;
    assert_eq!(guessed.compare(false, "").await, 9 * 13);
    // The difference stands in the history.
    let rows = guessed.world.store.read(|v| v.messages(&Filter { limit: 10_000, ..Filter::default() })).unwrap();
    for reason in ["stranger", "unauthenticated", "spf-failed", "other-mailbox", "authentication-failed"] {
        assert!(rows.iter().any(|row| row.reason == reason), "{reason}");
    }
    assert!(guessed.world.arrived(BUYER).await.is_empty() && guessed.world.arrived(SELLER).await.is_empty());
}

/// The name server fails for the hidden party's domain: everybody who says that he is there is
/// deferred, by whatever address.
#[tokio::test]
async fn dns_trouble_defers_all_alike() {
    let guessed = guessed(|_| ()).await;
    let w = &guessed.world;
    let further = Some(vec![Address::parse("s@trouble.example").unwrap()]);
    let new = NewParty { further, ..party(Role::Seller, "s1", "Sato Shop", SELLER) };
    w.store.write(move |c| c.set_party(&new, &[], Time::now())).await.unwrap();
    w.outbound.drain(crate::outbound::DRAIN).await;
    for (to, _, _) in guessed.targets() {
        for (sender, field) in [
            ("x@attack.example", ""),
            ("", ""),
            ("", "Auto-Submitted: auto-replied\n"),
            ("mallory@trouble.example", ""),
        ] {
            let cost = async |author: &str| {
                let mail = format!("From: {author}\n{field}Subject: x\n\nx\n");
                guessed.guess([198, 51, 100, 7], sender, &to, &mail, false).await
            };
            let (right, wrong) = ("s@trouble.example", "t@trouble.example");
            assert!(cost(right).await.reply.starts_with("451 4.7.24 "), "{to}");
            let mut tries = 0;
            while !Cost::are_equal([cost(wrong).await, cost(right).await, cost(wrong).await]) {
                tries += 1;
                assert!(tries < 5, "{to} {sender} {field}");
            }
        }
    }
    // With the operator among the recipients the whole message waits: nothing of it is lost without
    // a word.
    let mail = "From: s@trouble.example\nSubject: x\n\nx\n";
    let reply = w.send_unasked("s@trouble.example", &[w.aliases().0, "postmaster@m.test"], mail).await;
    assert_eq!((reply.code(), w.store.read(|v| v.queue_length()).unwrap()), (451, 0));
}

/// Behind a front DNS is not ours to ask.
#[tokio::test]
async fn a_fronts_word_makes_no_difference() {
    let guessed = guessed(|_| ()).await;
    let front = Relay::new(
        Arc::new(Config {
            authentication: crate::config::Authentication {
                mode: AuthenticationMode::Front,
                authserv_id: Some("mx.front.test".to_owned()),
                ..crate::config::Authentication::default()
            },
            ..(*guessed.world.relay.config).clone()
        }),
        guessed.world.store.clone(),
        Texts::built_in(),
        Metrics::default(),
    );
    let world = World { relay: front.unwrap(), ..guessed.world };
    let guessed = Guessed { world, ..guessed };
    for result in ["dmarc=fail", "dmarc=temperror"] {
        let field = format!("Authentication-Results: mx.front.test; {result} header.from={{domain}}\n");
        guessed.compare(true, &field).await;
    }
    assert!(guessed.questions.lock().unwrap().is_empty());
}

/// Who answers to all writes to his own alias, too: that is no guess, however often he does it, nor
/// what he wants of an address that acts.
#[tokio::test]
async fn a_proved_author_is_not_held_up_by_copies_to_himself() {
    let guessed = guessed(|config| {
        (config.limits.refusals_per_client, config.limits.refusals_per_alias) = (2, 2);
        config.limits.refusal_rows = 2;
    });
    let guessed = guessed.await;
    let (w, (buyer_alias, seller_alias)) = (&guessed.world, guessed.world.aliases());
    let mail = format!("From: {SELLER}\nSubject: x\n\nx\n");
    for _ in 0..6 {
        let reply = w.send_unasked(SELLER, &[seller_alias, buyer_alias], &mail).await;
        assert!(reply.code() == 250 && !reply.closes());
    }
    let rows = w.store.read(|v| v.messages(&Filter { limit: 100, ..Filter::default() })).unwrap();
    assert_eq!(rows.iter().filter(|row| row.reason == "stranger").count(), 2, "the rest is summed");
    assert_eq!(w.arrived(BUYER).await.len(), 6);
}

/// What is deferred because DNS does not answer comes from anybody: it is not kept.
#[tokio::test]
async fn mail_that_waits_for_dns_is_not_kept() {
    let guessed = guessed(|_| ()).await;
    let w = &guessed.world;
    let mail = "From: s@trouble.example\nSubject: x\n\nx\n";
    let cost = guessed.guess([198, 51, 100, 7], "s@trouble.example", w.aliases().0, mail, false).await;
    assert!(cost.reply.starts_with("451 4.7.24") && w.newest().reason == "dns-trouble", "{cost:?}");
    assert!(w.store.read(|v| v.raw(MessageId(w.newest().number))).unwrap().is_none());
}

/// Nothing is told to an author that nothing proves, and nothing of him is queued, whoever else
/// takes the message.
#[tokio::test]
async fn beside_a_recipient_that_takes_it() {
    let guessed = guessed(|_| ()).await;
    let (w, [_, offered]) = (&guessed.world, guessed.messages);
    let (buyer_alias, seller_alias) = w.aliases();
    let bounce = format!("bounce+{}@m.test", w.store.secret().token(Purpose::Bounce, offered));
    let report = "Content-Type: multipart/report; boundary=b\n";
    for (to, field) in [([buyer_alias, "postmaster@m.test"], ""), ([seller_alias, &bounce], report)] {
        for author in [SELLER, BUYER, WRONG[0], WRONG[1]] {
            let mail = format!("From: {author}\n{field}Subject: x\n\nx\n");
            assert_eq!(w.send_unasked("x@attack.example", &to, &mail).await.code(), 250);
            assert!(w.arrived(BUYER).await.is_empty() && w.arrived(SELLER).await.is_empty(), "{author} {to:?}");
        }
    }
}

#[tokio::test]
async fn a_guess_too_many_ends_the_session_and_leaves_a_sum() {
    let guessed = guessed(|config| {
        (config.limits.refusals_per_client, config.limits.refusals_per_alias) = (20, 30);
        config.limits.refusal_rows = 4;
    });
    let guessed = guessed.await;
    let (w, (buyer_alias, seller_alias)) = (&guessed.world, guessed.world.aliases());
    let mut costs = Vec::new();
    for n in 0..24_u32 {
        // In turns: limits and sums count both alike.
        let author = if n % 2 == 0 { SELLER } else { WRONG[1] };
        let mail = format!("From: {author}\nSubject: x\n\nx\n");
        costs.push(guessed.guess([198, 51, 100, 7], "x@attack.example", buyer_alias, &mail, false).await);
    }
    assert!(costs.iter().all(|cost| cost.reply == costs[0].reply), "{costs:?}");
    let ends: Vec<usize> = (0..24).filter(|n| costs[*n].closes).collect();
    assert_eq!(ends, [20, 21, 22, 23]);
    let written: Vec<usize> = (0..24).filter(|n| costs[*n].commits > 0).collect();
    assert_eq!((written, costs.iter().map(|cost| cost.rows).sum::<usize>()), (vec![0, 1, 2, 3], 4));
    // The same in another network, up to the alias's limit; the proved author comes from either.
    let mail = format!("From: {SELLER}\nSubject: x\n\nx\n");
    for n in 24..33 {
        let cost = guessed.guess([203, 0, 113, 9], "x@attack.example", buyer_alias, &mail, false).await;
        assert_eq!(cost.closes, n >= 30, "{n}");
    }
    let told = guessed.guess([203, 0, 113, 9], "x@attack.example", seller_alias, &mail, false).await;
    assert!(!told.closes, "another alias");
    for _ in 0..3 {
        let cost = guessed.guess([192, 0, 2, 1], SELLER, buyer_alias, &mail, false).await;
        assert!(cost.reply.starts_with("250 2.6.0") && !cost.closes, "{cost:?}");
        w.arrived(BUYER).await;
    }
    // Mail that a party may not send, but that is his, is not counted.
    let forbidden = format!("From: {SELLER}\nContent-Type: multipart/encrypted; boundary=b\nSubject: x\n\nx\n");
    for _ in 0..40 {
        let cost = guessed.guess([192, 0, 2, 1], SELLER, buyer_alias, &forbidden, false).await;
        assert!(cost.reply.starts_with("554") && !cost.closes && cost.rows == 1, "{cost:?}");
    }
    w.relay.write_refusals().await.unwrap();
    let sums = w.store.read(|v| v.refusals(None, (None, None), 100)).unwrap();
    // 24 of the first network without 4 rows, 9 of the second without 4 (its rows are its own), 1
    // stranger at the other alias has its row or not.
    let of = |reason: &str| sums.iter().filter(|s| s.reason == reason).map(|s| s.number).sum::<i64>();
    let rows = w.store.read(|v| v.messages(&Filter { limit: 1000, ..Filter::default() })).unwrap();
    let kept =
        rows.iter().filter(|row| ["stranger", "unauthenticated", "spf-failed"].contains(&row.reason.as_str())).count();
    assert_eq!(of("stranger") + of("spf-failed") + of("unauthenticated") + kept as i64, 24 + 9 + 1, "{sums:?}");
    assert!(sums.iter().all(|sum| sum.client.is_some() && sum.seller.as_deref() == Some("s1")), "{sums:?}");
    let networks: std::collections::BTreeSet<_> = sums.iter().map(|sum| sum.client.clone()).collect();
    assert_eq!(networks.len(), 2, "{sums:?}");
    w.relay.write_refusals().await.unwrap();
    assert_eq!(w.store.read(|v| v.refusals(None, (None, None), 100)).unwrap(), sums, "written once");
}
