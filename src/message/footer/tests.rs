//! Footers, written, quoted, mangled and found again.

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
    Footer { mark: MARK_A.to_owned(), keep: "Please keep this line.".to_owned(), seller: Some(seller), actions }
}

fn found(text: &str, html: bool) -> Vec<String> {
    let mut found = Vec::new();
    marks(text, html, &mut found);
    found
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
        for word in ["ref", "+", "Report", "response", "keep", "Seller"] {
            assert!(!rest.replace("href", "").contains(word), "{word} in {rest}");
        }
    }
}

#[test]
fn the_company_stands_in_the_body() {
    let line = "Seller: Sato Shop /ref 1 s at sato.example";
    assert!(footer().under_text("Hello").contains(&format!("this line.\r\n{line}\r\nNo <response>")));
    assert!(footer().under_html("Hello").contains(&format!("this line.<br>\r\n{line}<br>\r\n<a href")));
}

#[test]
fn a_document_cannot_hide_its_footer() {
    // a document, what stands before the footer
    let cases = [
        ("<html><body><p>a</p></body></html>\r\n", "<p>a</p><div"),
        ("<html><body><p>a</p></BODY>", "<p>a</p><div"),
        ("<div style='display:none'>a", "a</div><div"),
        ("<body><a href='x'><textarea>a</body></html>", "a</textarea></a><div"),
        ("<p title='</body>'>a</p>", "a</p><div"),
        ("<title>a</body>", "a</title><div"),
        ("a", "a<div"),
        ("", "<div"),
    ];
    for (html, want) in cases {
        let whole = footer().under_html(html);
        assert!(whole.contains(&format!("{want} style=\"display:block!important;")), "{whole}");
        assert_eq!(found(&whole, true), [MARK_A], "{whole}");
    }
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
            "<blockquote>Is it?<br><br><a href=\"mailto:\"></a><hr></blockquote>".to_owned(),
        ),
        (format!("<a href='mailto:{done}?subject=done'>x</a>"), true, "<a href='mailto:'>x</a>".to_owned()),
        (format!("<p>done&#43;{TOKEN_A}@<b>market.test</b>.</p>"), true, "<p><b></b>.</p>".to_owned()),
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
            assert!(found(&text, html).len() <= 1);
        }
    }
}

proptest::proptest! {
    /// Whatever stands around a footer and however it is quoted: nothing of it stays, and nothing else goes.
    #[test]
    fn only_the_footer_goes(before in "[a-z@+&#%\\[\\] \u{e9}\u{ff3b}]{0,40}", after in "[a-z@+&#%\\] \u{e9}]{0,40}", depth in 0_usize..4) {
        let quote = "> ".repeat(depth);
        let whole = before.clone() + &footer().under_text(&before);
        let quoted: String = whole.split_inclusive('\n').map(|line| format!("{quote}{line}")).chain([after.clone()]).collect();
        let rest = strip(&quoted, false).unwrap();
        proptest::prop_assert!(!rest.contains("ref:") && !rest.contains("market.test") && !rest.contains("Report this"), "{}", rest);
        let want = format!("{quote}{before}");
        proptest::prop_assert!(rest.starts_with(want.trim_end()) && rest.ends_with(&after), "{}", rest);
    }

    #[test]
    fn any_text(text in "([\\[\\]/+@&#;<>a: \r\n.-]|ref|report|&#91;|\u{ff3b}|%2b){0,60}", html: bool) {
        let _ = strip(&text, html);
    }
}
