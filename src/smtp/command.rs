//! Command lines, RFC 5321 4.1: one line in, a command or the reply that refuses it out. Syntax only.
//!
//! Not here: whether the command fits the session (`session`), or who the recipient is (the [`Handler`](super::Handler)).

use super::front::{self, Xclient};
use crate::types::{Address, Reply};

/// A command, parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// EHLO with the client's name.
    Ehlo(String),
    /// HELO with the client's name.
    Helo(String),
    /// MAIL FROM.
    Mail(Mail),
    /// RCPT TO.
    Rcpt(Recipient),
    /// DATA.
    Data,
    /// RSET.
    Rset,
    /// NOOP.
    Noop,
    /// VRFY.
    Vrfy,
    /// HELP.
    Help,
    /// QUIT.
    Quit,
    /// STARTTLS.
    StartTls,
    /// AUTH with its mechanism, and the initial response if there is one (RFC 4954 4).
    Auth(String, Option<String>),
    /// XCLIENT with what it says of the client, who begins anew.
    Xclient(Xclient),
    /// XFORWARD with what it says of the next message's client.
    Xforward(Xclient),
    /// A web browser, or somebody who makes one talk to us.
    Http,
}

/// MAIL FROM and its parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mail {
    /// `None` is `<>`.
    pub sender: Option<Address>,
    /// `SIZE=`, RFC 1870.
    pub size: Option<u64>,
    /// `BODY=8BITMIME`, RFC 6152.
    pub eight_bit: bool,
    /// `SMTPUTF8`, RFC 6531.
    pub utf8: bool,
    /// `AUTH=`, RFC 4954 5. What it says is believed by nobody.
    pub auth: bool,
}

/// RCPT TO.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recipient {
    /// A mailbox.
    Address(Address),
    /// `<Postmaster>` without a domain, RFC 5321 4.5.1.
    Postmaster,
}

pub(super) fn syntax(text: &'static str) -> Reply {
    Reply::new(501, 5, 4, text)
}

/// Reads a command line, its CRLF taken off. `line` may hold any octets.
///
/// # Errors
/// The reply to give.
pub fn parse(line: &[u8]) -> Result<Command, Reply> {
    let text = std::str::from_utf8(line).map_err(|_| Reply::new(500, 5, 2, "Octets outside UTF-8 in a command"))?;
    if text.chars().any(|c| c.is_control() && c != '\t') {
        return Err(Reply::new(500, 5, 2, "Control characters in a command"));
    }
    let (verb, rest) = text.split_once([' ', '\t']).unwrap_or((text, ""));
    let rest = rest.trim_matches([' ', '\t']);
    let verb = verb.to_ascii_uppercase();
    let path_command = matches!(verb.as_str(), "MAIL" | "RCPT");
    if !path_command && !text.is_ascii() {
        return Err(Reply::new(500, 5, 2, "Octets outside ASCII in a command"));
    }
    match verb.as_str() {
        "EHLO" => Ok(Command::Ehlo(client_name(rest)?)),
        "HELO" => Ok(Command::Helo(client_name(rest)?)),
        "MAIL" => mail(rest),
        "RCPT" => rcpt(rest),
        "DATA" => bare(rest, Command::Data),
        "RSET" => bare(rest, Command::Rset),
        "QUIT" => bare(rest, Command::Quit),
        "STARTTLS" => bare(rest, Command::StartTls),
        "NOOP" => Ok(Command::Noop),
        "HELP" => Ok(Command::Help),
        "VRFY" if rest.is_empty() => Err(syntax("VRFY needs an address")),
        "VRFY" => Ok(Command::Vrfy),
        "XCLIENT" => front::parse(rest).map(Command::Xclient),
        "XFORWARD" => front::parse(rest).map(Command::Xforward),
        "AUTH" => auth(rest),
        "EXPN" | "BDAT" | "ETRN" | "TURN" | "SEND" | "SOML" | "SAML" => {
            Err(Reply::new(502, 5, 1, "Command not implemented"))
        }
        "GET" | "POST" | "PUT" | "CONNECT" | "OPTIONS" | "HEAD" => Ok(Command::Http),
        _ => Err(Reply::new(500, 5, 2, "Command not recognised")),
    }
}

