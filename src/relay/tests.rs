//! The relay as a whole but for the wire: messages go in through the [`Handler`], and come out in Maildirs.

mod acts;
mod critical;
mod files;
mod guesses;
mod later;
mod logins;
mod machines;
mod mailboxes;
mod marks;
mod operators;
mod owners;
mod proof;
mod repeats;
mod sealed;

use super::*;
use crate::config::{AuthenticationMode, Config};
use crate::dns::Zones;
use crate::outbound::route::Routes;
use crate::outbound::{House as _, Loaded, Start};
use crate::store::queue::{Item, ItemId, Kind, Recipient};
use crate::store::{Filter, MessageRow, NewParty, Open, Pair};
use crate::tls::ClientTls;
use crate::types::{Role, SystemRandom};
use std::path::Path;

const SELLER: &str = "s-real-7f3@sellerco.example";
const BUYER: &str = "b-real-9c1@home.example";

/// A relay with one pair, delivering to Maildirs.
struct World {
    dir: tempfile::TempDir,
    relay: Arc<Relay>,
    outbound: Outbound,
    store: Store,
    pair: Pair,
}

fn party(role: Role, id: &str, name: &str, email: &str) -> NewParty {
    NewParty {
        marketplace: "jp".into(),
        role,
        external: id.parse().unwrap(),
        name: Some(name.into()),
        main: Some(Address::parse(email).unwrap()),
        further: None,
        language: Some("en".into()),
        auto_replies: None,
        unauthenticated: None,
    }
}

async fn world() -> World {
    world_with(|_| ()).await
}

async fn world_with(change: impl FnOnce(&mut Config)) -> World {
    let dir = tempfile::tempdir().unwrap();
    let mut config: Config = toml::from_str(
        "hostname = 'mx.m.test'\noperator = 'op@ops.example'\n[[marketplace]]\nid = 'jp'\ndomain = 'm.test'\nname = 'Market'\nlanguage = 'en'",
    )
    .unwrap();
    config.authentication.mode = AuthenticationMode::None;
    config.delivery.route = format!("maildir:{}", dir.path().join("mail").display());
    // Tests look at each of many refusals from one address.
    config.limits.refusal_rows = 10_000;
    (config.limits.refusals_per_client, config.limits.refusals_per_alias) = (10_000, 10_000);
    change(&mut config);
    let config = Arc::new(config);
    let metrics = Metrics::default();
    let store = Store::open(&dir.path().join("data"), Open::Create, &mut SystemRandom, metrics.clone()).unwrap();
    let made = store.write(|change| {
        let now = Time::now();
        let (buyer, _) = change.set_party(&party(Role::Buyer, "b1", "Bea", BUYER), &[], now)?;
        let (seller, _) = change.set_party(&party(Role::Seller, "s1", "Sato Shop", SELLER), &[], now)?;
        let pair = change.pair_or_new(buyer, seller, ("m.test", 35), now, &mut SystemRandom)?;
        change.pair(pair)
    });
    let pair = made.await.unwrap();
    let relay = Relay::new(Arc::clone(&config), store.clone(), Texts::built_in(), metrics.clone()).unwrap();
    let outbound = Outbound::start(Start {
        now: crate::types::Time::now,
        store: store.clone(),
        dns: Arc::new(Zones::default()),
        routes: Routes::new(&config.delivery).unwrap(),
        tls: ClientTls::new().unwrap(),
        ports: crate::outbound::Ports::default(),
        house: Arc::clone(&relay) as _,
        metrics,
        config,
        threads: tokio::runtime::Handle::current(),
    });
    let outbound = outbound.await.unwrap();
    relay.connect(outbound.clone());
    World { dir, relay, outbound, store, pair }
}

impl Arrived {
    /// As in a second round.
    fn looking_back(self) -> Self {
        Self { looks_back: true.into(), ..self }
    }
}

impl World {
    fn judge(&self, arrived: &Arrived) -> Judged {
        self.relay.judge(arrived, &self.relay.allowance(Arc::default()))
    }

    async fn send(&self, from: &str, to: &[&str], message: &str) -> Reply {
        self.send_as(false, from, to, message).await
    }

    /// Without asking before what will become of it.
    async fn send_unasked(&self, from: &str, to: &[&str], message: &str) -> Reply {
        let (client, envelope, raw) = self.session(false, from, to, message);
        Arc::clone(&self.relay).message(client, envelope, raw).await
    }

