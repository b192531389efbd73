//! The author's address in a file that cannot be changed: one rule, whatever the file is packed in.

use super::*;
use crate::config::AddressesInFiles;
use data_encoding::BASE64;
use std::io::{Cursor, Write as _};

fn zipped(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in files {
        zip.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(content).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// A signed document that shows `address`, by itself and packed in ways that people pack files.
fn invoices(address: &str) -> Vec<(&'static str, String)> {
    let text = format!("<w:document><w:t>{address}</w:t></w:document>");
    let invoice = zipped(&[
        ("[Content_Types].xml", b"<Types/>"),
        ("word/document.xml", text.as_bytes()),
        ("_xmlsignatures/origin.sigs", b""),
    ]);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&invoice).unwrap();
    let archive = zipped(&[("a/invoice.docx", &invoice)]);
    let part = |kind: &str, name: &str, file: &[u8]| {
        format!(
            "Content-Type: {kind}\nContent-Disposition: attachment; filename={name}\nContent-Transfer-Encoding: base64\n\n{}\n",
            BASE64.encode(file)
        )
    };
    let word = "application/vnd.openxmlformats-officedocument.wordprocessingml.document";
    let alone = part(word, "invoice.docx", &invoice);
    let mixed = format!(
        "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/plain\n\nhello\n--b\n{alone}--b--\n"
    );
    vec![
        ("alone", alone.clone()),
        ("beside a text", mixed),
        ("of no type", part("application/octet-stream", "invoice", &invoice)),
        ("in an archive", part("application/zip", "invoice.zip", &archive)),
        ("in two archives", part("application/zip", "x.zip", &zipped(&[("y.zip", &archive)]))),
        ("in gzip", part("application/gzip", "invoice.docx.gz", &gzip.finish().unwrap())),
        ("in a message", format!("Content-Type: message/rfc822\n\nSubject: y\n{alone}")),
        (
            "in a message that is a file",
            part("application/octet-stream", "m.eml", format!("Subject: y\n{alone}").replace('\n', "\r\n").as_bytes()),
        ),
        (
            "in a message in an archive",
            part(
                "application/zip",
                "m.zip",
                &zipped(&[("m.eml", format!("Subject: y\n{alone}").replace('\n', "\r\n").as_bytes())]),
            ),
        ),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_rule_whatever_it_is_packed_in() {
    // setting, whose address, code, reason, whether the history tells of it
    let cases = [
        (AddressesInFiles::Notice, SELLER, 250, "relayed", true),
        (AddressesInFiles::Refuse, SELLER, 554, "address-in-file", true),
        (AddressesInFiles::Allow, SELLER, 250, "relayed", false),
        (AddressesInFiles::Notice, BUYER, 250, "relayed", false),
        (AddressesInFiles::Refuse, BUYER, 250, "relayed", false),
    ];
    for (setting, address, code, reason, told) in cases {
        let world = world_with(|config| config.policy.attachments.addresses_in_files = setting).await;
        for (n, (packing, part)) in invoices(address).into_iter().enumerate() {
            let mail = format!("From: {SELLER}\nSubject: {n}\n{part}");
            let reply = world.send(SELLER, &[world.aliases().0], &mail).await;
            let newest = world.newest();
            assert_eq!(
                (reply.code(), newest.reason.as_str()),
                (code, reason),
                "{setting:?} {packing}: {}",
                newest.facts
            );
            let addresses = newest.facts.split(' ').find(|fact| fact.starts_with("addresses="));
            assert_eq!(addresses.is_some(), told, "{setting:?} {packing}: {}", newest.facts);
            assert!(addresses.is_none_or(|fact| fact.ends_with(":signed")), "{packing}: {addresses:?}");
            assert!(!newest.facts.contains("unread="), "{packing}: {}", newest.facts);
            // What was received is kept, also where it was refused.
            let raw = world.store.read(|view| view.raw(MessageId(newest.number))).unwrap();
            assert!(raw.is_some_and(|raw| raw.len() > 400), "{packing}");
        }
        // He is told once, and only of his own.
        let notices = world.arrived(SELLER).await;
        let is_told = setting != AddressesInFiles::Allow && told;
        assert_eq!(notices.len(), usize::from(is_told), "{setting:?} {notices:?}");
        for notice in notices {
            let words = notice.replace("=\n", "");
            let place = if code == 250 { "part 1)" } else { "Status: 5.6.1" };
            assert!(words.contains(place) && words.contains(world.aliases().0), "{notice}");
            assert!(!words.contains("b-real") && header(&notice, "Auto-Submitted").is_some(), "{notice}");
        }
    }
}

/// The author of what is refused hears which file it was, as he named it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_notice_names_the_file() {
    let names = [
        "invoice.docx",
        "invoice.docx",
        "invoice",
        "invoice.zip",
        "x.zip",
        "invoice.docx.gz",
        "invoice.docx",
        "invoice.docx",
        "m.zip",
    ];
    for ((packing, part), name) in invoices(SELLER).into_iter().zip(names) {
        let refuse = AddressesInFiles::Refuse;
        let world = world_with(|config| config.policy.attachments.addresses_in_files = refuse).await;
        let mail = format!("From: {SELLER}\nSubject: y\n{part}");
        assert_eq!(world.send(SELLER, &[world.aliases().0], &mail).await.code(), 554);
        let notices = world.arrived(SELLER).await;
        let told = notices.iter().any(|notice| notice.contains(&format!("- Attachment: {name}\n")));
        assert!(told, "{packing}: {notices:?}");
    }
}

/// A machine is not answered, and the next day people are told again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn told_once_a_day_and_never_to_a_machine() {
    let world = world().await;
    let (_, part) = invoices(SELLER).remove(0);
    let automatic = format!("From: {SELLER}\nAuto-Submitted: auto-replied\nSubject: x\n{part}");
    assert_eq!(world.send(SELLER, &[world.aliases().0], &automatic).await.code(), 250);
    assert!(world.arrived(SELLER).await.is_empty());
    let (pair, day) = (world.pair.id, 86_400_000);
    let tells = async |author, at: i64| {
        let since = Time(at - at % day);
        world.store.write(move |change| change.tells(pair, author, "x", since, Time(at))).await.unwrap()
    };
    let start = 20_000 * day;
    assert!(tells(Role::Seller, start).await && tells(Role::Buyer, start).await);
    assert!(!tells(Role::Seller, start + 1000).await && tells(Role::Seller, start + day).await);
    assert!(tells(Role::Seller, start - 9 * day).await, "the clock was ahead");
}
