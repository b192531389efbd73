//! Invitations (RFC 5545, RFC 5546): organizer and attendees become aliases, so that the answer comes back through the relay; ids are sealed and opened again
//! on the way back, so that the answer still finds its event. Properties by allow-list.

use super::content_lines::{ContentLine, fold, unfold};
use super::replacements::Replacements;
use super::scrub::scrub;
use super::work;
use crate::types::Alias;
use data_encoding::BASE32HEX_NOPAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// Properties that pass, their text scrubbed.
const KEPT: &[&str] = &[
    "BEGIN",
    "END",
    "VERSION",
    "CALSCALE",
    "METHOD",
    "DTSTART",
    "DTEND",
    "DUE",
    "DURATION",
    "DTSTAMP",
    "SEQUENCE",
    "STATUS",
    "TRANSP",
    "SUMMARY",
    "DESCRIPTION",
    "LOCATION",
    "COMMENT",
    "RRULE",
    "RDATE",
    "EXDATE",
    "EXRULE",
    "RECURRENCE-ID",
    "PRIORITY",
    "CLASS",
    "CATEGORIES",
    "TRIGGER",
    "ACTION",
    "REPEAT",
    "TZID",
    "TZOFFSETFROM",
    "TZOFFSETTO",
    "TZNAME",
    "COMPLETED",
    "PERCENT-COMPLETE",
    "FREEBUSY",
    "REQUEST-STATUS",
    "URL",
    "CREATED",
    "LAST-MODIFIED",
];
/// Parameters of an attendee that pass.
const ATTENDEE: &[&str] = &["ROLE", "PARTSTAT", "RSVP", "CUTYPE"];
/// An id longer than this is not sealed but replaced for good.
const LONGEST_ID: usize = 800;

/// Steps of a message authentication code.
const MAC: usize = 1000;

/// What an invitation is to become.
#[derive(Clone, Copy, Debug)]
pub struct CalendarOrder<'a> {
    /// The addresses of both sides.
    pub replacements: &'a Replacements,
    /// Stands for the author.
    pub author: &'a Alias,
    /// Stands for the receiver.
    pub receiver: &'a Alias,
    /// The pair's own secret, the same in both directions.
    pub key: &'a [u8],
}

/// Whether it answers an invitation: it says again what that said.
#[must_use]
pub fn is_answer(text: &str) -> bool {
    let answers = |line: &str| {
        ContentLine::read(line).is_some_and(|line| {
            let method = line.value.trim();
            line.name == "METHOD" && ["REPLY", "COUNTER", "REFRESH"].iter().any(|m| method.eq_ignore_ascii_case(m))
        })
    };
    unfold(text).any(|line| answers(&line))
}

/// Cleans a calendar object; lines that are none are left out.
#[must_use]
pub fn clean(text: &str, order: &CalendarOrder<'_>) -> String {
    let answer = is_answer(text);
    let mut out = String::with_capacity(text.len());
    let mut invited = false;
    for line in unfold(text) {
        let Some(line) = ContentLine::read(&line) else { continue };
        match line.name.as_str() {
            "PRODID" => fold("PRODID:-//marketrelay//EN", &mut out),
            "UID" => fold(&format!("UID:{}", id(line.value.trim(), order)), &mut out),
            "ORGANIZER" => {
                let alias = if answer { order.receiver } else { order.author };
                fold(&format!("ORGANIZER:mailto:{}", alias.as_str()), &mut out);
            }
            "ATTENDEE" => attendee(&line, answer, order, &mut invited, &mut out),
            name if KEPT.contains(&name) => {
                invited &= name != "BEGIN";
                kept(&line, order, &mut out);
            }
            _ => {}
        }
    }
    out
}

fn kept(line: &ContentLine<'_>, order: &CalendarOrder<'_>, out: &mut String) {
    let mut written = line.name.clone();
    for parameter in &line.parameters {
        let name = parameter.split('=').next().unwrap_or("").to_ascii_uppercase();
        if ["TZID", "VALUE", "LANGUAGE", "RANGE", "RELATED", "FBTYPE"].contains(&name.as_str()) {
            written.push(';');
            written.push_str(&order.replacements.scrubbed(parameter));
        }
    }
    written.push(':');
    written.push_str(&order.replacements.scrubbed(line.value));
    fold(&written, out);
}

