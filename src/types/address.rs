//! A person's real mailbox. It never prints itself: [`Address::expose`] is the one way out, so that a search for that
//! word finds every place where an address leaves the program.
//!
//! Not here: reading a `From` header (see `message::author`), or aliases (see [`super::alias`]).

use std::fmt;

/// Longest local part in octets, RFC 5321 4.5.3.1.1.
pub const MAX_LOCAL: usize = 64;
/// Longest domain in octets, RFC 5321 4.5.3.1.2.
pub const MAX_DOMAIN: usize = 255;

/// One mailbox, `local@domain`, RFC 5321 4.1.2 and RFC 6531.
///
/// The domain is kept as lower-case A-labels; the local part as given. Address literals (`user@[192.0.2.1]`) are refused:
/// nobody authenticates them.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address {
    text: String,
    at: usize,
}

/// The form of an address under which it is hidden, and looked for: lower case, `+tag` cut off,
/// A-label domain. Which spellings it stands for says [`super::spelling`]; who writes is decided by
/// [`Address::author_key`].
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AddressKey(String);

/// Why a text is not an address. Says nothing of the text itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// No `@`, or nothing on one side of it.
    #[error("not of the form local@domain")]
    Shape,
    /// Over 64 octets before the `@`, or over 255 after it.
    #[error("too long: at most 64 octets before the @ and 255 after it")]
    TooLong,
    /// A character that an address cannot hold.
    #[error("a character that an address cannot hold")]
    Character,
    /// Not a domain name.
    #[error("not a valid domain name")]
    Domain,
}

impl Address {
    /// Reads `local@domain`, without angle brackets. Quoted local parts are accepted and unquoted
    /// where that changes nothing.
    ///
    /// Dots in a row, in front or before the `@` are put into quotes, as RFC 5321 4.1.2 writes them
    /// and as the servers of such mailboxes take them: until 2009 Japanese carriers gave out
    /// `a..b.@docomo.ne.jp`, and phones write it so. One mailbox is one text by that, however it
    /// was written. The honest: who mistypes a dot is told by the receiver's server, no more by us.
    /// A liar gains nothing: nobody reads `a..b@` as another mailbox's name.
    ///
    /// # Errors
    /// [`AddressError`] tells which rule the text breaks.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let at = text.rfind('@').ok_or(AddressError::Shape)?;
        let (local, domain) = (text.get(..at).unwrap_or(""), text.get(at + 1..).unwrap_or(""));
        if local.is_empty() || domain.is_empty() {
            return Err(AddressError::Shape);
        }
        if local.len() > MAX_LOCAL || domain.len() > MAX_DOMAIN {
            return Err(AddressError::TooLong);
        }
        let local = check_local(local)?;
        let domain = ascii_domain(domain)?;
        let at = local.len();
        Ok(Self { text: [&*local, "@", &*domain].concat(), at })
    }

    /// Gives the address out, as text. Call it only where the address is meant to leave: the SMTP envelope, the CLI.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// The part before the `@`, quotes included where they are needed.
    #[must_use]
    pub fn local(&self) -> &str {
        self.text.get(..self.at).unwrap_or("")
    }

    /// The domain, lower-case A-labels.
    #[must_use]
    pub fn domain(&self) -> &str {
        self.text.get(self.at + 1..).unwrap_or("")
    }

    /// Whether the address needs SMTPUTF8 (RFC 6531): only the local part can.
    #[must_use]
    pub fn is_ascii(&self) -> bool {
        self.text.is_ascii()
    }

    /// The narrow key: under it two addresses are one spelling of who writes. ASCII letters are
    /// folded and nothing else, so that a Kelvin sign is no `k`, and a tag stays. What is the same
    /// author beyond that says [`Providers`](super::Providers).
    #[must_use]
    pub fn author_key(&self) -> String {
        self.text.to_ascii_lowercase()
    }

    /// The wide key: under it an address is hidden, and looked for.
    #[must_use]
    pub fn key(&self) -> AddressKey {
        let local = self.local().to_lowercase();
        let quoted = local.starts_with('"');
        let local = match local.find('+') {
            Some(cut) if cut > 0 && !quoted => local.get(..cut).unwrap_or(&local),
            _ => &local,
        };
        AddressKey([local, "@", self.domain()].concat())
    }
}

impl AddressKey {
    /// The normalised text, for the store and for the scrubber.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The domain in U-labels (RFC 5890 2.3.2.1), if it has any.
    #[must_use]
    pub fn unicode_domain(&self) -> Option<String> {
        let (_, domain) = self.0.rsplit_once('@')?;
        domain.split('.').any(|label| label.starts_with("xn--")).then(|| idna::domain_to_unicode(domain).0)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Address(…)")
    }
}

impl fmt::Debug for AddressKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AddressKey(…)")
    }
}

