//! `marketrelay import FILE`: sellers, buyers and orders from JSON Lines. Good lines are kept in batches; each bad one is told with its number and why.

use super::party::read_senders;
use super::{Context, Failure, Outcome};
use crate::store::{Change, NewOrder, NewParty, Open, StoreError, Switch};
use crate::types::{Address, ExternalId, Providers, Role, SystemRandom, Time};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Deserialize;
use serde_json::json;
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::sync::Arc;

/// Lines of one transaction.
const BATCH: usize = 2000;
/// Longest line in octets.
const LINE: u64 = 1 << 20;
/// Bad lines that are told one by one.
const TOLD: usize = 100;

#[derive(Debug, clap::Args)]
#[command(after_help = "Each line is one object with `type`:\n  \
    {\"type\":\"seller\",\"id\":\"S-1\",\"name\":\"Sato Shop\",\"email\":\"service@sato.example\",\"senders\":[\"sato@sato.example\",\"@bounces.sato.example\"]}\n  \
    {\"type\":\"buyer\",\"id\":\"B-7\",\"email\":\"hana@mail.example\",\"name\":\"Hana\",\"language\":\"ja\",\"opted_out\":false}\n  \
    {\"type\":\"order\",\"id\":\"250-1\",\"buyer\":\"B-7\",\"seller\":\"S-1\",\"status\":\"shipped\",\"placed\":\"2026-11-21T09:00:00+09:00\"}\n\
    Exit status 1 if a line was bad; the good ones are kept.")]
