//! Fonts of a PDF file (ISO 32000-1, 9.6 to 9.10), as far as needed to read what is drawn with
//! them.

use super::objects::{self, Kind, entry, hex, reference, token};
use crate::message::work;
use std::collections::{HashMap, HashSet};

/// Fonts of one name that are tried: pages may use one name for several.
pub(super) const ROUNDS: usize = 3;
/// Characters of one font, and fonts of a file.
const MOST: usize = 70_000;
const MOST_FONTS: usize = 2000;

/// A font.
#[derive(Clone, Debug, Default)]
pub(super) struct Font {
    /// Its codes are letters, and it has all of them: what is drawn can be replaced.
    pub(super) plain: bool,
    /// The object that tells what its codes mean.
    told: Option<u32>,
    /// Octets of a code.
    width: usize,
    meaning: HashMap<u32, char>,
}

impl Font {
    /// The font of this dictionary, if it is one.
    pub(super) fn of(dictionary: &[u8]) -> Option<Self> {
        let base = entry(dictionary, b"/BaseFont")?;
        let kind = entry(dictionary, b"/Subtype").unwrap_or(b"");
        // `ABCDEF+Helvetica` has the letters that are drawn, and no others.
        let is_subset = base.get(7) == Some(&b'+');
        let encoding = entry(dictionary, b"/Encoding");
        let simple = matches!(kind, b"/Type1" | b"/TrueType" | b"/MMType1")
            && encoding.is_none_or(|e| matches!(e, b"/WinAnsiEncoding" | b"/StandardEncoding" | b"/MacRomanEncoding"));
        let told = entry(dictionary, b"/ToUnicode").and_then(reference);
        let width = if kind == b"/Type0" { 2 } else { 1 };
        Some(Self { plain: simple && !is_subset, told, width, meaning: HashMap::new() })
    }

    /// What these codes show.
    pub(super) fn read(&self, octets: impl Iterator<Item = u8>) -> Vec<char> {
        let octets: Vec<u8> = octets.collect();
        work::pack(octets.len() * 4);
        let code = |code: &[u8]| code.iter().fold(0_u32, |code, octet| code << 8 | u32::from(*octet));
        // A simple font whose codes nobody explains most often keeps those of letters.
        let letter = |code: u32| if self.width == 1 { char::from_u32(code) } else { None };
        let character = |octets: &[u8]| {
            let code = code(octets);
            self.meaning.get(&code).copied().or_else(|| letter(code)).unwrap_or('\u{fffd}')
        };
        octets.chunks(self.width.max(1)).map(character).collect()
    }
}

/// The fonts of a file.
#[derive(Debug, Default)]
pub(super) struct Fonts {
    fonts: HashMap<u32, Font>,
    /// Under which names pages use them.
    names: HashMap<Vec<u8>, Vec<u32>>,
}

impl Fonts {
    /// Adds the font of this object, if it is one.
    pub(super) fn add(&mut self, number: u32, value: &[u8]) {
        if self.fonts.len() < MOST_FONTS
            && memchr::memmem::find(value, b"/BaseFont").is_some()
            && let Some(font) = Font::of(value)
        {
            self.fonts.insert(number, font);
        }
    }

    /// Adds the names that a value gives to fonts: `/F1 5 0 R`.
    pub(super) fn add_names(&mut self, value: &[u8]) {
        if self.fonts.is_empty() {
            return;
        }
        work::pack(value.len());
        let (mut name, mut number, mut at) = (None, None, 0);
        while let Some((kind, range)) = token(value, at) {
            at = range.end;
            let text = value.get(range).unwrap_or(&[]);
            match kind {
                Kind::Name => (name, number) = (Some(text), None),
                Kind::Word if text == b"R" => {
                    if let (Some(name), Some(number)) = (name.take(), number.take()) {
                        self.name(name, number);
                    }
                }
                // The first of the two numbers.
                Kind::Word if number.is_none() => {
                    number = objects::number(text);
                }
                Kind::Word => {}
                _ => (name, number) = (None, None),
            }
        }
    }

    fn name(&mut self, name: &[u8], number: u32) {
        if self.fonts.contains_key(&number) && self.names.len() < MOST_FONTS {
            let numbers = self.names.entry(name.to_vec()).or_default();
            if numbers.len() < ROUNDS && !numbers.contains(&number) {
                numbers.push(number);
            }
        }
    }

    /// Objects that tell what codes mean.
    pub(super) fn told(&self) -> HashSet<u32> {
        self.fonts.values().filter_map(|font| font.told).collect()
    }

