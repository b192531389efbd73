//! Which cleaner a part's content gets: by what it says it is, and by how it begins. The cleaners are files of their own.

use super::content_lines::{fold, unfold};
use super::files::{self, Left};
use super::headers::Field;
use super::hints::{Hint, Hints};
use super::metadata::{self, Cleaned, Why};
use super::pgp::{self, Stripped};
use super::quoted::{Kind, MOST_COMPARED, Masked, Quoting};
use super::rewrite::{Order, Unclean};
use super::scrub::scrub;
use super::text::encode_name;
use super::{Shared, archive, author, calendar, data_uri, encoded, footer, html, sealed, uuencode, vcard, work};
use std::borrow::Cow;

/// What cleaning the files of a message tells, and what it may still cost.
pub(super) struct Told<'a> {
    /// Files of one part that went as they were: what they are by their first octets, and why.
    pub(super) passed: Vec<(&'static str, Why)>,
    pub(super) unpacked: usize,
    /// Octets that may still be compared with what is quoted.
    compared: usize,
    /// The text that is cleaned stands in a message inside the message.
    pub(super) inside: bool,
    /// Files of one part in which the author's address stands, or may stand.
    pub(super) left: Vec<Left>,
    /// Files around the one that is looked through for addresses.
    pub(super) depth: usize,
    /// Octets that may still be unpacked for it, and steps that it may still cost.
    pub(super) opened: usize,
    pub(super) steps: u64,
    pub(super) shared: &'a mut Shared,
}

impl<'a> Told<'a> {
    /// `steps`: what looking through files for addresses may cost in one copy.
    pub(super) fn new(shared: &'a mut Shared, steps: u64) -> Self {
        let steps = shared.left_to_look(steps);
        Self {
            passed: Vec::new(),
            unpacked: metadata::MOST_UNPACKED,
            compared: MOST_COMPARED,
            inside: false,
            left: Vec::new(),
            depth: 0,
            opened: files::MOST_UNPACKED,
            steps,
            shared,
        }
    }

    /// Takes what looking through a file has cost off what there is.
    pub(super) fn looked(&mut self, steps: u64) {
        self.steps = self.steps.saturating_sub(steps);
        self.shared.looked(steps);
    }

    /// For a message that stands in a file: what it costs is a part of this.
    pub(super) fn of_file(&mut self) -> Told<'_> {
        Told {
            passed: Vec::new(),
            unpacked: self.unpacked,
            compared: self.compared,
            inside: true,
            left: Vec::new(),
            depth: self.depth,
            opened: self.opened,
            steps: self.steps,
            shared: &mut *self.shared,
        }
    }
}

/// Cleans a text of content type `kind`. `None`: nothing had to change.
///
/// # Errors
/// [`Unclean::Closed`]: there is a message in it that nobody here can read.
pub(super) fn text(text: &str, kind: &str, order: &Order<'_>, told: &mut Told<'_>) -> Result<Option<String>, Unclean> {
    if kind.starts_with("message/") {
        return Ok(Some(report(text)));
    }
    // What the author got from us is the author's own: quoted footers and marks do not go out.
    let stripped = if told.shared.is_plain(text.as_bytes()) { None } else { footer::strip(text, kind == "text/html") };
    let text = stripped.as_deref().unwrap_or(text);
    let form = form(text, kind);
    let is_answer = form != Kind::Calendar || calendar::is_answer(text);
    let whole = told.inside || form == Kind::Calendar || kind == "text/rfc822-headers";
    let masked = order.quotes.mask(text, form, whole, order, &mut told.compared).filter(|_| is_answer);
    let text = masked.as_ref().map_or(text, |masked| &masked.text);
    let cleaned = addresses(text, kind, order, told)?;
    let named = own_name(cleaned.as_deref().unwrap_or(text), order);
    let Some(masked) = masked else { return Ok(named.or(cleaned).or(stripped)) };
    let cleaned = named.or(cleaned).unwrap_or_else(|| masked.text.clone());
    Ok(Some(if order.quotes.shows() { shown(&cleaned, form, &masked) } else { cleaned }))
}

