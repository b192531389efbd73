//! The texts of notices: one file for each language and notice, built in from `conf/notices`, replaced by an operator's
//! directory. A file is a `Subject:` line, an empty line, and the text; `{name}` stands for a value.
//!
//! Values are made harmless when they are filled in: one line each, no control characters; in HTML also escaped.

use super::{Name, Value, times, write};
use crate::policy::failure::Why;
use crate::types::{Time, html_escaped};
use jiff::tz::TimeZone;
use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;

/// A file of texts, wherever it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// The directory's name: a BCP 47 tag.
    pub language: String,
    /// `failure.txt`, `failure.html`, `reasons.txt`.
    pub name: String,
    /// What is in it.
    pub text: String,
}

/// All texts in all languages.
#[derive(Clone, Debug, Default)]
pub struct Texts {
    languages: BTreeMap<String, Language>,
}

#[derive(Clone, Debug, Default)]
struct Language {
    /// The tag as written, for Content-Language.
    tag: String,
    plain: BTreeMap<Name, Template>,
    html: BTreeMap<Name, String>,
    reasons: BTreeMap<String, String>,
    words: BTreeMap<String, String>,
    footer: BTreeMap<String, String>,
}

#[derive(Clone, Debug)]
struct Template {
    subject: String,
    body: String,
}

/// A notice's words, ready to be put into a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filled {
    /// The language's tag.
    pub language: String,
    /// One line.
    pub subject: String,
    /// Lines ended by LF.
    pub text: String,
    /// A whole HTML document.
    pub html: String,
    /// It was made of the text, and is no file of its own.
    pub is_made: bool,
}

/// Whom a text is for.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    /// The reader's language; may be empty.
    pub language: &'a str,
    /// The marketplace's, for readers whose own has no text.
    pub default: &'a str,
    /// The marketplace's time zone.
    pub zone: &'a TimeZone,
}

/// Longest file that is read, in octets.
const LONGEST_FILE: u64 = 64 * 1024;
/// Longest value, in characters: nobody's subject needs more.
const LONGEST_VALUE: usize = 300;
/// The words of `footer.txt`.
const FOOTER: [&str; 8] = ["links", "addresses", "send", "unsigned", "seller", "done", "report", "stop"];
/// Those of them that may name the marketplace.
pub const NAMING: [&str; 2] = ["links", "addresses"];
/// The language that has every text.
const LAST_RESORT: &str = "en";

macro_rules! built_in {
    ($($language:literal),*) => {
        &[$(
            ($language, "failure.txt", include_str!(concat!("../../conf/notices/", $language, "/failure.txt"))),
            ($language, "delayed.txt", include_str!(concat!("../../conf/notices/", $language, "/delayed.txt"))),
            ($language, "file-address.txt", include_str!(concat!("../../conf/notices/", $language, "/file-address.txt"))),
            ($language, "doubtful.txt", include_str!(concat!("../../conf/notices/", $language, "/doubtful.txt"))),
            ($language, "partial.txt", include_str!(concat!("../../conf/notices/", $language, "/partial.txt"))),
            ($language, "opt-out.txt", include_str!(concat!("../../conf/notices/", $language, "/opt-out.txt"))),
            ($language, "opt-out-strict.txt", include_str!(concat!("../../conf/notices/", $language, "/opt-out-strict.txt"))),
            ($language, "opt-out-limit.txt", include_str!(concat!("../../conf/notices/", $language, "/opt-out-limit.txt"))),
            ($language, "report-done.txt", include_str!(concat!("../../conf/notices/", $language, "/report-done.txt"))),
            ($language, "no-response-done.txt", include_str!(concat!("../../conf/notices/", $language, "/no-response-done.txt"))),
            ($language, "stop-done.txt", include_str!(concat!("../../conf/notices/", $language, "/stop-done.txt"))),
            ($language, "refused.txt", include_str!(concat!("../../conf/notices/", $language, "/refused.txt"))),
            ($language, "reported.txt", include_str!(concat!("../../conf/notices/", $language, "/reported.txt"))),
            ($language, "stopped.txt", include_str!(concat!("../../conf/notices/", $language, "/stopped.txt"))),
            ($language, "words.txt", include_str!(concat!("../../conf/notices/", $language, "/words.txt"))),
            ($language, "footer.txt", include_str!(concat!("../../conf/notices/", $language, "/footer.txt"))),
            ($language, "reasons.txt", include_str!(concat!("../../conf/notices/", $language, "/reasons.txt"))),
        )*]
    };
}

/// Language, file name, text.
const BUILT_IN: &[(&str, &str, &str)] = built_in!("en", "ja", "de", "fr", "es", "it", "zh-Hans");

