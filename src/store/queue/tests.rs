//! The queue against a real file: crashes, clocks, and the schedule.

use super::*;
use crate::store::tests::{NOW, message, open, pair};
use crate::store::{Open, Store};
use std::path::Path;
use std::time::Duration;

const LONGEST: Duration = Duration::from_secs(4 * 3600);

fn horizon(now: Time) -> Horizon {
    Horizon::new(now, LONGEST)
}

fn later(seconds: u64) -> Time {
    NOW.plus(Duration::from_secs(seconds))
}

/// A store with one pair, and items of its buyer's for these domains.
fn filled(dir: &Path, domains: &[&str], leased: bool) -> (Store, Vec<Item>) {
    let store = open(dir, Open::Create).unwrap();
    let (buyer, _, pair) = pair(&store);
    let items = domains.iter().map(|domain| {
        let id = store.read(|v| v.last_message()).unwrap().0 + 1;
        let new = message(id, &pair, Role::Seller, "x", None);
        let domain = (*domain).to_owned();
        let item = store.write_blocking(move |c| {
            c.insert_message(&new)?;
            let (kind, recipient) = (Kind::Relay, Recipient::Party(buyer));
            c.enqueue(&NewItem { message: new.id, kind, recipient, domain, notice: None }, NOW, leased)
        });
        item.unwrap()
    });
    let items = items.collect();
    (store, items)
}

fn claim(store: &Store, domain: &'static str, now: Time) -> Vec<Item> {
    store.write_blocking(move |c| c.claim(domain, horizon(now), 10)).unwrap()
}

fn due(store: &Store, now: Time) -> Vec<(String, u32, bool)> {
    let due = store.read(|v| v.destinations_due(horizon(now), 10)).unwrap();
    due.into_iter().map(|w| (w.domain, w.failures, w.forced)).collect()
}

fn settle(store: &Store, item: &Item, how: Settle, now: Time) -> bool {
    let item = item.clone();
    store.write_blocking(move |c| c.settle(&item, &how, now)).unwrap()
}

/// Every arrow of the picture in `queue.rs`, with a crash (a new process) after it.
#[test]
fn each_crash_leaves_a_legal_state() {
    let dir = tempfile::tempdir().unwrap();
    let restart = || {
        let store = open(dir.path(), Open::Existing).unwrap();
        store.write_blocking(|c| c.release_leases(NOW)).unwrap();
        store
    };
    let state = |store: &Store, item: &Item| {
        let (rows, message) = store.read(|v| Ok((v.queue_of(item.message)?, v.message(item.message)?))).unwrap();
        (rows.first().map(|row| (row.attempts, row.leased)), message.unwrap().fate)
    };
    for (leased, how) in [false, true].into_iter().flat_map(|l| [(l, "done"), (l, "failed"), (l, "back")]) {
        let (store, items) = filled(dir.path(), &["home.test"], leased);
        drop(store);
        let [first] = items.as_slice() else { panic!() };
        let store = restart();
        assert_eq!(state(&store, first), (Some((u32::from(leased), false)), "queued".into()), "crash after commit");
        assert_eq!(due(&store, NOW), [("home.test".into(), 0, false)]);
        assert_eq!(claim(&store, "home.test", NOW).len(), 1);
        assert!(claim(&store, "home.test", NOW).is_empty() && due(&store, NOW).is_empty(), "leased once");
        drop(store);
        let store = restart();
        assert_eq!(state(&store, first).0, Some((u32::from(leased) + 1, false)), "crash while leased: counted");
        let claimed = claim(&store, "home.test", NOW).remove(0);
        assert!(settle(&store, &claimed, Settle::Again { due: later(60), why: "connect".into() }, NOW));
        drop(store);
        let store = restart();
        assert!(due(&store, NOW).is_empty() && claim(&store, "home.test", NOW).is_empty(), "not due yet");
        assert_eq!(store.read(|v| v.next_due(horizon(NOW))).unwrap(), Some(later(60)));
        let claimed = claim(&store, "home.test", later(60)).remove(0);
        let (end, fate) = match how {
            "done" => (Settle::Done { server: String::new() }, "delivered"),
            "failed" => (Settle::Failed { why: "no-such-address".into() }, "failed"),
            _ => (Settle::Back, "queued"),
        };
        assert!(settle(&store, &claimed, end, later(60)));
        drop(store);
        let store = restart();
        let left = (how == "back").then_some((u32::from(leased) + 2, false));
        assert_eq!(state(&store, first), (left, fate.into()), "crash after settle");
        assert_eq!(
            settle(&store, &claimed, Settle::Done { server: String::new() }, NOW),
            how == "back",
            "a second settle is late"
        );
        assert_eq!(store.read(|v| v.queue_length()).unwrap(), 0);
    }
}

