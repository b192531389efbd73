//! Addresses that act: who may use them, what they do, and who hears of it.

use super::*;
use crate::store::Response;

impl World {
    /// A buyer's question, and the addresses in the seller's copy of it; then the answer, and those in the buyer's copy.
    async fn exchanged(&self) -> (MessageId, [String; 2], MessageId, [String; 2]) {
        let (buyer_alias, seller_alias) = self.aliases();
        let ask = format!("From: {BUYER}\nSubject: Question\nMessage-ID: <ask@home.example>\n\nIs it blue?\n");
        assert_eq!(self.send(BUYER, &[seller_alias], &ask).await.code(), 250);
        let asked = self.number();
        let at_seller = self.arrived(SELLER).await.remove(0);
        let offer = format!("From: {SELLER}\nSubject: Re: Question\nMessage-ID: <offer@sellerco.example>\n\nBuy!\n");
        assert_eq!(self.send(SELLER, &[buyer_alias], &offer).await.code(), 250);
        let at_buyer = self.arrived(BUYER).await.remove(0);
        let line = |copy: &str, label: &str| copy.lines().find_map(|l| l.strip_prefix(label)).unwrap().to_owned();
        let of_seller = [line(&at_seller, "No response needed: "), line(&at_seller, "Report this message: ")];
        let of_buyer = [line(&at_buyer, "Report this message: "), line(&at_buyer, "No more messages from sellers: ")];
        (asked, of_seller, self.number(), of_buyer)
    }

    fn number(&self) -> MessageId {
        MessageId(self.newest().number)
    }

    /// How often something was written into a message's walk.
    fn events(&self, message: MessageId, what: &str) -> usize {
        self.store.read(|v| v.events(message)).unwrap().iter().filter(|event| event.what == what).count()
    }

    fn opted_out(&self) -> bool {
        self.store.read(|v| v.party(self.pair.buyer.id)).unwrap().opted_out
    }

