//! Reading the file. A table that does not read costs only itself, so that problems of all tables are told at once.

use super::Config;
use super::check::Problem;
use std::path::Path;

/// Reads a configuration.
///
/// # Errors
/// Every problem of its syntax, its types and its keys.
pub fn load(path: &Path) -> Result<Config, Vec<Problem>> {
    match std::fs::read_to_string(path) {
        Ok(text) => parse(&text),
        Err(error) => Err(vec![Problem {
            place: path.display().to_string(),
            what: format!("cannot be read ({})", error.kind()),
            remedy:
                "Name the configuration with --config FILE or MARKETRELAY_CONFIG; conf/marketrelay.toml is an example"
                    .into(),
        }]),
    }
}

/// Reads a configuration from its text.
///
/// # Errors
/// As [`load`].
pub fn parse(text: &str) -> Result<Config, Vec<Problem>> {
    let whole = match toml::from_str::<Config>(text) {
        Ok(config) => return Ok(config),
        Err(error) => error,
    };
    let Ok(tables) = text.parse::<toml::Table>() else { return Err(vec![problem("syntax", text, &whole)]) };
    // Each top-level key by itself: all those that do not read are told.
    let mut problems = Vec::new();
    for (key, value) in tables {
        let items = match value {
            toml::Value::Array(items) if items.iter().all(toml::Value::is_table) => items
                .into_iter()
                .enumerate()
                .map(|(n, item)| (format!("{key}[{n}]"), toml::Value::Array(vec![item])))
                .collect(),
            // A table's keys one by one.
            toml::Value::Table(inner) => inner
                .into_iter()
                .map(|(name, value)| (format!("{key}.{name}"), toml::Table::from_iter([(name, value)]).into()))
                .collect(),
            value => vec![(key.clone(), value)],
        };
        for (place, value) in items {
            let alone = toml::Table::from_iter([(key.clone(), value)]);
            if let Err(error) = alone.try_into::<Config>() {
                problems.push(problem(&place, text, &error));
            }
        }
    }
    if problems.is_empty() {
        problems.push(problem("configuration", text, &whole));
    }
    Err(problems)
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
