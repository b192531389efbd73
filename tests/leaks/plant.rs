//! Real addresses put into a message in each of the places where programs write them, in the message's own charsets and transfer encodings.

use data_encoding::BASE64;
use marketrelay::message::mime::{Encoding, Part};
use std::fmt::Write as _;

/// Who is to be found nowhere.
#[derive(Clone, Copy)]
pub struct Canary<'a> {
    pub me: &'a str,
    pub you: &'a str,
}

/// The message with another From, and nothing else changed: an author whom the relay knows.
pub fn from_party(raw: &[u8], me: &str) -> Vec<u8> {
    rewritten(raw, &format!("From: Real Name <{me}>\r\n"), &["from", "sender"], |part| part.body.to_vec())
}

/// Addresses in the header, the texts, the names and the MIME fields. `form` chooses among the ways to write them.
pub fn planted(raw: &[u8], canary: Canary<'_>, form: usize) -> Vec<u8> {
    let Canary { me, you } = canary;
    let mut more = format!(
        "From: \"Real Name\" <{me}>\r\nTo: {you}\r\nCc: \"{you}\" <{you}>, {me}\r\nReply-To: {me}\r\nReturn-Path: <{me}>\r\nX-Real: {me}\r\nX-{}: 1\r\n\
         Message-ID: <1.{me}>\r\nReferences: <{}@mail.home.example> <{me}>\r\nReceived: from home.example ([192.0.2.9]) by mx for <{you}>\r\n\
         X-Originating-Email: [{me}]\r\nDisposition-Notification-To: {me}\r\nThread-Topic: {me}\r\n",
        me.replace('@', "-at-"),
        me.replace('@', "=")
    );
    if form % 5 == 4 {
        // Makes a machine of its author.
        let _ = write!(more, "List-Unsubscribe: <mailto:{me}?subject=x>\r\n");
    }
    let subject = Part::read(raw, false).field("Subject").map(|field| field.text()).unwrap_or_default();
    let subject = if subject.is_ascii() && !subject.contains('\0') { subject } else { String::new() };
    let _ = write!(more, "Subject: {}\r\n {}\r\n", &subject[..subject.len().min(700)], word(me, form));
    let gone = [
        "from",
        "to",
        "cc",
        "reply-to",
        "return-path",
        "message-id",
        "references",
        "subject",
        "sender",
        "thread-topic",
        "disposition-notification-to",
        "list-unsubscribe",
    ];
    rewritten(raw, &more, &gone, |part| body(part, canary, form, 0))
}

/// The message forwarded in another one, with an invitation, a card and texts as files beside it.
pub fn forwarded(raw: &[u8], canary: Canary<'_>, form: usize) -> Vec<u8> {
    let Canary { me, you } = canary;
    let boundary = format!("----={me}");
    let inner = planted(raw, canary, form);
    let file = |kind: &str, name: &str, text: &str| {
        let data = lines(BASE64.encode(text.as_bytes()).as_bytes(), 76);
        let data = String::from_utf8(data).unwrap();
        format!(
            "Content-Type: {kind}\r\nContent-Disposition: attachment{name}\r\nContent-Transfer-Encoding: base64\r\nContent-Description: =?utf-8?B?{}?=\r\n\r\n{data}",
            BASE64.encode(me.as_bytes())
        )
    };
    let calendar = format!(
        "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nMETHOD:REQUEST\r\nPRODID:-//{me}//EN\r\nBEGIN:VEVENT\r\nUID:1-{me}\r\nDTSTART:20261121T090000Z\r\nSUMMARY:Call {you}\r\n\
         ORGANIZER;CN=\"{me}\":MAILTO:{}\r\nATTENDEE;SENT-BY=\"mailto:{me}\":mailto:{}\r\n {}\r\nX-ALT-DESC;FMTTYPE=text/html:<a href=\"mailto:{me}\">x</a>\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n",
        me.to_uppercase(),
        &you[..9],
        &you[9..]
    );
    let card = format!(
        "BEGIN:VCARD\r\nVERSION:3.0\r\nFN:{me}\r\nEMAIL;TYPE=INTERNET:{me}\r\nNOTE:=?x? {you}\r\nX-JABBER:{me}\r\nEND:VCARD\r\n"
    );
    let mut out = format!(
        "From: {me}\r\nSubject: {}\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=\"{boundary}\"\r\n\r\n{me}\r\n--{boundary}\r\n\r\n{}\r\n--{boundary}\r\n\
         Content-Type: message/rfc822{}\r\nContent-Disposition: attachment{}\r\n\r\n",
        word(me, form),
        text(canary, form, true),
        file_name("name", me, form + 1),
        file_name("filename", me, form)
    )
    .into_bytes();
    out.extend_from_slice(&inner);
    for part in [
        file("text/calendar; method=REQUEST", &file_name("filename", me, form + 2), &calendar),
        file("text/vcard", &file_name("filename", me, form + 3), &card),
        file("text/plain; charset=utf-8", &file_name("filename", me, form + 4), &text(canary, form, true)),
        file("text/html; charset=utf-8", &file_name("filename", me, form + 5), &html(canary)),
        file("application/octet-stream", &file_name("filename", me, form + 6), &format!("name;mail\r\nBob;{me}\r\n")),
    ] {
        out.extend_from_slice(format!("\r\n--{boundary}\r\n{part}").as_bytes());
    }
    out.extend_from_slice(format!("\r\n--{boundary}--\r\n{you}\r\n").as_bytes());
    out
}

