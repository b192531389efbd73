//! How much TLS each kind of server is owed, with real handshakes on loopback.

use super::*;
use crate::config::Credentials;
use crate::dns::{DnsError, Tlsa};
use crate::outbound::tests::{Asked, FakeHouse, World};
use crate::outbound::{House, Ports};
use crate::store::StsMode;
use crate::tls::Certificate;
use crate::tls::testing::Authority;
use crate::types::Time;
use aws_lc_rs::digest::{SHA256, digest};
use std::sync::Mutex;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

trait Both: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Both for S {}

/// What a server does about TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Does {
    /// Nothing.
    Nothing,
    /// As it should.
    Starttls,
    /// It offers it, and then cannot.
    Breaks,
    /// It says more in the clear than it should.
    Injects,
}

/// Serves on loopback; what it reads is noted, one string a connection, in the clear as `-`, else as `+`.
async fn server(does: Does, certificate: Certificate) -> (u16, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (port, notes) = (listener.local_addr().unwrap().port(), Arc::new(Mutex::new(Vec::new())));
    let noted = Arc::clone(&notes);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let at = {
                let mut noted = noted.lock().unwrap();
                noted.push(String::new());
                noted.len() - 1
            };
            tokio::spawn(talk(Box::new(stream), does, certificate.clone(), Arc::clone(&noted), at));
        }
    });
    (port, notes)
}

async fn talk(
    stream: Box<dyn Both>,
    does: Does,
    certificate: Certificate,
    notes: Arc<Mutex<Vec<String>>>,
    at: usize,
) -> Option<()> {
    let mut stream = BufReader::new(stream);
    let mut encrypted = false;
    stream.write_all(b"220 mx\r\n").await.ok()?;
    loop {
        let mut line = String::new();
        (stream.read_line(&mut line).await.ok()? > 0).then_some(())?;
        let verb = line.split([' ', '\r']).next().unwrap_or("").to_owned();
        notes.lock().unwrap()[at].push_str(&format!("{}{verb} ", if encrypted { '+' } else { '-' }));
        let say = match (verb.as_str(), does) {
            ("EHLO", Does::Nothing) => "250 mx\r\n",
            ("EHLO", _) if encrypted => "250-mx\r\n250 AUTH PLAIN\r\n",
            ("EHLO", _) => "250-mx\r\n250-AUTH PLAIN\r\n250 STARTTLS\r\n",
            ("STARTTLS", Does::Injects) => "220 go\r\n250 injected\r\n",
            ("STARTTLS", Does::Breaks) => "220 go\r\n",
            ("STARTTLS", _) => {
                stream.write_all(b"220 go\r\n").await.ok()?;
                let inner = certificate.acceptor().accept(stream.into_inner()).await.ok()?;
                stream = BufReader::new(Box::new(inner));
                encrypted = true;
                continue;
            }
            // "\0u\0secret"
            ("AUTH", _) if line == "AUTH PLAIN AHUAc2VjcmV0\r\n" => "235 2.7.0 ok\r\n",
            ("AUTH", _) => "535 5.7.8 u@home.test is wrong\r\n",
            ("DATA", _) => "354 go\r\n",
            ("RCPT", _) => "250 ok\r\n",
            _ => "250 ok\r\n",
        };
        stream.write_all(say.as_bytes()).await.ok()?;
        stream.flush().await.ok()?;
        if verb == "STARTTLS" && does == Does::Breaks {
            // Not before it is spoken to: else that would be an injection.
            stream.read_u8().await.ok()?;
            stream.write_all(b"no TLS here at all").await.ok()?;
            return None;
        }
    }
}

fn house() -> (Arc<dyn House>, mpsc::UnboundedReceiver<Asked>) {
    let (asked, heard) = mpsc::unbounded_channel();
    (Arc::new(FakeHouse { asked }), heard)
}

