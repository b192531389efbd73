//! The history in the store: response clock, chain, search and retention.

use super::tests::{message, open, pair};
use super::*;
use crate::types::{MessageId, Role, SystemRandom, Time};
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);
pub(super) const T0: Time = Time(1_800_000_000_000);

/// A buyer's message received at `at`.
pub(super) fn asked(n: u64, pair: &Pair, at: Time) -> NewMessage {
    let id = MessageId::after(MessageId(0), at, n);
    NewMessage {
        received: at,
        thread: id,
        original: None,
        fate: "delivered",
        ..message(id.0, pair, Role::Buyer, "", None)
    }
}

#[test]
fn the_response_clock() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), Open::Create).unwrap();
    let (_, seller, pair) = pair(&store);
    let deadline = HOUR * 24;
    // when it came, how it came to rest and after how long, and the fate of the delivery
    type Rest = Option<(Response, Duration)>;
    let answered = |after| Some((Response::Answered, after));
    let table: &[(Duration, Rest, &str)] = &[
        (DAY * 80, answered(HOUR), "delivered"),
        (DAY * 40, answered(HOUR * 24), "delivered"),
        (DAY * 20, answered(HOUR * 24 + Duration::from_millis(1)), "delivered"),
        (DAY * 6, answered(HOUR * 2), "delivered"),
        (DAY * 5, Some((Response::NotNeeded, HOUR)), "delivered"),
        (DAY * 4, Some((Response::Reported, HOUR)), "delivered"),
        (DAY * 3, None, "delivered"),
        (DAY * 2, None, "failed"),
        (HOUR, None, "queued"),
        (DAY * 100, None, "delivered"),
    ];
    let now = T0.plus(DAY * 200);
    for (n, (ago, rest, fate)) in (0..).zip(table) {
        let (new, rest) = (NewMessage { fate, ..asked(n, &pair, now.minus(*ago)) }, *rest);
        let (id, at, of) = (new.id, new.received, pair.id);
        // Rest is for this one alone: the others come later, or are looked at by id.
        store
            .write_blocking(move |c| {
                c.insert_message(&new)?;
                match rest {
                    Some((Response::Answered, after)) => c.answered(of, None, at.plus(after))?,
                    Some((how, after)) => assert!(c.close_response(id, how, at.plus(after))?),
                    None => {}
                }
                Ok(())
            })
            .unwrap();
    }
    let look = |days: u32| store.read(|v| v.response_statistics(seller, now.minus(DAY * days), now, deadline)).unwrap();
    let week = Statistics {
        in_time: 1,
        late: 0,
        unanswered: 1,
        waiting: 1,
        not_needed: 1,
        reported: 1,
        median_seconds: Some(7200),
    };
    assert_eq!(look(7), week);
    assert_eq!(look(30), Statistics { late: 1, median_seconds: Some(7200), ..week.clone() });
    assert_eq!(look(90), Statistics { in_time: 3, late: 1, median_seconds: Some(7200), ..week });
    assert_eq!(look(0), Statistics::default());

    let waiting = |store: &Store| {
        let filter = Filter { needs_response: true, limit: 99, ..Filter::default() };
        store.read(|v| v.messages(&filter)).unwrap()
    };
    assert_eq!(waiting(&store).len(), 3, "what never reached the seller does not wait for him");
    let id = MessageId(waiting(&store)[0].number);
    let close = |how| store.write_blocking(move |c| c.close_response(id, how, now)).unwrap();
    assert!(close(Response::NotNeeded) && !close(Response::NotNeeded), "a clock stops once");
    assert!(close(Response::Reported) && !close(Response::NotNeeded), "a report stands");
    let row = store.read(|v| v.message(id)).unwrap().unwrap();
    assert_eq!((row.response, row.needs_response), (Some(Response::Reported), false));
    let of = pair.id;
    store.write_blocking(move |c| c.answered(of, None, now)).unwrap();
    assert!(waiting(&store).is_empty());
}

