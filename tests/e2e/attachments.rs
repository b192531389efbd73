//! Attachments as real programs pack them: the forbidden ones are refused with their part and the rule, the others arrive.

use super::common::{BUYER, Place, SELLER, Sink, run, swaks};

/// Writes the files; Python's own writers of zip and tar, and Info-ZIP for the password.
const PACK: &str = include_str!("pack.py");

#[test]
fn forbidden_files_are_found_in_archives_and_by_content() {
    let mut sink = Sink::start();
    let place = Place::new(sink.port, "");
    let relay = place.serve();
    let (buyer_alias, _) = place.register();
    let dir = place.dir.path().join("files");
    std::fs::create_dir(&dir).unwrap();
    let packed = run("/usr/bin/python3", &["-c", PACK, dir.to_str().unwrap()], "");
    assert!(packed.status.success(), "{}", String::from_utf8_lossy(&packed.stderr));
    // file, what the reply says; none: it arrives
    let cases = [
        ("named.zip", Some("exe")),
        ("renamed.zip", Some("portable-executable")),
        ("nested.zip", Some("scr")),
        ("stored.zip", Some("scr")),
        ("macros.docx", Some("vbaproject")),
        ("long.tar", Some("vbs")),
        ("pax.tgz", Some("vbs")),
        ("renamed.tar", Some("portable-executable")),
        ("holiday.jpg", Some("portable-executable")),
        ("script.txt", Some("x-shellscript")),
        ("locked.zip", Some("x-encrypted")),
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
    assert!(sink.others().is_empty());
    relay.stop();
}
