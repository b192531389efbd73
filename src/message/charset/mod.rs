//! What charset a text is in, and how it goes out.
//!
//! A name is believed where the octets can be what it says. Valid UTF-8 is UTF-8 whatever it is
//! called, and so are escape sequences of ISO 2022. What cannot be what it is called, or hardly is,
//! is read as what it is, if that is sure. Else the octets and their name stay: such a text is
//! searched and changed without a loss (`octets`), and looked at in each other way in which a mail
//! program might read it.
//!
//! What changes goes out as UTF-8, and a page says so; what need not change keeps its octets, if
//! all programs know the name of its charset. Attached files keep their charset where that can be.
//!
//! Whom it hits: who writes a charset under a wrong name, and what other programs would show as
//! noise becomes his words. What it tells a liar: nothing; what goes out stands under the name by
//! which it was read, so every program reads what was looked at here.

mod cns;
mod declared;
mod guess;
mod iso2022;
mod names;
mod octets;
mod read;
#[cfg(test)]
mod tests;
mod untold;
mod utf7;

pub(super) use names::{are_same, is_wide};
pub(super) use read::read;
pub(super) use untold::{change_untold, is_text, scrub_untold};

use super::body::Written;
use super::scrub::{Replacement, find};
use super::work;
use encoding_rs::{ISO_2022_JP, UTF_8, UTF_16BE, UTF_16LE};
use names::{Charset, Shifted};
use std::borrow::Cow;

/// A text as it is read.
pub(super) struct Reading<'a> {
    /// Octets that do not decode are private-use characters (`octets`), or the mark of a missing
    /// type where they cannot come back.
    pub(super) text: Cow<'a, str>,
    charset: Charset,
    goes: Goes,
    faults: usize,
    /// Nobody is sure what it is: programs may read it otherwise.
    doubtful: bool,
    /// Octets before it that are no text.
    mark: &'a [u8],
    /// Octets are in it that switch between charsets, or zeros.
    pub(super) special: bool,
}

/// How a text goes out that does not change.
#[derive(Debug, PartialEq, Eq)]
enum Goes {
    /// As it came, under this name.
    As(Name),
    /// As it came, without a name.
    Untold,
    /// As UTF-8: not every program knows its charset, or it came under another's name. A file goes
    /// as it came, under this name.
    Anew(Name),
}

/// The name of a charset; most are always the same.
type Name = Cow<'static, str>;

/// What is known of a text besides its octets and its charset.
#[derive(Clone, Copy)]
pub(super) struct Form<'r> {
    /// It is a file, and stays what it is.
    pub(super) file: bool,
    /// It may say its charset within itself, as pages do.
    pub(super) markup: bool,
    /// It is known to hold no zeros, and nothing that switches between charsets.
    pub(super) plain: bool,
    /// What must not be seen in it, however it is read.
    pub(super) author: &'r [Replacement],
}

/// Whether octets look like something that somebody wrote, who said that it is in `said`: not like
/// what words become that are decoded as base 64.
pub(super) fn could_be(bytes: &[u8], said: &str) -> bool {
    let is_control = |byte: &u8| matches!(byte, 0..=8 | 0x0b | 0x10..=0x1a | 0x1c..=0x1f | 0x7f);
    let ascii = bytes.iter().filter(|byte| byte.is_ascii()).count();
    let reads = || std::str::from_utf8(bytes).is_ok() || read(bytes, said, false).doubts(said) == 0;
    is_wide(said)
        || matches!(bytes, [0xff, 0xfe, ..] | [0xfe, 0xff, ..])
        || !bytes.iter().any(is_control) && (ascii * 2 >= bytes.len() || reads() || guess::is_of_pairs(bytes))
}

/// [`read`] for a text that is to be searched. UTF-16 that lost its step on the way, as on lines
/// that somebody changed, or that stands in another text, is read by its ASCII where that shows an
/// address that would not be seen otherwise.
pub(super) fn read_for<'a>(bytes: &'a [u8], said: &str, form: Form<'_>) -> Reading<'a> {
    let reading = match form.plain {
        true => read::read_known(bytes, said, form.markup, false),
        false => read(bytes, said, form.markup),
    };
    if reading.charset.is_wide() || reading.special && memchr::memchr(0, bytes).is_some() {
        work::count(bytes.len() * 2);
        let bare: Vec<u8> = bytes.iter().copied().filter(|byte| *byte != 0).collect();
        let (bare, _) = octets::decode(&bare, UTF_8);
        if find(&bare, false, form.author).len() > find(&reading.text, false, form.author).len() {
            let bare = octets::shown(&bare);
            return Reading::whole(bare.into(), Charset::Web(UTF_8), Goes::Anew("utf-8".into()));
        }
    } else if reading.faults == 0 && reading.is_guessed(said) {
        return mixed(bytes, said, form, &reading).unwrap_or(reading);
    }
    reading
}