/// A store with a pair, and messages as `n` counts: one a minute from [`T0`], with bodies that say their number.
pub(super) fn kept(store: &Store, pair: &Pair, numbers: std::ops::Range<u64>) {
    let pair = pair.clone();
    let write = move |c: &Change<'_>| {
        for n in numbers.clone() {
            let body =
                Body::pack(format!("Subject: n{n}\r\n\r\nthe cup of number{n} is broken, 返品したい\r\n").as_bytes());
            let new = asked(n, &pair, T0.plus(Duration::from_secs(60 * n)));
            let body = Some(c.insert_body(&body)?);
            c.insert_message(&NewMessage { body, original: Some(format!("{n}@home")), ..new.clone() })?;
            c.record(new.id, new.received, "delivered", "")?;
        }
        Ok(())
    };
    store.write_blocking(write).unwrap();
}

/// Chains all that is there; the blocks.
pub(super) fn chain(store: &Store) -> usize {
    let mut blocks = 0;
    while let Some(block) = store.read(|v| v.next_block(v.last_message()?, &mut SystemRandom)).unwrap() {
        assert!(store.write_blocking(move |c| c.append_block(&block)).unwrap());
        blocks += 1;
    }
    blocks
}

pub(super) fn verify(store: &Store, holds: Option<&str>) -> Verified {
    let (mut found, mut at) = (Verified::default(), None);
    loop {
        at = store.read(|v| v.verify(at.clone(), 2, holds, &mut found)).unwrap();
        if at.is_none() {
            return found;
        }
    }
}

/// Changes rows behind the store's back.
pub(super) fn tamper(store: &Store, sql: &'static str) -> usize {
    store.write_blocking(move |c| Ok(c.0.0.execute(sql, [])?)).unwrap()
}

#[test]
fn each_later_change_shows() {
    let build = || {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path(), Open::Create).unwrap();
        let (_, _, pair) = pair(&store);
        kept(&store, &pair, 0..200);
        assert!(chain(&store) > 2);
        (dir, store, pair)
    };
    let (_dir, store, pair) = build();
    let found = verify(&store, None);
    assert_eq!((found.fault, found.messages, found.events, found.waiting), (None, 200, 200, 0));
    let head = found.head;
    // What changes in the ordinary course of things is no fault.
    let of = pair.id;
    store
        .write_blocking(move |c| {
            c.answered(of, None, T0)?;
            c.set_fate(MessageId::after(MessageId(0), T0, 0), "failed")
        })
        .unwrap();
    kept(&store, &pair, 200..210);
    assert_eq!((verify(&store, None).fault, verify(&store, None).waiting), (None, 10));
    chain(&store);
    let found = verify(&store, Some(&head));
    assert!(found.fault.is_none() && found.holds && found.head != head, "the chain goes on through its old head");
    assert!(!verify(&store, Some(&"ab".repeat(32))).holds);

    let table: &[(&str, &str)] = &[
        ("UPDATE message SET subject = 'y' WHERE id = (SELECT id FROM message LIMIT 1 OFFSET 99)", "changed"),
        ("UPDATE message SET facts = 'proof=proved' WHERE id = (SELECT id FROM message LIMIT 1 OFFSET 99)", "changed"),
        ("UPDATE message SET received = received + 1 WHERE id = (SELECT id FROM message LIMIT 1 OFFSET 99)", "changed"),
        ("UPDATE message SET pair = NULL WHERE id = (SELECT id FROM message LIMIT 1 OFFSET 99)", "changed"),
        ("UPDATE message SET original = NULL WHERE id = (SELECT id FROM message LIMIT 1 OFFSET 99)", "changed"),
        ("UPDATE message SET body = NULL WHERE id = (SELECT id FROM message LIMIT 1 OFFSET 99)", "changed"),
        (
            "UPDATE body SET raw = CAST(replace(CAST(raw AS TEXT), 'broken', 'whole ') AS BLOB) WHERE id = 100",
            "changed",
        ),
        ("DELETE FROM body WHERE id = 100", "changed"),
        ("DELETE FROM message WHERE id = (SELECT id FROM message LIMIT 1 OFFSET 99)", "missing"),
        ("UPDATE event SET what = 'failed' WHERE id = 100", "changed"),
        ("UPDATE event SET at = at + 1 WHERE id = 100", "changed"),
        ("DELETE FROM event WHERE id = 100", "missing"),
        ("UPDATE event SET id = id + 1000 WHERE id = 100", "missing"),
        (
            "INSERT INTO message (id, author, received, size, verdict, reason, thread, fate) \
             SELECT id - 1, 0, received, 1, 'relay', 'relayed', id, 'none' FROM message WHERE id = (SELECT id FROM message LIMIT 1 OFFSET 99)",
            "added",
        ),
        ("DELETE FROM chain WHERE seq = 2", "chain-broken"),
        ("UPDATE chain SET entries = x'00' WHERE seq = 2", "chain-broken"),
    ];
    for (sql, what) in table {
        let (_dir, store, _) = build();
        assert_eq!(tamper(&store, sql), 1, "{sql}");
        let fault = verify(&store, None).fault.unwrap_or_else(|| panic!("nobody sees {sql}"));
        assert_eq!(fault.what, *what, "{sql}");
        let hundredth = MessageId::after(MessageId(0), T0.plus(Duration::from_secs(60 * 99)), 99);
        if *what == "changed" || *what == "missing" {
            assert_eq!(fault.message, hundredth.to_string(), "{sql}: the first that is not as it was");
        }
    }
}

