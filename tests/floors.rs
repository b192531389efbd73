//! The house stands: no file imports from a floor above its own, none outgrows a head, and the top level holds what it should.
#![expect(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Module and floor, as in the crate documentation.
const FLOORS: &[(&str, u8)] = &[
    ("types", 0),
    ("config", 1),
    ("metrics", 1),
    ("policy", 2),
    ("message", 3),
    ("notice", 3),
    ("store", 4),
    ("authentication", 4),
    ("dns", 4),
    ("smtp", 5),
    ("tls", 5),
    ("relay", 6),
    ("outbound", 6),
    ("janitor", 6),
    ("cli", 7),
    ("demo", 7),
    ("serve", 7),
];
/// Within a floor these may be used by their neighbours: the relay hands over to the queue, the wire uses its certificates, the command line starts the rest.
const NEIGHBOURS: &[(&str, &str)] = &[
    ("relay", "outbound"),
    ("smtp", "tls"),
    ("cli", "serve"),
    ("cli", "demo"),
    ("demo", "serve"),
    ("authentication", "dns"),
    ("store", "dns"),
];
/// Lines of a file, tests at its end not counted.
const LONGEST: usize = 460;

fn floor(module: &str) -> Option<u8> {
    FLOORS.iter().find(|(name, _)| *name == module).map(|(_, floor)| *floor)
}

fn files(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, into);
        } else if path.extension().is_some_and(|e| e == "rs") {
            into.push(path);
        }
    }
}

/// The code of a file: no comments, no tests.
fn code(text: &str) -> Vec<&str> {
    let tests = text.find("#[cfg(test)]\nmod tests {").unwrap_or(text.len());
    text[..tests].lines().filter(|line| !line.trim_start().starts_with("//")).collect()
}

#[test]
fn no_arrow_points_up() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut all = Vec::new();
    files(&root, &mut all);
    assert!(all.len() > 50);
    let mut wrong = Vec::new();
    let mut seen = BTreeSet::new();
    for path in &all {
        let relative = path.strip_prefix(&root).unwrap();
        let module = relative.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs");
        if matches!(module, "lib" | "main") || relative.ends_with("tests.rs") || relative.ends_with("dialogs.rs") {
            continue;
        }
        let own = floor(module).unwrap_or_else(|| panic!("{module} has no floor"));
        seen.insert(module.to_owned());
        let text = fs::read_to_string(path).unwrap();
        for line in code(&text) {
            for used in line.split("crate::").skip(1) {
                let used = used.trim_start_matches('{');
                let used: String = used.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                let Some(other) = floor(&used) else { continue };
                let neighbour = NEIGHBOURS.contains(&(module, &used));
                if used != module && other >= own && !neighbour {
                    wrong.push(format!("{} ({own}) uses {used} ({other}): {}", relative.display(), line.trim()));
                }
            }
        }
    }
    assert_eq!(seen.len(), FLOORS.len(), "every module of the table is there");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn files_fit_a_head() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut all = Vec::new();
    files(&root, &mut all);
    let mut wrong = Vec::new();
    for path in &all {
        let text = fs::read_to_string(path).unwrap();
        if path.ends_with("tests.rs") {
            continue;
        }
        let tests = text.find("#[cfg(test)]\nmod tests {").unwrap_or(text.len());
        let lines = text[..tests].lines().count();
        if lines > LONGEST {
            wrong.push(format!("{}: {lines} lines", path.display()));
        }
        if !text.starts_with("//!") {
            wrong.push(format!("{} does not say what lives in it", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_top_level_holds_what_it_should() {
    let allowed = [
        ".cargo",
        ".ci",
        ".clippy.toml",
        ".git",
        ".gitignore",
        ".rustfmt.toml",
        "Cargo.lock",
        "Cargo.toml",
        "LICENSE",
        "README.md",
        "conf",
        "src",
        "systemd",
        "target",
        "tests",
    ];
    for entry in fs::read_dir(env!("CARGO_MANIFEST_DIR")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(allowed.contains(&name.as_str()), "{name} does not belong at the top");
    }
}

#[test]
fn only_time_reads_the_clock() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut all = Vec::new();
    files(&root, &mut all);
    for path in all.iter().filter(|path| !path.ends_with("types/time.rs")) {
        let text = fs::read_to_string(path).unwrap();
        for line in code(&text) {
            assert!(
                !line.contains("SystemTime::now") && !line.contains("Timestamp::now"),
                "{}: {line}",
                path.display()
            );
        }
    }
}

#[test]
fn no_field_of_a_log_line_takes_the_place_of_its_text() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut all = Vec::new();
    files(&root, &mut all);
    for path in &all {
        let text = fs::read_to_string(path).unwrap();
        for call in code(&text).join("\n").split("tracing::").skip(1) {
            let call = call.split(");").next().unwrap_or("");
            let mut fields = call.split(['(', ',']).map(|field| field.trim().trim_start_matches(['%', '?']));
            let taken = fields.any(|field| field == "message" || field.starts_with("message ="));
            assert!(!taken, "{}: `message` is the line's own text: {call}", path.display());
        }
    }
}
