//! Office files (ECMA-376, ODF 1.3) are ZIP archives: their property parts are emptied of names,
//! files in them cleaned like files, the other parts copied as they are packed. In an archive of
//! anything, the files are cleaned; that it was one is told, since nobody knows what else is in it.

mod names;

use super::{Budget, Cleaned, Outcome, Why, work};
use crate::config::Metadata;
use crate::message::files::package::{Edit, Kind, Package};

/// Archives and documents in each other.
const DEPTH: usize = 3;

/// Parts that name people, by where they stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// Title, author, company, program.
    Properties,
    /// Text with tracked changes, comments, the list of people.
    Word,
    /// Comments, people, paths, shared workbooks.
    Sheets,
    /// Authors of comments.
    Slides,
    /// Everything of the OpenDocument formats but `meta.xml`.
    OpenDocument,
    /// The template that a text is based on.
    Links,
}

impl Part {
    fn of(name: &[u8], open_document: bool) -> Option<Self> {
        let name = std::str::from_utf8(name).ok()?;
        let (folder, file) = name.rsplit_once('/').unwrap_or(("", name));
        let starts = |with: &[&str]| with.iter().any(|start| file.starts_with(start)) && file.ends_with(".xml");
        let word = ["document", "comments", "people", "footnotes", "endnotes", "header", "footer"];
        match folder {
            "docProps" if starts(&["core", "app", "custom"]) => Some(Self::Properties),
            _ if file == "meta.xml" && (open_document || folder.is_empty()) => Some(Self::Properties),
            _ if open_document => starts(&["content", "styles", "settings"]).then_some(Self::OpenDocument),
            "word" | "word/glossary" if starts(&word) => Some(Self::Word),
            "word/_rels" if file == "settings.xml.rels" => Some(Self::Links),
            "xl" if starts(&["comments", "workbook"]) => Some(Self::Sheets),
            "xl/comments" | "xl/persons" | "xl/revisions" if file.ends_with(".xml") => Some(Self::Sheets),
            "ppt" if starts(&["commentAuthors", "authors"]) => Some(Self::Slides),
            _ => None,
        }
    }
}

/// Whether a part may be a picture or a document of its own: all but the XML of this one.
fn is_file(name: &[u8]) -> bool {
    let ends = |ending: &[u8]| name.get(name.len().saturating_sub(ending.len())..) == Some(ending);
    ![&b".xml"[..], b".rels", b"/", b"mimetype"].iter().any(|ending| ends(ending))
}

pub(super) fn clean(bytes: &[u8], options: &Metadata, budget: &mut Budget<'_>) -> Outcome {
    let package = Package::read(bytes)?;
    let kind = package.kind();
    if kind == Kind::Archive {
        budget.passed = Some(Why::Unsupported);
    }
    if package.is_signed() {
        return Err(Why::Signed);
    }
    let mut edits = vec![Edit::default(); package.entries.len()];
    let mut people = names::People::default();
    for (entry, edit) in package.entries.iter().zip(&mut edits) {
        if work::is_over() {
            return Err(Why::Unsupported);
        }
        let part = Part::of(entry.name, kind == Kind::OpenDocument).filter(|_| kind != Kind::Archive);
        if let Some(part) = part {
            let xml = package.unpack(entry, budget.unpacked)?;
            // UTF-16 is not read.
            let xml = std::str::from_utf8(&xml).map_err(|_| Why::Unsupported)?;
            edit.content = names::clean(xml, part, &mut people).map(String::into_bytes);
        } else if is_file(entry.name) && budget.depth == DEPTH {
            budget.passed = Some(Why::Unsupported);
        } else if is_file(entry.name) {
            budget.depth += 1;
            match package.unpack(entry, budget.unpacked).map(|file| super::clean_inside(&file, options, budget)) {
                Ok(Cleaned::Changed(cleaned)) => edit.content = Some(cleaned),
                Err(Why::Encrypted) => return Err(Why::Encrypted),
                Ok(Cleaned::CannotClean(why)) | Err(why) => budget.passed = Some(why),
                Ok(_) => {}
            }
            budget.depth -= 1;
        }
    }
    if edits.iter().all(|edit| edit.content.is_none()) {
        return Ok(None);
    }
    package.rewritten(edits, None).map(Some)
}
