//! Erasure against a real file: the chain, stores from before, crashes, races, and what is left in
//! the files.

use crate::store::chain::{Hash, entries};
use crate::store::history_tests::{T0, asked, chain, kept, received_before, tamper, verify};
use crate::store::tests::{open, pair};
use crate::store::*;
use crate::types::random::Seeded;
use crate::types::{MessageId, Random as _, Role, SystemRandom, Time};
use data_encoding::HEXLOWER;
use rusqlite::params;
use sha2::{Digest as _, Sha256};
use std::time::Duration;

fn now() -> Time {
    T0.plus(Duration::from_secs(86_400))
}

fn nth(n: u64) -> MessageId {
    MessageId::after(MessageId(0), T0.plus(Duration::from_secs(60 * n)), n)
}

fn erase_one(store: &Store, n: u64) -> Result<ErasedMessage> {
    store.write_blocking(move |c| c.erase_one(nth(n), "kim", now(), &mut SystemRandom))
}

/// The seller's messages, which quote and name the buyer, among the buyer's.
fn answers(store: &Store, pair: &Pair, numbers: std::ops::Range<u64>) {
    let pair = pair.clone();
    let write = move |c: &Change<'_>| {
        for n in numbers.clone() {
            let raw = format!(
                "Subject: Re: n{}\r\nTo: b1 Ltd <x@m.test>\r\n\r\nDear b1 Ltd, answer{n} of ours\r\n> the cup of number{} is broken, 返品したい\r\n",
                n - 1,
                n - 1
            );
            let new = NewMessage { author: Role::Seller, needs_response: false, ..asked(n, &pair, nth_time(n)) };
            let body = Some(c.insert_body(&Body::pack(raw.as_bytes()))?);
            c.insert_message(&NewMessage { body, subject: format!("Re: n{}", n - 1), ..new })?;
        }
        Ok(())
    };
    store.write_blocking(write).unwrap();
}

fn nth_time(n: u64) -> Time {
    T0.plus(Duration::from_secs(60 * n))
}

/// Ten of the buyer's messages with an answer behind each.
fn talk(store: &Store, pair: &Pair, numbers: std::ops::Range<u64>) {
    for n in numbers {
        kept(store, pair, 2 * n..2 * n + 1);
        let id = nth(2 * n);
        store
            .write_blocking(move |c| {
                Ok(c.0
                    .0
                    .execute("UPDATE message SET subject = ?2 WHERE id = ?1", params![id.0, format!("n{}", 2 * n)])?)
            })
            .unwrap();
        answers(store, pair, 2 * n + 1..2 * n + 2);
    }
}

fn scan(store: &Store, word: &str) -> usize {
    let filter = Filter { limit: 999, ..Filter::default() };
    let rows = store.read(|v| v.messages(&filter)).unwrap();
    let says = |row: &&MessageRow| {
        let raw = store.read(|v| v.raw(MessageId(row.number))).unwrap().unwrap_or_default();
        row.subject.contains(word) || String::from_utf8_lossy(&raw).contains(word)
    };
    rows.iter().filter(says).count()
}

