//! What a front MTA found, from its `Authentication-Results` (RFC 8601). Believed only of one named authserv-id, only in the
//! topmost field that bears it, and only where the caller knows that the connection came from a trusted network.
//!
//! The front MTA has to remove such fields of its own name from what it receives (RFC 8601 5); as a second line, nothing
//! below the second `Received` is looked at: that was there before the front MTA.

use super::{Authentication, Found, Outcome, Results, conclude};
use crate::message::headers;
use crate::policy::author::Proof;
use crate::types::Address;

/// Longest field that is read, in octets.
const LONGEST: usize = 16 * 1024;
/// Comments in comments.
const DEEPEST: usize = 8;

/// What the front MTA says of `author`. A message without its word is unauthenticated.
#[must_use]
pub fn read(raw: &[u8], authserv_id: &str, author: &Address) -> Authentication {
    let (fields, _) = headers::split(raw);
    let mut received = 0;
    for field in fields {
        if field.is("Received") {
            received += 1;
            if received > 1 {
                break;
            }
        }
        if !field.is("Authentication-Results") {
            continue;
        }
        // One that cannot be read may be the front MTA's: what stands below it is not believed in its place.
        let Some(statement) = (field.value.len() <= LONGEST).then(|| parse(&field.text())).flatten() else { break };
        if statement.authserv_id.eq_ignore_ascii_case(authserv_id) {
            return judge(&statement.results, author.domain());
        }
    }
    Authentication::only(Proof::Absent)
}

/// Whether a field may be taken for one of this authserv-id's: because it is, or because nobody can
/// say whose it is.
#[must_use]
pub fn may_be_of(text: &str, authserv_id: &str) -> bool {
    match (text.len() <= LONGEST).then(|| parse(text)).flatten() {
        Some(statement) => statement.authserv_id.eq_ignore_ascii_case(authserv_id),
        None => text.to_ascii_lowercase().contains(&authserv_id.to_ascii_lowercase()),
    }
}

/// One field.
#[derive(Debug, PartialEq, Eq)]
struct Statement {
    authserv_id: String,
    results: Vec<MethodResult>,
}

/// `method=result ptype.property=value …`
#[derive(Debug, PartialEq, Eq)]
struct MethodResult {
    method: String,
    result: String,
    properties: Vec<(String, String)>,
}

impl MethodResult {
    fn outcome(&self) -> Outcome {
        match self.result.as_str() {
            "pass" => Outcome::Pass,
            "none" => Outcome::None,
            "temperror" => Outcome::TempError,
            "permerror" => Outcome::PermError,
            "neutral" | "softfail" | "policy" => Outcome::Neutral,
            _ => Outcome::Fail,
        }
    }

    /// The domain of a property's value, which may be an address.
    fn domain(&self, names: &[&str]) -> Option<&str> {
        let value = |name: &&str| self.properties.iter().find(|(known, _)| known == name).map(|(_, value)| value);
        let value = names.iter().find_map(value)?;
        Some(value.rsplit_once('@').map_or(value.as_str(), |(_, domain)| domain))
    }
}

fn judge(said: &[MethodResult], domain: &str) -> Authentication {
    let mut results = Results::default();
    for result in said {
        let found = |names: &[&str]| {
            result.domain(names).map(|domain| Found { domain: domain.to_owned(), outcome: result.outcome() })
        };
        match result.method.as_str() {
            "spf" => results.spf = results.spf.or_else(|| found(&["smtp.mailfrom", "smtp.helo"])),
            "dkim" => results.dkim.extend(found(&["header.d", "header.i"])),
            // It speaks for the domain of the From field that the front MTA saw; ours must be the same.
            "dmarc" if found(&["header.from"]).is_some_and(|f| f.domain.eq_ignore_ascii_case(domain)) => {
                results.dmarc = result.outcome();
            }
            _ => {}
        }
    }
    Authentication {
        proof: conclude(&results, domain),
        spf: results.spf.map_or(Outcome::None, |found| found.outcome),
        dkim: results.dkim.iter().map(|found| found.outcome).collect(),
        dmarc: results.dmarc,
        arc: Outcome::None,
        login: false,
        signatures: Vec::new(),
    }
}

/// Reads an unfolded field value, RFC 8601 2.2. `None` if it breaks the grammar anywhere: half a statement is none.
fn parse(text: &str) -> Option<Statement> {
    let tokens = tokens(text)?;
    let mut statements = tokens.split(|token| *token == Token::Semicolon);
    let authserv_id = match statements.next()? {
        [Token::Word(id)] => id.clone(),
        // The version, which is 1 if it is there.
        [Token::Word(id), Token::Word(version)] if version == "1" => id.clone(),
        _ => return None,
    };
    let mut results = Vec::new();
    for statement in statements {
        match statement {
            [] => {}
            [Token::Word(none)] if none.eq_ignore_ascii_case("none") => {}
            statement => results.push(method_result(statement)?),
        }
    }
    Some(Statement { authserv_id, results })
}

