//! MP4 and QuickTime (ISO 14496-12): place, device, program and moments are overwritten where they stand, so that no offset moves; tracks that are neither
//! seen, heard nor read (places along the way, what the device felt) go with their samples. How the picture is turned is in the tracks' matrix, which stays.

use super::heif::{Box4, boxes, covered};
use super::{Order, Outcome, Why, place, work};

/// Boxes at the top that stay. Free space is where makers put what has no place elsewhere.
const TOP: &[&[u8; 4]] = &[b"ftyp", b"moov", b"mdat", b"pdin", b"sidx"];
/// Boxes within a movie that are opened.
const OPENED: &[&[u8; 4]] = &[b"trak", b"mdia", b"minf", b"stbl"];
/// Boxes within a movie that tell something.
const TOLD: &[&[u8; 4]] = &[b"udta", b"meta", b"uuid", b"free", b"skip", b"name"];
/// Tracks that somebody sees, hears or reads.
const TRACKS: &[&[u8]] = &[b"vide", b"soun", b"text", b"sbtl", b"subt", b"clcp"];

/// A file that begins without a brand.
pub(super) fn clean_old(bytes: &[u8]) -> Outcome {
    let top = boxes(bytes, 0, bytes.len());
    match top.iter().any(|part| part.kind == *b"moov") {
        true => clean(bytes, &top),
        false => Ok(None),
    }
}

pub(super) fn clean(bytes: &[u8], top: &[Box4]) -> Outcome {
    // A video in pieces, as it is streamed, says in each of them where its samples are.
    if top.iter().any(|part| part.kind == *b"moof") || !top.iter().any(|part| part.kind == *b"moov") {
        return Err(Why::Unsupported);
    }
    let mut out = covered(bytes, top)?.to_vec();
    for part in top {
        match &part.kind {
            b"moov" => clean_movie(bytes, part, &mut out)?,
            b"wide" => {}
            kind if !TOP.contains(&kind) => part.empty(&mut out)?,
            _ => {}
        }
    }
    Ok(Some(out))
}

/// Cleans the movie in `moov`, and its samples, wherever they are.
pub(super) fn clean_movie(bytes: &[u8], moov: &Box4, out: &mut [u8]) -> Result<(), Why> {
    let mut open = vec![(*moov, *b"\0\0\0\0")];
    // Samples may be told twice in a file that wants to cost time.
    let mut budget = bytes.len();
    while let Some((around, mut track)) = open.pop() {
        let inner = boxes(bytes, around.start, around.end);
        // QuickTime ends some lists with a zero.
        if inner.last().map_or(around.start, |last| last.end) + 4 < around.end {
            return Err(Why::Damaged);
        }
        if let Some(handler) = inner.iter().find(|part| part.kind == *b"hdlr" && around.kind == *b"mdia") {
            let kind = bytes.get(handler.start + 8..handler.start + 12).ok_or(Why::Damaged)?;
            track.copy_from_slice(kind);
        }
        for part in inner {
            let mut zero = |from: usize, to: usize| {
                let range = part.start + from..(part.start + to).min(part.end);
                out.get_mut(range).into_iter().for_each(|place| place.fill(0));
            };
            match &part.kind {
                b"cmov" | b"mvex" => return Err(Why::Unsupported),
                // Made and changed; the wider form says so in its first octet.
                b"mvhd" | b"tkhd" | b"mdhd" => zero(4, if bytes.get(part.start) == Some(&1) { 20 } else { 12 }),
                // Behind the handler's kind: its maker and its name.
                b"hdlr" => zero(12, usize::MAX - part.start),
                b"stsd" if matches!(&track, b"vide" | b"soun") => encoders(bytes, &part, track == *b"vide", out)?,
                b"trak" if !is_kept(bytes, &part) => {
                    samples(bytes, &part, out, &mut budget)?;
                    part.empty(out)?;
                }
                kind if TOLD.contains(&kind) => part.empty(out)?,
                kind if OPENED.contains(&kind) => open.push((part, track)),
                _ => {}
            }
        }
    }
    Ok(())
}

/// The box at this path inside `around`.
fn find(bytes: &[u8], around: &Box4, path: &[&[u8; 4]]) -> Option<Box4> {
    path.iter().try_fold(*around, |around, kind| {
        boxes(bytes, around.start, around.end).into_iter().find(|part| part.kind == **kind)
    })
}

fn is_kept(bytes: &[u8], track: &Box4) -> bool {
    let handler = find(bytes, track, &[b"mdia", b"hdlr"]);
    let kind = handler.and_then(|handler| bytes.get(handler.start + 8..handler.start + 12));
    kind.is_some_and(|kind| TRACKS.contains(&kind))
}

/// Who wrote the encoder (`vendor`), and its name: cameras put theirs there.
fn encoders(bytes: &[u8], list: &Box4, is_picture: bool, out: &mut [u8]) -> Result<(), Why> {
    for entry in boxes(bytes, list.start + 8, list.end) {
        let mut zero = |from: usize, to: usize| {
            let place = out.get_mut(entry.start + from..entry.start + to).filter(|_| entry.start + to <= entry.end);
            place.map(|place| place.fill(0)).ok_or(Why::Damaged)
        };
        zero(12, 16)?;
        if is_picture {
            zero(42, 74)?;
        }
    }
    Ok(())
}

/// Puts zeros where the samples of a track are (ISO 14496-12, 8.7).
fn samples(bytes: &[u8], track: &Box4, out: &mut [u8], budget: &mut usize) -> Result<(), Why> {
    let Some(table) = find(bytes, track, &[b"mdia", b"minf", b"stbl"]) else { return Ok(()) };
    let read = |at: usize, width: usize| place(bytes, at, width, Order::Big).ok_or(Why::Damaged);
    let (Some(sizes), Some(runs)) = (find(bytes, &table, &[b"stsz"]), find(bytes, &table, &[b"stsc"])) else {
        // Sizes of four bits are nobody's.
        return Err(Why::Unsupported);
    };
    let (chunks, width) = match (find(bytes, &table, &[b"stco"]), find(bytes, &table, &[b"co64"])) {
        (Some(chunks), _) => (chunks, 4),
        (None, Some(chunks)) => (chunks, 8),
        (None, None) => return Err(Why::Unsupported),
    };
    let (each, number) = (read(sizes.start + 4, 4)?, read(sizes.start + 8, 4)?);
    let (count, runs_count) = (read(chunks.start + 4, 4)?, read(runs.start + 4, 4)?);
    let (mut sample, mut run, mut per_chunk) = (0, 0, 0);
    for chunk in 0..count {
        work::pack(8);
        // A run begins with the chunk that it names, counted from one.
        while run < runs_count && read(runs.start + 8 + run * 12, 4)? == chunk + 1 {
            per_chunk = read(runs.start + 12 + run * 12, 4)?;
            run += 1;
        }
        let mut at = read(chunks.start + 8 + chunk * width, width)?;
        for _ in 0..per_chunk.min(number.saturating_sub(sample)) {
            let size = if each > 0 { each } else { read(sizes.start + 12 + sample * 4, 4)? };
            work::pack(8);
            *budget = budget.checked_sub(size.max(1)).ok_or(Why::Damaged)?;
            let end = at.checked_add(size).ok_or(Why::Damaged)?;
            out.get_mut(at..end).ok_or(Why::Damaged)?.fill(0);
            at = end;
            sample += 1;
        }
    }
    Ok(())
}
