//! Mail that other people collected, with the parties' addresses planted everywhere: through the rewriter, and all originals through the real binary over SMTP.
//!
//! The collections are read where they are: the folders of the mail crates, which `cargo metadata` knows, and `shared/corpus` beside the repository.

use super::house::{BUYER, House, SELLER, form, keep, python};
use super::plant::{Canary, crlf, forwarded, from_party, planted};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A message and where it comes from.
pub struct Sample {
    pub name: String,
    pub raw: Vec<u8>,
}

/// Every message of every collection.
pub fn samples() -> Vec<Sample> {
    let mut out = Vec::new();
    for krate in ["mail-parser", "mail-auth"] {
        collect(&folder_of(krate).join("resources"), krate, &mut out);
    }
    assert!(out.len() > 150, "the mail crates carry fewer messages than they did: {}", out.len());
    // Not in a clone of the repository alone.
    if let Some(folder) = shared() {
        collect(&folder, "shared", &mut out);
    }
    out.sort_by(|a, b| a.name.cmp(&b.name));
    out
}

/// Where Cargo keeps the source of one of our dependencies. Only crates that this machine's build
/// needs are asked about: Cargo has downloaded no others, and offline it refuses to tell of any if
/// one is missing.
fn folder_of(krate: &str) -> PathBuf {
    let cargo = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO")).args(arguments).output().unwrap();
        assert!(output.status.success(), "cargo {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    };
    let version = String::from_utf8(cargo(&["--version", "--verbose"])).unwrap();
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let metadata = ["metadata", "--format-version", "1", "--offline", "--locked", "--filter-platform", host];
    let metadata = cargo(&[&metadata[..], &["--manifest-path", manifest]].concat());
    let metadata: serde_json::Value = serde_json::from_slice(&metadata).unwrap();
    let package = metadata["packages"].as_array().unwrap().iter().find(|package| package["name"] == krate).unwrap();
    Path::new(package["manifest_path"].as_str().unwrap()).parent().unwrap().to_owned()
}

fn shared() -> Option<PathBuf> {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().map(|folder| folder.join("shared/corpus")).find(|f| f.is_dir())
}

fn collect(folder: &Path, name: &str, out: &mut Vec<Sample>) {
    let mut entries: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for entry in entries {
        let file = entry.file_name().unwrap().to_string_lossy().into_owned();
        let name = format!("{name}/{file}");
        if entry.is_dir() {
            collect(&entry, &name, out);
            continue;
        }
        let raw = || std::fs::read(&entry).unwrap();
        if file.ends_with(".eml") || file.ends_with(".msg") {
            out.push(Sample { name, raw: crlf(&raw()) });
        } else if file.ends_with(".txt") && name.contains("crisp") {
            // Texts alone, as programs quote.
            let head = b"Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n";
            out.push(Sample { name, raw: crlf(&[&head[..], &raw()].concat()) });
        }
    }
}

/// What became of the messages, and what is wrong.
#[derive(Default)]
pub struct Tally {
    count: BTreeMap<String, usize>,
    pub wrong: Vec<String>,
}

impl Tally {
    pub fn count(&mut self, what: impl Into<String>) {
        *self.count.entry(what.into()).or_default() += 1;
    }

    pub fn end(&self) {
        println!("{:?}", self.count);
        let shown: Vec<_> = self.wrong.iter().take(60).map(String::as_str).collect();
        assert!(shown.is_empty(), "{} faults\n{}", self.wrong.len(), shown.join("\n"));
    }
}

#[test]
fn planted_addresses_arrive_nowhere() {
    let folder = tempfile::tempdir().unwrap();
    let mut tally = Tally::default();
    let mut written = Vec::new();
    for (n, sample) in samples().iter().enumerate() {
        for (direction, (me, you, from)) in
            [(BUYER, SELLER, "Hana"), (SELLER, BUYER, "Sato Shop")].into_iter().enumerate()
        {
            let house = House::new(me, you, from);
            let canary = Canary { me, you };
            let inputs = [planted(&sample.raw, canary, n), forwarded(&sample.raw, canary, n)];
            for (variant, input) in inputs.into_iter().enumerate() {
                // Half of the work is as good in either direction.
                if (n + variant) % 2 != direction {
                    continue;
                }
                let place = format!("{} {}", sample.name, ["planted", "forwarded"][variant]);
                let output = match house.rewrite(&input) {
                    Ok(output) => output.bytes,
                    Err(why) => {
                        tally.count(format!("{why:?}"));
                        continue;
                    }
                };
                tally.wrong.extend(form(&output).into_iter().map(|fault| format!("{place}: {fault}")));
                if let Err(found) = house.guard(&output) {
                    tally.count("guard");
                    println!("guard: {place}: {found:?}");
                    keep(&format!("{n:04}-{variant}-guard"), &input, &output);
                    continue;
                }
                tally.count("relayed");
                std::fs::write(folder.path().join(format!("{:04}", written.len())), &output).unwrap();
                keep(&format!("{:04}", written.len()), &input, &output);
                written.push(place);
            }
        }
    }
    for answer in python(folder.path()) {
        let number: usize = answer["name"].as_str().unwrap().parse().unwrap();
        for key in ["found", "faults"] {
            let what = answer[key].as_array().unwrap();
            if !what.is_empty() {
                tally.wrong.push(format!("{number:04} {}: {key} {what:?}", written[number]));
            }
        }
    }
    tally.end();
}

/// Every original, as it is: what arrives is what was sent, but for what had to change.
#[test]
fn originals_arrive_as_they_were() {
    let folder = tempfile::tempdir().unwrap();
    let house = House::buyer_writes();
    let samples = samples();
    let mut tally = Tally::default();
    for (n, sample) in samples.iter().enumerate() {
        let input = from_party(&sample.raw, BUYER);
        match house.rewrite(&input) {
            Ok(output) => {
                tally.wrong.extend(form(&output.bytes).into_iter().map(|fault| format!("{}: {fault}", sample.name)));
                assert_eq!(house.guard(&output.bytes), Ok(()), "{}", sample.name);
                std::fs::write(folder.path().join(format!("{n:04}.in")), &input).unwrap();
                std::fs::write(folder.path().join(format!("{n:04}.out")), &output.bytes).unwrap();
                keep(&format!("{n:04}-original"), &input, &output.bytes);
                tally.count("relayed");
            }
            Err(why) => tally.count(format!("{why:?}")),
        }
    }
    let answers = python(folder.path());
    for pair in answers.chunks(2) {
        let [sent, arrived] = pair else { panic!("{pair:?}") };
        let name = sent["name"].as_str().unwrap();
        let place = &samples[name[..4].parse::<usize>().unwrap()].name;
        for key in ["found", "faults"] {
            let what = arrived[key].as_array().unwrap();
            if !what.is_empty() {
                tally.wrong.push(format!("{name} {place}: {key} {what:?}"));
            }
        }
        if let Some((_, why)) = DIFFERENT.iter().find(|(file, _)| place.ends_with(file)) {
            tally.count(format!("different, for {why}"));
            continue;
        }
        for difference in differences(sent, arrived, &mut tally) {
            tally.wrong.push(format!("{name} {place}: {difference}"));
        }
    }
    tally.end();
}

/// Where Python and we read broken mail differently, or something had to change, and why that is right.
const DIFFERENT: [(&str, &str); 15] = [
    ("rfc/000.eml", "words in place of files, under the name of base 64"),
    ("legacy/049.eml", "a picture in uuencoded text is cleaned, and encoded again in the usual way"),
    ("thirdparty/014.eml", "a style sheet is written anew: `<!--` in it says nothing, and what is no rule stays none"),
    ("thirdparty/002.eml", "octets behind the padding of base 64 are garbage, to each reader another"),
    ("thirdparty/006.eml", "a signature, of a kind that nobody has, goes with its frame"),
    ("thirdparty/012.eml", "Python finds no part, because of white space in the boundary; we find them"),
    ("mimetools-testmsgs/multi-badnames.msg", "the same"),
    ("mimetools-testmsgs/multi-clen.msg", "the same"),
    ("mimetools-testmsgs/multi-digest.msg", "the same"),
    ("mimetools-testmsgs/multi-simple.msg", "the same"),
    ("mimetools-testmsgs/frag.msg", "a picture of which the end is lost"),
    ("testmsgs/ending-boundaries.msg", "a multipart without parts is its text; Python stops at the closing delimiter"),
    ("testmsgs/missing-inner-start-boundary.msg", "the same"),
    ("testmsgs/multipartnopart.msg", "the same"),
    ("testmsgs/multipartemptypart.msg", "what comes behind the last delimiter is nobody's"),
];

/// Kinds of parts that the receiver is not to see.
const GONE: [&str; 4] = [
    "application/pgp-signature",
    "application/pgp-keys",
    "application/pkcs7-signature",
    "application/x-pkcs7-signature",
];

/// A leaf part that the receiver is to see.
struct Leaf {
    kind: String,
    digest: String,
    text: String,
    /// Of HTML: its tags and texts but for those that may go; and the digest of its octets, if none has to.
    layout: String,
    octets: String,
}

fn leaves(seen: &serde_json::Value) -> Vec<Leaf> {
    let leaf = |leaf: &serde_json::Value| {
        let text = |n: usize| leaf[n].as_str().map_or_else(|| leaf[n].to_string(), str::to_owned);
        Leaf { kind: text(0), digest: text(1), text: text(2), layout: text(3), octets: text(4) }
    };
    let leaves = seen["leaves"].as_array().unwrap().iter().map(leaf);
    // Two delimiters in a row are an empty part to some, and none to others.
    let empty = |leaf: &Leaf| leaf.kind == "text/plain" && leaf.text.is_empty();
    leaves.filter(|leaf| !GONE.contains(&leaf.kind.as_str()) && !empty(leaf)).collect()
}

/// The types of a message's leaf parts; none of a message that Python reads otherwise than we do.
pub fn kinds(sample: &str, seen: &serde_json::Value) -> Vec<String> {
    if DIFFERENT.iter().any(|(file, _)| sample.ends_with(file)) {
        return Vec::new();
    }
    leaves(seen).into_iter().map(|leaf| leaf.kind).collect()
}

/// Whether nothing changed but what did not decode in the charset that it was said to be in.
fn is_read_now(before: &str, after: &str) -> bool {
    let lost = |text: &str| text.contains(char::REPLACEMENT_CHARACTER);
    let ascii = |text: &str| text.chars().filter(char::is_ascii).collect::<String>();
    lost(before) && !lost(after) && ascii(before) == ascii(after)
}

fn differences(sent: &serde_json::Value, arrived: &serde_json::Value, tally: &mut Tally) -> Vec<String> {
    let (sent, arrived) = (leaves(sent), leaves(arrived));
    let kinds = |leaves: &[Leaf]| leaves.iter().map(|leaf| leaf.kind.clone()).collect::<Vec<_>>();
    if sent.len() != arrived.len() {
        return vec![format!("parts {:?} became {:?}", kinds(&sent), kinds(&arrived))];
    }
    let from = |what: &str, before: &str, after: &str| {
        let same = before.chars().zip(after.chars()).take_while(|(a, b)| a == b).count();
        let rest = |text: &str| text.chars().skip(same.saturating_sub(20)).take(80).collect::<String>();
        format!("{what} changed at {same}: {:?} became {:?}", rest(before), rest(after))
    };
    let mut out = Vec::new();
    for (before, after) in sent.iter().zip(&arrived) {
        if before.kind != after.kind {
            out.push(format!("{} became {}", before.kind, after.kind));
        } else if before.digest != after.digest && is_read_now(&before.text, &after.text) {
            tally.count("read as what it is");
        } else if before.digest != after.digest {
            out.push(from(&before.kind, &before.text, &after.text));
        } else if before.layout != after.layout {
            out.push(from("layout", &before.layout, &after.layout));
        } else if before.kind == "text/html" {
            let whole = before.octets.len() > 2;
            tally.count(if whole { "HTML that stays octet for octet" } else { "HTML laid out as before" });
            if whole && before.octets != after.octets {
                out.push("HTML in which nothing had to change is changed".to_owned());
            }
        }
    }
    out
}