/// Whether nothing but the receiver's own address changes in a text. It does not count for what the
/// message may cost: it is asked only where something changes, so a refusal would tell the author
/// that an address was the receiver's.
///
/// # Errors
/// As [`text`].
pub(super) fn only_receiver(words: &str, kind: &str, order: &Order<'_>) -> Result<bool, Unclean> {
    let strict = order.replacements.strict();
    let order = Order { replacements: &strict, ..order.clone() };
    let again = || text(words, kind, &order, &mut Told::new(&mut Shared::default(), order.limits.steps()));
    let (cleaned, spent) = work::aside(order.limits.steps(), again);
    // What was read in part may hold anything.
    Ok(spent.end.is_none() && cleaned?.is_none())
}

/// What kind of text it is.
pub(super) fn form(text: &str, kind: &str) -> Kind {
    match kind {
        "text/html" => Kind::Html,
        "text/calendar" => Kind::Calendar,
        _ if begins(text, "BEGIN:VCALENDAR") => Kind::Calendar,
        _ => Kind::Text,
    }
}

/// A cleaned text with the words that go back to their author.
fn shown(cleaned: &str, form: Kind, masked: &Masked) -> String {
    if form != Kind::Calendar {
        return masked.shown(cleaned);
    }
    let mut out = String::with_capacity(cleaned.len());
    unfold(cleaned).for_each(|line| fold(&masked.shown(&line), &mut out));
    out
}

fn begins(text: &str, with: &str) -> bool {
    let start = text.trim_start_matches(START);
    start.get(..with.len()).is_some_and(|start| start.eq_ignore_ascii_case(with))
}

/// What may stand before the beginning of a calendar or card.
const START: [char; 4] = ['\u{feff}', '\r', '\n', ' '];

/// Fields of a delivery report or receipt that tell nobody's name, host or program (RFC 3464, RFC 8098).
const REPORTED: &[&str] = &["action", "status", "disposition"];

fn report(text: &str) -> String {
    let told = |line: &&str| {
        line.split_once(':').is_some_and(|(name, _)| REPORTED.contains(&name.trim().to_ascii_lowercase().as_str()))
    };
    work::count(text.len() * 4);
    text.lines().filter(told).map(|line| format!("{}\r\n", line.trim_end())).collect()
}

/// Quoted header lines carry the author's own display name before the address: the name that the receiver knows takes its place.
fn own_name(text: &str, order: &Order<'_>) -> Option<String> {
    let name =
        order.author_name.filter(|name| name.chars().count() > 2 && *name != order.from.0 && text.contains(name))?;
    let mut out = text.to_owned();
    work::count(text.len() * 8);
    for before_address in ["\" <", " <", "&quot; &lt;", " &lt;", "\" &lt;", "</b> &lt;", " [mailto:", "\" [mailto:"] {
        out = out.replace(&format!("{name}{before_address}"), &format!("{}{before_address}", order.from.0));
    }
    (out != text).then_some(out)
}

fn addresses(text: &str, kind: &str, order: &Order<'_>, told: &mut Told<'_>) -> Result<Option<String>, Unclean> {
    let hints = if told.shared.is_plain(text.as_bytes()) { Hints::NONE } else { Hints::of(text.as_bytes()) };
    let embedded = match hints.may_hold(Hint::DataUri) {
        true => data_uri::clean(text, |bytes| changed_file(bytes, order, told)),
        false => None,
    };
    let text = embedded.as_deref().unwrap_or(text);
    if kind == "text/html" {
        let closed = if hints.may_hold(Hint::Pgp) { sealed::text(text, true) } else { None };
        if let Some(closed) = closed {
            return Err(Unclean::Closed(closed));
        }
        return Ok(html::clean_copy(text, order.replacements, told.shared).or(embedded));
    }
    if let Some(cleaned) = card_or_calendar(text, kind, order) {
        return Ok(Some(cleaned));
    }
    let stripped = if hints.may_hold(Hint::Pgp) { pgp::strip(text) } else { Stripped::default() };
    if let Some(closed) = stripped.closed {
        return Err(Unclean::Closed(closed));
    }
    // Files in files end soon: each is a quarter smaller than what is around it.
    let files = match hints.may_hold(Hint::File) {
        true => uuencode::clean(stripped.text.as_deref().unwrap_or(text), |bytes| changed_file(bytes, order, told)),
        false => None,
    };
    let cleaned = files.or(stripped.text).or_else(|| embedded.clone());
    // What was taken out or put in may make words of what stood beside it.
    let hints = cleaned.as_ref().map_or(hints, |cleaned| Hints::of(cleaned.as_bytes()));
    let cleaned = order.replacements.scrub_known(cleaned.as_deref().unwrap_or(text), false, hints).or(cleaned);
    Ok(encoded::scrub(cleaned.as_deref().unwrap_or(text), hints, order.replacements.of_author()).or(cleaned))
}

