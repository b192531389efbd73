//! The real server on loopback sockets: TLS, PROXY, limits, the stop. What needs no socket is in `dialogs`.

use super::dialogs::{Echo, settings};
use super::server::{Server, Socket};
use super::*;
use crate::config::{Limits, ListenerTls};
use crate::metrics::Metrics;
use crate::tls::{Certificate, ClientTls};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Nothing on loopback takes this long.
const SOON: Duration = Duration::from_secs(20);

struct House {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    server: JoinHandle<()>,
    certificate: Option<Certificate>,
    _spool: tempfile::TempDir,
}

fn certificate(dir: &Path, name: &str) -> Certificate {
    let (chain, key) = (dir.join("c.pem"), dir.join("k.pem"));
    let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
    std::fs::write(&chain, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    Certificate::load(&chain, &key).unwrap()
}

async fn house(tls: ListenerTls, proxy: bool, limits: Limits) -> House {
    let spool = tempfile::tempdir().unwrap();
    let certificate = (tls != ListenerTls::None).then(|| certificate(spool.path(), "one.test"));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopping) = watch::channel(false);
    let settings = super::session::Settings { limits, max_message: 8 << 20, ..settings() };
    let handler = Arc::new(Echo);
    let server = Server::new(handler, settings, certificate.clone(), spool.path().to_owned(), Metrics::default());
    let trusted = if proxy { vec!["127.0.0.0/8".parse().unwrap(), "203.0.113.9".parse().unwrap()] } else { vec![] };
    let server = tokio::spawn(
        server.run(vec![Socket { listener, tls, trusted, proxy, submission: false, kept: false }], stopping),
    );
    House { address, stop, server, certificate, _spool: spool }
}

impl House {
    async fn call(&self) -> Talk<TcpStream> {
        Talk(BufReader::new(TcpStream::connect(self.address).await.unwrap()))
    }

    async fn end(self) {
        let _ = self.stop.send(true);
        timeout(SOON, self.server).await.expect("the server ends").unwrap();
    }
}

struct Talk<S>(BufReader<S>);

impl<S: AsyncRead + AsyncWrite + Unpin> Talk<S> {
    async fn send(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).await.unwrap();
        self.0.flush().await.unwrap();
    }

    /// The next reply's last line.
    async fn reply(&mut self) -> String {
        loop {
            let mut line = String::new();
            timeout(SOON, self.0.read_line(&mut line)).await.expect("a reply in time").unwrap();
            if line.as_bytes().get(3) != Some(&b'-') {
                return line.trim_end().to_owned();
            }
        }
    }

    async fn ask(&mut self, text: &str) -> String {
        self.send(&format!("{text}\r\n")).await;
        self.reply().await
    }

    /// The end of the connection, in peace, and nothing before it.
    async fn closed(&mut self) {
        let mut rest = String::new();
        timeout(SOON, self.0.read_to_string(&mut rest)).await.expect("the end in time").expect("no reset");
        assert_eq!(rest, "");
    }

    /// Sends a message, and gives the reply to it.
    async fn message(&mut self, text: &str) -> String {
        self.send(&format!("MAIL FROM:<a@b.test>\r\nRCPT TO:<ok@m.test>\r\nDATA\r\n{text}\r\n.\r\n")).await;
        for want in ["250 2.1.0", "250 2.1.5", "354 "] {
            let reply = self.reply().await;
            assert!(reply.starts_with(want), "{reply}");
        }
        self.reply().await
    }
}

async fn encrypted(stream: TcpStream) -> Talk<tokio_rustls::client::TlsStream<TcpStream>> {
    let config = ClientTls::new().unwrap().opportunistic;
    let name = "one.test".try_into().unwrap();
    let stream = tokio_rustls::TlsConnector::from(config).connect(name, stream).await.expect("a handshake");
    Talk(BufReader::new(stream))
}

