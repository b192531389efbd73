//! A `From` that RFC 5322 does not know, where yet only one address can be meant.
//!
//! The address stands in angle brackets, or alone but for comments. Beside it may stand whatever
//! people and programs call a name, as long as no reader finds another address in that: one that
//! knows no comments, no quotes, no ISO-2022-JP, or takes the first `@` that it sees. One pass over
//! a value of bounded length for each step.

use super::{Author, UNREAD, address, named};
use crate::types::Address;

/// The control characters of ISO-2022, which a name may hold; all others are refused.
const ESCAPE: char = '\u{1b}';
const SHIFT_OUT: char = '\u{0e}';
const SHIFT_IN: char = '\u{0f}';

/// The one mailbox that can be meant, if there is.
pub(super) fn mailbox(text: &str) -> Option<Author> {
    let written: Vec<char> = text.chars().collect();
    let shown = without_japanese(&written)?;
    if shown.iter().any(|c| c.is_control() && *c != '\t') {
        return None;
    }
    let found = if shown.contains(&'<') { in_brackets(&shown) } else { alone(&shown) };
    let (address, name) = found?;
    // Once as readers see it who know ISO-2022-JP, once as the others do.
    if names_another(&String::from_iter(&shown), &address) || names_another(text, &address) {
        return None;
    }
    let name = named(&String::from_iter(written.get(name)?));
    let name = name.map(|name| name.replace(['"', '<', '>', '(', ')'], "").trim().to_owned());
    Some(Author { address, name: name.filter(|name| !name.is_empty()) })
}

/// `name <address>`, and what may stand behind it. With the place of the name.
fn in_brackets(shown: &[char]) -> Option<(Address, std::ops::Range<usize>)> {
    let opening = shown.iter().rposition(|c| *c == '<')?;
    let closing = opening + shown.get(opening..)?.iter().position(|c| *c == '>')?;
    let (name, behind) = (shown.get(..opening)?, shown.get(closing + 1..)?);
    // `\<` is no bracket to some.
    if name.last() == Some(&'\\') {
        return None;
    }
    // `<<a@b.test>>`
    let opened = name.iter().filter(|c| **c == '<').count();
    let closed = behind.iter().filter(|c| **c == '>').count();
    // An empty place in a list is none; the end of a group is.
    let ends_group = behind.contains(&';') && name.contains(&':');
    let mut tail = behind.iter().rev().skip_while(|c| matches!(c, ' ' | '\t' | ',' | ';')).copied();
    let harmless = |c: char| !"@<\",;:\\".contains(c);
    if closed > opened || ends_group || !tail.all(harmless) {
        return None;
    }
    let address = bracketed(shown.get(opening + 1..closing)?)?;
    // `<shop> <a@b.test>`: who takes the first brackets finds a local address.
    let mut before = name;
    while let Some(open) = before.iter().position(|c| *c == '<') {
        before = before.get(open + 1..)?;
        let Some(close) = before.iter().position(|c| *c == '>') else { break };
        let first = bracketed(before.get(..close)?)?;
        if !is_same(&first, &address) {
            return None;
        }
        before = before.get(close + 1..)?;
    }
    Some((address, 0..opening))
}

/// The address between two brackets.
fn bracketed(inner: &[char]) -> Option<Address> {
    let inner: String = inner.iter().collect();
    let inner = inner.trim_matches([' ', '\t']);
    // What programs copy from a link.
    let scheme = inner.get(..7).filter(|scheme| scheme.eq_ignore_ascii_case("mailto:"));
    address(inner.get(scheme.map_or(0, str::len)..)?)
}

fn is_same(one: &Address, other: &Address) -> bool {
    one.expose().eq_ignore_ascii_case(other.expose())
}

/// `address (name)` or `(name) address`. With the place of the last comment.
fn alone(shown: &[char]) -> Option<(Address, std::ops::Range<usize>)> {
    let is_space = |c: Option<&char>| c.is_none_or(|c| matches!(c, ' ' | '\t'));
    let (mut bare, mut comment, mut at) = (String::new(), 0..0, 0);
    let mut quoted = false;
    while let Some(&c) = shown.get(at) {
        if c != '(' || quoted {
            quoted ^= c == '"';
            bare.push(c);
            at += 1;
            continue;
        }
        let end = comment_end(shown, at);
        // `ann(x)@b.test`, `(x)ann@b.test`: to who knows no comments that is another name.
        if !is_space(at.checked_sub(1).and_then(|before| shown.get(before))) || !is_space(shown.get(end)) {
            return None;
        }
        bare.push(' ');
        comment = at..end;
        at = end;
    }
    // An empty place in a list is none, and the same twice is one; a group has a name.
    let parts = |c: char| matches!(c, ',' | ';') && !shown.contains(&':');
    let mut found = bare.split(parts).map(|part| part.trim_matches([' ', '\t'])).filter(|part| !part.is_empty());
    let first = address(found.next()?)?;
    found.all(|part| address(part).is_some_and(|other| is_same(&first, &other))).then_some((first, comment))
}