fn card_or_calendar(text: &str, kind: &str, order: &Order<'_>) -> Option<String> {
    let start = text.trim_start_matches(START);
    if form(text, kind) == Kind::Calendar {
        let order = calendar::CalendarOrder {
            replacements: order.replacements,
            author: order.from.1,
            receiver: order.to,
            key: order.calendar_key.as_slice(),
        };
        return Some(calendar::clean(start, &order));
    }
    let is_card = matches!(kind, "text/vcard" | "text/x-vcard" | "text/directory") || begins(text, "BEGIN:VCARD");
    is_card.then(|| vcard::clean(start, order.from.0, order.from.1, order.replacements))
}

/// Cleans a file: of what it tells of its maker, and of the author's addresses. What cannot be
/// cleaned is passed, and told. The receiver's own address stays in it: its length, and whether it
/// can be changed, would tell.
pub(super) fn file<'a>(bytes: Cow<'a, [u8]>, order: &Order<'_>, told: &mut Told<'_>) -> Cow<'a, [u8]> {
    let begins = |with: &[u8]| memchr::memmem::find(bytes.get(..64).unwrap_or(&bytes), with).is_some();
    let is_card = begins(b"BEGIN:V") || begins(b"-----BEGIN PGP ") || bytes.starts_with(b"begin ");
    let mut bytes = bytes;
    if is_card && order.documents.is_some() {
        let strict = order.replacements.strict();
        let order = &Order { replacements: &strict, quotes: Quoting::Ignored, ..order.clone() };
        let cleaned = std::str::from_utf8(&bytes).ok().and_then(|whole| text(whole, "", order, told).ok().flatten());
        bytes = cleaned.map_or(bytes, |cleaned| Cow::Owned(cleaned.into_bytes()));
    }
    files::look(traces(bytes, order, told), order, told)
}

/// [`file`] where it changes something.
pub(super) fn changed_file(bytes: &[u8], order: &Order<'_>, told: &mut Told<'_>) -> Option<Vec<u8>> {
    match file(Cow::Borrowed(bytes), order, told) {
        Cow::Owned(cleaned) if cleaned != bytes => Some(cleaned),
        _ => None,
    }
}

/// A file without what it tells of its maker. Those in archives are cleaned with what is around
/// them.
fn traces<'a>(bytes: Cow<'a, [u8]>, order: &Order<'_>, told: &mut Told<'_>) -> Cow<'a, [u8]> {
    if told.depth > 0 {
        return bytes;
    }
    let clean = |bytes: &[u8], unpacked: &mut usize| metadata::clean(bytes, order.metadata, unpacked);
    let done = told.shared.file(&bytes, &mut told.unpacked, clean);
    let mut tell = |why: Why| {
        let entry = (archive::kind_of(&bytes).unwrap_or("file"), why);
        // A text may hold thousands.
        if !told.passed.contains(&entry) {
            told.passed.push(entry);
        }
    };
    let cleaned = match done {
        Cleaned::Unchanged => None,
        Cleaned::Changed(cleaned) => Some(cleaned),
        Cleaned::Partly(cleaned, why) => {
            tell(why);
            Some(cleaned)
        }
        Cleaned::CannotClean(why) => {
            tell(why);
            None
        }
    };
    cleaned.map_or(bytes, Cow::Owned)
}

