//! What commands print: one JSON document, or a table or sentence for people.

use super::{Failure, Outcome};
use crate::types::is_steering;
use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;
use std::io::Write;

/// Standard output, in the one form or the other.
pub(super) struct Output<'a> {
    out: &'a mut dyn Write,
    json: bool,
}

impl<'a> Output<'a> {
    pub(super) fn new(out: &'a mut dyn Write, json: bool) -> Self {
        Self { out, json }
    }

    pub(super) fn is_json(&self) -> bool {
        self.json
    }

    /// Octets as they are.
    pub(super) fn raw(self, bytes: &[u8]) -> Outcome {
        ok_if_closed(self.out.write_all(bytes).and_then(|()| self.out.flush()))
    }

    /// A text as it is, or a document with it under `key`.
    pub(super) fn text(self, key: &str, text: &[u8]) -> Outcome {
        if !self.json {
            return self.raw(text);
        }
        self.done(&serde_json::json!({ key: String::from_utf8_lossy(text) }), "")
    }

    /// Octets that are too many to be held at once.
    pub(super) fn stream(self, write: impl FnOnce(&mut dyn Write) -> Outcome) -> Outcome {
        let mut pipe = Pipe { out: self.out, closed: false };
        let mut out = std::io::BufWriter::with_capacity(1 << 16, &mut pipe);
        let result = write(&mut out).and_then(|()| Ok(out.flush()?));
        drop(out);
        if pipe.closed { Ok(()) } else { result }
    }

    /// A document, or a sentence.
    pub(super) fn done(self, document: &impl Serialize, sentence: &str) -> Outcome {
        let text = if self.json { json(document)? } else { format!("{}\n", plain(sentence, true)) };
        self.raw(text.as_bytes())
    }

    /// A document, or a table with what there is to say when it is empty.
    pub(super) fn table(
        self,
        document: &impl Serialize,
        head: &[&str],
        rows: Vec<Vec<String>>,
        empty: &str,
    ) -> Outcome {
        if self.json || rows.is_empty() {
            return self.done(document, empty);
        }
        let text = format!("{}\n", table(head, rows));
        self.raw(text.as_bytes())
    }

    /// A line on the way, for people.
    pub(super) fn line(&mut self, text: &str) -> Outcome {
        ok_if_closed(writeln!(self.out, "{}", plain(text, true)).and_then(|()| self.out.flush()))
    }
}

/// Remembers whether the other end has gone.
struct Pipe<'a> {
    out: &'a mut dyn Write,
    closed: bool,
}

impl Write for Pipe<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.out.write(bytes);
        self.closed |= written.as_ref().is_err_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe);
        written
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.out.flush()
    }
}

/// A table that fits the terminal.
pub(super) fn table(head: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(head);
    for row in rows {
        table.add_row(row.iter().map(|cell| plain(cell, false)));
    }
    table.to_string().lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

fn json(document: &impl Serialize) -> Result<String, Failure> {
    match serde_json::to_string_pretty(document) {
        Ok(text) => Ok(text + "\n"),
        Err(error) => Err(Failure::Failed(error.to_string())),
    }
}

/// Text that cannot steer a terminal.
fn plain(text: &str, lines: bool) -> String {
    let steer = |c: char| is_steering(c) && !(lines && c == '\n');
    text.chars().map(|c| if steer(c) { '\u{fffd}' } else { c }).collect()
}

/// `marketrelay … | head` closes the pipe early: that is not a failure.
fn ok_if_closed(result: std::io::Result<()>) -> Outcome {
    match result {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// `yes` or `no`.
pub(super) fn yes(value: bool) -> String {
    if value { "yes" } else { "no" }.to_owned()
}
