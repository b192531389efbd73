//! Every notice in every language as a whole message, read back by another parser.

use super::*;
use crate::policy::Reason;
use mail_parser::{MessageParser, MimeHeaders as _};

const ALIAS: &str = "k7bzn4wq3xv9hdtm2@market.example.jp";
const QUIET: &str = "quiet+aaaaaaaaaaaaaaaaaaaaaaaaaaaaa@market.example.jp";

/// How people write the moment at which the message of these tests was received.
const TIMES: [(&str, &str); 7] = [
    ("en", "Saturday, 21 November 2026, 17:00 (UTC+9)"),
    ("de", "Samstag, 21. November 2026, 17:00 Uhr (UTC+9)"),
    ("fr", "samedi 21 novembre 2026 à 17 h 00 (UTC+9)"),
    ("es", "sábado, 21 de noviembre de 2026, 17:00 (UTC+9)"),
    ("it", "sabato 21 novembre 2026, ore 17:00 (UTC+9)"),
    ("ja", "2026年11月21日(土) 17:00 (UTC+9)"),
    ("zh-Hans", "2026年11月21日（星期六）17:00（UTC+9）"),
];

struct World {
    texts: Texts,
    zone: TimeZone,
    to: Address,
    alias: Alias,
    other: Alias,
}

fn world() -> World {
    World {
        texts: Texts::built_in(),
        zone: TimeZone::get("Asia/Tokyo").unwrap(),
        to: Address::parse("s-real-7f3@sellerco.example").unwrap(),
        alias: Alias::from_text(ALIAS),
        other: Alias::from_text("z7bzn4wq3xv9hdtm2@market.example.jp"),
    }
}

fn frame<'a>(world: &'a World, language: &'a str) -> Frame<'a> {
    Frame {
        texts: &world.texts,
        marketplace: "Example 市場, \"best\"",
        domain: "market.example.jp",
        default_language: "en",
        zone: &world.zone,
        language,
        to: &world.to,
        now: Time::from_rfc3339("2026-11-21T09:00:00Z").unwrap(),
        message_id: "tokentoken@market.example.jp",
        about: MessageId(77),
        received: Time::from_rfc3339("2026-11-21T08:00:00Z").unwrap(),
        original_id: Some("CAF+a=b.1@mail.sellerco.example"),
        contact: "support@example.test",
        subject: "新商品のご案内 <b>& more</b>",
        name: "Bea",
        order: "250-1",
    }
}

fn all(world: &World, frame: &Frame<'_>) -> Vec<(Name, Vec<u8>)> {
    let until = frame.now.plus(std::time::Duration::from_secs(86_400));
    let tags = crate::config::OptOut::default().critical_tags;
    let failed = Failed { receiver: &world.alias, why: FailureClass::MailboxFull.into() };
    let opens = until.rfc3339();
    let over = Failed { receiver: &world.other, why: Why::of(&Reason::OverQuota { limit: 620, opens }) };
    let refused = [over.clone(), failed.clone()];
    let mut made = vec![
        (Name::Failure, failure(frame, &failed)),
        (Name::Delayed, delayed(frame, &world.alias, until)),
        (Name::Partial, partial(frame, &refused)),
        (Name::Reported, reported(frame, &failed)),
        (Name::Stopped, stopped(frame, &[over], "a.zip")),
        (Name::Doubtful, doubtful(frame, &failed)),
        (Name::OptOut, opt_out_reply(frame, &world.alias, &tags)),
        (Name::OptOutStrict, opt_out_reply(frame, &world.alias, &[])),
        (Name::OptOutLimit, opt_out_limit(frame, &world.alias, 20, until)),
    ];
    for name in [Name::ReportDone, Name::NoResponseDone, Name::StopDone] {
        made.push((name, confirmation(frame, name)));
    }
    let named = CHECKS.map(|check| {
        let (first, last) = (frame.received, frame.now);
        Named { receiver: &world.other, check, number: 3, first, last }
    });
    made.push((Name::Refused, super::refused(frame, 15, &named, QUIET)));
    made.push((Name::FileAddress, file_address(frame, &world.alias, "2.1")));
    made
}

/// What `check` lets an operator write is filled in.
#[test]
fn every_placeholder_is_filled_in() {
    let mut world = world();
    let every = |name: Name| format!("{{{}}}", name.placeholders().join("} {"));
    let file = |name: Name, ending: &str, text: String| texts::File {
        language: "en".to_owned(),
        name: format!("{}.{ending}", name.as_str()),
        text,
    };
    let files = Name::ALL.into_iter().flat_map(|name| {
        let plain = format!("Subject: {0}\n\n{0}\n", every(name));
        [file(name, "txt", plain), file(name, "html", format!("<p>{}</p>", every(name)))]
    });
    let (texts, problems) = Texts::built_in().with(files);
    assert_eq!(problems, Vec::<String>::new());
    world.texts = texts;
    let made = all(&world, &frame(&world, "en"));
    assert!(Name::ALL.iter().all(|name| made.iter().any(|(made, _)| made == name)));
    for (name, bytes) in made {
        let message = MessageParser::default().parse(&bytes).unwrap();
        let words =
            [message.subject().unwrap(), &message.body_text(0).unwrap(), &message.body_html(0).unwrap()].join("\n");
        assert!(!words.contains('{'), "{}: {words}", name.as_str());
        assert!(!name.is_of_one() || words.contains("@market.example.jp"), "{}: {words}", name.as_str());
    }
}

