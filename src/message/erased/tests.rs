//! What goes out of the other party's messages, and what stays in them.

use super::*;
use crate::message::sealed::tests::signed;
use crate::message::text::decode_charset;
use crate::types::{Address, AddressKey, Alias};
use data_encoding::BASE64;

fn key(text: &str) -> AddressKey {
    Address::parse(text).unwrap().key()
}

fn hana() -> Person {
    Person::new("Hana van der Suzuki", false, &[key("b-real-9c1@home.example"), key("old@bücher.example")])
}

/// What the seller's message becomes after the buyer has written `said`.
fn after(said: &str, other: &str) -> Option<String> {
    let person = hana();
    let copied = vec![Replacement::new(&key("b-real-9c1@home.example"), Some(&Alias::from_text("alias@m.test")))];
    let mut talk = Conversation::new(&person, copied);
    talk.erased_wrote(said.as_bytes(), subject_of(said));
    let (raw, _) = talk.other_wrote(other.as_bytes(), subject_of(other))?;
    Some(String::from_utf8(raw).unwrap())
}

fn subject_of(raw: &str) -> &str {
    raw.lines().find_map(|line| line.strip_prefix("Subject: ")).unwrap_or("")
}

#[test]
fn names_and_addresses() {
    let seller = Person::new("Mark Shop", true, &[]);
    let one = Person::new("花子", false, &[]);
    let dense = Person::new("鈴木 花子", false, &[]);
    let will = Person::new("Will Smith", false, &[]);
    let hana = hana();
    // who, HTML, text, without
    let table: &[(&Person, bool, &str, Option<&str>)] = &[
        (&hana, false, "Dear Hana, hello", Some("Dear [erased], hello")),
        (&hana, false, "dear hana van der suzuki!", Some("dear [erased]!")),
        (&hana, false, "HANA VAN DER SUZUKI", Some("[erased]")),
        (&hana, false, "Hana van\r\n> der Suzuki", Some("[erased]")),
        (&hana, false, "Ｈａｎａ and Suzuki-san", Some("[erased] and [erased]-san")),
        (&hana, false, "Hana's cup", Some("[erased]'s cup")),
        (&hana, false, "Hanabi, xHana, hana, der, van", None),
        (&hana, false, "スズキ Suzuki様", Some("スズキ [erased]様")),
        (&hana, false, "b-real-9c1@home.example or B-Real-9c1+x@HOME.example", Some("[erased] or [erased]")),
        (&hana, false, "at old@xn--bcher-kva.example", Some("at [erased]")),
        (&hana, false, "jim-b-real-9c1@home.example", None),
        (&hana, true, "<b>&#72;ana</b>&nbsp;van&nbsp;der Suzuki", Some("<b>[erased]</b>&nbsp;van&nbsp;der [erased]")),
        (&hana, true, "Hana&nbsp;van der Suzuki", Some("[erased]")),
        (
            &hana,
            true,
            "<a href=\"mailto:b-real-9c1%40home.example\" title=\"Hana\">",
            Some("<a href=\"mailto:[erased]\" title=\"[erased]\">"),
        ),
        (&seller, true, "<mark>Shop</mark> of the Mark Shop", Some("<mark>Shop</mark> of the [erased]")),
        (&seller, false, "Mark, the shop of Shop", None),
        (&will, false, "Dear Will, I will pay Smith", Some("Dear [erased], I will pay [erased]")),
        (&one, false, "花子様、ありがとう", Some("[erased]様、ありがとう")),
        (&dense, false, "鈴木花子様、鈴木様、鈴 木", Some("[erased]様、[erased]様、鈴 木")),
    ];
    for (person, html, text, want) in table {
        assert_eq!(person.without_in(text, *html).as_deref(), *want, "{text}");
    }
    let nobody = Person::new("  ", false, &[]);
    assert_eq!((nobody.without("a b"), nobody.without("")), (None, None));
    assert_eq!(
        hana.without_in_name("for_Hana_b-real-9c1@home.example.pdf").as_deref(),
        Some("for_[erased]_[erased].pdf")
    );
}

