//! What sellers declare critical is counted and has a limit, in parallel sessions as well; and what
//! machines of an opted-out buyer write opens no door.

use super::*;
use crate::policy::quota::Day;

impl World {
    /// What became of a message of the seller's: verdict and reason.
    pub(super) async fn outcome(&self, message: &str) -> (String, String) {
        assert_eq!(self.send(SELLER, &[self.aliases().0], message).await.code(), 250, "{message}");
        let newest = self.newest();
        (newest.verdict, newest.reason)
    }
}

fn urgent(n: u32) -> String {
    format!("From: {SELLER}\nSubject: [Important] {n}\n\nAddress?\n")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_that_parallel_sessions_hold() {
    let world = Arc::new(world_with(|config| config.policy.opt_out.critical_per_day = 7).await);
    // Not to who has not opted out.
    assert_eq!(world.outcome(&urgent(0)).await.1, "relayed");
    world.opt_out().await;
    let mut sends = tokio::task::JoinSet::new();
    for n in 0..20 {
        let world = Arc::clone(&world);
        sends.spawn(async move { world.send_unasked(SELLER, &[world.aliases().0], &urgent(n)).await.code() });
    }
    assert!(sends.join_all().await.iter().all(|code| *code == 250));
    let day = Day::at(Time::now(), &TimeZone::UTC).starts;
    let seller = world.pair.seller.id;
    let (counted, quota) = world.store.read(|v| Ok((v.critical(seller, day)?, v.quota_used(seller, day)?))).unwrap();
    assert_eq!((counted.used, counted.over, quota), (7, 13, 21), "what is blocked counts against the quota");
    assert_eq!(world.arrived(BUYER).await.len(), 8);
    // Each of the others is answered, and told why and until when; one written before the limit was
    // seen too.
    let told = world.arrived(SELLER).await;
    assert_eq!(told.len(), 13);
    let said = told[0].replace("=\n", "").replace('\n', " ");
    assert!(said.contains("marked 7 messages") && said.contains("00:00 (UTC)"), "{said}");
    assert_eq!(world.outcome(&urgent(30)).await, ("block".into(), "over-critical".into()));
    assert!(world.newest().facts.contains(" critical=7/7 "), "{}", world.newest().facts);
    // The other exceptions hold.
    let ask = format!("From: {BUYER}\nSubject: Q\nMessage-ID: <q@home.example>\n\n?\n");
    assert_eq!(world.send(BUYER, &[world.aliases().1], &ask).await.code(), 250);
    let copies = world.arrived(SELLER).await;
    let asked = copies.iter().find(|copy| header(copy, "Subject") == Some("Q")).unwrap();
    let id = header(asked, "Message-ID").unwrap();
    let answer = urgent(31).replace("\n\n", &format!("\nIn-Reply-To: {id}\n\n"));
    assert_eq!(world.outcome(&answer).await.1, "relayed-thread");
    let listed = world.store.read(|v| v.critical_senders("jp", day)).unwrap();
    let row = &listed[0];
    assert_eq!((row.seller.as_str(), row.critical, row.over_limit, row.messages), ("s1", 7, 14, 23));
    assert!(world.store.read(|v| v.critical_senders("other", day)).unwrap().is_empty());
}

/// A day later, and with orders, more may pass.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orders_earn_critical_messages() {
    let world = world_with(|config| config.policy.opt_out.critical_per_day = 0).await;
    world.opt_out().await;
    assert_eq!(world.outcome(&urgent(0)).await.1, "over-critical");
    let (seller, pair) = (world.pair.seller.id, world.pair.id);
    let orders = move |c: &crate::store::Change<'_>| {
        (0..60).try_for_each(|n| {
            let external = format!("o{n}").parse().unwrap();
            let new = crate::store::NewOrder { external, status: None, category: None, placed: None };
            c.set_order("jp", seller, pair, &new, Time::now().minus(std::time::Duration::from_secs(60))).map(|_| ())
        })
    };
    world.store.write(orders).await.unwrap();
    let reasons =
        [world.outcome(&urgent(1)).await.1, world.outcome(&urgent(2)).await.1, world.outcome(&urgent(3)).await.1];
    assert_eq!(reasons, ["relayed-critical", "relayed-critical", "over-critical"]);
}