#[test]
fn what_is_erased_is_no_change_and_what_changes_then_is() {
    let build = || {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path(), Open::Create).unwrap();
        let (buyer, _, pair) = pair(&store);
        talk(&store, &pair, 0..10);
        // One in the name of each side was sent by another.
        assert_eq!(
            tamper(
                &store,
                "UPDATE message SET sent_by = 'mallory@provider.test' WHERE id IN (SELECT id FROM message LIMIT 2)"
            ),
            2
        );
        chain(&store);
        let head = verify(&store, None).head;
        // Behind the chain, too.
        talk(&store, &pair, 10..12);
        let done = store.erase_party(buyer, "kim", now, SystemRandom).unwrap();
        assert_eq!((done.messages, done.changed, done.before_already), (12, 12, false), "{done:?}");
        chain(&store);
        (dir, store, head, buyer)
    };
    let (_dir, store, head, buyer) = build();
    for gone in ["the cup", "b1 Ltd", "返品", "n2"] {
        assert_eq!(scan(&store, gone), 0, "{gone}");
    }
    assert_eq!((scan(&store, "answer"), scan(&store, "Dear [erased]")), (12, 12));
    for n in 0..2 {
        assert_eq!(store.read(|v| v.sender_of(nth(n))).unwrap(), None, "who sent {n}");
    }
    let found = verify(&store, Some(&head));
    assert_eq!((found.fault, found.holds, found.erased, found.messages, found.waiting), (None, true, 24, 0, 0));
    assert_eq!(found.erasures.len(), 1);
    assert_eq!((found.erasures[0].messages, found.erasures[0].erasure.by.as_str()), (24, "kim"));
    let again = store.erase_party(buyer, "lee", now, SystemRandom).unwrap();
    assert!(again.before_already && again.messages == 0 && again.erasure.by == "kim", "{again:?}");

    // An index of one row for each, 12 answers' words, and nothing else.
    let hits = |text: &str| {
        let filter = Filter { text: crate::message::search::query(text), limit: 99, ..Filter::default() };
        store.read(|v| v.messages(&filter)).unwrap().len()
    };
    assert_eq!((hits("cup"), hits("返品"), hits("answer1"), hits("ours")), (0, 0, 1, 12));

    // The first is the buyer's, the second the seller's.
    let table: &[&str] = &[
        "UPDATE message SET verdict = 'block' WHERE id = (SELECT min(id) FROM message)",
        "UPDATE message SET subject = 'back' WHERE id = (SELECT min(id) FROM message)",
        "UPDATE message SET body = (SELECT min(id) FROM body) WHERE id = (SELECT min(id) FROM message)",
        "UPDATE message SET subject = 'other' WHERE id = (SELECT id FROM message LIMIT 1 OFFSET 1)",
        "UPDATE body SET raw = CAST(replace(CAST(raw AS TEXT), 'answer', 'lie') AS BLOB) WHERE id = (SELECT min(id) FROM body)",
        "DELETE FROM tombstone WHERE message = (SELECT min(message) FROM tombstone)",
        "UPDATE tombstone SET leaf = x'00' WHERE message = (SELECT min(message) FROM tombstone)",
        "UPDATE event SET detail = 'all, by lee' WHERE id = (SELECT min(id) FROM event WHERE what = 'erased')",
        "DELETE FROM event WHERE id = (SELECT min(id) FROM event WHERE what = 'erased')",
        "UPDATE chain SET salts = x'' WHERE seq = 1",
        "UPDATE chain SET head = zeroblob(32) WHERE seq = 1",
        "UPDATE chain SET salts = NULL, head = NULL WHERE seq = 1",
    ];
    for sql in table {
        let (_dir, store, ..) = build();
        assert_eq!(tamper(&store, sql), 1, "{sql}");
        assert!(verify(&store, None).fault.is_some(), "nobody sees {sql}");
    }
    // What was not erased is not taken for erased because somebody writes that it was.
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), Open::Create).unwrap();
    let (_, _, pair) = pair_of(&store);
    kept(&store, &pair, 0..9);
    chain(&store);
    erase_one(&store, 3).unwrap();
    assert_eq!(tamper(&store, "UPDATE message SET subject = 'y' WHERE id = (SELECT min(id) FROM message)"), 1);
    assert_eq!(
        tamper(
            &store,
            "INSERT INTO tombstone SELECT (SELECT min(id) FROM message), erasure, whole, salt, leaf FROM tombstone"
        ),
        1
    );
    assert_eq!(verify(&store, None).fault.unwrap().what, "changed");
}

use pair as pair_of;

/// All files of a directory, as text.
fn fs_text(dir: &std::path::Path) -> String {
    let files = std::fs::read_dir(dir).unwrap().map(|entry| std::fs::read(entry.unwrap().path()).unwrap());
    files.map(|octets| String::from_utf8_lossy(&octets).into_owned()).collect()
}

/// Words of the index's pages.
fn terms(store: &Store) -> Vec<String> {
    let read = |c: &Change<'_>| {
        c.0.0.execute_batch("CREATE VIRTUAL TABLE temp.term USING fts5vocab(main, search, row)")?;
        let terms: Vec<String> = {
            let mut statement = c.0.0.prepare("SELECT term FROM temp.term")?;
            statement.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?
        };
        c.0.0.execute_batch("DROP TABLE temp.term")?;
        Ok(terms)
    };
    store.write_blocking(read).unwrap()
}

