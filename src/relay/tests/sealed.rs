//! Mail that nobody here can read is told by its right name, to its proved author alone; what is
//! only signed goes out open.

use super::*;
use crate::message::sealed::tests::signed;
use data_encoding::BASE64_MIME;

const BASE64: &str = "Content-Transfer-Encoding: base64\n";
const STRANGER: &str = "You may not write here";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_is_told_what_helps() {
    let world = world().await;
    let (buyer_alias, seller_alias) = world.aliases();
    let mail = |from: &str, extra: &str, body: &str| format!("From: {from}\n{extra}Subject: x\n\n{body}\n");
    let armour = "-----BEGIN PGP MESSAGE-----\n\nhQEM\n-----END PGP MESSAGE-----";
    let pkcs7 = format!("Content-Type: application/pkcs7-mime; name=smime.p7m\n{BASE64}");
    let partial = "Content-Type: message/partial; id=a; number=1; total=2\n";
    // fields, body, reason, what the reply says
    let cases = [
        ("Content-Type: multipart/encrypted; boundary=b\n", "x", "encrypted", "send it as plain mail"),
        ("", armour, "encrypted", "send it as plain mail"),
        (&pkcs7, "MCMGCSqG", "unreadable-signature", "send the message without it"),
        (partial, "x", "partial", "smaller attachments"),
        ("Content-Type: message/external-body; access-type=URL\n", "x", "elsewhere", "attach the file itself"),
    ];
    for (fields, body, reason, says) in cases {
        for (from, to) in [(BUYER, seller_alias), (SELLER, buyer_alias)] {
            let reply = world.send(from, &[to], &mail(from, fields, body)).await.wire();
            assert!(reply.starts_with("554 5.6.1 Part 1 ") && reply.contains(says), "{reply}");
            assert_eq!(world.newest().reason, reason);
        }
        let reply = world.send("x@evil.example", &[buyer_alias], &mail("x@evil.example", fields, body)).await.wire();
        assert!(reply.contains(STRANGER), "{reply}");
    }
    // Each is told by mail as well, once for each reason.
    for author in [BUYER, SELLER] {
        let told = world.arrived(author).await;
        assert!(told.len() == 4 && told.iter().all(|notice| notice.contains("Status: 5.6.1")), "{told:?}");
    }
    let words = format!("{}\n", "Which armour? -----BEGIN PGP MESSAGE-----, like this:\n-----BEGIN PGP MESSAGE-----\n");
    assert_eq!(world.send(BUYER, &[seller_alias], &mail(BUYER, "", &words)).await.code(), 250);
    let inner = format!("Content-Type: text/plain\r\n\r\nhello from {BUYER}\r\n");
    let body = BASE64_MIME.encode(&signed(inner.as_bytes(), true));
    assert_eq!(world.send(BUYER, &[seller_alias], &mail(BUYER, &pkcs7, &body)).await.code(), 250);
    assert!(world.newest().facts.contains(" signature-removed=1"), "{}", world.newest().facts);
    let copy = world.arrived(SELLER).await.pop().unwrap();
    assert!(copy.contains(&format!("hello from {buyer_alias}")) && !copy.contains("Real Name"), "{copy}");
}
