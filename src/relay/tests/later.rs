//! What goes out later than its message came, or in more copies: made again, wrapped, answered by a bounce.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_guard_stops_later_is_told_as_it_is() {
    let refuse = crate::config::AddressesInFiles::Refuse;
    let world = world_with(|config| config.policy.attachments.addresses_in_files = refuse).await;
    let new = "s-new-5d2@sellerco.example";
    let hidden = data_encoding::BASE64.encode(format!("\0\u{1} {new} \0").as_bytes());
    let mail = format!(
        "From: {SELLER}\nSubject: x\nContent-Type: application/x; name=x\nContent-Transfer-Encoding: base64\n\n{hidden}\n"
    );
    assert_eq!(world.send(SELLER, &[world.aliases().0], &mail).await.code(), 250);
    assert_eq!(world.arrived(BUYER).await.len(), 1);
    let buyer = world.pair.buyer.id;
    let item = world.store.write(move |c| {
        let message = c.messages(&Filter { limit: 1, ..Filter::default() })?.remove(0).number;
        let recipient = crate::store::queue::Recipient::Party(buyer);
        let (message, domain) = (MessageId(message), "home.example".to_owned());
        let new = crate::store::queue::NewItem { message, kind: Kind::Relay, recipient, domain, notice: None };
        c.enqueue(&new, Time::now(), true)
    });
    let item = item.await.unwrap();
    let stops = || world.relay.metrics.guard_stops.get();
    assert!(matches!(world.relay.load(&item).unwrap(), Loaded::Bytes(_)));
    // While it waits, the address becomes one of the buyer's, which tells the seller nothing; then
    // one of the seller's own: the two of a pair never have it together.
    let moved = party(Role::Buyer, "b1", "Bea", new);
    world.store.write(move |c| c.set_party(&moved, &[], Time::now())).await.unwrap();
    assert!(matches!(world.relay.load(&item).unwrap(), Loaded::Bytes(_)));
    let back = party(Role::Buyer, "b1", "Bea", BUYER);
    world.store.write(move |c| c.set_party(&back, &[], Time::now())).await.unwrap();
    let moved = party(Role::Seller, "s1", "Sato Shop", new);
    world.store.write(move |c| c.set_party(&moved, &[], Time::now())).await.unwrap();
    assert_eq!((world.relay.load(&item).unwrap(), stops()), (Loaded::Unclean("file"), 0));
    let raw = world.store.read(|v| v.raw(item.message)).unwrap().unwrap();
    assert!(!raw.is_empty(), "it is kept");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quote_is_given_back_alike_whenever_it_goes_out() {
    let world = world().await;
    let (buyer_alias, seller_alias) = world.aliases();
    let ask = |text: &str| format!("From: {SELLER}\nSubject: x\n\n{text}\n");
    assert_eq!(world.send(SELLER, &[buyer_alias], &ask(&format!("is it {BUYER} ?"))).await.code(), 250);
    let asked = world.newest();
    assert!(world.arrived(BUYER).await[0].contains(&format!("is it {buyer_alias} ?")));
    let answer = format!("From: {BUYER}\nSubject: Re: x\n\nYes.\n> is it {buyer_alias} ?\n{buyer_alias}\n");
    assert_eq!(world.send(BUYER, &[seller_alias], &answer).await.code(), 250);
    let [arrived] = world.arrived(SELLER).await.try_into().unwrap();
    assert!(arrived.contains(&format!("> is it {BUYER} ?\n{buyer_alias}\n")), "{arrived}");
    let item = world.newest_item();
    // What the seller writes afterwards is not what was answered.
    for text in ["a", "b", "c", "d"] {
        assert_eq!(world.send(SELLER, &[buyer_alias], &ask(text)).await.code(), 250);
    }
    let again = || match world.relay.load(&item).unwrap() {
        Loaded::Bytes(bytes) => String::from_utf8(bytes.to_vec()).unwrap().replace("\r\n", "\n"),
        other => panic!("{other:?}"),
    };
    let body = |text: &str| text.split_once("\n\n").unwrap().1.to_owned();
    assert_eq!(body(&again()), body(&arrived));
    // What the store does not keep is not given back, and does not go out either.
    let database = rusqlite::Connection::open(world.dir.path().join("data/marketrelay.sqlite3")).unwrap();
    database.execute("UPDATE message SET body = NULL WHERE id = ?1", [asked.number]).unwrap();
    let again = again();
    assert!(again.contains(&format!("> is it {buyer_alias} ?")) && !again.contains(BUYER), "{again}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_of_seven_bits_gets_the_operators_mail_in_a_wrapper() {
    use mail_parser::MimeHeaders as _;
    let world = world().await;
    let raw = "From: \u{65e5} <x@elsewhere.example>\r\n\r\n\u{672c}\r\n".repeat(300);
    let operator = Address::parse("op@ops.example").unwrap();
    let wrapped = world.relay.seven_bit(MessageId(7), &operator, raw.as_bytes(), Time::now());
    assert!(wrapped.is_ascii() && wrapped.split(|b| *b == b'\n').all(|line| line.len() < 999));
    let read = mail_parser::MessageParser::new().parse(&wrapped).unwrap();
    assert_eq!(read.from().unwrap().first().unwrap().address().unwrap(), "postmaster@mx.m.test");
    let file = read.attachment(0).unwrap();
    assert_eq!((file.contents(), file.attachment_name()), (raw.as_bytes(), Some("message.eml")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_copies_of_a_large_message_take_the_memory_of_a_few() {
    let world = world_with(|config| config.queue.memory = crate::config::Size::kib(64)).await;
    let seller = world.pair.seller.id;
    let aliases = world.store.write(move |c| {
        let more = (2..6).map(|n| {
            let new = party(Role::Buyer, &format!("b{n}"), "Bo", &format!("b{n}@home.example"));
            let (buyer, _) = c.set_party(&new, &[], Time::now())?;
            let pair = c.pair_or_new(buyer, seller, ("m.test", 35), Time::now(), &mut SystemRandom)?;
            Ok(c.pair(pair)?.buyer_alias.as_str().to_owned())
        });
        more.collect::<Result<Vec<_>, StoreError>>()
    });
    let to: Vec<String> = aliases.await.unwrap();
    let to: Vec<&str> = to.iter().map(String::as_str).chain([world.aliases().0]).collect();
    let mail = format!("From: {SELLER}\nSubject: x\n\n{}", "A line of the catalogue.\n".repeat(1200));
    let authentication = Authentication::only(crate::policy::author::Proof::NotChecked);
    let judged = world.judge(&Arrived::new(world.session(false, SELLER, &to, &mail), Time::now(), authentication));
    let held: Vec<bool> = judged.letters.iter().map(|letter| letter.outgoing.is_some()).collect();
    assert_eq!(held, [true, true, false, false, false]);
    assert_eq!(world.relay.commit(judged).await.unwrap().code(), 250);
    for buyer in ["b2@home.example", "b3@home.example", "b4@home.example", "b5@home.example", BUYER] {
        let arrived = world.arrived(buyer).await;
        assert!(arrived.len() == 1 && arrived[0].matches("catalogue").count() == 1200, "{buyer}: {}", arrived.len());
    }
    world.outbound.drain(crate::outbound::DRAIN).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bounce_is_told_anew() {
    let world = world().await;
    let (buyer_alias, _) = world.aliases();
    let mail = format!("From: {SELLER}\nMessage-ID: <7@sellerco.example>\nSubject: x\n\nx\n");
    assert_eq!(world.send(SELLER, &[buyer_alias], &mail).await.code(), 250);
    assert_eq!(world.arrived(BUYER).await.len(), 1);
    let (row, item) = (world.newest(), world.newest_item());
    let bounce =
        world.store.read(|view| crate::outbound::House::return_path(&*world.relay, view, &item)).unwrap().unwrap();
    let report = format!(
        "From: MAILER-DAEMON@home.example\nContent-Type: multipart/report; boundary=b\n\n--b\n\n<{BUYER}>: unknown\n--b\n\
         Content-Type: message/delivery-status\n\nReporting-MTA: dns; mx.home.example\n\nFinal-Recipient: rfc822; {BUYER}\nAction: failed\nStatus: 5.1.1\n\n--b--\n"
    );
    for _ in 0..2 {
        assert_eq!(world.send_unasked("", &[&bounce], &report).await.code(), 250);
    }
    let notices = world.arrived(SELLER).await;
    let [notice] = notices.as_slice() else { panic!("one notice, not {}", notices.len()) };
    for leak in ["b-real", "home.example", "MAILER-DAEMON"] {
        assert!(!notice.contains(leak), "{leak} in\n{notice}");
    }
    assert!(notice.contains(buyer_alias) && notice.contains("<7@sellerco.example>"), "{notice}");
    // Nothing proves it, so neither people nor programs are told that it failed.
    assert!(notice.contains("may not have arrived") && !notice.contains("Action:"), "{notice}");
    let fate = |world: &World| world.store.read(|v| v.message(MessageId(row.number))).unwrap().unwrap().fate;
    assert_eq!(fate(&world), "delivered");

    // Vacation programs answer to the envelope sender: so many answers pass, cleaned, and in their
    // thread.
    let away = format!(
        "From: Bea Real <{BUYER}>\nSubject: Out of office\nAuto-Submitted: auto-replied\n\nI am away. {BUYER}\n"
    );
    for _ in 0..5 {
        assert_eq!(world.send("", &[&bounce], &away).await.code(), 250);
    }
    let answers = world.arrived(SELLER).await;
    let [answer, _, _] = answers.as_slice() else { panic!("three answers, not {}", answers.len()) };
    assert!(answer.contains("I am away.") && !answer.contains("b-real") && !answer.contains("Bea Real"), "{answer}");
    assert_eq!(header(answer, "Auto-Submitted"), Some("auto-replied"));
    let newest = world.store.read(|v| v.messages(&Filter { limit: 5, ..Filter::default() })).unwrap();
    let seen: Vec<_> = newest.iter().map(|m| (m.reason.as_str(), m.thread.as_str())).collect();
    let thread = row.thread.as_str();
    let (passed, stopped) = (("relayed", thread), ("automatic-repeated", thread));
    assert_eq!(seen, [stopped, stopped, passed, passed, passed]);
    assert_eq!(world.arrived(BUYER).await.len(), 1, "whose program it is hears of it");
    // Somebody else's, or the author's own, is recorded and passed to nobody.
    for from in ["x@evil.example", SELLER] {
        let other = away.replace(BUYER, from);
        assert_eq!(world.send("", &[&bounce], &other).await.code(), 250);
    }
    assert!(world.arrived(SELLER).await.is_empty() && world.arrived(BUYER).await.is_empty());
}

/// A report as mail systems write it, of the message with this Message-ID.
fn report(from: &str, about: &str) -> String {
    format!(
        "From: <{from}>\nContent-Type: multipart/report; boundary=b\n\n--b\n\nSorry\n--b\nContent-Type: message/delivery-status\n\n\
         Reporting-MTA: dns; x\n\nFinal-Recipient: rfc822; x\nAction: failed\nStatus: 5.1.1\n\n--b\nContent-Type: text/rfc822-headers\n\n\
         Message-ID: <{about}>\n\n--b--\n"
    )
}

/// Who may say that a delivered message was not: each way, and what lacks for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_speaks_for_a_report() {
    use crate::policy::author::Proof;
    let daemon = "Mailer-Daemon@home.example";
    let server = [198, 51, 100, 7];
    let other = [198, 51, 100, 8];
    // name, client, envelope sender, author, whether it is proved, whether it names the message;
    // what the history says
    let table = [
        (
            "by the server that took it",
            server,
            "",
            "postmaster@elsewhere.example",
            false,
            false,
            "proved by its server, 5.1.1",
        ),
        ("by a neighbour of it", other, "", daemon, false, true, "not proved, 5.1.1"),
        ("by the receiver himself, through his server", server, "", BUYER, false, true, "not proved, 5.1.1"),
        ("with an envelope sender", server, "x@home.example", daemon, true, true, "not proved, 5.1.1"),
        ("aligned", other, "", daemon, true, true, "proved by its domain, 5.1.1"),
        ("aligned, of another message", other, "", daemon, true, false, "not proved, 5.1.1"),
        ("by the receiver himself, proved", other, "", BUYER, true, true, "not proved, 5.1.1"),
        ("of another domain", other, "", "mailer-daemon@evil.example", true, true, "not proved, 5.1.1"),
        ("by a front that hands on no address", [10, 9, 9, 9], "", daemon, false, true, "not proved, 5.1.1"),
    ];
    for (name, ip, sender, author, proved, names, want) in table {
        let world = world_with(|config| {
            let listener = "address = '127.0.0.1:0'\ntrusted_networks = ['10.9.9.9']";
            config.listener.push(toml::from_str(listener).unwrap());
        })
        .await;
        let mail = format!("From: {SELLER}\nSubject: x\n\nx\n");
        assert_eq!(world.send(SELLER, &[world.aliases().0], &mail).await.code(), 250);
        world.arrived(BUYER).await;
        let id = MessageId(world.newest().number);
        let by = if ip[0] == 10 { ip } else { server };
        let mark = world.store.secret().server_mark(id, by.into());
        world.store.write(move |c| c.record(id, Time::now(), "delivered", &format!("server {mark}"))).await.unwrap();
        let bounce = world.store.read(|view| world.relay.return_path(view, &world.newest_item())).unwrap().unwrap();
        let about = if names { world.relay.message_id(id, "m.test") } else { "other@m.test".to_owned() };
        let (client, envelope, raw) = world.session(false, sender, &[&bounce], &report(author, &about));
        let client = Client { ip: ip.into(), ..client };
        let proof = if proved { Proof::Proved } else { Proof::Absent };
        let authentication = Authentication::only(proof);
        for _ in 0..3 {
            let session = (client.clone(), envelope.clone(), raw.clone());
            let judged = world.judge(&Arrived::new(session, Time::now(), authentication.clone()));
            assert_eq!(world.relay.commit(judged).await.unwrap().code(), 250, "{name}");
        }
        let events = world.store.read(|v| v.events(id)).unwrap();
        let told: Vec<_> = events.iter().filter(|e| e.what.starts_with("bounced")).collect();
        assert_eq!((told.len(), told[0].what.as_str(), told[0].detail.as_str()), (1, "bounced-later", want), "{name}");
        let fate = world.newest().fate;
        let notices = world.arrived(SELLER).await;
        assert_eq!((notices.len(), fate.as_str()), (1, "delivered"), "{name}");
        assert_eq!(notices[0].contains("Action: failed"), want.starts_with("proved"), "{name}: {}", notices[0]);
    }
}

/// Reports that nothing proves tell a pair's author three times a day, and once a message; what is
/// proved is told all the same, and once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forged_reports_are_told_seldom() {
    let world = world().await;
    let mut told = Vec::new();
    for n in 0..5 {
        let mail = format!("From: {SELLER}\nSubject: {n}\n\nx\n");
        assert_eq!(world.send(SELLER, &[world.aliases().0], &mail).await.code(), 250);
        world.arrived(BUYER).await;
        let bounce = world.store.read(|view| world.relay.return_path(view, &world.newest_item())).unwrap().unwrap();
        for _ in 0..20 {
            assert_eq!(world.send_unasked("", &[&bounce], &report("x@evil.example", "x@x")).await.code(), 250);
        }
        told.push(world.arrived(SELLER).await.len());
        let (id, ip) = (MessageId(world.newest().number), [192, 0, 2, 1]);
        let mark = world.store.secret().server_mark(id, ip.into());
        world.store.write(move |c| c.record(id, Time::now(), "delivered", &format!("server {mark}"))).await.unwrap();
        for _ in 0..20 {
            assert_eq!(world.send_unasked("", &[&bounce], &report("mailer-daemon@x.example", "x@x")).await.code(), 250);
            assert_eq!(world.send_unasked("", &[&bounce], "From: x@x.example\nSubject: x\n\nx\n").await.code(), 250);
        }
        let notices = world.arrived(SELLER).await;
        assert!(notices.len() == 1 && notices[0].contains("Status: 5.1.1"), "{notices:?}");
        let events = world.store.read(|v| v.events(id)).unwrap();
        let reports: Vec<_> =
            events.iter().map(|event| event.what.as_str()).filter(|w| !w.contains("delivered")).collect();
        assert_eq!(reports, ["bounced-later", "bounced-later", "automatic-answer"]);
    }
    assert_eq!(told, [1, 1, 1, 0, 0]);
}

/// What is proved not to have arrived neither asks nor answers; what is not proved changes nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bounce_counts_in_the_conversation() {
    for proved in [false, true] {
        let world = world().await;
        let (buyer_alias, seller_alias) = world.aliases();
        let waiting = || {
            let filter = Filter { needs_response: true, limit: 9, ..Filter::default() };
            world.store.read(|v| v.messages(&filter)).unwrap().len()
        };
        let bounces = async || {
            let (id, ip) = (MessageId(world.newest().number), [192, 0, 2, 1]);
            let mark = world.store.secret().server_mark(id, ip.into());
            let server = if proved { format!("server {mark}") } else { String::new() };
            world.store.write(move |c| c.record(id, Time::now(), "delivered", &server)).await.unwrap();
            let bounce = world.store.read(|view| world.relay.return_path(view, &world.newest_item())).unwrap().unwrap();
            let report = report("mailer-daemon@x.example", "x@x");
            assert_eq!(world.send_unasked("", &[&bounce], &report).await.code(), 250);
            assert_eq!((world.newest().undelivered, world.newest().fate.as_str()), (proved, "delivered"));
        };
        let ask = async |n: u32| {
            let mail = format!("From: {BUYER}\nSubject: Question {n}\nMessage-ID: <q{n}@home.example>\n\n?\n");
            assert_eq!(world.send(BUYER, &[seller_alias], &mail).await.code(), 250);
            let asked = world.arrived(SELLER).await.pop().unwrap();
            header(&asked, "Message-ID").unwrap().to_owned()
        };
        ask(1).await;
        assert_eq!(waiting(), 1);
        bounces().await;
        let first = usize::from(!proved);
        assert_eq!(waiting(), first, "he never got it");
        let asked = ask(2).await;
        let answer = async |n: u32| {
            let mail = format!(
                "From: {SELLER}\nSubject: Re: Question 2\nMessage-ID: <a{n}@sellerco.example>\nIn-Reply-To: {asked}\n\nIt is {n}.\n"
            );
            assert_eq!(world.send(SELLER, &[buyer_alias], &mail).await.code(), 250);
            world.arrived(BUYER).await;
        };
        answer(1).await;
        assert_eq!(waiting(), first);
        bounces().await;
        assert_eq!(waiting(), first + usize::from(proved), "the buyer never got it");
        answer(2).await;
        assert_eq!(waiting(), first);
    }
}