#[tokio::test]
async fn starttls_forgets_what_was_said() {
    let house = house(ListenerTls::Starttls, false, Limits::default()).await;
    let mut talk = house.call().await;
    assert_eq!(talk.reply().await, "220 mx.test ESMTP");
    talk.ask("EHLO a").await;
    assert_eq!(talk.ask("MAIL FROM:<a@b.test>").await, "250 2.1.0 Ok");
    // Commands in the clear behind STARTTLS, in the same packet: an attacker in the middle put them there.
    assert!(talk.ask("STARTTLS\r\nRSET\r\nNOOP").await.starts_with("220 2.0.0"));
    let mut talk = encrypted(talk.0.into_inner()).await;
    // No answer to the injected ones, no EHLO, no transaction.
    assert_eq!(talk.ask("RCPT TO:<ok@m.test>").await, "503 5.5.1 MAIL first");
    assert_eq!(talk.ask("MAIL FROM:<a@b.test>").await, "503 5.5.1 Say EHLO or HELO first");
    talk.send("EHLO b\r\n").await;
    let mut offered = String::new();
    while !offered.contains("250 ") {
        talk.0.read_line(&mut offered).await.unwrap();
    }
    assert!(!offered.contains("STARTTLS") && offered.contains("250-PIPELINING"), "{offered}");
    assert_eq!(talk.ask("STARTTLS").await, "502 5.5.1 STARTTLS is not offered");
    assert_eq!(talk.message("Subject: x").await, "250 2.6.0 12 octets for 1 from 127.0.0.1 b");
    assert_eq!(talk.ask("QUIT").await, "221 2.0.0 Bye");
    talk.closed().await;
    house.end().await;
}

#[tokio::test]
async fn implicit_tls_and_a_new_certificate() {
    let house = house(ListenerTls::Implicit, false, Limits::default()).await;
    let shown = |talk: &Talk<tokio_rustls::client::TlsStream<TcpStream>>| {
        talk.0.get_ref().get_ref().1.peer_certificates().unwrap()[0].to_vec()
    };
    let mut before = encrypted(house.call().await.0.into_inner()).await;
    assert_eq!(before.reply().await, "220 mx.test ESMTP");
    certificate(house._spool.path(), "two.test");
    house.certificate.as_ref().unwrap().reload().unwrap();
    let mut after = encrypted(house.call().await.0.into_inner()).await;
    assert_eq!(after.reply().await, "220 mx.test ESMTP");
    assert_ne!(shown(&before), shown(&after));
    // A session goes on under the certificate with which it began.
    assert_eq!(before.ask("HELO a").await, "250 mx.test");
    let large = "x".repeat(900).lines().cycle().take(5000).collect::<Vec<_>>().join("\r\n");
    assert_eq!(before.message(&large).await, format!("250 2.6.0 {} octets for 1 from 127.0.0.1 a", large.len() + 2));
    // Plain text where TLS is due is no session at all.
    let mut plain = house.call().await;
    plain.send("EHLO a\r\n").await;
    let mut rest = Vec::new();
    let _ = timeout(SOON, plain.0.read_to_end(&mut rest)).await.expect("closed in time");
    assert!(!String::from_utf8_lossy(&rest).contains("220"), "{rest:?}");
    drop((before, after));
    house.end().await;
}

