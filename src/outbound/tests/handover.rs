//! From hand to hand: in memory after the commit, out of the store where that was not possible, and to the address that holds now.

use super::*;
use crate::types::locked;
use std::io::{BufRead as _, BufReader, Write as _};
use std::sync::Mutex;
use tokio::sync::mpsc::error::SendError;

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

/// What a server does that tells.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mood {
    Polite,
    /// Says nothing to DATA for as long as that lasts.
    Silent,
    /// Refuses each recipient.
    Refuses,
    /// The same, and hangs up.
    HangsUp,
}

/// A server on threads of its own that passes on each line that it hears, and how a connection ended.
fn telling() -> (SocketAddr, mpsc::UnboundedReceiver<String>, Arc<Mutex<Mood>>) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (send, heard) = mpsc::unbounded_channel();
    let mood = Arc::new(Mutex::new(Mood::Polite));
    let shared = Arc::clone(&mood);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (send, mood) = (send.clone(), Arc::clone(&shared));
            // It ends with the connection, or the test.
            std::thread::spawn(move || serve_and_tell(stream.unwrap(), &send, &mood));
        }
    });
    (address, heard, mood)
}

fn serve_and_tell(
    mut stream: std::net::TcpStream,
    send: &mpsc::UnboundedSender<String>,
    mood: &Mutex<Mood>,
) -> std::result::Result<(), SendError<String>> {
    let (lines, mut text) = (BufReader::new(stream.try_clone().unwrap()).lines(), false);
    stream.write_all(b"220 sink.test\r\n").unwrap();
    for line in lines.map_while(std::result::Result::ok) {
        let (ends, refuses) = match *locked(mood) {
            Mood::HangsUp => (line.starts_with("RCPT"), true),
            now => (false, now == Mood::Refuses),
        };
        let answer = match line.as_str() {
            "." => "250 ok\r\n",
            _ if text => "",
            "DATA" if refuses => "554 nobody is to get it\r\n",
            "DATA" => "354 go\r\n",
            _ if refuses && line.starts_with("RCPT") => "550 5.1.1 no\r\n",
            _ if line.starts_with("EHLO") => "250-sink.test\r\n250 PIPELINING\r\n",
            _ => "250 ok\r\n",
        };
        text = (text || line == "DATA" && !refuses) && line != ".";
        let asked = line == "DATA";
        send.send(line)?;
        while asked && *locked(mood) == Mood::Silent {
            std::thread::yield_now();
        }
        let _ = stream.write_all(answer.as_bytes());
        if ends {
            break;
        }
    }
    send.send("end".to_owned())
}

async fn lines(heard: &mut mpsc::UnboundedReceiver<String>, number: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for _ in 0..number {
        lines.push(next(heard).await.split(' ').next().unwrap().to_owned());
    }
    lines
}

/// A queue whose one lane has delivered a message to a server that tells, and keeps the connection.
async fn idle_lane(
    world: &mut World,
) -> (Outbound, mpsc::UnboundedReceiver<Asked>, mpsc::UnboundedReceiver<String>, Arc<Mutex<Mood>>) {
    let (address, mut heard, mood) = telling();
    world.route("home.test", address);
    let (outbound, asked) = world.start().await;
    outbound.submit(world.item("home.test", true), text(0), None);
    lines(&mut heard, 8).await;
    world.until(<[Item]>::is_empty).await;
    (outbound, asked, heard, mood)
}

/// Begins as soon as the lane has been idle for long enough.
async fn begun(outbound: &Outbound) -> Begun {
    let recipient = Address::parse("b@home.test").unwrap();
    let addresses = Addresses { recipient, sender: Some("bounce+x@m.test".to_owned()) };
    let wait = async {
        loop {
            if let Some(begun) = outbound.begin(&text(1), &addresses) {
                return begun;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LONG, wait).await.unwrap()
}

/// The envelope goes out while the message is committed, and the message when it is. Without a commit nothing follows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_envelope_goes_ahead() {
    let (envelope, message) = (["MAIL", "RCPT", "DATA"], ["Subject:", "", "..dot", "."]);
    let mut world = World::new();
    let (address, mut heard, _mood) = telling();
    world.route("home.test", address);
    world.config.queue.concurrency_per_destination = 1;
    let (outbound, _asked) = world.start().await;
    let nobody = Addresses { recipient: Address::parse("b@home.test").unwrap(), sender: None };
    assert!(outbound.begin(&text(0), &nobody).is_none(), "no connection waits yet");
    outbound.submit(world.item("home.test", true), text(0), None);
    assert_eq!(lines(&mut heard, 8).await.concat(), format!("EHLO{}{}", envelope.concat(), message.concat()));

    let item = world.item("home.test", true);
    let ahead = begun(&outbound).await;
    assert_eq!(lines(&mut heard, 3).await, envelope);
    assert!(outbound.begin(&text(0), &nobody).is_none(), "one at a time");
    assert!(heard.try_recv().is_err(), "nothing more before the commit");
    assert!(ahead.committed(item.clone()).is_none(), "taken");
    assert_eq!(lines(&mut heard, 4).await, message);
    world.until(<[Item]>::is_empty).await;
    assert_eq!(world.fate(item.message), "delivered");

    let ahead = begun(&outbound).await;
    assert_eq!(lines(&mut heard, 3).await, envelope);
    drop(ahead);
    assert_eq!(lines(&mut heard, 1).await, ["end"]);
    // The lane is as good as before: what waits in it goes over a new connection.
    outbound.submit(world.item("home.test", true), text(0), None);
    assert_eq!(lines(&mut heard, 8).await.concat(), format!("EHLO{}{}", envelope.concat(), message.concat()));
    world.until(<[Item]>::is_empty).await;

    outbound.drain(LONG).await;
    assert!(world.left().is_empty());
}

/// A server that takes longer to answer than addresses hold gets the message all the same, over the same connection.
#[tokio::test]
async fn a_server_slow_to_answer() {
    let mut world = World::new();
    let (outbound, _asked, mut heard, mood) = idle_lane(&mut world).await;
    *locked(&mood) = Mood::Silent;
    let item = world.item("home.test", true);
    let ahead = begun(&outbound).await;
    lines(&mut heard, 3).await;
    assert!(ahead.committed(item.clone()).is_none(), "taken");
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(2)).await;
    tokio::time::resume();
    *locked(&mood) = Mood::Polite;
    assert_eq!(lines(&mut heard, 4).await, ["Subject:", "", "..dot", "."]);
    world.until(<[Item]>::is_empty).await;
    assert_eq!(world.fate(item.message), "delivered");
    outbound.drain(LONG).await;
}

