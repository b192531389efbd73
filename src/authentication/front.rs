//! What a front MTA found, from its `Authentication-Results` (RFC 8601). Believed only of one named authserv-id, only in the
//! topmost fields that bear it, and only where the caller knows that the connection came from a
//! trusted network.
//!
//! Several filters of one front write a field each, one upon the other, as OpenDKIM and OpenDMARC
//! do. So a lower field adds methods of which no upper one tells. It ends where a method is told
//! again, where a field says `none`, and where DMARC has failed: no filter of the front's could
//! make that good.
//!
//! Whom that hits: nobody whose front says each thing once. What it tells a liar: where his own
//! field gets through a front that removes none, and that leaves a method out, he is believed. The
//! front MTA has to remove such fields of its own name from what it receives (RFC 8601 5); as a
//! second line, nothing below the second `Received` is looked at: that was there before the front
//! MTA.
//!
//! It says that a signature is good, not what it covers: that is read from the signature itself.
//! Where several fields may be the one that it means, each of them has to prove the author: a
//! forger adds another one of the same domain that covers more. `dmarc=pass` says that SPF or DKIM
//! passed, not which: it counts by what else stands in the field and in the message.

use super::signature::{Header, Signed, Tags, Weakness, digest};
use super::verify::{Check, LONGEST_SIGNATURE, is_related};
use super::{Authentication, Outcome, Results, conclude};
use crate::message::headers::{self, Field};
use crate::policy::author::Proof;
use crate::types::Address;
use crate::types::provider::is_within;

/// Longest field that is read, in octets.
const LONGEST: usize = 16 * 1024;
/// Comments in comments.
const DEEPEST: usize = 8;
/// `DKIM-Signature` fields that are looked at; with more nobody can say which one is meant.
const SIGNATURES: usize = 20;
/// Letters of `header.b` that name a signature (RFC 6008 4).
const NAMING: usize = 8;

