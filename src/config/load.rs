//! Reading the file. A table that does not read costs only itself, so that problems of all tables are told at once.

use super::Config;
use super::check::{Problem, RouteCheck};
use std::path::Path;

/// Reads a configuration. `route` as in [`Config::check`].
///
/// # Errors
/// Every problem of its syntax, its types and its keys, and beside them what [`Config::check`] says of the rest.
pub fn load(path: &Path, route: RouteCheck) -> Result<Config, Vec<Problem>> {
    match std::fs::read_to_string(path) {
        Ok(text) => examine(&text, route),
        Err(error) => Err(vec![Problem {
            place: path.display().to_string(),
            what: format!("cannot be read ({})", error.kind()),
            remedy: match error.kind() {
                std::io::ErrorKind::PermissionDenied => "Let the user that this runs as read it",
                _ => "Name the configuration with --config FILE or MARKETRELAY_CONFIG; conf/marketrelay.toml is an example",
            }
            .to_owned(),
        }]),
    }
}

/// As [`load`], from a text.
pub(super) fn examine(text: &str, route: RouteCheck) -> Result<Config, Vec<Problem>> {
    read(text).map_err(|Broken { mut problems, rest }| {
        let found = rest.map_or_else(Vec::new, |rest| rest.check(route));
        let told: Vec<String> = problems.iter().map(|problem| problem.place.clone()).collect();
        problems.extend(found.into_iter().filter(|problem| !told.iter().any(|bad| may_follow(&problem.place, bad))));
        problems
    })
}

/// Reads a configuration from its text.
///
/// # Errors
/// Every problem of its syntax, its types and its keys.
pub fn parse(text: &str) -> Result<Config, Vec<Problem>> {
    read(text).map_err(|broken| broken.problems)
}

/// A configuration of which not all reads.
struct Broken {
    problems: Vec<Problem>,
    /// What does, if it is enough to look at.
    rest: Option<Box<Config>>,
}

/// Whether a problem at `place` may be there only because what stands at `bad` did not read.
fn may_follow(place: &str, bad: &str) -> bool {
    let top = |place: &str| place.split(['.', '[']).next().unwrap_or("").to_owned();
    let (of, from) = (top(place), top(bad));
    let needs: &[&str] = match of.as_str() {
        "listener" => &["tls", "authentication"],
        "authentication" => &["listener"],
        "dkim" | "operator" => &["marketplace"],
        "marketplace" => &["alias_length"],
        "limits" => &["policy"],
        _ => &[],
    };
    needs.contains(&from.as_str()) || of == from && (bad.contains('[') || place.starts_with(bad) || of == "delivery")
}

fn read(text: &str) -> Result<Config, Broken> {
    let whole = match toml::from_str::<Config>(text) {
        Ok(config) => return Ok(config),
        Err(error) => error,
    };
    let Ok(tables) = text.parse::<toml::Table>() else {
        return Err(Broken { problems: vec![problem("syntax", text, &whole)], rest: None });
    };
    // Each top-level key by itself: all those that do not read are told.
    let (mut problems, mut rest) = (Vec::new(), toml::Table::new());
    for (key, value) in tables {
        let reads = |place: &str, value: toml::Value| {
            let alone = toml::Table::from_iter([(key.clone(), value)]);
            alone.try_into::<Config>().map_err(|error| problem(place, text, &error)).err()
        };
        let before = problems.len();
        match value {
            toml::Value::Array(items) if items.iter().all(toml::Value::is_table) => {
                let each = items.iter().enumerate();
                problems.extend(each.filter_map(|(n, item)| reads(&format!("{key}[{n}]"), vec![item.clone()].into())));
                if problems.len() == before {
                    rest.insert(key, items.into());
                }
            }
            // A table's keys one by one.
            toml::Value::Table(inner) => {
                let mut good = toml::Table::new();
                for (name, value) in inner {
                    let one = toml::Table::from_iter([(name.clone(), value.clone())]);
                    match reads(&format!("{key}.{name}"), one.into()) {
                        Some(problem) => problems.push(problem),
                        None => drop(good.insert(name, value)),
                    }
                }
                rest.insert(key, good.into());
            }
            value => match reads(&key, value.clone()) {
                Some(problem) => problems.push(problem),
                None => drop(rest.insert(key, value)),
            },
        }
    }
    if problems.is_empty() {
        problems.push(problem("configuration", text, &whole));
    }
    Err(Broken { problems, rest: rest.try_into().ok().map(Box::new) })
}

fn problem(place: &str, text: &str, error: &toml::de::Error) -> Problem {
    let mut what = error.message().trim().replace('\n', " ");
    if let Some(span) = error.span() {
        let line = text.get(..span.start).unwrap_or("").matches('\n').count() + 1;
        what = format!("line {line}: {what}");
    }
    let remedy = "conf/marketrelay.toml shows every key and how its value is written".to_owned();
    Problem { place: place.to_owned(), what, remedy }
}
