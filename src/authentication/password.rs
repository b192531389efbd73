//! Passwords of sellers who log in: which are good enough, what is kept of them, and whether one is right. argon2id for mechanisms that bring the
//! password (RFC 9106), and SCRAM-SHA-256 (RFC 5802, RFC 7677) for those that only prove it.
//!
//! Not here: the dialog (`smtp::auth`), who may log in (`relay`), and how often one may try ([`guessing`](super::guessing)). No clock, no store; randomness is
//! an argument.

use crate::types::credential::{Credential, ScramKeys};
use crate::types::{Random, Secret};
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use argon2::{Algorithm, Argon2, Params, Version};
use aws_lc_rs::{constant_time, digest, hmac, pbkdf2};
use std::num::NonZeroU32;

/// Fewest characters of a password.
pub const SHORTEST: usize = 12;
/// Most characters of a password.
pub const LONGEST: usize = 128;
/// Rounds of PBKDF2. Clients refuse more than 65,536 (Cyrus SASL), and fewer would make a stolen store easier to guess in.
const ITERATIONS: u32 = 60_000;
/// Octets of a salt.
const SALT: usize = 16;
/// argon2id: KiB of memory, and passes over it (the second choice of OWASP, 19 MiB and 2).
const MEMORY: u32 = 19 * 1024;
const PASSES: u32 = 2;

/// Why a password is not taken. Says nothing of the password itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// Too few, or too many.
    #[error("a password has {SHORTEST} to {LONGEST} characters")]
    Length,
    /// Outside ASCII mail programs disagree about how a password is written.
    #[error("a password holds only printable ASCII characters: letters, digits, spaces and punctuation")]
    Character,
    /// The library's trouble.
    #[error("the password could not be hashed")]
    Hash,
}

fn hasher() -> Result<Argon2<'static>, PasswordError> {
    let parameters = Params::new(MEMORY, PASSES, 1, None).map_err(|_| PasswordError::Hash)?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, parameters))
}

/// What is kept of a new password. ASCII alone, so that SASLprep (RFC 4013) changes nothing in it.
///
/// # Errors
/// [`PasswordError`] says which rule it breaks.
pub fn derive(password: &str, random: &mut dyn Random) -> Result<Credential, PasswordError> {
    if !password.bytes().all(|b| matches!(b, b' '..=b'~')) {
        return Err(PasswordError::Character);
    }
    if !(SHORTEST..=LONGEST).contains(&password.len()) {
        return Err(PasswordError::Length);
    }
    let (mut salt, mut other) = ([0; SALT], vec![0; SALT]);
    random.fill(&mut salt);
    random.fill(&mut other);
    let hash = hasher()?.hash_password_with_salt(password.as_bytes(), &salt).map_err(|_| PasswordError::Hash)?;
    Ok(Credential { phc: hash.to_string(), scram: scram_keys(password, other, ITERATIONS) })
}

/// RFC 5802 3: SaltedPassword, then the keys of both sides.
pub(crate) fn scram_keys(password: &str, salt: Vec<u8>, iterations: u32) -> ScramKeys {
    let mut salted = [0; 32];
    let rounds = NonZeroU32::new(iterations).unwrap_or(NonZeroU32::MIN);
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, rounds, &salt, password.as_bytes(), &mut salted);
    let stored_key = array(digest::digest(&digest::SHA256, &tag(&salted, b"Client Key")).as_ref());
    let server_key = tag(&salted, b"Server Key");
    ScramKeys { salt, iterations, stored_key, server_key }
}

/// What stands for a login that does not exist: no password fits it, every step costs what it costs for a real one, and its salt is always the same, so that
/// asking twice tells nothing (RFC 5802 9).
#[must_use]
pub fn nobody(secret: &Secret, login: &str) -> Credential {
    let bytes = |kind| tag(&secret.key(kind, 0), login.as_bytes());
    let (stored_key, server_key) = (bytes("login-stored"), bytes("login-server"));
    let salt = bytes("login-salt").into_iter().take(SALT).collect();
    let text = |bytes: &[u8]| data_encoding::BASE64_NOPAD.encode(bytes);
    let (phc_salt, hash) = (bytes("login-argon2"), bytes("login-hash"));
    let phc = format!(
        "$argon2id$v=19$m={MEMORY},t={PASSES},p=1${}${}",
        text(phc_salt.get(..SALT).unwrap_or_default()),
        text(&hash)
    );
    Credential { phc, scram: ScramKeys { salt, iterations: ITERATIONS, stored_key, server_key } }
}

/// Whether this is the password. Takes tens of milliseconds and 19 MiB: not on an async thread, and few at once.
#[must_use]
pub fn is_right(credential: &Credential, password: &str) -> bool {
    hasher().is_ok_and(|hasher| hasher.verify_password(password.as_bytes(), credential.phc.as_str()).is_ok())
}

