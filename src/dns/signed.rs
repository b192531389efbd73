//! Signatures, against a name server that signs with a root of its own: only what is proven is believed, and only where the name servers
//! let signatures through.

use super::tests::{Zone, a, answer, mx, name, serve};
use super::*;
use crate::types::Time;
use hickory_resolver::proto::dnssec::crypto::Ed25519SigningKey;
use hickory_resolver::proto::dnssec::rdata::sig::SigInput;
use hickory_resolver::proto::dnssec::rdata::{DNSKEY, DNSSECRData, NSEC, RRSIG};
use hickory_resolver::proto::dnssec::{DnssecSigner, SigningKey as _, TBS};
use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::rdata::{SOA, TLSA, tlsa};
use hickory_resolver::proto::rr::{DNSClass, Record, SerialNumber};

/// A root key, and what it signs with.
fn root() -> (Arc<TrustAnchors>, DnssecSigner) {
    let key = Ed25519SigningKey::from_pkcs8(&Ed25519SigningKey::generate_pkcs8().unwrap()).unwrap();
    let public = key.to_public_key().unwrap();
    let mut anchors = TrustAnchors::empty();
    anchors.insert(&public);
    let signer = DnssecSigner::new(DNSKEY::from_key(&public), Box::new(key), Name::root(), Duration::from_secs(3600));
    (Arc::new(anchors), signer)
}

/// The records with a signature for each set of them.
fn sign(records: &[Record], signer: &DnssecSigner) -> Vec<Record> {
    let now = u32::try_from(Time::now().0 / 1000).unwrap();
    let mut signed = records.to_vec();
    let mut done: Vec<(Name, RecordType)> = Vec::new();
    for record in records {
        let set = (record.name.clone(), record.record_type());
        if done.contains(&set) {
            continue;
        }
        let input = SigInput {
            type_covered: record.record_type(),
            algorithm: signer.key().algorithm(),
            num_labels: record.name.num_labels(),
            original_ttl: record.ttl,
            sig_expiration: SerialNumber::from(now + 3600),
            sig_inception: SerialNumber::from(now - 3600),
            key_tag: signer.calculate_key_tag().unwrap(),
            signer_name: Name::root(),
        };
        let of_set = records.iter().filter(|other| (&other.name, other.record_type()) == (&set.0, set.1));
        let tbs = TBS::from_input(&record.name, DNSClass::IN, &input, of_set).unwrap();
        let signature = RRSIG::from_sig(input, signer.sign(&tbs).unwrap());
        let data = RData::DNSSEC(DNSSECRData::RRSIG(signature));
        signed.push(Record::from_rdata(record.name.clone(), record.ttl, data));
        done.push(set);
    }
    signed
}

/// All in the root zone. What is asked for decides how the answer is wrong.
fn signing(query: &[u8], zone: &Zone, signer: &DnssecSigner) -> Option<Message> {
    let mut reply = answer(query, zone)?;
    let asked = reply.queries.first()?.clone();
    let at = asked.name().to_ascii();
    if at == "bare.test." || at.starts_with("nobody") {
        return Some(reply);
    }
    if reply.answers.is_empty() {
        let soa = SOA::new(name("ns.test"), name("admin.test"), 1, 60, 60, 60, 60);
        // Nothing is between the root and the root: nothing but the root exists.
        let nothing = NSEC::new_cover_self(Name::root(), [RecordType::SOA, RecordType::NS, RecordType::DNSKEY]);
        let records = [
            Record::from_rdata(Name::root(), 60, RData::SOA(soa)),
            Record::from_rdata(Name::root(), 60, RData::DNSSEC(DNSSECRData::NSEC(nothing))),
        ];
        reply.authorities = sign(&records, signer);
        return Some(reply);
    }
    reply.answers = sign(&reply.answers, signer);
    if at == "forged.test." {
        reply.answers[0].data = mx(10, "evil.test");
    }
    reply.metadata.response_code = ResponseCode::NoError;
    Some(reply)
}

fn zone(signer: &DnssecSigner) -> Zone {
    let mut zone = Zone::new();
    let soa = SOA::new(name("ns.test"), name("admin.test"), 1, 60, 60, 60, 60);
    zone.insert("", vec![RData::SOA(soa), RData::DNSSEC(DNSSECRData::DNSKEY(signer.to_dnskey()))]);
    for domain in ["good.test", "forged.test", "bare.test"] {
        zone.insert(domain, vec![mx(10, "mx.good.test")]);
    }
    zone.insert("mx.good.test", vec![a("192.0.2.1"), a("2001:db8::1")]);
    let tlsa = TLSA::new(tlsa::CertUsage::from(3), tlsa::Selector::from(1), tlsa::Matching::from(1), vec![7; 32]);
    zone.insert("_25._tcp.mx.good.test", vec![RData::TLSA(tlsa)]);
    zone
}

#[tokio::test]
async fn only_what_is_proven() {
    let (anchors, signer) = root();
    let records = zone(&signer);
    let address = serve(move |query| signing(query, &records, &signer)).await;
    let settings = |dnssec| config::Dns { servers: vec![address], dnssec };
    let dns = Hickory::trusting(&settings(true), anchors).unwrap();
    let exchange = |secure| Ok(Found { records: vec![(10, "mx.good.test".to_owned())], secure });
    assert_eq!(dns.mx("good.test").await, exchange(true));
    assert!(dns.addresses("mx.good.test").await.unwrap().secure);
    let want = Tlsa { usage: 3, selector: 1, matching: 1, data: vec![7; 32] };
    assert_eq!(dns.tlsa("_25._tcp.mx.good.test").await, Ok(Found { records: vec![want], secure: true }));
    assert_eq!(dns.mx("forged.test").await, Err(DnsError::Temporary), "a changed record");
    assert_eq!(dns.mx("bare.test").await, Err(DnsError::Temporary), "a record without its signature");
    assert_eq!(dns.tlsa("_25._tcp.missing.test").await, Err(DnsError::NoName), "a proven absence");
    assert_eq!(dns.tlsa("nobody.good.test").await, Err(DnsError::Temporary), "an absence that nobody signed");
    // The same server, not asked for proofs; and a root that others signed: the answers count, but not as proven.
    for dns in [Hickory::new(&settings(false)), Hickory::trusting(&settings(true), root().0)] {
        let dns = dns.unwrap();
        assert_eq!(dns.mx("good.test").await, exchange(false));
        assert_eq!(dns.mx("bare.test").await, exchange(false));
    }
}

/// Name servers that drop signatures stop no mail.
#[tokio::test]
async fn name_servers_without_signatures() {
    let (anchors, signer) = root();
    let records = zone(&signer);
    let address = serve(move |query| answer(query, &records)).await;
    let dns = Hickory::trusting(&config::Dns { servers: vec![address], dnssec: true }, anchors).unwrap();
    let found = dns.mx("good.test").await.unwrap();
    assert!(!found.secure && found.records.len() == 1);
    assert!(!dns.tlsa("_25._tcp.mx.good.test").await.unwrap().secure);
}
