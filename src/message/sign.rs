//! DKIM signatures of outgoing mail (RFC 6376, RFC 8463) and the keys for them: RSA-2048 and Ed25519, relaxed/relaxed, whole body.
//!
//! The canonical form is computed here: mail-auth 0.13.3 hashes a body that ends in lines of white space wrongly. Not here: which key signs which domain.

use crate::types::Time;
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256};
use data_encoding::BASE64;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use sha2::{Digest as _, Sha256};

/// Header fields that are signed: each one that stands there, and once more, so that none can be added on the way.
const SIGNED: &[&str] = &[
    "From",
    "To",
    "Cc",
    "Subject",
    "Date",
    "Message-ID",
    "Reply-To",
    "Sender",
    "In-Reply-To",
    "References",
    "MIME-Version",
    "Content-Type",
    "Content-Transfer-Encoding",
    "Content-Disposition",
    "Content-ID",
    "Auto-Submitted",
    "List-Unsubscribe",
    "List-Unsubscribe-Post",
];
/// Shortest RSA key that receivers believe, RFC 8301 3.2, in octets of the modulus.
const RSA_SHORTEST: usize = 128;
/// Lines of the signature are at most this long.
const LINE: usize = 76;

/// Why there is no signer, or no signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// Not PEM, or not of a private key.
    #[error("not a private key in PEM (PKCS#8 or PKCS#1)")]
    Pem,
    /// A key of another kind, or broken.
    #[error("neither an RSA nor an Ed25519 private key")]
    Key,
    /// Too short to be believed.
    #[error("an RSA key needs 1024 bits at least, better 2048")]
    Short,
    /// The library failed.
    #[error("cryptographic library failed")]
    Library,
}

enum Key {
    Rsa(RsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

/// Signs for one domain with one key.
pub struct Signer {
    domain: String,
    selector: String,
    key: Key,
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Signer({} {})", self.selector, self.domain)
    }
}

impl Signer {
    /// A signer with the private key of `pem`.
    ///
    /// # Errors
    /// [`SignError`] says what is wrong with the key.
    pub fn from_pem(domain: &str, selector: &str, pem: &[u8]) -> Result<Self, SignError> {
        let der = PrivateKeyDer::from_pem_slice(pem).map_err(|_| SignError::Pem)?;
        let key = match &der {
            PrivateKeyDer::Pkcs1(der) => {
                Key::Rsa(RsaKeyPair::from_der(der.secret_pkcs1_der()).map_err(|_| SignError::Key)?)
            }
            PrivateKeyDer::Pkcs8(der) => {
                let der = der.secret_pkcs8_der();
                match Ed25519KeyPair::from_pkcs8_maybe_unchecked(der) {
                    Ok(key) => Key::Ed25519(key),
                    Err(_) => Key::Rsa(RsaKeyPair::from_pkcs8(der).map_err(|_| SignError::Key)?),
                }
            }
            _ => return Err(SignError::Key),
        };
        if let Key::Rsa(key) = &key
            && key.public_modulus_len() < RSA_SHORTEST
        {
            return Err(SignError::Short);
        }
        Ok(Self { domain: domain.to_ascii_lowercase(), selector: selector.to_owned(), key })
    }

    /// The signature of `message` (CRLF lines) as a header field with its line end, to be put before it. The same moment gives the same field.
    ///
    /// # Errors
    /// [`SignError::Library`].
    pub fn sign(&self, message: &[u8], now: Time) -> Result<Vec<u8>, SignError> {
        let (fields, body) = super::headers::split(message);
        let mut names = Vec::new();
        let mut signed = Vec::new();
        for name in SIGNED {
            // Of several fields of a name, the last one is signed first (RFC 6376 5.4.2).
            for field in fields.iter().rev().filter(|field| field.is(name)) {
                names.push(*name);
                relaxed_field(name, field.value, &mut signed);
                signed.extend_from_slice(b"\r\n");
            }
            names.push(name);
        }
        let algorithm = match self.key {
            Key::Rsa(_) => "rsa-sha256",
            Key::Ed25519(_) => "ed25519-sha256",
        };
        let mut value = format!("v=1; a={algorithm}; c=relaxed/relaxed; d={};", self.domain);
        let seconds = now.0.div_euclid(1000).max(0);
        fold_in(&mut value, &format!("s={}; t={seconds};", self.selector));
        fold_in(&mut value, "h=");
        for (n, name) in names.iter().enumerate() {
            let separator = if n + 1 == names.len() { ";" } else { ":" };
            let column = value.len() - value.rfind('\n').map_or(0, |end| end + 1);
            if column + name.len() + 1 > LINE {
                value.push_str("\r\n\t");
            }
            value.push_str(name);
            value.push_str(separator);
        }
        fold_in(&mut value, &format!("bh={};", BASE64.encode(&body_hash(body))));
        fold_in(&mut value, "b=");
        relaxed_field("DKIM-Signature", value.as_bytes(), &mut signed);
        for (n, piece) in BASE64.encode(&self.signature(&signed)?).as_bytes().chunks(LINE - 4).enumerate() {
            value.push_str(if n > 0 { "\r\n\t" } else { "" });
            value.push_str(std::str::from_utf8(piece).unwrap_or(""));
        }
        Ok(format!("DKIM-Signature: {value}\r\n").into_bytes())
    }