/// Whether `proof` is the client's for this exchange; the server's signature if it is (RFC 5802 3).
#[must_use]
pub fn scram_signature(keys: &ScramKeys, auth_message: &str, proof: &[u8; 32]) -> Option<[u8; 32]> {
    let mut client_key = tag(&keys.stored_key, auth_message.as_bytes());
    for (to, from) in client_key.iter_mut().zip(proof) {
        *to ^= from;
    }
    let found = digest::digest(&digest::SHA256, &client_key);
    constant_time::verify_slices_are_equal(found.as_ref(), &keys.stored_key).ok()?;
    Some(tag(&keys.server_key, auth_message.as_bytes()))
}

fn tag(key: &[u8], data: &[u8]) -> [u8; 32] {
    array(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), data).as_ref())
}

/// SHA-256's 32 octets.
fn array(bytes: &[u8]) -> [u8; 32] {
    bytes.try_into().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::random::Seeded;

    const PASSWORD: &str = "correct horse 8";

    /// The exchange of RFC 7677 3.
    #[test]
    fn scram_by_the_book() {
        let salt = data_encoding::BASE64.decode(b"W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let keys = scram_keys("pencil", salt, 4096);
        let message = "n=user,r=rOprNGfwEbeRWgbNEkqO,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                       s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
        let proof = data_encoding::BASE64.decode(b"dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=").unwrap();
        let signature = scram_signature(&keys, message, &proof.clone().try_into().unwrap()).unwrap();
        assert_eq!(data_encoding::BASE64.encode(&signature), "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
        for at in 0..32 {
            let mut wrong: [u8; 32] = proof.clone().try_into().unwrap();
            wrong[at] ^= 1;
            assert_eq!(scram_signature(&keys, message, &wrong), None);
        }
        assert_eq!(scram_signature(&keys, &message[1..], &proof.try_into().unwrap()), None);
    }

    #[test]
    fn one_password_fits_and_nobody_has_one() {
        let credential = derive(PASSWORD, &mut Seeded::new(1)).unwrap();
        assert!(credential.phc.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", credential.phc);
        assert!(!format!("{credential:?}").contains("argon2"));
        let again = derive(PASSWORD, &mut Seeded::new(2)).unwrap();
        assert!(credential.phc != again.phc && credential.scram.stored_key != again.scram.stored_key, "salted");
        let secret = Secret::from_bytes(&[7; 32]).unwrap();
        let nobody_s1 = nobody(&secret, "S-1");
        assert_eq!(nobody_s1, nobody(&secret, "S-1"));
        assert_ne!(nobody_s1.scram.salt, nobody(&secret, "S-2").scram.salt);
        assert_eq!(nobody_s1.scram.salt.len(), credential.scram.salt.len());
        assert_eq!(nobody_s1.scram.iterations, credential.scram.iterations);
        // Whose, what, whether it fits.
        let cases = [
            (&credential, PASSWORD, true),
            (&credential, "correct horse 9", false),
            (&credential, "", false),
            (&credential, "correct horse 8 ", false),
            (&nobody_s1, PASSWORD, false),
            (&nobody_s1, "", false),
        ];
        for (whose, what, fits) in cases {
            assert_eq!(is_right(whose, what), fits, "{what}");
        }
    }

    /// The work for nobody is the work for somebody: both strings ask argon2 for the same.
    #[test]
    fn nobody_costs_what_somebody_costs() {
        let head = |credential: &Credential| credential.phc.split('$').take(4).collect::<Vec<_>>().join("$");
        let secret = Secret::from_bytes(&[7; 32]).unwrap();
        let (one, other) = (derive(PASSWORD, &mut Seeded::new(1)).unwrap(), nobody(&secret, "x"));
        assert_eq!(head(&one), head(&other));
        assert_eq!(one.phc.len(), other.phc.len());
        assert!(argon2::password_hash::phc::PasswordHash::new(&other.phc).is_ok(), "it is computed, not refused");
    }

    #[test]
    fn which_passwords_are_taken() {
        // password, what is wrong
        let long = "x".repeat(LONGEST + 1);
        let cases = [
            ("elevenchars", Err(PasswordError::Length)),
            ("twelve chars", Ok(())),
            (&long[1..], Ok(())),
            (&long, Err(PasswordError::Length)),
            ("", Err(PasswordError::Length)),
            ("pässword pässword", Err(PasswordError::Character)),
            ("password\tpassword", Err(PasswordError::Character)),
            ("password\0password", Err(PasswordError::Character)),
        ];
        for (password, want) in cases {
            assert_eq!(derive(password, &mut Seeded::new(1)).map(|_| ()), want, "{password}");
        }
    }
}