/// `raw` with other fields, and the body that `body` writes.
fn rewritten(raw: &[u8], fields: &str, gone: &[&str], body: impl Fn(&Part<'_>) -> Vec<u8>) -> Vec<u8> {
    let part = Part::read(raw, false);
    let mut out = fields.as_bytes().to_vec();
    for field in part.fields.iter().filter(|field| !gone.contains(&field.name.to_ascii_lowercase().as_str())) {
        out.extend_from_slice(field.name.as_bytes());
        out.push(b':');
        out.extend_from_slice(field.value);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(&body(&part));
    crlf(&out)
}

/// As SMTP demands it.
pub fn crlf(raw: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(raw.len() + raw.len() / 30);
    let mut last = 0;
    for (at, byte) in raw.iter().copied().enumerate() {
        match byte {
            b'\n' if last == b'\r' => out.push(b'\n'),
            b'\n' => out.extend_from_slice(b"\r\n"),
            b'\r' if raw.get(at + 1) != Some(&b'\n') => out.extend_from_slice(b"\r\n"),
            byte => out.push(byte),
        }
        last = byte;
    }
    if !out.ends_with(b"\n") {
        out.extend_from_slice(b"\r\n");
    }
    out
}

/// A part inside: its own fields, and what is planted there.
fn inside(raw: &[u8], canary: Canary<'_>, form: usize, depth: usize) -> Vec<u8> {
    let part = Part::read(raw, false);
    let me = canary.me;
    let mut fields = String::new();
    let leaf = !part.is("multipart") && !part.is("message");
    let mut gone = vec!["content-description", "content-location"];
    let _ = write!(
        fields,
        "Content-Description: {}\r\nContent-Location: http://{me}/{}\r\n",
        word(me, form + 1),
        me.replace('@', "%40")
    );
    if part.field("Content-ID").is_none() {
        let _ = write!(fields, "Content-ID: <{form}{me}>\r\n");
    }
    if leaf {
        gone.push("content-disposition");
        let value = if part.disposition.value == "inline" { "inline" } else { "attachment" };
        let _ = write!(fields, "Content-Disposition: {value}{}\r\n", file_name("filename", me, form + depth));
    }
    rewritten(raw, &fields, &gone, |part| body(part, canary, form + 1, depth + 1))
}

fn body(part: &Part<'_>, canary: Canary<'_>, form: usize, depth: usize) -> Vec<u8> {
    if depth > 40 {
        return part.body.to_vec();
    }
    if let Some(children) = part.children().filter(|children| !children.is_empty()) {
        // The children lie in the body, in order; what is between them is delimiters.
        let mut out = Vec::new();
        let mut done = 0;
        for (n, child) in children.iter().enumerate() {
            let start = child.as_ptr() as usize - part.body.as_ptr() as usize;
            out.extend_from_slice(&part.body[done..start]);
            out.extend_from_slice(&inside(child, canary, form + n, depth + 1));
            done = start + child.len();
        }
        out.extend_from_slice(&part.body[done..]);
        return [canary.you.as_bytes(), b"\r\n", &out, b"\r\n", canary.me.as_bytes()].concat();
    }
    if part.kind.value == "message/rfc822" {
        return encode(&inside_message(&part.decoded(), canary, form, depth), part.encoding);
    }
    if part.encoding == Encoding::Uuencode || !part.is("text") || part.body.starts_with(b"-----BEGIN PGP") {
        return part.body.to_vec();
    }
    let charset = part.kind.get("charset").unwrap_or("").to_ascii_lowercase();
    let words = if part.kind.value == "text/html" { html(canary) } else { text(canary, form, charset == "utf-8") };
    let words = in_charset(&words, &charset);
    let old = part.decoded();
    // A calendar or card has no room before or behind it.
    let new = match part.kind.value.as_str() {
        "text/calendar" => replace(&old, b"END:VEVENT", format!("X-A:{}\r\nEND:VEVENT", canary.me).as_bytes()),
        "text/vcard" | "text/x-vcard" => {
            replace(&old, b"END:VCARD", format!("X-A:{}\r\nEND:VCARD", canary.me).as_bytes())
        }
        _ if charset.starts_with("utf-16") => [&old[..], &words].concat(),
        _ => [&words[..], b"\r\n", &old[..], b"\r\n", &words].concat(),
    };
    encode(&new, part.encoding)
}

fn inside_message(raw: &[u8], canary: Canary<'_>, form: usize, depth: usize) -> Vec<u8> {
    rewritten(
        raw,
        &format!("From: {}\r\nTo: {}\r\nReceived: for {}\r\n", canary.me, canary.you, canary.me),
        &["from", "to"],
        |part| body(part, canary, form, depth + 1),
    )
}

fn replace(data: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    match memchr::memmem::find(data, from) {
        Some(at) => [&data[..at], to, &data[at + from.len()..]].concat(),
        None => data.to_vec(),
    }
}

/// Encoded words, and what programs write instead.
pub fn word(address: &str, form: usize) -> String {
    let (left, right) = address.split_at(5);
    match form % 7 {
        0 => address.to_owned(),
        1 => format!("=?utf-8?B?{}?=", BASE64.encode(format!(" {address}").as_bytes())),
        2 => format!("=?iso-8859-1?q?_{}?=", address.replace('@', "=40")),
        3 => format!("=?utf-8?Q?_{left}?=\r\n =?utf-8?Q?{right}?="),
        4 => {
            format!("=?iso-2022-jp?B?{}?=", BASE64.encode(b"\x1b$BF|K\\\x1b(B ").replace('=', ""))
                + &format!(" <{}>", address.to_uppercase())
        }
        5 => format!(
            "=?utf-8?B?{}?= =?utf-8?B?{}?=",
            BASE64.encode(format!("({left}").as_bytes()),
            BASE64.encode(right.as_bytes())
        ),
        _ => format!("({})", address.replace('@', "%40")),
    }
}

/// A parameter that names a file, with the address in it.
pub fn file_name(name: &str, address: &str, form: usize) -> String {
    let (left, right) = address.split_at(8);
    match form % 8 {
        0 => format!("; {name}=\"{address}.pdf\""),
        1 => format!("; {name}=\"=?utf-8?B?{}?=\"", BASE64.encode(format!("{address}.pdf").as_bytes())),
        2 => format!("; {name}==?iso-8859-1?Q?{}.txt?=", address.replace('@', "=40")),
        3 => format!(";\r\n {name}*=UTF-8''{}.doc", address.replace('@', "%40")),
        4 => format!(";\r\n {name}*0*=utf-8'en'{left};\r\n {name}*1*={}.jpg", right.replace('@', "%40")),
        5 => format!(";\r\n {name}*1=\"{right}.x\";\r\n {name}*0=\"{left}\""),
        6 => format!("; {name}=invoice_for_{}.pdf", address.replace('@', "%40")),
        _ => format!("; {name}=\"Mail an {address}\""),
    }
}

/// Words that quote both addresses as mail programs do, in any charset that has ASCII.
fn text(canary: Canary<'_>, form: usize, unicode: bool) -> String {
    let Canary { me, you } = canary;
    let (left, right) = me.split_at(me.find('@').unwrap() + 1);
    let (local, domain) = me.split_once('@').unwrap();
    let mut out = format!(
        "On Sat, 21 Nov 2026, Real Name <{me}> wrote:\r\n> From: \"Real Name\" [mailto:{}]\r\n> To: {you}\r\n> Cc: {left}\r\n> {right} and others\r\n\
         mailto:{} {local}+shop@{domain}; ({me})\r\n",
        me.to_uppercase(),
        you.replace('@', "%40")
    );
    if unicode {
        let _ = write!(out, "{}\u{200b}{} {local}\u{ff20}{domain}\r\n", &me[..4], &me[4..]);
    }
    if form.is_multiple_of(3) {
        let _ = write!(out, "-----Original Message-----\r\nFrom: {me}\r\nSent: now\r\nTo: '{you}'\r\n");
    }
    out
}

fn html(canary: Canary<'_>) -> String {
    let Canary { me, you } = canary;
    let (local, domain) = me.split_once('@').unwrap();
    format!(
        "<div id=\"{me}\" title=\"{you}\"><!-- {me} --><b>From:</b> Real Name &lt;<a href=\"mailto:{}\">{me}</a>&gt;<br>{local}&#64;{domain} {local}&commat;{domain} \
         {local}&#x40;{domain} {local}<wbr>@{domain} {local}<b>@</b>{domain} {}&shy;{} <img alt=\"{you}\" src=\"cid:none\"><a href='https://x.test/?u={}'>x</a></div>",
        me.replace('@', "%40"),
        &me[..4],
        &me[4..],
        me.replace('@', "%40")
    )
}

pub fn in_charset(text: &str, charset: &str) -> Vec<u8> {
    match charset {
        "utf-16le" => text.encode_utf16().flat_map(u16::to_le_bytes).collect(),
        _ if charset.starts_with("utf-16") => text.encode_utf16().flat_map(u16::to_be_bytes).collect(),
        "utf-7" | "unicode-1-1-utf-7" => text.replace('+', "+-").replace('@', "+AEA-").into_bytes(),
        _ => encoding_rs::Encoding::for_label(charset.as_bytes())
            .map_or_else(|| text.into(), |e| e.encode(text).0.into_owned()),
    }
}

pub fn encode(data: &[u8], encoding: Encoding) -> Vec<u8> {
    match encoding {
        Encoding::Identity | Encoding::Uuencode => data.to_vec(),
        Encoding::Base64 => lines(BASE64.encode(data).as_bytes(), 72),
        Encoding::QuotedPrintable => {
            let mut out = Vec::new();
            let mut column = 0;
            for (at, byte) in data.iter().copied().enumerate() {
                let newline = byte == b'\n' || byte == b'\r' && data.get(at + 1) == Some(&b'\n');
                if newline {
                    out.push(byte);
                    column = 0;
                    continue;
                }
                // Soft breaks fall into the addresses now and then.
                if column >= 37 {
                    out.extend_from_slice(b"=\r\n");
                    column = 0;
                }
                if byte.is_ascii_alphanumeric()
                    || b" .,-<>/\"'".contains(&byte) && data.get(at + 1).is_some_and(|b| !b"\r\n".contains(b))
                {
                    out.push(byte);
                    column += 1;
                } else {
                    out.extend_from_slice(format!("={byte:02X}").as_bytes());
                    column += 3;
                }
            }
            out
        }
    }
}

fn lines(data: &[u8], width: usize) -> Vec<u8> {
    data.chunks(width).flat_map(|line| [line, b"\r\n"].concat()).collect()
}
