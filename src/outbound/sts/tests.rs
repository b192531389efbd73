//! Policies as text, and their life: fetched from a web server on loopback under a clock that the test sets.

use super::*;
use crate::dns::DnsError;
use crate::outbound::Ports;
use crate::outbound::tests::{FakeHouse, World};
use crate::tls::Certificate;
use crate::tls::testing::Authority;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;

const POLICY: &str = "version: STSv1\r\nmode: enforce\r\nmx: mx.d.test\r\nmx: *.d.test\r\nmax_age: 1000000\r\n";

#[test]
fn records() {
    let rows: &[(&[&str], Option<&str>)] = &[
        (&["v=STSv1; id=20160831085700Z;"], Some("20160831085700Z")),
        (&["v=STSv1;id=1"], Some("1")),
        (&["v=STSv1 ; x=y; id=ab"], Some("ab")),
        (&["v=spf1 -all", "v=STSv1; id=1;", "v=STSv10; id=3"], Some("1")),
        (&["v=STSv1; id=1", "v=STSv1; id=2"], None),
        (&["v=STSv1"], None),
        (&["v=STSv1;"], None),
        (&["v=STSv1; id=;"], None),
        (&["v=STSv1; id=a-b;"], None),
        (&["v=STSv1; id=123456789012345678901234567890123;"], None),
        (&["V=STSv1; id=1;"], None),
        (&[""], None),
        (&[], None),
    ];
    for (records, want) in rows {
        let records: Vec<String> = records.iter().map(|text| (*text).to_owned()).collect();
        assert_eq!(record_id(&records).as_deref(), *want, "{records:?}");
    }
}

#[test]
fn policies() {
    let many = format!("version: STSv1\nmode: enforce\nmax_age: 1\n{}", "mx: a.test\n".repeat(2000));
    // text, mode and number of patterns and age, or nothing
    type Want = Option<(StsMode, usize, u64)>;
    let rows: &[(&str, Want)] = &[
        (POLICY, Some((StsMode::Enforce, 2, 1_000_000))),
        ("version: STSv1\nmode: testing\nmx: a.test\nmax_age: 5", Some((StsMode::Testing, 1, 5))),
        ("mode:none\nmax_age:86400\nversion:STSv1\n", Some((StsMode::None, 0, 86_400))),
        (
            "version: STSv1\nmode: enforce\nmode: none\nx: y\nmx: A.Test.\nmax_age: 9999999999\n",
            Some((StsMode::Enforce, 1, LONGEST)),
        ),
        ("version: STSv1\nmode: enforce\nmax_age: 1\n", None),
        ("version: STSv2\nmode: none\nmax_age: 1\n", None),
        ("mode: none\nmax_age: 1\n", None),
        ("version: STSv1\nmx: a.test\nmax_age: 1\n", None),
        ("version: STSv1\nmode: strict\nmx: a.test\nmax_age: 1\n", None),
        ("version: STSv1\nmode: enforce\nmx: a.test\n", None),
        ("version: STSv1\nmode: enforce\nmx: a.test\nmax_age: -1\n", None),
        ("version: STSv1\nmode: enforce\nmx: a.test\nmax_age: 99999999999\n", None),
        ("version: STSv1\nmode: enforce\nmx: a.*.test\nmax_age: 1\n", None),
        ("version: STSv1\nmode: enforce\nmx: *\nmax_age: 1\n", None),
        ("version: STSv1\nmode: enforce\nmx: a b\nmax_age: 1\n", None),
        ("<html>\n", None),
        ("", None),
        (&many, None),
    ];
    for (text, want) in rows {
        let got = parse(text).map(|p| (p.mode, p.mx.len(), p.max_age.as_secs()));
        assert_eq!(got, *want, "{}", text.get(..60).unwrap_or(text));
    }
}

#[test]
fn patterns() {
    let policy = StsPolicy {
        id: String::new(),
        mode: StsMode::Enforce,
        mx: parse(POLICY).unwrap().mx,
        fetched: Time(0),
        expires: Time(0),
    };
    let rows = [
        ("mx.d.test", true),
        ("MX.D.test", true),
        ("b.d.test", true),
        ("d.test", false),
        ("a.b.d.test", false),
        ("xd.test", false),
        ("", false),
    ];
    for (host, want) in rows {
        assert_eq!(names(&policy, host), want, "{host}");
    }
}

/// Serves one answer after another, the last for ever; an empty one is silence, after which a long time has passed.
async fn web(certificate: Certificate, answers: Arc<Mutex<String>>) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (port, count) = (listener.local_addr().unwrap().port(), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&count);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            let Ok(stream) = certificate.acceptor().accept(stream).await else { continue };
            let mut stream = BufReader::new(stream);
            let mut line = String::new();
            while line != "\r\n" {
                line.clear();
                if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
                    break;
                }
                assert!(!line.contains("GET") || line == "GET /.well-known/mta-sts.txt HTTP/1.1\r\n", "{line}");
                assert!(!line.starts_with("host") || line == "host: mta-sts.d.test\r\n", "{line}");
            }
            let answer = answers.lock().unwrap().clone();
            if answer.is_empty() {
                tokio::time::pause();
                tokio::time::advance(Duration::from_secs(60)).await;
                tokio::time::resume();
                let _ = stream.read_u8().await;
                continue;
            }
            let _ = stream.write_all(answer.as_bytes()).await;
            let _ = stream.shutdown().await;
        }
    });
    (port, count)
}