impl Texts {
    /// The texts of `conf/notices`.
    #[must_use]
    pub fn built_in() -> Self {
        let files = BUILT_IN.iter().map(|(language, name, text)| File {
            language: (*language).to_owned(),
            name: (*name).to_owned(),
            text: (*text).to_owned(),
        });
        // A test of this file holds that the built-in texts have no problem.
        Self::default().with(files).0
    }

    /// The built-in texts, replaced by those of `directory` where it has some; and every problem found there, a sentence
    /// each. A file with a problem does not replace anything.
    #[must_use]
    pub fn load(directory: Option<&Path>) -> (Self, Vec<String>) {
        let built_in = Self::built_in();
        let Some(directory) = directory else { return (built_in, Vec::new()) };
        match read_directory(directory) {
            Ok(files) => built_in.with(files),
            Err(error) => {
                (built_in, vec![format!("[notices] directory {}: cannot be read: {error}", directory.display())])
            }
        }
    }

    /// These texts with `files` in place of what they had, and every problem of the files, a sentence each.
    #[must_use]
    pub fn with(mut self, files: impl IntoIterator<Item = File>) -> (Self, Vec<String>) {
        let mut problems = Vec::new();
        for file in files {
            let place = format!("{}/{}", file.language, file.name);
            if let Err(problem) = self.put(file) {
                problems.push(format!("notice {place}: {problem}"));
            }
        }
        (self, problems)
    }

    /// The tags of all languages that have a text.
    #[must_use]
    pub fn languages(&self) -> Vec<String> {
        self.languages.values().map(|language| language.tag.clone()).collect()
    }

    /// Whether there are texts for readers of this language, and not the last resort's alone.
    #[must_use]
    pub fn has(&self, language: &str) -> bool {
        chain(language).iter().any(|tag| self.languages.contains_key(tag))
    }