#[test]
fn every_notice_is_a_sound_message() {
    let world = world();
    for language in world.texts.languages() {
        let frame = frame(&world, &language);
        for (name, bytes) in all(&world, &frame) {
            let what = format!("{language}/{}", name.as_str());
            let text = String::from_utf8(bytes.clone()).unwrap();
            assert!(text.is_ascii(), "{what}");
            assert!(
                text.lines().all(|line| line.len() <= 998) && !text.replace("\r\n", "").contains(['\r', '\n']),
                "{what}"
            );
            let (header, _) = text.split_once("\r\n\r\n").unwrap();
            let names: Vec<&str> =
                header.lines().filter(|l| !l.starts_with([' ', '\t'])).filter_map(|l| l.split(':').next()).collect();
            for wanted in
                ["From", "To", "Subject", "Date", "Message-ID", "MIME-Version", "Auto-Submitted", "In-Reply-To"]
            {
                assert_eq!(names.iter().filter(|n| **n == wanted).count(), 1, "{what} {wanted}\n{header}");
            }
            assert!(header.lines().all(|line| line.len() <= 78), "{what}\n{header}");
            for word in header.split_whitespace().filter(|word| word.starts_with("=?")) {
                assert!(word.trim_end_matches(',').len() <= 75, "{what} {word}");
            }
            let message = MessageParser::default().parse(&bytes).unwrap();
            let from = message.from().and_then(|from| from.first()).unwrap();
            assert_eq!(from.address(), Some("postmaster@market.example.jp"));
            assert_eq!(from.name(), Some("Example 市場, \"best\""), "{what}");
            assert_eq!(message.in_reply_to().as_text(), Some("CAF+a=b.1@mail.sellerco.example"));
            let plain = message.body_text(0).unwrap();
            let html = message.body_html(0).unwrap();
            assert!(!plain.contains('{') && !html.contains('{'), "{what}: a placeholder is left\n{plain}");
            assert!(!html.contains("<b>"), "{what}");
            if !matches!(name, Name::StopDone | Name::Refused) {
                let time = TIMES.iter().find(|(tag, _)| *tag == language).unwrap().1;
                assert!(plain.contains(time), "{what}\n{plain}");
            }
            assert!(plain.contains(&MessageId(77).to_string()), "{what}");
        }
    }
}

/// What somebody has to know whose own mail was refused: how many, when, where to, why, and how to
/// hear no more of it.
#[test]
fn a_notice_of_refused_mail_tells_numbers_and_checks() {
    let world = world();
    for language in world.texts.languages() {
        let made = all(&world, &frame(&world, &language));
        let (_, bytes) = made.iter().find(|(name, _)| *name == Name::Refused).unwrap();
        let message = MessageParser::default().parse(bytes).unwrap();
        let (plain, html) = (message.body_text(0).unwrap(), message.body_html(0).unwrap());
        let lines: Vec<&str> =
            plain.lines().filter(|line| line.starts_with(&format!("- {}", world.other.as_str()))).collect();
        assert_eq!(lines.len(), CHECKS.len(), "{plain}");
        for line in &lines {
            let time = TIMES.iter().find(|(tag, _)| *tag == language).unwrap().1;
            assert!(line.contains(&format!(" × 3, {time} – {}: ", time.replace("17", "18"))), "{line}");
            assert!(!line.ends_with(": "), "{language}: a check has no sentence\n{line}");
        }
        assert_eq!(lines.iter().collect::<std::collections::BTreeSet<_>>().len(), CHECKS.len());
        assert!(
            plain.contains("15") && plain.contains("SPF") && plain.contains("DKIM") && plain.contains(QUIET),
            "{plain}"
        );
        assert!(html.contains(&format!("<a href=\"mailto:{QUIET}\">")), "{html}");
        assert_eq!(message.header("Auto-Submitted").and_then(|value| value.as_text()), Some("auto-generated"));
    }
}

