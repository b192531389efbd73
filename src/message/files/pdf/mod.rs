//! PDF (ISO 32000-1): addresses in links, remarks and other strings, and in text that is drawn,
//! packed or not. An object that changes is written anew behind the file, and its old place is
//! emptied, so that nobody finds there what was taken out.
//!
//! Text that is drawn with a font that has only the letters which the document uses, or whose codes
//! are no letters, is read as far as the font explains itself, and stays: an alias in it would be
//! unreadable. So does everything in a signed document.
//!
//! Not here: how text is laid out, what is in pictures, files with a password.

mod fonts;
mod objects;
mod text;
mod update;

use super::super::contents::Told;
use super::super::rewrite::Order;
use super::super::scrub::Replacement;
use super::super::work;
use super::shown::{Edit, edited};
use super::{Cannot, DEPTH, Look, markup, member};
use flate2::Compression;
use flate2::write::ZlibEncoder;
use fonts::Fonts;
use memchr::memmem;
pub(in crate::message) use objects::literal_end;
use objects::{Object, decoded, entry, integer, place, skip_space, token};
use std::collections::{HashMap, HashSet};
use std::io::Write as _;
use std::ops::Range;
use update::New;

/// Steps for an octet that is packed.
const PACKING: usize = 20;

pub(super) fn look(bytes: &[u8], order: &Order<'_>, told: &mut Told<'_>) -> Look {
    let unread = Look { changed: None, left: Some(Cannot::Unread) };
    if memmem::find(bytes, b"/Encrypt").is_some() {
        return unread;
    }
    let Some(file) = File::read(bytes, &mut told.opened) else { return unread };
    let found = file.look(order, told);
    if work::is_over() {
        return unread;
    }
    let sealed = file.is_signed.then_some(Cannot::Signed);
    let left = found.left.or(file.unread.then_some(Cannot::Unread));
    if found.new.is_empty() && found.emptied.is_empty() {
        return Look { changed: None, left };
    }
    if sealed.is_some() {
        return Look { changed: None, left: sealed };
    }
    let mut out = bytes.to_vec();
    for place in found.emptied {
        if let Some(place) = out.get_mut(place) {
            place.fill(b' ');
        }
    }
    match update::appended(out, found.new) {
        Some(changed) => Look { changed: Some(changed), left },
        None => Look { changed: None, left: Some(Cannot::Unsupported) },
    }
}

/// A file, its streams decoded.
struct File<'a> {
    bytes: &'a [u8],
    objects: Vec<Object>,
    /// Decoded data of streams that are no pictures, by place in `objects`.
    streams: HashMap<usize, Vec<u8>>,
    /// Objects that stand in others (7.5.7): number, which one, and where in it.
    packed: Vec<(u32, usize, Range<usize>)>,
    fonts: Fonts,
    /// Objects that tell what the codes of fonts mean.
    maps: HashSet<u32>,
    is_signed: bool,
    /// A stream is encoded in a way that is not read.
    unread: bool,
}

#[derive(Default)]
struct Found {
    new: Vec<New>,
    emptied: Vec<Range<usize>>,
    left: Option<Cannot>,
}

impl<'a> File<'a> {
    fn read(bytes: &'a [u8], left: &mut usize) -> Option<Self> {
        work::pack(bytes.len());
        let objects = objects::all(bytes)?;
        let mut file = Self {
            bytes,
            objects,
            streams: HashMap::new(),
            packed: Vec::new(),
            fonts: Fonts::default(),
            maps: HashSet::new(),
            is_signed: memmem::find(bytes, b"/ByteRange").is_some(),
            unread: false,
        };
        for (n, object) in file.objects.iter().enumerate() {
            let (value, Some(stream)) = (file.value(object), &object.stream) else { continue };
            if is_binary(value) {
                continue;
            }
            match decoded(bytes.get(stream.clone())?, value, left) {
                Some(data) => {
                    if entry(value, b"/Type") == Some(b"/ObjStm") {
                        for (number, place) in table(&data, value) {
                            file.packed.push((number, n, place));
                        }
                    }
                    file.streams.insert(n, data);
                }
                None => file.unread = true,
            }
            if work::is_over() {
                return None;
            }
        }
        file.read_fonts();
        Some(file)
    }