    /// `trusted`: the connection comes from a trusted network.
    fn session(&self, trusted: bool, from: &str, to: &[&str], message: &str) -> (Client, Envelope, Bytes) {
        let recipients: Vec<Address> = to.iter().map(|t| Address::parse(t).unwrap()).collect();
        let client = Client { ip: [192, 0, 2, 1].into(), helo: "x".into(), tls: false, trusted, login: None };
        for recipient in &recipients {
            self.relay.recipient(&client, None, recipient).unwrap();
        }
        let sender = (!from.is_empty()).then(|| Address::parse(from).unwrap());
        let envelope = Envelope { sender, recipients, eight_bit: false, utf8: false };
        (client, envelope, Bytes::from(message.replace('\n', "\r\n")))
    }

    async fn send_as(&self, trusted: bool, from: &str, to: &[&str], message: &str) -> Reply {
        let (client, envelope, raw) = self.session(trusted, from, to, message);
        let foretold = self.foretold(&client, &envelope, &raw).await;
        let reply = Arc::clone(&self.relay).message(client, envelope, raw).await;
        if let Some(foretold) = foretold {
            let wire = reply.wire();
            // The id is made up, and a message to be tells none.
            let (before, after) = foretold.split_once(&MessageId(0).to_string()).unwrap_or((&foretold, ""));
            assert!(wire.starts_with(before) && wire.ends_with(after), "foretold: {foretold}came: {wire}");
        }
        reply
    }

    /// What `policy explain` says of a message to one recipient. It leaves nothing behind.
    async fn foretold(&self, client: &Client, envelope: &Envelope, raw: &Bytes) -> Option<String> {
        if envelope.recipients.len() != 1 {
            return None;
        }
        let last = || self.store.read(|view| Ok((view.last_message()?, view.queue_length()?))).unwrap().0;
        let before = last();
        let told = self.relay.explain(client.clone(), envelope.clone(), raw.clone(), Time::now()).await.unwrap();
        assert_eq!(last(), before, "nothing was written");
        let answers = told.answers.iter().find_map(|answer| answer.decision.clone());
        let refused_later = ["rule=anonymity", "rule=repeated"].iter().any(|rule| told.facts.contains(rule));
        assert!(refused_later || told.answers.is_empty() || answers == told.decision, "{told:?}");
        Some(told.reply.wire())
    }

    /// The newest message of the history.
    fn newest(&self) -> MessageRow {
        self.store.read(|v| v.messages(&Filter { limit: 1, ..Filter::default() })).unwrap().remove(0)
    }

    /// As it is delivered to the buyer.
    fn newest_item(&self) -> Item {
        Item {
            id: ItemId(MessageId(1)),
            message: MessageId(self.newest().number),
            kind: Kind::Relay,
            recipient: Recipient::Party(self.pair.buyer.id),
            domain: String::new(),
            queued: Time(0),
            due: Time(0),
            attempts: 1,
            leased: true,
            delay_told: false,
            waits_for: String::new(),
        }
    }

    /// Waits for the queue to be empty, then takes what arrived for an address.
    async fn arrived(&self, address: &str) -> Vec<String> {
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while self.store.read(|v| v.queue_length()).unwrap() > 0 {
            assert!(std::time::Instant::now() < deadline, "the queue does not empty");
            tokio::task::yield_now().await;
        }
        let folder = self.dir.path().join("mail").join(address).join("new");
        let Ok(files) = std::fs::read_dir(&folder) else { return Vec::new() };
        let mut paths: Vec<_> = files.map(|f| f.unwrap().path()).collect();
        paths.sort();
        let read = |path: &Path| {
            let text = std::fs::read_to_string(path).unwrap();
            std::fs::remove_file(path).unwrap();
            text
        };
        paths.iter().map(|p| read(p)).collect()
    }

    fn aliases(&self) -> (&str, &str) {
        (self.pair.buyer_alias.as_str(), self.pair.seller_alias.as_str())
    }
}