#[test]
fn a_report_is_for_programs_too() {
    let world = world();
    let frame = frame(&world, "ja");
    for (name, bytes) in all(&world, &frame).into_iter().take(3) {
        let message = MessageParser::default().parse(&bytes).unwrap();
        let kind = message.content_type().unwrap();
        assert_eq!((kind.subtype(), kind.attribute("report-type")), (Some("report"), Some("delivery-status")));
        let report =
            message.parts.iter().find(|p| p.content_type().is_some_and(|t| t.subtype() == Some("delivery-status")));
        let report = String::from_utf8(report.unwrap().contents().to_vec()).unwrap();
        assert!(report.starts_with("Reporting-MTA: dns; market.example.jp\r\nArrival-Date: "), "{report}");
        assert!(
            report.contains(&format!("\r\n\r\nFinal-Recipient: rfc822; {ALIAS}\r\nAction: ")) || name == Name::Partial
        );
        let (action, status) = match name {
            Name::Failure => ("failed", vec!["5.2.2"]),
            Name::Delayed => ("delayed", vec!["4.4.1"]),
            _ => ("failed", vec!["5.4.5", "5.2.2"]),
        };
        for status in status {
            assert!(report.contains(&format!("Action: {action}\r\nStatus: {status}\r\n")), "{report}");
        }
        assert_eq!(report.contains("Will-Retry-Until: Sun, 22 Nov 2026"), name == Name::Delayed);
    }
}

#[test]
fn an_authors_message_id_cannot_write_a_header() {
    let world = world();
    let long = format!("{}@x", "a".repeat(1000));
    for id in ["a@b\r\nBcc: c@d.test", "a@b> <c@d", "a b@c", "", "ab", &long, "é@x"] {
        let frame = Frame { original_id: Some(id), ..frame(&world, "en") };
        let text = String::from_utf8(confirmation(&frame, Name::ReportDone)).unwrap();
        assert!(!text.contains("In-Reply-To") && !text.contains("Bcc"), "{id}");
    }
}

#[test]
fn the_opt_out_reply_carries_the_sellers_subject() {
    let world = world();
    let frame = Frame { subject: "ご案内\r\nBcc: x@y.test", ..frame(&world, "ja") };
    let bytes = opt_out_reply(&frame, &world.alias, &["[重要]".to_owned()]);
    let message = MessageParser::default().parse(&bytes).unwrap();
    assert_eq!(message.subject(), Some("自動返信: ご案内  Bcc: x@y.test"));
    assert!(message.bcc().is_none());
    assert!(message.body_text(0).unwrap().contains("[重要]"));
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]

    /// Whatever a seller writes into a subject, or his program into a Message-ID: the notice stays one message with our header.
    #[test]
    fn any_subject_and_id(subject in "(?s).{0,400}", id in "(?s).{0,60}") {
        let world = world();
        let frame = Frame { original_id: Some(&id), subject: &subject, ..frame(&world, "ja") };
        let bytes = opt_out_reply(&frame, &world.alias, &["[重要]".to_owned()]);
        let text = String::from_utf8(bytes.clone()).unwrap();
        proptest::prop_assert!(text.is_ascii() && text.lines().all(|line| line.len() <= 998));
        proptest::prop_assert!(!text.replace("\r\n", "").contains(['\r', '\n', '\0']));
        let message = MessageParser::default().parse(&bytes).unwrap();
        let names: Vec<&str> = message.headers().iter().map(|header| header.name()).collect();
        let mut wanted = vec!["From", "To", "Subject", "Date", "Message-ID", "MIME-Version", "Auto-Submitted",
            "X-Auto-Response-Suppress", "X-Marketrelay-Loop", "In-Reply-To", "References", "Content-Type"];
        if names.len() == 10 {
            wanted.retain(|name| !matches!(*name, "In-Reply-To" | "References"));
        }
        proptest::prop_assert_eq!(names, wanted);
    }
}

/// Which message it is, whom to ask, and the tags of the reader's language alone; what is not known
/// is left out with its line.
#[test]
fn a_notice_says_which_message_and_what_helps() {
    let world = world();
    let tags = crate::config::OptOut::default().critical_tags;
    let plain = |bytes: &[u8]| MessageParser::default().parse(bytes).unwrap().body_text(0).unwrap().into_owned();
    for (language, own, other) in
        [("ja", "[重要]", "[Wichtig]"), ("de", "[Wichtig]", "[重要]"), ("en", "[Important]", "[Wichtig]")]
    {
        let frame = frame(&world, language);
        let text = plain(&opt_out_reply(&frame, &world.alias, &tags));
        assert!(text.contains(own) && !text.contains(other), "{text}");
        for word in ["Bea", "250-1", "新商品", "support@example.test", ALIAS] {
            assert!(text.contains(word), "{word}: {text}");
        }
        let none = Frame { subject: "", name: "", order: "", ..frame };
        let failed = Failed { receiver: &world.alias, why: Why::of(&Reason::TooLarge(25)) };
        let text = plain(&stopped(&none, &[failed], ""));
        assert!(text.contains("25") && text.lines().filter(|line| line.starts_with("- ")).count() == 2, "{text}");
    }
    // An operator's own tags are shown to everybody.
    let text = plain(&opt_out_reply(&frame(&world, "ja"), &world.alias, &["[Urgent]".to_owned()]));
    assert!(text.contains("[Urgent]"), "{text}");
}
