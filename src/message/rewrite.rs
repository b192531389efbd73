//! The message that goes out: a header of our own, and the parts of the one that came in, cleaned.
//!
//! What is not on the allow-list is gone. A part that needs no change keeps its octets; the text that changes is sent as UTF-8. Everything is 7-bit safe and no line is
//! longer than 998 octets. The same order gives the same bytes, so that a retry after a restart sends the same message.

mod enclosed;
mod multipart;

use super::body;
use super::contents::Told;
use super::files::Left;
use super::footer::Footer;
use super::guard::Secrets;
use super::kinds::{is_message, safe_kind};
use super::located::Places;
use super::metadata::Why;
use super::mime::{Part, shown_path};
use super::quoted::Quoting;
use super::replacements::Replacements;
use super::sealed::{self, Wrapping};
use super::text::{encode_name, encode_unstructured, parameter};
use super::transfer::encode_base64;
use super::{Shared, charset, content_id, contents, work, yenc};
use crate::config::{Limits, Metadata};
use crate::policy::LOOP_MARK;
use crate::policy::automatic::{self, Automatic};
use crate::policy::content::Closed;
use crate::types::token::Purpose;
use crate::types::{Alias, Time};
pub(super) use enclosed::message_in_file;
use std::borrow::Cow;

/// What the outgoing message is to be. Ids are without brackets.
#[derive(Clone, Debug)]
pub struct Order<'a> {
    /// Our name, for Received.
    pub hostname: &'a str,
    /// When the message was received.
    pub received: Time,
    /// The message's id as people see it, for Received.
    pub id: String,
    /// The author's name as the receiver sees it, and the alias that stands for the author.
    pub from: (&'a str, &'a Alias),
    /// The name that the author's own program writes; it must not be seen where headers are quoted.
    pub author_name: Option<&'a str>,
    /// The alias that stands for the receiver.
    pub to: &'a Alias,
    /// Its new Message-ID.
    pub message_id: String,
    /// What it answers, by ids that the receiver knows.
    pub in_reply_to: Vec<String>,
    /// The thread before it, by ids that the receiver knows.
    pub references: Vec<String>,
    /// The addresses of both sides.
    pub replacements: &'a Replacements,
    /// The pair's secret for ids in invitations, the same in both directions.
    pub calendar_key: [u8; 32],
    /// Which traces are taken out of files.
    pub metadata: &'a Metadata,
    /// Whose addresses are looked for in files; `None`: nobody's, files stay as they are.
    pub documents: Option<Secrets<'a>>,
    /// Goes under the last words of the person, in each form in which they are there; a message
    /// without any goes without.
    pub footer: Option<Footer>,
    /// What is done about quotes.
    pub quotes: Quoting<'a>,
    /// Depth and number of parts.
    pub limits: &'a Limits,
}

/// The message that goes out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rewritten {
    /// CRLF lines, dots not stuffed.
    pub bytes: Vec<u8>,
    /// Files that may tell something and could not be cleaned.
    pub passed: Vec<Passed>,
    /// Files in which the author's address is left or may be, by the part in which they are.
    pub left: Vec<(String, Left)>,
    /// Where a signature was that did not go out: paths in the message as received.
    pub unsigned: Vec<String>,
}

/// A file that went as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passed {
    /// Where it is in the message as received: `2.1`.
    pub path: String,
    /// What it is, by its first octets.
    pub kind: &'static str,
    /// Why it could not be cleaned.
    pub why: Why,
}

/// Why a message cannot be made safe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unclean {
    /// Parts nested too deep, or too many.
    Limits,
    /// Nobody here can read a part of it.
    Closed(Closed),
    /// It has used up what it may cost: see [`work`].
    Costly,
}

/// Octets that an outgoing message may be longer, for most: header and footers.
const ROOM: usize = 4096;
/// Values of Importance that pass.
const IMPORTANCE: &[&str] = &["high", "normal", "low"];

/// Writes the outgoing message.
///
/// # Errors
/// [`Unclean`] tells why it cannot be.
pub fn rewrite(raw: &[u8], order: &Order<'_>) -> Result<Rewritten, Unclean> {
    rewrite_copy(raw, order, &mut Shared::default())
}

