//! `marketrelay policy explain`: what would become of a message. Nothing is written and nothing goes out.

use super::walk::{RuleAnswer, facts, remedy, sent_by};
use super::{Context, Failure, Outcome, runtime};
use crate::authentication::Verifier;
use crate::config::{AuthenticationMode, Config, Marketplace};
use crate::dns::Hickory;
use crate::metrics::Metrics;
use crate::notice::Texts;
use crate::policy::Verdict;
use crate::relay::Relay;
use crate::relay::explain::Explained;
use crate::store::Open;
use crate::types::address::ascii_domain;
use crate::types::network::Network;
use crate::types::{Address, Client, Envelope, Reply, Time};
use bytes::Bytes;
use clap::{Args, Subcommand};
use serde_json::json;
use std::io::Read as _;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Say what would become of a message: its facts, each rule's answer, verdict and reply; nothing is sent
    #[command(
        after_help = "Example:\n  marketrelay policy explain --from shop@seller.example --to bqx7…@market.example.jp letter.eml"
    )]
    Explain(Explain),
}

#[derive(Debug, Args)]
pub(super) struct Explain {
    /// Envelope sender; `<>` for the null sender
    #[arg(long, value_name = "ADDR")]
    from: String,
    /// The alias it is written to
    #[arg(long, value_name = "ADDR")]
    to: String,
    /// The client's network address, for SPF and trusted networks
    #[arg(long, value_name = "IP")]
    client_ip: Option<IpAddr>,
    /// What the client says in EHLO
    #[arg(long, value_name = "NAME", default_value = "localhost")]
    helo: String,
    /// The message; `-` for standard input
    #[arg(value_name = "FILE.eml")]
    file: PathBuf,
}

impl Command {
    pub(super) fn run(self, context: Context<'_>) -> Outcome {
        let Self::Explain(explain) = self;
        explain.run(context)
    }
}

impl Explain {
    fn run(self, context: Context<'_>) -> Outcome {
        let address = |name: &str, text: &str| {
            let text = text.trim().trim_start_matches('<').trim_end_matches('>');
            Address::parse(text).map_err(|error| Failure::Failed(format!("--{name}: {error}")))
        };
        let sender = if self.from.trim() == "<>" { None } else { Some(address("from", &self.from)?) };
        let recipients = vec![address("to", &self.to)?];
        let within = |shop: &&Marketplace| recipients.iter().all(|to| is_at(to, &shop.domain));
        if context.marketplace.is_some() && !context.marketplaces()?.iter().any(within) {
            return Err(Failure::NotFound("--to is no alias of that marketplace".to_owned()));
        }
        let raw = read(&self.file, context.config.policy.attachments.max_message_size.0)?;
        let ip = self.client_ip.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let trusted = context.config.listener.iter().flat_map(|listener| &listener.trusted_networks);
        let trusted = trusted.filter_map(|text| text.parse::<Network>().ok()).any(|network| network.contains(ip));
        let client = Client { ip, helo: self.helo, tls: false, trusted, login: None };
        let envelope = Envelope { sender, recipients, eight_bit: true, utf8: true };
        let mut notes = notes(&context.config, self.client_ip.is_some(), trusted);

        let store = context.store(Open::Existing)?;
        let config = Arc::new(context.config.clone());
        let relay = Relay::new(Arc::clone(&config), store, Texts::built_in(), Metrics::default())?;
        let explained = runtime()?.block_on(async {
            if config.authentication.mode == AuthenticationMode::Verify {
                let dns = Hickory::new(&config.dns).map_err(|error| Failure::Failed(format!("[dns] {error}")))?;
                relay.verify_with(Verifier::new(dns.resolver().clone(), &config.hostname));
            }
            Ok::<_, Failure>(relay.explain(client, envelope, raw, Time::now()).await)
        })?;
        match explained {
            Ok(explained) => {
                notes.extend(explained.decision.as_ref().and_then(|decision| remedy(decision.reason.as_str())));
                print(context, &explained, &notes)
            }
            Err(reply) => refused(context, &reply),
        }
    }
}

fn is_at(address: &Address, domain: &str) -> bool {
    ascii_domain(domain).is_ok_and(|domain| domain == address.domain())
}

