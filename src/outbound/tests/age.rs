//! What waits for long: one notice of the delay, one of the end, and never by the clock alone.

use super::*;

/// Items grow old by their attempts and the clock, not by the clock alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_items() {
    static CLOCK: AtomicI64 = AtomicI64::new(THEN.0);
    fn clock() -> Time {
        Time(CLOCK.load(Ordering::SeqCst))
    }
    let hour = Duration::from_secs(3600);
    let mut world = World::new();
    world.now = clock;
    let busy = sink("450 4.2.1 x\r\n").await;
    world.route("busy.test", busy.address);
    world.config.queue.retry_first = Span::seconds(1);
    world.config.queue.retry_longest = Span::seconds(3600);
    world.config.queue.delay_notice = Span::seconds(4 * 3600);
    world.config.queue.expire = Span::seconds(48 * 3600);
    let item = world.item("busy.test", false);
    let (outbound, mut heard) = world.start().await;
    let mut attempts = 0;
    let mut told = Vec::new();
    let mut at = THEN;
    // The clock is in 2106 from the second attempt on; then an hour passes before each.
    while world.left().iter().any(|row| row.id == item.id) {
        attempts += 1;
        world.until(|left| left.iter().all(|row| !row.leased && row.attempts >= attempts)).await;
        while let Ok(asked) = heard.try_recv() {
            if !matches!(asked, Asked::Load(_)) {
                told.push((attempts, asked));
            }
        }
        at = if attempts == 1 { Time(4_300_000_000_000) } else { at.plus(hour) };
        CLOCK.store(at.0, Ordering::SeqCst);
        outbound.kick();
        assert!(attempts < 200);
    }
    outbound.drain(LONG).await;
    while let Ok(asked) = heard.try_recv() {
        if !matches!(asked, Asked::Load(_)) {
            told.push((attempts + 1, asked));
        }
    }
    let least = |hours: u32| crate::policy::retry::least_attempts(hour * hours, Duration::from_secs(1), hour);
    let (_, delayed) = told.first().unwrap();
    assert_eq!(delayed, &Asked::Delayed(item.id));
    let (_, expired) = told.last().unwrap();
    assert_eq!(expired, &Asked::GivenUp(item.id, FailureClass::Expired));
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].0 >= least(4) && attempts >= least(48) - 1 && attempts < 2 * least(48), "{told:?} {attempts}");
}

/// What waits behind a dead destination is never tried by itself, and still its author hears of it.
#[test]
fn old_items_behind_a_dead_destination() {
    let mut world = World::new();
    world.config.queue.delay_notice = Span::seconds(4 * 3600);
    let items = world.items("dead.test", 3, false);
    let (asked, mut heard) = mpsc::unbounded_channel();
    let means = world.means(Arc::new(FakeHouse { asked }));
    // hours later, failures of the destination, and what the three authors hear
    let rows = [
        (1, 100, ""),
        (1_000_000, 0, ""),
        (5, 100, "delayed"),
        (6, 100, ""),
        (5 * 24 + 1, 100, ""),
        (5 * 24 + 5, 2, ""),
        (5 * 24 + 5, 30, "given up"),
        (5 * 24 + 6, 30, ""),
    ];
    for (hours, failures, want) in rows {
        let at = THEN.plus(Duration::from_secs(hours * 3600));
        if !world.left().is_empty() {
            write(&world.store, move |c| c.unreachable("dead.test", failures, at, None)).unwrap();
        }
        loop {
            let means = Arc::clone(&means);
            // Two at a time.
            if !write(&world.store, move |c| settle::age(&means, c, 2, at)).unwrap() {
                break;
            }
        }
        let mut told = Vec::new();
        while let Ok(asked) = heard.try_recv() {
            told.push(asked);
        }
        let want: Vec<Asked> = match want {
            "" => Vec::new(),
            "delayed" => items.iter().map(|item| Asked::Delayed(item.id)).collect(),
            _ => items.iter().map(|item| Asked::GivenUp(item.id, FailureClass::Expired)).collect(),
        };
        assert_eq!(told, want, "after {hours} hours and {failures} failures");
    }
    assert!(world.left().is_empty());
}