/// [`rewrite`] for one of several receivers; what does not depend on them is done for the first.
///
/// # Errors
/// The same.
pub fn rewrite_copy(raw: &[u8], order: &Order<'_>, shared: &mut Shared) -> Result<Rewritten, Unclean> {
    let top = Part::read(raw, false);
    let mut writer = Writer {
        order,
        out: Vec::with_capacity(raw.len() + ROOM),
        parts: 0,
        places: None,
        inside: 0,
        path: vec![1],
        told: Told::new(shared, order.limits.steps()),
        passed: Vec::new(),
        left: Vec::new(),
        unsigned: Vec::new(),
    };
    writer.envelope_header(&top);
    writer.part(&top, 0, true)?;
    // What was read in part is no message.
    if work::is_over() {
        return Err(Unclean::Costly);
    }
    Ok(Rewritten { bytes: writer.out, passed: writer.passed, left: writer.left, unsigned: writer.unsigned })
}

struct Writer<'a> {
    order: &'a Order<'a>,
    out: Vec<u8>,
    parts: usize,
    /// Places of the parts around the one that is being written.
    places: Option<Places>,
    /// Messages around the part that is being written.
    inside: usize,
    /// Where the part that is being written is in the message as received.
    path: Vec<usize>,
    told: Told<'a>,
    passed: Vec<Passed>,
    left: Vec<(String, Left)>,
    unsigned: Vec<String>,
}