/// A text that is read as something else than it says, where that hides an address: an author may
/// have written it in one charset and the rest in another. Nothing about it is sure then.
fn mixed<'a>(bytes: &'a [u8], said: &str, form: Form<'_>, reading: &Reading<'_>) -> Option<Reading<'a>> {
    let own = names::find(said).and_then(|said| if let Charset::Web(encoding) = said { Some(encoding) } else { None });
    let seen = |text: &str| find(text, form.markup, form.author).len();
    let known = seen(&reading.text);
    let views = [Some(UTF_8), own].into_iter().flatten();
    let mut views = views.map(|view| read::kept(bytes, read::web_name(said), view).in_doubt());
    views.find(|view| seen(&view.text) > known)
}

impl<'a> Reading<'a> {
    fn whole(text: Cow<'a, str>, charset: Charset, goes: Goes) -> Self {
        Self { text, charset, goes, faults: 0, doubtful: false, mark: &[], special: false }
    }

    pub(super) fn in_doubt(self) -> Self {
        Self { doubtful: true, ..self }
    }

    /// The text for people and indexes.
    pub(super) fn shown(self) -> Cow<'a, str> {
        if self.faults == 0 { self.text } else { octets::shown(&self.text).into() }
    }

    /// How much speaks against it that it is in the charset that it was said to be in.
    pub(super) fn doubts(&self, said: &str) -> usize {
        self.faults + usize::from(names::find(said).is_some_and(|said| said != self.charset && said.is_plain()))
    }

    /// Whether it is read as something else than it says, and not as UTF-8.
    fn is_guessed(&self, said: &str) -> bool {
        matches!(self.charset, Charset::Web(encoding) if encoding != UTF_8)
            && matches!(self.goes, Goes::Anew(_))
            && names::find(said) != Some(self.charset)
    }

    /// Whether it goes out in its own charset unless it changes, which is not UTF-8.
    pub(super) fn is_kept(&self) -> bool {
        self.charset != Charset::Web(UTF_8) && !matches!(self.goes, Goes::Anew(_))
    }

    /// The octets of a text that was made of this one, in its charset.
    pub(super) fn encoded(&self, text: &str) -> Option<Vec<u8>> {
        let octets = match self.charset {
            Charset::Ascii => text.is_ascii().then(|| text.as_bytes().to_vec()),
            Charset::Web(encoding) if self.faults > 0 => octets::restore(text, encoding),
            Charset::Web(encoding) => octets::encode(text, encoding),
            Charset::Wide(2, Some(big)) => octets::encode(text, if big { UTF_16BE } else { UTF_16LE }),
            Charset::Iso2022(Shifted::Katakana) => octets::encode(text, ISO_2022_JP),
            _ => None,
        }?;
        Some([self.mark, octets.as_slice()].concat())
    }

    /// `changed` in the charset of the text that it was made of, if the rest of it stays octet for
    /// octet. It does not count for what the message may cost: it is asked only where an address is
    /// the receiver's, and the author would learn that from a refusal.
    pub(super) fn back(&self, changed: &str, bytes: &[u8]) -> Option<Vec<u8>> {
        let encoded = || (self.encoded(&self.text)? == bytes).then(|| self.encoded(changed)).flatten();
        work::aside(u64::MAX, encoded).0
    }

    /// The text as it goes out: its charset (`None`: it does not say one) and its octets.
    /// `changed`: what became of it, if it had to change; `under`: what goes under it.
    pub(super) fn written(
        self,
        bytes: &'a [u8],
        changed: Option<String>,
        under: String,
        form: Form<'_>,
    ) -> (Option<Name>, Written<'a>) {
        let name = match &self.goes {
            Goes::As(name) | Goes::Anew(name) => Some(name.clone()),
            Goes::Untold => None,
        };
        let is_kept = self.faults > 0 && !matches!(self.goes, Goes::Anew(_));
        // However else a program reads what is in doubt.
        let settled = !self.doubtful || form.author.is_empty();
        let looked = |body: Cow<'a, [u8]>| {
            if settled {
                return body;
            }
            scrub_untold(&body, form.markup, form.author).map_or(body, Cow::Owned)
        };
        let file = form.file;
        let written = |body: Cow<'a, [u8]>, under: Vec<u8>| Written { body, under, exact: file };
        if changed.is_none() && under.is_empty() && (file || !matches!(self.goes, Goes::Anew(_))) {
            return (name, written(looked(Cow::Borrowed(bytes)), Vec::new()));
        }
        if file || is_kept {
            let whole = changed.as_deref().unwrap_or(&self.text);
            let declared = name.as_deref().filter(|_| form.markup).and_then(|name| declared::changed(whole, name));
            let body = self.encoded(declared.as_deref().unwrap_or(whole));
            let below = if under.is_empty() { Some(Vec::new()) } else { self.encoded(&under) };
            if let (Some(body), Some(below)) = (body, below) {
                return (name, written(looked(Cow::Owned(body)), below));
            }
        }
        let whole = changed.map_or(self.text, Cow::Owned);
        let whole = if self.faults > 0 { octets::shown(&whole).into() } else { whole };
        let declared = if form.markup { declared::changed(&whole, "utf-8") } else { None };
        let body = match declared.map_or(whole, Cow::Owned) {
            Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
            Cow::Owned(text) => Cow::Owned(text.into_bytes()),
        };
        (Some("utf-8".into()), written(body, under.into_bytes()))
    }
}
