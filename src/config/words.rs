//! What serde and the TOML parser say of a file, in words for operators: what is wrong, and what
//! helps. No value is repeated: one that stands in the wrong place may be an address.

use super::lines::Step;
use super::{Config, LISTS};
use toml::de::DeTable;

/// What is wrong, and what to do.
pub(super) type Words = (String, String);

const EXAMPLE: &str = "conf/marketrelay.toml shows every key and how its value is written";

/// A fault of the syntax, in the line of a key.
pub(super) fn of_syntax(key: Option<&str>, message: &str) -> Words {
    let key = key.map_or("this line".to_owned(), |key| format!("{key} in this line"));
    let message = format!("{key} is not written as TOML ({})", message.trim().replace('\n', " "));
    let remedy = if message.contains("duplicate key") {
        "Keep one of the two"
    } else {
        "Write KEY = VALUE: texts stand in \"quotes\", lists in [\"…\", \"…\"], tables begin with [name] or [[name]]"
    };
    (message, remedy.to_owned())
}

/// The key that has to be there.
pub(super) fn missing(message: &str) -> Option<&str> {
    message.strip_prefix("missing field `")?.strip_suffix('`')
}

pub(super) fn of_missing() -> Words {
    ("is missing".to_owned(), format!("Write it; {EXAMPLE}"))
}

/// A text that any key takes which has to be there.
pub(super) fn stand_in(key: &str) -> &'static str {
    match key {
        "address" => "127.0.0.1:0",
        "domain" => "stand-in.example",
        "key" | "password_file" => "/dev/null",
        _ => "x",
    }
}

/// The keys that are known where one is not.
pub(super) fn unknown(message: &str) -> Option<Vec<String>> {
    let rest = message.strip_prefix("unknown field `")?;
    let known = rest.rsplit_once("`, expected ").map_or("", |(_, known)| known);
    Some(quoted(known))
}

/// What stands between backticks.
fn quoted(text: &str) -> Vec<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// What is said of something that does not read.
pub(super) struct Found {
    pub(super) words: Words,
    /// The place that was meant.
    pub(super) meant: Option<String>,
}

/// A key that is none, among those that are known there.
pub(super) fn of_unknown(root: &DeTable<'_>, path: &[Step], known: &[String]) -> Found {
    let Some((Step::Key(key), above)) = path.split_last() else {
        return Found { words: of_value(""), meant: None };
    };
    let is_table = above.is_empty() && root.get(key.as_str()).is_some_and(|value| value.get_ref().is_table());
    let what = "is no such key".to_owned();
    let near = known.iter().map(|name| (strsim::damerau_levenshtein(&key.to_lowercase(), name), name));
    let near = near.filter(|(distance, name)| *distance <= 1 + name.len() / 4).min();
    if let Some((_, name)) = near {
        let meant = [above, &[Step::Key(name.clone())]].concat();
        let remedy = format!("Did you mean {name}? {EXAMPLE}");
        return Found { words: (what, remedy), meant: Some(super::lines::place(&meant)) };
    }
    let headers = headers();
    let place = if is_table {
        headers.into_iter().find(|header| header.ends_with(&format!(".{key}]")))
    } else {
        headers.into_iter().find(|header| knows(header, key))
    };
    let remedy = match &place {
        Some(header) if is_table => format!("Write {header}"),
        Some(header) if header.is_empty() => {
            "Write it above the first [table]: what stands behind one belongs to that".to_owned()
        }
        Some(header) => format!("It belongs below {header}"),
        None => format!("Take it out; {EXAMPLE}"),
    };
    // At the top it is found by its name alone.
    let meant = place.filter(String::is_empty).map(|_| key.clone());
    Found { words: (what, remedy), meant }
}

/// The headers of all tables, empty for the top of the file.
fn headers() -> Vec<String> {
    let mut headers = vec![String::new()];
    headers.extend(LISTS.map(|name| format!("[[{name}]]")));
    let defaults = toml::Table::try_from(Config::default()).unwrap_or_default();
    let mut open: Vec<(String, &toml::Table)> = vec![(String::new(), &defaults)];
    while let Some((above, table)) = open.pop() {
        for (name, value) in table {
            if let toml::Value::Table(inner) = value {
                let path = format!("{above}{name}");
                headers.push(format!("[{path}]"));
                open.push((format!("{path}."), inner));
            }
        }
    }
    headers
}

/// Whether a table has such a key: one that nobody has makes it say which it knows.
fn knows(header: &str, key: &str) -> bool {
    let told = toml::from_str::<Config>(&format!("{header}\n\"?\" = 0\n")).err();
    told.and_then(|error| unknown(error.message())).is_some_and(|known| known.iter().any(|name| name == key))
}

