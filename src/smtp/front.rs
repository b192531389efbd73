//! What a front MTA in a trusted network says of the client behind it: XCLIENT (a balancer, nginx)
//! for all that follows, XFORWARD (Postfix) for the next message.
//!
//! Both are Postfix's (XCLIENT_README, XFORWARD_README). Postfix itself sends XFORWARD only, and
//! means it for logs; SPF needs to know the client, so we believe it where we believe XCLIENT. Both
//! are believed of the connection, as Postfix does: Haraka says XCLIENT again for each message. So
//! a balancer that hands its clients' commands on as they come must not be trusted with them: each
//! client could say whose mail it is. It uses the PROXY protocol, where the client is trusted by
//! its own address. Not here: who is trusted (`server`), or when the commands may come (`session`).

use super::command::{client_name, syntax};
use crate::types::{Client, Reply};
use std::net::IpAddr;

/// What XCLIENT or XFORWARD tells of the client behind a front MTA. `None` is what they do not say,
/// or do not know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Xclient {
    /// `ADDR=`.
    pub ip: Option<IpAddr>,
    /// `HELO=`.
    pub helo: Option<String>,
}

/// The front MTA's own address and name, while the session's client is the one whose message it
/// forwards.
#[derive(Clone, Debug, Default)]
pub(super) struct Front(Option<(IpAddr, String)>);

impl Front {
    /// The session is another client's from now on.
    pub(super) fn xclient(&mut self, client: &mut Client, found: Xclient) {
        self.end_of_message(client);
        client.ip = found.ip.unwrap_or(client.ip);
        client.helo = found.helo.unwrap_or_else(|| std::mem::take(&mut client.helo));
        client.login = None;
    }

    /// The next message is another client's. It may be told in several commands, each with some of
    /// the attributes.
    pub(super) fn xforward(&mut self, client: &mut Client, found: Xclient) {
        if self.0.is_none() {
            // What is not said is not known: least of all is it the front's own name.
            self.0 = Some((client.ip, std::mem::take(&mut client.helo)));
        }
        client.ip = found.ip.unwrap_or(client.ip);
        client.helo = found.helo.unwrap_or_else(|| std::mem::take(&mut client.helo));
    }

    /// The message has gone, or will not come: the front speaks for itself again, so that no
    /// message is taken for that of the client before.
    pub(super) fn end_of_message(&mut self, client: &mut Client) {
        if let Some((ip, helo)) = self.0.take() {
            (client.ip, client.helo) = (ip, helo);
        }
    }
}

/// Reads the attributes of either command.
///
/// # Errors
/// The reply to give.
pub(super) fn parse(rest: &str) -> Result<Xclient, Reply> {
    if rest.is_empty() {
        return Err(syntax("Syntax: name=value ..."));
    }
    let mut found = Xclient::default();
    for attribute in rest.split_ascii_whitespace() {
        let (name, value) = attribute.split_once('=').ok_or_else(|| syntax("Syntax: name=value ..."))?;
        let value = xtext(value).ok_or_else(|| syntax("Bad xtext"))?;
        let unknown = matches!(value.to_ascii_uppercase().as_str(), "[UNAVAILABLE]" | "[TEMPUNAVAIL]");
        match name.to_ascii_uppercase().as_str() {
            "ADDR" if !unknown => {
                let text = value
                    .get(..5)
                    .filter(|p| p.eq_ignore_ascii_case("IPV6:"))
                    .map_or(&*value, |_| value.get(5..).unwrap_or(""));
                found.ip = Some(text.parse().map_err(|_| syntax("Bad ADDR"))?);
            }
            "HELO" if !unknown => found.helo = Some(client_name(&value)?),
            "ADDR" | "HELO" | "NAME" | "PORT" | "PROTO" | "LOGIN" | "DESTADDR" | "DESTPORT" | "REVERSE_NAME"
            | "IDENT" | "SOURCE" => {}
            _ => return Err(syntax("Unknown attribute")),
        }
    }
    Ok(found)
}

/// Decodes xtext, RFC 3461 4.
fn xtext(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'+' {
            let digits = [bytes.next()?, bytes.next()?];
            out.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
        } else {
            out.push(byte);
        }
    }
    String::from_utf8(out).ok()
}