#[tokio::test]
async fn a_balancer_speaks_for_its_client() {
    let limits = Limits { connections_per_client: 1, ..Limits::default() };
    let house = house(ListenerTls::None, true, limits).await;
    let version_2 =
        [b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".as_slice(), &[198, 51, 100, 8, 127, 0, 0, 1, 0, 9, 0, 25]].concat();
    // Two clients behind one balancer are two clients. Neither is a front MTA: nothing is offered to it that only those may use.
    let mut first = house.call().await;
    first.send("PROXY TCP4 198.51.100.7 127.0.0.1 9 25\r\nEHLO first\r\n").await;
    assert_eq!(first.reply().await, "220 mx.test ESMTP");
    assert_eq!(first.reply().await, "250 HELP");
    assert_eq!(first.ask("XCLIENT ADDR=192.0.2.99").await, "550 5.7.0 Not allowed");
    let mut second = house.call().await;
    for piece in version_2.chunks(5) {
        second.0.write_all(piece).await.unwrap();
        tokio::task::yield_now().await;
    }
    assert_eq!(second.reply().await, "220 mx.test ESMTP");
    second.ask("HELO second").await;
    assert_eq!(first.message("x").await, "250 2.6.0 3 octets for 1 from 198.51.100.7 first");
    assert_eq!(second.message("x").await, "250 2.6.0 3 octets for 1 from 198.51.100.8 second");
    // One client twice is one too many.
    let mut again = house.call().await;
    again.send("PROXY TCP4 198.51.100.7 127.0.0.1 9 25\r\n").await;
    assert_eq!(again.reply().await, "421 4.4.5 Too many connections, try again later");
    again.closed().await;
    // A front MTA behind the balancer is one.
    let mut front = house.call().await;
    front.send("PROXY TCP4 203.0.113.9 127.0.0.1 9 25\r\n").await;
    assert_eq!(front.reply().await, "220 mx.test ESMTP");
    assert_eq!(front.ask("XCLIENT ADDR=192.0.2.99").await, "220 mx.test ESMTP");
    // Without a header there is no session.
    let mut bare = house.call().await;
    bare.send("EHLO a\r\n").await;
    assert_eq!(bare.reply().await, "421 4.5.2 No PROXY header");
    house.end().await;
}

#[tokio::test]
async fn a_stranger_has_no_proxy_header_believed() {
    let house = house(ListenerTls::None, false, Limits::default()).await;
    let mut talk = house.call().await;
    assert_eq!(talk.reply().await, "220 mx.test ESMTP");
    assert_eq!(talk.ask("PROXY TCP4 198.51.100.7 127.0.0.1 9 25").await, "500 5.5.2 Command not recognised");
    assert_eq!(talk.ask("XCLIENT ADDR=192.0.2.99").await, "550 5.7.0 Not allowed");
    house.end().await;
}

#[tokio::test]
async fn so_many_connections_and_no_more() {
    let too_many = "421 4.4.5 Too many connections, try again later";
    let cases =
        [Limits { connections: 2, ..Limits::default() }, Limits { connections_per_client: 2, ..Limits::default() }];
    for limits in cases {
        let house = house(ListenerTls::None, false, limits).await;
        let (mut one, mut two) = (house.call().await, house.call().await);
        assert_eq!((one.reply().await, two.reply().await), ("220 mx.test ESMTP".into(), "220 mx.test ESMTP".into()));
        for _ in 0..5 {
            let mut three = house.call().await;
            assert_eq!(three.reply().await, too_many);
            three.closed().await;
        }
        assert_eq!(one.ask("QUIT").await, "221 2.0.0 Bye");
        one.closed().await;
        // The place is free again, as soon as the task that held it has ended.
        let served = async {
            while house.call().await.reply().await != "220 mx.test ESMTP" {
                tokio::task::yield_now().await;
            }
        };
        timeout(SOON, served).await.expect("a free place");
        assert_eq!(two.ask("NOOP").await, "250 2.0.0 Ok");
        house.end().await;
    }
}

#[tokio::test]
async fn a_stop_lets_transactions_end() {
    let house = house(ListenerTls::None, false, Limits::default()).await;
    let (mut idle, mut busy) = (house.call().await, house.call().await);
    assert_eq!(idle.ask("HELO a").await, "220 mx.test ESMTP");
    assert_eq!(idle.reply().await, "250 mx.test");
    busy.send("HELO b\r\nMAIL FROM:<>\r\nRCPT TO:<ok@m.test>\r\nDATA\r\nSubject: x\r\n").await;
    for want in ["220", "250", "250", "250", "354"] {
        assert!(busy.reply().await.starts_with(want));
    }
    house.stop.send(true).unwrap();
    assert_eq!(idle.reply().await, "421 4.3.2 Going down, try again");
    idle.closed().await;
    assert_eq!(house.call().await.reply().await, "421 4.3.2 Going down, try again");
    assert!(!house.server.is_finished());
    busy.send("\r\nx\r\n.\r\n").await;
    assert_eq!(busy.reply().await, "250 2.6.0 17 octets for 1 from 127.0.0.1 b");
    assert_eq!(busy.reply().await, "421 4.3.2 Going down, try again");
    busy.closed().await;
    house.end().await;
}
