//! The fuzz targets on stable, bounded: seeds that are real mail, commands and configurations, cut, spliced and changed by a seeded random source.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "tests")]

#[path = "fuzz/bodies.rs"]
mod bodies;

use marketrelay::types::Random as _;
use marketrelay::types::random::Seeded;
use std::path::Path;

/// Inputs for each target.
const ROUNDS: usize = 1500;

fn seeds() -> Vec<Vec<u8>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut seeds: Vec<Vec<u8>> = vec![
        b"MAIL FROM:<\"a b\"@c.test> SIZE=10 BODY=8BITMIME SMTPUTF8".to_vec(),
        b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\nRCPT TO:<@a,@b:c@d.test>".to_vec(),
        b"XCLIENT ADDR=IPV6:2001:db8::1 HELO=a+2Bb".to_vec(),
        b"XFORWARD ADDR=192.0.2.1 HELO=[UNAVAILABLE]".to_vec(),
        b"a\r\n..b\r\n.\r\nQUIT\r\n.\r\n\n.\n\r.\r".to_vec(),
        b"=?utf-8?Q?a=2C?= \"x, y\" <b-real-9c1+t@home.example>".to_vec(),
        std::fs::read(root.join("conf/marketrelay.toml")).unwrap(),
    ];
    let mail = "From: A <b-real-9c1@home.example>\r\nSubject: =?iso-2022-jp?B?GyRCRnxLXBsoQg==?= b-real-9c1@home.example\r\nDate: Sat, 21 Nov 2026 09:00:00 +0900\r\n\
        Message-ID: <1@x>\r\nContent-Type: multipart/mixed; boundary=\"b\"\r\n\r\n--b\r\nContent-Type: multipart/alternative; boundary=c\r\n\r\n--c\r\n\
        Content-Type: text/plain; charset=iso-8859-1; format=flowed\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n> b-real-9c1=40home.exam=\r\nple =E4\r\n--c\r\n\
        Content-Type: text/html; charset=utf-8\r\n\r\n<a href=\"mailto:b-real-9c1%40home.example\">b-real-9c1&#64;home.example</a><img src=\"cid:x@y\">\r\n--c--\r\n--b\r\n\
        Content-Type: application/pdf; name*0*=utf-8''b-real-9c1%40; name*1=home.example.pdf\r\nContent-Transfer-Encoding: base64\r\nContent-ID: <x@y>\r\n\r\nJVBERi0xLjQK\r\n--b\r\n\
        Content-Type: message/rfc822\r\n\r\nSubject: inner\r\nFrom: b-real-9c1@home.example\r\n\r\nx\r\n--b\r\nContent-Type: message/delivery-status\r\n\r\nAction: failed\r\n\r\nStatus: 5.1.1\r\n--b--\r\n";
    seeds.push(mail.as_bytes().to_vec());
    for folder in ["tests/dialogs"] {
        for entry in std::fs::read_dir(root.join(folder)).unwrap() {
            seeds.push(std::fs::read(entry.unwrap().path()).unwrap());
        }
    }
    seeds
}

fn mutated(seeds: &[Vec<u8>], random: &mut Seeded) -> Vec<u8> {
    let pick = |random: &mut Seeded| {
        let seed = &seeds[random.below(seeds.len())];
        let number = usize::try_from(random.number() % (seed.len() as u64 + 1)).unwrap();
        (seed.clone(), number)
    };
    let (mut data, at) = pick(random);
    match random.below(4) {
        0 => data.truncate(at),
        1 => {
            let (other, from) = pick(random);
            data.truncate(at);
            data.extend_from_slice(&other[from..]);
        }
        _ => {}
    }
    for _ in 0..random.below(8) {
        if data.is_empty() {
            break;
        }
        let at = usize::try_from(random.number() % data.len() as u64).unwrap();
        let special = b"\r\n.@<>\"=?&%; \0\xff\t-:";
        match random.below(3) {
            0 => data[at] = special[random.below(special.len())],
            1 => data.insert(at, special[random.below(special.len())]),
            _ => drop(data.remove(at)),
        }
    }
    data
}

#[test]
fn every_target_survives() {
    let seeds = seeds();
    for (name, body) in bodies::TARGETS {
        let mut random = Seeded::new(2026);
        for seed in &seeds {
            body(seed);
        }
        for round in 0..ROUNDS {
            let data = mutated(&seeds, &mut random);
            let outcome = std::panic::catch_unwind(|| body(&data));
            assert!(outcome.is_ok(), "{name}, round {round}: {:?}", String::from_utf8_lossy(&data));
        }
    }
}
