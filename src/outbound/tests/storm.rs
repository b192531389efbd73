//! A destination that was down for an hour and comes back: what waited for it drains, and does not knock it down again.

use super::{World, now, serve_one, write};
use crate::types::Time;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

const WAITING: usize = 300;

/// An hour after what waits was queued.
fn an_hour_later() -> Time {
    now().plus(Duration::from_secs(3600))
}

/// What the server saw at each connection: how many are open with it, and how much was delivered before.
type Seen = Arc<Mutex<Vec<(usize, usize)>>>;

async fn server() -> (SocketAddr, Seen, Arc<Mutex<mpsc::UnboundedReceiver<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (send, got) = mpsc::unbounded_channel();
    let (seen, open, got) = (Seen::default(), Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(got)));
    let (noted, received) = (Arc::clone(&seen), Arc::clone(&got));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            stream.set_nodelay(true).unwrap();
            let now_open = open.fetch_add(1, Ordering::SeqCst) + 1;
            noted.lock().unwrap().push((now_open, received.lock().unwrap().len()));
            let (open, send) = (Arc::clone(&open), send.clone());
            tokio::spawn(async move {
                serve_one(stream, "250 ok\r\n", send).await;
                open.fetch_sub(1, Ordering::SeqCst);
            });
        }
    });
    (address, seen, got)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waited_drains_without_a_storm() {
    for most in [1, 5, 20] {
        let mut world = World::new();
        let (address, seen, got) = server().await;
        world.route("home.test", address);
        world.now = an_hour_later;
        world.config.queue.concurrency_per_destination = most;
        world.items("home.test", WAITING, false);
        let until = an_hour_later().minus(Duration::from_secs(1));
        write(&world.store, move |change| change.unreachable("home.test", 7, until, None)).unwrap();
        let (outbound, _heard) = world.start().await;
        world.until(<[_]>::is_empty).await;
        outbound.drain(Duration::from_secs(5)).await;
        assert_eq!(got.lock().unwrap().len(), WAITING, "each once");
        let seen = seen.lock().unwrap().clone();
        for (at, (open, delivered)) in seen.iter().enumerate() {
            assert!(*open <= most, "{open} connections at once, of {most}");
            // One message tells whether it is up again; then each answer makes room for one connection more.
            assert!(*open <= delivered + 1, "connection {at}: {open} open after {delivered} messages");
        }
        assert!(seen.len() <= 2 * most + 2, "connections are kept: {seen:?}");
    }
}