fn bare(rest: &str, command: Command) -> Result<Command, Reply> {
    if rest.is_empty() { Ok(command) } else { Err(syntax("This command takes no argument")) }
}

/// `AUTH mechanism [initial-response]`, RFC 4954 4.
fn auth(rest: &str) -> Result<Command, Reply> {
    let mut words = rest.split_ascii_whitespace();
    let (mechanism, initial, more) = (words.next(), words.next(), words.next());
    match (mechanism, more) {
        (Some(mechanism), None) if mechanism.len() <= 20 => {
            Ok(Command::Auth(mechanism.to_owned(), initial.map(str::to_owned)))
        }
        (Some(_), None) => Err(Reply::new(504, 5, 4, "Authentication mechanism not offered")),
        _ => Err(syntax("Syntax: AUTH mechanism [initial-response]")),
    }
}

/// The argument of EHLO: any one word, kept short. What it says is believed by nobody.
pub(super) fn client_name(rest: &str) -> Result<String, Reply> {
    let ok = !rest.is_empty() && rest.len() <= 255 && rest.bytes().all(|b| b.is_ascii_graphic());
    if ok { Ok(rest.to_owned()) } else { Err(syntax("Give your host name, one word of at most 255 characters")) }
}

fn strip_keyword<'a>(rest: &'a str, keyword: &str) -> Option<&'a str> {
    let (head, tail) = rest.split_at_checked(keyword.len())?;
    head.eq_ignore_ascii_case(keyword).then(|| tail.trim_start_matches([' ', '\t']))
}

fn mail(rest: &str) -> Result<Command, Reply> {
    let rest = strip_keyword(rest, "FROM:").ok_or_else(|| syntax("Syntax: MAIL FROM:<address> [parameters]"))?;
    let (path, parameters) = split_path(rest).ok_or_else(|| syntax("Syntax: MAIL FROM:<address> [parameters]"))?;
    let sender = if path.is_empty() { None } else { Some(mailbox(path, 7)?) };
    let mut mail = Mail { sender, size: None, eight_bit: false, utf8: false, auth: false };
    let mut seen: Vec<String> = Vec::new();
    for parameter in parameters.split_ascii_whitespace() {
        let (name, value) = parameter.split_once('=').map_or((parameter, None), |(n, v)| (n, Some(v)));
        let name = name.to_ascii_uppercase();
        // Two servers in a row would believe one each. No mail program writes a parameter twice;
        // who does learns what is wrong, and nothing of us.
        if seen.contains(&name) {
            return Err(syntax("A MAIL parameter stands twice"));
        }
        match (name.as_str(), value) {
            ("SIZE", Some(value)) if (1..=20).contains(&value.len()) && value.bytes().all(|b| b.is_ascii_digit()) => {
                mail.size = Some(value.parse().unwrap_or(u64::MAX));
            }
            ("BODY", Some(value)) if value.eq_ignore_ascii_case("8BITMIME") => mail.eight_bit = true,
            ("BODY", Some(value)) if value.eq_ignore_ascii_case("7BIT") => mail.eight_bit = false,
            ("SMTPUTF8", None) => mail.utf8 = true,
            ("AUTH", Some(value)) if !value.is_empty() => mail.auth = true,
            ("SIZE" | "BODY" | "SMTPUTF8" | "AUTH", _) => return Err(syntax("Bad value of a MAIL parameter")),
            _ => return Err(Reply::new(555, 5, 4, "MAIL parameter not recognised")),
        }
        seen.push(name);
    }
    if !mail.utf8 && mail.sender.as_ref().is_some_and(|a| !a.is_ascii()) {
        return Err(Reply::new(553, 6, 7, "An address outside ASCII needs SMTPUTF8"));
    }
    Ok(Command::Mail(mail))
}