/// What the front MTA says of the author. A message without its word is unauthenticated. `check.ip`
/// and `check.helo` do not matter.
#[must_use]
pub fn read(check: &Check<'_>, authserv_id: &str) -> Authentication {
    let (fields, _) = headers::split(check.raw);
    let mut received = 0;
    let mut said: Vec<MethodResult> = Vec::new();
    for field in &fields {
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
        if !statement.authserv_id.eq_ignore_ascii_case(authserv_id) {
            continue;
        }
        let told = |result: &MethodResult| said.iter().any(|known| known.method == result.method);
        if statement.results.iter().any(told) {
            break;
        }
        let failed = |result: &MethodResult| result.method == "dmarc" && result.outcome() == Outcome::Fail;
        let last = statement.results.is_empty() || statement.results.iter().any(failed);
        said.extend(statement.results);
        if last {
            break;
        }
    }
    if said.is_empty() { Authentication::only(Proof::Absent) } else { judge(&said, check, &fields) }
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

    /// A property's value.
    fn value(&self, name: &str) -> Option<&str> {
        self.properties.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The domain of the first of these properties, whose value may be an address.
    fn domain(&self, names: &[&str]) -> Option<String> {
        let value = names.iter().find_map(|name| self.value(name))?;
        Some(value.rsplit_once('@').map_or(value, |(_, domain)| domain).to_ascii_lowercase())
    }
}

fn judge(said: &[MethodResult], check: &Check<'_>, fields: &[Field<'_>]) -> Authentication {
    let domain = check.author.domain();
    let of = |method: &'static str| said.iter().filter(move |result| result.method == method);
    // It speaks for the domain of the From field that the front MTA saw; ours must be the same.
    let is_ours = |result: &&MethodResult| result.domain(&["header.from"]).is_some_and(|of| of == domain);
    let dmarc = of("dmarc").rfind(is_ours).map_or(Outcome::None, MethodResult::outcome);
    let near = |one: &str, other: &str| is_within(one, other) || is_within(other, one);
    let spf = of("spf").find(|result| result.domain(&["smtp.mailfrom", "smtp.helo"]).is_some());
    let mail_from = spf.and_then(|spf| spf.value("smtp.mailfrom")).and_then(|text| Address::parse(text).ok());

    let signatures = Signatures::new(check, fields);
    // A sister domain may be a stranger's: `evil.co.jp` is to `shop.co.jp` what `mail.shop.test`
    // is to `news.shop.test`. So it counts only where all that DMARC may have passed by is one
    // family. Whom it hits: who signs by the author's domain and sends by a sister of it; the
    // former proves him. A liar could otherwise send a signed message again, and prove by his own
    // domain what that signature does not cover.
    let told = of("dkim").filter(|result| result.outcome() == Outcome::Pass);
    let told = told.filter_map(|result| result.domain(&["header.d", "header.i"]));
    let sent = spf.filter(|spf| spf.outcome() == Outcome::Pass).and_then(|spf| spf_domain(spf, check));
    let family: Vec<String> = told
        .take(SIGNATURES)
        .chain(sent)
        .chain(signatures.all.iter().map(|tags| tags.domain.clone()))
        .filter(|of| is_related(of, domain))
        .collect();
    let one = !signatures.too_many && family.iter().all(|of| family.iter().all(|other| near(of, other)));
    let speaks =
        |of: &str| of == domain || (dmarc == Outcome::Pass && (near(of, domain) || (one && is_related(of, domain))));

    let mut signed: Vec<(Signed, bool)> = Vec::new();
    for result in of("dkim") {
        if let Some(of) = result.domain(&["header.d", "header.i"]).filter(|of| speaks(of)) {
            let (exact, means) = (of == domain, |tags: &Tags| is_meant(result, &of, tags));
            let found = signatures.weigh(result.outcome(), means);
            signed.push((found.unwrap_or_else(|| missing(result.outcome())), exact));
        }
    }
    if dmarc == Outcome::Pass && of("dkim").next().is_none() {
        // It does not say by which: by any that is there.
        let means = |tags: &Tags| near(&tags.domain, domain);
        let exact = signatures.all.iter().filter(|tags| means(tags)).all(|tags| tags.domain == domain);
        signed.extend(signatures.weigh(Outcome::Pass, means).map(|signed| (signed, exact)));
    }
    for (signed, exact) in &mut signed {
        if check.provider && !*exact {
            signed.weakness = signed.weakness.or(Some(Weakness::SubDomain));
        }
    }
    let bad = |outcome: &Outcome| !matches!(outcome, Outcome::Pass | Outcome::TempError | Outcome::None);
    let spf_speaks = spf.filter(|spf| spf_domain(spf, check).is_some_and(|of| speaks(&of)));
    let results = Results {
        spf: spf_speaks.map_or(Outcome::None, MethodResult::outcome),
        dkim: signed.iter().filter(|(_, exact)| *exact).map(|(s, _)| s.outcome).find(bad).unwrap_or_default(),
        dmarc: match dmarc {
            // By a signature that is no proof: as if there were nothing to prove it by.
            Outcome::Pass => Outcome::None,
            other => other,
        },
    };
    Authentication {
        spf: spf.map_or(Outcome::None, MethodResult::outcome),
        dkim: of("dkim").map(MethodResult::outcome).collect(),
        dmarc,
        mail_from,
        ..Authentication::only(conclude(results))
    }
    .with_signed(signed.into_iter().map(|(signed, _)| signed).collect())
}

/// The domain that SPF spoke of. Where it names the domain alone, or the EHLO name, the envelope
/// sender has to be of it, or `<>`.
fn spf_domain(spf: &MethodResult, check: &Check<'_>) -> Option<String> {
    let of = spf.domain(&["smtp.mailfrom", "smtp.helo"])?;
    let whole = spf.value("smtp.mailfrom").is_some_and(|value| value.contains('@'));
    let fits = whole || check.sender.is_none_or(|sender| sender.domain() == of);
    fits.then_some(of)
}

/// Whether a result may mean this signature, by the properties that it has.
fn is_meant(result: &MethodResult, of: &str, tags: &Tags) -> bool {
    let named = match result.value("header.d") {
        Some(_) => tags.domain == of,
        None => tags.domain == of || is_within(of, &tags.domain),
    };
    let selector = result.value("header.s").is_none_or(|name| name.eq_ignore_ascii_case(&tags.selector));
    let start = result.value("header.b").filter(|start| start.len() >= NAMING);
    named && selector && start.is_none_or(|start| tags.value.starts_with(start))
}

/// The signatures of a message, as they are written.
struct Signatures<'a> {
    all: Vec<Tags>,
    /// So many, or so long, that none is read.
    too_many: bool,
    header: Header<'a>,
}

