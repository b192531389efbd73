//! Behind a front MTA, by the real binary: whose results are believed, and whose word for who the client is.

use super::common::{BUYER, Place, Relay, SELLER, Sink};
use super::submission::ports;
use super::verify::send;
use super::zone::Zone;

/// Two listeners: the first trusts loopback, the second somebody else.
fn place(sink: u16, authentication: &str, more: &str) -> Place {
    let listener =
        |trusted: &str| format!("[[listener]]\naddress = \"127.0.0.1:0\"\ntrusted_networks = [\"{trusted}\"]\n");
    let place = Place::new(sink, &(listener("127.0.0.0/8") + &listener("192.0.2.0/24") + more));
    let text = std::fs::read_to_string(&place.config).unwrap().replace("mode = \"none\"", authentication);
    std::fs::write(&place.config, text).unwrap();
    place
}

fn start(place: &Place) -> (Relay, [u16; 2], String) {
    let relay = place.serve();
    let (buyer_alias, _) = place.register();
    let ports = ports(&relay, 2);
    (relay, [ports[0], ports[1]], buyer_alias)
}

#[test]
fn a_front_is_believed_where_it_is_trusted() {
    let mut sink = Sink::start();
    let place = place(sink.port, "mode = \"front\"\nauthserv_id = \"mx.front.test\"", "");
    let (relay, [trusted, stranger], buyer_alias) = start(&place);
    let results = |text: &str| format!("Authentication-Results: {text}\r\n");
    let spf = format!("spf=pass smtp.mailfrom={SELLER}");
    let pass = results(&format!("mx.front.test; dmarc=pass header.from=sellerco.example; {spf}"));
    let dkim = results("mx.front.test; dkim=pass header.d=sellerco.example header.s=a");
    // The front says that it is good; what it covers stands in it.
    let signature = |covered: &str| {
        format!("DKIM-Signature: v=1; a=rsa-sha256; d=sellerco.example; s=a; h={covered}; bh=AAAA; b=QUJDREVGR0g=\r\n")
    };
    let good = signature("from:to:subject");
    // why, trusted, header fields before From, reply
    let cases = [
        ("passed", true, pass.clone(), "250 2.6.0"),
        ("by DKIM alone", true, dkim.clone() + &good, "250 2.6.0"),
        ("by DKIM, which does not cover To", true, dkim.clone() + &signature("from:subject"), "550 5.7.1"),
        (
            "by DKIM, and a forger adds one that does",
            true,
            dkim.clone() + &good + &signature("from:subject"),
            "550 5.7.1",
        ),
        ("by DKIM, and no signature is there", true, dkim.clone(), "550 5.7.1"),
        (
            "DMARC does not say by which, and the signature covers it",
            true,
            // Another signature: the same one is the same message.
            results("mx.front.test; dmarc=pass header.from=sellerco.example") + &good.replace("QUJD", "QUJE"),
            "250 2.6.0",
        ),
        (
            "DMARC does not say by which",
            true,
            results("mx.front.test; dmarc=pass header.from=sellerco.example"),
            "550 5.7.1",
        ),
        ("by SPF alone", true, results(&format!("mx.front.test 1; {spf}")), "250 2.6.0"),
        (
            "by SPF of a neighbour",
            true,
            results("mx.front.test; spf=pass smtp.mailfrom=s@sellerco.example"),
            "550 5.7.1",
        ),
        ("who is not trusted", false, pass.clone(), "550 5.7.1"),
        ("another server's", true, results("mx.other.test; dmarc=pass header.from=sellerco.example"), "550 5.7.1"),
        ("another domain's", true, results("mx.front.test; dmarc=pass header.from=evil.example"), "550 5.7.1"),
        ("nothing said", true, String::new(), "550 5.7.1"),
        ("failed", true, results("mx.front.test; dmarc=fail header.from=sellerco.example"), "550 5.7.1"),
        ("trouble", true, results("mx.front.test; dmarc=temperror header.from=sellerco.example"), "451 4.7.24"),
        ("ARC", true, results("mx.front.test; arc=pass header.from=sellerco.example"), "550 5.7.1"),
        ("ARC's own results", true, format!("ARC-{}", pass.replace("Results: ", "Results: i=1; ")), "550 5.7.1"),
        ("a login that it says there was", true, results("mx.front.test; auth=pass smtp.auth=S-1"), "550 5.7.1"),
        ("in a comment", true, results("mx.front.test; none (dmarc=pass header.from=sellerco.example)"), "550 5.7.1"),
        ("broken off", true, results("mx.front.test; dmarc=pass header.from=sellerco.example; spf="), "550 5.7.1"),
        ("space before the colon", true, pass.replace("Results:", "Results :"), "550 5."),
    ];
    let mut relayed = 0;
    for (why, is_trusted, fields, want) in cases {
        let port = if is_trusted { trusted } else { stranger };
        let message = format!("{fields}From: {SELLER}\r\nTo: {buyer_alias}\r\nSubject: x\r\n\r\nhello\r\n");
        let reply = send(port, &[], "bounce@esp.example", &buyer_alias, message.as_bytes());
        assert!(reply.starts_with(want), "{why}: {reply}");
        relayed += usize::from(want.starts_with('2'));
    }
    for _ in 0..relayed {
        let wire = sink.next(BUYER);
        assert!(!wire.message.contains("Authentication-Results"), "{}", wire.message);
    }
    assert!(sink.others().is_empty());
    relay.stop();
}

