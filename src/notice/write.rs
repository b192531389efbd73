//! Notices as messages: 7-bit, CRLF, no line over 998 octets; mail-builder does the encoding, every field is ours.

use super::texts::Filled;
use super::{Failed, Frame};
use crate::policy::LOOP_MARK;
use crate::types::{Time, html_escaped};
use mail_builder::MessageBuilder;
use mail_builder::headers::address::Address;
use mail_builder::headers::content_type::ContentType;
use mail_builder::headers::message_id::MessageId;
use mail_builder::headers::raw::Raw;
use mail_builder::headers::text::Text;
use mail_builder::mime::{BodyPart, MimePart};

/// A delivery report, RFC 3462 and RFC 3464: the text for people, and the same for programs.
pub(super) fn report(
    frame: &Frame<'_>,
    filled: &Filled,
    action: &str,
    until: Option<Time>,
    recipients: &[Failed<'_>],
) -> Vec<u8> {
    let mut status = format!("Reporting-MTA: dns; {}\r\nArrival-Date: {}\r\n", frame.domain, frame.received.rfc5322());
    for recipient in recipients {
        status.push_str(&format!(
            "\r\nFinal-Recipient: rfc822; {}\r\nAction: {action}\r\nStatus: {}\r\n",
            recipient.receiver.as_str(),
            recipient.why.status
        ));
        if let Some(until) = until {
            status.push_str(&format!("Will-Retry-Until: {}\r\n", until.rfc5322()));
        }
    }
    let status = MimePart::new("message/delivery-status", BodyPart::Binary(status.into_bytes().into()))
        .transfer_encoding("7bit");
    let kind = ContentType::new("multipart/report")
        .attribute("report-type", "delivery-status")
        .attribute("boundary", boundary(frame, "r"));
    message(frame, filled, MimePart::new(kind, vec![words(frame, filled), status]), REPLIED)
}

/// A notice for people only.
pub(super) fn letter(frame: &Frame<'_>, filled: &Filled) -> Vec<u8> {
    message(frame, filled, words(frame, filled), REPLIED)
}

/// The same where it answers nothing.
pub(super) fn unasked(frame: &Frame<'_>, filled: &Filled) -> Vec<u8> {
    message(frame, filled, words(frame, filled), "auto-generated")
}

/// RFC 3834 5, of what answers a message.
const REPLIED: &str = "auto-replied";

fn message(frame: &Frame<'_>, filled: &Filled, body: MimePart<'_>, submitted: &'static str) -> Vec<u8> {
    let mut builder = MessageBuilder::new()
        .from(Address::new_address(Some(frame.marketplace.to_owned()), format!("postmaster@{}", frame.domain)))
        .to(Address::new_address(None::<String>, frame.to.expose().to_owned()))
        .subject(Text::new(filled.subject.clone()))
        .header("Date", Raw::new(frame.now.rfc5322()))
        .message_id(MessageId::new(frame.message_id.to_owned()))
        .header("MIME-Version", Raw::new("1.0"))
        // RFC 3834 5, and the name that Exchange goes by: nobody's machine is to answer.
        .header("Auto-Submitted", Raw::new(submitted))
        .header("X-Auto-Response-Suppress", Raw::new("All"))
        .header(LOOP_MARK, Raw::new(frame.domain.to_owned()));
    if let Some(id) = frame.original_id.filter(|id| is_message_id(id)) {
        builder = builder.in_reply_to(id.to_owned()).references(id.to_owned());
    }
    let mut out = Vec::with_capacity(4096);
    builder.body(body).serialize(&mut out);
    out
}

pub(super) fn wrapped(
    domain: &str,
    to: &crate::types::Address,
    now: Time,
    (own, id): (crate::types::MessageId, &str),
    raw: &[u8],
) -> Vec<u8> {
    let words = "This came to postmaster or abuse. The mail server that it is forwarded to takes 7-bit mail only,\r\n\
                 so it is attached as it was received.\r\n";
    // No message/rfc822: that may not be encoded (RFC 2046 5.2.1).
    let file = MimePart::new("application/octet-stream", raw).attachment("message.eml");
    let kind = ContentType::new("multipart/mixed").attribute("boundary", format!("=_w_{own}"));
    let builder = MessageBuilder::new()
        .from(Address::new_address(None::<String>, format!("postmaster@{domain}")))
        .to(Address::new_address(None::<String>, to.expose().to_owned()))
        .subject(Text::new("Mail to postmaster or abuse"))
        .header("Date", Raw::new(now.rfc5322()))
        .message_id(MessageId::new(id.to_owned()))
        .header("MIME-Version", Raw::new("1.0"))
        .header("Auto-Submitted", Raw::new("auto-generated"))
        .header(LOOP_MARK, Raw::new(domain.to_owned()));
    let mut out = Vec::with_capacity(raw.len() + raw.len() / 2 + 1024);
    builder.body(MimePart::new(kind, vec![MimePart::new("text/plain", words), file])).serialize(&mut out);
    out
}

/// The text, plain and as HTML.
fn words<'a>(frame: &Frame<'_>, filled: &'a Filled) -> MimePart<'a> {
    let part = |kind: &'static str, text: &str| {
        MimePart::new(ContentType::new(kind).attribute("charset", "utf-8"), text.replace('\n', "\r\n"))
            .language(filled.language.clone())
    };
    let kind = ContentType::new("multipart/alternative").attribute("boundary", boundary(frame, "a"));
    MimePart::new(kind, vec![part("text/plain", &filled.text), part("text/html", &filled.html)])
}

/// A boundary that cannot stand in a base 64 or quoted-printable body, nor begin a line of ours.
fn boundary(frame: &Frame<'_>, which: &str) -> String {
    format!("=_{which}_{}", frame.about)
}

/// Whether a stranger's Message-ID may be written into a header: printable ASCII, one line, no brackets that
/// would begin another.
fn is_message_id(id: &str) -> bool {
    (3..=250).contains(&id.len()) && id.contains('@') && id.bytes().all(|b| b.is_ascii_graphic() && !b"<>".contains(&b))
}

/// A plain text as HTML: paragraphs, and lists where lines begin with `- `.
pub(super) fn html_of(text: &str, language: &str) -> String {
    let mut out = format!(
        "<!DOCTYPE html>\n<html lang=\"{}\"><head><meta charset=\"utf-8\"></head><body>\n",
        html_escaped(language)
    );
    for paragraph in text.split("\n\n").map(str::trim).filter(|paragraph| !paragraph.is_empty()) {
        if paragraph.starts_with("- ") {
            out.push_str("<ul>\n");
            for item in paragraph.lines() {
                out.push_str(&format!("<li>{}</li>\n", html_escaped(item.trim_start_matches("- "))));
            }
            out.push_str("</ul>\n");
        } else {
            out.push_str(&format!("<p>{}</p>\n", html_escaped(paragraph).replace('\n', "<br>\n")));
        }
    }
    out.push_str("</body></html>\n");
    out
}