#[test]
fn a_destination_that_is_down_waits_as_a_whole() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = filled(dir.path(), &["dead.test", "dead.test", "dead.test", "fine.test"], false);
    let all = [("dead.test".to_owned(), 0, false), ("fine.test".to_owned(), 0, false)];
    assert_eq!(due(&store, NOW), all);
    let probe = store.write_blocking(|c| c.claim("dead.test", horizon(NOW), 1)).unwrap().remove(0);
    assert!(settle(&store, &probe, Settle::Again { due: later(300), why: "connect".into() }, NOW));
    store.write_blocking(|c| c.unreachable("dead.test", 1, later(200), None)).unwrap();
    assert_eq!(due(&store, NOW), all[1..]);
    // what is queued meanwhile waits, too
    let (store2, items) = filled(dir.path(), &["dead.test"], false);
    assert_eq!(due(&store2, NOW), all[1..]);
    drop(store2);
    assert_eq!(due(&store, later(200)).len(), 2);
    // and says why
    let shown = store.read(|v| v.queue_item(items[0].id)).unwrap().unwrap();
    assert_eq!((shown.due, shown.waits_for.as_str()), (later(200), "the destination could not be used 1 time(s)"));
    // the operator can ask for a try: of one item, or of all
    let (id, domain) = (items[0].id, "dead.test".to_owned());
    assert!(store.write_blocking(move |c| c.retry(id, NOW)).unwrap());
    assert!(due(&store, NOW).contains(&(domain.clone(), 1, true)), "what is known of it stays");
    store.write_blocking(|c| c.unreachable("dead.test", 2, later(400), None)).unwrap();
    assert_eq!(
        store.write_blocking(|c| c.retry_destination("dead.test", NOW, 100)).unwrap(),
        1,
        "only what was not due"
    );
    assert!(due(&store, NOW).contains(&(domain, 2, true)));
    store.write_blocking(|c| c.unreachable("dead.test", 3, later(400), None)).unwrap();
    assert_eq!(store.write_blocking(|c| c.retry_all("", NOW, 100)).unwrap(), (0, None));
    assert_eq!(store.read(|v| v.failures_of("dead.test")).unwrap(), 3);
    store.write_blocking(|c| c.reached("dead.test")).unwrap();
    assert!(due(&store, NOW).contains(&("dead.test".into(), 0, false)));
    assert_eq!(claim(&store, "dead.test", NOW).len(), 4);
    assert_eq!(due(&store, NOW), [("fine.test".into(), 0, true)], "nothing waits, nothing is known");
    // unknown or leased items
    assert!(!store.write_blocking(move |c| c.retry(id, NOW)).unwrap());
    assert!(!store.write_blocking(|c| c.retry(ItemId(MessageId(999)), NOW)).unwrap());
}

/// Whatever the clock does, what waits is found again within the longest wait.
#[test]
fn clocks_that_jump_strand_nothing() {
    let year = |y: u64| Time::default().plus(Duration::from_secs((y - 1970) * 31_557_600));
    for then in [year(1970), year(2026), year(2038), year(2106), Time(i64::MAX), Time(i64::MIN)] {
        let dir = tempfile::tempdir().unwrap();
        let (store, _) = filled(dir.path(), &["home.test"], false);
        let item = claim(&store, "home.test", NOW).remove(0);
        assert!(settle(&store, &item, Settle::Again { due: then.plus(LONGEST), why: "x".into() }, then));
        for now in [year(1970), year(2026), year(2038), year(2106)] {
            let soon = now.plus(LONGEST);
            assert_eq!(due(&store, soon).len(), 1, "due at {then:?}, now {now:?}");
            let next = store.read(|v| v.next_due(horizon(now))).unwrap().unwrap();
            assert!(next <= soon, "due at {then:?}, now {now:?}");
            let claimed = claim(&store, "home.test", soon);
            assert_eq!(claimed.len(), 1, "due at {then:?}, now {now:?}");
            let again = Settle::Again { due: then.plus(LONGEST), why: "x".into() };
            assert!(settle(&store, &claimed[0], again, then));
        }
    }
}