fn method_result(tokens: &[Token]) -> Option<MethodResult> {
    let mut pairs = tokens.chunks(3).map(|chunk| match chunk {
        [Token::Word(name), Token::Equals, Token::Word(value)] => Some((name.to_ascii_lowercase(), value.clone())),
        _ => None,
    });
    let (method, result) = pairs.next()??;
    // `method/version`
    let method = method.split('/').next()?.to_owned();
    let properties = pairs.collect::<Option<Vec<_>>>()?;
    Some(MethodResult { method, result: result.to_ascii_lowercase(), properties })
}

#[derive(Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    Equals,
    Semicolon,
}

/// Cuts a value into words, `=` and `;`. Comments are dropped, quoted strings are words. One pass.
fn tokens(text: &str) -> Option<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut word = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        let end = c.is_ascii_whitespace() || matches!(c, '(' | ';' | '=' | '"');
        // An `=` inside a value, as in `smtp.mailfrom=a=b@c`, belongs to it; a word in this place always ends a pair.
        if c == '=' && tokens.last() == Some(&Token::Equals) {
            word.push(c);
            continue;
        }
        if end && !word.is_empty() {
            tokens.push(Token::Word(std::mem::take(&mut word)));
        }
        match c {
            '(' => skip_comment(&mut chars)?,
            ')' => return None,
            ';' => tokens.push(Token::Semicolon),
            '=' => tokens.push(Token::Equals),
            '"' => tokens.push(Token::Word(quoted(&mut chars)?)),
            c if c.is_ascii_whitespace() => {}
            c if c.is_control() => return None,
            c => word.push(c),
        }
    }
    if !word.is_empty() {
        tokens.push(Token::Word(word));
    }
    // `"a"@b` comes as two words; as a domain is all that is read of it, join them.
    Some(join_addresses(tokens))
}

fn join_addresses(tokens: Vec<Token>) -> Vec<Token> {
    let mut joined: Vec<Token> = Vec::with_capacity(tokens.len());
    for token in tokens {
        match (joined.last_mut(), token) {
            (Some(Token::Word(last)), Token::Word(next)) if next.starts_with('@') => last.push_str(&next),
            (_, token) => joined.push(token),
        }
    }
    joined
}