impl<'a> Signatures<'a> {
    fn new(check: &Check<'a>, fields: &'a [Field<'a>]) -> Self {
        let own = || fields.iter().filter(|field| field.is("DKIM-Signature"));
        let too_many = own().count() > SIGNATURES || own().any(|field| field.value.len() > LONGEST_SIGNATURE);
        let all = if too_many { Vec::new() } else { own().map(|field| Tags::read(field.value)).collect() };
        Self { all, too_many, header: Header::new(fields, check.recipients, check.now) }
    }

    /// What is proved by one signature, which is one of those that are meant: what each of them
    /// proves.
    fn weigh(&self, outcome: Outcome, is_meant: impl Fn(&Tags) -> bool) -> Option<Signed> {
        let mut meant = self.all.iter().filter(|tags| is_meant(tags));
        let mut signed = self.one(outcome, meant.next()?);
        for tags in meant {
            let other = self.one(outcome, tags);
            signed.weakness = signed.weakness.or(other.weakness);
            signed.names.retain(|name| other.names.contains(name));
            signed.values.extend(other.values);
            signed.identities.extend(other.identities);
        }
        Some(signed)
    }

    fn one(&self, outcome: Outcome, tags: &Tags) -> Signed {
        let value = data_encoding::BASE64.decode(tags.value.as_bytes()).ok();
        let unread = if value.is_none() { Some(Weakness::Malformed) } else { None };
        Signed {
            outcome,
            weakness: unread.or_else(|| self.header.weakness(tags)),
            names: self.header.names(tags),
            values: value.iter().map(|value| digest(value)).collect(),
            identities: tags.mailbox().into_iter().collect(),
        }
    }
}

/// A signature that is told of, and not there.
fn missing(outcome: Outcome) -> Signed {
    let weakness = Some(Weakness::Missing);
    Signed { outcome, weakness, names: Vec::new(), values: Vec::new(), identities: Vec::new() }
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
    use crate::types::Time;

    const PASS: &str = "Authentication-Results: mx.front.test; spf=pass smtp.mailfrom=ann@shop.test\r\n";
    const ALIAS: &str = "bq7k@m.test";

    /// What the front's word proves of Ann to the alias, with more fields below it.
    fn found(header: &str) -> Authentication {
        let (author, recipients) = (Address::parse("ann@shop.test").unwrap(), [Address::parse(ALIAS).unwrap()]);
        let raw = format!("{header}\r\nbody\r\n");
        let check = Check {
            raw: raw.as_bytes(),
            ip: [192, 0, 2, 1].into(),
            helo: "",
            sender: Some(&author),
            author: &author,
            recipients: &recipients,
            now: Time(1_795_000_000_000),
            provider: false,
        };
        read(&check, "mx.front.test")
    }

    fn proof(header: &str) -> Proof {
        found(header).proof_to(&Address::parse(ALIAS).unwrap())
    }

    /// A signature by `tags`, and the fields that it may cover.
    fn signed(tags: &str) -> String {
        format!("DKIM-Signature: v=1; a=rsa-sha256; {tags}; bh=AAAA\r\nTo: bq7k@m.test\r\n")
    }

    const GOOD: &str = "d=shop.test; s=a; h=from:to:subject; t=1794990000; b=QUJDREVGR0g=";

    #[test]
    fn statements_of_the_front() {
        let statement = |text: &str| format!("Authentication-Results: mx.front.test; {text}\r\n");
        // statement, proof
        let cases = [
            ("dmarc=pass header.from=shop.test", Proof::Proved),
            ("dmarc=pass (p=reject dis=none) header.from=SHOP.test", Proof::Proved),
            ("dkim=pass header.d=shop.test header.s=a", Proof::Proved),
            ("dkim=pass header.d=shop.test header.s=other", Proof::Absent),
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
            assert_eq!(proof(&(statement(text) + &signed(GOOD))), want, "{text}");
        }
    }

    /// That a signature is good says nothing of what it covers.
    #[test]
    fn a_signature_has_to_cover_what_is_read() {
        let dkim = "dkim=pass header.d=shop.test";
        let weak = GOOD.replace(":to", "");
        let cases: Vec<(&str, String, Proof, Option<&str>)> = vec![
            (dkim, signed(GOOD), Proof::Proved, None),
            (dkim, signed(&weak), Proof::Absent, Some("no-to")),
            (dkim, signed(&GOOD.replace(":subject", "")), Proof::Absent, Some("no-subject")),
            (dkim, signed(&GOOD.replace("from:", "")), Proof::Absent, Some("no-from")),
            (dkim, signed(&GOOD.replace("179499", "178499")), Proof::Absent, Some("old")),
            (dkim, signed(&format!("{GOOD}; l=5")), Proof::Absent, Some("l-tag")),
            (dkim, signed(&format!("{GOOD}; l=0")), Proof::Absent, Some("l-tag")),
            (dkim, signed(&format!("{GOOD}; h=from:to:subject")), Proof::Absent, Some("malformed")),
            (dkim, signed(GOOD).replace("To: bq7k", "To: other"), Proof::Absent, Some("not-to-you")),
            (
                dkim,
                signed(GOOD).replace("To: bq7k@m.test", "To: \"bq7k@m.test\" <x@evil.test>"),
                Proof::Absent,
                Some("not-to-you"),
            ),
            (dkim, String::new(), Proof::Absent, Some("missing")),
            (dkim, signed(&GOOD.replace("d=shop", "d=evil")), Proof::Absent, Some("missing")),
            // two of the domain, and nobody says which one passed: a forger writes the better one
            // himself
            (dkim, signed(GOOD) + &signed(&weak), Proof::Absent, Some("no-to")),
            (dkim, signed(&weak) + &signed(GOOD), Proof::Absent, Some("no-to")),
            (dkim, signed(GOOD) + &signed(&GOOD.replace("s=a", "s=b")), Proof::Proved, None),
            // by its selector or its value it is known
            (
                "dkim=pass header.d=shop.test header.s=a",
                signed(GOOD) + &signed(&weak.replace("s=a", "s=b")),
                Proof::Proved,
                None,
            ),
            (
                "dkim=pass header.d=shop.test header.s=b",
                signed(GOOD) + &signed(&weak.replace("s=a", "s=b")),
                Proof::Absent,
                Some("no-to"),
            ),
            (
                "dkim=pass header.d=shop.test header.b=QUJDREVG",
                signed(GOOD) + &signed(&weak.replace("QUJD", "WFla")),
                Proof::Proved,
                None,
            ),
            (
                "dkim=pass header.d=shop.test header.b=WFlaREVG",
                signed(GOOD) + &signed(&weak.replace("QUJD", "WFla")),
                Proof::Absent,
                Some("no-to"),
            ),
            (
                "dkim=pass header.d=shop.test header.b=QUJDREVG",
                signed(GOOD) + &signed(&weak),
                Proof::Absent,
                Some("no-to"),
            ),
            (
                "dkim=pass header.d=shop.test header.b=QU",
                signed(GOOD) + &signed(&weak.replace("QUJD", "WFla")),
                Proof::Absent,
                Some("no-to"),
            ),
            ("dkim=pass header.d=shop.test header.b=XXXXXXXX", signed(GOOD), Proof::Absent, Some("missing")),
            (
                "dkim=fail header.d=shop.test header.s=a; dkim=pass header.d=shop.test header.s=b",
                signed(&GOOD.replace("s=a", "s=b")),
                Proof::Proved,
                None,
            ),
            // below the domain: by DMARC's word
            ("dkim=pass header.d=mail.shop.test", signed(&GOOD.replace("d=", "d=mail.")), Proof::Absent, None),
            (
                "dkim=pass header.d=mail.shop.test; dmarc=pass header.from=shop.test",
                signed(&GOOD.replace("d=", "d=mail.")),
                Proof::Proved,
                None,
            ),
            // by which, DMARC does not say
            ("dmarc=pass header.from=shop.test", signed(GOOD), Proof::Proved, None),
            ("dmarc=pass header.from=shop.test", signed(&weak), Proof::Absent, Some("no-to")),
            ("dmarc=pass header.from=shop.test", String::new(), Proof::Absent, None),
            (
                "dmarc=pass header.from=shop.test; dkim=fail header.d=shop.test",
                signed(GOOD),
                Proof::Failed(Method::Dkim),
                None,
            ),
            (
                "dmarc=pass header.from=shop.test; spf=pass smtp.mailfrom=ann@shop.test",
                signed(&weak),
                Proof::Proved,
                Some("no-to"),
            ),
            (
                "dmarc=pass header.from=shop.test; spf=pass smtp.mailfrom=ann@mail.shop.test",
                String::new(),
                Proof::Proved,
                None,
            ),
            ("dmarc=pass header.from=shop.test; spf=pass smtp.mailfrom=x@esp.test", String::new(), Proof::Absent, None),
            (
                "dmarc=pass header.from=shop.test; spf=fail smtp.mailfrom=ann@shop.test",
                signed(&weak),
                Proof::Failed(Method::Spf),
                Some("no-to"),
            ),
            ("dmarc=pass header.from=shop.test; spf=pass smtp.helo=shop.test", String::new(), Proof::Proved, None),
            ("spf=pass smtp.helo=other.test", String::new(), Proof::Absent, None),
        ];
        for (text, more, want, weakness) in cases {
            let header = format!("Authentication-Results: mx.front.test; {text}\r\n{more}");
            let (found, alias) = (found(&header), Address::parse(ALIAS).unwrap());
            let told = found.weakness_to(&alias).map(Weakness::as_str);
            let told = told.filter(|_| found.by(&alias) != crate::policy::author::By::Signature);
            assert_eq!((found.proof_to(&alias), told), (want, weakness), "{header}");
        }
        // The value of each that may be meant is told, so that a further one does not make a
        // message new.
        let two = format!("Authentication-Results: mx.front.test; {dkim}\r\n")
            + &signed(GOOD)
            + &signed(&GOOD.replace("QUJD", "WFla"));
        assert_eq!(found(&two).signatures.len(), 2);
        let many = signed(GOOD).repeat(SIGNATURES + 1);
        assert_eq!(proof(&format!("Authentication-Results: mx.front.test; {dkim}\r\n{many}")), Proof::Absent);
    }

    /// Two names under `co.jp` are two companies, and DMARC's pass may be by the other one's
    /// signature.
    #[test]
    fn a_sister_domain_may_be_a_strangers() {
        let ann = Address::parse("ann@shop.co.jp").unwrap();
        let recipients = [Address::parse(ALIAS).unwrap()];
        let own = "d=shop.co.jp; s=a; h=from:subject; t=1794990000; b=QUJDREVGR0g=";
        let evil = "d=evil.co.jp; s=a; h=from:to:subject; t=1794990000; b=WFlaREVGR0g=";
        let signature = |tags: &str| format!("DKIM-Signature: v=1; a=rsa-sha256; {tags}; bh=AAAA\r\n");
        let passed = "dmarc=pass header.from=shop.co.jp";
        let by_evil = "dkim=pass header.d=evil.co.jp";
        // what the front says, signatures, envelope sender, what is proved
        let cases: Vec<(String, String, &str, bool)> = vec![
            (
                format!("dkim=pass header.d=shop.co.jp; {by_evil}; {passed}"),
                signature(own) + &signature(evil),
                "x@evil.co.jp",
                false,
            ),
            // A front that tells of one signature only.
            (format!("{by_evil}; {passed}"), signature(own) + &signature(evil), "x@evil.co.jp", false),
            (format!("spf=pass smtp.mailfrom=x@evil.co.jp; {passed}"), signature(own), "x@evil.co.jp", false),
            (
                format!("spf=pass smtp.helo=evil.co.jp; dkim=pass header.d=shop.co.jp; {passed}"),
                signature(own),
                "",
                false,
            ),
            (
                format!("spf=pass smtp.mailfrom=x@mail.shop.co.jp; {by_evil}; {passed}"),
                signature(evil),
                "x@mail.shop.co.jp",
                true,
            ),
            (
                format!("spf=pass smtp.mailfrom=x@other.co.jp; {by_evil}; {passed}"),
                signature(evil),
                "x@other.co.jp",
                false,
            ),
            (
                format!("{by_evil}; {passed}"),
                signature("d=co.jp") + &signature(own) + &signature(evil),
                "x@evil.co.jp",
                false,
            ),
            (
                format!("spf=pass smtp.mailfrom=x@evil.co.jp; {by_evil}; {passed}"),
                signature(evil),
                "x@evil.co.jp",
                true,
            ),
            // Nothing else can be what DMARC means: it is of the author's organisation.
            (format!("{by_evil}; {passed}"), signature(evil), "x@esp.test", true),
            (by_evil.to_owned(), signature(evil), "x@esp.test", false),
        ];
        for (text, signatures, sender, proved) in cases {
            let to = format!("To: {ALIAS}\r\n\r\nbody\r\n");
            let raw = format!("Authentication-Results: mx.front.test; {text}\r\n{signatures}{to}");
            let sender = Address::parse(sender).ok();
            let (ip, now) = ([192, 0, 2, 1].into(), Time(1_795_000_000_000));
            let (author, sender) = (&ann, sender.as_ref());
            let check = |provider| {
                let (raw, recipients) = (raw.as_bytes(), &recipients[..]);
                Check { raw, ip, helo: "", sender, author, recipients, now, provider }
            };
            let proof = |provider| read(&check(provider), "mx.front.test").proof_to(&recipients[0]);
            assert_eq!(proof(false) == Proof::Proved, proved, "{raw}");
            let by_spf = text.contains("spf=pass");
            assert_eq!(proof(true) == Proof::Proved, proved && by_spf, "strangers have mailboxes there: {raw}");
        }
    }

    /// Where strangers have mailboxes, a sub-domain's signature is not the domain's, whichever way
    /// the front tells of it.
    #[test]
    fn a_sub_domain_of_a_provider_says_nothing() {
        let (author, recipients) = (Address::parse("ann@shop.test").unwrap(), [Address::parse(ALIAS).unwrap()]);
        for (domain, proved) in [("shop.test", true), ("evil.shop.test", false)] {
            let header = signed(&GOOD.replace("shop.test", domain));
            let raw =
                format!("Authentication-Results: mx.front.test; dmarc=pass header.from=shop.test\r\n{header}\r\n");
            let (raw, ip, now) = (raw.as_bytes(), [192, 0, 2, 1].into(), Time(1_795_000_000_000));
            let (author, recipients) = (&author, &recipients[..]);
            let check = Check { raw, ip, helo: "", sender: None, author, recipients, now, provider: true };
            let proof = read(&check, "mx.front.test").proof_to(&recipients[0]);
            assert_eq!(proof == Proof::Proved, proved, "{domain}");
        }
    }

    #[test]
    fn only_the_topmost_of_the_named_front() {
        let received = "Received: from x by y; date\r\n";
        let fail = "Authentication-Results: mx.front.test; dmarc=fail header.from=shop.test\r\n";
        let failed = Proof::Failed(Method::Several);
        let by = |what: &str| format!("Authentication-Results: mx.front.test; {what}\r\n");
        let by_dmarc = by("dmarc=pass (p=none dis=none) header.from=shop.test");
        let (by_spf, by_dkim) = (by("spf=pass smtp.mailfrom=shop.test"), by("dkim=none"));
        let cases = [
            (format!("{PASS}{received}"), Proof::Proved),
            (format!("{received}{PASS}{received}"), Proof::Proved),
            (format!("{received}{received}{PASS}"), Proof::Absent),
            (format!("{fail}{PASS}"), failed),
            (format!("{PASS}{fail}"), Proof::Proved),
            // A field for each filter, as OpenDMARC and OpenDKIM write them.
            (format!("{received}{by_dmarc}{by_spf}{by_dkim}{received}"), Proof::Proved),
            (format!("{by_dkim}DKIM-Filter: x\r\n{by_spf}{by_dmarc}"), Proof::Proved),
            (format!("{by_dmarc}{by_dkim}"), Proof::Absent),
            (format!("{by_dkim}{}", by_spf.replace("pass", "fail")), Proof::Failed(Method::Spf)),
            (format!("{}{by_spf}", by_dmarc.replace("pass", "none")), Proof::Proved),
            // What comes behind a method that is told again, or a failure, is somebody else's.
            (format!("{}{by_dkim}{PASS}", by_spf.replace("pass", "fail")), Proof::Failed(Method::Spf)),
            (format!("{fail}{by_spf}"), failed),
            (format!("Authentication-Results: mx.front.test; none\r\n{PASS}"), Proof::Absent),
            (format!("{by_dkim}Authentication-Results: mx.front.test; (\r\n{by_spf}"), Proof::Absent),
            (format!("{received}{by_dkim}{received}{by_spf}"), Proof::Absent),
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
            (PASS.replace("smtp.", &format!("({})", "(".repeat(50))), Proof::Absent),
            (PASS.replace("; spf", &format!("; {} spf", "(x)".repeat(10_000))), Proof::Absent),
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
            let _ = found(&String::from_utf8_lossy(&bytes));
            let proof = proof(&format!("Authentication-Results: mx.front.test; {text}\r\n{}", signed(GOOD)));
            proptest::prop_assert!(proof != Proof::Proved || (text.to_lowercase().contains("pass") && text.contains("shop.test")));
        }
    }
}
