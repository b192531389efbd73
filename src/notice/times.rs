//! Moments as people of a language write them: a pattern and names of `words.txt`.

use crate::types::Time;
use jiff::Zoned;
use jiff::tz::TimeZone;
use std::collections::BTreeMap;

/// The words of `words.txt`. `tags` is for the critical tags that belong to the language.
pub(super) const WORDS: [&str; 5] = ["time", "first", "months", "weekdays", "tags"];
/// What a pattern may hold.
pub(super) const PLACES: [&str; 7] = ["weekday", "day", "month", "year", "hour", "minute", "zone"];
/// For a language that has no words: RFC 3339's order, which nobody takes for another.
const PLAIN: &str = "{year}-{number}-{day} {hour}:{minute} ({zone})";

/// What is wrong with the words of a language.
pub(super) fn fault(words: &BTreeMap<String, String>) -> Option<String> {
    for (word, number) in [("months", 12), ("weekdays", 7)] {
        let count = words.get(word).map(|list| names(list).count());
        if count.is_some_and(|count| count != number) {
            return Some(format!("`{word}` needs {number} names with commas between"));
        }
    }
    let pattern = words.get("time")?;
    let missing = PLACES.iter().find(|place| **place != "weekday" && !pattern.contains(&format!("{{{place}}}")));
    if let Some(missing) = missing {
        return Some(format!("{{{missing}}} is missing in `time`"));
    }
    let needs = [("{month}", "months"), ("{weekday}", "weekdays")];
    let list = needs.iter().find(|(place, list)| pattern.contains(place) && !words.contains_key(*list));
    list.map(|(place, list)| format!("`time` has {place}, and there are no `{list}`"))
}

/// A list's names.
pub(super) fn names(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim).filter(|name| !name.is_empty())
}

/// A moment in a zone.
pub(super) fn written(words: &BTreeMap<String, String>, at: Time, zone: &TimeZone) -> String {
    let at = at.timestamp().to_zoned(zone.clone());
    let name = |list: &str, index: i8| {
        let names = words.get(list).map(|list| names(list));
        names.and_then(|mut names| names.nth(usize::try_from(index).ok()?)).unwrap_or_default().to_owned()
    };
    // The plain pattern is the only one with a `{number}`, and its days have two digits.
    let pattern = words.get("time").map_or(PLAIN, String::as_str);
    let day = match (words.get("first"), at.day()) {
        (Some(first), 1) => first.clone(),
        (_, day) if pattern == PLAIN => format!("{day:02}"),
        (_, day) => day.to_string(),
    };
    let values = [
        ("{weekday}", name("weekdays", at.weekday().to_monday_zero_offset())),
        ("{day}", day),
        ("{month}", name("months", at.month() - 1)),
        ("{number}", format!("{:02}", at.month())),
        ("{year}", format!("{:04}", at.year())),
        ("{hour}", format!("{:02}", at.hour())),
        ("{minute}", format!("{:02}", at.minute())),
        ("{zone}", offset(&at)),
    ];
    values.into_iter().fold(pattern.to_owned(), |text, (place, value)| text.replace(place, &value))
}

/// `UTC+9`, `UTC-3:30`, `UTC`.
fn offset(at: &Zoned) -> String {
    let seconds = at.offset().seconds();
    let (hours, minutes) = (seconds.abs() / 3600, seconds.abs() % 3600 / 60);
    match (seconds, minutes) {
        (0, _) => "UTC".to_owned(),
        (_, 0) => format!("UTC{}{hours}", if seconds < 0 { '-' } else { '+' }),
        _ => format!("UTC{}{hours}:{minutes:02}", if seconds < 0 { '-' } else { '+' }),
    }
}