/// What a domain publishes, and what becomes of a connection to its server.
struct Row {
    what: &'static str,
    level: TlsLevel,
    does: Does,
    /// Name and authority of its certificate: the believed one, or another.
    certificate: (&'static str, bool),
    sts: Option<&'static str>,
    /// TLSA records, and whether all is signed.
    tlsa: Option<(Result<Vec<Tlsa>, DnsError>, bool)>,
    want: Result<&'static str, &'static str>,
    connections: usize,
}

const PLAIN: Row = Row {
    what: "",
    level: TlsLevel::Opportunistic,
    does: Does::Starttls,
    certificate: ("mx.d.test", true),
    sts: None,
    tlsa: None,
    want: Ok("unverified"),
    connections: 1,
};

const BAD: &str = "tls: the server's certificate is not good";
const LACKS: &str = "tls: required, but the server does not offer it";
const BROKEN: &str = "tls: connection lost";
const INJECTED: &str = "tls: not SMTP";

/// A record for the believed authority, and one for nobody.
fn record(usage: u8, good: bool, authority: &Authority) -> Tlsa {
    let data = if good { digest(&SHA256, &authority.der()).as_ref().to_vec() } else { vec![7; 32] };
    Tlsa { usage, selector: 0, matching: 1, data }
}

fn rows(authority: &Authority) -> Vec<Row> {
    use Does::{Breaks, Injects, Nothing};
    use TlsLevel::{None as No, Required};
    let tlsa = |usage, good, signed| Some((Ok(vec![record(usage, good, authority)]), signed));
    let (sts, good) = (Some("mx.d.test"), ("mx.d.test", true));
    let (other_name, stranger) = (("x.test", true), ("mx.d.test", false));
    vec![
        Row { what: "nobody asks for more", certificate: stranger, ..PLAIN },
        Row { what: "no offer", does: Nothing, want: Ok("none"), ..PLAIN },
        Row { what: "once more in the clear", does: Breaks, want: Ok("none"), connections: 2, ..PLAIN },
        Row { what: "somebody in the middle", does: Injects, want: Err(INJECTED), ..PLAIN },
        Row { what: "none", level: No, sts, want: Ok("none"), ..PLAIN },
        Row { what: "required", level: Required, want: Ok("verified"), ..PLAIN },
        Row { what: "required, not offered", level: Required, does: Nothing, want: Err(LACKS), ..PLAIN },
        Row { what: "required, broken", level: Required, does: Breaks, want: Err(BROKEN), ..PLAIN },
        Row { what: "required, injected", level: Required, does: Injects, want: Err(INJECTED), ..PLAIN },
        Row { what: "required, name", level: Required, certificate: other_name, want: Err(BAD), ..PLAIN },
        Row { what: "required, stranger", level: Required, certificate: stranger, want: Err(BAD), ..PLAIN },
        Row { what: "sts", sts, want: Ok("sts"), ..PLAIN },
        Row { what: "sts, pattern", sts: Some("*.d.test"), want: Ok("sts"), ..PLAIN },
        Row { what: "sts, not offered", sts, does: Nothing, want: Err(LACKS), ..PLAIN },
        Row { what: "sts, broken", sts, does: Breaks, want: Err(BROKEN), ..PLAIN },
        Row { what: "sts, name", sts, certificate: other_name, want: Err(BAD), ..PLAIN },
        Row { what: "sts, stranger", sts, certificate: stranger, want: Err(BAD), ..PLAIN },
        Row {
            what: "sts, not named",
            sts: Some("other.d.test"),
            want: Err("sts: the policy does not name the domain's server"),
            connections: 0,
            ..PLAIN
        },
        Row { what: "dane", tlsa: tlsa(2, true, true), want: Ok("dane"), ..PLAIN },
        Row { what: "dane, not offered", tlsa: tlsa(2, true, true), does: Nothing, want: Err(LACKS), ..PLAIN },
        Row { what: "dane, broken", tlsa: tlsa(2, true, true), does: Breaks, want: Err(BROKEN), ..PLAIN },
        Row { what: "dane, stranger", tlsa: tlsa(2, true, true), certificate: stranger, want: Err(BAD), ..PLAIN },
        Row { what: "dane, another", tlsa: tlsa(3, false, true), certificate: good, want: Err(BAD), ..PLAIN },
        Row { what: "dane wins", tlsa: tlsa(2, true, true), sts: Some("other.d.test"), want: Ok("dane"), ..PLAIN },
        Row { what: "dane fails, sts would not", tlsa: tlsa(3, false, true), sts, want: Err(BAD), ..PLAIN },
        Row { what: "not signed", tlsa: tlsa(3, false, false), want: Ok("unverified"), ..PLAIN },
        Row { what: "unusable", tlsa: tlsa(0, false, true), certificate: stranger, ..PLAIN },
        Row { what: "unusable, not offered", tlsa: tlsa(1, false, true), does: Nothing, want: Err(LACKS), ..PLAIN },
        Row { what: "unusable, sts", tlsa: tlsa(1, true, true), sts, certificate: stranger, want: Err(BAD), ..PLAIN },
        Row {
            what: "unusable, required",
            tlsa: tlsa(1, true, true),
            level: Required,
            certificate: stranger,
            want: Err(BAD),
            ..PLAIN
        },
        Row { what: "no records", tlsa: Some((Err(DnsError::NoName), true)), ..PLAIN },
        Row {
            what: "forged",
            tlsa: Some((Err(DnsError::Temporary), true)),
            want: Err("dane: the TLSA records cannot be had"),
            connections: 0,
            ..PLAIN
        },
        Row { what: "forged, but not signed above", tlsa: Some((Err(DnsError::Temporary), false)), ..PLAIN },
    ]
}

#[tokio::test]
async fn what_a_server_is_owed() {
    let (authority, other) = (Authority::new(), Authority::new());
    let tls = authority.client();
    for row in rows(&authority) {
        let (name, believed) = row.certificate;
        let signer = if believed { &authority } else { &other };
        let (port, notes) = server(row.does, signer.server(name).0).await;
        let mut world = World::new();
        world.tls = tls.clone();
        world.ports = Ports { smtp: port, ..Ports::default() };
        world.config.delivery.tls_for.insert("d.test".into(), row.level);
        world.zones.mx.insert("d.test".into(), Ok(vec![(10, "mx.d.test".into())]));
        world.zones.hosts.insert("mx.d.test".into(), Ok(vec!["127.0.0.1".parse().unwrap()]));
        if let Some((records, signed)) = row.tlsa {
            world.zones.tlsa.insert("_25._tcp.mx.d.test".into(), records);
            if signed {
                let names = ["d.test", "mx.d.test", "_25._tcp.mx.d.test"].map(str::to_owned);
                world.zones.signed.extend(names);
            }
        }
        if let Some(mx) = row.sts {
            let policy = StsPolicy {
                id: "1".into(),
                mode: StsMode::Enforce,
                mx: vec![mx.into()],
                fetched: (world.now)(),
                expires: Time(i64::MAX),
            };
            world.store.write(move |change| change.keep_sts_policy("d.test", &policy)).await.unwrap();
        }
        let means = world.means(house().0);
        let got = means.connect(&Destination::Domain("d.test".into())).await;
        let what = row.what;
        match (got, row.want) {
            (Ok(client), Ok(word)) => {
                assert_eq!(client.is_encrypted(), word != "none", "{what}");
                let line = format!("delivery_tls_total{{word=\"{word}\"}} 1");
                assert!(means.metrics.text().contains(&line), "{what}: {}", means.metrics.text());
            }
            (Err(Outcome::Later { why, reached: false }), Err(want)) => assert_eq!(why, want, "{what}"),
            (got, want) => panic!("{what}: {:?}, not {want:?}", got.map(|client| client.is_encrypted())),
        }
        let notes = notes.lock().unwrap().clone();
        assert_eq!(notes.len(), row.connections, "{what}: {notes:?}");
        if let Err(_) | Ok("none") = row.want {
            assert!(notes.iter().all(|note| !note.contains("MAIL")), "{what}: {notes:?}");
        }
    }
}

/// A chain is only as good as each of its links: MX records, the host's address, the TLSA records.
#[tokio::test]
async fn one_unsigned_link_and_dane_is_silent() {
    let authority = Authority::new();
    for unsigned in ["d.test", "mx.d.test", "_25._tcp.mx.d.test"] {
        let (port, _) = server(Does::Starttls, authority.server("mx.d.test").0).await;
        let mut world = World::new();
        world.ports = Ports { smtp: port, ..Ports::default() };
        world.zones.mx.insert("d.test".into(), Ok(vec![(10, "mx.d.test".into())]));
        world.zones.hosts.insert("mx.d.test".into(), Ok(vec!["127.0.0.1".parse().unwrap()]));
        world.zones.tlsa.insert("_25._tcp.mx.d.test".into(), Ok(vec![record(3, false, &authority)]));
        let names = ["d.test", "mx.d.test", "_25._tcp.mx.d.test"];
        world.zones.signed.extend(names.iter().filter(|name| **name != unsigned).map(|name| (*name).to_owned()));
        let means = world.means(house().0);
        let client = means.connect(&Destination::Domain("d.test".into())).await;
        assert!(client.is_ok_and(|client| client.is_encrypted()), "{unsigned}");
    }
}

/// A smarthost that wants a login: the right one goes through; a wrong one bounces nothing, and `queue show` tells.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logins_at_a_smarthost() {
    let authority = Authority::new();
    let tls = authority.client();
    // password file, route, what the item waits for
    let rows = [
        (Some("secret\n"), "smtp", None),
        (Some("secret"), "smtp", None),
        (Some("wrong"), "smtp", Some("auth: the server refuses our login with 535 5.7.8")),
        (Some(""), "smtp", Some("auth: our password file cannot be used")),
        (None, "smtp", Some("auth: our password file cannot be used")),
        (Some("secret"), "opportunistic", Some("auth: TLS is not required here")),
    ];
    for (password, kind, want) in rows {
        let (port, notes) = server(Does::Starttls, authority.server("smart.test").0).await;
        let mut world = World::new();
        let dir = tempfile::tempdir().unwrap();
        let password_file = dir.path().join("password");
        if let Some(text) = password {
            std::fs::write(&password_file, text).unwrap();
        }
        world.tls = tls.clone();
        world.zones.hosts.insert("smart.test".into(), Ok(vec!["127.0.0.1".parse().unwrap()]));
        let delivery = &mut world.config.delivery;
        delivery.route = format!("smtp://smart.test:{port}");
        delivery.credentials.insert(format!("smart.test:{port}"), Credentials { user: "u".into(), password_file });
        if kind == "smtp" {
            delivery.tls_for.insert(format!("smart.test:{port}"), TlsLevel::Required);
        }
        let item = world.item("b.test", false);
        let (outbound, mut heard) = world.start().await;
        let waits = |left: &[crate::store::queue::Item]| left.first().map(|item| item.waits_for.clone());
        world
            .until(|left| {
                notes.lock().unwrap().iter().any(|note| note.contains("+DATA"))
                    || waits(left).is_some_and(|why| !why.is_empty())
            })
            .await;
        outbound.drain(Duration::ZERO).await;
        let notes = notes.lock().unwrap().concat();
        assert!(!notes.contains("-AUTH"), "never in the clear: {notes}");
        match want {
            None => assert!(notes.contains("+AUTH +MAIL"), "{notes}"),
            Some(want) => {
                assert_eq!(waits(&world.left()).as_deref(), Some(want));
                assert!(!notes.contains("MAIL"), "{notes}");
                assert_eq!(world.fate(item.message), "queued");
            }
        }
        while let Ok(asked) = heard.try_recv() {
            assert!(matches!(asked, Asked::Load(_)), "{asked:?}");
        }
    }
}
