//! Mistakes in configurations: `mistakes.txt` has them, and what is said of each.

use super::*;

const CASES: &str = include_str!("mistakes.txt");
const HEAD: &str = "hostname = \"mx.m.test\"\ndata_dir = \"/var/lib/none\"\noperator = \"o@x.test\"";
const SHOP: &str = "[[marketplace]]\nid = \"m\"\ndomain = \"m.test\"\nname = \"M\"\ncontact = \"help@x.test\"";
const EAR: &str = "[[listener]]\naddress = \"127.0.0.1:25\"";

/// A problem or warning: its sign, line and place, and words that stand in it.
type Answer = (char, String, String, String);

/// File and answers of a case.
fn read(case: &str) -> (String, Vec<Answer>) {
    let (mut file, mut answers) = (String::new(), Vec::new());
    for line in case.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let sign = line.chars().next().unwrap();
        if !matches!(sign, '!' | '~') {
            let line = match line {
                "@head" => HEAD.to_owned(),
                "@shop" => SHOP.to_owned(),
                "@ear" => EAR.to_owned(),
                "@good" => [HEAD, SHOP, EAR].join("\n"),
                line => line.to_owned(),
            };
            file += &format!("{line}\n");
            continue;
        }
        let mut words = line[1..].trim().splitn(3, ' ').map(str::to_owned);
        let mut next = || words.next().unwrap_or_default();
        answers.push((sign, next(), next(), next()));
    }
    (file, answers)
}

#[test]
fn every_mistake_is_told_in_one_pass() {
    let world = World::new();
    let path = world.dir.path().join("c.toml");
    let (mut cases, mut wrong) = (0, String::new());
    for case in CASES.split("\n= ").skip(1) {
        let (name, rest) = case.split_once('\n').unwrap();
        let (file, answers) = read(rest);
        std::fs::write(&path, &file).unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        let (status, out, err) = world.run("check --json");
        let document: Value = serde_json::from_str(&out).unwrap();
        let mut told: Vec<Answer> = Vec::new();
        for (sign, key) in [('!', "problems"), ('~', "warnings")] {
            for one in document[key].as_array().unwrap() {
                let text = |key: &str| one[key].as_str().unwrap().to_owned();
                let line = one["line"].as_u64().map_or("-".to_owned(), |line| line.to_string());
                assert!(text("what").len() > 5 && text("remedy").len() > 5, "{name}: {one}");
                told.push((sign, line, text("place"), format!("{}. {}", text("what"), text("remedy"))));
            }
        }
        // Problems come in the order of the file.
        let lines = told.iter().filter(|one| one.0 == '!').map(|one| one.1.parse().unwrap_or(usize::MAX));
        assert!(lines.is_sorted(), "{name}: {err}");
        let bare = |all: &[Answer]| {
            let mut all: Vec<String> = all.iter().map(|(sign, line, at, _)| format!("{sign} {line} {at}")).collect();
            all.sort();
            all
        };
        if bare(&told) != bare(&answers) {
            wrong += &format!("{name}: {:#?} was expected\n{err}\n", bare(&answers));
            continue;
        }
        for (sign, line, at, words) in &answers {
            let said = told.iter().any(|one| (&one.0, &one.1, &one.2) == (sign, line, at) && one.3.contains(words));
            if !said {
                wrong += &format!("{name}: {words} is not said at {at}:\n{err}\n");
            }
        }
        assert_eq!(status, if answers.iter().any(|one| one.0 == '!') { 3 } else { 0 }, "{name}");
        // What stands in a wrong place may be an address: it is not repeated.
        assert!(!out.contains("o@x.test") && !out.contains("help@"), "{name}: {out}");
        cases += 1;
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(cases >= 50, "{cases}");
}