    fn signature(&self, data: &[u8]) -> Result<Vec<u8>, SignError> {
        match &self.key {
            Key::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), data, &mut signature)
                    .map_err(|_| SignError::Library)?;
                Ok(signature)
            }
            // RFC 8463 3: the hash is what is signed.
            Key::Ed25519(key) => Ok(key.sign(&Sha256::digest(data)).as_ref().to_vec()),
        }
    }

    /// The text of the DNS record at `SELECTOR._domainkey.DOMAIN`.
    ///
    /// # Errors
    /// [`SignError::Library`].
    pub fn record(&self) -> Result<String, SignError> {
        Ok(match &self.key {
            Key::Rsa(key) => {
                let public: PublicKeyX509Der<'_> = key.public_key().as_der().map_err(|_| SignError::Library)?;
                format!("v=DKIM1; k=rsa; p={}", BASE64.encode(public.as_ref()))
            }
            Key::Ed25519(key) => format!("v=DKIM1; k=ed25519; p={}", BASE64.encode(key.public_key().as_ref())),
        })
    }

    /// The record as a line of a zone file, in strings of at most 255 octets.
    ///
    /// # Errors
    /// [`SignError::Library`].
    pub fn zone_line(&self) -> Result<String, SignError> {
        let record = self.record()?;
        let strings: Vec<String> = record
            .as_bytes()
            .chunks(255)
            .map(|piece| format!("\"{}\"", std::str::from_utf8(piece).unwrap_or("")))
            .collect();
        Ok(format!("{}._domainkey.{}. IN TXT ( {} )", self.selector, self.domain, strings.join(" ")))
    }
}

/// Kinds of keys that `dkim generate` makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// RSA with 2048 bits: every receiver knows it.
    Rsa2048,
    /// Ed25519: short and fast; some receivers do not know it, so it goes beside an RSA signature.
    Ed25519,
}

/// Makes a private key, PKCS#8 in PEM. Random bytes come from the cryptographic library.
///
/// # Errors
/// [`SignError::Library`].
pub fn generate(algorithm: Algorithm) -> Result<String, SignError> {
    let der: Vec<u8> = match algorithm {
        Algorithm::Rsa2048 => {
            let key = RsaKeyPair::generate(KeySize::Rsa2048).map_err(|_| SignError::Library)?;
            let der: Pkcs8V1Der<'_> = key.as_der().map_err(|_| SignError::Library)?;
            der.as_ref().to_vec()
        }
        Algorithm::Ed25519 => {
            let key = Ed25519KeyPair::generate().map_err(|_| SignError::Library)?;
            key.to_pkcs8v1().map_err(|_| SignError::Library)?.as_ref().to_vec()
        }
    };
    let mut pem = String::from("-----BEGIN PRIVATE KEY-----\n");
    for line in BASE64.encode(&der).as_bytes().chunks(64) {
        pem.push_str(std::str::from_utf8(line).unwrap_or(""));
        pem.push('\n');
    }
    pem.push_str("-----END PRIVATE KEY-----\n");
    Ok(pem)
}

fn fold_in(value: &mut String, piece: &str) {
    value.push_str("\r\n\t");
    value.push_str(piece);
}