/// All that a machine of the buyer's can write, in whatever way the seller goes on from it: by its
/// id, or by the mark in his copy. A word of the buyer's own opens the thread.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_opens_no_thread() {
    let machines: [(&str, &str); 5] = [
        ("vacation", "Auto-Submitted: auto-replied\n"),
        ("vendor", "X-Autoreply: yes\n"),
        ("iCloud", "X-Apple-Action: VACATION\n"),
        ("receipt", "Content-Type: multipart/report; report-type=disposition-notification; boundary=b\n"),
        ("null sender", "Precedence: bulk\n"),
    ];
    for (what, fields) in machines {
        let world = world().await;
        world.opt_out().await;
        let (_, seller_alias) = world.aliases();
        let machine = format!("From: {BUYER}\nSubject: Away\nMessage-ID: <m@home.example>\n{fields}\nI am away.\n");
        let machine = match what {
            "receipt" => machine.replace("I am away.", "--b\n\nIt was read.\n--b\nContent-Type: message/disposition-notification\n\nDisposition: manual-action/MDN-sent-manually; displayed\n\n--b--"),
            _ => machine,
        };
        let from = if what == "null sender" { "" } else { BUYER };
        assert_eq!(world.send(from, &[seller_alias], &machine).await.code(), 250, "{what}");
        assert!(world.newest().automatic, "{what}");
        let copy = world.arrived(SELLER).await.remove(0);
        let id = header(&copy, "Message-ID").unwrap().to_owned();
        let mark = copy.split_once("Ref: ").map(|(_, rest)| rest.split_once('\n').unwrap().0.trim().to_owned());
        let by_id = |n: u32| format!("From: {SELLER}\nSubject: SALE {n}\nIn-Reply-To: {id}\n\nBuy!\n");
        let by_mark = |n: u32| {
            let mark = mark.as_ref().unwrap();
            format!("From: {SELLER}\nSubject: SALE {n}\n\nBuy!\n> Ref: {mark}\n")
        };
        let blocked = ("block".to_owned(), "opted-out".to_owned());
        assert_eq!(world.outcome(&by_id(1)).await, blocked, "{what}");
        assert!(world.newest().facts.contains("thread-automatic=yes"), "{what}: {}", world.newest().facts);
        // A receipt's texts carry no footer.
        if mark.is_some() {
            assert_eq!(world.outcome(&by_mark(2)).await, blocked, "{what}");
        }
        // The seller's own message in it is no way in either.
        let own = by_id(3).replace("Subject", "Message-ID: <own@sellerco.example>\nSubject");
        assert_eq!(world.outcome(&own).await, blocked, "{what}");
        let on = format!("From: {SELLER}\nSubject: SALE 4\nReferences: <own@sellerco.example>\n\nBuy!\n");
        assert_eq!(world.outcome(&on).await, blocked, "{what}");

        // The buyer himself goes on in it.
        let person = format!(
            "From: {BUYER}\nSubject: Back\nMessage-ID: <p@home.example>\nReferences: <m@home.example>\n\nI am back.\n"
        );
        assert_eq!(world.send(BUYER, &[seller_alias], &person).await.code(), 250);
        assert_eq!(world.outcome(&by_id(5)).await.1, "relayed-thread", "{what}");
        if mark.is_some() {
            assert_eq!(world.outcome(&by_mark(6)).await.1, "relayed-mark", "{what}");
        }
        assert_eq!(world.outcome(&on.replace("SALE 4", "SALE 7")).await.1, "relayed-thread", "{what}");
    }
}

/// What a machine writes makes a thread of the buyer's no younger.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_keeps_no_thread_open() {
    use crate::authentication::Authentication;
    use crate::policy::author::Proof;
    let world = world().await;
    world.opt_out().await;
    let (buyer_alias, seller_alias) = world.aliases();
    let start = Time::now();
    let at = |day: u64, from: &str, message: String| {
        let to = if from == SELLER { buyer_alias } else { seller_alias };
        let at = start.plus(std::time::Duration::from_secs(day * 86_400));
        let arrived =
            Arrived::new(world.session(false, from, &[to], &message), at, Authentication::only(Proof::NotChecked));
        let judged = world.judge(&arrived.looking_back());
        let reason = judged.letters[0].decision.reason.as_str();
        let relay = Arc::clone(&world.relay);
        async move {
            assert_eq!(relay.commit(judged).await.unwrap().code(), 250);
            reason
        }
    };
    let asked = format!("From: {BUYER}\nSubject: Q\nMessage-ID: <q@home.example>\n\n?\n");
    let away = |n: u32| {
        format!(
            "From: {BUYER}\nSubject: Away\nMessage-ID: <a{n}@home.example>\nReferences: <q@home.example>\nAuto-Submitted: auto-replied\n\nAway.\n"
        )
    };
    let person =
        format!("From: {BUYER}\nSubject: Q\nMessage-ID: <q2@home.example>\nReferences: <q@home.example>\n\n??\n");
    assert_eq!(at(0, BUYER, asked).await, "relayed");
    assert_eq!(at(100, BUYER, away(1)).await, "relayed");
    let copies = world.arrived(SELLER).await;
    let away_id =
        copies.iter().find(|copy| copy.contains("Away.")).map(|copy| header(copy, "Message-ID").unwrap()).unwrap();
    let asked = copies.iter().find(|copy| header(copy, "Subject") == Some("Q")).unwrap();
    let mark = asked.split_once("Ref: ").unwrap().1.split_once('\n').unwrap().0.trim();
    let by_id = |n: u32| format!("From: {SELLER}\nSubject: SALE {n}\nIn-Reply-To: {away_id}\n\nBuy!\n");
    let by_mark = |n: u32| format!("From: {SELLER}\nSubject: SALE {n}\n\nBuy!\n> Ref: {mark}\n");
    assert_eq!(
        (at(179, SELLER, by_id(1)).await, at(179, SELLER, by_mark(2)).await),
        ("relayed-thread", "relayed-mark")
    );
    assert_eq!((at(182, SELLER, by_id(3)).await, at(182, SELLER, by_mark(4)).await), ("opted-out", "opted-out"));
    // The buyer himself does. An answer to the vacation mail is one in his thread.
    assert_eq!(at(183, BUYER, person).await, "relayed");
    assert_eq!(at(184, BUYER, away(2)).await, "relayed");
    assert_eq!(
        (at(362, SELLER, by_id(5)).await, at(362, SELLER, by_mark(6)).await),
        ("relayed-thread", "relayed-mark")
    );
    assert_eq!((at(364, SELLER, by_id(7)).await, at(364, SELLER, by_mark(8)).await), ("opted-out", "opted-out"));
}