fn page(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

static CLOCK: AtomicI64 = AtomicI64::new(1_800_000_000_000);

fn clock() -> Time {
    Time(CLOCK.load(Ordering::SeqCst))
}

fn pass(seconds: i64) {
    CLOCK.fetch_add(seconds * 1000, Ordering::SeqCst);
}

fn world(tls: &crate::tls::ClientTls, port: u16) -> World {
    let mut world = World::new();
    world.tls = tls.clone();
    world.ports = Ports { smtp: 0, https: port };
    world.zones.txt.insert("_mta-sts.d.test".into(), Ok(vec!["v=STSv1; id=1;".into()]));
    world.zones.hosts.insert("mta-sts.d.test".into(), Ok(vec!["127.0.0.1".parse().unwrap()]));
    world
}

fn means(world: &World) -> Arc<Means> {
    world.means(Arc::new(FakeHouse { asked: tokio::sync::mpsc::unbounded_channel().0 }))
}

#[tokio::test]
async fn answers_of_the_web_server() {
    let authority = Authority::new();
    let tls = authority.client();
    let long = "x".repeat(70_000);
    let rows = [
        (page(POLICY), true),
        (page(POLICY).replace("text/plain", "Text/Plain; charset=utf-8"), true),
        (
            format!(
                "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{POLICY}\r\n0\r\n\r\n",
                POLICY.len()
            ),
            true,
        ),
        (page(POLICY).replace("text/plain", "text/html"), false),
        (page(POLICY).replace("Content-Type", "X-Type"), false),
        (page(POLICY).replace("200 OK", "404 Not Found"), false),
        (page(POLICY).replace("200 OK", "301 Moved\r\nLocation: https://mta-sts.d.test/x"), false),
        (page(&format!("{POLICY}x: {long}\r\n")), false),
        (page(POLICY).replace("Content-Length: ", "Content-Length: 9"), false),
        (format!("HTTP/1.1 200 OK\r\nX: {long}\r\n\r\n"), false),
        (page("nonsense"), false),
        ("220 smtp\r\n".to_owned(), false),
        (String::new(), false),
    ];
    for (answer, want) in rows {
        let what = answer.get(..90).unwrap_or(&answer).to_owned();
        let (port, _) = web(authority.server("mta-sts.d.test").0, Arc::new(Mutex::new(answer))).await;
        let got = means(&world(&tls, port)).sts_policy("d.test").await.unwrap();
        assert_eq!(got.is_some(), want, "{what}");
    }
    // A certificate that others vouch for, and one of another host; a policy host inside our network.
    for (name, client, private) in
        [("mta-sts.d.test", false, true), ("d.test", true, true), ("mta-sts.d.test", true, false)]
    {
        let (port, _) = web(authority.server(name).0, Arc::new(Mutex::new(page(POLICY)))).await;
        let mut world = world(&tls, port);
        world.config.delivery.allow_private = private;
        if !client {
            world.tls = crate::tls::ClientTls::new().unwrap();
        }
        assert_eq!(means(&world).sts_policy("d.test").await.unwrap(), None, "{name} {client} {private}");
    }
}

#[tokio::test]
async fn the_life_of_a_policy() {
    let authority = Authority::new();
    let tls = authority.client();
    let answer = Arc::new(Mutex::new(page(POLICY)));
    let (port, count) = web(authority.server("mta-sts.d.test").0, Arc::clone(&answer)).await;
    let mut world = world(&tls, port);
    world.now = clock;
    let mut means = means(&world);
    let twenty = (0..20).map(|_| {
        let means = Arc::clone(&means);
        tokio::spawn(async move { means.sts_policy("d.test").await.unwrap().is_some() })
    });
    for one in twenty.collect::<Vec<_>>() {
        assert!(one.await.unwrap(), "each waits for the one that fetches");
    }
    let none = page("version: STSv1\nmode: none\nmax_age: 1000000\n");
    let record = |id: &str| Ok(vec![format!("v=STSv1; id={id};")]);
    // seconds that pass, record, what the web server says, whether it is in force, requests so far
    type Record = std::result::Result<Vec<String>, DnsError>;
    let rows: &[(i64, Record, &str, bool, usize)] = &[
        (0, record("1"), "", true, 1),
        (1000, record("1"), "gone", true, 1),
        (0, record("2"), "gone", true, 2),
        (200, record("2"), "gone", true, 2),
        (200, record("2"), "gone", true, 3),
        (0, Err(DnsError::NoName), "gone", true, 3),
        (0, Err(DnsError::Temporary), "gone", true, 3),
        (600, record("2"), &page(POLICY), true, 4),
        (499_000, record("2"), "gone", true, 4),
        (2000, record("2"), "gone", true, 5),
        (2000, record("2"), &page(POLICY), true, 6),
        (1_000_001, Err(DnsError::Temporary), "gone", false, 6),
        (0, record("2"), "gone", false, 7),
        (301, record("2"), &page(POLICY), true, 8),
        (0, record("3"), &none, false, 9),
        (0, record("3"), "gone", false, 9),
    ];
    for (at, (seconds, record, says, want, requests)) in rows.iter().enumerate() {
        pass(*seconds);
        world.zones.txt.insert("_mta-sts.d.test".into(), record.clone());
        Arc::get_mut(&mut means).unwrap().dns = Arc::new(world.zones.clone());
        *answer.lock().unwrap() = (*says).to_owned();
        let got = means.sts_policy("d.test").await.unwrap().is_some();
        assert_eq!((got, count.load(Ordering::SeqCst)), (*want, *requests), "row {at}");
    }
    let turn = means.sts.turn("d.test");
    for n in 0..3 * REMEMBERED {
        means.sts.turn(&format!("d{n}.test"));
    }
    assert!(means.sts.domains.lock().unwrap().len() <= REMEMBERED + 1, "failures of many domains take no more memory");
    assert!(Arc::ptr_eq(&turn, &means.sts.turn("d.test")), "one in use is not forgotten");
}
