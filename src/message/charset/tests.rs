//! Right values of `cases.txt`: what a text says, its octets, how it is read, how it goes out.

use super::*;

/// Octets written with `\x1b`.
fn unescaped(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        match rest.strip_prefix("\\x").and_then(|hex| u8::from_str_radix(hex.get(..2)?, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                rest = &rest[4..];
            }
            None => {
                out.extend(c.to_string().bytes());
                rest = &rest[c.len_utf8()..];
            }
        }
    }
    out
}

const AS_PAGE: Form<'static> = Form { file: false, markup: true, plain: false, author: &[] };
const AS_FILE: Form<'static> = Form { file: true, markup: false, plain: false, author: &[] };

#[test]
fn each_text_is_read_as_what_it_is() {
    let mut wrong = Vec::new();
    for line in include_str!("cases.txt").lines().filter(|line| !line.starts_with('#')) {
        let [said, octets, want, goes] = line.split('\t').collect::<Vec<_>>().try_into().unwrap();
        let (said, octets) = (if said == "-" { "" } else { said }, unescaped(octets));
        let want = want.replace("\\r", "\r").replace("\\n", "\n");
        let reading = read(&octets, said, false);
        let went = match &reading.goes {
            Goes::As(name) => format!("as {name}"),
            Goes::Anew(_) => "new".to_owned(),
            Goes::Untold => "bare".to_owned(),
        };
        let text = reading.shown().into_owned();
        if text != want || went != goes {
            wrong.push(format!("{line}\n  {text:?} {went}"));
            continue;
        }
        assert!(!text.contains(char::REPLACEMENT_CHARACTER), "{line}");
        // Unchanged: the octets, or UTF-8. What goes out reads the same.
        let (name, written) = read(&octets, said, false).written(&octets, None, String::new(), AS_PAGE);
        let name = name.unwrap_or_default();
        assert_eq!(read(&written.body, &name, false).shown(), want, "{line}");
        assert!(if goes == "new" { name == "utf-8" } else { *written.body == *octets }, "{line}");
        // Changed: as UTF-8, but damage comes back.
        let reading = read(&octets, said, false);
        let changed = format!("{}!", reading.text);
        let (name, written) = reading.written(&octets, Some(changed), String::new(), AS_PAGE);
        assert_eq!(read(&written.body, name.as_deref().unwrap_or(""), false).shown(), format!("{want}!"), "{line}");
        // A file stays what it is.
        let (name, written) = read(&octets, said, false).written(&octets, None, String::new(), AS_FILE);
        assert_eq!(*written.body, *octets, "{line}");
        let name = name.unwrap_or_default();
        assert_eq!(read(&octets, &name, false).shown(), want, "{line}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_name_of_a_file_fits_its_octets() {
    // what it says, octets, what it is called
    let cases: [(&str, &[u8], &str); 6] = [
        ("iso-2022-jp-1", b"\x1b$(D+1\x1b(Bdesu", "iso-2022-jp-1"),
        ("iso-2022-jp", b"\x1b$)C\x0e>H3g\x0f", "iso-2022-kr"),
        ("iso-2022-kr", b"\x1b$)C\x0e>H3g\x0f", "iso-2022-kr"),
        ("gbk", b"\x1b$(D+1\x1b(Bdesu", "iso-2022-jp"),
        ("hz", b"\x1b$(D+1\x1b(Bdesu", "iso-2022-jp"),
        ("utf-7", b"\x1b$(D+1\x1b(B\xb1\xb2 desu desu", "iso-2022-jp"),
    ];
    for (said, octets, want) in cases {
        let (name, written) = read(octets, said, false).written(octets, None, String::new(), AS_FILE);
        assert_eq!((name.as_deref(), &*written.body), (Some(want), octets), "{said}");
    }
}

proptest::proptest! {
    #[test]
    fn any_octets(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200), said in "[a-z0-9-]{0,12}") {
        let names = ["utf-8", "iso-2022-jp", "iso-2022-kr", "iso-2022-cn", "hz", "utf-7", "utf-16", "euc-tw", "cp437", ""];
        for said in names.iter().copied().chain([said.as_str()]) {
            let reading = read(&bytes, said, true);
            let text = reading.text.clone().into_owned();
            let (name, written) = reading.written(&bytes, None, String::new(), AS_FILE);
            proptest::prop_assert_eq!(&*written.body, &*bytes);
            let _ = read(&bytes, name.as_deref().unwrap_or(""), false);
            let _ = read(&bytes, said, true).written(&bytes, Some(text), "日本".to_owned(), AS_PAGE);
        }
    }
}