    fn value(&self, object: &Object) -> &'a [u8] {
        self.bytes.get(object.value.clone()).unwrap_or(&[])
    }

    /// Every object's number and value, also of those in others.
    fn values(&self) -> impl Iterator<Item = (u32, &[u8])> {
        let packed = self
            .packed
            .iter()
            .filter_map(|(number, n, place)| Some((*number, self.streams.get(n)?.get(place.clone())?)));
        self.objects.iter().map(|object| (object.number, self.value(object))).chain(packed)
    }

    fn read_fonts(&mut self) {
        let mut fonts = Fonts::default();
        self.values().for_each(|(number, value)| fonts.add(number, value));
        self.values().for_each(|(_, value)| fonts.add_names(value));
        let maps = fonts.told();
        for (n, object) in self.objects.iter().enumerate().filter(|(_, object)| maps.contains(&object.number)) {
            if let Some(text) = self.streams.get(&n) {
                fonts.explain(object.number, text);
            }
        }
        self.is_signed |= self.packed.iter().any(|(_, n, place)| {
            let value = self.streams.get(n).and_then(|data| data.get(place.clone())).unwrap_or(&[]);
            memmem::find(value, b"/ByteRange").is_some()
        });
        (self.fonts, self.maps) = (fonts, maps);
    }

    /// What has to change so that the file shows no address.
    fn look(&self, order: &Order<'_>, told: &mut Told<'_>) -> Found {
        let mut found = Found::default();
        let replacements = order.replacements.of_author();
        // The last of a number counts; others are what it was before.
        let last: HashMap<u32, usize> = self.objects.iter().enumerate().map(|(n, o)| (o.number, n)).collect();
        let mut inner: HashMap<usize, Vec<(u32, Range<usize>)>> = HashMap::new();
        for (number, n, place) in &self.packed {
            inner.entry(*n).or_default().push((*number, place.clone()));
        }
        for (n, object) in self.objects.iter().enumerate() {
            if work::is_over() {
                return found;
            }
            let counts = last.get(&object.number) == Some(&n);
            let value = self.value(object);
            let told_in_value = edited(value, text::in_value(value, replacements));
            let data = self.streams.get(&n);
            let changed = match (data, inner.get(&n)) {
                (Some(data), Some(inner)) => self.objects_in(data, inner, replacements, &last, &mut found),
                (Some(data), None) => self.data(object, value, data, order, told, &mut found),
                (None, _) => None,
            };
            if told_in_value.is_none() && changed.is_none() {
                continue;
            }
            found.emptied.push(object.value.start..object.end);
            if !counts {
                continue;
            }
            let value = told_in_value.unwrap_or_else(|| value.to_vec());
            let value = match (&object.stream, changed) {
                (None, _) => Some(value),
                (Some(_), Some(changed)) => packed(&value, &changed),
                (Some(stream), None) => Some(with_data(&value, self.bytes.get(stream.clone()).unwrap_or(&[]))),
            };
            match value {
                Some(value) => found.new.push(New { number: object.number, generation: object.generation, value }),
                None => found.left = Some(Cannot::Unsupported),
            }
        }
        found
    }

    /// The objects in another: those that change are written by themselves, their place is emptied.
    fn objects_in(
        &self,
        data: &[u8],
        inner: &[(u32, Range<usize>)],
        replacements: &[Replacement],
        last: &HashMap<u32, usize>,
        found: &mut Found,
    ) -> Option<Vec<u8>> {
        let mut out: Option<Vec<u8>> = None;
        for (number, place) in inner {
            let value = data.get(place.clone()).unwrap_or(&[]);
            let Some(value) = edited(value, text::in_value(value, replacements)) else { continue };
            let out = out.get_or_insert_with(|| data.to_vec());
            if let Some(place) = out.get_mut(place.clone()) {
                place.fill(b' ');
                // Something has to stand there.
                if let Some(start) = place.get_mut(..4) {
                    start.copy_from_slice(b"null");
                }
            }
            // It is an old version if the object stands in the file by itself, too.
            if !last.contains_key(number) {
                found.new.push(New { number: *number, generation: 0, value });
            }
        }
        out
    }

    /// The data of a stream.
    fn data(
        &self,
        object: &Object,
        value: &[u8],
        data: &[u8],
        order: &Order<'_>,
        told: &mut Told<'_>,
        found: &mut Found,
    ) -> Option<Vec<u8>> {
        let replacements = order.replacements.of_author();
        if entry(value, b"/Type") == Some(b"/EmbeddedFile") {
            if told.depth >= DEPTH {
                found.left = found.left.or(Some(Cannot::Unread));
                return None;
            }
            let before = told.left.len();
            let changed = member("", data, order, told);
            found.left = told.left.split_off(before).first().map(|left| left.why).or(found.left);
            return changed;
        }
        if entry(value, b"/Type") == Some(b"/XRef") || self.maps.contains(&object.number) {
            return None;
        }
        if data.trim_ascii_start().starts_with(b"<") && !data.trim_ascii_start().starts_with(b"<<") {
            let xml = std::str::from_utf8(data).ok()?;
            return markup::clean(xml, replacements).map(String::into_bytes);
        }
        let mut edits: Vec<Edit> = Vec::new();
        for round in 0..self.fonts.rounds().clamp(1, fonts::ROUNDS) {
            let drawn = text::in_content(data, &self.fonts, round, replacements);
            if drawn.left {
                found.left = Some(Cannot::Unsupported);
                return None;
            }
            if edits.is_empty() {
                edits = drawn.edits;
            }
        }
        edited(data, edits)
    }
}

