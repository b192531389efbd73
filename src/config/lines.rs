//! Where in the file a key stands: paths through it, written as problems name them, and their
//! lines.

use std::collections::HashMap;
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A step of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Into a table.
    Key(String),
    /// Into a list.
    Index(usize),
}

/// Tables whose keys are the operator's own words.
const MAPS: [&str; 3] = ["delivery.routes", "delivery.tls_for", "delivery.credentials"];

/// A path as problems name it: `listener[0].tls`, `delivery.routes."a.example"`.
pub(super) fn place(path: &[Step]) -> String {
    let mut text = String::new();
    for step in path {
        match step {
            Step::Index(at) => text.push_str(&format!("[{at}]")),
            Step::Key(key) => {
                let bare = key.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
                let dot = if text.is_empty() { "" } else { "." };
                let plain = bare && !key.is_empty() && !MAPS.contains(&text.as_str());
                text = if plain { format!("{text}{dot}{key}") } else { format!("{text}{dot}\"{key}\"") };
            }
        }
    }
    text
}

/// The path to the value that stands at exactly this place of the text, or else to the key. A table
/// that only its keys make (`a.b = 1`) stands where its own key does.
pub(super) fn find(table: &DeTable<'_>, span: &Range<usize>) -> Option<Vec<Step>> {
    let deeper = table.iter().find_map(|(key, value)| {
        let mut path = within(value, span)?;
        path.insert(0, Step::Key(key.get_ref().clone().into_owned()));
        Some(path)
    });
    let named = || table.iter().find(|(key, _)| key.span() == *span);
    deeper.or_else(|| named().map(|(key, _)| vec![Step::Key(key.get_ref().clone().into_owned())]))
}

fn within(value: &Spanned<DeValue<'_>>, span: &Range<usize>) -> Option<Vec<Step>> {
    let deeper = match value.get_ref() {
        DeValue::Table(table) => find(table, span),
        DeValue::Array(list) => list.iter().enumerate().find_map(|(at, item)| {
            let mut path = within(item, span)?;
            path.insert(0, Step::Index(at));
            Some(path)
        }),
        _ => None,
    };
    deeper.or_else(|| (value.span() == *span).then(Vec::new))
}

/// The lines of everything that stands in a file.
#[derive(Debug)]
pub(super) struct Lines {
    /// Where each line begins.
    begins: Vec<usize>,
    of: HashMap<String, usize>,
}

impl Lines {
    pub(super) fn of(text: &str, root: &DeTable<'_>) -> Self {
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        let mut lines = Self { begins: std::iter::once(0).chain(ends).collect(), of: HashMap::new() };
        lines.note(root, &[]);
        lines
    }

    fn note(&mut self, table: &DeTable<'_>, above: &[Step]) {
        for (key, value) in table.iter() {
            let here = [above, &[Step::Key(key.get_ref().clone().into_owned())]].concat();
            // A table has its line where its header stands, a value where its key does.
            self.note_value(value, &here, key.span());
        }
    }

    fn note_value(&mut self, value: &Spanned<DeValue<'_>>, here: &[Step], span: Range<usize>) {
        let number = self.number(span.start);
        self.of.insert(place(here), number);
        match value.get_ref() {
            DeValue::Table(inner) => self.note(inner, here),
            DeValue::Array(list) => {
                for (at, item) in list.iter().enumerate() {
                    self.note_value(item, &[here, &[Step::Index(at)]].concat(), item.span());
                }
            }
            _ => {}
        }
    }

    /// The line of an octet, from 1.
    pub(super) fn number(&self, at: usize) -> usize {
        self.begins.partition_point(|begin| *begin <= at)
    }

    /// The line of a place that stands in the file.
    pub(super) fn exact(&self, place: &str) -> Option<usize> {
        self.of.get(place).copied()
    }

    /// The key that stands in a line: the longest path to it.
    pub(super) fn key(&self, line: usize) -> Option<&str> {
        let here = self.of.iter().filter(|(_, number)| **number == line);
        here.map(|(place, _)| place.as_str()).max_by_key(|place| (place.len(), *place))
    }

    /// The line of the table that a place would stand in.
    pub(super) fn above(&self, place: &str) -> Option<usize> {
        let mut quoted = false;
        let cut = |(at, c): (usize, char)| {
            quoted ^= c == '"';
            (!quoted && matches!(c, '.' | '[')).then_some(at)
        };
        let cuts: Vec<usize> = place.char_indices().filter_map(cut).collect();
        cuts.iter().rev().find_map(|at| self.exact(place.get(..*at)?))
    }
}
