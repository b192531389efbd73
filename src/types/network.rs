//! Networks in CIDR notation, and what counts as one client.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// An address range, `192.0.2.0/24`, `2001:db8::/32`, or a single address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    base: u128,
    mask: u128,
}

/// A text that is not a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write a network as 192.0.2.0/24, 2001:db8::/32, or a single address")]
pub struct NetworkError;

/// IPv4 as IPv4-mapped IPv6, so that one form serves both.
fn number(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

impl FromStr for Network {
    type Err = NetworkError;
    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let (address, length) = text.split_once('/').map_or((text, None), |(a, l)| (a, Some(l)));
        let ip: IpAddr = address.parse().map_err(|_| NetworkError)?;
        let bits = if ip.is_ipv4() { 32 } else { 128 };
        let length: u32 = length.map_or(Ok(bits), str::parse).map_err(|_| NetworkError)?;
        let host = bits.checked_sub(length).ok_or(NetworkError)?;
        let mask = u128::MAX.checked_shl(host).unwrap_or(0);
        Ok(Self { base: number(ip) & mask, mask })
    }
}

impl Network {
    /// Whether `ip` lies in it; an IPv4-mapped IPv6 address counts as the IPv4 one.
    #[must_use]
    pub fn contains(&self, ip: IpAddr) -> bool {
        number(ip) & self.mask == self.base
    }
}

/// Networks that the internet does not reach: loopback, private (RFC 1918, RFC 4193), link-local,
/// and carrier-grade NAT.
const LOCAL: [&str; 9] = [
    "127.0.0.0/8",
    "::1",
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "100.64.0.0/10",
    "169.254.0.0/16",
    "fc00::/7",
    "fe80::/10",
];

fn local() -> impl Iterator<Item = Network> {
    LOCAL.iter().filter_map(|text| text.parse().ok())
}

/// Whether the internet does not reach this address. `0.0.0.0` and `::` stand for all addresses of
/// a machine, which it may.
#[must_use]
pub fn is_local(ip: IpAddr) -> bool {
    local().any(|network| network.contains(ip))
}

/// All IPv4 addresses, and the IPv6 addresses that are given out (RFC 4291 2.4): what either
/// internet is.
const INTERNETS: [Network; 2] =
    [Network { base: 0xffff << 32, mask: u128::MAX << 32 }, Network { base: 0x2000 << 112, mask: 0xe000 << 112 }];

impl Network {
    fn holds(&self, other: &Self) -> bool {
        other.mask & self.mask == self.mask && other.base & self.mask == self.base
    }

    /// Whether it is wider than one front's network is: a public one of more than a /16, or of more
    /// than a /32 of IPv6.
    #[must_use]
    pub fn is_wide(&self) -> bool {
        let [v4, _] = &INTERNETS;
        let longest = if v4.holds(self) { 96 + 16 } else { 32 };
        self.mask.count_ones() < longest && !local().any(|network| network.holds(self))
    }

    /// Whether these together are half of IPv4's internet or half of IPv6's, in however many
    /// pieces.
    #[must_use]
    pub fn are_the_internet(networks: &[Self]) -> bool {
        INTERNETS.iter().any(|internet| {
            // Two networks are apart, or one holds the other.
            let pieces: HashSet<(u128, u128)> = networks
                .iter()
                .filter_map(|one| if one.holds(internet) { Some(internet) } else { internet.holds(one).then_some(one) })
                .map(|piece| (piece.base, piece.mask))
                .collect();
            let inner = |piece: &Self| {
                let outer = |&(base, mask): &(u128, u128)| mask != piece.mask && Self { base, mask }.holds(piece);
                pieces.iter().any(outer)
            };
            let size = |&(base, mask): &(u128, u128)| if inner(&Self { base, mask }) { 0 } else { !mask };
            let covered = pieces.iter().map(size).fold(0_u128, u128::saturating_add);
            // Each piece is counted one address short.
            covered.saturating_add(pieces.len() as u128) > !internet.mask / 2
        })
    }
}

/// The address that stands for one client in limits: an IPv4 address, or an IPv6 /64.
#[must_use]
pub fn client_key(ip: IpAddr) -> u128 {
    let number = number(ip);
    let mapped = Ipv6Addr::from_bits(number).to_ipv4_mapped();
    if mapped.is_some() { number } else { number & (u128::MAX << 64) }
}

/// The address that stands for one site where each has a share of something: an IPv4 address, or an
/// IPv6 /48, of which anybody is given the 65,536 networks that [`client_key`] tells apart.
#[must_use]
pub fn site_key(ip: IpAddr) -> u128 {
    let key = client_key(ip);
    let mapped = Ipv6Addr::from_bits(key).to_ipv4_mapped();
    if mapped.is_some() { key } else { key & (u128::MAX << 80) }
}

/// Addresses that no public mail server has: loopback, private, link-local, carrier-grade NAT, documentation, multicast,
/// reserved, and IPv6 forms that wrap one of them.
#[must_use]
pub fn is_internal(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => internal_v4(v4),
        IpAddr::V6(v6) => {
            let [a, b, ..] = v6.segments();
            let wrapped = v6.to_ipv4_mapped().or_else(|| (a == 0x64 && b == 0xff9b).then(|| last_v4(v6)));
            let six_to_four = (a == 0x2002).then(|| {
                let bits = v6.to_bits() >> 80;
                Ipv4Addr::from_bits(u32::try_from(bits & 0xffff_ffff).unwrap_or(0))
            });
            v6.is_loopback()
                || v6.is_unspecified()
                || v6.is_multicast()
                || (a & 0xfe00) == 0xfc00
                || (a & 0xffc0) == 0xfe80
                || (a & 0xffc0) == 0xfec0
                || (a == 0x2001 && b == 0x0db8)
                || (a == 0 && b == 0 && v6.to_ipv4().is_some_and(internal_v4))
                || wrapped.or(six_to_four).is_some_and(internal_v4)
        }
    }
}