    /// Takes in what one of them tells.
    pub(super) fn explain(&mut self, number: u32, text: &[u8]) {
        let mut meaning = None;
        for font in self.fonts.values_mut().filter(|font| font.told == Some(number)) {
            font.meaning.clone_from(meaning.get_or_insert_with(|| meanings(text)));
        }
    }

    /// How many fonts one name has at most.
    pub(super) fn rounds(&self) -> usize {
        self.names.values().map(Vec::len).max().unwrap_or(1)
    }

    /// The font of this name in a round.
    pub(super) fn named(&self, name: &[u8], round: usize) -> Option<&Font> {
        let numbers = self.names.get(name)?;
        self.fonts.get(numbers.get(round).or(numbers.last())?)
    }
}

/// A `ToUnicode` map (9.10.3): one character for each code; of a ligature the first.
fn meanings(text: &[u8]) -> HashMap<u32, char> {
    let mut found = HashMap::new();
    let mut operands: Vec<Vec<u8>> = Vec::new();
    let (mut at, mut array, mut ranges) = (0, false, false);
    let code = |octets: &[u8]| octets.iter().take(4).fold(0_u32, |code, octet| code << 8 | u32::from(*octet));
    let character = |octets: &[u8]| {
        let units =
            octets.chunks_exact(2).map(|unit| unit.iter().fold(0_u16, |unit, octet| unit << 8 | u16::from(*octet)));
        char::decode_utf16(units).next().and_then(Result::ok)
    };
    while let Some((kind, range)) = token(text, at).filter(|_| !work::is_over()) {
        at = range.end;
        work::pack(8 + range.len());
        let written = text.get(range).unwrap_or(&[]);
        match kind {
            Kind::Hex => operands.push(hex(written)),
            Kind::Open => array = true,
            Kind::Close => array = false,
            Kind::Word if written.starts_with(b"begin") || written.starts_with(b"end") => {
                ranges = written == b"beginbfrange";
                operands.clear();
            }
            _ => continue,
        }
        match operands.as_slice() {
            [from, to] if !ranges => {
                if let Some(c) = character(to) {
                    found.insert(code(from), c);
                }
                operands.clear();
            }
            // From, to, and the first meaning or all of them.
            [from, to, first] if ranges && !array && kind == Kind::Hex => {
                let (from, to) = (code(from), code(to));
                if let Some(first) = character(first).filter(|_| to >= from && to - from < 0x1_0000) {
                    for n in 0..=to - from {
                        work::pack(1);
                        if let Some(c) = char::from_u32(u32::from(first) + n).filter(|_| found.len() < MOST) {
                            found.insert(from + n, c);
                        }
                    }
                }
                operands.clear();
            }
            [from, _, all @ ..] if ranges && kind == Kind::Close => {
                let from = code(from);
                for (n, octets) in (0..).zip(all) {
                    if let Some(c) = character(octets).filter(|_| found.len() < MOST) {
                        found.insert(from.wrapping_add(n), c);
                    }
                }
                operands.clear();
            }
            _ => {}
        }
        if found.len() >= MOST || operands.len() > 3 * MOST {
            break;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_codes_mean() {
        let map = b"1 begincodespacerange <00> <FFFF> endcodespacerange 2 beginbfchar <0003> <0040> <0004> <00660069> endbfchar \
                    2 beginbfrange <0010> <0012> <0061> <0020> <0021> [<0078> <0079>] endbfrange";
        let found = meanings(map);
        let read = |code: u32| found.get(&code).copied();
        assert_eq!([3, 4, 0x10, 0x12, 0x20, 0x21].map(read), ['@', 'f', 'a', 'c', 'x', 'y'].map(Some));
        let mut fonts = Fonts::default();
        fonts.add(5, b"<</Type/Font/Subtype/Type0/BaseFont/ABCDEF+Arial/Encoding/Identity-H/ToUnicode 9 0 R>>");
        fonts.add(6, b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>");
        fonts.add_names(b"<</Font<</F1 5 0 R/F2 6 0 R/F3 7 0 R>>>>");
        fonts.explain(9, map);
        let drawn: String = fonts.named(b"/F1", 0).unwrap().read([0, 3, 0, 0x10].into_iter()).iter().collect();
        assert_eq!(drawn, "@a");
        assert!(fonts.named(b"/F2", 0).unwrap().plain && fonts.named(b"/F3", 0).is_none());
    }
}
