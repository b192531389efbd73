//! Footers, written, quoted, mangled and found again.

use super::find::LONGEST;
use super::*;

const MARK_A: &str = "bbqxerik4m2fdq7opkxa2zzt";
const TOKEN_A: &str = "bbqxerik4m2fdq7opkxa2zztabcde";

fn footer() -> Footer {
    let action = |purpose: Purpose, label: &str| Action {
        purpose,
        label: label.to_owned(),
        address: format!("{}+{TOKEN_A}@market.test", purpose.word()),
    };
    let actions =
        vec![action(Purpose::NoResponse, "No <response> needed"), action(Purpose::Report, "Report this message")];
    let seller = Seller { label: "Seller".to_owned(), name: "Sato <Shop> [/ref] \r\n[1] s@sato.example".to_owned() };
    let [links, addresses, send, unsigned] =
        ["Each link -- they say -- opens a mail.", "Write to them.", "Just send it & go.", "Not signed -- any more."]
            .map(str::to_owned);
    Footer { mark: MARK_A.to_owned(), links, addresses, send, unsigned, seller: Some(seller), actions }
}

/// The reference of [`MARK_A`].
const REF_A: &str = "Ref: bbqxer-ik4m2f-dq7opk-xa2zzt";

/// The threads' marks in a text.
fn found(text: &str, html: bool) -> Vec<String> {
    let mut found = Vec::new();
    marks(text, html, &mut found);
    let thread = |mark| if let Mark::Thread(mark) = mark { Some(mark) } else { None };
    found.into_iter().filter_map(thread).collect()
}

/// A footer as it was once written.
fn old(text: &str) -> String {
    format!(
        "{text}\r\n\r\n[ref:{MARK_A}] Please keep this line.\r\nSeller: Sato Shop\r\n\
         No response needed: done+{TOKEN_A}@market.test\r\n\
         Report this message: report+{TOKEN_A}@market.test\r\n[/ref]\r\n"
    )
}

#[test]
fn what_is_written_is_found_and_taken_out_again() {
    for text in ["Hello", "Hello\r\n", "", "> quoted"] {
        let whole = text.to_owned() + &footer().under_text(text);
        assert_eq!(found(&whole, false), [MARK_A]);
        assert_eq!(strip(&whole, false).unwrap().trim_end(), text.trim_end());
    }
    for html in ["<p>Hello</p>", "<html><body><p>Hello</p></body></html>", "Hello"] {
        let whole = footer().under_html(html);
        assert_eq!(found(&whole, true), [MARK_A]);
        let rest = strip(&whole, true).unwrap();
        assert!(rest.contains("Hello"), "{rest}");
        let shown = html::visible(&rest).0;
        assert_eq!(shown.replace(['\0', '\r', '\n'], ""), "Hello", "{rest}");
        assert!(!rest.contains('+') && !rest.contains("subject"), "{rest}");
    }
    // Tokens alone, in links alone.
    let whole = footer().under_html("Hello");
    let links = whole.replace("Ref", "").replace("Report", "");
    let mut found = Vec::new();
    marks(&links, true, &mut found);
    let token = |purpose| Mark::Message(purpose, TOKEN_A.to_owned());
    assert_eq!(found, [token(Purpose::NoResponse), token(Purpose::Report)]);
}

#[test]
fn a_link_opens_a_mail_that_only_has_to_be_sent() {
    let whole = footer().under_html("Hello");
    let want = format!(
        "href=\"mailto:report+{TOKEN_A}@market.test?subject=Report%20this%20message&amp;body=Just%20send%20it%20%26%20go%2E\""
    );
    assert!(whole.contains(&want), "{whole}");
}

/// Contrast of two colours, WCAG 2.2.
fn contrast(a: &str, b: &str) -> f64 {
    let light = |colour: &str| {
        let part = |at: usize| f64::from(u8::from_str_radix(&colour[at..at + 2], 16).unwrap()) / 255.0;
        let linear = |part: f64| if part <= 0.04045 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) };
        0.2126 * linear(part(1)) + 0.7152 * linear(part(3)) + 0.0722 * linear(part(5)) + 0.05
    };
    let (a, b) = (light(a), light(b));
    a.max(b) / a.min(b)
}