#[test]
fn blocks_do_not_race() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), Open::Create).unwrap();
    let (_, _, pair) = pair(&store);
    kept(&store, &pair, 0..3);
    kept(&store, &pair, 5..9);
    let block = store.read(|v| v.next_block(v.last_message()?, &mut SystemRandom)).unwrap().unwrap();
    // One that was still on its way is in the store when the block comes.
    kept(&store, &pair, 4..5);
    let append = |block| store.write_blocking(move |c| c.append_block(&block)).unwrap();
    assert!(!append(block), "made without the late one");
    let again = || store.read(|v| v.next_block(v.last_message()?, &mut SystemRandom)).unwrap().unwrap();
    let (one, two) = (again(), again());
    assert!(append(one) && !append(two), "two who chain at once");
    // Too late for the chain is too late for the store.
    let late = asked(3, &pair, T0.plus(Duration::from_secs(60 * 3)));
    assert!(store.write_blocking(move |c| c.insert_message(&late)).is_err());
    assert_eq!(verify(&store, None).fault, None);
}

#[test]
fn one_message_that_cannot_be_read_holds_up_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), Open::Create).unwrap();
    let (_, _, pair) = pair(&store);
    kept(&store, &pair, 0..5);
    assert_eq!(tamper(&store, "UPDATE body SET packed = 1, raw = x'00' WHERE id = (SELECT min(id) + 1 FROM body)"), 1);
    assert!(chain(&store) > 0);
    let found = verify(&store, None);
    assert_eq!((found.fault, found.messages, found.waiting), (None, 5, 0));
    let purged = store.write_blocking(|c| c.purge(received_before(T0.plus(DAY)), 100)).unwrap();
    assert_eq!(purged.messages, 5);
}

/// What was received before a moment has been there for long enough.
pub(super) fn received_before(before: Time) -> Old {
    Old { to: MessageId(i64::MAX), before, now: Time(i64::MAX), days: before }
}

#[test]
fn a_wrong_clock_deletes_nothing_and_keeps_nothing_for_ever() {
    /// Days from [`T0`] to 2106, and to 1970.
    const FAR: (i64, i64) = (29_000, -20_800);
    // what the clock does: where it begins, in days from T0, and for how many quarters of a day it goes on from there; what is kept for 7 days is there at the end
    type Script = &'static [(i64, u32)];
    let table: &[(&str, Script, bool)] = &[
        ("it is right, and nobody writes", &[(0, 27)], true),
        ("it is right, and the days are over", &[(0, 30)], false),
        ("it jumps to 2106", &[(0, 4), (FAR.0, 20)], true),
        ("it stays there", &[(0, 4), (FAR.0, 27)], false),
        ("it jumps to 2106 and back", &[(0, 4), (FAR.0, 4), (2, 4), (FAR.0, 4), (4, 4), (FAR.0, 4)], true),
        ("it was in 2106 when the message came", &[(FAR.0, 4), (1, 20)], true),
        ("the same, and the days are over", &[(FAR.0, 4), (1, 27)], false),
        ("it falls back to 1970", &[(0, 4), (FAR.1, 20)], true),
        ("it stays there, too", &[(0, 4), (FAR.1, 27)], false),
        ("it was in 1970 when the message came", &[(FAR.1, 4), (1, 20)], true),
        ("it goes to and fro", &[(0, 1), (FAR.0, 1), (0, 1), (FAR.1, 1), (FAR.0, 1), (FAR.1, 1), (1, 1)], true),
        ("it falls back by days", &[(0, 24), (1, 12)], true),
        ("the relay stops for days", &[(0, 4), (4, 4), (7, 4)], false),
        ("the relay stops for a month", &[(0, 4), (31, 4)], true),
    ];
    for (name, script, stays) in table {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path(), Open::Create).unwrap();
        let (_, seller, pair) = pair(&store);
        let quarter = |day: i64, n: u32| Time(T0.0 + day * 86_400_000).plus(DAY / 4 * n);
        let at = quarter(script[0].0, 0);
        let new = NewMessage { thread: MessageId(0), ..asked(1, &pair, at) };
        store.write_blocking(move |c| c.insert_message(&new).and_then(|()| c.count_quota(seller, at))).unwrap();
        chain(&store);
        for now in script.iter().flat_map(|(day, many)| (0..*many).map(|n| quarter(*day, n))) {
            let look = move |c: &Change<'_>| {
                c.witness(now)?;
                c.old(DAY * 7, now)?.map_or(Ok(Purged::default()), |old| c.purge(old, 10))
            };
            store.write_blocking(look).unwrap();
        }
        let left = store
            .read(|v| Ok((v.messages(&Filter { limit: 9, ..Filter::default() })?.len(), v.quota_used(seller, at)?)));
        let (messages, quota) = left.unwrap();
        assert_eq!(messages == 1, *stays, "{name}");
        assert!(quota == 1 || !stays, "{name}: what was sent that day is still counted");
    }
}