    fn put(&mut self, file: File) -> Result<(), String> {
        let text = file.text.trim_start_matches('\u{feff}').replace("\r\n", "\n");
        if text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\t')) {
            return Err("holds control characters; write plain UTF-8 text".to_owned());
        }
        let is_tag = |c: char| c.is_ascii_alphanumeric() || c == '-';
        if file.language.len() > 35 || !file.language.chars().all(is_tag) {
            return Err("the directory's name must be a language tag such as `en` or `zh-Hans`".to_owned());
        }
        let language = self.languages.entry(file.language.to_ascii_lowercase()).or_default();
        language.tag.clone_from(&file.language);
        if file.name == "reasons.txt" {
            let keys: Vec<&str> = super::reason_keys().collect();
            let reasons = read_words(&text, "reason", &keys)?;
            reasons.values().try_for_each(|line| check_placeholders(line, &REASON, &[]))?;
            language.reasons.extend(reasons);
            return Ok(());
        }
        if file.name == "words.txt" {
            let words = read_words(&text, "word", &times::WORDS)?;
            words.get("time").map_or(Ok(()), |time| check_placeholders(time, &times::PLACES, &[]))?;
            let all = language.words.clone().into_iter().chain(words).collect();
            times::fault(&all).map_or(Ok(()), Err)?;
            language.words = all;
            return Ok(());
        }
        if file.name == "footer.txt" {
            let words = read_words(&text, "word", &FOOTER)?;
            for (word, line) in &words {
                let all: &[&str] = if NAMING.contains(&word.as_str()) { &["marketplace"] } else { &[] };
                check_placeholders(line, all, &[])?;
            }
            language.footer.extend(words);
            return Ok(());
        }
        let (stem, kind) = file.name.rsplit_once('.').unwrap_or((&file.name, ""));
        let name = Name::ALL
            .into_iter()
            .find(|name| name.as_str() == stem)
            .ok_or_else(|| format!("no notice has this name; there are: {}", Name::words()))?;
        match kind {
            "txt" => {
                let template = Template::read(&text)?;
                let text = format!("{}\n{}", template.subject, template.body);
                check_placeholders(&text, &name.placeholders(), name.needed())?;
                language.plain.insert(name, template);
                // An operator's new text would otherwise come with the old HTML.
                language.html.remove(&name);
            }
            "html" => {
                check_placeholders(&text, &name.placeholders(), name.needed())?;
                language.html.insert(name, text);
            }
            _ => return Err("the name must end in .txt or .html".to_owned()),
        }
        Ok(())
    }

    /// The notice `name` in the reader's language, or else in the marketplace's, or else in
    /// English. A line of a list that is about a value that is empty is left out.
    #[must_use]
    pub fn fill(&self, name: Name, reader: &Reader<'_>, values: &[(&str, Value<'_>)]) -> Filled {
        let found = [reader.language, reader.default, LAST_RESORT].into_iter().flat_map(chain).find_map(|tag| {
            let language = self.languages.get(&tag)?;
            Some((language, language.plain.get(&name)?))
        });
        // English is built in, so there is always one; an empty notice is still better than none.
        let Some((language, template)) = found else { return Filled::default() };
        let time = |at: Time| times::written(&language.words, at, reader.zone);
        let value = |placeholder: &str| {
            // What a notice says of itself has the last word over what its frame says.
            let value = &values.iter().rev().find(|(known, _)| *known == placeholder)?.1;
            Some(match value {
                Value::Text(text) => harmless(text),
                Value::Time(at) => time(*at),
                Value::Reason(why) => self.reason(language, why, &time),
                Value::Tags(tags) => harmless(&self.tags(language, tags).join(", ")),
                Value::List(rows) => {
                    let row = |row: &super::Row<'_>| {
                        let span = row.span.map(|(first, last)| format!(", {} – {}", time(first), time(last)));
                        let (span, reason) = (span.unwrap_or_default(), self.reason(language, row.why, &time));
                        format!("- {}{span}: {reason}", harmless(&row.what))
                    };
                    rows.iter().map(row).collect::<Vec<_>>().join("\n")
                }
            })
        };
        let body: Vec<&str> = template.body.lines().filter(|line| !is_empty_item(line, value)).collect();
        let text = replace(&format!("{}\n", body.join("\n")), |name| value(name));
        let own = language.html.get(&name);
        let html = match own {
            Some(html) => replace(html, |name| value(name).map(|text| html_escaped(&text).replace('\n', "<br>\n"))),
            None => write::html_of(&text, &language.tag),
        };
        let subject = replace(&template.subject, |name| value(name)).trim().to_owned();
        Filled { language: language.tag.clone(), subject, text, html, is_made: own.is_none() }
    }

    /// Of the operator's tags those that belong to the language, and those that belong to none; or
    /// else the English ones, or else all.
    fn tags<'t>(&self, language: &Language, tags: &'t [String]) -> Vec<&'t str> {
        let has = |language: &Language, tag: &str| {
            let own = language.words.get("tags").map_or("", String::as_str);
            times::names(own).any(|own| own.to_lowercase() == tag.trim().to_lowercase())
        };
        let of = |wanted: &dyn Fn(&str) -> bool| -> Vec<&'t str> {
            tags.iter().map(String::as_str).filter(|tag| wanted(tag)).collect()
        };
        let known = |tag: &str| self.languages.values().any(|language| has(language, tag));
        let own = of(&|tag| has(language, tag) || !known(tag));
        if !own.is_empty() {
            return own;
        }
        let english = self.languages.get(LAST_RESORT).map(|english| of(&|tag| has(english, tag)));
        english.filter(|tags| !tags.is_empty()).unwrap_or_else(|| of(&|_| true))
    }

    /// What stands in a footer for a reader of `language`, or else in the marketplace's `default`
    /// language, or else in English: by word, one of [`FOOTER`], or the word of a
    /// [`crate::types::token::Purpose`] that acts.
    pub fn footer<'t>(&'t self, language: &str, default: &str) -> impl Fn(&str) -> &'t str + use<'t> {
        let tags = [language, default, LAST_RESORT].into_iter().flat_map(chain);
        let languages: Vec<&Language> = tags.filter_map(|tag| self.languages.get(&tag)).collect();
        move |word| languages.iter().find_map(|language| language.footer.get(word)).map_or("", String::as_str)
    }

    /// A word of footers in every language.
    pub fn footers(&self, word: &str) -> impl Iterator<Item = &str> {
        self.languages.values().filter_map(move |language| language.footer.get(word)).map(String::as_str)
    }

    fn reason(&self, language: &Language, why: &Why, time: &dyn Fn(Time) -> String) -> String {
        let english = || self.languages.get(LAST_RESORT).and_then(|language| language.reasons.get(why.key));
        let line = language.reasons.get(why.key).or_else(english).map_or("", String::as_str);
        replace(line, |name| {
            Some(match name {
                "number" => why.number.map(|number| number.to_string()).unwrap_or_default(),
                "opens" => why.opens.map(time).unwrap_or_default(),
                "kind" => harmless(&why.kind),
                _ => return None,
            })
        })
    }
}

impl Default for Filled {
    fn default() -> Self {
        Self {
            language: LAST_RESORT.to_owned(),
            subject: String::new(),
            text: String::new(),
            html: String::new(),
            is_made: true,
        }
    }
}

impl Template {
    fn read(text: &str) -> Result<Self, String> {
        let wanted = || "the first line must be `Subject: …`, the second empty".to_owned();
        let (first, rest) = text.split_once('\n').ok_or_else(wanted)?;
        let subject = first.strip_prefix("Subject:").map(str::trim).filter(|s| !s.is_empty()).ok_or_else(wanted)?;
        let body = rest.strip_prefix('\n').ok_or_else(wanted)?;
        Ok(Self { subject: subject.to_owned(), body: format!("{}\n", body.trim()) })
    }
}