fn header<'a>(message: &'a str, name: &str) -> Option<&'a str> {
    let prefix = format!("{name}: ");
    message.split("\n\n").next()?.split('\n').find_map(|line| line.strip_prefix(&prefix))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conversation_with_aliases_only() {
    let world = world().await;
    let (buyer_alias, seller_alias) = world.aliases();
    let first = format!(
        "Received: from laptop.sellerco.example ([192.0.2.9])\nFrom: Sato Real <{SELLER}>\nTo: {buyer_alias}\nSubject: Your order, {SELLER}\n\
         Message-ID: <1@mail.sellerco.example>\nX-Mailer: Secret 1.0\nDate: Sat, 21 Nov 2026 09:00:00 +0900\n\nHello from {SELLER} to {BUYER}.\n"
    );
    assert_eq!(world.send(SELLER, &[buyer_alias], &first).await.code(), 250);
    let [at_buyer] = world.arrived(BUYER).await.try_into().unwrap();
    for leak in ["s-real", "b-real", "sellerco", "home.example", "Sato Real", "Secret", "192.0.2.9", "laptop", "+0900"]
    {
        assert!(!at_buyer.contains(leak), "{leak} in\n{at_buyer}");
    }
    assert!(at_buyer.contains(&format!("Hello from {seller_alias} to {buyer_alias}.")), "{at_buyer}");
    assert!(at_buyer.contains(&format!("\"Sato Shop\"\n <{seller_alias}>")), "{at_buyer}");
    assert_eq!(header(&at_buyer, "Date"), Some("Sat, 21 Nov 2026 00:00:00 +0000"));
    let id = header(&at_buyer, "Message-ID").unwrap();

    // The buyer answers; the seller's program finds its own message again.
    let answer = format!(
        "From: {BUYER}\nTo: {seller_alias}\nSubject: Re: Your order\nMessage-ID: <2@home.example>\nIn-Reply-To: {id}\n\
         References: <unknown@elsewhere.example> {id}\n\nThanks!\n"
    );
    assert_eq!(world.send(BUYER, &[seller_alias], &answer).await.code(), 250);
    let [at_seller] = world.arrived(SELLER).await.try_into().unwrap();
    assert_eq!(header(&at_seller, "In-Reply-To"), Some("<1@mail.sellerco.example>"));
    assert_eq!(header(&at_seller, "References"), Some("<1@mail.sellerco.example>"), "{at_seller}");
    assert!(!at_seller.contains("home.example") && !at_seller.contains("elsewhere"), "{at_seller}");

    // The seller follows up on his own first message: the buyer's program sees one thread.
    let follow = format!(
        "From: {SELLER}\nSubject: Re: Your order\nMessage-ID: <3@mail.sellerco.example>\nIn-Reply-To: <1@mail.sellerco.example>\n\nOne more thing.\n"
    );
    assert_eq!(world.send(SELLER, &[buyer_alias], &follow).await.code(), 250);
    let [again] = world.arrived(BUYER).await.try_into().unwrap();
    assert_eq!(header(&again, "In-Reply-To"), Some(id));
    let threads = world.store.read(|v| v.messages(&Filter { limit: 10, ..Filter::default() })).unwrap();
    assert!(threads.iter().all(|m| m.thread == threads[2].id && m.fate == "delivered"), "{threads:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_recipients_get_one_reply() {
    let world = world().await;
    let (buyer_alias, seller_alias) = world.aliases();
    let mail = format!("From: {SELLER}\nMessage-ID: <9@sellerco.example>\nSubject: x\n\nx\n");
    // An answer to all also names the author's own alias: one copy goes, nobody is bothered with the other.
    assert_eq!(world.send(SELLER, &[seller_alias, buyer_alias], &mail).await.code(), 250);
    assert_eq!((world.arrived(BUYER).await.len(), world.arrived(SELLER).await.len()), (1, 0));
    // Postmaster gets it as it is.
    assert_eq!(world.send(SELLER, &["abuse@m.test"], &mail).await.code(), 250);
    assert!(world.arrived("op@ops.example").await.remove(0).contains(SELLER));

    // One that is taken makes the reply: who is told that it failed sends again, and the operator has it twice. A party learns of its own by a notice.
    let encrypted = mail.replace("Subject", "Content-Type: multipart/encrypted; boundary=b\nSubject");
    let stranger = mail.replace(SELLER, "x@elsewhere.example");
    for (mail, to, copies, told) in [
        (&encrypted, [buyer_alias, "postmaster@m.test"], 1, 1),
        (&encrypted, ["postmaster@m.test", buyer_alias], 1, 1),
        (&stranger, [buyer_alias, "postmaster@m.test"], 1, 0),
        (&mail.replace("<9@", "<10@"), [buyer_alias, "abuse@m.test"], 1, 0),
    ] {
        assert_eq!(world.send(SELLER, &to, mail).await.code(), 250, "{to:?}");
        let arrived = (world.arrived("op@ops.example").await.len(), world.arrived(SELLER).await);
        assert_eq!((arrived.0, arrived.1.len()), (copies, told), "{to:?}");
        assert!(arrived.1.iter().all(|notice| notice.contains(buyer_alias) && notice.contains("5.6.1")), "{arrived:?}");
    }
    assert_eq!(world.arrived(BUYER).await.len(), 1);
    // With nobody to take it, it is refused as before.
    assert_eq!(world.send(SELLER, &[buyer_alias], &encrypted).await.code(), 554);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn quota_holds_in_parallel_and_opted_out_buyers_are_left_alone() {
    let world = Arc::new(world().await);
    let (buyer_alias, seller_alias) = world.aliases();
    let seller = world.pair.seller.id;
    let zone = jiff::tz::TimeZone::UTC;
    let day = crate::policy::quota::Day::at(Time::now(), &zone).starts;
    world.store.write(move |c| (0..595).try_for_each(|_| c.count_quota(seller, day))).await.unwrap();
    let mail = format!("From: {SELLER}\nSubject: x\n\nx\n");
    let mut sends = tokio::task::JoinSet::new();
    for _ in 0..12 {
        let (world, mail) = (Arc::clone(&world), mail.clone());
        sends.spawn(async move { world.send_unasked(SELLER, &[world.aliases().0], &mail).await.code() });
    }
    let codes = sends.join_all().await;
    assert_eq!(codes.iter().filter(|c| **c == 250).count(), 5, "{codes:?}");
    assert_eq!(world.arrived(BUYER).await.len(), 5);
    let told = world.arrived(SELLER).await;
    assert!(told.len() == 1 && told[0].contains("Status: 5.4.5") && told[0].contains("600"), "{told:?}");
    let used = world.store.read(|v| v.quota_used(seller, day)).unwrap();
    assert_eq!(used, 600);

    let buyer = world.pair.buyer.id;
    world.store.write(move |c| c.set_switch(buyer, crate::store::Switch::OptedOut, true)).await.unwrap();
    // The day's quota is used up; an order a day over the window opens it again.
    let pair = world.pair.id;
    let orders = move |c: &crate::store::Change<'_>| {
        (0..60).try_for_each(|n| {
            let external = format!("o{n}").parse().unwrap();
            let new = crate::store::NewOrder { external, status: None, category: None, placed: None };
            c.set_order("jp", seller, pair, &new, Time::now().minus(std::time::Duration::from_secs(60))).map(|_| ())
        })
    };
    world.store.write(orders).await.unwrap();
    let ask = format!("From: {BUYER}\nSubject: Question\nMessage-ID: <q@home.example>\n\n?\n");
    assert_eq!(world.send(BUYER, &[seller_alias], &ask).await.code(), 250);
    let asked = world.arrived(SELLER).await.remove(0);
    let id = header(&asked, "Message-ID").unwrap();
    // message, arrives at the buyer, comes back to the seller
    let cases = [
        (format!("From: {SELLER}\nSubject: Offer\n\nx\n"), 0, 1),
        (format!("From: {SELLER}\nSubject: [important] address\n\nx\n"), 1, 0),
        (format!("From: {SELLER}\nSubject: Re: Question\nIn-Reply-To: {id}\n\nx\n"), 1, 0),
        (format!("From: {SELLER}\nAuto-Submitted: auto-replied\nSubject: away\n\nx\n"), 0, 0),
    ];
    for (message, at_buyer, at_seller) in cases {
        assert_eq!(world.send(SELLER, &[buyer_alias], &message).await.code(), 250, "{message}");
        let got = (world.arrived(BUYER).await.len(), world.arrived(SELLER).await.len());
        assert_eq!(got, (at_buyer, at_seller), "{message}");
    }
    // Where the seller has several addresses, the one that wrote is answered.
    let clerk = "clerk@sellerco.example";
    let further = Some(vec![Address::parse(clerk).unwrap()]);
    let new = NewParty { further, ..party(Role::Seller, "s1", "Sato Shop", SELLER) };
    world.store.write(move |c| c.set_party(&new, &[], Time::now())).await.unwrap();
    let offer = format!("From: {clerk}\nSubject: Offer\n\nx\n");
    assert_eq!(world.send(clerk, &[buyer_alias], &offer).await.code(), 250);
    let answer = world.arrived(clerk).await.remove(0);
    assert_eq!((header(&answer, "To"), world.arrived(SELLER).await.len()), (Some("<clerk@sellerco.example>"), 0));
    world.outbound.drain(crate::outbound::DRAIN).await;
}