/// Without a commit, a server that says nothing is not waited for.
#[tokio::test]
async fn nothing_committed_and_no_answer() {
    let mut world = World::new();
    world.config.queue.concurrency_per_destination = 1;
    let (outbound, _asked, mut heard, mood) = idle_lane(&mut world).await;
    *locked(&mood) = Mood::Silent;
    drop(begun(&outbound).await);
    lines(&mut heard, 3).await;
    outbound.submit(world.item("home.test", true), text(1), None);
    assert_eq!(lines(&mut heard, 1).await, ["EHLO"], "a new connection");
    *locked(&mood) = Mood::Polite;
    world.until(<[Item]>::is_empty).await;
    outbound.drain(LONG).await;
}

/// What the server refuses ahead is what its attempt comes to: it is not asked again.
#[tokio::test]
async fn refused_ahead() {
    for how in [Mood::Refuses, Mood::HangsUp] {
        let mut world = World::new();
        let (outbound, mut asked, mut heard, mood) = idle_lane(&mut world).await;
        *locked(&mood) = how;
        let item = world.item("home.test", true);
        let ahead = begun(&outbound).await;
        assert!(ahead.committed(item.clone()).is_none(), "taken");
        let Asked::GivenUp(id, class) = next(&mut asked).await else { panic!() };
        assert_eq!((id, class), (item.id, FailureClass::NoMailbox));
        *locked(&mood) = Mood::Polite;
        outbound.submit(world.item("home.test", true), text(0), None);
        world.until(<[Item]>::is_empty).await;
        let wants: &[&str] = if how == Mood::Refuses {
            &["MAIL", "RCPT", "DATA", "RSET", "MAIL", "RCPT", "DATA"]
        } else {
            &["MAIL", "RCPT", "end", "EHLO", "MAIL", "RCPT", "DATA"]
        };
        assert_eq!(lines(&mut heard, 7).await, wants);
        outbound.drain(LONG).await;
    }
}

/// Once the server has answered, whoever commits sends the message, though no worker has time.
#[tokio::test]
async fn who_commits_sends() {
    let mut world = World::new();
    let (outbound, _asked, mut heard, _mood) = idle_lane(&mut world).await;
    let item = world.item("home.test", true);
    let ahead = begun(&outbound).await;
    lines(&mut heard, 3).await;
    let answered = async {
        while !ahead.is_ready() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LONG, answered).await.unwrap();
    assert!(heard.try_recv().is_err(), "nothing before the commit");
    assert!(ahead.committed(item.clone()).is_none(), "taken");
    // Until here is waited again, nothing else runs.
    let (mut message, until) = (Vec::new(), std::time::Instant::now() + LONG);
    while message.len() < 4 {
        message.extend(heard.try_recv().ok());
        assert!(std::time::Instant::now() < until, "{message:?}");
        std::thread::yield_now();
    }
    assert_eq!(message, ["Subject: 1", "", "..dot", "."]);
    world.until(<[Item]>::is_empty).await;
    assert_eq!(world.fate(item.message), "delivered");
    outbound.drain(LONG).await;
    assert_eq!(next(&mut heard).await, "QUIT", "and nothing twice");
}

/// A queue that stops while a message is committed loses nothing: it goes out, or waits in the store for the next start.
#[tokio::test]
async fn a_stop_between_envelope_and_commit() {
    let mut world = World::new();
    let (outbound, _asked, _heard, _mood) = idle_lane(&mut world).await;
    let item = world.item("home.test", true);
    let ahead = begun(&outbound).await;
    outbound.drain(Duration::ZERO).await;
    // Given back, it waits for the next start, as the queue takes nothing any more.
    let _ = ahead.committed(item.clone());
    let (outbound, _asked) = world.start().await;
    world.until(<[Item]>::is_empty).await;
    assert_eq!(world.fate(item.message), "delivered");
    outbound.drain(LONG).await;
}
