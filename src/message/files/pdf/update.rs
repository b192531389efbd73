//! Writing a PDF file anew by an incremental update (ISO 32000-1, 7.5.6): what changes is put
//! behind the file with a table of its own, in the form that the last table has, and nothing else
//! moves.

use super::objects::{entry, integer, skip_space, value_end};
use memchr::memmem;
use std::fmt::Write as _;

/// An object that changes: its new value, with its data if it is a stream.
pub(super) struct New {
    pub(super) number: u32,
    pub(super) generation: u32,
    pub(super) value: Vec<u8>,
}

/// Entries of a trailer that stay.
const KEPT: &[&[u8]] = &[b"/Root", b"/Info", b"/ID"];

/// `file` with these objects. `None`: its last table is not found.
pub(super) fn appended(mut file: Vec<u8>, mut new: Vec<New>) -> Option<Vec<u8>> {
    let last = memmem::rfind(&file, b"startxref")?;
    let at = skip_space(&file, last + 9);
    let digits = file.get(at..)?.iter().take(12).take_while(|b| b.is_ascii_digit()).count();
    let previous: usize = std::str::from_utf8(file.get(at..at + digits)?).ok()?.parse().ok()?;
    let table = file.get(previous..)?;
    let is_stream = !table.starts_with(b"xref");
    let trailer = if is_stream {
        memmem::find(table.get(..64.min(table.len()))?, b"obj")? + 3
    } else {
        memmem::find(table, b"trailer")? + 7
    };
    let start = skip_space(table, trailer);
    let trailer = table.get(start..value_end(table, start)?)?;
    let size = integer(trailer, b"/Size")?;
    let mut kept = Vec::new();
    entry(trailer, b"/Root")?;
    for name in KEPT {
        if let Some(value) = entry(trailer, name) {
            kept.extend_from_slice(name);
            kept.push(b' ');
            kept.extend_from_slice(value);
        }
    }
    new.sort_by_key(|object| object.number);
    if !file.ends_with(b"\n") {
        file.push(b'\n');
    }
    let mut places = Vec::with_capacity(new.len());
    for object in new {
        places.push((object.number, object.generation, file.len()));
        file.extend_from_slice(format!("{} {} obj\n", object.number, object.generation).as_bytes());
        file.extend_from_slice(&object.value);
        file.extend_from_slice(b"\nendobj\n");
    }
    let at = file.len();
    if is_stream {
        table_stream(&mut file, &places, size, &kept, previous)?;
    } else {
        let mut table = String::from("xref\n");
        for (number, generation, at) in &places {
            let _ = write!(table, "{number} 1\n{at:010} {generation:05} n \n");
        }
        let size = places.iter().map(|(number, ..)| *number as usize + 1).max().unwrap_or(0).max(size);
        let _ = write!(table, "trailer\n<</Size {size}/Prev {previous}");
        file.extend_from_slice(table.as_bytes());
        file.extend_from_slice(&kept);
        file.extend_from_slice(b">>\n");
    }
    file.extend_from_slice(format!("startxref\n{at}\n%%EOF\n").as_bytes());
    Some(file)
}

/// The table as a stream (7.5.8), which is an object of its own.
fn table_stream(
    file: &mut Vec<u8>,
    places: &[(u32, u32, usize)],
    size: usize,
    kept: &[u8],
    previous: usize,
) -> Option<()> {
    let highest = places.iter().map(|(number, ..)| *number as usize + 1).max().unwrap_or(0);
    let own = size.max(highest);
    let own_place = (u32::try_from(own).ok()?, 0, file.len());
    let (mut index, mut rows) = (String::new(), Vec::new());
    for (number, generation, at) in places.iter().chain([&own_place]) {
        let _ = write!(index, "{number} 1 ");
        rows.push(1);
        rows.extend_from_slice(&u32::try_from(*at).ok()?.to_be_bytes());
        rows.extend_from_slice(&u16::try_from(*generation).ok()?.to_be_bytes());
    }
    let head = format!(
        "{own} 0 obj\n<</Type/XRef/Size {}/Prev {previous}/W[1 4 2]/Index[{}]/Length {}",
        own + 1,
        index.trim_end(),
        rows.len()
    );
    file.extend_from_slice(head.as_bytes());
    file.extend_from_slice(kept);
    file.extend_from_slice(b">>stream\n");
    file.extend_from_slice(&rows);
    file.extend_from_slice(b"\nendstream\nendobj\n");
    Some(())
}