/// A body goes with the last of its messages, whichever that is.
#[test]
fn a_shared_body_stays_as_long_as_it_is_needed() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), Open::Create).unwrap();
    let (_, _, pair) = pair(&store);
    let of = pair.clone();
    let write = move |c: &Change<'_>| {
        let body = Some(c.insert_body(&Body::pack(b"Subject: x\r\n\r\nfor two\r\n"))?);
        (0..2).try_for_each(|n| c.insert_message(&NewMessage { body, shared: true, ..asked(n, &of, T0) }))
    };
    store.write_blocking(write).unwrap();
    chain(&store);
    let end = received_before(T0.plus(DAY));
    for (left, raw) in [(1, true), (0, false)] {
        assert_eq!(store.write_blocking(move |c| c.purge(end, 1)).unwrap().messages, 1);
        let messages = store.read(|v| v.messages(&Filter { limit: 9, ..Filter::default() })).unwrap();
        assert_eq!(messages.len(), left);
        let bodies: i64 = store.read(|v| Ok(v.0.query_row("SELECT count(*) FROM body", [], |r| r.get(0))?)).unwrap();
        assert_eq!(bodies == 1, raw, "{left} messages left");
    }
}

#[test]
fn what_is_old_goes_in_bounded_steps() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), Open::Create).unwrap();
    let (_, seller, pair) = pair(&store);
    kept(&store, &pair, 0..2000);
    // Not chained yet: it stays.
    let end = received_before(T0.plus(Duration::from_secs(60 * 1500)));
    let step = move |c: &Change<'_>| c.purge(end, 100);
    assert!(store.write_blocking(step).unwrap().is_nothing());
    chain(&store);
    store
        .write_blocking(move |c| {
            (0..100).try_for_each(|day| c.count_quota(seller, Time(day * 86_400_000)))?;
            c.report(MessageId::after(MessageId(0), T0, 0), Role::Buyer, "rude", T0)?;
            // Still has to go out.
            c.set_fate(MessageId::after(MessageId(0), T0.plus(Duration::from_secs(60 * 7)), 7), "queued")
        })
        .unwrap();
    let whole = verify(&store, None).head;
    let count = |table: &str| {
        let sql = format!("SELECT count(*) FROM {table}");
        store.read(|v| Ok(v.0.query_row(&sql, [], |row| row.get::<_, i64>(0))?)).unwrap()
    };
    let pages = |store: &Store| {
        store.write_blocking(|c| Ok(c.0.0.pragma_query_value(None, "page_count", |r| r.get::<_, i64>(0))?)).unwrap()
    };
    let before = pages(&store);
    let mut steps = 0;
    loop {
        let gone = store.write_blocking(step).unwrap();
        assert!(gone.messages <= 100 && gone.blocks <= 100 && gone.quota <= 1000, "{gone:?}");
        if gone.is_nothing() {
            break;
        }
        steps += 1;
        assert_eq!(verify(&store, Some(&whole)).fault, None, "after step {steps}");
    }
    assert!((15..18).contains(&steps), "{steps}");
    let left = ["message", "body", "mid", "event", "quota", "report"].map(count);
    assert_eq!(left, [501, 501, 501, 501, 0, 0]);
    let hits = |text: &str| {
        let filter = Filter { text: crate::message::search::query(text), limit: 9999, ..Filter::default() };
        store.read(|v| v.messages(&filter)).unwrap().len()
    };
    assert_eq!((hits("number8"), hits("number1600"), hits("返品")), (0, 1, 501));
    let found = verify(&store, Some(&whole));
    assert!(found.fault.is_none() && found.holds, "{found:?}");

    // The queued one goes when it has gone out; then its block is no hold any more, and the anchor takes over.
    let blocks = count("chain");
    store
        .write_blocking(move |c| {
            c.set_fate(MessageId::after(MessageId(0), T0.plus(Duration::from_secs(60 * 7)), 7), "delivered")?;
            c.purge(end, 100)
        })
        .unwrap();
    assert!(count("chain") < blocks);
    let found = verify(&store, Some(&whole));
    assert!(found.fault.is_none() && found.holds && found.gone < 100, "{found:?}");
    // Nor can somebody else take away what is younger.
    assert_eq!(tamper(&store, "DELETE FROM message WHERE id = (SELECT id FROM message LIMIT 1 OFFSET 1)"), 1);
    assert_eq!(verify(&store, None).fault.unwrap().what, "missing");

    // The space goes back in steps.
    let mut steps = 0;
    while store.write_blocking(|c| c.shrink(10)).unwrap() {
        steps += 1;
        assert!(steps < 1000);
    }
    assert!(steps > 0 && pages(&store) < before, "{steps} {before} {}", pages(&store));

    // All of it: numbers and ids go on where they were.
    let last = store.read(|v| v.last_message()).unwrap();
    let far = received_before(T0.plus(DAY * 300));
    while !store.write_blocking(move |c| c.purge(far, 1000)).unwrap().is_nothing() {}
    // The newest event stays; the one whose message somebody has taken away goes like others.
    assert_eq!((count("message"), count("event"), count("chain")), (0, 1, 1));
    assert_eq!(store.read(|v| v.last_message()).unwrap(), last);
    let found = verify(&store, Some(&whole));
    assert!(found.fault.is_none() && found.holds && found.messages == 0, "{found:?}");
    kept(&store, &pair, 2001..2002);
    chain(&store);
    assert_eq!(verify(&store, Some(&whole)).fault, None);
}