    fn response(&self, message: MessageId) -> Option<Response> {
        self.store.read(|v| v.message(message)).unwrap().unwrap().response
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_address_does_what_it_says_for_its_party() {
    let world = world().await;
    let (asked, [done, seller_report], offered, [buyer_report, stop]) = world.exchanged().await;
    let day = crate::policy::quota::Day::at(Time::now(), &jiff::tz::TimeZone::UTC).starts;
    let used = |w: &World| w.store.read(|v| v.quota_used(w.pair.seller.id, day)).unwrap();
    assert_eq!((used(&world), world.response(asked)), (1, Some(Response::Answered)));
    // Somebody asks again, so that a clock runs.
    let again = format!("From: {BUYER}\nSubject: Question\n\nWell?\n");
    assert_eq!(world.send(BUYER, &[world.aliases().1], &again).await.code(), 250);
    let waiting = world.number();
    let copy = world.arrived(SELLER).await.remove(0);
    let second = copy.lines().find_map(|l| l.strip_prefix("No response needed: ")).unwrap().to_owned();
    assert_eq!(world.response(waiting), Some(Response::Waiting));

    // author, address, text, event, its message, a word of the notice
    let table = [
        (SELLER, &second, "", "no-response-needed", waiting, "needing no response"),
        (SELLER, &done, "", "no-response-needed", asked, "needing no response"),
        (SELLER, &seller_report, "Rude words.\n> Is it blue?\n", "reported", asked, "received your report"),
        (BUYER, &buyer_report, "This is spam.\n", "reported", offered, "received your report"),
        (BUYER, &stop, "", "stop", offered, "no longer write to you"),
    ];
    for (from, address, text, event, message, words) in table {
        let mail =
            format!("From: Real Name <{from}>\nTo: <{address}>\nSubject: x\nMessage-ID: <act@x.example>\n\n{text}\n");
        let rows = world.store.read(|v| v.messages(&Filter { limit: 100, ..Filter::default() })).unwrap().len();
        for _ in 0..3 {
            let reply = world.send(from, &[address], &mail).await.wire();
            assert!(reply.starts_with("250"), "{address}: {reply}");
        }
        let notices = world.arrived(from).await;
        let [notice] = notices.as_slice() else { panic!("{address}: {} notices", notices.len()) };
        assert!(notice.replace("=\n", "").contains(words), "{notice}");
        assert_eq!(header(notice, "In-Reply-To"), Some("<act@x.example>"), "{notice}");
        assert_eq!(header(notice, "Auto-Submitted"), Some("auto-replied"));
        assert_eq!(world.events(message, event), 1, "{address}");
        let after = world.store.read(|v| v.messages(&Filter { limit: 100, ..Filter::default() })).unwrap().len();
        assert_eq!(rows, after, "it is no message of the pair");
    }
    assert!(world.arrived(BUYER).await.is_empty() && world.arrived(SELLER).await.is_empty());
    assert_eq!(world.response(waiting), Some(Response::NotNeeded));
    assert_eq!((used(&world), world.response(asked), world.opted_out()), (1, Some(Response::Reported), true));
    let reports = world.store.read(|v| v.reports(None, None, 10)).unwrap();
    let told: Vec<_> = reports.iter().map(|r| (r.message.as_str(), r.reporter, r.reason.as_str())).collect();
    let (asked, offered) = (asked.to_string(), offered.to_string());
    assert_eq!(told, [(offered.as_str(), "buyer", "This is spam."), (asked.as_str(), "seller", "Rude words.")]);
    let counts = world.store.read(|v| v.reports_by_seller(None, Some(world.pair.seller.id))).unwrap();
    assert_eq!((counts[0].seller.as_str(), counts[0].reported, counts[0].reports), ("s1", 1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_else_can_use_them() {
    let world = world().await;
    let (asked, [done, seller_report], offered, [buyer_report, stop]) = world.exchanged().await;
    // author, envelope sender, address, field, reply
    let table = [
        (BUYER, BUYER, &done, "", "550 5.7.1"),
        (BUYER, BUYER, &seller_report, "", "550 5.7.1"),
        (SELLER, SELLER, &buyer_report, "", "550 5.7.1"),
        (SELLER, SELLER, &stop, "", "550 5.7.1"),
        ("x@evil.example", "x@evil.example", &stop, "", "550 5.7.1"),
        (BUYER, "mallory@home.example", &stop, "", "550 5.7.1"),
        (BUYER, BUYER, &stop, "From: x@evil.example\n", "550 5.6.0"),
        (BUYER, BUYER, &stop, "X-Marketrelay-Loop: m.test\n", "554 5.4.6"),
    ];
    for (from, sender, address, field, want) in table {
        let mail = format!("From: {from}\nTo: {address}\n{field}Subject: x\n\nx\n");
        let reply = world.send(sender, &[address], &mail).await.wire();
        assert!(reply.starts_with(want), "{from} {address}: {reply}");
    }
    // A message of the party that was written to somebody else, or to no token, or to another one:
    // the stranger's reply.
    let stranger = world.send("x@evil.example", &[&stop], "From: x@evil.example\nSubject: x\n\nx\n").await.wire();
    for to in [String::new(), format!("To: friend@x.example, {}\n", world.aliases().1), format!("To: {buyer_report}\n")]
        .into_iter()
        .chain([format!("Bcc: {stop}\n"), format!("To: x{stop}\n")])
    {
        let mail = format!("From: {BUYER}\n{to}Subject: holiday\n\nx\n");
        assert_eq!(world.send(BUYER, &[&stop], &mail).await.wire(), stranger, "{to}");
    }
    let client = Client { ip: [127, 0, 0, 1].into(), helo: "x".into(), tls: false, trusted: false, login: None };
    let forged = |address: &str| {
        let at = address.find('@').unwrap();
        let last = if address.as_bytes()[at - 1] == b'a' { 'b' } else { 'a' };
        format!("{}{last}{}", &address[..at - 1], &address[at..])
    };
    let other_word = stop.replace("stop+", "report+");
    let cut = stop.replacen('@', "", 1).replacen("m.test", "@m.test", 1).replacen("@m.test", "", 1)[..30].to_owned()
        + "@m.test";
    for address in [forged(&stop), forged(&done), other_word, cut, "done+@m.test".into(), "thread+aaaa@m.test".into()] {
        let reply = world.relay.recipient(&client, None, &Address::parse(&address).unwrap()).unwrap_err().wire();
        assert!(reply.starts_with("550 5.1.1"), "{address}: {reply}");
    }
    assert!(world.arrived(BUYER).await.is_empty() && world.arrived(SELLER).await.is_empty());
    assert!(!world.opted_out() && world.store.read(|v| v.reports(None, None, 10)).unwrap().is_empty());
    for (message, events) in [(asked, ["no-response-needed", "reported"]), (offered, ["reported", "stop"])] {
        assert!(events.iter().all(|event| world.events(message, event) == 0));
    }
}

/// Programs unsubscribe for their users (RFC 2369 3.2): that is done, and not answered. A seller that is gone can still be reported, and a
/// reporter that is gone hears nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn machines_and_parties_that_are_gone() {
    let world = world().await;
    let (_, [done, _], offered, [report, stop]) = world.exchanged().await;
    for (sender, field) in [(BUYER, "Auto-Submitted: auto-generated\n"), ("", ""), (BUYER, "Precedence: bulk\n")] {
        let mail = format!("From: {BUYER}\nTo: {stop}\n{field}Subject: stop\n\n");
        assert_eq!(world.send(sender, &[&stop], &mail).await.code(), 250);
    }
    assert!(world.opted_out() && world.arrived(BUYER).await.is_empty());
    let seller = world.pair.seller.id;
    world.store.write(move |c| c.remove_party(seller)).await.unwrap();
    let mail = format!("From: {BUYER}\nCc: x@y.example, {report}\nSubject: x\n\nHe is gone, and it was spam.\n");
    assert_eq!(world.send(BUYER, &[&report], &mail).await.code(), 250);
    assert_eq!((world.events(offered, "reported"), world.arrived(BUYER).await.len()), (1, 1));
    let mail = format!("From: {SELLER}\nSubject: x\n\nx\n");
    assert!(world.send(SELLER, &[&done], &mail).await.wire().starts_with("550"));
}
