//! Floor 6: what has to be done behind everybody's back: the chain and the full-text index follow the history, and what is old goes. In small steps with rests between them
//! that are longer than the steps, so that nobody waits for it.

use crate::store::{Result, Store};
use crate::types::{MessageId, SystemRandom, Time};
use std::time::{Duration, Instant};

/// How often retention looks, messages of one step, and pages that one step gives back.
const ROUND: Duration = Duration::from_secs(3600);
const STEP: usize = 50;
const PAGES: u32 = 64;
/// A message is chained when it has been there for so long: until then one with a lower id may still be on its way into the store. An id is drawn before the message is
/// written anew for each of its recipients, and a large one to a hundred of them takes its time on a busy machine.
const SETTLED: Duration = Duration::from_secs(300);
/// A rest is so many times as long as the step before it, within bounds.
const REST_FACTOR: u32 = 10;
const REST: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(2));
/// For so long the chain may go on when the daemon stops.
const LAST: Duration = Duration::from_secs(2);

/// Keeps the history in order until the task is dropped. Messages go after `keep_days`, however wrong the clock `now` is: see [`crate::store::Old`].
pub async fn run(store: Store, keep_days: u32, now: fn() -> Time) {
    tokio::join!(follow(&store), retain(&store, keep_days, now));
}

/// Puts what is left of the history into chain and index. Only when nobody accepts messages any more.
pub async fn finish(store: &Store) {
    let until = Instant::now() + LAST;
    let Ok(newest) = store.read(|view| view.last_message()) else { return };
    while Instant::now() < until && matches!(chain(store, newest).await, Ok(true)) {}
}

/// The chain and the index follow the history.
async fn follow(store: &Store) {
    // Nothing is on its way when the daemon starts.
    let mut noted = newest(store);
    loop {
        let settled = noted;
        noted = newest(store);
        loop {
            let started = Instant::now();
            match chain(store, settled).await {
                Ok(true) => rest(started).await,
                Ok(false) => break,
                Err(error) => {
                    tracing::error!(%error, "cannot chain the history");
                    break;
                }
            }
        }
        tokio::time::sleep(SETTLED).await;
    }
}

fn newest(store: &Store) -> MessageId {
    store.read(|view| view.last_message()).unwrap_or(MessageId(0))
}

/// One block. Says whether there may be more.
async fn chain(store: &Store, settled: MessageId) -> Result<bool> {
    let reader = store.clone();
    // Unpacking, hashing and reading texts is work for a thread that may take its time.
    let block =
        tokio::task::spawn_blocking(move || reader.read(|view| view.next_block(settled, &mut SystemRandom))).await;
    // A panic there has been reported by the hook.
    let Some(block) = block.unwrap_or(Ok(None))? else { return Ok(false) };
    store.write_with_others(move |change| change.append_block(&block)).await
}

/// As long as it takes not to be noticed.
async fn rest(started: Instant) {
    tokio::time::sleep(started.elapsed().saturating_mul(REST_FACTOR).clamp(REST.0, REST.1)).await;
}

/// Lets go of what is older than `keep_days`, and of the space.
async fn retain(store: &Store, keep_days: u32, now: fn() -> Time) {
    let keep = Duration::from_secs(u64::from(keep_days) * 86_400);
    loop {
        if let Ok(position) = store.read(|view| view.chain_position()) {
            // Who keeps the log elsewhere can prove that the chain was not made anew: `history verify --holds`.
            tracing::info!(head = %position.head(), "chained");
        }
        if let Err(error) = purge(store, keep, now()).await {
            tracing::error!(%error, "cannot purge old messages");
        }
        tokio::time::sleep(ROUND).await;
    }
}

async fn purge(store: &Store, keep: Duration, now: Time) -> Result<()> {
    let mut messages = 0;
    let found = store.write_with_others(move |change| change.witness(now).and_then(|()| change.old(keep, now)));
    let old = found.await?;
    while let Some(old) = old {
        let started = Instant::now();
        let gone = store.write_with_others(move |change| change.purge(old, STEP)).await?;
        messages += gone.messages;
        if gone.is_nothing() {
            break;
        }
        rest(started).await;
    }
    if messages > 0 {
        tracing::info!(messages, "purged");
    }
    loop {
        let started = Instant::now();
        if !store.write_with_others(|change| change.shrink(PAGES)).await? {
            return Ok(());
        }
        rest(started).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;
    use crate::store::{Body, Filter, NewMessage, Open, Verified};
    use crate::types::Role;

    /// Goes with the paused clock of the test.
    fn clock() -> Time {
        static START: std::sync::OnceLock<(Time, tokio::time::Instant)> = std::sync::OnceLock::new();
        let (wall, start) = START.get_or_init(|| (Time::now(), tokio::time::Instant::now()));
        wall.plus(start.elapsed())
    }

    /// Hours pass in no time; what is old is chained, found, and gone in the round after.
    #[tokio::test(start_paused = true)]
    async fn it_follows_and_lets_go() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), Open::Create, &mut SystemRandom, Metrics::default()).unwrap();
        let days = |days: u64| Duration::from_secs(days * 86_400);
        let now = clock();
        let (old, older) = (now.minus(days(8)), now.minus(days(9)));
        // These two come while it waits for the old ones to have been there for a week.
        let (young, younger) = (now.plus(days(3)), now.plus(days(6)));
        for (received, fate) in [(older, "delivered"), (old, "queued"), (young, "delivered"), (younger, "none")] {
            let id = MessageId::after(MessageId(0), received, 0);
            let write = move |change: &crate::store::Change<'_>| {
                let body = Some(change.insert_body(&Body::pack(b"Subject: x\r\n\r\nwords\r\n"))?);
                let (verdict, reason, facts) = ("relay", "relayed", String::new());
                let subject = String::new();
                change.insert_message(&NewMessage {
                    id,
                    pair: None,
                    author: Role::Buyer,
                    body,
                    shared: false,
                    received,
                    size: 1,
                    verdict,
                    reason,
                    thread: id,
                    original: None,
                    subject,
                    automatic: false,
                    needs_response: false,
                    fate,
                    facts,
                    sent_by: None,
                })
            };
            store.write(write).await.unwrap();
        }
        let left =
            |store: &Store| store.read(|view| view.messages(&Filter { limit: 9, ..Filter::default() })).unwrap().len();
        let janitor = tokio::spawn(run(store.clone(), 7, clock));
        let until = Instant::now() + Duration::from_secs(180);
        while left(&store) == 4 {
            assert!(Instant::now() < until, "it does nothing");
            tokio::time::sleep(Duration::from_secs(60)).await;
        }
        janitor.abort();
        // On a busy disk the test's hours pass during a commit, and the younger ones have their turn, too.
        let rest = left(&store);
        assert!((1..=3).contains(&rest), "{rest} left");
        let waiting = MessageId::after(MessageId(0), old, 0);
        assert!(store.read(|view| view.message(waiting)).unwrap().is_some(), "what still has to go out stays");
        finish(&store).await;
        let mut found = Verified::default();
        assert_eq!(store.read(|view| view.verify(None, 99, None, &mut found)).unwrap(), None);
        assert!(found.fault.is_none() && (found.messages, found.waiting) == (rest as u64, 0), "{found:?}");
    }
}