/// Reads the message, up to a little more than the daemon takes. Files that end their lines by LF alone get CRLF, as they would have on the way.
fn read(path: &Path, most: u64) -> Result<Bytes, Failure> {
    let wrong = |error: std::io::Error| Failure::Failed(format!("cannot read {}: {error}", path.display()));
    let mut raw = Vec::new();
    let most = most.saturating_add(1);
    if path.as_os_str() == "-" {
        std::io::stdin().lock().take(most).read_to_end(&mut raw).map_err(wrong)?;
    } else {
        std::fs::File::open(path).map_err(wrong)?.take(most).read_to_end(&mut raw).map_err(wrong)?;
    }
    if memchr::memmem::find(&raw, b"\r\n").is_some() {
        return Ok(raw.into());
    }
    let mut wire = Vec::with_capacity(raw.len() + raw.len() / 32);
    for line in raw.split_inclusive(|byte| *byte == b'\n') {
        wire.extend_from_slice(line.strip_suffix(b"\n").unwrap_or(line));
        wire.extend_from_slice(b"\r\n");
    }
    Ok(wire.into())
}

/// What one has to know of how the author was checked.
fn notes(config: &Config, with_ip: bool, trusted: bool) -> Vec<&'static str> {
    let mut notes = Vec::new();
    match config.authentication.mode {
        AuthenticationMode::Verify => {
            notes.push("the author was checked in DNS, as mode = \"verify\" says");
            if !with_ip {
                notes.push("without --client-ip SPF sees a message from 127.0.0.1");
            }
        }
        AuthenticationMode::Front if trusted => {
            notes.push("the message's Authentication-Results are believed, as if a trusted front had written them");
        }
        AuthenticationMode::Front => {
            notes.push("its Authentication-Results are not believed: --client-ip is in no trusted network");
        }
        AuthenticationMode::None => notes.push("nobody checks the author: mode = \"none\""),
    }
    notes
}

/// The one line that the sender's server would hear.
fn line(reply: &Reply) -> String {
    reply.wire().trim_end().replace("\r\n", " / ")
}

fn refused(context: Context<'_>, reply: &Reply) -> Outcome {
    let text = line(reply);
    let document = json!({ "at": "recipient", "verdict": null, "reason": null, "reply": text });
    context.out.done(&document, &format!("Refused before the message was seen, at RCPT TO:\n  {text}"))
}

fn print(context: Context<'_>, explained: &Explained, notes: &[&str]) -> Outcome {
    let mut answers = Vec::new();
    let mut decided = false;
    for answer in &explained.answers {
        let what = answer.decision.as_ref();
        let words = what.map_or_else(
            || "pass".to_owned(),
            |decision| format!("{}, because: {}", decision.verdict.as_str(), decision.reason.as_str()),
        );
        answers.push(RuleAnswer { rule: answer.rule.to_owned(), answer: words, decides: !decided && what.is_some() });
        decided |= what.is_some();
    }
    let facts = facts(&explained.facts);
    let reply = line(&explained.reply);
    let (verdict, reason) =
        explained.decision.as_ref().map_or((None, None), |d| (Some(d.verdict.as_str()), Some(d.reason.as_str())));
    let answered = explained.decision.as_ref().is_some_and(|d| d.answer);
    let document = json!({
        "at": "message", "facts": facts.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect::<serde_json::Map<_, _>>(),
        "sent_by": explained.sent_by.as_ref().map(Address::expose), "rules": answers, "guard": explained.place, "verdict": verdict, "reason": reason, "auto_reply": answered,
        "reply": reply, "notes": notes,
    });
    let mut text = "facts".to_owned();
    for (name, value) in &facts {
        text.push_str(&format!("\n  {name:<24}{value}"));
    }
    explained.sent_by.iter().for_each(|sender| text.push_str(&sent_by(sender)));
    text.push_str("\nrules");
    for answer in &answers {
        text.push_str(&answer.line());
    }
    if explained.answers.is_empty() {
        text.push_str("\n  none was asked");
    }
    if let Some(place) = explained.place {
        text.push_str(&format!("\n  what would go out still holds an address, in the {place}"));
    }
    let none = if explained.reply.is_positive() { "accepted" } else { "refused" };
    text.push_str(&format!(
        "\nverdict\n  {}",
        verdict.map_or(format!("none: {none} as the reply says"), str::to_owned)
    ));
    if let Some(reason) = reason {
        text.push_str(&format!(", because: {reason}"));
    }
    if answered {
        text.push_str("; the author gets the opt-out auto-reply");
    }
    if explained.decision.as_ref().is_some_and(|d| d.verdict == Verdict::Relay) {
        text.push_str("; what goes out passed the guard");
    }
    text.push_str(&format!("\nreply\n  {reply}\nnotes\n  nothing was written or sent; the id in the reply is made up"));
    for note in notes {
        text.push_str(&format!("\n  {note}"));
    }
    context.out.done(&document, &text)
}