#[test]
fn the_box_is_readable_by_day_and_night() {
    for colours in [&drawn::LIGHT, &drawn::DARK] {
        for ink in [colours.words, colours.links] {
            assert!(
                contrast(ink, colours.ground) >= 5.0,
                "{ink} on {}: {}",
                colours.ground,
                contrast(ink, colours.ground)
            );
        }
    }
    // page, whether its box is dark; `None`: its reader's program decides
    let cases = [
        ("Hello", None),
        ("<body bgcolor=#1b1b1f>Hello", Some(true)),
        ("<body style='background:#1b1b1f url(cid:a)'>Hello", Some(true)),
        ("<style>html,body{margin:0;background-color:#FFF !important}</style>Hello", Some(false)),
        ("<body bgcolor=white><table bgcolor=black>", Some(false)),
        ("<div style='background-color:rgb(10, 20, 30)'>", None),
        ("<div style='background:navy'>", Some(true)),
        ("<p style='background:navy'>", None),
    ];
    for (page, dark) in cases {
        let whole = footer().under_html(page);
        let ground = if dark == Some(true) { drawn::DARK.ground } else { drawn::LIGHT.ground };
        assert!(whole.contains(&format!("bgcolor=\"{ground}\"")), "{page}: {whole}");
        assert_eq!(whole.contains("prefers-color-scheme"), dark.is_none(), "{page}");
    }
    // page, whether the box stands in the middle
    for (page, centred) in [
        ("<center><table><tr><td>", true),
        ("<table align=center>", true),
        ("<table style='margin: 0 auto'>", true),
        ("<p align=center>", false),
        ("<table><tr><td>", false),
    ] {
        assert_eq!(footer().under_html(page).contains("max-width:600px"), centred, "{page}");
    }
}

#[test]
fn the_company_stands_in_the_body() {
    let line = "Seller: Sato Shop /ref 1 s at sato.example";
    assert!(footer().under_text("Hello").ends_with(&format!("Write to them.\r\n{line}\r\n{REF_A}\r\n")));
    assert!(footer().under_html("Hello").contains(&format!("<br>{line} &nbsp;&middot;&nbsp; {REF_A}")));
}

#[test]
fn a_document_cannot_hide_its_footer() {
    const PART: &str = "<div class=\"rly\"><div class=\"rly-b\">";
    // a document, the author's part
    let cases = [
        ("<html><body><p>a</p></body></html>\r\n", format!("{PART}<p>a</p>\r\n</article>")),
        ("<html class=x hidden lang=de><body><p>a</p></BODY>", format!("{PART}<p>a</p></article>")),
        ("<div style='display:none'>a", format!("{PART}<div style='display:none'>a</article>")),
        ("<body><a href='x'><p>a</body></html>", format!("{PART}<a href='x'><p>a</article></a>")),
        ("<p title='</body>'>a</p>", format!("{PART}<p title='</body>'>a</p></article>")),
        ("a</article></div></div></table>b", format!("{PART}ab</article>")),
        ("<span hidden><table><tr><td></span>", format!("{PART}<span hidden><table><tr><td></span></table></article>")),
        (
            "<body id=i class='c d' style='display:none;margin:9px;color:#000' onload=x>a",
            "<body style=\"margin:9px\">".to_owned(),
        ),
        (
            "<body id=i class='c d' style='display:none'>a",
            "<div class=\"rly-b c d\" id=\"i\" style=\"display:none\">a</article>".to_owned(),
        ),
        ("a<body style='display:none'>b", format!("{PART}ab</article>")),
        ("<style>body{display:none}a{color:red}</style>a", ".rly .rly-b{display:none}.rly a{color:red}".to_owned()),
        ("a", format!("{PART}a</article>")),
    ];
    for (html, want) in cases {
        let whole = footer().under_html(html);
        assert!(whole.contains(&want), "{html}: {whole}");
        let (_, below) = whole.split_once("<div class=\"rly-f\"").unwrap();
        assert!(below.contains(REF_A) && !below.contains("hidden\""), "{whole}");
        assert_eq!(found(&whole, true), [MARK_A], "{whole}");
    }
    assert!(footer().under_html("<title>a</body>").contains("<title>a</body></title>"));
    assert!(footer().under_html("").contains(REF_A));
}