/// One of many, whose rows share pages with theirs and were moved about: as many as fill some
/// pages of each table.
#[test]
fn nothing_is_left_in_the_files() {
    const PARTIES: u64 = 400;
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), Open::Create).unwrap();
    // As a version before this one wrote, which overwrote nothing.
    let plain =
        |c: &Change<'_>| Ok(c.0.0.pragma_update_and_check(None, "secure_delete", false, |row| row.get::<_, i64>(0))?);
    assert_eq!(store.write_blocking(plain).unwrap(), 0);
    let (_, seller, _) = pair(&store);
    let word = |n: u64| HEXLOWER.encode(&Sha256::digest(n.to_be_bytes())[..8]);
    let mut victim = None;
    for n in 0..PARTIES {
        let own = word(n);
        let made = store.write_blocking(move |c| {
            let address = |at: &str| crate::types::Address::parse(&format!("{own}@{at}.test"));
            let new = NewParty {
                marketplace: "jp".into(),
                role: Role::Buyer,
                external: format!("B-{n}").parse().unwrap(),
                name: Some(format!("name{own}")),
                main: address("home").ok(),
                further: Some((0..3).map(|i| address(&format!("further{i}")).unwrap()).collect()),
                language: None,
                auto_replies: None,
                unauthenticated: None,
            };
            let (buyer, _) = c.set_party(&new, &["m.test".to_owned()], T0)?;
            let pair = c.pair_or_new(buyer, seller, ("m.test", 35), T0, &mut SystemRandom)?;
            let pair = c.pair(pair)?;
            // Some longer than a page, some not kept long: their pages are used again.
            let text = format!("body{own} ").repeat(if n % 7 == 0 { 700 } else { 9 });
            let raw: Vec<u8> = format!("Subject: subject{own}\r\n\r\n{text}\r\n").into_bytes();
            let new = NewMessage { original: Some(format!("mid{own}@home")), ..asked(n, &pair, nth_time(n)) };
            let body = Some(c.insert_body(&Body::pack(&raw))?);
            c.insert_message(&NewMessage { body, subject: format!("subject{own}"), ..new })?;
            Ok(buyer)
        });
        let buyer = made.unwrap();
        if n == PARTIES / 2 {
            victim = Some(buyer);
        }
        // The address changes, as people move.
        let own = word(n);
        let moved = store.write_blocking(move |c| {
            c.0.0.execute("UPDATE party SET name = name || ' the ' || name WHERE id = ?1", [buyer.0])?;
            c.0.0.execute(
                "UPDATE party_address SET address = 'former-' || address WHERE party = ?1 AND kind = 1",
                [buyer.0],
            )?;
            c.record(nth(n), nth_time(n), "delivered", "").map(|()| own)
        });
        moved.unwrap();
    }
    chain(&store);
    let buyer = victim.unwrap();
    let gone = move |c: &Change<'_>| {
        Ok(c.0.0.execute("DELETE FROM party_address WHERE party = ?1 AND kind = 1", [buyer.0])?)
    };
    assert_eq!(store.write_blocking(gone).unwrap(), 3);
    let own = word(PARTIES / 2);
    assert!(fs_text(dir.path()).contains(&own) && terms(&store).contains(&format!("body{own}")));
    store.erase_party(buyer, "kim", now, SystemRandom).unwrap();
    assert_eq!(store.clear_remains().unwrap(), Remains::None);
    let left = terms(&store);
    assert!(left.contains(&format!("body{}", word(1))) && !left.iter().any(|term| term.contains(&own)));
    assert!(!fs_text(dir.path()).contains(&own), "while the store is open");
    chain(&store);
    assert_eq!((verify(&store, None).fault, verify(&store, None).erased), (None, 1));
    store.close();
    let files = fs_text(dir.path());
    assert!(!files.contains(&own) && files.contains(&word(1)));
}

/// Makes a chain look as it did before there were salts.
fn age(store: &Store) {
    let aged = store.write_blocking(|c| {
        let mut hash: Hash = [0; 32];
        let blocks: Vec<(i64, Vec<u8>)> = {
            let mut statement = c.0.0.prepare("SELECT seq, entries FROM chain ORDER BY seq")?;
            let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            rows.collect::<rusqlite::Result<_>>()?
        };
        for (seq, mut block) in blocks {
            let list = entries(&block, None).unwrap();
            for (entry, octets) in list.iter().zip(block.chunks_exact_mut(49)) {
                hash = if entry.event {
                    c.event_record(entry.id)?.unwrap().leaf(&hash)
                } else {
                    c.message_record(entry.id)?.unwrap().record.leaf(&hash)
                };
                octets[17..].copy_from_slice(&hash);
            }
            let sql = "UPDATE chain SET entries = ?2, salts = NULL, head = NULL WHERE seq = ?1";
            c.0.0.execute(sql, params![seq, block])?;
        }
        Ok(())
    });
    aged.unwrap();
}