fn rcpt(rest: &str) -> Result<Command, Reply> {
    let rest = strip_keyword(rest, "TO:").ok_or_else(|| syntax("Syntax: RCPT TO:<address>"))?;
    let (path, parameters) = split_path(rest).ok_or_else(|| syntax("Syntax: RCPT TO:<address>"))?;
    if !parameters.is_empty() {
        return Err(Reply::new(555, 5, 4, "RCPT parameter not recognised"));
    }
    if path.eq_ignore_ascii_case("postmaster") {
        return Ok(Command::Rcpt(Recipient::Postmaster));
    }
    Ok(Command::Rcpt(Recipient::Address(mailbox(path, 3)?)))
}

/// Splits `<path> parameters` at the closing bracket that no quotes enclose.
fn split_path(rest: &str) -> Option<(&str, &str)> {
    let inner = rest.strip_prefix('<')?;
    let (mut quoted, mut escaped) = (false, false);
    for (at, c) in inner.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '>' if !quoted => {
                let (path, tail) = (inner.get(..at)?, inner.get(at + 1..)?);
                let spaced = tail.is_empty() || tail.starts_with([' ', '\t']);
                return spaced.then(|| (path, tail.trim_matches([' ', '\t'])));
            }
            _ => {}
        }
    }
    None
}

