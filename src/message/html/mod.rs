//! HTML parts: what acts or spies goes out, real addresses are replaced, also where tags stand inside them.
//!
//! `active` rewrites elements and attributes, `style` style sheets, `link` judges where links lead. `tokens` is a reader of our own, for what is nested too
//! deep to rewrite (`plain`) and for addresses across tags. All of it is linear in the size of the document.
//!
//! Not here: charsets and transfer encodings, `cid:` links (they stay as they are), the footer.

mod active;
mod link;
mod plain;
mod style;
mod tokens;

use super::scrub::{Replacement, find, scrub};
use tokens::{Token, Tokens};

/// Cleans an HTML document or fragment. `None`: nothing had to change, the original may be sent as it is. What is changed says that it is UTF-8, if it says
/// anything about charsets. A document that is nested too deep becomes its own text.
#[must_use]
pub fn clean(html: &str, replacements: &[Replacement]) -> Option<String> {
    let rewritten = if plain::too_complex(html) { None } else { active::clean(html).ok() };
    let mut changed = rewritten.unwrap_or_else(|| Some(plain::render(html)));
    if let Some(scrubbed) = scrub(changed.as_deref().unwrap_or(html), true, replacements) {
        changed = Some(scrubbed);
    }
    if let Some(scrubbed) = scrub_across_tags(changed.as_deref().unwrap_or(html), replacements) {
        changed = Some(scrubbed);
    }
    changed
}

/// Replaces addresses that have tags inside: `<b>name</b>@<wbr>home.example`. The tags stay.
fn scrub_across_tags(html: &str, replacements: &[Replacement]) -> Option<String> {
    let mut text = String::new();
    // Where each stretch of `text` begins, and where it is in `html`.
    let mut places = Vec::new();
    for token in Tokens::new(html) {
        match token {
            Token::Text(range) => {
                places.push((text.len(), range.start));
                text.push_str(html.get(range).unwrap_or(""));
            }
            Token::Open(name) | Token::Close(name) if !plain::is_inline(name) => text.push('\0'),
            _ => {}
        }
    }
    let found = find(&text, true, replacements);
    if found.is_empty() {
        return None;
    }
    let mut out = String::with_capacity(html.len());
    let mut done = 0;
    for (range, alias) in found {
        let mut at = range.start;
        let mut next = places.partition_point(|(start, _)| *start <= at);
        let mut instead = alias;
        while at < range.end {
            let Some((start, place)) = next.checked_sub(1).and_then(|n| places.get(n)) else { break };
            let stop = places.get(next).map_or(range.end, |(start, _)| *start).min(range.end);
            let (from, to) = (place + (at - start), place + (stop - start));
            out.push_str(html.get(done..from).unwrap_or(""));
            out.push_str(std::mem::take(&mut instead));
            done = to;
            at = stop;
            next += 1;
        }
    }
    out.push_str(html.get(done..).unwrap_or(""));
    Some(out)
}

#[cfg(test)]
mod tests;