#[test]
fn marks_in_any_dress() {
    // text, as HTML, whether the mark is seen
    let cases = [
        (format!("[ref:{MARK_A}]"), false, true),
        (format!("[REF: {}]", MARK_A.to_uppercase()), false, true),
        (format!("[ref:{}\r\n> > {}]", &MARK_A[..9], &MARK_A[9..]), false, true),
        (format!("[ref:{} \r\n>{}]", &MARK_A[..9], &MARK_A[9..]), false, true),
        (format!("［ｒｅｆ：{MARK_A}］"), false, true),
        (format!("[ref:{}\u{200b}{}]", &MARK_A[..9], &MARK_A[9..]), false, true),
        (format!("&#91;ref:{MARK_A}&#x5d;"), true, true),
        (format!("<b>[ref:</b>{}<wbr>{}]", &MARK_A[..9], &MARK_A[9..]), true, true),
        (format!("[ref:<span class='x'>{MARK_A}</span>]"), true, true),
        (format!("<p>[ref:{}</p><p>{}]</p>", &MARK_A[..9], &MARK_A[9..]), true, false),
        (format!("<!-- [ref:{MARK_A}] -->"), true, false),
        (format!("<a title='[ref:{MARK_A}]'>x</a>"), true, false),
        (format!("[ref:{}]", &MARK_A[..23]), false, false),
        (format!("[ref:{MARK_A}a]"), false, false),
        (format!("[ref:{MARK_A}"), false, false),
        (format!("ref:{MARK_A}]"), false, false),
        (format!("[ref:{}]", MARK_A.replace('b', "1")), false, false),
        // as they are written now
        (REF_A.to_owned(), false, true),
        (REF_A.to_uppercase(), false, true),
        (format!("({REF_A}),"), false, true),
        (REF_A.replace(' ', ""), false, true),
        (REF_A.replace("-dq", "-\r\n> > dq"), false, true),
        (REF_A.replace("q7", "\r\n> q7"), false, true),
        (REF_A.replace("Ref: ", "\u{ff32}\u{ff45}\u{ff46}\u{ff1a}\u{3000}"), false, true),
        (REF_A.replace(':', "&#58;").replace('-', "&#x2d;"), true, true),
        (REF_A.replace("Ref:", "<b>Ref</b>:").replace("-dq", "-<wbr>dq"), true, true),
        (format!("<td>{REF_A}</td>x"), true, true),
        (format!("<!-- {REF_A} -->"), true, false),
        (format!("<a title='{REF_A}'>x</a>"), true, false),
        (format!("{REF_A}a"), false, false),
        (format!("{REF_A}-a"), false, false),
        (REF_A.replace('-', ""), false, false),
        (REF_A.replace("Ref", "Rev"), false, false),
        (REF_A.replace('b', "1"), false, false),
    ];
    for (text, html, seen) in cases {
        assert_eq!(found(&text, html) == [MARK_A], seen, "{text}");
        assert_eq!(strip(&text, html).is_some(), seen, "{text}");
    }
    let many: String = (0..100)
        .map(|n| format!("[ref:{MARK_A:.22}{}{}] ", ['a', 'b', 'c'][n % 3], ['a', 'x', 'y', 'z'][n / 25]))
        .collect();
    assert_eq!(found(&many, false).len(), 12.min(MARKS));
}