#[test]
fn a_chain_from_before_holds_and_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), Open::Create).unwrap();
    let (buyer, _, pair) = pair(&store);
    talk(&store, &pair, 0..80);
    assert!(chain(&store) > 1);
    age(&store);
    let head = verify(&store, None).head;
    let found = verify(&store, None);
    assert_eq!((found.fault, found.messages), (None, 160));
    // A change shows in the old form as it did.
    let changed = "UPDATE message SET facts = 'proof=proved' WHERE id = (SELECT id FROM message LIMIT 1 OFFSET 99)";
    let undone = "UPDATE message SET facts = '' WHERE id = (SELECT id FROM message LIMIT 1 OFFSET 99)";
    tamper(&store, changed);
    assert_eq!(verify(&store, None).fault.unwrap().what, "changed");
    tamper(&store, undone);
    talk(&store, &pair, 80..90);
    chain(&store);
    assert!(verify(&store, Some(&head)).holds);
    erase_one(&store, 7).unwrap();
    let found = verify(&store, Some(&head));
    assert_eq!((found.fault, found.holds, found.erased), (None, true, 1));
    store.erase_party(buyer, "kim", now, SystemRandom).unwrap();
    chain(&store);
    let found = verify(&store, Some(&head));
    assert_eq!((found.fault, found.holds, found.erased), (None, true, 180));
    // Retention takes old blocks and new ones.
    let end = received_before(nth_time(170));
    while !store.write_blocking(move |c| c.purge(end, 10)).unwrap().is_nothing() {
        assert_eq!(verify(&store, None).fault, None);
    }
    let left: i64 = store.read(|v| Ok(v.0.query_row("SELECT count(*) FROM tombstone", [], |r| r.get(0))?)).unwrap();
    assert_eq!(left, 10, "a tombstone goes with its message");
}

#[test]
fn an_erasure_and_whoever_looked_before() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), Open::Create).unwrap();
    let (buyer, _, pair) = pair(&store);
    talk(&store, &pair, 0..3);
    // A block whose words were read before.
    let block = store.read(|v| v.next_block(v.last_message()?, &mut SystemRandom)).unwrap().unwrap();
    erase_one(&store, 2).unwrap();
    assert!(!store.write_blocking(move |c| c.append_block(&block)).unwrap(), "it has words that are gone");
    chain(&store);
    assert_eq!((verify(&store, None).fault, verify(&store, None).erased), (None, 1));
    // Something stops it behind its first step, and between two.
    let party = store.read(|v| v.party(buyer)).unwrap();
    store.write_blocking(move |c| c.begin_erasure(&party, "kim", now())).unwrap();
    let late = asked(9, &pair, nth_time(9));
    assert!(store.write_blocking(move |c| c.insert_message(&late)).is_err(), "a message that was judged before");
    let told = |by: Role| {
        store
            .write_blocking(move |c| {
                c.report(nth(1), by, "in my words", now())?;
                c.reason_of(nth(1), by)
            })
            .unwrap()
    };
    assert_eq!((told(Role::Buyer).as_deref(), told(Role::Seller).as_deref()), (Some(""), Some("in my words")));
    let state = |store: &Store| store.read(|v| v.erasure_of_party(buyer)).unwrap().unwrap().done;
    assert!(!state(&store));
    let stopped = store.write_blocking(move |c| {
        let erasure = c.erasure_of_party(buyer)?.unwrap();
        c.erase_message(&erasure, nth(0), now(), &mut SystemRandom)
    });
    assert!(stopped.unwrap().erased);
    let party = store.read(|v| v.party(buyer)).unwrap();
    assert!(party.removed && party.main.is_none() && !party.known.is_empty(), "the next steps need its addresses");
    let done = store.erase_party(buyer, "lee", now, SystemRandom).unwrap();
    assert_eq!((done.messages, done.erasure.by.as_str(), state(&store)), (1, "kim", true), "{done:?}");
    assert_eq!(scan(&store, "b1 Ltd"), 0);
    chain(&store);
    assert_eq!(verify(&store, None).fault, None);
    let party = store.read(|v| v.party(buyer)).unwrap();
    assert_eq!((party.name.as_str(), party.known.len()), ("", 0));
}