/// Who wrote a message inside the message. The author is an alias without a name; others, the
/// receiver too, keep name and address; what does not read is left out.
pub(super) fn nested_from(text: &str, order: &Order<'_>) -> Option<String> {
    let clean = scrub(text, false, order.replacements.of_author());
    let field = Field { name: "From", value: clean.as_deref().unwrap_or(text).as_bytes() };
    let author = author::read(&[field]).ok()?;
    let address = author.address.expose();
    Some(match author.name.filter(|_| clean.is_none()) {
        Some(name) => format!("{}\r\n <{address}>", encode_name(&name, 6)),
        None => address.to_owned(),
    })
}

/// A file's name. Before its ending an address may stand that the ending would hide.
pub(super) fn file_name(name: &str, order: &Order<'_>) -> String {
    if let Some((before, words)) = order.quotes.title(name) {
        return format!("{before}{words}");
    }
    let scrubbed = |text: &str| order.replacements.scrub_name(text).unwrap_or_else(|| text.to_owned());
    let ending = |(_, ending): &(&str, &str)| ending.len() <= 5 && ending.chars().all(char::is_alphanumeric);
    let name = match name.rsplit_once('.').filter(ending) {
        Some((stem, ending)) => scrubbed(&format!("{}.{ending}", scrubbed(stem))),
        None => scrubbed(name),
    };
    if let Quoting::Recorded(record) = order.quotes {
        record.title(&name);
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Limits, Metadata};
    use crate::message::guard::Secrets;
    use crate::message::replacements::Replacements;
    use crate::message::rewrite::tests::plain_order;
    use crate::message::rewrite::{Passed, rewrite};
    use crate::policy::content::Closed;
    use crate::types::{Address, Alias};

    fn run(message: &str) -> Result<(String, Vec<Passed>), Unclean> {
        run_octets(message.as_bytes())
    }

    fn run_octets(message: &[u8]) -> Result<(String, Vec<Passed>), Unclean> {
        let [author, receiver] =
            ["b-real-9c1@home.example", "s-real-7f3@seller.example"].map(|a| [Address::parse(a).unwrap().key()]);
        let keys = (author, receiver);
        let (author, receiver) = (Alias::from_text("buyer@m.test"), Alias::from_text("seller@m.test"));
        let replacements = Replacements::new((&keys.0, &author), (&keys.1, &receiver));
        let secrets = Secrets::of_author(&keys.0);
        let (metadata, limits) = (Metadata::default(), Limits::default());
        let plain = plain_order((&author, &receiver), &replacements, &metadata, &limits);
        let order = Order { documents: Some(secrets), ..plain };
        let done = rewrite(message, &order)?;
        Ok((String::from_utf8(done.bytes).unwrap(), done.passed))
    }

    #[test]
    fn each_kind_of_part_gets_its_cleaner() {
        // part, what is in the outgoing message, what is not
        let cases = [
            (
                "Content-Type: text/calendar\r\n\r\nBEGIN:VCALENDAR\r\nPRODID:Secret\r\nATTENDEE;CN=Secret:mailto:b-real-9c1@home.example\r\nEND:VCALENDAR\r\n",
                "ATTENDEE:mailto:buyer@m.test",
            ),
            (
                "Content-Type: text/plain; name=a.vcf\r\n\r\nBEGIN:VCARD\r\nVERSION:3.0\r\nFN:Secret\r\nEMAIL:b-real-9c1@home.example\r\nEND:VCARD\r\n",
                "EMAIL:buyer@m.test",
            ),
            (
                "Content-Type: text/plain\r\n\r\nhello\r\n-----BEGIN PGP SIGNATURE-----\r\n\r\nSecret\r\n-----END PGP SIGNATURE-----\r\n",
                "hello",
            ),
            ("Content-Type: text/html\r\n\r\n<b>hello</b><script>Secret</script>\r\n", "<b>hello</b>"),
        ];
        for (message, want) in cases {
            let (out, passed) = run(message).unwrap();
            let out = String::from_utf8_lossy(&crate::message::transfer::decode_q(out.as_bytes(), false)).into_owned();
            assert!(
                out.contains(want) && !out.contains("Secret") && !out.contains("b-real") && passed.is_empty(),
                "{out}"
            );
        }
    }

    #[test]
    fn a_right_guess_costs_what_a_wrong_one_does() {
        // Else what a message may cost at most would tell the author which it was.
        for kind in ["text/plain; charset=iso-8859-1", "text/html; charset=iso-8859-1", "text/plain"] {
            let cost = |guess: &str| {
                let words = format!("{}caf\u{e9} {guess}\r\n", "Is it yours? \r\n".repeat(2000));
                let message = format!("Content-Type: {kind}\r\n\r\n{words}");
                let message: Vec<u8> = message.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect();
                let (done, spent) = work::within(&work::Allowance::endless(), || run_octets(&message));
                assert_eq!(done.unwrap().0.contains("9 seller@m.test"), guess.starts_with("s-real"));
                spent.reading as f64
            };
            let (right, wrong) = (cost("s-real-7f3@seller.example"), cost("x-real-7f3@seller.example"));
            assert!((right / wrong - 1.0).abs() < 0.01, "{kind}: {right} {wrong}");
        }
    }

    #[test]
    fn files_are_cleaned_or_told() {
        let encoded = |bytes: &[u8]| {
            format!(
                "Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n{}\r\n",
                data_encoding::BASE64.encode(bytes)
            )
        };
        let gif = b"GIF89a\x01\0\x01\0\0\0\0!\xfe\x06Secret\0;";
        let (out, passed) = run(&encoded(gif)).unwrap();
        assert!(
            out.contains(&data_encoding::BASE64.encode(b"GIF89a\x01\0\x01\0\0\0\0;")) && passed.is_empty(),
            "{out}"
        );
        let winmail = b"\x78\x9f\x3e\x22\x01\0\x02\x0c\x80\x02\0\x1d\0\0\0hi b-real-9c1@home.example !!\0\0";
        let (out, _) = run(&encoded(winmail).replace("octet-stream", "ms-tnef")).unwrap();
        assert!(out.contains("hi buyer@m.test !!"), "{out}");
        let (out, passed) = run(&encoded(b"{\\rtf1 hello}")).unwrap();
        assert!(out.contains(&data_encoding::BASE64.encode(b"{\\rtf1 hello}")), "{out}");
        assert_eq!(passed, [Passed { path: "1".to_owned(), kind: "application/rtf", why: Why::Unsupported }]);
        let inside = format!(
            "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nhi\r\n--b\r\n{}--b--\r\n",
            encoded(b"{\\rtf1 hello}")
        );
        let forwarded = format!(
            "Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\n\r\nhi\r\n--a\r\nContent-Type: message/rfc822\r\n\r\n{inside}--a--\r\n"
        );
        let paths = |message: &str| run(message).unwrap().1.into_iter().map(|passed| passed.path).collect::<Vec<_>>();
        assert_eq!((paths(&inside), paths(&forwarded)), (vec!["1.2".to_owned()], vec!["1.2.1.2".to_owned()]));
        // In a text, by uuencode: an RTF file, told once, and a text.
        let written = |name: &str, bytes: &[u8]| {
            let mut out = format!("begin 644 {name}\r\n");
            uuencode::encode(bytes, &mut out);
            out + "end\r\n"
        };
        let rtf = written("a.rtf", b"{\\rtf1 hello}");
        let list = written("list.csv", b"Bob;b-real-9c1@home.example\n");
        let (out, passed) = run(&format!("Content-Type: text/plain\r\n\r\n{rtf}{rtf}{list}")).unwrap();
        assert!(out.contains(&rtf) && out.contains(&written("list.csv", b"Bob;buyer@m.test\n")), "{out}");
        assert_eq!(passed, [Passed { path: "1".to_owned(), kind: "application/rtf", why: Why::Unsupported }]);
        let armour =
            "Content-Type: text/plain\r\n\r\n-----BEGIN PGP MESSAGE-----\r\n\r\nhQ\r\n-----END PGP MESSAGE-----\r\n";
        assert_eq!(run(armour).unwrap_err(), Unclean::Closed(Closed::Encrypted));
    }
}