#[test]
fn what_programs_make_of_footers_when_they_quote() {
    let plain = "Is it blue?".to_owned() + &footer().under_text("Is it blue?");
    let quoted: String = plain.lines().map(|line| format!("> {line}\r\n")).collect();
    let done = format!("done+{TOKEN_A}@market.test");
    // what came in, as HTML, what stays
    let cases = [
        (format!("Yes.\r\n\r\n{quoted}"), false, "Yes.\r\n\r\n> Is it blue?\r\n> \r\n> \r\n".to_owned()),
        (format!("Yes.\r\n{quoted}\r\nBye"), false, "Yes.\r\n> Is it blue?\r\n> \r\n> \r\n\r\nBye".to_owned()),
        // the space behind the separator is lost
        (format!("Yes.\n> --\n> No response needed: {done}\n> {REF_A}\n"), false, "Yes.\n> \n".to_owned()),
        // the author's own signature stays
        (format!("Yes.\n-- \nSato\n\n-- \nReport\n{REF_A}\n"), false, "Yes.\n-- \nSato\n\n\n".to_owned()),
        // in one line; without the targets of links
        (
            format!("You wrote: Is it? -- No response needed Report {REF_A} yes"),
            false,
            "You wrote: Is it?  yes".to_owned(),
        ),
        // links that ask for much
        (
            format!("a\nNo <mailto:{done}?subject=No%20response%3F&body=Just%20send%20it%2E> b"),
            false,
            "a\nNo <mailto:> b".to_owned(),
        ),
        (
            format!("<A style=\"x\" href=\"mailto:{done}?subject=a%20b&amp;body=c%2Ed\"><b>x</b></A>b"),
            true,
            "b".to_owned(),
        ),
        // only a part of it
        (format!("a\n> {REF_A}"), false, "a\n> ".to_owned()),
        (format!("a\n> -- \n> No response needed: {done}\nb"), false, "a\n> -- \n> \nb".to_owned()),
        // two, one of them old
        (format!("{}{}", old("a"), footer().under_text("")), false, "a\r\n\r\n\r\n\r\n\r\n".to_owned()),
        // not ours
        ("Ref: 4711 -- a".to_owned(), false, String::new()),
    ];
    for (text, html, want) in cases {
        if want.is_empty() {
            assert_eq!(strip(&text, html), None, "{text}");
            continue;
        }
        assert_eq!(strip(&text, html).unwrap(), want, "{text}");
        assert_eq!(strip(&want, html), None, "{want}");
    }
}

#[test]
fn what_programs_make_of_old_footers_when_they_quote() {
    let plain = old("Is it blue?");
    let quoted: String = plain.lines().map(|line| format!("> {line}\r\n")).collect();
    let done = format!("done+{TOKEN_A}@market.test");
    // what came in, as HTML, what stays
    let cases = [
        (format!("Yes.\r\n\r\n{quoted}"), false, "Yes.\r\n\r\n> Is it blue?\r\n> \r\n> \r\n".to_owned()),
        (format!("Yes.\r\n{quoted}\r\nBye"), false, "Yes.\r\n> Is it blue?\r\n> \r\n> \r\n\r\nBye".to_owned()),
        // links as plain text, as footnotes, and without their targets
        (
            format!("a\n[ref:{MARK_A}] Keep\nNo response needed <mailto:{done}?subject=done>\n[/ref]\nb"),
            false,
            "a\n\nb".to_owned(),
        ),
        (
            format!("a\n[ref:{MARK_A}] Keep\n[1]No response needed\n[/ref]\n\n1. mailto:{done}?subject=done\nb"),
            false,
            "a\n\n\n\nb".to_owned(),
        ),
        // a footer cut in the middle, above or below
        (format!("a\n> [ref:{MARK_A}]"), false, "a\n> ".to_owned()),
        (format!("a\n> No response needed: {done}\n> [/ref]\nb"), false, "a\n> \n> \nb".to_owned()),
        (format!("a\n> Report <mailto:{done}>.\r\nb"), false, "a\n> \r\nb".to_owned()),
        // halves that come together
        (format!("a[ref:{}[/ref]{}]b", &MARK_A[..9], &MARK_A[9..]), false, "ab".to_owned()),
        (format!("<i>a</i>do[/ref]ne+{TOKEN_A}@market.test, b"), true, "<i>a</i>, b".to_owned()),
        // people's own words stay
        (format!("a\nI wrote to {done} and nothing came\nb"), false, "a\nI wrote to  and nothing came\nb".to_owned()),
        (format!("[ref:{MARK_A}] Yes, blue.\n"), false, " Yes, blue.\n".to_owned()),
        (
            "a [/ref] b + c [ref:x] report+x@market.test".to_owned(),
            false,
            "a  b + c [ref:x] report+x@market.test".to_owned(),
        ),
        (
            format!("{} {done}. {}", "x".repeat(300), "y".repeat(300)),
            false,
            format!("{} . {}", "x".repeat(300), "y".repeat(300)),
        ),
        (format!("[ref:{MARK_A}] {} [/ref]", "x".repeat(LONGEST)), false, format!(" {} ", "x".repeat(LONGEST))),
        (format!("[ref:{MARK_A}] one [ref:{MARK_A}] two [/ref] three"), false, " one  three".to_owned()),
        (
            format!(
                "<blockquote>Is it?<br>[ref:{MARK_A}] Keep &lt;this&gt;<br><a href=\"mailto:done%2B{TOKEN_A}%40market.test\">No</a><hr>[/ref]</blockquote>"
            ),
            true,
            "<blockquote>Is it?<br></blockquote>".to_owned(),
        ),
        (format!("<a href='mailto:{done}?subject=done'>x</a>"), true, String::new()),
        (format!("<a href='mailto:{done}?subject=done'>x</b>"), true, "<a href='mailto:'>x</b>".to_owned()),
        (format!("<p>done&#43;{TOKEN_A}@<b>market.test</b>.</p>"), true, "<p>.</p>".to_owned()),
    ];
    for (text, html, want) in cases {
        assert_eq!(strip(&text, html).unwrap(), want, "{text}");
        assert_eq!(strip(&want, html), None, "{want}");
    }
    for (text, html) in [("nothing", false), ("<p>a+b@c.test [ref] &#91;</p>", true), ("bounce@market.test", false)] {
        assert_eq!(strip(text, html), None);
    }
}