pub(super) struct Arguments {
    /// JSON Lines; `-` is standard input
    file: PathBuf,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
enum Line {
    Seller {
        id: String,
        marketplace: Option<String>,
        name: Option<String>,
        email: Option<String>,
        senders: Option<Vec<String>>,
        language: Option<String>,
        auto_replies: Option<bool>,
        unauthenticated: Option<bool>,
        suspended: Option<bool>,
    },
    Buyer {
        id: String,
        marketplace: Option<String>,
        name: Option<String>,
        email: Option<String>,
        addresses: Option<Vec<String>>,
        language: Option<String>,
        opted_out: Option<bool>,
    },
    Order {
        id: String,
        marketplace: Option<String>,
        buyer: String,
        seller: String,
        status: Option<String>,
        category: Option<String>,
        placed: Option<String>,
    },
}

/// What lines are read against.
struct Shops {
    /// Alias domain by marketplace.
    domains: HashMap<String, String>,
    /// The one that is meant where a line names none.
    default: Option<String>,
    /// The command line names it: lines of another are bad.
    only: bool,
    own_domains: Vec<String>,
    providers: Providers,
    alias_length: usize,
}

/// A line whose number is known.
type Numbered<T> = (u64, T);

impl Arguments {
    pub(super) fn run(self, context: Context<'_>) -> Outcome {
        let mut context = context;
        let shops = Arc::new(Shops {
            domains: context.config.marketplace.iter().map(|s| (s.id.clone(), s.domain.clone())).collect(),
            default: context.marketplace().ok().map(|shop| shop.id.clone()),
            only: context.marketplace.is_some(),
            own_domains: context.own_domains(),
            providers: context.config.authentication.table(),
            alias_length: context.config.alias_length,
        });
        let (input, size): (Box<dyn Read>, Option<u64>) = if self.file.as_os_str() == "-" {
            (Box::new(std::io::stdin()), None)
        } else {
            let file = std::fs::File::open(&self.file);
            let file =
                file.map_err(|error| Failure::Failed(format!("cannot read {}: {error}", self.file.display())))?;
            let size = file.metadata().map(|m| m.len()).ok();
            (Box::new(file), size)
        };
        let store = context.store(Open::Beside)?;
        // Shows itself on a terminal only.
        let bar = size.map_or_else(ProgressBar::no_length, ProgressBar::new);
        if let Ok(style) = ProgressStyle::with_template("{bar:30} {bytes}/{total_bytes} {msg} {elapsed}") {
            bar.set_style(style);
        }
        let mut input = BufReader::with_capacity(1 << 16, input);
        let (mut kept, mut bad, mut told) = (0_u64, 0_u64, Vec::new());
        let mut number = 0;
        loop {
            let (batch, mut faults, done) = read_batch(&mut input, &mut number, &bar)?;
            if !batch.is_empty() {
                let shops = Arc::clone(&shops);
                let (count, more) = store.write_blocking(move |change| Ok(write_batch(change, &shops, batch)))?;
                kept += count;
                faults.extend(more);
            }
            faults.sort();
            for (line, why) in faults {
                bad += 1;
                if told.len() < TOLD {
                    if !context.out.is_json() {
                        bar.suspend(|| context.out.line(&format!("line {line}: {why}")))?;
                    }
                    told.push(json!({ "line": line, "why": why }));
                }
            }
            bar.set_message(format!("{kept} kept, {bad} bad"));
            if done {
                break;
            }
        }
        bar.finish_and_clear();
        let said = format!("{number} line(s) read: {kept} kept, {bad} bad.");
        let document = json!({ "lines": number, "kept": kept, "bad": bad, "problems": told });
        if bad == 0 {
            return context.out.done(&document, &said);
        }
        if context.out.is_json() {
            // The document tells it all; the status tells that something was bad.
            context.out.done(&document, "")?;
            return Err(Failure::Told);
        }
        Err(Failure::Failed(said))
    }
}

type Batch = (Vec<Numbered<Line>>, Vec<Numbered<String>>, bool);

/// Reads lines up to a batch; those that are no such object are told at once.
fn read_batch(input: &mut impl BufRead, number: &mut u64, bar: &ProgressBar) -> Result<Batch, Failure> {
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    while good.len() < BATCH && bad.len() < BATCH {
        let mut line = Vec::new();
        let length = input.by_ref().take(LINE).read_until(b'\n', &mut line)?;
        if length == 0 {
            return Ok((good, bad, true));
        }
        *number += 1;
        bar.inc(length as u64);
        if length as u64 == LINE && !line.ends_with(b"\n") {
            skip_line(input)?;
            bad.push((*number, "longer than 1 MiB".to_owned()));
            continue;
        }
        let text = line.trim_ascii();
        if text.is_empty() {
            continue;
        }
        match serde_json::from_slice(text) {
            Ok(line) => good.push((*number, line)),
            Err(error) => bad.push((*number, without_values(&error))),
        }
    }
    Ok((good, bad, false))
}

fn skip_line(input: &mut impl BufRead) -> std::io::Result<()> {
    loop {
        let (used, ended) = {
            let buffer = input.fill_buf()?;
            match memchr::memchr(b'\n', buffer) {
                Some(at) => (at + 1, true),
                None => (buffer.len(), buffer.is_empty()),
            }
        };
        input.consume(used);
        if ended {
            return Ok(());
        }
    }
}

/// What is wrong with a line, without repeating what stands in it: where columns are mixed up, even a key may be an address.
fn without_values(error: &serde_json::Error) -> String {
    if error.classify() != serde_json::error::Category::Data {
        return "not a JSON object".to_owned();
    }
    let text = error.to_string();
    if text.starts_with("missing field") {
        return text.split(" at line").next().unwrap_or("").to_owned();
    }
    let unknown = ["unknown field", "unknown variant"].into_iter().find(|what| text.starts_with(what));
    // The last list is ours, whatever the key says.
    let known = text.rsplit_once("`, expected ").and_then(|(_, known)| known.split(" at line").next());
    match (unknown, known) {
        (Some(unknown), Some(known)) => format!("{unknown}, expected {known}"),
        (Some(unknown), None) => unknown.to_owned(),
        (None, _) => "a field has the wrong kind of value".to_owned(),
    }
}

fn write_batch(change: &Change<'_>, shops: &Shops, batch: Vec<Numbered<Line>>) -> (u64, Vec<Numbered<String>>) {
    let (mut kept, mut bad) = (0, Vec::new());
    for (number, line) in batch {
        match write_line(change, shops, line) {
            Ok(()) => kept += 1,
            Err(why) => bad.push((number, why)),
        }
    }
    (kept, bad)
}

fn write_line(change: &Change<'_>, shops: &Shops, line: Line) -> Result<(), String> {
    let now = Time::now();
    let told = |error: StoreError| error.to_string();
    match line {
        Line::Seller { id, marketplace, name, email, senders, language, auto_replies, unauthenticated, suspended } => {
            let senders =
                senders.map(|texts| read_senders(&texts, &shops.own_domains, &shops.providers)).transpose()?;
            let (domains, senders) = senders.unzip();
            let new = NewParty {
                marketplace: shops.named(marketplace)?,
                role: Role::Seller,
                external: external(&id)?,
                name,
                main: email.as_deref().map(address).transpose()?,
                further: senders,
                language,
                auto_replies,
                unauthenticated,
            };
            let (party, _) = change.set_party(&new, &shops.own_domains, now).map_err(told)?;
            if let Some(domains) = domains {
                change.set_domains(party, &domains).map_err(told)?;
            }
            suspended.map_or(Ok(()), |on| change.set_switch(party, Switch::Suspended, on).map(|_| ()).map_err(told))
        }
        Line::Buyer { id, marketplace, name, email, addresses, language, opted_out } => {
            let new = NewParty {
                marketplace: shops.named(marketplace)?,
                role: Role::Buyer,
                external: external(&id)?,
                name,
                main: email.as_deref().map(address).transpose()?,
                further: addresses.map(|list| list.iter().map(|a| address(a)).collect()).transpose()?,
                language,
                auto_replies: None,
                unauthenticated: None,
            };
            let (party, made) = change.set_party(&new, &shops.own_domains, now).map_err(told)?;
            // A list that has `false` for everybody does not know who opted out before he was
            // erased: that stands. He says so himself, by `buyer opt-in`.
            let opted_out = opted_out.filter(|on| *on || !made);
            opted_out.map_or(Ok(()), |on| change.set_switch(party, Switch::OptedOut, on).map(|_| ()).map_err(told))
        }
        Line::Order { id, marketplace, buyer, seller, status, category, placed } => {
            let shop = shops.named(marketplace)?;
            let party = |role: Role, id: &str| {
                let found = change.party_id(&shop, role, id).map_err(told)?;
                found.ok_or_else(|| format!("no such {role}; it has to come before its orders"))
            };
            let (buyer, seller) = (party(Role::Buyer, &buyer)?, party(Role::Seller, &seller)?);
            let moment =
                |text: String| Time::from_rfc3339(&text).ok_or("placed: write it as 2026-11-21T09:00:00+09:00");
            let new = NewOrder { external: external(&id)?, status, category, placed: placed.map(moment).transpose()? };
            let domain = shops.domains.get(&shop).map_or("", String::as_str);
            let alias = (domain, shops.alias_length);
            let pair = change.pair_or_new(buyer, seller, alias, now, &mut SystemRandom).map_err(told)?;
            change.set_order(&shop, seller, pair, &new, now).map(|_| ()).map_err(told)
        }
    }
}

impl Shops {
    fn named(&self, name: Option<String>) -> Result<String, String> {
        match name.or_else(|| self.default.clone()) {
            Some(name) if self.only && self.default.as_ref() != Some(&name) => {
                Err("marketplace: another than --marketplace names".to_owned())
            }
            Some(name) if self.domains.contains_key(&name) => Ok(name),
            Some(_) => Err("marketplace: not in the configuration".to_owned()),
            None => Err("marketplace: there are several, name one".to_owned()),
        }
    }
}

fn external(id: &str) -> Result<ExternalId, String> {
    id.parse().map_err(|error: crate::types::ids::IdError| format!("id: {error}"))
}

fn address(text: &str) -> Result<Address, String> {
    Address::parse(text).map_err(|error| format!("an address is wrong: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_line_is_repeated() {
        let table = [
            (
                "{\"type\":\"buyer\",\"id\":\"1\",\"secret@x.test\":1}",
                "unknown field, expected one of `id`, `marketplace`",
            ),
            (
                "{\"type\":\"buyer\",\"id\":\"1\",\"secret`, expected secret at line\":1}",
                "unknown field, expected one of `id`",
            ),
            ("{\"type\":\"secret@x.test\"}", "unknown variant, expected one of `seller`, `buyer`, `order`"),
            ("{\"id\":\"secret\"}", "missing field `type`"),
            ("{\"type\":\"buyer\",\"id\":\"1\",\"opted_out\":\"secret\"}", "a field has the wrong kind of value"),
            ("\"secret\"", "a field has the wrong kind of value"),
            ("secret", "not a JSON object"),
        ];
        for (line, want) in table {
            let told = without_values(&serde_json::from_str::<Line>(line).unwrap_err());
            assert!(told.starts_with(want) && !told.contains("secret") && told.len() < 200, "{line}: {told}");
        }
    }
}