#[test]
fn the_operator_finds_and_cancels() {
    let dir = tempfile::tempdir().unwrap();
    let (store, items) = filled(dir.path(), &["a.test", "b.test", "a.test"], false);
    let leased = claim(&store, "b.test", NOW);
    let ids = |domain: Option<&str>, leased, limit| {
        let which = Which { domain: domain.map(str::to_owned), leased, marketplace: None };
        let found = store.read(|v| v.queue(&which, limit)).unwrap();
        found.into_iter().map(|item| item.id).collect::<Vec<_>>()
    };
    let [first, second, third] = [0, 1, 2].map(|n: usize| items[n].id);
    // destination, being delivered, limit, found
    let rows = [
        (None, None, 9, vec![first, second, third]),
        (None, None, 2, vec![first, second]),
        (None, Some(true), 9, vec![second]),
        (None, Some(false), 9, vec![first, third]),
        (Some("a.test"), None, 9, vec![first, third]),
        (Some("a.test"), None, 1, vec![first]),
        (Some("a.test"), Some(true), 9, vec![]),
        (Some("b.test"), None, 9, vec![second]),
        (Some("b.test"), Some(true), 9, vec![second]),
        (Some("b.test"), Some(false), 9, vec![]),
        (Some("c.test"), None, 9, vec![]),
    ];
    for (domain, leased, limit, want) in rows {
        assert_eq!(ids(domain, leased, limit), want, "{domain:?} {leased:?} {limit}");
    }
    assert_eq!(store.read(|v| v.queue_item(items[2].id)).unwrap().as_ref(), Some(&items[2]));
    let id = leased[0].id;
    assert!(store.write_blocking(move |c| c.cancel(id, NOW)).unwrap());
    assert!(!store.write_blocking(move |c| c.cancel(id, NOW)).unwrap());
    assert!(
        !settle(&store, &leased[0], Settle::Done { server: String::new() }, NOW),
        "cancelled while it was delivered"
    );
    assert_eq!(store.read(|v| v.message(leased[0].message)).unwrap().unwrap().fate, "failed");
    assert_eq!(store.read(|v| v.queue_length()).unwrap(), 2);
    let which = Which { domain: Some("a.test".into()), ..Which::default() };
    let cancelled = [1, 1, 0].map(|_| {
        let which = which.clone();
        let ids = store.read(|view| view.queue_ids(&which, ItemId(MessageId(0)), 1)).unwrap();
        store.write_blocking(move |c| c.cancel_each(&ids, NOW)).unwrap()
    });
    assert_eq!((cancelled, store.read(|v| v.queue_length()).unwrap()), ([1, 1, 0], 0));
}

/// All that waits, in steps of any size: each item once, and an end.
#[test]
fn a_retry_of_everything_in_steps() {
    for limit in 1..=6 {
        let dir = tempfile::tempdir().unwrap();
        let (store, _) = filled(dir.path(), &["a.test", "b.test", "a.test", "c.test", "a.test"], false);
        for domain in ["a.test", "b.test", "c.test"] {
            for item in claim(&store, domain, NOW) {
                assert!(settle(&store, &item, Settle::Again { due: later(300), why: "x".into() }, NOW));
            }
        }
        let (mut count, mut next, mut steps) = (0, Some(String::new()), 0);
        while let Some(after) = next {
            let (more, then) = store.write_blocking(move |c| c.retry_all(&after, NOW, limit)).unwrap();
            (count, next, steps) = (count + more, then, steps + 1);
            assert!(more <= limit && steps < 20, "{limit}");
        }
        assert_eq!(count, 5, "{limit}");
        assert_eq!(due(&store, NOW).len(), 3);
        assert_eq!(claim(&store, "a.test", NOW).len(), 3);
    }
}