/// SPF is checked for the client that a trusted front names, and for nobody that a stranger names.
#[test]
fn spf_asks_about_the_client_behind_the_front() {
    let mut sink = Sink::start();
    let zone = Zone::start();
    zone.text("sellerco.example", "v=spf1 ip4:198.51.100.7 ip6:2001:db8::7 -all");
    let place = place(sink.port, "mode = \"verify\"", &format!("[dns]\nservers = [\"{}\"]\n", zone.address));
    let (relay, [trusted, _], buyer_alias) = start(&place);
    let message = format!("From: {SELLER}\r\nSubject: x\r\n\r\nhello\r\n");
    // what the front says, the reply
    let cases: [(&[&str], &str); 4] = [
        (&["XCLIENT ADDR=198.51.100.7 HELO=out.sellerco.example"], "250 2.6.0"),
        (&["XCLIENT ADDR=IPV6:2001:db8::7"], "250 2.6.0"),
        (&["XCLIENT ADDR=198.51.100.8"], "550 5.7.1"),
        (&[], "550 5.7.1"),
    ];
    for (first, want) in cases {
        let reply = send(trusted, first, SELLER, &buyer_alias, message.as_bytes());
        assert!(reply.starts_with(want), "{first:?}: {reply}");
    }
    sink.next(BUYER);
    sink.next(BUYER);
    assert!(sink.others().is_empty());
    // The last one was not told who the client is: that is logged once, told in the history, and
    // warned of at the start.
    let newest = place.cli(&["message", "list", "--limit", "1"]);
    let told = place.cli(&["message", "show", newest[0]["id"].as_str().unwrap()]);
    assert_eq!(told["facts"]["unnamed-client"], "yes", "{told}");
    assert!(told["warning"].as_str().unwrap().contains("unless its front sends XFORWARD"), "{told}");
    send(trusted, &[], SELLER, &buyer_alias, message.as_bytes());
    assert_eq!(relay.log().matches("a trusted front hands on no client address").count(), 1);
    assert_eq!(relay.log().matches("unless its front sends XFORWARD").count(), 3, "{}", relay.log());
    for leak in ["198.51.100", "2001:db8"] {
        assert!(!relay.log().contains(leak), "{leak}: {}", relay.log());
    }
    relay.stop();
}