/// Where the comment ends that begins at `at`; one that nothing closes, at the end.
fn comment_end(shown: &[char], at: usize) -> usize {
    let (mut depth, mut escaped) = (0_usize, false);
    for (n, c) in shown.iter().enumerate().skip(at) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '(' => depth += 1,
            ')' if depth <= 1 => return n + 1,
            ')' => depth -= 1,
            _ => {}
        }
    }
    shown.len()
}

/// The text with [`UNREAD`] for each octet of another character set than ASCII: RFC 1468, 1554 and
/// 1557. None if it does not return to ASCII.
fn without_japanese(text: &[char]) -> Option<Vec<char>> {
    let (mut out, mut ascii, mut designated, mut at) = (Vec::with_capacity(text.len()), true, false, 0);
    while let Some(&c) = text.get(at) {
        let mut length = 1;
        match (c, text.get(at + 1), text.get(at + 2)) {
            (ESCAPE, Some('('), Some('B' | 'J' | 'H')) => (ascii, length) = (true, 3),
            (ESCAPE, Some('('), Some('I')) => (ascii, length) = (false, 3),
            (ESCAPE, Some('$'), Some('@' | 'A' | 'B')) => (ascii, length) = (false, 3),
            (ESCAPE, Some('$'), Some('(')) => (ascii, length) = (false, 4),
            (ESCAPE, Some('$'), Some(')')) => (designated, length) = (true, 4),
            (SHIFT_OUT, ..) if designated => ascii = false,
            (SHIFT_IN, ..) if designated => ascii = true,
            _ => {
                out.push(if ascii || c == ' ' { c } else { UNREAD });
                at += 1;
                continue;
            }
        }
        out.extend(text.iter().skip(at).take(length).map(|_| UNREAD));
        at += length;
    }
    ascii.then_some(out)
}

/// Whether some reader finds another address than this one in a text. What stands in encoded words
/// is none of it: who decodes them before he reads the address breaks RFC 2047 5.
pub(super) fn names_another(text: &str, address: &Address) -> bool {
    if !text.contains('@') {
        return false;
    }
    let words = without_encoded_words(text);
    words.match_indices('@').any(|(at, _)| {
        let (before, behind) = (words.get(..at).unwrap_or(""), words.get(at + 1..).unwrap_or(""));
        let end = behind.find(|c: char| !(c.is_alphanumeric() || matches!(c, '.' | '-' | '_'))).unwrap_or(behind.len());
        let (domain, behind) = behind.split_at(end);
        let local = before.rsplit(|c| !is_local(c)).next().unwrap_or("");
        // Quotes around the whole address, of either kind.
        let local = if behind.starts_with('\'') { local.trim_start_matches('\'') } else { local };
        let local = if local.ends_with('"') { local } else { local.trim_start_matches('"') };
        is_domain(domain)
            && !local.is_empty()
            && !Address::parse(&format!("{local}@{domain}")).is_ok_and(|found| is_same(&found, address))
    })
}

/// Whether anybody takes this for the domain of an address: `Shop@Tokyo` is a name.
fn is_domain(text: &str) -> bool {
    let last = text.trim_end_matches('.').rsplit_once('.').map(|(_, last)| last);
    last.is_some_and(|last| last.chars().count() > 1 && last.chars().any(char::is_alphabetic))
}

fn is_local(c: char) -> bool {
    c != UNREAD && (c.is_alphanumeric() || "!#$%&'*+-/=?^_`{|}~.\"".contains(c))
}

/// The text with [`UNREAD`] in place of each encoded word, RFC 2047 2.
fn without_encoded_words(text: &str) -> String {
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(start) = rest.find("=?") {
        let (before, word) = rest.split_at(start);
        out.push_str(before);
        // Charset, encoding, text, and the end.
        let mut parts = word.splitn(5, '?').skip(1);
        let (charset, encoding, inner) = (parts.next(), parts.next(), parts.next());
        let length = charset.zip(encoding).zip(inner).map(|((c, e), i)| c.len() + e.len() + i.len() + 5);
        let end = length.filter(|length| {
            let whole = word.get(*length..).is_some_and(|rest| rest.starts_with('='));
            whole && !word.get(..*length).is_none_or(|word| word.contains([' ', '\t', '<', '>']))
        });
        let skipped = end.map_or(2, |end| end + 1);
        out.push_str(if end.is_some() { "\u{fffd}" } else { "=?" });
        rest = word.get(skipped..).unwrap_or("");
    }
    out.push_str(rest);
    out
}
