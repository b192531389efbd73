//! Attachments as real programs pack them: the forbidden ones are refused with their part and the rule, the others arrive.

use super::common::{BUYER, Place, SELLER, Sink, run, swaks};
use std::path::PathBuf;

/// Writes the files; Python's own writers of zip and tar, and Info-ZIP for the password.
const PACK: &str = include_str!("pack.py");

fn packed(place: &Place) -> PathBuf {
    let dir = place.dir.path().join("files");
    std::fs::create_dir(&dir).unwrap();
    let packed = run("/usr/bin/python3", &["-c", PACK, dir.to_str().unwrap()], "");
    assert!(packed.status.success(), "{}", String::from_utf8_lossy(&packed.stderr));
    dir
}

#[test]
fn forbidden_files_are_found_in_archives_and_by_content() {
    let mut sink = Sink::start();
    let place = Place::new(sink.port, "");
    let relay = place.serve();
    let (buyer_alias, _) = place.register();
    let dir = packed(&place);
    // file, what the reply says; none: it arrives
    let cases = [
        ("named.zip", Some(".exe")),
        ("renamed.zip", Some("programs")),
        ("nested.zip", Some(".scr")),
        ("stored.zip", Some(".scr")),
        ("macros.docx", Some("macros")),
        ("long.tar", Some(".vbs")),
        ("pax.tgz", Some(".vbs")),
        ("renamed.tar", Some("programs")),
        ("holiday.jpg", Some("programs")),
        ("script.txt", Some("programs")),
        ("locked.zip", Some("password")),
        ("good.zip", None),
        ("good.docx", None),
        ("good.tar.gz", None),
    ];
    for (file, want) in cases {
        let path = format!("@{}", dir.join(file).display());
        let more = ["--attach-type", "application/octet-stream", "--attach-name", file, "--attach", &path];
        let (ok, text) = swaks(relay.port, SELLER, &buyer_alias, &more);
        let reply = text.lines().filter(|line| line.starts_with("<** 5")).collect::<String>();
        match want {
            Some(rule) => assert!(
                !ok && reply.contains("554 5.6.1") && reply.contains("Part 1.2 ") && reply.contains(rule),
                "{file}: {text}"
            ),
            None => {
                assert!(ok, "{file}: {text}");
                assert!(sink.next(BUYER).message.contains(file));
            }
        }
    }
    // Their author hears of it.
    assert!(sink.next(SELLER).message.contains("Auto-Submitted: auto-replied"));
    assert!(sink.others().iter().all(|to| to == SELLER));
    relay.stop();
}

/// Documents lose their authors and stay whole; what cannot be cleaned arrives, and the history tells which part that was.
#[test]
fn documents_are_cleaned_or_the_history_tells() {
    let mut sink = Sink::start();
    let place = Place::new(sink.port, "");
    let relay = place.serve();
    let (buyer_alias, _) = place.register();
    let dir = packed(&place);
    // file, what the history says was passed as it is, and which archive was not listed
    let cases = [
        ("authors.docx", None, None),
        ("plain.pdf", None, None),
        ("streams.pdf", None, None),
        ("linear.pdf", None, None),
        ("locked.pdf", Some("1.2:application/pdf:encrypted"), None),
        ("good.zip", Some("1.2:application/zip:unsupported"), None),
        ("old.rtf", Some("1.2:application/rtf:unsupported"), None),
        ("good.7z", Some("1.2:application/x-7z-compressed:unsupported"), Some("1.2")),
    ];
    for (file, uncleaned, unlisted) in cases {
        let path = format!("@{}", dir.join(file).display());
        let more = ["--attach-type", "application/octet-stream", "--attach-name", file, "--attach", &path];
        let (ok, text) = swaks(relay.port, SELLER, &buyer_alias, &more);
        assert!(ok, "{file}: {text}");
        let wire = sink.next(BUYER);
        let id = text.split("Accepted as ").nth(1).unwrap().split_whitespace().next().unwrap();
        let walk = place.cli(&["message", "show", id]);
        let told = |name: &str| walk["facts"][name].as_str();
        assert_eq!((told("uncleaned"), told("unlisted")), (uncleaned, unlisted), "{file}: {walk}");
        assert!(!walk.to_string().contains(file), "{walk}");
        let words = match file {
            "authors.docx" => "w:author=\"Author 2\"",
            "plain.pdf" | "streams.pdf" | "linear.pdf" => "Offer",
            _ => continue,
        };
        let read = run("/usr/bin/python3", &["-c", include_str!("unpack.py")], &wire.message);
        let text = String::from_utf8_lossy(&read.stdout);
        assert!(read.status.success(), "{file}: {}", String::from_utf8_lossy(&read.stderr));
        assert!(text.contains(words) && !text.contains("Secret"), "{file}: {text}");
    }
    relay.stop();
}

/// The author's address in documents of every kind, packed or not: replaced, and the documents stay
/// whole for the programs that open them; or it goes, and the history says where it is left.
#[test]
fn addresses_in_documents() {
    const DOCUMENTS: &str = include_str!("documents.py");
    let mut sink = Sink::start();
    let place = Place::new(sink.port, "");
    let relay = place.serve();
    let (buyer_alias, _) = place.register();
    let dir = place.dir.path().join("documents");
    std::fs::create_dir(&dir).unwrap();
    let packed = run("/usr/bin/python3", &["-c", DOCUMENTS, "pack", dir.to_str().unwrap(), SELLER], "");
    assert!(packed.status.success(), "{}", String::from_utf8_lossy(&packed.stderr));
    let mut names: Vec<String> =
        std::fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert!(names.len() > 24, "{names:?}");
    let (user, host) = SELLER.split_once('@').unwrap();
    for file in names {
        let path = format!("@{}", dir.join(&file).display());
        let more = ["--attach-type", "application/octet-stream", "--attach-name", &file, "--attach", &path];
        let (ok, text) = swaks(relay.port, SELLER, &buyer_alias, &more);
        assert!(ok, "{file}: {text}");
        let id = text.split("Accepted as ").nth(1).unwrap().split_whitespace().next().unwrap();
        let walk = place.cli(&["message", "show", id]);
        let told = walk["facts"]["addresses"].as_str();
        let wire = sink.next(BUYER);
        if file.starts_with("left.") {
            assert!(told.is_some_and(|told| told.starts_with("1.2:")), "{file}: {walk}");
            continue;
        }
        assert_eq!((told, walk["facts"]["unread"].as_str()), (None, None), "{file}: {walk}");
        let read = run("/usr/bin/python3", &["-c", DOCUMENTS, "look"], &wire.message);
        let text = String::from_utf8_lossy(&read.stdout);
        assert!(read.status.success(), "{file}: {}", String::from_utf8_lossy(&read.stderr));
        assert!(text.contains("Invoice 7"), "{file}: {text}");
        for trace in [user, host, "192.0.2.9"] {
            assert!(!text.to_lowercase().contains(trace), "{file}: {trace}: {text}");
        }
    }
    relay.stop();
}