/// A domain as lower-case A-labels, RFC 5890. A final dot is dropped.
///
/// # Errors
/// [`AddressError::Domain`] if it is not a host name.
pub fn ascii_domain(domain: &str) -> Result<String, AddressError> {
    let domain = domain.strip_suffix('.').unwrap_or(domain);
    let ascii = if domain.is_ascii() {
        domain.to_ascii_lowercase()
    } else {
        idna::domain_to_ascii(domain).map_err(|_| AddressError::Domain)?
    };
    let label_ok = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    if ascii.len() > MAX_DOMAIN || !ascii.split('.').all(label_ok) {
        return Err(AddressError::Domain);
    }
    Ok(ascii)
}

fn is_atext(c: char) -> bool {
    c.is_ascii_alphanumeric()
        || "!#$%&'*+-/=?^_`{|}~".contains(c)
        || (!c.is_ascii() && !c.is_control() && !c.is_whitespace())
}

fn is_dot_atom(text: &str) -> bool {
    !text.is_empty() && text.split('.').all(|atom| !atom.is_empty() && atom.chars().all(is_atext))
}

/// Whether a text is what names and dots are made of, in whatever order.
pub(super) fn is_dotted(text: &str) -> bool {
    text.chars().all(|c| c == '.' || is_atext(c)) && text.contains(is_atext)
}

fn check_local(local: &str) -> Result<String, AddressError> {
    if is_dot_atom(local) {
        return Ok(local.to_owned());
    }
    if is_dotted(local) {
        let quoted = format!("\"{local}\"");
        return if quoted.len() > MAX_LOCAL { Err(AddressError::TooLong) } else { Ok(quoted) };
    }
    let inner = local.strip_prefix('"').and_then(|l| l.strip_suffix('"')).ok_or(AddressError::Character)?;
    let mut plain = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        let c = match c {
            '\\' => chars.next().ok_or(AddressError::Character)?,
            '"' => return Err(AddressError::Character),
            c => c,
        };
        if c.is_control() {
            return Err(AddressError::Character);
        }
        plain.push(c);
    }
    if is_dot_atom(&plain) {
        return Ok(plain);
    }
    let mut quoted = String::from("\"");
    for c in plain.chars() {
        if c == '"' || c == '\\' {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted.push('"');
    if quoted.len() > MAX_LOCAL { Err(AddressError::TooLong) } else { Ok(quoted) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_refuses() {
        // text, expected text or error, key
        let good = [
            ("Ann@Example.COM", "Ann@example.com", "ann@example.com"),
            ("a+b@x.test", "a+b@x.test", "a@x.test"),
            ("+b@x.test", "+b@x.test", "+b@x.test"),
            ("\"a.b\"@x.test", "a.b@x.test", "a.b@x.test"),
            ("\"a b\"@x.test", "\"a b\"@x.test", "\"a b\"@x.test"),
            ("\"a\\\"b\"@x.test", "\"a\\\"b\"@x.test", "\"a\\\"b\"@x.test"),
            ("a@bücher.test", "a@xn--bcher-kva.test", "a@xn--bcher-kva.test"),
            ("\"a@b\"@x.test", "\"a@b\"@x.test", "\"a@b\"@x.test"),
            ("Müller@x.test.", "Müller@x.test", "müller@x.test"),
            ("a..b.@x.test", "\"a..b.\"@x.test", "\"a..b.\"@x.test"),
            ("\"a..b.\"@x.test", "\"a..b.\"@x.test", "\"a..b.\"@x.test"),
            ("\"a..\\b.\"@x.test", "\"a..b.\"@x.test", "\"a..b.\"@x.test"),
            (".a@x.test", "\".a\"@x.test", "\".a\"@x.test"),
            ("a.@x.test", "\"a.\"@x.test", "\"a.\"@x.test"),
        ];
        for (text, want, key) in good {
            let address = Address::parse(text).unwrap();
            assert_eq!((address.expose(), address.key().expose()), (want, key), "{text}");
            assert_eq!(address.author_key(), want.to_ascii_lowercase());
        }
        let bad = [
            ("", AddressError::Shape),
            ("a", AddressError::Shape),
            ("@x", AddressError::Shape),
            ("a@", AddressError::Shape),
            ("a b@x.test", AddressError::Character),
            ("..@x.test", AddressError::Character),
            ("a. .b@x.test", AddressError::Character),
            ("a\r\n@x.test", AddressError::Character),
            ("\"a\"b@x.test", AddressError::Character),
            ("a@[192.0.2.1]", AddressError::Domain),
            ("a@x..test", AddressError::Domain),
            ("a@-x.test", AddressError::Domain),
        ];
        for (text, want) in bad {
            assert_eq!(Address::parse(text), Err(want), "{text}");
        }
        assert_eq!(Address::parse(&format!("{}@x.test", "a".repeat(65))), Err(AddressError::TooLong));
    }

    #[test]
    fn debug_hides_the_address() {
        let address = Address::parse("ann@example.com").unwrap();
        assert!(!format!("{address:?} {:?}", address.key()).contains("ann"));
    }
}