/// A value at a place of the file.
pub(super) fn of_value_at(path: &[Step], message: &str) -> Words {
    match path {
        [Step::Key(key)] | [Step::Key(key), Step::Index(_)] if LISTS.contains(&key.as_str()) => {
            ("is no table".to_owned(), format!("Write [[{key}]], and its keys below; {EXAMPLE}"))
        }
        [Step::Key(first), ..] if first == "dns" => {
            let (what, remedy) = of_value(message);
            (what, remedy.replace(":2525", ":53"))
        }
        _ => of_value(message),
    }
}

/// A value of the wrong kind, or none of the right kind.
fn of_value(message: &str) -> Words {
    let message = message.trim().replace('\n', " ");
    if let Some(rest) = message.strip_prefix("unknown variant `") {
        let known = quoted(rest.split_once("`, expected ").map_or("", |(_, known)| known));
        let given = rest.split('`').next().unwrap_or("").to_lowercase();
        let near = known.iter().map(|name| (strsim::damerau_levenshtein(&given, name), name)).min();
        let remedy = match near.filter(|(distance, _)| *distance <= 2) {
            Some((_, near)) => format!("Did you mean \"{near}\"?"),
            None => "Write one of these".to_owned(),
        };
        return (format!("is none of {}", known.join(", ")), remedy);
    }
    if message.contains("invalid socket address") {
        let what = "is not an IP address with a port".to_owned();
        return (what, "Write \"127.0.0.1:2525\" or \"[::1]:2525\", without a name".to_owned());
    }
    if let Some((what, remedy)) = message.split_once(". ")
        && what.starts_with("is ")
    {
        // Words of our own. Others repeat the value.
        return (what.to_owned(), remedy.to_owned());
    }
    let wanted = message.rsplit_once("expected ").map_or("", |(_, wanted)| wanted);
    let (kind, remedy) = match wanted {
        "a boolean" => ("neither true nor false", "Write true or false, without quotes"),
        "a string" | "path string" | "string or map" => ("no text", "Write it in \"quotes\""),
        "a sequence" => ("no list", "Write [\"…\", \"…\"]"),
        "socket address" => ("no IP address with a port", "Write \"127.0.0.1:2525\", in quotes"),
        _ if wanted.starts_with(['u', 'i']) && wanted.len() <= 5 => {
            ("no whole number that fits here, 0 or more", "Write a whole number, without quotes or units")
        }
        _ if wanted.starts_with("struct ") || wanted == "a map" => ("no table", "Write [name], and its keys below"),
        _ if message.contains("overflowed") => ("too large a number", "Write a smaller one"),
        _ => return ("is not written as it has to be".to_owned(), EXAMPLE.to_owned()),
    };
    (format!("is {kind}"), format!("{remedy}; {EXAMPLE}"))
}

/// What a problem at one place may be only because of another place: `limits.memory` is too small
/// for a `max_message_size` that did not read. Without the numbers of lists; what ends in a dot is
/// each key of that table, whose names are the operator's own where it is the first of the two.
const LEANS: [(&str, &str); 21] = [
    ("listener.tls", "tls."),
    ("listener.proxy_protocol", "listener.trusted_networks"),
    ("listener.address", "authentication.mode"),
    ("listener.tls", "listener.kind"),
    ("metrics.address", "listener.address"),
    ("dkim.marketplace", "marketplace.id"),
    ("dkim.selector", "dkim.marketplace"),
    ("marketplace.domain", "alias_length"),
    ("marketplace.contact", "marketplace.domain"),
    ("operator", "marketplace.domain"),
    ("limits.memory", "policy.attachments.max_message_size"),
    ("policy.attachments.max_total", "policy.attachments.max_message_size"),
    ("limits.operator_octets", "limits.operator_message_size"),
    ("limits.operator_messages_in_all", "limits.operator_messages"),
    ("limits.spool_above", "limits.memory"),
    ("delivery.tls_for.", "delivery.route"),
    ("delivery.tls_for.", "delivery.routes."),
    ("delivery.credentials.", "delivery.route"),
    ("delivery.credentials.", "delivery.routes."),
    ("delivery.credentials.", "delivery.tls"),
    ("delivery.credentials.", "delivery.tls_for."),
];

/// Whether a problem at `place` may be there only because what stands at `bad` did not read.
pub(super) fn may_follow(place: &str, bad: &str) -> bool {
    let within = |inner: &str, outer: &str| {
        inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    };
    if within(place, bad) || within(bad, place) {
        return true;
    }
    let (of_all, place, bad) = (!place.contains('['), without_numbers(place), without_numbers(bad));
    if of_all && place == bad {
        return true;
    }
    let leans = |on: &str| bad == on || on.ends_with('.') && bad.starts_with(on);
    let is = |of: &str| place == of || of.ends_with('.') && place.starts_with(of) && place.ends_with('"');
    LEANS.iter().any(|(of, on)| is(of) && leans(on))
}

fn without_numbers(place: &str) -> String {
    let mut text = String::new();
    for (at, piece) in place.split('[').enumerate() {
        let rest = if at == 0 { Some(piece) } else { piece.split_once(']').map(|(_, rest)| rest) };
        text.push_str(rest.unwrap_or(""));
    }
    text
}