#[test]
fn what_is_quoted_goes_and_what_is_the_others_stays() {
    let said = "Subject: My broken cup\r\n\r\nThe cup arrived broken and nobody answers me at b-real-9c1@home.example.\r\nok\r\n\
                > ours before: we shall send it on Monday\r\nThanks\r\n";
    let header = "Subject: Re: My broken cup\r\n";
    // the seller's text, what becomes of it
    let table = [
        (
            "> The cup arrived broken and nobody\r\n> answers me at alias@m.test.\r\n> ok\r\nYes.\r\n",
            "> [erased]\r\nYes.\r\n",
        ),
        ("> > The cup arrived\r\n> But you said ok\r\n", "> > [erased]\r\n> But you said ok\r\n"),
        ("The cup arrived broken and nobody answers\r\nThanks\r\nok\r\n", "[erased]\r\nThanks\r\nok\r\n"),
        ("The cup arrived unbroken here.\r\n", "The cup arrived unbroken here.\r\n"),
        ("Subject: My broken cup\r\nBetreff: AW: my  broken cup\r\n", "[erased]\r\n"),
        ("> -----\r\n> \r\n", "> -----\r\n> \r\n"),
    ];
    for (text, want) in table {
        let out = after(said, &format!("{header}\r\n{text}")).unwrap();
        let (head, body) = out.split_once("\r\n\r\n").unwrap();
        assert!(head.contains("Subject: Re: [erased]"), "{out}");
        assert_eq!(body, want);
    }
    let html = "<p>Sorry!</p>\r\n<blockquote type=cite><div>The <b>cup</b> arrived broken</div>\r\n<p>ok</p></blockquote>\r\n<p>ok</p>";
    let out = after(said, &format!("Content-Type: text/html\r\n\r\n{html}")).unwrap();
    assert!(out.contains("Sorry!") && !out.contains("arrived") && out.contains("<p>ok</p>"), "{out}");

    // What the other had written first is the other's, though it was quoted back, and so is the
    // subject.
    let person = hana();
    let mut talk = Conversation::new(&person, Vec::new());
    let first = b"\r\nPlease tell us the number of your order, it stands on the bill.\r\n";
    assert_eq!(talk.other_wrote(first, "Your order"), None);
    talk.erased_wrote(
        b"\r\nPlease tell us the number of your order, it stands on the bill.\r\nIt is nine of nine of nine.\r\n",
        "Re: Your order",
    );
    let again =
        b"\r\n> Please tell us the number of your order, it stands on the bill.\r\n> It is nine of nine of nine.\r\n";
    let (out, subject) = talk.other_wrote(again, "Re: Your order").unwrap();
    let want = "\r\n> Please tell us the number of your order, it stands on the bill.\r\n> [erased]\r\n";
    assert_eq!((String::from_utf8(out).unwrap().as_str(), subject.as_str()), (want, "Re: Your order"));
}

