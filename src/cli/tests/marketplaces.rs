//! `--marketplace`: what is listed, shown and changed is that marketplace's alone, everywhere.

use super::*;
use crate::store::queue::{Kind, NewItem, Recipient};
use crate::store::{Body, Change, NewMessage, Summed};
use crate::types::{Alias, MessageId, Role, Time};

/// One of everything.
struct Shop {
    /// The alias that the seller writes to.
    alias: String,
    /// A message, which waits in the queue.
    message: String,
}

fn filled(world: &World, shop: &str) -> Shop {
    let here = format!("--marketplace {shop}");
    world.json(&format!("seller set S --name S --email s@shop.test {here}"));
    world.json(&format!("buyer set B --email b@home.test {here}"));
    world.json(&format!("order set O-{shop} --buyer B --seller S {here}"));
    let aliases = world.json(&format!("alias get --buyer B --seller S {here}"));
    let alias = aliases["buyer_alias"].as_str().unwrap().to_owned();
    let store =
        Store::open(&world.dir.path().join("data"), Open::Existing, &mut SystemRandom, Metrics::default()).unwrap();
    let (address, subject) = (Alias::from_text(&alias), format!("hello {shop}"));
    let write = move |c: &Change<'_>| {
        let (now, pair) = (Time::now(), c.resolve(&address)?.unwrap().pair);
        let pair = c.pair(pair)?;
        let id = MessageId::after(c.last_message()?, now, 0);
        let raw = format!("Subject: {subject}\r\n\r\nx\r\n");
        let body = Some(c.insert_body(&Body::pack(raw.as_bytes()))?);
        c.insert_message(&NewMessage {
            id,
            pair: Some(pair.id),
            author: Role::Buyer,
            body,
            shared: false,
            received: now,
            size: raw.len(),
            verdict: "relay",
            reason: "relayed",
            thread: id,
            original: None,
            subject,
            automatic: false,
            needs_response: true,
            fate: "queued",
            facts: String::new(),
            sent_by: None,
        })?;
        let (recipient, domain) = (Recipient::Party(pair.seller.id), "shop.test".to_owned());
        c.enqueue(&NewItem { message: id, kind: Kind::Relay, recipient, domain, notice: None }, now, false)?;
        c.report(id, Role::Seller, "rude", now)?;
        let sum = Summed { minute: now, client: 7, pair: pair.id, author: Role::Seller, reason: "stranger", number: 3 };
        c.add_refusals(&[sum])?;
        c.count_critical(pair.seller.id, now, false)?;
        Ok(id.to_string())
    };
    Shop { alias, message: store.write_blocking(write).unwrap() }
}

#[test]
fn it_filters_everywhere() {
    let world = World::new();
    let (jp, de) = (filled(&world, "jp"), filled(&world, "de"));
    let lists = [
        "seller list",
        "buyer list",
        "order list",
        "message list",
        "message reports",
        "message refusals",
        "queue list",
        "quota critical --days 2",
        "history erasures",
    ];
    for shop in ["jp", "de"] {
        let message = if shop == "jp" { &jp.message } else { &de.message };
        world.json(&format!("message erase {message} --by ann --marketplace {shop}"));
    }
    // Erased messages wait no more: two new ones do.
    let (jp, de) = (filled(&world, "jp"), filled(&world, "de"));
    for list in lists {
        let of = |options: &str| {
            let text = world.json(&format!("{list}{options}")).to_string();
            ["jp", "de"].map(|shop| text.contains(&format!("\"marketplace\":\"{shop}\"")))
        };
        assert_eq!(of(""), [true, true], "{list}");
        assert_eq!(of(" --marketplace jp"), [true, false], "{list}");
        assert_eq!(of(" --marketplace de"), [false, true], "{list}");
        let (status, out, _) = world.run(&format!("{list} --marketplace de"));
        let head = out.lines().next().unwrap();
        let row = out.lines().nth(1).unwrap();
        assert!(status == 0 && head.contains("marketplace") && row.contains("de"), "{list}: {out}");
    }
    let (_, mbox, _) = world.run("message export --marketplace de");
    assert!(mbox.contains("hello de") && !mbox.contains("hello jp"), "{mbox}");
    // What is shown or changed by its own id is not there for another marketplace.
    for line in [
        format!("message show {}", jp.message),
        format!("message erase {} --dry-run", jp.message),
        format!("queue show {}", jp.message),
        format!("queue retry {}", jp.message),
        format!("queue cancel {}", jp.message),
        format!("alias show {}", jp.alias),
        format!("message list --alias {}", jp.alias),
        format!("policy explain --from s@shop.test --to {} /dev/null", jp.alias),
        "order show O-jp".to_owned(),
    ] {
        let got = world.run(&format!("{line} --marketplace de"));
        assert!(got.0 == 4 && got.1.is_empty(), "{line}: {got:?}");
        assert!(line.contains("cancel") || world.run(&format!("{line} --marketplace jp")).0 == 0, "{line}");
    }
    let waiting = || world.json("queue list").as_array().unwrap().len();
    assert_eq!((waiting(), world.json("queue retry --marketplace de")["retried"].as_u64()), (2, Some(1)));
    assert_eq!(world.json("queue cancel --state waiting --marketplace de")["cancelled"], 1);
    let left = world.json("queue list");
    assert_eq!((waiting(), &left[0]["message"]), (1, &jp.message.into()), "{left}");
    // A line of another marketplace is not what the command line names.
    let file = world.dir.path().join("lines");
    std::fs::write(&file, "{\"type\":\"buyer\",\"id\":\"N\",\"email\":\"n@home.test\",\"marketplace\":\"de\"}\n")
        .unwrap();
    for (shop, status) in [("jp", 1), ("de", 0)] {
        assert_eq!(world.run(&format!("import {} --marketplace {shop}", file.display())).0, status, "{shop}");
        assert_eq!(world.run(&format!("buyer show N --marketplace {shop}")).0 == 0, status == 0, "{shop}");
    }
    let _ = de;
}

#[test]
fn an_unknown_one_is_not_found() {
    let world = World::new();
    // Before there is a store, and after.
    for _ in 0..2 {
        for line in [
            "check",
            "store init",
            "seller set S --email s@shop.test",
            "seller list",
            "seller show S",
            "buyer list",
            "buyer opt-out B",
            "order list",
            "order show O",
            "alias get --buyer B --seller S",
            "alias show a@m.test",
            "message list",
            "message export",
            "message reports",
            "message refusals",
            "message show 01kz3v7q8t4d1",
            "queue list",
            "queue retry",
            "queue cancel --state waiting",
            "quota show --seller S",
            "quota critical",
            "history verify",
            "history erasures",
            "policy explain --from a@b.test --to a@m.test /dev/null",
            "import /dev/null",
            "backup /nowhere/copy",
            "serve",
        ] {
            let (status, out, err) = world.run(&format!("{line} --marketplace nosuch"));
            assert!(status == 4 && out.is_empty() && err.contains("there are: jp, de"), "{line}: {status} {out} {err}");
        }
        world.json("store init --marketplace jp");
    }
}