/// A notice goes to the address that was written from: it is of the marketplace of its message.
#[test]
fn each_item_is_of_its_marketplace() {
    let dir = tempfile::tempdir().unwrap();
    let (store, items) = filled(dir.path(), &["a.test"], false);
    let (message, address) = (items[0].message, Address::parse("writer@a.test").unwrap());
    let notice = store.write_blocking(move |c| {
        let notice = Some((MessageId(message.0 + 1), b"Subject: x\r\n\r\nx\r\n".to_vec()));
        let (recipient, domain) = (Recipient::Address(address.clone()), "a.test".to_owned());
        let item = c.enqueue(&NewItem { message, kind: Kind::Notice, recipient, domain, notice }, NOW, false)?;
        let id = MessageId(message.0 + 2);
        c.enqueue_forward(&NewForward { id, recipient: &address, content: b"x", network: None }, NOW)?;
        Ok(item)
    });
    let of = |shop: Option<&str>| {
        let which = Which { marketplace: shop.map(str::to_owned), ..Which::default() };
        let found = store.read(|v| Ok((v.queue(&which, 9)?, v.queue_ids(&which, ItemId(MessageId(0)), 9)?))).unwrap();
        (found.0.len(), found.1.len())
    };
    let name = |item: &Item| store.read(|v| v.marketplace_of_item(item)).unwrap();
    let shop = name(&items[0]).unwrap();
    assert_eq!((of(None), of(Some(&shop)), of(Some("other"))), ((3, 3), (2, 2), (0, 0)));
    assert_eq!(name(&notice.unwrap()).as_ref(), Some(&shop));
    let forward = store.read(|v| v.queue_item(ItemId(MessageId(message.0 + 2)))).unwrap().unwrap();
    assert_eq!(name(&forward), None);
}

/// A million items for one destination: what the schedule asks stays cheap. The plan of each question is what is checked, not its time.
#[test]
fn the_schedule_never_reads_all_rows() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = filled(dir.path(), &["a.test"], false);
    let shop = operator::OF_MARKETPLACE;
    let asked = |condition: &str| format!("SELECT * FROM queue WHERE {shop} AND {condition} LIMIT ?2");
    let listed = [operator::WAITING_FOR, operator::ALL, operator::WAITING].map(asked);
    let questions = [
        "SELECT due FROM destination ORDER BY due LIMIT 1",
        "SELECT domain, failures FROM destination WHERE due <= 5 ORDER BY due LIMIT 5",
        "SELECT * FROM queue WHERE leased = 0 AND domain = 'a' AND due <= 5 ORDER BY due LIMIT 5",
        "SELECT due FROM queue WHERE leased = 0 AND domain = 'a' ORDER BY due LIMIT 1",
        "SELECT * FROM queue WHERE leased = 0 AND delay_told = 0 AND queued < 5 ORDER BY queued LIMIT 5",
        &format!("SELECT * FROM queue WHERE {}", operator::OF_MESSAGE),
        "SELECT domain FROM destination WHERE domain > ?1 ORDER BY domain LIMIT 1",
        "SELECT id FROM queue WHERE leased = 0 AND domain = ?2 AND due > ?1 LIMIT ?3",
    ];
    let questions: Vec<&str> = questions.into_iter().chain(listed.iter().map(String::as_str)).collect();
    store
        .read(|view| {
            for question in questions {
                let mut statement = view.0.prepare(&format!("EXPLAIN QUERY PLAN {question}"))?;
                let values = vec![1; statement.parameter_count()];
                let steps = statement.query_map(rusqlite::params_from_iter(values), |row| row.get::<_, String>(3))?;
                let steps: Vec<String> = steps.collect::<rusqlite::Result<_>>()?;
                // Walking along an index from its start is as good as a search.
                let walks = |step: &str| step.contains("INDEX") || question.contains("ORDER BY id");
                let bad = steps.iter().any(|s| (s.contains("SCAN") && !walks(s)) || s.contains("TEMP B-TREE"));
                assert!(!bad, "{question}: {steps:?}");
            }
            Ok(())
        })
        .unwrap();
}

/// A message's own item has its id; notices have ids of their own, which no message is given again.
#[test]
fn notices_beside_their_message() {
    let dir = tempfile::tempdir().unwrap();
    let (store, items) = filled(dir.path(), &["a.test"], false);
    let message = items[0].message;
    for id in [message.0 + 9, message.0 + 5] {
        let (recipient, domain) = (items[0].recipient.clone(), "b.test".to_owned());
        let notice = Some((MessageId(id), b"told".to_vec()));
        let new = NewItem { message, kind: Kind::Notice, recipient, domain, notice };
        store.write_blocking(move |c| c.enqueue(&new, NOW, false)).unwrap();
    }
    let ids: Vec<i64> =
        store.read(|v| v.queue_of(message)).unwrap().iter().map(|item| item.id.0.0 - message.0).collect();
    assert_eq!(ids, [0, 5, 9]);
    assert_eq!(store.read(|v| v.last_message()).unwrap(), MessageId(message.0 + 9));
    assert_eq!(store.read(|v| v.item_content(ItemId(MessageId(message.0 + 5)))).unwrap().unwrap(), b"told");
}
