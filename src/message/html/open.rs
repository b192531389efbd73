//! What is still open at the end of a document, so that all of it can be closed: what comes behind
//! stands in none of its elements, whatever they hide.
//!
//! No parser of HTML is rebuilt for this (WHATWG HTML 13.2.6). What the author wrote stands in an
//! element of a name that he cannot use, so nothing of his closes it, and its end tag closes all
//! that is in it, except what a table keeps (13.2.4.2, scopes). What is left are the elements of
//! formatting (`a`, `b`, `font` …), which programs open again behind whatever closed them. So
//! tables and formatting are counted, never too few: what is closed once too often is passed over.

/// Elements that a program opens again (13.2.4.3).
const FORMATTING: &[&str] =
    &["a", "b", "big", "code", "em", "font", "i", "nobr", "s", "small", "strike", "strong", "tt", "u"];
/// What begins and ends cells: formatting in one does not go on in the next.
const CELLS: &[&str] = &["td", "th", "caption", "tr", "tbody", "thead", "tfoot", "col", "colgroup"];
/// Elements around which an end tag of formatting closes it for sure: programs try so often
/// (13.2.6.4.7, the adoption agency).
const ADOPTED: usize = 8;
/// Elements of formatting that are looked through for one to close.
const NEAR: usize = 64;
/// The place of what an end tag surely does not close.
const NOWHERE: usize = usize::MAX;

/// What was opened and not closed for sure.
pub(super) struct Open<'a> {
    /// The document, and each table in the one before it.
    levels: Vec<Level<'a>>,
    /// Elements so far that are no formatting.
    others: usize,
    /// Places so far: a cell, and whatever is between two.
    places: usize,
}

#[derive(Default)]
struct Level<'a> {
    divisions: usize,
    formatting: Vec<Formatting<'a>>,
    place: usize,
}

struct Formatting<'a> {
    name: &'a str,
    others: usize,
    place: usize,
}

impl Default for Open<'_> {
    fn default() -> Self {
        Self { levels: vec![Level::default()], others: 0, places: 0 }
    }
}

impl<'a> Open<'a> {
    pub(super) fn open(&mut self, name: &'a str) {
        let is = |other: &str| name.eq_ignore_ascii_case(other);
        let Some(level) = self.levels.last_mut() else { return };
        if FORMATTING.iter().any(|formatting| is(formatting)) {
            level.formatting.push(Formatting { name, others: self.others, place: level.place });
            return;
        }
        self.others += 1;
        if is("div") {
            level.divisions += 1;
        } else if CELLS.iter().any(|cell| is(cell)) {
            self.places += 1;
            level.place = self.places;
        } else if is("table") {
            self.places += 1;
            self.levels.push(Level { place: self.places, ..Level::default() });
        }
    }

    /// `false`: it closes nothing that was opened here.
    pub(super) fn close(&mut self, name: &str) -> bool {
        let is = |other: &str| name.eq_ignore_ascii_case(other);
        let outermost = self.levels.len() == 1;
        let Some(level) = self.levels.last_mut() else { return true };
        if FORMATTING.iter().any(|formatting| is(formatting)) {
            let near = level.formatting.len().saturating_sub(NEAR);
            let this = |one: &Formatting<'_>| one.place == level.place && is(one.name);
            let sure = |one: &Formatting<'_>| self.others - one.others < ADOPTED;
            let found = level.formatting.iter().skip(near).rposition(this).map(|at| near + at);
            if let Some(at) = found.filter(|at| level.formatting.get(*at).is_some_and(sure)) {
                level.formatting.remove(at);
            }
        } else if is("div") {
            let was_open = level.divisions > 0;
            level.divisions = level.divisions.saturating_sub(1);
            return was_open || !outermost;
        } else if CELLS.iter().any(|cell| is(cell)) {
            self.places += 1;
            level.place = self.places;
        } else if is("table") {
            if outermost {
                return false;
            }
            // A table may have been closed by the next one, and what seems to stand in it does not.
            let inner = self.levels.pop().unwrap_or_default();
            if let Some(outer) = self.levels.last_mut() {
                outer.divisions += inner.divisions;
                outer.formatting.extend(inner.formatting.into_iter().map(|one| Formatting { place: NOWHERE, ..one }));
            }
        }
        true
    }

    /// Writes the end tags of all that may be open in the element `part`, its own end tag, and
    /// those of what would be opened again behind it.
    pub(super) fn end(&self, part: &str, out: &mut String) {
        for _ in self.levels.iter().skip(1) {
            out.push_str("</table>");
        }
        for name in
            std::iter::once(part).chain(self.levels.iter().flat_map(|level| &level.formatting).map(|one| one.name))
        {
            out.push_str("</");
            out.push_str(name);
            out.push('>');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::html::tokens::{Token, Tokens};

    fn ends(html: &str) -> String {
        let (mut open, mut out) = (Open::default(), String::new());
        for token in Tokens::new(html) {
            match token {
                Token::Open(name) => open.open(name),
                Token::Close(name) => {
                    open.close(name);
                }
                _ => {}
            }
        }
        open.end("x", &mut out);
        out
    }

    #[test]
    fn what_is_left_open_is_closed() {
        // html, the end tags
        let cases = [
            ("<p>x</p><b>y</b>", "</x>"),
            ("<div hidden><p>a<p>b<br><ul><li>", "</x>"),
            ("<div><font hidden></div>x", "</x></font>"),
            ("<table><tr><td><b>x</b></td></tr></table>", "</x>"),
            ("<table><b><tr><td>x</table>", "</x></b>"),
            ("<a href='</a>'>x", "</x></a>"),
            ("</i></div></table>", "</x>"),
            // end tags that close nothing
            ("<div hidden><table><tr><td></div>", "</table></x>"),
            ("<b hidden><table><tr><td></b>", "</table></x></b>"),
            ("<table><b hidden><tr><td></th></b></table>", "</x></b>"),
            ("<table><table></table><td><font hidden></table>", "</x></font>"),
        ];
        for (html, want) in cases {
            assert_eq!(ends(html), want, "{html}");
        }
        assert_eq!(ends(&format!("<b>{}</b>", "<section>".repeat(ADOPTED))), "</x></b>");
        for storm in
            ["<div>", "<b><i></b>", "<p>", "</p>", "<b></div>", "<table>", "<font></b>", "<td><b>", "<b></table>"]
        {
            assert!(ends(&storm.repeat(100_000)).len() <= storm.len() * 300_000, "{storm}");
        }
    }

    #[test]
    fn strays_are_known() {
        // html whose last end tag closes something, or not
        for (html, want) in [("<div></div>", true), ("<div></div></div>", false), ("<table><td></div>", true)] {
            let (mut open, mut last) = (Open::default(), true);
            for token in Tokens::new(html) {
                match token {
                    Token::Open(name) => open.open(name),
                    Token::Close(name) => last = open.close(name),
                    _ => {}
                }
            }
            assert_eq!(last, want, "{html}");
        }
    }
}