fn last_v4(v6: Ipv6Addr) -> Ipv4Addr {
    Ipv4Addr::from_bits(u32::try_from(v6.to_bits() & 0xffff_ffff).unwrap_or(0))
}

fn internal_v4(v4: Ipv4Addr) -> bool {
    let [a, b, c, _] = v4.octets();
    v4.is_loopback()
        || v4.is_private()
        || v4.is_link_local()
        || v4.is_unspecified()
        || v4.is_broadcast()
        || v4.is_multicast()
        || v4.is_documentation()
        || a == 0
        || a >= 240
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 198 && (b == 18 || b == 19))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn networks() {
        // network, address, inside
        let cases = [
            ("127.0.0.0/8", "127.9.9.9", true),
            ("127.0.0.0/8", "::ffff:127.0.0.1", true),
            ("127.0.0.0/8", "128.0.0.1", false),
            ("192.0.2.7", "192.0.2.7", true),
            ("192.0.2.7", "192.0.2.8", false),
            ("0.0.0.0/0", "8.8.8.8", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("2001:db8::/32", "2001:db8:1::1", true),
            ("::/0", "2001:db8:1::1", true),
        ];
        for (network, address, inside) in cases {
            assert_eq!(network.parse::<Network>().unwrap().contains(ip(address)), inside, "{network} {address}");
        }
        for bad in ["", "x", "127.0.0.0/33", "::/129", "127.0.0.1/-1", "127.0.0.1/8/8"] {
            assert_eq!(bad.parse::<Network>(), Err(NetworkError), "{bad}");
        }
    }

    #[test]
    fn internal_addresses() {
        let internal = [
            "127.0.0.1",
            "10.1.1.1",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.1.1",
            "100.64.0.1",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "fe80::1",
            "fd00::1",
            "ff02::1",
            "::ffff:10.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "::127.0.0.1",
        ];
        for text in internal {
            assert!(is_internal(ip(text)), "{text}");
        }
        for text in ["8.8.8.8", "2606:4700::1", "::ffff:8.8.8.8", "64:ff9b::808:808"] {
            assert!(!is_internal(ip(text)), "{text}");
        }
    }

    #[test]
    fn what_is_local_wide_and_the_whole_world() {
        let local =
            ["127.0.0.1", "10.9.9.9", "172.31.0.1", "192.168.0.1", "100.64.1.1", "169.254.1.1", "::1", "fd00::1"];
        let reached = ["0.0.0.0", "::", "8.8.8.8", "203.0.113.5", "172.32.0.1", "2001:db8::1", "::ffff:8.8.8.8"];
        assert!(
            local.into_iter().all(|text| is_local(ip(text))) && !reached.into_iter().any(|text| is_local(ip(text)))
        );
        assert!(is_local(ip("fe80::1")) && is_local(ip("::ffff:10.0.0.1")) && !is_local(ip("fec0::1")));
        // networks, whether one is too wide, whether they are the world
        let cases: [(&[&str], bool, bool); 22] = [
            (&["0.0.0.0/0"], true, true),
            (&["::/0"], true, true),
            (&["0.0.0.0/1", "128.0.0.0/1"], true, true),
            (&["0.0.0.0/1"], true, true),
            (&["10.0.0.0/8", "10.0.0.0/8", "10.0.0.0/7"], true, false),
            (&["0.0.0.0/2", "64.0.0.0/2"], true, true),
            (&["0.0.0.0/2", "0.0.0.0/2", "1.0.0.0/8"], true, false),
            (&["0.0.0.0/2", "0.0.0.0/3"], true, false),
            (&["::ffff:0:0/96"], true, true),
            (&["::ffff:0:0/97"], true, true),
            (&["2000::/3"], true, true),
            (&["2000::/4"], true, true),
            (&["2000::/5", "2800::/5"], true, true),
            (&["2001::/16"], true, false),
            (&["17.0.0.0/8"], true, false),
            (&["198.51.0.0/16"], false, false),
            (&["2001:db8::/32"], false, false),
            (&["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "127.0.0.0/8"], false, false),
            (&["::ffff:10.0.0.0/104"], false, false),
            (&["fc00::/7", "fe80::/10", "::1"], false, false),
            (&["192.0.2.25", "2001:db8::25"], false, false),
            (&[], false, false),
        ];
        for (texts, wide, world) in cases {
            let networks: Vec<Network> = texts.iter().map(|text| text.parse().unwrap()).collect();
            assert_eq!(networks.iter().any(Network::is_wide), wide, "{texts:?}");
            assert_eq!(Network::are_the_internet(&networks), world, "{texts:?}");
        }
    }

    #[test]
    fn one_client() {
        assert_eq!(client_key(ip("2001:db8::1")), client_key(ip("2001:db8::ffff:1")));
        assert_ne!(client_key(ip("2001:db8::1")), client_key(ip("2001:db8:0:1::1")));
        assert_eq!(client_key(ip("192.0.2.1")), client_key(ip("::ffff:192.0.2.1")));
        assert_ne!(client_key(ip("192.0.2.1")), client_key(ip("192.0.2.2")));
        assert_eq!(site_key(ip("2001:db8::1")), site_key(ip("2001:db8:0:ffff::1")));
        assert_ne!(site_key(ip("2001:db8::1")), site_key(ip("2001:db8:1::1")));
        assert_eq!(site_key(ip("192.0.2.1")), site_key(ip("::ffff:192.0.2.1")));
        assert_ne!(site_key(ip("192.0.2.1")), site_key(ip("192.0.2.2")));
    }
}
