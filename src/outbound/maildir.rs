//! Maildirs, for trying the relay out: one for each address, a file for each message.

use crate::types::{Address, Time};
use sha2::{Digest as _, Sha256};
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// Longest name of a directory; file systems allow 255 octets.
const LONGEST: usize = 200;

static SERIAL: AtomicU64 = AtomicU64::new(0);

/// Writes into `DIRECTORY/ADDRESS/{tmp,new,cur}`. The message is flushed before it shows under `new`, and so is its entry there.
pub(super) fn write(directory: &Path, address: &Address, bytes: &[u8], now: Time) -> std::io::Result<()> {
    let home = directory.join(name_of(address));
    if !home.join("new").is_dir() {
        for folder in ["tmp", "cur", "new"] {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(home.join(folder))?;
        }
        flush(&home)?;
        flush(directory)?;
    }
    let (millis, process) = (now.0, std::process::id());
    let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
    let name = format!("{}.M{}P{process}Q{serial}.marketrelay", millis.div_euclid(1000), millis.rem_euclid(1000));
    let (tmp, new) = (home.join("tmp").join(&name), home.join("new").join(&name));
    let written = fill(&tmp, bytes).and_then(|()| fs::rename(&tmp, &new));
    if let Err(error) = written {
        let _ = fs::remove_file(&tmp);
        return Err(error);
    }
    flush(&home.join("new"))
}

fn fill(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    let mut out = std::io::BufWriter::with_capacity(64 * 1024, file);
    // Maildirs hold lines that end in LF.
    let mut start = 0;
    for at in memchr::memmem::find_iter(bytes, b"\r\n") {
        out.write_all(bytes.get(start..at).unwrap_or(&[]))?;
        start = at + 1;
    }
    out.write_all(bytes.get(start..).unwrap_or(&[]))?;
    out.into_inner()?.sync_all()
}

fn flush(directory: &Path) -> std::io::Result<()> {
    fs::File::open(directory)?.sync_all()
}

/// The name under which an address's Maildir is kept: nothing in it can leave the directory.
fn name_of(address: &Address) -> String {
    let safe = |b: u8| b.is_ascii_alphanumeric() || b"@.-_+=".contains(&b);
    let mut name = String::new();
    for (at, byte) in address.expose().bytes().enumerate() {
        if safe(byte) && !(at == 0 && byte == b'.') {
            name.push(char::from(byte));
        } else {
            name.push_str(&format!("%{byte:02x}"));
        }
    }
    if name.len() <= LONGEST {
        return name;
    }
    // Cut, and still another name for another address.
    let digest = Sha256::digest(address.expose().as_bytes());
    let digest = data_encoding::HEXLOWER.encode(digest.get(..16).unwrap_or(&[]));
    format!("{}~{digest}", name.get(..LONGEST - 33).unwrap_or(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_inside() {
        for (address, want) in [
            ("a+b@x.test", "a+b@x.test"),
            ("\"../../etc/x\"@x.test", "%22..%2f..%2fetc%2fx%22@x.test"),
            ("\".a\"@x.test", "%22.a%22@x.test"),
            ("ä@x.test", "%c3%a4@x.test"),
            ("a@..x", ""),
        ] {
            assert_eq!(Address::parse(address).map(|a| name_of(&a)).unwrap_or_default(), want);
        }
        let long = |tail: &str| {
            let domain = ["d".repeat(60), "e".repeat(60), "f".repeat(60)].join(".");
            name_of(&Address::parse(&format!("{}{tail}@{domain}.test", "ä".repeat(30))).unwrap())
        };
        assert!(long("a").len() <= LONGEST && long("a") != long("b") && long("a") == long("a"));
    }

    #[test]
    fn a_message_shows_whole_and_private() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let address = Address::parse("a@x.test").unwrap();
        for text in ["Subject: 1\r\n\r\n.a\r\nb\rc\nd", "Subject: 2\r\n\r\n"] {
            write(dir.path(), &address, text.as_bytes(), Time(1_700_000_000_123)).unwrap();
        }
        let home = dir.path().join("a@x.test");
        let mut texts = Vec::new();
        for entry in fs::read_dir(home.join("new")).unwrap() {
            let entry = entry.unwrap();
            assert!(entry.file_name().to_str().unwrap().starts_with("1700000000.M123P"));
            assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600);
            texts.push(fs::read_to_string(entry.path()).unwrap());
        }
        texts.sort();
        assert_eq!(texts, ["Subject: 1\n\n.a\nb\rc\nd", "Subject: 2\n\n"]);
        assert_eq!(fs::read_dir(home.join("tmp")).unwrap().count(), 0);
        assert_eq!(fs::metadata(home).unwrap().permissions().mode() & 0o777, 0o700);
    }
}