#[test]
fn storms_cost_little() {
    for storm in [
        "[",
        "[ref:",
        "[/ref]",
        "[ref:aaaaaaaaaaaaaaaaaaaaaaaa]",
        "Ref:",
        "Ref: aaaaaa-aaaaaa-aaaaaa-aaaaaa\n",
        "-- ",
        "--",
        "Ref: aaaaaa-",
        "+",
        "done+",
        "&#43;",
        "\u{ff0b}",
        "> \r\n",
        "[ \r\n>",
        "report+aaaaaaaaaaaaaaaaaaaaaaaaaaaaa@m.test",
        "<b>[</b>",
    ] {
        let text = storm.repeat(100_000 / storm.len());
        for html in [false, true] {
            let _ = strip(&text, html);
            assert!(found(&text, html).len() <= 2);
        }
    }
}

proptest::proptest! {
    /// Whatever stands around a footer and however it is quoted: nothing of it stays, and nothing else goes.
    #[test]
    fn only_the_footer_goes(is_old: bool, before in "[a-z@+&#%\\[\\] \u{e9}\u{ff3b}]{0,40}", after in "[a-z@+&#%\\] \u{e9}]{0,40}", depth in 0_usize..4) {
        let quote = "> ".repeat(depth);
        let whole = if is_old { old(&before) } else { before.clone() + &footer().under_text(&before) };
        let quoted: String = whole.split_inclusive('\n').map(|line| format!("{quote}{line}")).chain([after.clone()]).collect();
        let rest = strip(&quoted, false).unwrap();
        proptest::prop_assert!(!rest.contains("ref:") && !rest.contains("market.test") && !rest.contains("Report this"), "{}", rest);
        let want = format!("{quote}{before}");
        proptest::prop_assert!(rest.starts_with(want.trim_end()) && rest.ends_with(&after), "{}", rest);
    }

    #[test]
    fn any_text(text in "([\\[\\]/+@&#;<>a: \r\n.-]|ref|-- |bbqxer-ik4m2f-dq7opk-xa2zzt|report|&#91;|\u{ff3b}|%2b){0,60}", html: bool) {
        let _ = strip(&text, html);
    }
}
