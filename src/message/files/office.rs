//! Documents of Office and OpenDocument, and ZIP archives of anything: addresses in the XML of
//! their parts, in the files in them, in names and comments.

use super::package::{Edit, Kind, Package};
use super::{Cannot, DEPTH, Look, markup, member};
use crate::message::charset::change_untold;
use crate::message::contents::{Told, file_name};
use crate::message::guard::{Secrets, in_file};
use crate::message::quoted::Quoting;
use crate::message::rewrite::Order;
use crate::message::scrub;
use crate::message::work;
use std::collections::HashSet;

/// Marks of a document that is protected against changes, and the parts in which they stand
/// (ECMA-376 part 1: 17.15.1.29, 17.15.1.93, 18.2.29, 19.2.1.19).
const LOCKS: &[(&[u8], &str)] = &[
    (b"word/settings.xml", "<w:documentProtection "),
    (b"word/settings.xml", "<w:writeProtection "),
    (b"xl/workbook.xml", "<workbookProtection"),
    (b"xl/workbook.xml", "<fileSharing "),
    (b"ppt/presentation.xml", "<p:modifyVerifier"),
];

pub(super) fn look(bytes: &[u8], order: &Order<'_>, secrets: Secrets<'_>, told: &mut Told<'_>) -> Look {
    let package = match Package::read(bytes) {
        Ok(package) => package,
        Err(why) => return Look { changed: None, left: Some(why.into()) },
    };
    let kind = package.kind();
    let mut sealed = package.is_signed().then_some(Cannot::Signed);
    let mut edits = vec![Edit::default(); package.entries.len()];
    let (mut left, before) = (None, told.left.len());
    for (entry, edit) in package.entries.iter().zip(&mut edits) {
        if work::is_over() {
            break;
        }
        if entry.name.ends_with(b"/") {
            continue;
        }
        let content = match package.unpack(entry, &mut told.opened) {
            Ok(content) => content,
            Err(why) => {
                left = left.or(Some(why.into()));
                continue;
            }
        };
        let is_part = kind != Kind::Archive && is_markup(entry.name);
        if let Some(xml) = std::str::from_utf8(&content).ok().filter(|_| is_part) {
            if LOCKS.iter().any(|(part, mark)| entry.name == *part && xml.contains(mark) && !is_off(xml, mark)) {
                sealed = sealed.or(Some(Cannot::Locked));
            }
            edit.content = markup::clean(xml, order.replacements.of_author()).map(String::into_bytes);
            let now = edit.content.as_deref().unwrap_or(&content);
            if in_file(now, secrets) {
                left = Some(Cannot::Unsupported);
            }
        } else if told.depth >= DEPTH {
            left = left.or(Some(Cannot::Unread));
        } else {
            edit.content = member(&String::from_utf8_lossy(entry.name), &content, order, told);
        }
    }
    if kind == Kind::Archive {
        rename(&package, order, &mut edits);
    }
    let found = told.left.split_off(before);
    left = found.iter().map(|left| left.why).chain(left).min_by_key(|why| *why == Cannot::Unread);
    // Names, comments of entries and fields that nobody shows.
    let strict = order.replacements.of_author();
    let comment = package.comment();
    let scrubbed = scrub::scrub(&comment, false, strict);
    let in_directory = in_file(package.directory, secrets) || scrubbed.is_some();
    let changes = in_directory || edits.iter().any(|edit| edit.content.is_some() || edit.name.is_some());
    if !changes || work::is_over() {
        return Look { changed: None, left };
    }
    if sealed.is_some() {
        return Look { changed: None, left: sealed };
    }
    let comment = scrubbed.as_deref().unwrap_or(&comment);
    match package.rewritten(edits, Some(comment).filter(|comment| !comment.is_empty())) {
        Ok(changed) => Look { changed: Some(changed), left },
        Err(_) => Look { changed: None, left: Some(Cannot::Unsupported) },
    }
}

/// Parts that are XML.
fn is_markup(name: &[u8]) -> bool {
    [&b".xml"[..], b".rels", b".vml", b".rdf"].iter().any(|ending| name.ends_with(ending))
}

/// Whether a lock is written and not in force: programs write empty ones.
fn is_off(xml: &str, mark: &str) -> bool {
    let tag = xml.split(mark).nth(1).and_then(|rest| rest.split('>').next()).unwrap_or("");
    let is_on = |name: &str| ["1", "true", "on"].iter().any(|on| tag.contains(&format!("{name}=\"{on}\"")));
    let has_password = || ["assword", "hashValue", "w:hash"].iter().any(|name| tag.contains(name));
    match mark {
        "<w:documentProtection " => !is_on("enforcement"),
        "<workbookProtection" => {
            !["lockStructure", "lockWindows", "lockRevision"].into_iter().any(is_on) && !has_password()
        }
        "<fileSharing " => !has_password(),
        _ => false,
    }
}

/// Names of files in an archive. What would be there twice gets a number.
fn rename(package: &Package<'_>, order: &Order<'_>, edits: &mut [Edit]) {
    let strict = order.replacements.strict();
    let order = Order { replacements: &strict, quotes: Quoting::Ignored, ..order.clone() };
    let mut taken: HashSet<Vec<u8>> = package.entries.iter().map(|entry| entry.name.to_vec()).collect();
    let steps = |name: &str| {
        let scrubbed = name.split('/').map(|step| file_name(step, &order)).collect::<Vec<_>>().join("/");
        (scrubbed != name).then_some(scrubbed)
    };
    for (n, (entry, edit)) in package.entries.iter().zip(edits).enumerate() {
        work::pack(entry.name.len());
        let Some(mut name) = change_untold(entry.name, steps) else { continue };
        if taken.contains(&name) {
            let dot = name.iter().rposition(|byte| *byte == b'.').unwrap_or(name.len());
            name.splice(dot..dot, format!(" ({n})").into_bytes());
        }
        taken.insert(name.clone());
        edit.name = Some(name);
    }
}
