//! Whether two messages say the same: a hash of each leaf part, in order.
//!
//! What servers on the way change is not in it: fields of the header, how parts are encoded for
//! transport, boundaries, how lines end, and whether the last one does. What people see is: the
//! octets of each part, its type, and the name of a file.

use super::mime::Part;
use crate::config::Limits;
use sha2::{Digest as _, Sha256};

/// A leaf part's SHA-256.
type Hash = [u8; 32];

/// The hashes of a message's leaf parts; `None` if it is over a limit. Reads the message once; one
/// part at a time is decoded.
#[must_use]
pub fn parts(raw: &[u8], limits: &Limits) -> Option<Vec<Hash>> {
    let mut walk = Walk { limits, parts: 0, found: Vec::new() };
    walk.part(&Part::read(raw, false), 1)?;
    Some(walk.found)
}

struct Walk<'a> {
    limits: &'a Limits,
    parts: usize,
    found: Vec<Hash>,
}

impl Walk<'_> {
    /// Depth is bounded by the limit, so that recursion is, too. A message in a message is one
    /// leaf: its header is part of what it says.
    fn part(&mut self, part: &Part<'_>, depth: usize) -> Option<()> {
        self.parts += 1;
        if self.parts > self.limits.mime_parts || depth > self.limits.mime_depth {
            return None;
        }
        if let Some(children) = part.children() {
            let digest = part.kind.value == "multipart/digest";
            return children.into_iter().try_for_each(|child| self.part(&Part::read(child, digest), depth + 1));
        }
        let decoded = part.decoded();
        let name = part.file_name().unwrap_or("");
        let mut hash = Sha256::new();
        // Each with its length before it, so that no two leaves look alike.
        for text in [part.kind.value.as_str(), name] {
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text.as_bytes());
        }
        if part.is("text") || part.is("message") {
            let text = decoded.trim_ascii_end();
            text.split(|octet| *octet == b'\r').for_each(|piece| hash.update(piece));
        } else {
            hash.update(&decoded);
        }
        self.found.push(hash.finalize().into());
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(raw: &str) -> Option<Vec<Hash>> {
        parts(raw.replace('\n', "\r\n").as_bytes(), &Limits::default())
    }

    const MIXED: &str = "Subject: x\nContent-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/plain; charset=utf-8\n\n\
                         caf\u{e9} one\ntwo\n\n--b\nContent-Type: application/pdf; name=a.pdf\nContent-Transfer-Encoding: base64\n\nJVBERi0xLjQK\n--b--\n";

    #[test]
    fn what_servers_change_changes_nothing() {
        let want = look(MIXED);
        assert_eq!(want.as_ref().unwrap().len(), 2);
        let same = [
            MIXED.replace("Subject: x", "Received: by y\nDKIM-Signature: v=1\nSubject: x"),
            MIXED.replace("boundary=b", "boundary=\"long one\"").replace("--b", "--long one"),
            MIXED.replace(
                "utf-8\n\ncaf\u{e9} one\ntwo\n",
                "utf-8\nContent-Transfer-Encoding: quoted-printable\n\ncaf=C3=A9 on=\ne\ntwo\n",
            ),
            MIXED.replace(
                "utf-8\n\ncaf\u{e9} one\ntwo\n",
                "utf-8\nContent-Transfer-Encoding: base64\n\nY2Fmw6kgb25lCnR3bwo=\n",
            ),
            MIXED.replace("JVBERi0xLjQK", "JVBE\nRi0xLjQK"),
            MIXED.replace("two\n\n--b", "two\n--b"),
            MIXED.replace("text/plain", "TEXT/Plain"),
            MIXED.replace("\n\n--b\nContent-Type: text", "\n\npreamble\n--b\nContent-Type: text") + "epilogue\n",
        ];
        for raw in same {
            assert_eq!(look(&raw), want, "{raw}");
        }
    }

    #[test]
    fn what_people_see_changes_it() {
        let other = [
            MIXED.replace("two", "three"),
            MIXED.replace("one\ntwo", "onetwo"),
            MIXED.replace("a.pdf", "b.pdf"),
            MIXED.replace("JVBERi0xLjQK", "JVBERi0xLjUK"),
            MIXED.replace("text/plain", "text/html"),
            MIXED.replace("--b--", "--b\n\nmore\n--b--"),
            MIXED.replace("--b\nContent-Type: text", "--b\n\nmore\n--b\nContent-Type: text"),
        ];
        for raw in other {
            assert_ne!(look(&raw), look(MIXED), "{raw}");
        }
        assert_ne!(look("Content-Type: text/plain; name=a\n\nbc"), look("Content-Type: text/plain; name=ab\n\nc"));
        let forwarded = "Content-Type: message/rfc822\n\nSubject: one\n\nx\n";
        assert_ne!(
            look(forwarded),
            look(&forwarded.replace("one", "two")),
            "a message in it is a part with its header"
        );
    }

    #[test]
    fn bounds_hold() {
        let mut deep = String::new();
        for n in 0..40_000 {
            deep.push_str(&format!("Content-Type: multipart/mixed; boundary=b{n}\n\n--b{n}\n"));
        }
        assert_eq!(look(&deep), None);
        let flat = format!("Content-Type: multipart/mixed; boundary=b\n\n{}", "--b\n\nx\n".repeat(100_000));
        assert_eq!(look(&flat), None);
        assert_eq!(look("").unwrap().len(), 1);
    }
}