/// Streams in which no text stands: pictures, fonts, colours.
fn is_binary(dictionary: &[u8]) -> bool {
    const KINDS: &[&[u8]] = &[b"/Image", b"/Type1C", b"/CIDFontType0C", b"/OpenType"];
    entry(dictionary, b"/Subtype").is_some_and(|kind| KINDS.contains(&kind))
        || [&b"/Length1"[..], b"/Alternate", b"/FunctionType", b"/ShadingType"]
            .iter()
            .any(|name| entry(dictionary, name).is_some())
        || entry(dictionary, b"/Type") == Some(b"/XRef")
}

/// Numbers and places of the objects in another.
fn table(data: &[u8], dictionary: &[u8]) -> Vec<(u32, Range<usize>)> {
    let (Some(count), Some(first)) = (integer(dictionary, b"/N"), integer(dictionary, b"/First")) else {
        return Vec::new();
    };
    let mut numbers = Vec::new();
    let mut at = 0;
    while numbers.len() < count.saturating_mul(2)
        && let Some((_, range)) = token(data, at).filter(|(_, range)| range.end <= first)
        && let Some(number) = data.get(range.clone()).and_then(objects::number)
    {
        numbers.push(number);
        at = range.end;
    }
    work::pack(data.len());
    let places: Vec<(u32, usize)> = numbers
        .chunks_exact(2)
        .filter_map(
            |pair| if let [number, at] = pair { Some((*number, first.checked_add(*at as usize)?)) } else { None },
        )
        .collect();
    let (mut found, mut done) = (Vec::with_capacity(places.len()), 0);
    for (n, (number, start)) in places.iter().enumerate() {
        let end = places.get(n + 1).map_or(data.len(), |(_, start)| *start);
        let start = skip_space(data, *start);
        // Each after the one before it: others would be read again and again.
        if start >= done && start < end && end <= data.len() {
            done = end;
            found.push((*number, start..end));
        }
    }
    found
}

/// A stream with these data, packed.
fn packed(dictionary: &[u8], data: &[u8]) -> Option<Vec<u8>> {
    work::pack(data.len() * PACKING);
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    let data = encoder.write_all(data).and_then(|()| encoder.finish()).ok()?;
    let dictionary = without(dictionary, &[b"/Filter", b"/DecodeParms", b"/Length", b"/DL"])?;
    let mut out = b"<</Filter/FlateDecode".to_vec();
    out.extend_from_slice(dictionary.get(2..)?);
    Some(with_data(&out, &data))
}

/// A stream with these data as they are.
fn with_data(dictionary: &[u8], data: &[u8]) -> Vec<u8> {
    let bare = without(dictionary, &[b"/Length"]);
    let mut out = format!("<</Length {}", data.len()).into_bytes();
    out.extend_from_slice(bare.as_deref().unwrap_or(dictionary).get(2..).unwrap_or(b">>"));
    out.extend_from_slice(b"\nstream\n");
    out.extend_from_slice(data);
    out.extend_from_slice(b"\nendstream");
    out
}

/// A dictionary without these entries.
fn without(dictionary: &[u8], names: &[&[u8]]) -> Option<Vec<u8>> {
    let mut out = dictionary.to_vec();
    for name in names {
        if let Some((whole, _)) = place(&out, name) {
            out.drain(whole);
        }
        // Twice is once too often.
        if place(&out, name).is_some() {
            return None;
        }
    }
    Some(out)
}