impl Writer<'_> {
    fn line(&mut self, name: &str, value: &str) {
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b": ");
        self.out.extend_from_slice(value.as_bytes());
        self.out.extend_from_slice(b"\r\n");
    }

    /// The message's own header: all of it ours but Subject, Date, Importance and Auto-Submitted.
    fn envelope_header(&mut self, top: &Part<'_>) {
        let order = self.order;
        let received = format!("by {} with ESMTP id {};\r\n {}", order.hostname, order.id, order.received.rfc5322());
        self.line("Received", &received);
        let (name, alias) = order.from;
        let name = encode_name(name, 6);
        let from = if name == "\"\"" { alias.as_str().to_owned() } else { format!("{name}\r\n <{}>", alias.as_str()) };
        self.line("From", &from);
        self.line("To", order.to.as_str());
        self.subject(top);
        self.date(top);
        self.line("Message-ID", &format!("<{}>", order.message_id));
        for (field, ids) in [("In-Reply-To", &order.in_reply_to), ("References", &order.references)] {
            if !ids.is_empty() {
                let ids: Vec<String> = ids.iter().map(|id| format!("<{id}>")).collect();
                self.line(field, &ids.join("\r\n "));
            }
        }
        if let Some(submitted) = submitted(top) {
            self.line("Auto-Submitted", submitted);
        }
        if let Some(importance) = top.field("Importance").map(|f| f.text().to_ascii_lowercase())
            && IMPORTANCE.contains(&importance.as_str())
        {
            self.line("Importance", &importance);
        }
        if let Some(stop) = order.footer.as_ref().and_then(|footer| footer.address(Purpose::Stop)) {
            // RFC 2369 3.2. One click (RFC 8058) needs a web server under https, which the relay is not: mail alone has to do.
            self.line("List-Unsubscribe", &format!("<mailto:{stop}?subject=stop>"));
        }
        self.line(LOOP_MARK, order.to.domain());
        self.line("MIME-Version", "1.0");
    }

    /// Subject and Date: of the message, and of a message inside it.
    fn subject(&mut self, part: &Part<'_>) {
        if let Some(subject) = part.subject() {
            let (before, words) = self.order.quotes.title(&subject).unwrap_or((&subject, ""));
            let subject = format!("{}{words}", self.order.replacements.scrubbed(before));
            if let Quoting::Recorded(record) = self.order.quotes {
                record.title(&subject);
            }
            let subject: String = subject.chars().take(2000).collect();
            self.line("Subject", &encode_unstructured(&subject, 9));
        }
    }

    /// A message has one in any case.
    fn date(&mut self, part: &Part<'_>) {
        let date = part.field("Date").and_then(|field| super::headers::date(&field.text()));
        self.line("Date", &date.unwrap_or(self.order.received).rfc5322());
    }

    /// [`Writer::part`] for the child of this number, counted from one.
    fn child(&mut self, number: usize, part: &Part<'_>, depth: usize, last: bool) -> Result<(), Unclean> {
        self.path.push(number);
        let done = self.part(part, depth, last);
        self.path.pop();
        done
    }

    /// Writes a part's own header and body. Depth is bounded, so that recursion is, too. `last`:
    /// the last words of the person are in it.
    fn part(&mut self, part: &Part<'_>, depth: usize, last: bool) -> Result<(), Unclean> {
        self.parts += 1;
        if depth > self.order.limits.mime_depth || self.parts > self.order.limits.mime_parts {
            return Err(Unclean::Limits);
        }
        if work::is_over() {
            return Err(Unclean::Costly);
        }
        match sealed::look(part) {
            Wrapping::None => {}
            Wrapping::Closed(why) => return Err(Unclean::Closed(why)),
            Wrapping::Opened(opened) => {
                self.unsigned();
                return self.child(1, &Part::read(&opened, false), depth + 1, last);
            }
        }
        match part.kind.value.as_str() {
            "application/ms-tnef" | "application/vnd.ms-tnef" => {
                let Some(opened) = super::tnef::open(&part.decoded()) else {
                    self.removed("winmail.dat");
                    return Ok(());
                };
                self.child(1, &Part::read(&opened, false), depth + 1, last)
            }
            "message/rfc822" | "message/global" => self.message(part, depth),
            _ if is_message(part) => self.message_file(part, depth),
            "text/rfc822-headers" | "message/global-headers" => {
                self.headers(part);
                Ok(())
            }
            _ if part.is("multipart") => self.multipart(part, depth, last),
            // Text by name only: its words are written otherwise.
            "text/rtf" | "text/richtext" if part.decoded().starts_with(b"{\\rtf") => {
                self.file(part);
                Ok(())
            }
            _ if part.is("text") || part.is("message") => self.text(part, last),
            _ => {
                self.file(part);
                Ok(())
            }
        }
    }

    /// `last`: these are the last words of the person.
    fn text(&mut self, part: &Part<'_>, last: bool) -> Result<(), Unclean> {
        let html = part.kind.value == "text/html";
        let last = last && multipart::words(part) > 0;
        let mut bytes = part.decoded();
        let plain = self.told.shared.is_plain(&bytes);
        if !html
            && !plain
            && let Some(uuencoded) = yenc::uuencoded(&bytes)
        {
            bytes = uuencoded.into();
        }
        let author = self.order.replacements.of_author();
        let markup = html || part.kind.value.ends_with("xml") || part.kind.value == "text/css";
        // Apple's programs show texts that are files where they stand.
        let file = match part.disposition.value.as_str() {
            "attachment" => true,
            "inline" => part.file_name().is_some() && !last,
            _ => false,
        };
        let form = charset::Form { file, markup, plain, author };
        let reading = charset::read_for(&bytes, part.kind.get("charset").unwrap_or(""), form);
        let text = &*reading.text;
        // Links first, so that an id that is an address stays the same in them and in the part's field.
        let links = |text: &str| {
            let linked = content_id::replaced(text, html, |id| self.content_id(id));
            let places = self.places.as_ref().filter(|_| html);
            let page = linked.as_deref().unwrap_or(text);
            places.and_then(|places| places.replaced(page, part, |id| self.content_id(id))).or(linked)
        };
        let linked = links(text);
        let words = linked.as_deref().unwrap_or(text);
        self.told.inside = self.inside > 0;
        let cleaned = contents::text(words, &part.kind.value, self.order, &mut self.told)?;
        let mut changed = cleaned.or_else(|| linked.clone());
        self.passed();
        if let Quoting::Recorded(record) = self.order.quotes {
            record.text(changed.as_deref().unwrap_or(text), contents::form(text, &part.kind.value));
            part.file_name().map(|name| contents::file_name(name, self.order));
            return Ok(());
        }
        let (mut under, mut back) = (String::new(), None);
        let footer = self.order.footer.as_ref().filter(|_| last);
        let footer = footer.map(|footer| match self.unsigned.as_slice() {
            [] => Cow::Borrowed(footer),
            _ => Cow::Owned(footer.of_unsigned()),
        });
        if let Some(footer) = &footer {
            let whole = changed.as_deref().unwrap_or(text);
            if html {
                changed = Some(footer.under_html(whole));
            } else {
                under = footer.under_text(whole);
            }
        } else if html && self.order.footer.is_some() && self.inside == 0 && part.disposition.value != "attachment" {
            // Some programs show all pages of a message as one, the footer's among them.
            changed = Some(super::html::page(changed.as_deref().unwrap_or(text), |_| String::new()));
        }
        let may_be_receiver = changed.is_some() && linked.is_none() && footer.is_none() && reading.is_kept();
        let only_receiver = may_be_receiver && contents::only_receiver(words, &part.kind.value, self.order)?;
        if only_receiver {
            // A copy in another charset would be answered in that.
            back = changed.take().and_then(|changed| reading.back(&changed, &bytes));
        }
        let bytes = back.as_deref().unwrap_or(&bytes);
        let mut kind = safe_kind(&part.kind.value, "text/plain");
        let flowed = part.kind.get("format").is_some_and(|f| f.eq_ignore_ascii_case("flowed"));
        let (charset, written) = reading.written(bytes, changed, under, form);
        if let Some(charset) = &charset {
            parameter(&mut kind, "charset", charset);
        }
        if flowed {
            parameter(&mut kind, "format", "flowed");
            if part.kind.get("delsp").is_some_and(|d| d.eq_ignore_ascii_case("yes")) {
                parameter(&mut kind, "delsp", "yes");
            }
        }
        if let Some(method) = part.kind.get("method").filter(|m| m.bytes().all(|b| b.is_ascii_alphabetic())) {
            parameter(&mut kind, "method", method);
        }
        // A body with a name is a body: programs would show it as a file.
        if let Some(name) = part.file_name().filter(|_| !last && part.disposition.value.is_empty()) {
            parameter(&mut kind, "name", &contents::file_name(name, self.order));
        }
        self.line("Content-Type", &kind);
        self.disposition(part);
        self.content_id_field(part);
        body::write(&mut self.out, &written, charset.as_deref().unwrap_or(""));
        Ok(())
    }

    /// A file: what it holds is kept, its traces are not.
    fn file(&mut self, part: &Part<'_>) {
        if matches!(self.order.quotes, Quoting::Recorded(_)) {
            // What goes out of files is no quote; only their names come back.
            part.file_name().map(|name| contents::file_name(name, self.order));
            return;
        }
        self.file_header(part);
        let cleaned = contents::file(part.decoded(), self.order, &mut self.told);
        self.passed();
        encode_base64(&cleaned, &mut self.out);
    }

    /// Keeps in mind which files went as they were.
    fn passed(&mut self) {
        let path = || shown_path(&self.path);
        self.passed.extend(self.told.passed.drain(..).map(|(kind, why)| Passed { path: path(), kind, why }));
        self.left.extend(self.told.left.drain(..).map(|left| (path(), left)));
    }

    /// Keeps in mind that this part lost its signature.
    fn unsigned(&mut self) {
        self.unsigned.push(shown_path(&self.path));
    }

    /// A line in place of what cannot be cleaned.
    fn removed(&mut self, what: &str) {
        let text = format!(
            "[{what}: this attachment cannot be made anonymous and was taken out. Please send the files one by one.]\r\n"
        );
        self.line("Content-Type", "text/plain; charset=us-ascii");
        body::write(&mut self.out, &body::Written::new(text.into(), String::new()), "us-ascii");
    }

    fn disposition(&mut self, part: &Part<'_>) {
        // What programs show where it stands says nothing, and goes on to say nothing.
        let linked = || ["Content-ID", "Content-Location"].iter().any(|name| part.field(name).is_some());
        let shown = || part.is("text") || part.is("image") || linked();
        let value = match part.disposition.value.as_str() {
            "inline" => "inline",
            "" if part.file_name().is_none() || shown() => return,
            _ => "attachment",
        };
        let mut disposition = value.to_owned();
        if let Some(name) = part.file_name() {
            parameter(&mut disposition, "filename", &contents::file_name(name, self.order));
        }
        self.line("Content-Disposition", &disposition);
    }

    fn content_id_field(&mut self, part: &Part<'_>) {
        let id = part.field("Content-ID").map(super::headers::Field::text);
        let id = id.or_else(|| self.places.as_ref().and_then(|places| places.id(part)));
        if let Some(id) = id {
            let id = format!("<{}>", self.content_id(&id));
            self.line("Content-ID", &id);
        }
    }

    /// The id of a part: names a host in many programs, so it is ours. The same one gives the same one.
    fn content_id(&self, id: &str) -> String {
        let id = content_id::bare(id);
        format!("{}@{}", content_id::digest_hex(&format!("{}\0{id}", self.order.message_id)), self.order.to.domain())
    }
}

/// What an answer of a machine says of itself, by whatever mark it was known: in the one way that
/// all programs read, so that the receiver's does not answer it (RFC 3834 5).
fn submitted(top: &Part<'_>) -> Option<&'static str> {
    let headers = top.fields.iter().map(|field| (field.name.as_bytes(), field.value));
    match automatic::classify(headers, "", false) {
        Some(Automatic::Replied | Automatic::Report) => Some("auto-replied"),
        None => None,
        Some(_) => {
            let kind = top.field("Auto-Submitted")?.text();
            (!kind.to_ascii_lowercase().starts_with("no")).then_some("auto-generated")
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
