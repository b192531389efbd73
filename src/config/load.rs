//! Reading the file: all that is wrong with it in one pass. What does not read is told, taken out,
//! and the rest is read again, until all of it reads; what is left is checked like a good file.
//! What may be wrong only because of what was taken out is not told.

use super::check::{Problem, Problems};
use super::lines::{Lines, Step, find, place};
use super::words;
use super::{Config, LISTS};
use serde::Deserialize as _;
use std::path::Path;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Problems of a file that are told; more are a file of another kind.
const MOST: usize = 100;

/// A configuration, as far as it reads.
#[derive(Debug)]
pub struct Loaded {
    /// What reads. Keys that do not are at their defaults.
    pub config: Config,
    problems: Problems,
    lines: Lines,
    /// Where something was taken out, or was meant to be written.
    bad: Vec<String>,
    /// It is no whole TOML: what seems to be missing may stand behind the fault.
    torn: bool,
    /// Lines with faults of the syntax.
    syntax: Vec<Option<usize>>,
    /// A table's header is among them: keys may seem to stand in another table.
    headless: bool,
    /// Nothing is known of what is left.
    lost: bool,
}

/// Reads a configuration.
///
/// # Errors
/// The one problem that there is no such file, or that it cannot be read.
pub fn load(path: &Path) -> Result<Loaded, Problem> {
    std::fs::read_to_string(path).map(|text| examine(&text)).map_err(|error| {
        let remedy = match error.kind() {
            std::io::ErrorKind::PermissionDenied => "Let the user that this runs as read it",
            std::io::ErrorKind::InvalidData => "Save it as UTF-8",
            _ => "Name the configuration with --config FILE or MARKETRELAY_CONFIG; conf/marketrelay.toml is an example",
        };
        Problem::new(path.display().to_string(), format!("cannot be read ({})", error.kind()), remedy)
    })
}

/// Reads a configuration from its text.
///
/// # Errors
/// Every problem of its syntax, its types and its keys.
pub fn parse(text: &str) -> Result<Config, Vec<Problem>> {
    let loaded = examine(text);
    let problems = loaded.problems(Vec::new());
    if problems.is_empty() { Ok(loaded.config) } else { Err(problems) }
}

/// As [`load`], from a text.
pub(super) fn examine(text: &str) -> Loaded {
    let (mut root, errors) = DeTable::parse_recoverable(text);
    let lines = Lines::of(text, root.get_ref());
    let mut loaded = Loaded {
        config: Config::default(),
        problems: Problems::default(),
        torn: !errors.is_empty(),
        syntax: Vec::new(),
        lost: false,
        headless: errors.iter().any(|error| error.message().contains("table")),
        lines,
        bad: Vec::new(),
    };
    for error in errors {
        let line = error.span().map(|span| loaded.lines.number(span.start));
        // One fault of a line leads to others.
        if !loaded.syntax.contains(&line) {
            let key = line.and_then(|line| loaded.lines.key(line)).filter(|_| !loaded.headless);
            let (what, remedy) = words::of_syntax(key, error.message());
            loaded.problems.put(Problem { line, ..Problem::new("syntax", what, remedy) });
            loaded.syntax.push(line);
        }
    }
    let defaults = toml::Table::try_from(Config::default()).unwrap_or_default();
    loaded.brackets(root.get_mut(), &defaults, &[]);
    loaded.lines = Lines::of(text, root.get_ref());
    for _ in 0..MOST {
        match Config::deserialize(toml::Deserializer::from(root.clone())) {
            Ok(config) => {
                loaded.config = config;
                return loaded;
            }
            Err(error) => {
                let path = error.span().and_then(|span| find(root.get_ref(), &span));
                loaded.take_out(&mut root, path, error.message());
            }
        }
    }
    // What is left may be anything: only what was found is told.
    loaded.lost = true;
    loaded
}

impl Loaded {
    /// Every problem: of the file's text, and of `found` what is not there because of those.
    #[must_use]
    pub fn problems(&self, found: Vec<Problem>) -> Vec<Problem> {
        let mut all = self.problems.clone().take();
        all.extend(self.true_of_the_rest(found));
        all.sort_by_key(|problem| problem.line.unwrap_or(usize::MAX));
        all
    }

    /// The warnings among `found` that are not there because of problems, with their lines.
    #[must_use]
    pub fn warnings(&self, found: Vec<Problem>) -> Vec<Problem> {
        self.true_of_the_rest(found).collect()
    }

    fn true_of_the_rest(&self, found: Vec<Problem>) -> impl Iterator<Item = Problem> {
        found.into_iter().filter_map(|mut problem| {
            let exact = self.lines.exact(&problem.place);
            problem.line = exact.or_else(|| self.lines.above(&problem.place));
            let follows = self.bad.iter().any(|bad| words::may_follow(&problem.place, bad));
            let lost = self.lost || self.torn && (exact.is_none() || self.syntax.contains(&exact));
            (!follows && !lost).then_some(problem)
        })
    }

    fn tell(&mut self, place: String, (what, remedy): (String, String)) {
        if !self.bad.contains(&place) {
            let line = self.lines.exact(&place).or_else(|| self.lines.above(&place));
            if line.is_none() || !self.syntax.contains(&line) {
                self.problems.put(Problem { line, ..Problem::new(place.clone(), what, remedy) });
            }
            self.bad.push(place);
        }
    }

