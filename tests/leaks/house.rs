//! What the proofs of the rewriter share: the two parties, the way of a message through the rewriter and the guard, and the rules that every outgoing message keeps.

use marketrelay::config::{Limits, Metadata};
use marketrelay::message::guard::Secrets;
use marketrelay::message::quoted::Quoting;
use marketrelay::message::{Order, Replacements, Rewritten, Unclean, guard, headers, rewrite};
use marketrelay::types::{Address, AddressKey, Alias, Time};
use std::path::{Path, PathBuf};
use std::process::Command;

pub const SELLER: &str = "s-real-7f3@sellerco.example";
pub const BUYER: &str = "b-real-9c1@home.example";
/// Pieces of the addresses that stand nowhere else.
pub const SECRETS: [&str; 4] = ["s-real-7f3", "sellerco", "b-real-9c1", "home.example"];
/// The alias of who writes in these tests, and of who reads.
pub const MINE: &str = "hqz9authoralias2bcdfgh@m.test";
pub const YOURS: &str = "k7bzn4wq3xv9hdtm2xyzwq@m.test";

/// One direction.
pub struct House {
    /// The author's, and the receiver's.
    pub keys: [AddressKey; 2],
    mine: Alias,
    yours: Alias,
    replacements: Replacements,
    limits: Limits,
    metadata: Metadata,
    /// The author's name as the receiver sees it.
    pub from: &'static str,
}

impl House {
    pub fn new(me: &str, you: &str, from: &'static str) -> Self {
        let (mine, yours) = (Alias::from_text(MINE), Alias::from_text(YOURS));
        let keys = [me, you].map(|address| Address::parse(address).unwrap().key());
        let replacements = Replacements::new((&keys[..1], &mine), (&keys[1..], &yours));
        Self { keys, mine, yours, replacements, limits: Limits::default(), metadata: Metadata::default(), from }
    }

    /// The usual direction.
    pub fn buyer_writes() -> Self {
        Self::new(BUYER, SELLER, "Hana")
    }

    pub fn order(&self) -> Order<'_> {
        Order {
            hostname: "mx.m.test",
            received: Time(1_800_000_000_000),
            id: "0s9wk4v7qf3fz".to_owned(),
            from: (self.from, &self.mine),
            author_name: Some("Real Name"),
            to: &self.yours,
            message_id: "bstznnv66sm2fwcsyghqusndxgffy@m.test".to_owned(),
            in_reply_to: Vec::new(),
            references: Vec::new(),
            replacements: &self.replacements,
            footer: None,
            quotes: Quoting::Ignored,
            limits: &self.limits,
            calendar_key: [7; 32],
            metadata: &self.metadata,
            documents: Some(Secrets::of_author(&self.keys[..1])),
        }
    }

    pub fn rewrite(&self, raw: &[u8]) -> Result<Rewritten, Unclean> {
        rewrite(raw, &self.order())
    }

    pub fn guard(&self, message: &[u8]) -> Result<(), guard::Place> {
        guard::check(message, Secrets::of_author(&self.keys[..1]))
    }
}

/// What is wrong with the form of an outgoing message: RFC 5322 2.1 and 3.6, RFC 5321 4.5.3.1.6, and no octet that is not ASCII.
pub fn form(message: &[u8]) -> Vec<String> {
    let mut wrong = Vec::new();
    let (fields, _) = headers::split(message);
    for name in ["From", "To", "Message-ID", "Date", "MIME-Version", "Content-Type", "Received"] {
        let count = fields.iter().filter(|field| field.is(name)).count();
        if count != 1 {
            wrong.push(format!("{count} of {name}"));
        }
    }
    // A signature by each of the domain's keys.
    for (n, field) in fields.iter().enumerate().filter(|(_, field)| !field.is("DKIM-Signature")) {
        if fields.iter().take(n).any(|other| other.is(field.name)) {
            wrong.push(format!("two of {}", field.name));
        }
    }
    for (n, line) in message.split_inclusive(|b| *b == b'\n').enumerate() {
        let Some(line) = line.strip_suffix(b"\r\n") else {
            wrong.push(format!("line {n} ends without CRLF"));
            continue;
        };
        if line.len() > 998 || line.contains(&b'\r') || line.contains(&0) || !line.is_ascii() {
            wrong.push(format!("line {n} of {} octets: {:.60?}", line.len(), String::from_utf8_lossy(line)));
        }
    }
    wrong.truncate(5);
    wrong
}

/// Where a file of the tests stands.
pub fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/leaks").join(name)
}

/// What Python's `email` sees in each file of a folder, see `reader.py`.
pub fn python(folder: &Path) -> Vec<serde_json::Value> {
    let mut command = Command::new("python3");
    let output = command.arg(path("reader.py")).arg(folder).args(SECRETS).output().expect("python3");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Keeps a message for a look at it, if `LEAKS_KEEP` names a folder.
pub fn keep(name: &str, input: &[u8], output: &[u8]) {
    if let Some(folder) = std::env::var_os("LEAKS_KEEP") {
        for (ending, bytes) in [("in", input), ("out", output)] {
            std::fs::write(Path::new(&folder).join(format!("{name}.{ending}")), bytes).unwrap();
        }
    }
}