/// The author's own entry stays, and one of the others, as the receiver's: whoever gets an
/// invitation is invited, and other people's addresses are nobody's business. Which of them is the
/// receiver's real one must not show: programs answer to those who are invited.
fn attendee(line: &ContentLine<'_>, answer: bool, order: &CalendarOrder<'_>, invited: &mut bool, out: &mut String) {
    let address = line.value.trim();
    let address = address
        .get(..7)
        .filter(|p| p.eq_ignore_ascii_case("mailto:"))
        .map_or(address, |_| address.get(7..).unwrap_or(""));
    let replaced = scrub(address, false, order.replacements.of_author());
    let address = replaced.as_deref().unwrap_or(address);
    let is = |alias: &Alias| address.eq_ignore_ascii_case(alias.as_str());
    // Who answers is the author, whatever address the calendar program knows.
    let alias = if answer || is(order.author) {
        order.author
    } else if !std::mem::replace(invited, true) {
        order.receiver
    } else {
        return;
    };
    // What somebody else answered is not the receiver's.
    let somebody = alias == order.receiver && !is(order.receiver);
    let mut written = String::from("ATTENDEE");
    for parameter in &line.parameters {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let plain = value.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        let answered = somebody && name.eq_ignore_ascii_case("PARTSTAT");
        if ATTENDEE.iter().any(|kept| kept.eq_ignore_ascii_case(name)) && plain && !answered {
            written.push(';');
            written.push_str(parameter);
        }
    }
    fold(&format!("{written}:mailto:{}", alias.as_str()), out);
}

/// Our own sealed id is opened, any other sealed: it may hold host, account or address, and the answer has to carry it back.
fn id(id: &str, order: &CalendarOrder<'_>) -> String {
    let domain = order.author.domain();
    let sealed = id.rsplit_once('@').filter(|(_, host)| host.eq_ignore_ascii_case(domain)).map(|(sealed, _)| sealed);
    sealed.and_then(|sealed| open(sealed, order.key)).unwrap_or_else(|| format!("{}@{domain}", seal(id, order.key)))
}

fn mac(key: &[u8], pieces: &[&[u8]]) -> Vec<u8> {
    work::count(MAC);
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return Vec::new() };
    pieces.iter().for_each(|piece| mac.update(piece));
    mac.finalize().into_bytes().to_vec()
}

/// The same text gives the same seal (a synthetic nonce, as in RFC 5297): the nonce is the text's own MAC, the stream is made from it.
fn seal(text: &str, key: &[u8]) -> String {
    let mut nonce = mac(key, &[b"calendar id", text.as_bytes()]);
    nonce.truncate(16);
    let body = if text.len() <= LONGEST_ID { stream(text.as_bytes(), &nonce, key) } else { Vec::new() };
    nonce.extend_from_slice(&body);
    BASE32HEX_NOPAD.encode(&nonce).to_ascii_lowercase()
}

fn open(sealed: &str, key: &[u8]) -> Option<String> {
    let bytes = BASE32HEX_NOPAD.decode(sealed.to_ascii_uppercase().as_bytes()).ok()?;
    let (nonce, body) = bytes.split_at_checked(16)?;
    let text = String::from_utf8(stream(body, nonce, key)).ok()?;
    let mut right = mac(key, &[b"calendar id", text.as_bytes()]);
    right.truncate(16);
    // Whoever could forge one would read back his own text: no secret hangs on the time that this takes.
    (right == nonce).then_some(text)
}