    /// One table where there are several, and several where there is one: `[listener]`,
    /// `[[limits]]`. What is in them is read all the same.
    fn brackets(&mut self, table: &mut DeTable<'_>, defaults: &toml::Table, above: &[Step]) {
        let mut gone = Vec::new();
        let dotted = ["delivery.routes", "delivery.tls_for"].contains(&place(above).as_str());
        for (key, value) in table.iter_mut() {
            let name = key.get_ref().clone().into_owned();
            let here = [above, &[Step::Key(name.clone())]].concat();
            let span = value.span();
            let listed = above.is_empty() && LISTS.contains(&name.as_str());
            let default = defaults.get(&name).and_then(toml::Value::as_table);
            let mut new = None;
            match (value.get_mut(), default) {
                (DeValue::Table(inner), _) if listed => {
                    let what = "is in single brackets, and there may be several".to_owned();
                    self.tell(place(&here), (what, format!("Write [[{name}]]")));
                    let mut list = toml::de::DeArray::new();
                    list.push(Spanned::new(span, DeValue::Table(std::mem::take(inner))));
                    new = Some(DeValue::Array(list));
                }
                (DeValue::Table(inner), Some(defaults)) => self.brackets(inner, defaults, &here),
                (DeValue::Table(_), None) if dotted || defaults.contains_key(&name) => {
                    let remedy = if dotted {
                        "A name with dots needs quotes: \"a.example\" = \"…\"".to_owned()
                    } else {
                        format!("Write {name} = …, below the header of the table above")
                    };
                    self.tell(place(&here), ("is a table, and one value is meant".to_owned(), remedy));
                    gone.push(name);
                }
                (DeValue::Array(list), Some(_)) => {
                    let (what, path) = ("is in double brackets, and there is only one", place(&here));
                    self.tell(path.clone(), (what.to_owned(), format!("Write [{path}], once")));
                    match list.first().map(Spanned::get_ref) {
                        Some(DeValue::Table(first)) => new = Some(DeValue::Table(first.clone())),
                        _ => gone.push(name),
                    }
                }
                _ => {}
            }
            if let Some(new) = new {
                // What was told is of its brackets, not of what is in them.
                self.bad.pop();
                *value.get_mut() = new;
            }
        }
        gone.iter().for_each(|name| drop(table.remove(name.as_str())));
    }

    /// Tells what does not read, and takes it out, or puts something in its place that reads: a key
    /// that has to be there, an element whose neighbours have their numbers.
    fn take_out(&mut self, root: &mut Spanned<DeTable<'_>>, path: Option<Vec<Step>>, message: &str) {
        let Some(mut path) = path.filter(|path| !path.is_empty()) else {
            self.tell("configuration".to_owned(), words::of_value_at(&[], message));
            self.lost = true;
            *root.get_mut() = DeTable::new();
            return;
        };
        let here = place(&path);
        let again = self.bad.contains(&here);
        let done = if let Some(missing) = words::missing(message) {
            path.push(Step::Key(missing.to_owned()));
            self.tell(place(&path), words::of_missing());
            put_in(root.get_mut(), &path, Some(words::stand_in(missing)))
        } else {
            let found = match words::unknown(message) {
                Some(known) => words::of_unknown(root.get_ref(), &path, &known),
                None => words::Found { words: words::of_value_at(&path, message), meant: None },
            };
            if self.headless && words::unknown(message).is_some() {
                self.bad.push(here);
            } else {
                self.tell(here, found.words);
            }
            // What it was meant to be is not missing.
            self.bad.extend(found.meant);
            match path.last() {
                Some(Step::Index(_)) if !again => put_in(root.get_mut(), &path, Some(words::stand_in("address"))),
                Some(Step::Index(_)) => {
                    path.pop();
                    put_in(root.get_mut(), &path, None)
                }
                _ => put_in(root.get_mut(), &path, None),
            }
        };
        if !done {
            // Not there to be mended: all of its table goes.
            path.truncate(1);
            self.bad.push(place(&path));
            put_in(root.get_mut(), &path, None);
        }
    }
}

/// Puts a text there, or takes out what is there; says whether it could.
fn put_in(table: &mut DeTable<'_>, path: &[Step], text: Option<&'static str>) -> bool {
    let [Step::Key(first), rest @ ..] = path else { return false };
    if rest.is_empty() {
        return match text {
            Some(text) => {
                let value = Spanned::new(0..0, DeValue::String(text.into()));
                table.insert(Spanned::new(0..0, first.clone().into()), value).is_none()
            }
            None => table.remove(first.as_str()).is_some(),
        };
    }
    match (table.get_mut(first.as_str()).map(Spanned::get_mut), rest) {
        (Some(DeValue::Table(inner)), _) => put_in(inner, rest, text),
        (Some(DeValue::Array(list)), [Step::Index(at), deeper @ ..]) => {
            match (list.get_mut(*at).map(Spanned::get_mut), deeper, text) {
                (Some(item), [], Some(text)) => {
                    *item = DeValue::String(text.into());
                    true
                }
                (Some(DeValue::Table(inner)), [_, ..], _) => put_in(inner, deeper, text),
                _ => false,
            }
        }
        _ => false,
    }
}
