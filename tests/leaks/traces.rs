//! Files as phones, cameras and offices make them, with place, names and camera in them: through the rewriter, then looked at by exiftool, Pillow, qpdf,
//! ffmpeg and others (`traces.py`). No trace is left, the picture is the same to the last pixel and turned the same way, videos play, documents open.

use super::common::run;
use super::house::{House, MINE, path};
use data_encoding::BASE64;
use mail_parser::{MessageParser, MimeHeaders as _, PartType};
use marketrelay::message::metadata::Why;
use std::path::Path;

fn tool(arguments: &[&Path], verb: &str) -> String {
    let script = path("traces.py");
    let arguments: Vec<&str> = arguments.iter().map(|path| path.to_str().unwrap()).collect();
    let output = run("/usr/bin/python3", &[&[script.to_str().unwrap(), verb], &arguments[..]].concat(), "");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn files_tell_nothing_of_their_makers() {
    let (before, after) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    tool(&[before.path()], "make");
    let house = House::buyer_writes();
    let mut count = 0;
    for entry in std::fs::read_dir(before.path()).unwrap() {
        let file = entry.unwrap().path();
        let name = file.file_name().unwrap().to_str().unwrap();
        let data = BASE64.encode(&std::fs::read(&file).unwrap());
        let raw = format!(
            "From: b-real-9c1@home.example\r\nMIME-Version: 1.0\r\nContent-Type: application/octet-stream; name=\"{name}\"\r\n\
             Content-Disposition: attachment; filename=\"{name}\"\r\nContent-Transfer-Encoding: base64\r\n\r\n{data}\r\n"
        );
        let out = house.rewrite(raw.as_bytes()).unwrap();
        // What else is in an archive nobody knows.
        let told = if name == "y.zip" { vec![("1", "application/zip", Why::Unsupported)] } else { Vec::new() };
        let passed: Vec<_> = out.passed.iter().map(|passed| (passed.path.as_str(), passed.kind, passed.why)).collect();
        assert_eq!(passed, told, "{name}");
        let message = MessageParser::new().parse(&out.bytes).unwrap();
        let part = message.parts.iter().find(|part| part.attachment_name() == Some(name)).unwrap();
        let PartType::Binary(bytes) = &part.body else { panic!("{name}: {:?}", part.body) };
        std::fs::write(after.path().join(name), bytes).unwrap();
        count += 1;
    }
    assert_eq!(count, 25);
    assert_eq!(tool(&[before.path(), after.path()], "check"), "");

    // The same in the text of a message, as programs put them there before MIME, and on Usenet.
    for way in ["uu", "yenc"] {
        let (messages, after) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let only = tempfile::tempdir().unwrap();
        for name in ["a.jpg", "b.png", "p.pdf", "t.mp4", "w.xlsx"] {
            let file = before.path().join(name);
            std::fs::copy(&file, only.path().join(name)).unwrap();
            tool(&[&file, messages.path()], "text");
            let message = messages.path().join(format!("{name}.{way}"));
            let out = house.rewrite(&std::fs::read(&message).unwrap()).unwrap();
            assert!(out.passed.is_empty(), "{name} by {way}: {:?}", out.passed);
            let text = MessageParser::new().parse(&out.bytes).unwrap().body_text(0).unwrap().into_owned();
            assert!(text.contains(MINE) && !text.contains("home.example"), "{name} by {way}: {text}");
            std::fs::write(&message, &out.bytes).unwrap();
            tool(&[&message, &after.path().join(name)], "file");
        }
        assert_eq!(tool(&[only.path(), after.path()], "check"), "", "{way}");
    }
}
