//! The verifier against real certificates, for each kind of record.

use super::*;
use crate::tls::testing::Authority;
use rcgen::{CertificateParams, KeyPair, date_time_ymd};

fn tlsa(usage: u8, selector: u8, matching: u8, of: &CertificateDer<'_>) -> Tlsa {
    let part = if selector == 0 { of.as_ref() } else { public_key(of).unwrap() };
    let data = match matching {
        1 => digest(&SHA256, part).as_ref().to_vec(),
        2 => digest(&SHA512, part).as_ref().to_vec(),
        _ => part.to_vec(),
    };
    Tlsa { usage, selector, matching, data }
}

fn verified(records: Vec<Tlsa>, chain: &[CertificateDer<'static>], name: &str) -> bool {
    let named = Named { records: usable(records), domain: ServerName::try_from("d.test").ok() };
    let (leaf, rest) = chain.split_first().unwrap();
    named.takes(leaf, rest, &ServerName::try_from(name).unwrap(), UnixTime::now())
}

#[test]
fn each_kind_of_record() {
    let (authority, other) = (Authority::new(), Authority::new());
    let leaf = |authority: &Authority, name: &str| authority.server(name).1;
    let good = vec![leaf(&authority, "mx.d.test"), authority.der()];
    let forged = vec![leaf(&other, "mx.d.test"), other.der()];
    let mixed = vec![leaf(&other, "mx.d.test"), authority.der()];
    let without = vec![good[0].clone()];
    for selector in [0, 1] {
        for matching in [0, 1, 2] {
            let what = format!("{selector} {matching}");
            let ee = vec![tlsa(3, selector, matching, &good[0])];
            assert!(verified(ee.clone(), &good, "mx.d.test"), "{what}");
            assert!(verified(ee.clone(), &good, "elsewhere.test"), "{what}: names do not count");
            assert!(verified(ee.clone(), &without, "mx.d.test"), "{what}");
            assert!(!verified(ee.clone(), &forged, "mx.d.test"), "{what}");
            assert!(!verified(ee, &[authority.der()], "mx.d.test"), "{what}");
            let ta = vec![tlsa(2, selector, matching, &authority.der())];
            assert!(verified(ta.clone(), &good, "mx.d.test"), "{what}");
            assert!(!verified(ta.clone(), &good, "elsewhere.test"), "{what}: here names count");
            assert!(
                verified(ta.clone(), &[leaf(&authority, "d.test"), authority.der()], "mx.d.test"),
                "{what}: the domain's own"
            );
            assert!(!verified(ta.clone(), &forged, "mx.d.test"), "{what}");
            assert!(!verified(ta.clone(), &mixed, "mx.d.test"), "{what}: it is shown, but has not signed");
            // Only a record that holds the whole certificate can stand for it.
            assert_eq!(verified(ta, &without, "mx.d.test"), (selector, matching) == (0, 0), "{what}");
            for usage in [0, 1, 4, 255] {
                assert!(usable(vec![tlsa(usage, selector, matching, &good[0])]).is_empty(), "{usage}");
            }
        }
    }
    // One good record is enough; none is not.
    let bad = || tlsa(3, 1, 1, &forged[0]);
    assert!(verified(vec![bad(), tlsa(3, 1, 1, &good[0])], &good, "mx.d.test"));
    assert!(!verified(vec![bad()], &good, "mx.d.test") && !verified(Vec::new(), &good, "mx.d.test"));
}

#[test]
fn times() {
    let mut params = CertificateParams::new(vec!["mx.d.test".to_owned()]).unwrap();
    (params.not_before, params.not_after) = (date_time_ymd(2001, 1, 1), date_time_ymd(2002, 1, 1));
    let old = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
    let chain = [old.der().clone()];
    assert!(verified(vec![tlsa(3, 1, 1, &chain[0])], &chain, "mx.d.test"), "RFC 7672 3.1.1");
    assert!(!verified(vec![tlsa(2, 0, 0, &chain[0])], &chain, "mx.d.test"));
}

#[test]
fn records_that_mean_nothing() {
    let authority = Authority::new();
    let of = authority.der();
    let odd = |change: fn(&mut Tlsa)| {
        let mut record = tlsa(3, 1, 1, &of);
        change(&mut record);
        usable(vec![record]).len()
    };
    assert_eq!(odd(|_| {}), 1);
    assert_eq!(odd(|r| r.selector = 2), 0);
    assert_eq!(odd(|r| r.matching = 3), 0);
    assert_eq!(odd(|r| r.matching = 2), 0, "32 octets are no SHA-512");
    assert_eq!(odd(|r| r.data.truncate(31)), 0);
    assert_eq!(odd(|r| r.data.push(0)), 0);
    assert_eq!(odd(|r| (r.matching, r.data) = (0, Vec::new())), 0);
    assert_eq!(usable(vec![tlsa(3, 1, 1, &of); 5000]).len(), RECORDS);
    // Of two digests of the same kind of thing the better one counts (RFC 7671 9).
    let both = usable(vec![tlsa(3, 1, 1, &of), tlsa(3, 1, 2, &of), tlsa(2, 1, 1, &of), tlsa(3, 1, 0, &of)]);
    assert_eq!(both.iter().map(|r| (r.usage, r.matching)).collect::<Vec<_>>(), [(3, 2), (2, 1), (3, 0)]);
    // Octets that are no certificate.
    let garbage = CertificateDer::from(vec![0x30, 0x82, 0xff, 0xff, 1, 2, 3]);
    assert!(public_key(&garbage).is_none() && !verified(vec![tlsa(3, 1, 1, &of)], &[garbage], "mx.d.test"));
}
