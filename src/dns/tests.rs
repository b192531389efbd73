//! The resolver against a name server on loopback, over UDP and TCP.

use super::*;
use hickory_resolver::proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_resolver::proto::rr::Record;
use hickory_resolver::proto::rr::rdata::{A, AAAA, CNAME, MX};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, UdpSocket};

use std::collections::HashMap;

pub(super) type Zone = HashMap<&'static str, Vec<RData>>;

pub(super) fn name(text: &str) -> Name {
    Name::from_ascii(format!("{text}.").replace("..", ".")).unwrap()
}

pub(super) fn mx(preference: u16, host: &str) -> RData {
    RData::MX(MX::new(preference, name(host)))
}

pub(super) fn a(text: &str) -> RData {
    match text.parse().unwrap() {
        IpAddr::V4(v4) => RData::A(A(v4)),
        IpAddr::V6(v6) => RData::AAAA(AAAA(v6)),
    }
}

/// What the server says; `None` is silence.
pub(super) fn answer(query: &[u8], zone: &Zone) -> Option<Message> {
    let query = Message::from_vec(query).ok()?;
    let asked = query.queries.first()?.clone();
    let mut at = asked.name().to_ascii().trim_end_matches('.').to_lowercase();
    let mut reply = Message::new(query.metadata.id, MessageType::Response, OpCode::Query);
    reply.metadata.recursion_desired = true;
    reply.metadata.recursion_available = true;
    reply.add_query(asked.clone());
    match at.as_str() {
        "servfail.test" => reply.metadata.response_code = ResponseCode::ServFail,
        "refused.test" => reply.metadata.response_code = ResponseCode::Refused,
        "silent.test" => return None,
        _ => {
            let mut hops = 0;
            loop {
                let Some(records) = zone.get(at.as_str()) else {
                    reply.metadata.response_code = ResponseCode::NXDomain;
                    break;
                };
                let owner = name(&at);
                let mut next = None;
                for data in records {
                    if data.record_type() == asked.query_type() || data.record_type() == RecordType::CNAME {
                        reply.add_answer(Record::from_rdata(owner.clone(), 60, data.clone()));
                    }
                    if let RData::CNAME(target) = data {
                        next = Some(target.0.to_ascii().trim_end_matches('.').to_owned());
                    }
                }
                hops += 1;
                match next {
                    Some(target) if hops < 4 => at = target,
                    _ => break,
                }
            }
        }
    }
    Some(reply)
}

async fn server(zone: Zone) -> SocketAddr {
    serve(move |query| answer(query, &zone)).await
}

/// The same port for UDP and TCP: what does not fit into a datagram is asked for again.
pub(super) async fn serve(answer: impl Fn(&[u8]) -> Option<Message> + Send + Sync + 'static) -> SocketAddr {
    let (udp, tcp) = loop {
        let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()).await {
            break (udp, tcp);
        }
    };
    let address = udp.local_addr().unwrap();
    let answer = Arc::new(answer);
    let shared = Arc::clone(&answer);
    tokio::spawn(async move {
        let mut buffer = [0; 1500];
        while let Ok((length, from)) = udp.recv_from(&mut buffer).await {
            let Some(mut reply) = shared(&buffer[..length]) else { continue };
            let mut octets = reply.to_vec().unwrap();
            if octets.len() > 1232 {
                reply.metadata.truncation = true;
                reply.answers.clear();
                octets = reply.to_vec().unwrap();
            }
            let _ = udp.send_to(&octets, from).await;
        }
    });
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = tcp.accept().await {
            let answer = Arc::clone(&answer);
            tokio::spawn(async move {
                while let Ok(length) = stream.read_u16().await {
                    let mut query = vec![0; usize::from(length)];
                    stream.read_exact(&mut query).await.unwrap();
                    let Some(reply) = answer(&query) else { continue };
                    let octets = reply.to_vec().unwrap();
                    stream.write_u16(u16::try_from(octets.len()).unwrap()).await.unwrap();
                    stream.write_all(&octets).await.unwrap();
                }
            });
        }
    });
    address
}

#[tokio::test]
async fn answers() {
    let mut zone = Zone::new();
    zone.insert("two.test", vec![mx(20, "b.test"), mx(10, "A.Test"), a("192.0.2.9")]);
    zone.insert("null.test", vec![mx(0, "")]);
    zone.insert("plain.test", vec![a("192.0.2.1"), a("2001:db8::1")]);
    zone.insert("v6.test", vec![a("2001:db8::2")]);
    zone.insert("alias.test", vec![RData::CNAME(CNAME(name("two.test")))]);
    zone.insert("round.test", vec![RData::CNAME(CNAME(name("round.test")))]);
    zone.insert("dangling.test", vec![RData::CNAME(CNAME(name("nowhere.test")))]);
    zone.insert("empty.test", vec![]);
    zone.insert("many.test", (0..1000).map(|n| mx(n, &format!("m{n}.test"))).collect());
    let address = server(zone).await;
    let dns = Hickory::new(&config::Dns { servers: vec![address], dnssec: false }).unwrap();
    let long = "l".repeat(64);
    let two = || Ok(vec![(10, "a.test".to_owned()), (20, "b.test".to_owned())]);
    let rows: Vec<(&str, Result<Vec<Mx>, DnsError>)> = vec![
        ("two.test", two()),
        ("TWO.test", two()),
        ("alias.test", two()),
        ("null.test", Ok(vec![(0, String::new())])),
        ("plain.test", Err(DnsError::NoRecords)),
        ("empty.test", Err(DnsError::NoRecords)),
        ("missing.test", Err(DnsError::NoName)),
        ("dangling.test", Err(DnsError::NoName)),
        ("servfail.test", Err(DnsError::Temporary)),
        ("refused.test", Err(DnsError::Temporary)),
        ("not a name\u{0}", Err(DnsError::NoName)),
        (long.as_str(), Err(DnsError::NoName)),
    ];
    for (domain, want) in rows {
        let got = dns.mx(domain).await.map(|mut mx| {
            mx.records.sort();
            mx.records
        });
        assert_eq!(got, want, "{domain}");
    }
    let many = dns.mx("many.test").await.unwrap();
    assert_eq!(many.records.len(), 1000, "over TCP");
    assert!(dns.mx("round.test").await.is_err());
    let ip = |texts: &[&str]| Ok(texts.iter().map(|t| t.parse().unwrap()).collect::<Vec<IpAddr>>());
    let rows = [
        ("plain.test", ip(&["192.0.2.1", "2001:db8::1"])),
        ("v6.test", ip(&["2001:db8::2"])),
        ("alias.test", ip(&["192.0.2.9"])),
        ("null.test", Err(DnsError::NoRecords)),
        ("missing.test", Err(DnsError::NoName)),
        ("servfail.test", Err(DnsError::Temporary)),
    ];
    for (host, want) in rows {
        assert_eq!(dns.addresses(host).await.map(|found| found.records), want, "{host}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_says_nothing() {
    let address = server(Zone::new()).await;
    let dns = Hickory::new(&config::Dns { servers: vec![address], dnssec: false }).unwrap();
    assert_eq!(dns.mx("silent.test").await, Err(DnsError::Temporary));
}
