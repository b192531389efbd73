//! Destinations apart: dead, silent, busy ones hold up nobody else.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_or_dead_destination_holds_up_nobody() {
    let mut world = World::new();
    let (mut silent, mut good) = (sink("").await, sink("250 ok\r\n").await);
    let (_closed, closed) = closed_port();
    world.route("silent.test", silent.address);
    world.route("dead.test", closed);
    world.route("good.test", good.address);
    world.config.queue.concurrency_per_destination = 2;
    // much waits for the others, and first
    world.items("silent.test", 1500, false);
    world.items("dead.test", 1500, false);
    let handed = world.items("silent.test", 1500, true);
    world.items("good.test", 20, false);
    let (outbound, _heard) = world.start().await;
    handed.iter().for_each(|item| outbound.submit(item.clone(), text(0), None));
    next(&mut silent.got).await;
    next(&mut silent.got).await;
    for _ in 0..20 {
        next(&mut good.got).await;
    }
    let fresh = world.items("good.test", 20, true);
    fresh.iter().for_each(|item| outbound.submit(item.clone(), text(0), None));
    for _ in 0..20 {
        next(&mut good.got).await;
    }
    world.until(|left| left.iter().all(|item| item.domain != "good.test")).await;
    let dead = |item: &&Item| item.domain == "dead.test";
    let tried = world.left().iter().filter(dead).filter(|item| item.attempts > 0).count();
    assert!((1..=80).contains(&tried), "{tried}: most of what waits for a dead destination is left alone");
    assert!(silent.connections.load(Ordering::SeqCst) <= 2);
    // a stop leaves everything legal: nothing lost, what was not tried is not counted
    outbound.drain(Duration::ZERO).await;
    world.until(|left| left.iter().filter(|item| item.leased).count() <= 2).await;
    assert_eq!(world.left().len(), 4500);
}

/// Many domains behind one smarthost that is busy do not hide another destination.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_busy_smarthost_hides_nobody() {
    let mut world = World::new();
    let (smarthost, mut good) = (sink("").await, sink("250 ok\r\n").await);
    world.config.delivery.route = format!("smtp://{}", smarthost.address);
    world.config.queue.concurrency_per_destination = 1;
    world.route("zzz.test", good.address);
    for n in 0..600 {
        world.item(&format!("d{n}.test"), false);
    }
    world.item("zzz.test", false);
    let (outbound, _heard) = world.start().await;
    next(&mut good.got).await;
    outbound.drain(Duration::ZERO).await;
    assert_eq!(smarthost.connections.load(Ordering::SeqCst), 1, "one limit for all of them");
}

/// A server that falls silent in the middle is left alone, and does not get all connections first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_falls_silent() {
    let mut world = World::new();
    let sink = sink("").await;
    world.route("silent.test", sink.address);
    world.config.delivery.timeouts.command = Span(Duration::from_millis(50));
    world.items("silent.test", 300, false);
    let (outbound, _heard) = world.start().await;
    let down = || world.store.read(|v| v.failures_of("silent.test")).unwrap() == 1;
    world.until(|left| down() && left.iter().all(|item| !item.leased)).await;
    assert!(sink.connections.load(Ordering::SeqCst) <= 5);
    let cancelled = world.left()[7].id;
    write(&world.store, move |c| c.cancel(cancelled, THEN)).unwrap();
    outbound.drain(LONG).await;
    let left = world.left();
    assert_eq!(left.len(), 299, "cancelled is cancelled");
    assert!(left.iter().filter(|item| item.attempts > 0).all(|item| item.waits_for == "rcpt: no answer in time"));
}

/// What waits in the store is made again within little memory; a server that stops in the middle of a large message, or before, keeps none of it from the others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stalled_server_leaves_the_others_their_memory() {
    let mut world = World::new();
    let mute = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (mut stalled, mut good) = (sink("").await, sink("250 ok\r\n").await);
    world.route("mute.test", mute.local_addr().unwrap());
    world.route("stalled.test", stalled.address);
    world.route("good.test", good.address);
    world.config.queue.memory = crate::config::Size(16 * 1024);
    let (outbound, _heard) = world.start().await;
    world.items("stalled.test", 40, false);
    world.items("mute.test", 40, false);
    outbound.kick();
    next(&mut stalled.got).await;
    let _connected = mute.accept().await.unwrap();
    world.items("good.test", 20, false);
    outbound.kick();
    for _ in 0..20 {
        next(&mut good.got).await;
    }
    outbound.drain(Duration::ZERO).await;
}
