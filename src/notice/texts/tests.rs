//! The texts: whole in every language, negotiated, checked, and filled in harmlessly.

use super::*;

fn fill(texts: &Texts, name: Name, language: &str, default: &str, values: &[(&str, Value<'_>)]) -> Filled {
    texts.fill(name, &Reader { language, default, zone: &TimeZone::UTC }, values)
}

fn file(language: &str, name: &str, text: &str) -> File {
    File { language: language.to_owned(), name: name.to_owned(), text: text.to_owned() }
}

#[test]
fn built_in_texts_are_whole() {
    let files = BUILT_IN.iter().map(|(language, name, text)| file(language, name, text));
    let (texts, problems) = Texts::default().with(files);
    assert_eq!(problems, Vec::<String>::new());
    for (tag, language) in &texts.languages {
        for name in Name::ALL {
            assert!(language.plain.contains_key(&name), "{tag} has no {}", name.as_str());
        }
        for word in FOOTER {
            assert!(language.footer.contains_key(word), "{tag} has no {word} in its footer");
        }
        for key in super::super::reason_keys() {
            assert!(language.reasons.contains_key(key), "{tag} has no reason {key}");
        }
    }
    // The folder holds nothing that is not built in.
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("conf/notices");
    let on_disk = read_directory(&folder).unwrap();
    assert_eq!(on_disk.len(), BUILT_IN.len());
    for file in on_disk {
        let known = BUILT_IN.iter().any(|(l, n, t)| (*l, *n, *t) == (&*file.language, &*file.name, &*file.text));
        assert!(known, "{}/{} is not built in", file.language, file.name);
    }
}

#[test]
fn languages_are_negotiated() {
    let korean = "Subject: 알림\n\n{received} {receiver} {reason}\n";
    let (texts, problems) = Texts::built_in().with([file("ko", "failure.txt", korean)]);
    assert_eq!(problems, Vec::<String>::new());
    // reader's, marketplace's, chosen
    let table = [
        ("ja", "en", "ja"),
        ("ja-JP", "en", "ja"),
        ("JA_jp", "en", "ja"),
        ("", "ja", "ja"),
        ("nl", "ja", "ja"),
        ("nl", "sv", "en"),
        ("ko-KR", "ja", "ko"),
        ("de-AT", "ja", "de"),
        ("zh-CN", "en", "zh-Hans"),
        ("zh-TW", "ja", "ja"),
        ("../../etc", "../..", "en"),
        (&"x-".repeat(5000), "ja", "ja"),
    ];
    for (language, default, want) in table {
        assert_eq!(fill(&texts, Name::Failure, language, default, &[]).language, want, "{language:.20} {default}");
    }
    assert_eq!(fill(&texts, Name::StopDone, "ko", "ja", &[]).language, "ja", "a text that Korean does not have");
    assert_eq!(texts.footer("ja-JP", "en")("done"), "返信不要にする");
    assert_eq!(texts.footer("ko", "de")("done"), "Keine Antwort nötig", "a word that Korean does not have");
    assert_eq!(texts.footer("ja", "en")("nothing"), "");
    assert_eq!(chain("zh-CN"), ["zh-cn", "zh", "zh-hans"]);
    assert_eq!(chain("zh-Hant-TW"), ["zh-hant-tw", "zh-hant", "zh"]);
}

#[test]
fn an_operators_files_are_checked() {
    let good = "Subject: x\n\n{received} {receiver} {reason}\n";
    // file, text, what the problem says
    let table = [
        ("failure.txt", good, ""),
        ("failure.html", "<p>{received} {receiver} {reason}</p>", ""),
        ("failure.txt", "no subject\n", "Subject:"),
        ("failure.txt", "Subject: x\nno empty line {receiver} {reason}\n", "second empty"),
        ("failure.txt", "Subject: x\n\n{receiver}\n", "{reason} is missing"),
        ("failure.txt", "Subject: x\n\n{receiver} {reason} {tags}\n", "{tags} is not filled in"),
        ("failure.html", "<p>{receiver}</p>", "{reason} is missing"),
        ("failure.md", good, ".txt or .html"),
        ("failures.txt", good, "no notice has this name"),
        ("failure.txt", "Subject: x\u{0}\n\n{receiver} {reason}\n", "control characters"),
        ("reasons.txt", "# note\nother: It did not work.\n", ""),
        ("reasons.txt", "others: It did not work.\n", "no reason `others`"),
        ("reasons.txt", "other:\n", "no sentence"),
        ("reasons.txt", "other: It did not work {here}.\n", "{here} is not filled in"),
        ("words.txt", "time: {year} {month} {day} {hour} {minute} {zone}\n", "there are no `months`"),
        ("words.txt", "time: {year}\n", "is missing in `time`"),
        ("words.txt", "months: a, b\n", "needs 12 names"),
        ("words.txt", "tags: [Belangrijk]\n", ""),
        ("footer.txt", "send: Send this.\n", ""),
        ("footer.txt", "sent: Send this.\n", "no word `sent`"),
        // What may stand in a text is filled in, and what is not filled in is told.
        ("partial.txt", "Subject: x {receiver}\n\n{list} {receiver} {subject} {name} {order}\n", ""),
        ("partial.txt", "Subject: x\n\n{list} {reason}\n", "{reason} is not filled in"),
        ("footer.txt", "links: By {marketplace}.\naddresses: By {marketplace}.\n", ""),
        ("footer.txt", "links: By {contact}.\n", "{contact} is not filled in here; there are: {marketplace}"),
        ("footer.txt", "send: Send this to {marketplace}.\n", "{marketplace} is not filled in here; there are: none"),
        ("words.txt", "months: a,b,c,d,e,f,g,h,i,j,k,l\ntime: {year} {month} {day} {hour} {minute} {zone}\n", ""),
        (
            "words.txt",
            "months: a,b,c,d,e,f,g,h,i,j,k,l\ntime: {year} {month} {day} {hour} {minute} {second} {zone}\n",
            "{second} is not filled in",
        ),
    ];
    for (name, text, want) in table {
        let (_, problems) = Texts::built_in().with([file("nl", name, text)]);
        match want {
            "" => assert_eq!(problems, Vec::<String>::new(), "{name} {text}"),
            want => assert!(problems.len() == 1 && problems[0].contains(want), "{name} {text}: {problems:?}"),
        }
    }
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("fr")).unwrap();
    std::fs::write(directory.path().join("fr/failure.txt"), good).unwrap();
    std::fs::write(directory.path().join("fr/wrong.txt"), good).unwrap();
    let (texts, problems) = Texts::load(Some(directory.path()));
    assert_eq!((fill(&texts, Name::Failure, "fr", "en", &[]).language.as_str(), problems.len()), ("fr", 1));
    let (texts, problems) = Texts::load(Some(&directory.path().join("none")));
    assert!(problems.len() == 1 && !texts.languages.is_empty());
}

#[test]
fn values_cannot_break_out() {
    let hostile = "a\r\nBcc: b@c.test\u{0}\u{202e}<script>&{receiver}";
    let texts = Texts::built_in();
    let values = [("subject", Value::Text(hostile)), ("receiver", Value::Text("R")), ("received", Value::Text("T"))];
    let filled = fill(&texts, Name::OptOut, "en", "en", &values);
    assert!(!filled.subject.chars().any(char::is_control), "{}", filled.subject);
    assert_eq!(filled.subject, "Auto: a  Bcc: b@c.test  <script>&{receiver}", "values are not filled in again");
    let (texts, problems) =
        texts.with([file("en", "opt-out.html", "<p title=\"{receiver}\">{received} {subject} {tags}</p>")]);
    assert_eq!(problems, Vec::<String>::new());
    let bold = ["<b>".to_owned()];
    let values = [("subject", Value::Text(hostile)), ("receiver", Value::Text("\"'x")), ("tags", Value::Tags(&bold))];
    let filled = fill(&texts, Name::OptOut, "en", "en", &values);
    assert!(!filled.html.contains("<script>") && !filled.html.contains("<b>"), "{}", filled.html);
    assert!(filled.html.contains("title=\"&quot;&#39;x\""), "{}", filled.html);
    assert!(
        fill(&texts, Name::Failure, "en", "en", &[("receiver", Value::Text(&"x".repeat(10_000)))]).text.len() < 2000
    );
}
