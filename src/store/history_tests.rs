//! The history in the store: response clock, chain, search and retention.

use super::tests::{message, open, pair};
use super::*;
use crate::types::{MessageId, Role, Time};
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);
const T0: Time = Time(1_800_000_000_000);

/// A buyer's message received at `at`.
fn asked(n: u64, pair: &Pair, at: Time) -> NewMessage {
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
                    Some((Response::Answered, after)) => c.answered(of, at.plus(after))?,
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
    store.write_blocking(move |c| c.answered(of, now)).unwrap();
    assert!(waiting(&store).is_empty());
}