fn stream(text: &[u8], nonce: &[u8], key: &[u8]) -> Vec<u8> {
    let blocks = text.chunks(32).zip(0_u32..);
    blocks
        .flat_map(|(block, n)| {
            let pad = mac(key, &[b"calendar stream", nonce, &n.to_be_bytes()]);
            block.iter().zip(pad).map(|(a, b)| a ^ b).collect::<Vec<u8>>()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Address;

    fn run(text: &str, back: bool) -> String {
        let key = |text: &str| Address::parse(text).unwrap().key();
        let (seller, buyer) = (Alias::from_text("seller@m.test"), Alias::from_text("buyer@m.test"));
        let (seller_side, buyer_side) = ([key("s-real@shop.example")], [key("b-real@home.example")]);
        let (seller_side, buyer_side) = ((&seller_side[..], &seller), (&buyer_side[..], &buyer));
        let (author, receiver) = if back { (buyer_side, seller_side) } else { (seller_side, buyer_side) };
        let replacements = Replacements::new(author, receiver);
        let (author, receiver) = (author.1, receiver.1);
        clean(text, &CalendarOrder { replacements: &replacements, author, receiver, key: b"pair" })
    }

    const REQUEST: &str = "BEGIN:VCALENDAR\r\nPRODID:-//Microsoft Corporation//Outlook 16.0//EN\r\nVERSION:2.0\r\nMETHOD:REQUEST\r\nX-WR-CALNAME:Sato\r\nBEGIN:VEVENT\r\n\
        UID:abc@laptop.shop.example\r\nORGANIZER;CN=\"Sato: Real\":mailto:other@shop.example\r\nATTENDEE;ROLE=REQ-PARTICIPANT;CN=Bob;RSVP=TRUE:MAILTO:B-Real@home.ex\r\n ample\r\n\
        ATTENDEE:mailto:third@x.test\r\nATTENDEE;X-SENTBY=s-real@shop.example:mailto:seller@m.test\r\nDTSTART;TZID=Asia/Tokyo:20261121T090000\r\n\
        SUMMARY;LANGUAGE=ja:Call s-real@shop.example\r\nATTACH:http://x\r\nX-MS-OLK-SENDER:mailto:s-real@shop.example\r\nnonsense\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n";

    #[test]
    fn invitations_work_through_the_aliases() {
        let out = run(REQUEST, false);
        let uid = unfold(&out).find_map(|l| l.strip_prefix("UID:").map(str::to_owned)).unwrap();
        assert_eq!(
            out.replace("\r\n ", "").replace(&uid, "U"),
            "BEGIN:VCALENDAR\r\nPRODID:-//marketrelay//EN\r\nVERSION:2.0\r\nMETHOD:REQUEST\r\nBEGIN:VEVENT\r\nUID:U\r\nORGANIZER:mailto:seller@m.test\r\n\
             ATTENDEE;ROLE=REQ-PARTICIPANT;RSVP=TRUE:mailto:buyer@m.test\r\nATTENDEE:mailto:seller@m.test\r\nDTSTART;TZID=Asia/Tokyo:20261121T090000\r\n\
             SUMMARY;LANGUAGE=ja:Call seller@m.test\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
        );
        assert!(uid.ends_with("@m.test") && !uid.contains("laptop"));
        assert_eq!(run(REQUEST, false), out, "an update meets its event");
        let reply = format!(
            "BEGIN:VCALENDAR\r\nMETHOD:REPLY\r\nBEGIN:VEVENT\r\nUID:{uid}\r\nORGANIZER:mailto:seller@m.test\r\nATTENDEE;PARTSTAT=ACCEPTED:mailto:private@home.example\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
        );
        let back = run(&reply, true);
        assert!(back.contains("UID:abc@laptop.shop.example\r\nORGANIZER:mailto:seller@m.test\r\nATTENDEE;PARTSTAT=ACCEPTED:mailto:buyer@m.test\r\n"), "{back}");
    }

    proptest::proptest! {
        #[test]
        fn ids_come_back(text in "\\PC{0,100}") {
            proptest::prop_assert_eq!(open(&seal(&text, b"k"), b"k"), Some(text.clone()));
            proptest::prop_assert_eq!(open(&seal(&text, b"k"), b"other"), None);
        }

        #[test]
        fn any_text(text in "([A-Z;:=\"\r\n .é]|ATTENDEE|UID|mailto:|b-real@home.example){0,60}") {
            let out = run(&text, true);
            proptest::prop_assert!(!out.contains("b-real@home.example"));
            for line in out.split("\r\n") {
                proptest::prop_assert!(line.len() <= 75 && !line.contains(['\r', '\n']));
            }
        }
    }
}
