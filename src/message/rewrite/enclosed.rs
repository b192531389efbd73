//! Messages inside the message: cleaned by the same rules, whatever the part says that it is.

use super::super::contents::{self, Told};
use super::super::files::{Cannot, Left};
use super::super::guard;
use super::super::kinds::safe_kind;
use super::super::mime::Part;
use super::super::quoted::Quoting;
use super::super::text::parameter;
use super::super::transfer::encode_base64;
use super::{Order, Unclean, Writer};

/// A message that is a file in an archive, cleaned like a message in the message. `None`: it cannot
/// be.
pub(in crate::message) fn message_in_file(raw: &[u8], order: &Order<'_>, told: &mut Told<'_>) -> Option<Vec<u8>> {
    // As in every file: the receiver's own address stays.
    let strict = order.replacements.strict();
    let order = Order { replacements: &strict, quotes: Quoting::Ignored, footer: None, ..order.clone() };
    let mut writer = Writer {
        order: &order,
        out: Vec::with_capacity(raw.len()),
        parts: 0,
        places: None,
        inside: 1,
        path: vec![1],
        told: told.of_file(),
        passed: Vec::new(),
        left: Vec::new(),
        unsigned: Vec::new(),
    };
    let written = writer.inner(&Part::read(raw, false), 1);
    let Writer { out, left, told: inner, .. } = writer;
    let (opened, unpacked) = (inner.opened, inner.unpacked);
    (told.opened, told.unpacked) = (opened, unpacked);
    written.ok()?;
    told.left.extend(left.into_iter().map(|(_, left)| left));
    if order.documents.is_some_and(|secrets| guard::check(&out, secrets).is_err()) {
        told.left.push(Left { kind: "message/rfc822", why: Cannot::Unsupported });
    }
    Some(out)
}

impl Writer<'_> {
    /// A message inside the message: cleaned by the same rules.
    pub(super) fn message(&mut self, part: &Part<'_>, depth: usize) -> Result<(), Unclean> {
        let raw = part.decoded();
        let inner = Part::read(&raw, false);
        self.line("Content-Type", "message/rfc822");
        self.disposition(part);
        self.out.extend_from_slice(b"\r\n");
        self.inner(&inner, depth + 1)
    }

    /// The header of a message inside the message, and what it holds.
    fn inner(&mut self, inner: &Part<'_>, depth: usize) -> Result<(), Unclean> {
        self.inner_header(inner);
        self.date(inner);
        self.line("MIME-Version", "1.0");
        self.inside += 1;
        let done = self.child(1, inner, depth, false);
        self.inside -= 1;
        done
    }

    fn inner_header(&mut self, inner: &Part<'_>) {
        if let Some(from) = inner.field("From").and_then(|from| contents::nested_from(&from.text(), self.order)) {
            self.line("From", &from);
        }
        self.subject(inner);
    }

    /// The same in a part that says that it is a file of some other kind: it stays one.
    pub(super) fn message_file(&mut self, part: &Part<'_>, depth: usize) -> Result<(), Unclean> {
        let raw = part.decoded();
        let before = std::mem::take(&mut self.out);
        let done = self.inner(&Part::read(&raw, false), depth + 1);
        let inner = std::mem::replace(&mut self.out, before);
        done?;
        // As in every file. With the words that are given back in it, it is not looked at.
        if !self.order.quotes.shows()
            && self.order.documents.is_some_and(|secrets| guard::check(&inner, secrets).is_err())
        {
            self.told.left.push(Left { kind: "message/rfc822", why: Cannot::Unsupported });
            self.passed();
        }
        self.file_header(part);
        encode_base64(&inner, &mut self.out);
        Ok(())
    }

    /// The header of a part that is a file.
    pub(super) fn file_header(&mut self, part: &Part<'_>) {
        let mut kind = safe_kind(&part.kind.value, "application/octet-stream");
        if let Some(name) = part.file_name() {
            parameter(&mut kind, "name", &contents::file_name(name, self.order));
        }
        self.line("Content-Type", &kind);
        self.disposition(part);
        self.content_id_field(part);
        self.line("Content-Transfer-Encoding", "base64");
        self.out.extend_from_slice(b"\r\n");
    }

    /// The header of a message without it (RFC 6522): what of it a message inside would show.
    pub(super) fn headers(&mut self, part: &Part<'_>) {
        let raw = part.decoded();
        let before = std::mem::take(&mut self.out);
        let inner = Part::read(&raw, false);
        self.inner_header(&inner);
        // What is told of a message need not have one.
        if inner.field("Date").is_some() {
            self.date(&inner);
        }
        let inner = std::mem::replace(&mut self.out, before);
        self.line("Content-Type", "text/rfc822-headers; charset=us-ascii");
        self.disposition(part);
        self.out.extend_from_slice(b"\r\n");
        self.out.extend_from_slice(&inner);
    }
}