/// RFC 6376 3.4.2, without the line end.
fn relaxed_field(name: &str, value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(name.to_ascii_lowercase().as_bytes());
    out.push(b':');
    let start = out.len();
    let mut space = false;
    for byte in value {
        match byte {
            b'\r' | b'\n' => {}
            b' ' | b'\t' => space = true,
            _ => {
                if space && out.len() > start {
                    out.push(b' ');
                }
                space = false;
                out.push(*byte);
            }
        }
    }
}

/// SHA-256 of the body in its relaxed form, RFC 6376 3.4.4.
fn body_hash(body: &[u8]) -> Vec<u8> {
    let mut hash = Sha256::new();
    // Empty lines are held back: at the end of the body they do not count.
    let mut empty = 0_usize;
    let mut line = Vec::new();
    for raw in body.split_inclusive(|byte| *byte == b'\n') {
        let raw = raw.strip_suffix(b"\n").unwrap_or(raw);
        let raw = raw.strip_suffix(b"\r").unwrap_or(raw);
        line.clear();
        let mut space = false;
        for byte in raw {
            if matches!(byte, b' ' | b'\t') {
                space = true;
                continue;
            }
            if std::mem::take(&mut space) {
                line.push(b' ');
            }
            line.push(*byte);
        }
        if line.is_empty() {
            empty += 1;
            continue;
        }
        for _ in 0..std::mem::take(&mut empty) {
            hash.update(b"\r\n");
        }
        line.extend_from_slice(b"\r\n");
        hash.update(&line);
    }
    hash.finalize().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn body_hashes_known_to_others() {
        let hash = |body: &str| BASE64.encode(&body_hash(body.as_bytes()));
        // RFC 6376 3.4.4 and 3.4.5: the empty body, and the example " C \r\nD \t E\r\n\r\n\r\n" as " C\r\nD E\r\n"
        assert_eq!(hash(""), "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
        assert_eq!(hash("\r\n \r\n"), hash(""));
        assert_eq!(hash(" C \r\nD \t E\r\n\r\n\r\n"), BASE64.encode(&Sha256::digest(" C\r\nD E\r\n")));
        assert_eq!(hash("a\r\n \r\nb\r\n\t \r\n"), BASE64.encode(&Sha256::digest("a\r\n\r\nb\r\n")));
        assert_eq!(hash("no end"), BASE64.encode(&Sha256::digest("no end\r\n")));
    }

    const MESSAGE: &[u8] = b"From: \"A  B\"\r\n <a@m.test>\r\nTo: b@m.test\r\nSubject: =?utf-8?B?w6Q=?=  x \r\nDate: Sat, 21 Nov 2026 00:00:00 +0000\r\n\
        Message-ID: <1@m.test>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain\r\n\r\nHello  you \r\n\r\n \t\r\n";

    #[test]
    fn signatures_have_their_form() {
        for algorithm in [Algorithm::Rsa2048, Algorithm::Ed25519] {
            let pem = generate(algorithm).unwrap();
            let signer = Signer::from_pem("M.test", "s1", pem.as_bytes()).unwrap();
            let field = signer.sign(MESSAGE, Time(1_780_000_000_000)).unwrap();
            let text = std::str::from_utf8(&field).unwrap();
            assert!(text.is_ascii() && text.lines().all(|line| line.len() <= 78), "{text}");
            assert!(text.contains("d=m.test;") && text.contains("t=1780000000;") && !text.contains("l="));
            assert_eq!(
                field,
                signer.sign(MESSAGE, Time(1_780_000_000_999)).unwrap(),
                "the same moment, the same field"
            );
            assert_eq!(text.matches("From:").count(), 2, "oversigned");
            assert!(signer.record().unwrap().starts_with("v=DKIM1; k="));
            for string in signer.zone_line().unwrap().split('"').skip(1).step_by(2) {
                assert!(string.len() <= 255);
            }
        }
    }

    #[test]
    fn bad_keys_are_told() {
        let error = |pem: &str| Signer::from_pem("m.test", "s", pem.as_bytes()).unwrap_err();
        assert_eq!(error(""), SignError::Pem);
        assert_eq!(error("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"), SignError::Key);
        assert_eq!(error("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), SignError::Pem);
    }

    proptest::proptest! {
        #[test]
        fn any_message_can_be_signed(message in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
            let key = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n-----END PRIVATE KEY-----\n";
            let signer = Signer::from_pem("m.test", "s", key.as_bytes()).unwrap();
            proptest::prop_assert!(signer.sign(&message, Time(0)).unwrap().is_ascii());
        }
    }
}