/// A notice about sums of refused mail has no message, and one may go out after its message is
/// gone.
#[test]
fn events_of_no_message_go_when_they_are_old() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), Open::Create).unwrap();
    let (_, _, pair) = pair(&store);
    kept(&store, &pair, 0..3);
    let tell = |at: Time| {
        let write = move |c: &Change<'_>| {
            (0..30).try_for_each(|_| c.record(MessageId(0), at, "notice-delivered", ""))?;
            c.record(MessageId::after(MessageId(0), T0, 0), at, "notice-delivered", "")
        };
        store.write_blocking(write).unwrap();
    };
    let count = || store.read(|v| Ok(v.0.query_row("SELECT count(*) FROM event", [], |row| row.get::<_, i64>(0))?));
    let old = received_before(T0.plus(DAY));
    tell(T0);
    // Not chained yet: they stay.
    assert!(store.write_blocking(move |c| c.purge(old, 1)).unwrap().is_nothing());
    chain(&store);
    let gone = store.write_blocking(move |c| c.purge(old, 100)).unwrap();
    assert_eq!((gone.messages, gone.events), (3, 30 - 1 + 1), "all but the newest of them");
    tell(T0.plus(DAY * 2));
    chain(&store);
    let step = || store.write_blocking(move |c| c.purge(old, 1)).unwrap();
    assert!(step().events <= 10);
    while !step().is_nothing() {}
    assert_eq!(count().unwrap(), 31, "the young ones");
    assert_eq!(verify(&store, None).fault, None);
    let end = received_before(T0.plus(DAY * 3));
    assert_eq!(store.write_blocking(move |c| c.purge(end, 1)).unwrap().events, 10, "in bounded steps");
}
