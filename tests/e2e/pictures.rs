//! Pictures inside HTML still show after the relay, whichever program wrote the message, and their ids tell no host.

use super::common::{Place, SELLER, Sink, run, swaks};
use super::no_leak;
use std::fs::write;

/// Follows each link of the HTML as a mail program does; see there.
const SHOWN: &str = include_str!("shown.py");

/// A red square of 2 by 2.
const PICTURE: &str =
    "iVBORw0KGgoAAAANSUhEUgAAAAIAAAACCAIAAAD91JpzAAAAEElEQVR4nGP4z8AARAwQCgAf7gP9i18U1AAAAABJRU5ErkJggg==";

#[test]
fn inline_pictures_still_show() {
    let mut sink = Sink::start();
    let place = Place::new(sink.port, "");
    let relay = place.serve();
    let (buyer_alias, _) = place.register();
    // the program, the part's Content-ID, the HTML, what else the text/plain beside it says
    let cases = [
        (
            "Outlook",
            "<image001.png@01DA.ABCDEF01>",
            "<img width=\"2\" src=\"cid:image001.png@01DA.ABCDEF01\" alt=\"x\">",
            "",
        ),
        (
            "Thunderbird",
            "<part1.xyz@sellerco.example>",
            "<img moz-do-not-send=\"false\" src=\"cid:part1.xyz@sellerco.example\">",
            "",
        ),
        (
            "Exchange",
            "<part1@sellerco.example>",
            "<img src=\"cid:part1@sellerco.example\">",
            "[cid:part1@sellerco.example]",
        ),
        ("Apple Mail", "<8F1A-22>", "<img src=\"cid:8F1A-22\" class=\"Apple-web-attachment\">", ""),
        ("Gmail", "<ii_lx1>", "<img src=\"cid:ii_lx1\"><br>", "[image: x.png]"),
        ("percent", "<a$b%c@sellerco.example>", "<img src=\"cid:a%24b%25c%40sellerco.example\">", ""),
        ("entity", "<logo@laptop.sellerco.example>", "<img src='cid:logo&#64;laptop.sellerco.example'>", ""),
        ("an address", "<s-real-7f3@sellerco.example>", "<img src=\"CID:s-real-7f3@sellerco.example\">", ""),
        ("bare id", "logo@laptop.sellerco.example", "<img src=cid:logo@laptop.sellerco.example>", ""),
        (
            "style",
            "<bg@laptop>",
            "<table><tr><td style=\"background-image:url('cid:bg@laptop')\">x</td></tr></table>",
            "",
        ),
        (
            "sheet",
            "<bg@laptop>",
            "<style>td{background:url(cid:bg@laptop)}</style><table background=\"cid:bg@laptop\"><tr><td>x</table>",
            "",
        ),
    ];
    for (program, id, html, plain) in cases {
        let raw = format!(
            "From: Real Name <{SELLER}>\r\nTo: <{buyer_alias}>\r\nSubject: picture\r\nMIME-Version: 1.0\r\nContent-Type: multipart/related; boundary=r; \
             type=\"multipart/alternative\"\r\n\r\n--r\r\nContent-Type: multipart/alternative; boundary=a\r\n\r\n--a\r\n\r\nhello {plain}\r\n--a\r\n\
             Content-Type: text/html\r\n\r\n<p>Look: {html}</p>\r\n--a--\r\n--r\r\nContent-Type: image/png; name=x.png\r\nContent-ID: {id}\r\n\
             Content-Disposition: inline; filename=x.png\r\nContent-Transfer-Encoding: base64\r\n\r\n{PICTURE}\r\n--r--\r\n"
        );
        let file = place.dir.path().join("message");
        write(&file, raw).unwrap();
        let (ok, text) = swaks(relay.port, SELLER, &buyer_alias, &["--data", &format!("@{}", file.display())]);
        assert!(ok, "{program}: {text}");
        let wire = sink.next(super::BUYER);
        no_leak(&wire.message);
        let read = run("/usr/bin/python3", &["-c", SHOWN], &wire.message);
        assert!(read.status.success(), "{program}: {}\n{}", String::from_utf8_lossy(&read.stderr), wire.message);
        let shown = String::from_utf8_lossy(&read.stdout);
        let want = if program == "sheet" { 2 } else { 1 };
        assert_eq!(
            shown.lines().filter(|line| *line == "shown (2, 2) (255, 0, 0)").count(),
            want,
            "{program}: {shown}"
        );
        assert!(!shown.contains("lost") && !shown.to_lowercase().contains("01da"), "{program}: {shown}");
    }
    relay.stop();
}
