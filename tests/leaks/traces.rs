//! Files as phones, cameras and offices make them, with place, names and camera in them: through the rewriter, then looked at by exiftool, Pillow, qpdf and
//! libheif (`traces.py`). No trace is left, the picture is the same to the last pixel and turned the same way, documents open.

use super::common::run;
use super::house::{House, path};
use data_encoding::BASE64;
use mail_parser::{MessageParser, MimeHeaders as _, PartType};
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
        assert!(out.passed.is_empty(), "{name}: {:?}", out.passed);
        let message = MessageParser::new().parse(&out.bytes).unwrap();
        let part = message.parts.iter().find(|part| part.attachment_name() == Some(name)).unwrap();
        let PartType::Binary(bytes) = &part.body else { panic!("{name}: {:?}", part.body) };
        std::fs::write(after.path().join(name), bytes).unwrap();
        count += 1;
    }
    assert_eq!(count, 15);
    assert_eq!(tool(&[before.path(), after.path()], "check"), "");
}
