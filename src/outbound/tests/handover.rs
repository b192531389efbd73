//! From hand to hand: in memory after the commit, out of the store where that was not possible, and to the address that holds now.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handed_over_in_memory() {
    let mut world = World::new();
    let mut sink = sink("250 ok\r\n").await;
    world.route("home.test", sink.address);
    let (outbound, mut heard) = world.start().await;
    let items = world.items("home.test", 200, true);
    for (n, item) in items.iter().enumerate() {
        outbound.submit(item.clone(), text(n), None);
    }
    let mut got = Vec::new();
    for _ in 0..200 {
        got.push(next(&mut sink.got).await);
    }
    outbound.drain(LONG).await;
    got.sort();
    let mut want: Vec<String> = (0..200).map(|n| format!("Subject: {n}\r\n\r\n..dot\r\n.\r\n")).collect();
    want.sort();
    assert!(got == want);
    assert!(world.left().is_empty());
    assert!(items.iter().all(|item| world.fate(item.message) == "delivered"));
    assert!(sink.connections.load(Ordering::SeqCst) <= 20, "connections are kept and limited");
    assert_eq!(heard.try_recv().ok(), None, "nothing was read back");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn read_back_where_memory_is_short_and_after_a_restart() {
    let mut world = World::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    world.route("home.test", listener.local_addr().unwrap());
    world.config.queue.memory = crate::config::Size(1024);
    // one waits in the store, one is leased by a process that died
    let (waiting, dead) = (world.item("home.test", false), world.item("home.test", true));
    let (outbound, mut heard) = world.start().await;
    let fresh = world.items("home.test", 50, true);
    fresh.iter().for_each(|item| outbound.submit(item.clone(), Bytes::from(vec![b'x'; 900]), None));
    let late = world.item("home.test", false);
    outbound.kick();
    // Only now does the server answer: nothing was delivered, and no room made, before.
    let mut sink = sink_on(listener, "250 ok\r\n");
    for _ in 0..53 {
        next(&mut sink.got).await;
    }
    outbound.drain(LONG).await;
    assert!(world.left().is_empty());
    let mut loaded = Vec::new();
    while let Ok(Asked::Load(id)) = heard.try_recv() {
        loaded.push(id);
    }
    assert!([waiting, dead, late].iter().all(|item| loaded.contains(&item.id)), "{loaded:?}");
    assert_eq!(loaded.len(), 52, "one of the fresh ones had room");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn addresses_change_and_parties_go() {
    let mut world = World::new();
    let (mut old, mut new) = (sink("250 ok\r\n").await, sink("250 ok\r\n").await);
    world.route("old.test", old.address);
    world.route("new.test", new.address);
    let change = |email: Option<&str>| {
        let (buyer, email) = (world.buyer, email.map(|e| Address::parse(e).unwrap()));
        write(&world.store, move |c| match email {
            None => c.remove_party(buyer).map(drop),
            main => {
                let (role, external) = (Role::Buyer, "b1".parse::<ExternalId>().unwrap());
                let (marketplace, rest) = ("jp".into(), (None, None, None));
                let new = NewParty {
                    marketplace,
                    role,
                    external,
                    name: None,
                    main,
                    further: None,
                    language: rest.0,
                    auto_replies: rest.1,
                    unauthenticated: rest.2,
                };
                c.set_party(&new, &[], THEN).map(drop)
            }
        })
    };
    change(Some("b@old.test")).unwrap();
    let (outbound, mut heard) = world.start().await;
    let submit = || outbound.submit(world.item("old.test", true), text(0), None);
    submit();
    next(&mut old.got).await;
    change(Some("b@new.test")).unwrap();
    submit();
    next(&mut new.got).await;
    assert!(old.got.try_recv().is_err(), "the old server gets nothing of it");
    change(None).unwrap();
    submit();
    let Asked::GivenUp(_, class) = next(&mut heard).await else { panic!() };
    assert_eq!(class, FailureClass::Gone);
    outbound.drain(LONG).await;
    assert!(world.left().is_empty());
}
