//! `marketrelay message export`: messages as received, for claims. One after another, so that a long history takes no memory.

use super::walk::facts;
use super::which::Which;
use super::{Context, Failure, Outcome};
use crate::store::{Filter, MessageRow, Store};
use crate::types::MessageId;
use clap::{Args, ValueEnum};
use data_encoding::HEXLOWER;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// Rows that are read at once.
const STEP: usize = 500;

/// How messages are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// All in one file, which mail programs open
    Mbox,
    /// A directory: one file a message, octet for octet, and timeline.json with verdicts and deliveries
    Eml,
}

#[derive(Debug, Args)]
pub(super) struct Export {
    #[command(flatten)]
    which: Which,
    /// At most so many, the newest; all if left out
    #[arg(long)]
    limit: Option<usize>,
    /// How they are written
    #[arg(long, value_enum, default_value = "mbox")]
    format: Format,
    /// The new file or directory; for mbox standard output if left out
    #[arg(long, value_name = "FILE|DIR")]
    output: Option<PathBuf>,
}

/// What was written so far.
#[derive(Debug, Default)]
struct Count {
    written: usize,
    missing: usize,
}

impl Export {
    pub(super) fn run(self, context: Context<'_>, store: &Store) -> Outcome {
        let filter = self.which.filter(&context, store)?;
        match (self.format, &self.output) {
            (Format::Eml, None) => Err(Failure::Failed("--format eml needs --output DIR".to_owned())),
            (Format::Eml, Some(directory)) => self.eml(context, store, &filter, directory),
            (Format::Mbox, Some(path)) => {
                let mut file = new_file(path)?;
                let count = self.mbox(store, &filter, &mut file)?;
                file.flush()?;
                tell(context, &count, path)
            }
            (Format::Mbox, None) if !context.out.is_json() => {
                context.out.stream(|out| self.mbox(store, &filter, out).map(drop))
            }
            (Format::Mbox, None) => {
                let mut mbox = Vec::new();
                let count = self.mbox(store, &filter, &mut mbox)?;
                let text = String::from_utf8_lossy(&mbox);
                context.out.done(&json!({ "messages": count.written, "not_kept": count.missing, "mbox": text }), "")
            }
        }
    }

    /// Every message that is meant, oldest first.
    fn each(
        &self,
        store: &Store,
        filter: &Filter,
        mut each: impl FnMut(MessageRow, Option<Vec<u8>>) -> Outcome,
    ) -> Outcome {
        let mut one = |row: MessageRow| {
            let raw = store.read(|view| view.raw(MessageId(row.number)))?;
            each(row, raw)
        };
        if let Some(limit) = self.limit {
            let filter = Filter { limit, ..filter.clone() };
            return store.read(|view| view.messages(&filter))?.into_iter().rev().try_for_each(one);
        }
        let mut after = MessageId(0);
        loop {
            let filter = Filter { limit: STEP, after: Some(after), ..filter.clone() };
            let rows = store.read(|view| view.messages(&filter))?;
            let Some(last) = rows.last() else { return Ok(()) };
            after = MessageId(last.number);
            rows.into_iter().try_for_each(&mut one)?;
        }
    }

    fn mbox(&self, store: &Store, filter: &Filter, out: &mut dyn Write) -> Result<Count, Failure> {
        let mut count = Count::default();
        self.each(store, filter, |row, raw| {
            let Some(raw) = raw else {
                count.missing += 1;
                return Ok(());
            };
            count.written += 1;
            Ok(append(out, &row, &raw)?)
        })?;
        Ok(count)
    }

    fn eml(&self, context: Context<'_>, store: &Store, filter: &Filter, directory: &Path) -> Outcome {
        std::fs::DirBuilder::new().mode(0o700).create(directory).map_err(|error| cannot(directory, &error))?;
        let mut timeline = new_file(&directory.join("timeline.json"))?;
        let mut count = Count::default();
        self.each(store, filter, |row, raw| {
            let name = format!("{}.eml", row.id);
            if let Some(raw) = &raw {
                let mut file = new_file(&directory.join(&name))?;
                file.write_all(raw)?;
                file.flush()?;
            }
            let events = store.read(|view| view.events(MessageId(row.number)))?;
            let facts: serde_json::Map<_, _> =
                facts(&row.facts).into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
            let sum = raw.as_deref().map(|raw| HEXLOWER.encode(&Sha256::digest(raw)));
            let file = raw.is_some().then_some(name);
            let entry = json!({ "message": row, "facts": facts, "events": events, "file": file, "sha256": sum });
            write!(timeline, "{}{entry:#}", if count.written + count.missing == 0 { "[\n" } else { ",\n" })?;
            if raw.is_some() {
                count.written += 1
            } else {
                count.missing += 1
            }
            Ok(())
        })?;
        let empty = count.written + count.missing == 0;
        writeln!(timeline, "{}", if empty { "[]" } else { "\n]" })?;
        timeline.flush()?;
        tell(context, &count, directory)
    }
}

fn tell(context: Context<'_>, count: &Count, to: &Path) -> Outcome {
    let said = format!("{} message(s) written to {}; {} not kept.", count.written, to.display(), count.missing);
    context.out.done(&json!({ "messages": count.written, "not_kept": count.missing, "file": to }), &said)
}

fn cannot(path: &Path, error: &std::io::Error) -> Failure {
    Failure::Failed(format!("cannot make {}: {error}. Name a new one", path.display()))
}

/// What is written is private mail: nobody else may read it.
pub(super) fn new_file(path: &Path) -> Result<BufWriter<File>, Failure> {
    let file = File::options().write(true).create_new(true).mode(0o600).open(path);
    file.map(BufWriter::new).map_err(|error| cannot(path, &error))
}

/// mboxrd: every line that begins with `From `, behind any number of `>`, gets one more.
fn append(mbox: &mut dyn Write, row: &MessageRow, raw: &[u8]) -> std::io::Result<()> {
    write!(mbox, "From marketrelay {}\nX-Marketrelay-Id: {}\n", row.time.asctime(), row.id)?;
    for line in raw.split_inclusive(|byte| *byte == b'\n') {
        let bare = line.strip_suffix(b"\n").unwrap_or(line);
        let bare = bare.strip_suffix(b"\r").unwrap_or(bare);
        let start = bare.iter().position(|byte| *byte != b'>').unwrap_or(bare.len());
        if bare.get(start..).is_some_and(|rest| rest.starts_with(b"From ")) {
            mbox.write_all(b">")?;
        }
        mbox.write_all(bare)?;
        mbox.write_all(b"\n")?;
    }
    mbox.write_all(b"\n")
}