#[test]
fn parts_that_hold_nothing_keep_their_octets() {
    let b64 = |text: &str| BASE64.encode(text.as_bytes());
    let said = "\r\nThe cup arrived broken and nobody answers me.\r\n";
    let message = format!(
        "To: =?utf-8?B?{}?= =?utf-8?Q?_and_others?= <alias@m.test>,\r\n \"Hana van der Suzuki\" <x@m.test>\r\nX-Mailer:  as it was \r\n\
         Content-Type: multipart/mixed; boundary=a\r\n\r\npre\r\n--a\r\nContent-Type: text/plain; charset=iso-8859-1; format=flowed\r\n\
         Content-Transfer-Encoding: quoted-printable\r\n\r\nCaf=E9 for Hana\r\n> The cup arrived broken=\r\n and nobody answers me.\r\n--a\r\n\
         Content-Type: application/octet-stream; name=\"Hana.bin\"\r\nContent-Transfer-Encoding: base64\r\n\r\nAAEC//8=\r\n--a\r\n\
         Content-Type: message/rfc822\r\n\r\nFrom: Hana <x@m.test>\r\n\r\nThe cup arrived broken and nobody answers me.\r\n--a\r\n\
         Content-Type: text/csv\r\nContent-Disposition: attachment; filename*=utf-8''list%20of%20Hana.csv\r\nContent-Transfer-Encoding: base64\r\n\r\n{}\r\n--a--\r\npost",
        b64("Hana van der Suzuki"),
        b64("Hana;1\n"),
    );
    let out = after(said, &message).unwrap();
    let read = Part::read(out.as_bytes(), false);
    assert_eq!(
        read.field("To").unwrap().text(),
        "[erased] and others <alias@m.test>, \"[erased]\" <x@m.test>",
        "{out}"
    );
    for stays in [
        "X-Mailer:  as it was \r\n",
        "\r\n\r\npre\r\n--a\r\n",
        "AAEC//8=",
        "--a--\r\npost",
        "format=flowed",
        "name=\"[erased].bin\"",
    ] {
        assert!(out.contains(stays), "{stays} in {out}");
    }
    let texts: String = read
        .children()
        .unwrap()
        .into_iter()
        .map(|child| {
            let part = Part::read(child, false);
            decode_charset(&part.decoded(), part.kind.get("charset").unwrap_or("")).into_owned()
                + part.file_name().unwrap_or("")
        })
        .collect();
    assert!(
        texts.contains("Café for [erased]") && texts.contains("[erased];1") && texts.contains("list of [erased].csv"),
        "{texts}"
    );
    assert!(!out.contains("Hana") && !texts.contains("Hana") && !texts.contains("arrived"), "{out} {texts}");
    // Signed in one piece.
    let wrapped = |text: &str| {
        let inner = format!("Content-Type: text/plain\r\n\r\n{text}\r\n");
        let data = BASE64.encode(&signed(inner.as_bytes(), true));
        format!(
            "Subject: ours\r\nContent-Type: application/pkcs7-mime\r\nContent-Transfer-Encoding: base64\r\n\r\n{data}\r\n"
        )
    };
    let out = after(said, &wrapped("Dear Hana, sorry")).unwrap();
    assert!(
        out.starts_with("Subject: ours\r\n") && out.contains("Dear [erased], sorry") && !out.contains("pkcs7"),
        "{out}"
    );
    assert_eq!(after(said, &wrapped("Dear customer")), None);
    assert_eq!(after(said, "Subject: ours\r\nTo: x\r\n\r\nnothing of it\r\n"), None);
    // Shift_JIS that nobody names stays what it is.
    let person = Person::new("花子", false, &[]);
    let mut talk = Conversation::new(&person, Vec::new());
    let raw = [b"\r\n".as_slice(), &encoding_rs::SHIFT_JIS.encode("拝啓 花子様、ソ表能").0].concat();
    let (out, _) = talk.other_wrote(&raw, "").unwrap();
    assert_eq!(encoding_rs::SHIFT_JIS.decode(&out).0.trim_start(), "拝啓 [erased]様、ソ表能");
}

proptest::proptest! {
    /// Whatever stands there: no panic, no name where one was put between words, and the same again
    /// changes nothing more.
    #[test]
    fn any_message(head in "[a-zA-Z:;=?/\"<> \r\n-]{0,80}", body in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
        let person = hana();
        let mut talk = Conversation::new(&person, Vec::new());
        let raw = [head.as_bytes(), b"\r\n\r\n", &body, b" Hana ", &body].concat();
        talk.erased_wrote(&raw, &head);
        if let Some((out, subject)) = talk.other_wrote(&raw, &head) {
            let mut talk = Conversation::new(&person, Vec::new());
            talk.erased_wrote(b"", "");
            let again = talk.other_wrote(&out, &subject);
            proptest::prop_assert!(again.is_none_or(|(again, _)| again.len() <= out.len() * 2 + 400));
        }
    }
}
