//! Footers in a real browser: an author's style sheets, elements and attributes change nothing of
//! how they look, where they stand, and what a click on them meets. See `tests/browser/README.md`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

#[allow(dead_code, reason = "the proofs of the rewriter use the rest")]
#[path = "leaks/house.rs"]
mod house;

use house::House;
use marketrelay::message::footer::{Action, Seller};
use marketrelay::message::{Footer, Order, rewrite};
use marketrelay::notice::Texts;
use marketrelay::types::token::Purpose;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

const TOKEN: &str = "bst4g4eqju3shkeqivkwpej6i76x4";

/// The footer of a buyer's copy.
fn footer(language: &str) -> Footer {
    let texts = Texts::built_in();
    let words = |word: &str| texts.footer(language, "en")(word).replace("{marketplace}", "Example Market");
    let action = |purpose: Purpose| Action {
        purpose,
        label: words(purpose.word()),
        address: format!("{}+{TOKEN}@market.example", purpose.word()),
    };
    Footer {
        mark: "bst4g4eqju3sgs2fajhin5ru".to_owned(),
        links: words("links"),
        addresses: words("addresses"),
        send: words("send"),
        unsigned: words("unsigned"),
        seller: Some(Seller { label: words("seller"), name: "Sato Shop".to_owned() }),
        actions: [Purpose::Report, Purpose::Stop].map(action).to_vec(),
    }
}

/// The HTML that arrives of a message.
fn arrived(raw: &str, language: &str) -> String {
    let house = House::buyer_writes();
    let order = Order { footer: Some(footer(language)), ..house.order() };
    let out = rewrite(raw.as_bytes(), &order).unwrap().bytes;
    let read = mail_parser::MessageParser::new().parse(&out).unwrap();
    // As programs show several.
    read.html_bodies().map(|part| part.text_contents().unwrap()).collect()
}

/// The same with a footer that nothing protects but styles of its own: as it was before there was
/// anything else.
fn unprotected(html: &str) -> String {
    const STYLE: &str =
        "display:block!important;visibility:visible!important;color:#666!important;font-size:small!important";
    let links =
        ["report", "stop"].map(|word| format!("<a href=\"mailto:{word}+{TOKEN}@x\">{word} this message</a><br>"));
    let (before, after) = html.rsplit_once("</body>").unwrap_or((html, ""));
    format!("{before}<div style=\"{STYLE}\">{}</div></body>{after}", links.concat())
}

fn files(folder: &str, ending: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser").join(folder);
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|found| found == ending));
    files.sort();
    files
}

fn stem(file: &Path) -> String {
    file.file_stem().unwrap().to_str().unwrap().to_owned()
}

/// Innocent pages, one of each look that a footer has.
const INNOCENT: [(&str, &str); 5] = [
    ("plain", "<p>Hello</p>"),
    ("light", "<body bgcolor=white><p>Hello</p>"),
    ("night", "<body bgcolor=black text=white><p>Hello</p>"),
    ("middle", "<center><table width=300><tr><td>Hello</table></center>"),
    ("middle-night", "<body bgcolor=black text=white><center><table width=300><tr><td>Hello</table></center>"),
];

/// Tricks that an unprotected footer withstands: by its own style, or because they are played on
/// the box as it is now.
const HARMLESS: &[&str] = &[
    "body-grid",
    "cover-overflow",
    "cover-text",
    "dir-attribute",
    "direction",
    "has-link",
    "last-child",
    "open-anchor",
    "our-class",
    "our-class-from-ours",
    "style-attribute",
];

#[test]
fn no_author_reaches_the_footer() {
    let place = tempfile::tempdir().unwrap();
    let write = |name: String, page: String| {
        let file = place.path().join(name + ".html");
        // As programs show it.
        let head = "<!DOCTYPE html><meta charset=utf-8><meta name=viewport content=\"width=device-width\">";
        std::fs::write(&file, format!("{head}{page}")).unwrap();
        file.to_str().unwrap().to_owned()
    };
    let as_mail = |html: &str| format!("Content-Type: text/html; charset=utf-8\r\n\r\n{html}");
    let known = INNOCENT.map(|(name, html)| write(format!("known-{name}"), arrived(&as_mail(html), "en")));
    let bare = write("known-bare".to_owned(), unprotected("<p>Hello</p>"));
    let known = [known.as_slice(), &[bare]].concat();
    let mut pages = Vec::new();
    let hostile = files("hostile", "html");
    assert!(hostile.len() >= 100, "{}", hostile.len());
    for file in &hostile {
        let html = std::fs::read_to_string(file).unwrap();
        pages.push(write(format!("safe-{}", stem(file)), arrived(&as_mail(&html), "en")));
        pages.push(write(format!("bare-{}", stem(file)), unprotected(&html)));
        // The trick in one part, the footer in the next.
        let part = |html: &str| format!("--b\r\nContent-Type: text/html; charset=utf-8\r\n\r\n{html}\r\n");
        let parts = format!("{}{}--b--\r\n", part(&html), part("<p>Hello</p>"));
        let both = format!("Content-Type: multipart/mixed; boundary=b\r\n\r\n{parts}");
        pages.push(write(format!("both-{}", stem(file)), arrived(&both, "en")));
    }
    for file in files("ordinary", "eml") {
        let mail = std::fs::read_to_string(&file).unwrap();
        let (language, mail) = mail.strip_prefix("# language: ").unwrap().split_once('\n').unwrap();
        pages.push(write(format!("mail-{}", stem(&file)), arrived(&mail.replace('\n', "\r\n"), language)));
    }
    let mut look = Command::new("python3");
    look.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser/look.py")).arg(TOKEN);
    look.args(&known).arg("--").args(&pages);
    if let Some(shots) = std::env::var_os("MARKETRELAY_SHOTS") {
        look.env("SHOTS", shots);
    }
    let done = look.output().unwrap();
    let said = String::from_utf8(done.stdout).unwrap();
    assert!(done.status.success(), "{said}{}", String::from_utf8_lossy(&done.stderr));
    let seen: BTreeMap<String, &str> = said
        .lines()
        .filter_map(|line| line.split_once('\t'))
        .map(|(file, what)| (stem(Path::new(file)), what))
        .collect();
    assert_eq!(seen.len(), known.len() + pages.len(), "{said}");
    let mut wrong = Vec::new();
    for (name, what) in &seen {
        let good = *what == "good";
        match name.split_once('-').unwrap() {
            ("bare", trick) => {
                if good != HARMLESS.contains(&trick) {
                    wrong.push(format!("{name} is no trick: {what}"));
                }
            }
            // In words of other languages links look otherwise.
            ("mail", _) if what.split("; ").all(|what| what.ends_with("it looks otherwise") || what == "good") => {}
            _ if good => {}
            _ => wrong.push(format!("{name}: {what}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