fn skip_comment(chars: &mut std::str::Chars<'_>) -> Option<()> {
    let mut depth = 1;
    while depth > 0 {
        match chars.next()? {
            '\\' => drop(chars.next()?),
            '(' if depth == DEEPEST => return None,
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
    }
    Some(())
}

fn quoted(chars: &mut std::str::Chars<'_>) -> Option<String> {
    let mut text = String::new();
    loop {
        match chars.next()? {
            '"' => return Some(text),
            '\\' => text.push(chars.next()?),
            c => text.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::reason::Method;

    const PASS: &str = "Authentication-Results: mx.front.test; dmarc=pass header.from=shop.test\r\n";

    fn proof(header: &str) -> Proof {
        let author = Address::parse("ann@shop.test").unwrap();
        read(format!("{header}\r\nbody\r\n").as_bytes(), "mx.front.test", &author).proof
    }

    #[test]
    fn statements_of_the_front() {
        let statement = |text: &str| format!("Authentication-Results: mx.front.test; {text}\r\n");
        // statement, proof
        let cases = [
            ("dmarc=pass header.from=shop.test", Proof::Proved),
            ("dmarc=pass (p=reject dis=none) header.from=SHOP.test", Proof::Proved),
            ("dkim=pass header.d=shop.test header.s=a", Proof::Proved),
            ("dkim=pass (2048-bit key; unprotected) header.d=shop.test header.i=@shop.test", Proof::Proved),
            ("dkim=pass header.i=@shop.test", Proof::Proved),
            ("spf=pass smtp.mailfrom=ann@shop.test", Proof::Proved),
            ("spf=pass smtp.mailfrom=\"a b\"@shop.test", Proof::Proved),
            ("spf=pass smtp.mailfrom=srs=x@shop.test", Proof::Proved),
            ("spf=pass\r\n\tsmtp.mailfrom=shop.test; dkim=none", Proof::Proved),
            ("spf/1=pass smtp.mailfrom=shop.test", Proof::Proved),
            ("none", Proof::Absent),
            ("spf=none smtp.mailfrom=shop.test; dkim=none", Proof::Absent),
            ("dmarc=pass header.from=other.test", Proof::Absent),
            ("dmarc=pass", Proof::Absent),
            ("arc=pass header.from=shop.test", Proof::Absent),
            ("arc=pass (i=1 spf=pass dkim=pass dkdomain=shop.test dmarc=pass)", Proof::Absent),
            ("dkim=pass header.d=other.test", Proof::Absent),
            ("dkim=pass header.d=evilshop.test", Proof::Absent),
            ("spf=pass smtp.mailfrom=bounces@esp.test", Proof::Absent),
            ("spf=fail smtp.mailfrom=ann@shop.test", Proof::Failed(Method::Spf)),
            ("spf=softfail smtp.mailfrom=ann@shop.test", Proof::Failed(Method::Spf)),
            ("dkim=fail header.d=shop.test", Proof::Failed(Method::Dkim)),
            ("dkim=fail header.d=shop.test; spf=fail smtp.mailfrom=shop.test", Proof::Failed(Method::Several)),
            ("dmarc=fail header.from=shop.test", Proof::Failed(Method::Several)),
            ("dmarc=temperror header.from=shop.test", Proof::Trouble),
            ("dkim=temperror header.d=shop.test; spf=fail smtp.mailfrom=shop.test", Proof::Trouble),
            ("dkim=temperror header.d=shop.test; spf=pass smtp.mailfrom=shop.test", Proof::Proved),
            // a value that tries to be more
            ("spf=none smtp.mailfrom=\"x; dmarc=pass header.from=shop.test\"", Proof::Absent),
            ("spf=none (dmarc=pass header.from=shop.test) smtp.mailfrom=x.test", Proof::Absent),
            ("spf=none reason=\"; dkim=pass header.d=shop.test\"", Proof::Absent),
            // broken grammar: nothing of it is believed
            ("dmarc=pass header.from=shop.test; spf", Proof::Absent),
            ("dmarc=pass header.from=shop.test (", Proof::Absent),
            ("dmarc=pass header.from=shop.test )", Proof::Absent),
            ("dmarc=pass header.from=shop.test \"", Proof::Absent),
            ("dmarc pass header.from=shop.test", Proof::Absent),
            ("dmarc=pass header.from=", Proof::Absent),
        ];
        for (text, want) in cases {
            assert_eq!(proof(&statement(text)), want, "{text}");
        }
    }

    #[test]
    fn only_the_topmost_of_the_named_front() {
        let received = "Received: from x by y; date\r\n";
        let fail = "Authentication-Results: mx.front.test; dmarc=fail header.from=shop.test\r\n";
        let failed = Proof::Failed(Method::Several);
        let cases = [
            (format!("{PASS}{received}"), Proof::Proved),
            (format!("{received}{PASS}{received}"), Proof::Proved),
            (format!("{received}{received}{PASS}"), Proof::Absent),
            (format!("{fail}{PASS}"), failed),
            (format!("{PASS}{fail}"), Proof::Proved),
            (format!("Authentication-Results: (\r\n{PASS}"), Proof::Absent),
            (format!("Authentication-Results: inner.test; none\r\n{PASS}"), Proof::Proved),
            (format!("X: y\r\n{PASS}"), Proof::Proved),
            (PASS.replace("mx.front.test", "MX.Front.Test"), Proof::Proved),
            (PASS.replace("mx.front.test", "mx.front.test 1"), Proof::Proved),
            (PASS.replace("mx.front.test", "mx.front.test 2"), Proof::Absent),
            (PASS.replace("mx.front.test", "mx.front.test.evil.test"), Proof::Absent),
            (PASS.replace("mx.front.test", "other.test"), Proof::Absent),
            (PASS.replace("mx.front.test;", "mx.front.test"), Proof::Absent),
            (PASS.replace("Authentication-Results", "ARC-Authentication-Results: i=1"), Proof::Absent),
            (PASS.replace("Authentication-Results:", "Authentication-Results :"), Proof::Absent),
            (PASS.replace("header", &format!("({})", "(".repeat(50))), Proof::Absent),
            (PASS.replace("; dmarc", &format!("; {} dmarc", "(x)".repeat(10_000))), Proof::Absent),
            ("Subject: x\r\n".to_owned(), Proof::Absent),
        ];
        for (header, want) in cases {
            assert_eq!(proof(&header), want, "{header:.200}");
        }
        // In the body it is text.
        assert_eq!(proof(&format!("Subject: x\r\n\r\n{PASS}")), Proof::Absent);
    }

    proptest::proptest! {
        /// No statement that lacks a passing word for the author's domain proves anything, and none makes it stumble.
        #[test]
        fn any_statement(text in "[ -~]{0,80}", bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            let author = Address::parse("ann@shop.test").unwrap();
            let _ = read(&bytes, "mx.front.test", &author);
            let header = format!("Authentication-Results: mx.front.test; {text}\r\n\r\n");
            let proof = read(header.as_bytes(), "mx.front.test", &author).proof;
            proptest::prop_assert!(proof != Proof::Proved || (text.to_lowercase().contains("pass") && text.contains("shop.test")));
        }
    }
}
