//! The PROXY protocol, versions 1 and 2: what a load balancer says of the client before the first SMTP octet. Believed from trusted
//! networks only; that is the server's decision.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What a header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Header {
    /// The input is too short to tell.
    More,
    /// A header of so many octets. No address: the balancer speaks for itself (health checks).
    Is {
        /// Octets of the header.
        length: usize,
        /// The client.
        client: Option<IpAddr>,
    },
    /// Not a header.
    Bad,
}

const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Longest version 1 line, CRLF included.
const V1_LONGEST: usize = 107;
/// Longest version 2 payload that is accepted.
const V2_LONGEST: usize = 2048;

/// Reads a header at the start of `input`.
#[must_use]
pub fn read(input: &[u8]) -> Header {
    let common = input.len().min(V2.len());
    if input.get(..common) == V2.get(..common) {
        return if input.len() < 16 { Header::More } else { version_2(input) };
    }
    let common = input.len().min(6);
    if input.get(..common) == b"PROXY ".get(..common) {
        return version_1(input);
    }
    Header::Bad
}

fn version_1(input: &[u8]) -> Header {
    let Some(end) = memchr::memmem::find(input, b"\r\n") else {
        return if input.len() < V1_LONGEST { Header::More } else { Header::Bad };
    };
    if end + 2 > V1_LONGEST {
        return Header::Bad;
    }
    let Some(line) = input.get(..end).and_then(|line| std::str::from_utf8(line).ok()) else { return Header::Bad };
    let words: Vec<&str> = line.split(' ').collect();
    let length = end + 2;
    match words.as_slice() {
        ["PROXY", "UNKNOWN", ..] => Header::Is { length, client: None },
        ["PROXY", "TCP4", source, to, from_port, to_port] => {
            let ok = to.parse::<Ipv4Addr>().is_ok() && ports(from_port, to_port);
            address(length, source.parse::<Ipv4Addr>().ok().filter(|_| ok).map(IpAddr::V4))
        }
        ["PROXY", "TCP6", source, to, from_port, to_port] => {
            let ok = to.parse::<Ipv6Addr>().is_ok() && ports(from_port, to_port);
            address(length, source.parse::<Ipv6Addr>().ok().filter(|_| ok).map(IpAddr::V6))
        }
        _ => Header::Bad,
    }
}

fn ports(one: &str, other: &str) -> bool {
    one.parse::<u16>().is_ok() && other.parse::<u16>().is_ok()
}

fn address(length: usize, client: Option<IpAddr>) -> Header {
    if client.is_some() { Header::Is { length, client } } else { Header::Bad }
}

fn version_2(input: &[u8]) -> Header {
    let &[command, family, high, low] = input.get(12..16).and_then(|b| b.first_chunk::<4>()).unwrap_or(&[0; 4]);
    let payload = usize::from(high) << 8 | usize::from(low);
    if command >> 4 != 2 || payload > V2_LONGEST {
        return Header::Bad;
    }
    let length = 16 + payload;
    let Some(body) = input.get(16..length) else { return Header::More };
    match (command & 15, family >> 4) {
        (0, _) | (1, 0 | 3) => Header::Is { length, client: None },
        (1, 1) if payload >= 12 => {
            address(length, body.first_chunk::<4>().map(|bytes| IpAddr::V4(Ipv4Addr::from(*bytes))))
        }
        (1, 2) if payload >= 36 => {
            address(length, body.first_chunk::<16>().map(|bytes| IpAddr::V6(Ipv6Addr::from(*bytes))))
        }
        _ => Header::Bad,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v2(command: u8, family: u8, payload: &[u8]) -> Vec<u8> {
        let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
        [V2, &[command, family], &length, payload].concat()
    }

    #[test]
    fn vectors() {
        let client = |text: &str| Some(text.parse::<IpAddr>().unwrap());
        let mut tcp4 = vec![192, 0, 2, 1, 127, 0, 0, 1, 1, 2, 3, 4];
        let mut tcp6 = vec![0; 36];
        tcp6[..2].copy_from_slice(&[0x20, 1]);
        let with_tlv = [tcp4.clone(), vec![4, 0, 1, 0]].concat();
        let is = |length, client| Header::Is { length, client };
        let cases = [
            (b"PROXY TCP4 192.0.2.1 127.0.0.1 5 25\r\nEHLO".to_vec(), is(37, client("192.0.2.1"))),
            (b"PROXY TCP6 2001::1 ::1 5 25\r\n".to_vec(), is(29, client("2001::1"))),
            (b"PROXY UNKNOWN\r\n".to_vec(), is(15, None)),
            (b"PROXY UNKNOWN whatever it is\r\n".to_vec(), is(30, None)),
            (b"PROXY TCP4 2001::1 ::1 5 25\r\n".to_vec(), Header::Bad),
            (b"PROXY TCP4 192.0.2.1 127.0.0.1 5 99999\r\n".to_vec(), Header::Bad),
            (b"PROXY TCP4 192.0.2.1 127.0.0.1 5\r\n".to_vec(), Header::Bad),
            (b"EHLO a\r\n".to_vec(), Header::Bad),
            (b"PROX".to_vec(), Header::More),
            (vec![], Header::More),
            ([b"PROXY UNKNOWN ".as_slice(), &[b'x'; 200]].concat(), Header::Bad),
            (v2(0x21, 0x11, &tcp4), is(28, client("192.0.2.1"))),
            (v2(0x21, 0x11, &with_tlv), is(32, client("192.0.2.1"))),
            (v2(0x21, 0x21, &tcp6), is(52, client("2001::"))),
            (v2(0x20, 0x00, &[]), is(16, None)),
            (v2(0x21, 0x31, &[0; 216]), is(232, None)),
            (v2(0x21, 0x11, &[0; 11]), Header::Bad),
            (v2(0x31, 0x11, &tcp4), Header::Bad),
            (v2(0x2f, 0x11, &tcp4), Header::Bad),
            (v2(0x21, 0x11, &tcp4)[..27].to_vec(), Header::More),
            (v2(0x21, 0x11, &vec![0; 5000]), Header::Bad),
        ];
        tcp4.clear();
        for (input, want) in cases {
            assert_eq!(read(&input), want, "{:?}", String::from_utf8_lossy(&input));
        }
    }

    proptest::proptest! {
        #[test]
        fn any_octets(input in proptest::collection::vec(proptest::num::u8::ANY, 0..64)) {
            let _ = read(&input);
            let _ = read(&[V2, &input].concat());
            let _ = read(&[b"PROXY TCP4 ".as_slice(), &input].concat());
        }
    }
}