#[test]
fn a_body_that_several_have_is_changed_for_each() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), Open::Create).unwrap();
    let (buyer, _, pair) = pair(&store);
    let (of, other) = (pair.clone(), pair);
    let write = move |c: &Change<'_>| {
        let raw = b"Subject: news\r\n\r\nDear b1 Ltd and all, news of ours\r\n";
        let body = Some(c.insert_body(&Body::pack(raw))?);
        for (n, pair) in [(0, Some(of.id)), (1, None)] {
            let new = NewMessage { author: Role::Seller, body, shared: true, ..asked(n, &of, nth_time(n)) };
            c.insert_message(&NewMessage { pair, ..new })?;
        }
        Ok(())
    };
    store.write_blocking(write).unwrap();
    chain(&store);
    let one = erase_one(&store, 0).unwrap();
    assert_eq!((one.erased, one.same), (true, 1));
    assert_eq!(scan(&store, "b1 Ltd"), 1, "the other receiver's copy stays");
    kept(&store, &other, 2..3);
    let put = "UPDATE message SET body = (SELECT min(id) FROM body) WHERE id = (SELECT min(id) FROM message)";
    // As it was before, to erase the buyer in both.
    tamper(&store, put);
    tamper(&store, "DELETE FROM tombstone");
    store.erase_party(buyer, "kim", now, SystemRandom).unwrap();
    assert_eq!((scan(&store, "b1 Ltd"), scan(&store, "news of ours")), (0, 2));
    let stones: i64 = store.read(|v| Ok(v.0.query_row("SELECT count(*) FROM tombstone", [], |r| r.get(0))?)).unwrap();
    assert_eq!(stones, 3, "both copies, and the buyer's own");
}

#[test]
fn an_opt_out_comes_back_with_the_address() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), Open::Create).unwrap();
    let (buyer, seller, _) = pair(&store);
    let again = |id: &'static str, role: Role, marketplace: &'static str, email: &'static str| {
        store
            .write_blocking(move |c| {
                let new = NewParty {
                    marketplace: marketplace.into(),
                    role,
                    external: id.parse().unwrap(),
                    name: None,
                    main: Some(crate::types::Address::parse("new@other.test").unwrap()),
                    further: Some(vec![crate::types::Address::parse(email).unwrap()]),
                    language: None,
                    auto_replies: None,
                    unauthenticated: None,
                };
                let (id, _) = c.set_party(&new, &["m.test".to_owned()], now())?;
                Ok(c.party(id)?.opted_out)
            })
            .unwrap()
    };
    store.write_blocking(move |c| c.set_switch(buyer, Switch::OptedOut, true)).unwrap();
    store.erase_party(buyer, "kim", now, SystemRandom).unwrap();
    store.erase_party(seller, "kim", now, SystemRandom).unwrap();
    assert!(again("b2", Role::Buyer, "jp", "B+x@HOME.test"));
    assert!(!again("b3", Role::Buyer, "de", "b@home.test"), "another marketplace is another matter");
    assert!(!again("b4", Role::Buyer, "jp", "c@home.test"));
    assert!(!again("s4", Role::Seller, "jp", "b@home.test"));
    // He opts in, and is erased: what he said last counts.
    let second = store.read(|v| v.party_by_external("jp", Role::Buyer, "b2")).unwrap().unwrap().id;
    store.write_blocking(move |c| c.set_switch(second, Switch::OptedOut, false)).unwrap();
    store.erase_party(second, "kim", now, SystemRandom).unwrap();
    assert!(!again("b5", Role::Buyer, "jp", "b@home.test"));
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 24, ..Default::default() })]
    /// Whatever is written, chained, erased and purged in whatever order, the chain holds.
    #[test]
    fn any_order_holds(steps in proptest::collection::vec((0_u8..6, 0_u64..40), 1..25), seed: u64) {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path(), Open::Create).unwrap();
        let (buyer, seller, pair) = pair(&store);
        let (mut next, mut erased, mut random) = (0, false, Seeded::new(seed));
        for (step, n) in steps {
            match step {
                0 | 1 if !erased => {
                    talk(&store, &pair, next..next + 1 + n % 4);
                    next += 1 + n % 4;
                }
                2 => {
                    let most = 1 + usize::try_from(random.number() % 3).unwrap();
                    for _ in 0..most {
                        let Some(block) = store.read(|v| v.next_block(nth(n), &mut SystemRandom)).unwrap() else { break };
                        proptest::prop_assert!(store.write_blocking(move |c| c.append_block(&block)).unwrap());
                    }
                }
                3 => drop(erase_one(&store, n)),
                4 if n % 5 == 0 => {
                    let whom = if n % 2 == 0 { buyer } else { seller };
                    store.erase_party(whom, "kim", now, SystemRandom).unwrap();
                    erased = true;
                }
                5 => {
                    let end = received_before(nth_time(n));
                    store.write_blocking(move |c| c.purge(end, 5)).unwrap();
                }
                _ => {}
            }
            let found = verify(&store, None);
            proptest::prop_assert!(found.fault.is_none(), "{:?} after {} {}", found, step, n);
        }
    }
}
