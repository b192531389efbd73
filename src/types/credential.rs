//! What is kept of a seller's password: nothing that it could be read from.
//!
//! Not here: how it is derived and compared (`authentication::password`), or where it is kept (`store`).

use std::fmt;

/// The kept form of one password, for every mechanism that a login may use.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    /// argon2id in the PHC string format: for mechanisms that bring the password itself (PLAIN, LOGIN).
    pub phc: String,
    /// For SCRAM-SHA-256, RFC 5802 3.
    pub scram: ScramKeys,
}

/// What a SCRAM server knows, RFC 5802 3. Enough to check a client, not to be one.
#[derive(Clone, PartialEq, Eq)]
pub struct ScramKeys {
    /// Salt, told to the client.
    pub salt: Vec<u8>,
    /// PBKDF2 rounds, told to the client.
    pub iterations: u32,
    /// `H(ClientKey)`.
    pub stored_key: [u8; 32],
    /// `HMAC(SaltedPassword, "Server Key")`.
    pub server_key: [u8; 32],
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credential(…)")
    }
}

impl fmt::Debug for ScramKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ScramKeys(…)")
    }
}