/// The tags to look for, best first: `de-AT`, `de`. Chinese goes by script: `zh-CN` is `zh-Hans`.
fn chain(language: &str) -> Vec<String> {
    let tag = language.trim().replace('_', "-").to_ascii_lowercase();
    let mut tags = Vec::new();
    let mut rest = tag.as_str();
    while !rest.is_empty() && tags.len() < 4 {
        tags.push(rest.to_owned());
        rest = rest.rsplit_once('-').map_or("", |(before, _)| before);
    }
    let parts: Vec<&str> = tag.split('-').collect();
    let traditional = parts.iter().any(|part| matches!(*part, "hant" | "tw" | "hk" | "mo"));
    if parts.first() == Some(&"zh") && !traditional {
        tags.push("zh-hans".to_owned());
    }
    tags
}

/// Lines of `word: sentence`, where `what` is what a word is.
fn read_words(text: &str, what: &str, keys: &[&str]) -> Result<BTreeMap<String, String>, String> {
    let mut words = BTreeMap::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (key, sentence) = line.split_once(':').ok_or("each line must be `word: sentence`")?;
        let (key, sentence) = (key.trim(), sentence.trim());
        if !keys.contains(&key) {
            return Err(format!("there is no {what} `{}`; there are: {}", harmless(key), keys.join(", ")));
        }
        if sentence.is_empty() {
            return Err(format!("the {what} `{key}` has no sentence"));
        }
        words.insert(key.to_owned(), harmless(sentence));
    }
    Ok(words)
}

/// What may stand in a line of `reasons.txt`.
const REASON: [&str; 3] = ["number", "opens", "kind"];

/// Every placeholder must be one that is filled in, and those without which a text says nothing
/// must be there.
fn check_placeholders(text: &str, all: &[&str], needed: &[&str]) -> Result<(), String> {
    let used = placeholders(text);
    let wrong = used.iter().find(|placeholder| !all.contains(&placeholder.as_str()));
    if let Some(wrong) = wrong {
        let all = if all.is_empty() { "none".to_owned() } else { format!("{{{}}}", all.join("}, {")) };
        return Err(format!("{{{wrong}}} is not filled in here; there are: {all}"));
    }
    match needed.iter().find(|needed| !used.iter().any(|placeholder| placeholder == *needed)) {
        Some(missing) => Err(format!("{{{missing}}} is missing")),
        None => Ok(()),
    }
}

fn placeholders(text: &str) -> Vec<String> {
    let mut used = Vec::new();
    let _ = replace(text, |placeholder| {
        used.push(placeholder.to_owned());
        None
    });
    used
}

/// Whether a line is an item of a list whose values are empty: `- Order: ` says nothing.
fn is_empty_item(line: &str, value: impl Fn(&str) -> Option<String>) -> bool {
    let used = if line.starts_with("- ") { placeholders(line) } else { Vec::new() };
    !used.is_empty() && used.iter().all(|name| value(name).is_some_and(|value| value.is_empty()))
}

/// Replaces each `{name}`, names being lower-case letters; one without a value stays. One pass: values are not looked at.
fn replace(text: &str, mut value: impl FnMut(&str) -> Option<String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        out.push_str(before);
        let name = after.split_once('}').map(|(name, _)| name).unwrap_or_default();
        let is_name = !name.is_empty() && name.len() <= 32 && name.bytes().all(|b| b.is_ascii_lowercase());
        match is_name.then(|| value(name)).flatten() {
            Some(filled) => {
                out.push_str(&filled);
                rest = after.get(name.len() + 1..).unwrap_or("");
            }
            None => {
                out.push('{');
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}

/// One line without control, direction or line-separating characters, at most [`LONGEST_VALUE`] characters.
fn harmless(text: &str) -> String {
    let bad = |c: char| {
        c.is_control()
            || matches!(c, '\u{2028}' | '\u{2029}' | '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let line: String = text.chars().take(LONGEST_VALUE).map(|c| if bad(c) { ' ' } else { c }).collect();
    line.trim().to_owned()
}

/// Reads `LANG/NAME` under `directory`. Files that no notice has are left to [`Texts::with`] to complain of; hidden ones
/// and editors' backups are passed over.
fn read_directory(directory: &Path) -> std::io::Result<Vec<File>> {
    let mut files = Vec::new();
    for language in std::fs::read_dir(directory)? {
        let language = language?;
        let tag = language.file_name().to_string_lossy().into_owned();
        if tag.starts_with('.') || !language.file_type()?.is_dir() {
            continue;
        }
        for entry in std::fs::read_dir(language.path())? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with('.') || name.ends_with('~') {
                continue;
            }
            let mut text = String::new();
            std::fs::File::open(entry.path())?.take(LONGEST_FILE).read_to_string(&mut text)?;
            files.push(File { language: tag.clone(), name, text });
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests;
