//! Destinations that come back.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_destination_comes_back() {
    let mut world = World::new();
    let (socket, address) = closed_port();
    world.route("back.test", address);
    let items = world.items("back.test", 300, false);
    let (outbound, _heard) = world.start().await;
    world
        .until(|left| {
            left.iter().any(|item| item.attempts > 0)
                && left.iter().all(|item| !item.leased)
                && world.store.read(|v| v.failures_of("back.test")).unwrap() == 1
        })
        .await;
    // what comes meanwhile does not ring there
    let more = world.item("back.test", true);
    outbound.submit(more.clone(), text(0), None);
    world.until(|left| left.iter().all(|item| !item.leased)).await;
    let row = world.left().into_iter().find(|item| item.id == more.id).unwrap();
    assert_eq!(
        (row.attempts, row.waits_for.as_str()),
        (0, "the destination could not be used 1 time(s), last: connect: connection lost")
    );
    let mut sink = sink_on(socket.listen(128).unwrap(), "250 ok\r\n");
    // Nobody tells the daemon of what the command line does: it looks.
    world.store.write(|c| c.retry_all("", THEN, 1000)).await.unwrap();
    for _ in 0..301 {
        next(&mut sink.got).await;
    }
    outbound.drain(LONG).await;
    assert!(world.left().is_empty() && items.iter().all(|item| world.fate(item.message) == "delivered"));
}