/// A mailbox, a source route before it ignored (RFC 5321 4.1.1.3). `detail` is 5.1.DETAIL of the refusal.
fn mailbox(path: &str, detail: u16) -> Result<Address, Reply> {
    let path = match path.strip_prefix('@') {
        Some(route) => route.split_once(':').map_or("", |(_, mailbox)| mailbox),
        None => path,
    };
    Address::parse(path).map_err(|_| Reply::new(553, 1, detail, "Bad address syntax"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts() {
        let address = |text: &str| Address::parse(text).unwrap();
        let mail = |sender: Option<&str>, size, eight_bit, utf8| {
            Command::Mail(Mail { sender: sender.map(address), size, eight_bit, utf8, auth: false })
        };
        let rcpt = |text| Command::Rcpt(Recipient::Address(address(text)));
        let cases = [
            ("ehlo a.test", Command::Ehlo("a.test".into())),
            ("EHLO [192.0.2.1] ", Command::Ehlo("[192.0.2.1]".into())),
            ("MAIL FROM:<>", mail(None, None, false, false)),
            ("mail from: <a@b.test> size=10 BODY=8BITMIME", mail(Some("a@b.test"), Some(10), true, false)),
            ("MAIL FROM:<ä@b.test> SMTPUTF8", mail(Some("ä@b.test"), None, false, true)),
            ("MAIL FROM:<a@b.test> SIZE=99999999999999999999", mail(Some("a@b.test"), Some(u64::MAX), false, false)),
            ("RCPT TO:<@x.test,@y.test:a@b.test>", rcpt("a@b.test")),
            ("RCPT TO:<\"a>b\"@b.test>", rcpt("\"a>b\"@b.test")),
            ("RCPT TO:<user%other.test@b.test>", rcpt("user%other.test@b.test")),
            ("RCPT TO:<a..b.@docomo.ne.jp>", rcpt("\"a..b.\"@docomo.ne.jp")),
            ("RCPT TO:<\"a..b.\"@docomo.ne.jp>", rcpt("\"a..b.\"@docomo.ne.jp")),
            ("MAIL FROM:<.a.@docomo.ne.jp>", mail(Some("\".a.\"@docomo.ne.jp"), None, false, false)),
            ("RCPT TO:<PostMaster>", Command::Rcpt(Recipient::Postmaster)),
            ("NOOP anything", Command::Noop),
            ("auth PLAIN", Command::Auth("PLAIN".into(), None)),
            ("AUTH Login =", Command::Auth("Login".into(), Some("=".into()))),
            ("GET / HTTP/1.1", Command::Http),
            (
                "XFORWARD ADDR=192.0.2.9 HELO=[UNAVAILABLE] SOURCE=REMOTE",
                Command::Xforward(Xclient { ip: Some("192.0.2.9".parse().unwrap()), helo: None }),
            ),
            (
                "XCLIENT ADDR=IPV6:2001:db8::1 NAME=[UNAVAILABLE] HELO=a+2Db",
                Command::Xclient(Xclient { ip: Some("2001:db8::1".parse().unwrap()), helo: Some("a-b".into()) }),
            ),
        ];
        for (line, want) in cases {
            assert_eq!(parse(line.as_bytes()), Ok(want), "{line}");
        }
    }

    #[test]
    fn refuses() {
        let cases: &[(&[u8], &str)] = &[
            (b"", "500 5.5.2"),
            (b"FOO", "500 5.5.2"),
            (b"MAIL FROM:<a@b.test>\0", "500 5.5.2"),
            (b"EHLO \xff", "500 5.5.2"),
            ("EHLO ä".as_bytes(), "500 5.5.2"),
            (b"EHLO", "501 5.5.4"),
            (b"EHLO a b", "501 5.5.4"),
            (b"DATA now", "501 5.5.4"),
            (b"MAIL a@b.test", "501 5.5.4"),
            (b"MAIL FROM:a@b.test", "501 5.5.4"),
            (b"MAIL FROM:<a@b.test", "501 5.5.4"),
            (b"MAIL FROM:<a@b.test>SIZE=1", "501 5.5.4"),
            (b"MAIL FROM:<a@b.test> SIZE=x", "501 5.5.4"),
            (b"MAIL FROM:<a@b.test> SIZE=", "501 5.5.4"),
            (b"MAIL FROM:<a@b.test> AUTH=<> auth=<>", "501 5.5.4"),
            (b"MAIL FROM:<a@b.test> RET=HDRS", "555 5.5.4"),
            (b"MAIL FROM:<a b@c.test>", "553 5.1.7"),
            ("MAIL FROM:<ä@b.test>".as_bytes(), "553 5.6.7"),
            (b"RCPT TO:<>", "553 5.1.3"),
            (b"RCPT TO:<a@b.test> NOTIFY=NEVER", "555 5.5.4"),
            (b"RCPT TO:<host!user>", "553 5.1.3"),
            (b"RCPT TO:<@x.test>", "553 5.1.3"),
            (b"BDAT 10", "502 5.5.1"),
            (b"AUTH", "501 5.5.4"),
            (b"AUTH a b c", "501 5.5.4"),
            (b"AUTH xxxxxxxxxxxxxxxxxxxxx", "504 5.5.4"),
            (b"MAIL FROM:<a@b.test> AUTH=", "501 5.5.4"),
            (b"MAIL FROM:<a@b.test> AUTH", "501 5.5.4"),
            (b"XCLIENT ADDR=1.2.3", "501 5.5.4"),
            (b"XCLIENT FOO=1", "501 5.5.4"),
            (b"XFORWARD ADDR=x", "501 5.5.4"),
            (b"XFORWARD", "501 5.5.4"),
        ];
        for (line, want) in cases {
            let reply = parse(line).expect_err(&String::from_utf8_lossy(line));
            assert!(reply.wire().starts_with(want), "{}: {}", String::from_utf8_lossy(line), reply.wire());
        }
    }

    proptest::proptest! {
        #[test]
        fn any_octets_get_an_answer(line in proptest::collection::vec(proptest::num::u8::ANY, 0..80)) {
            let _ = parse(&line);
        }

        #[test]
        fn mail_and_rcpt_survive_anything(tail in "\\PC{0,40}", verb in "(MAIL FROM|RCPT TO):<?") {
            let _ = parse(format!("{verb}{tail}").as_bytes());
        }
    }
}
