//! The walk of one message as `message show` and `policy explain` tell it: facts, each rule's answer, events, deliveries.

use super::{Context, Failure, Outcome};
use crate::config::check::HIDDEN_CLIENTS;
use crate::policy::rule_names;
use crate::store::queue::Item;
use crate::store::{MessageRow, Store};
use crate::types::{Address, MessageId};
use serde::Serialize;
use serde_json::json;

/// What one rule said.
#[derive(Debug, Serialize)]
pub(super) struct RuleAnswer {
    pub(super) rule: String,
    pub(super) answer: String,
    /// This is where the verdict comes from.
    pub(super) decides: bool,
}

impl RuleAnswer {
    pub(super) fn line(&self) -> String {
        let arrow = if self.decides { "  <- decides" } else { "" };
        format!("\n  {:<24}{}{arrow}", self.rule, self.answer)
    }
}

/// The facts of `name=value` words, without the name of the rule that decided.
pub(super) fn facts(words: &str) -> Vec<(&str, &str)> {
    words.split(' ').filter_map(|word| word.split_once('=')).filter(|(name, _)| *name != "rule").collect()
}

/// The rules as they answered, from the name of the one that decided: those before it let the message pass, those behind it were not asked. The
/// last name stands, where a later step had the last word.
fn answers(row: &MessageRow) -> Vec<RuleAnswer> {
    let mut names = row.facts.split(' ').filter_map(|word| word.strip_prefix("rule="));
    let Some(last) = names.next_back() else { return Vec::new() };
    let decision = format!("{}, because: {}", row.verdict, row.reason);
    let answer =
        |rule: &str, answer: &str, decides| RuleAnswer { rule: rule.to_owned(), answer: answer.to_owned(), decides };
    let mut found = Vec::new();
    let mut over = false;
    for rule in rule_names() {
        let decides = rule == last;
        let words = if decides { &decision } else { if over { "not asked" } else { "pass" } };
        found.push(answer(rule, words, decides));
        over |= decides;
    }
    if !over {
        // A step behind the rules.
        found.push(answer(last, &decision, true));
    }
    found
}

/// What an operator can do about a refusal whose reply tells the author no more than a stranger.
/// The facts above it say what each check found.
pub(super) fn remedy(reason: &str) -> Option<&'static str> {
    match reason {
        "stranger" => Some(
            "From is no registered address of the party: `seller set ID --sender` or `buyer set ID --address` adds one",
        ),
        "other-mailbox" => Some(
            "the envelope sender, `Sender` or the `i=` of a signature (the fact sent-by-another says which) is another mailbox of the author's domain, as \
             bounces@… of a mailing service is; SPF proves a domain, not a person. Register it with `seller set ID --sender` or `buyer set ID --address`, all of a \
             domain that is a seller's alone with `--sender @DOMAIN`, or have the service bounce to a domain of its own",
        ),
        "unauthenticated" => Some(
            "nothing proves the author: his domain has neither SPF that fits nor DKIM, or the mail came past the front. If it was his own: an SPF record that names his \
             servers, with the envelope sender in the domain of From, or a DKIM signature of that domain over From, Subject and To; a login on a submission listener; or, \
             for a seller, `seller set ID --unauthenticated allow`. His registered address is told of it by mail",
        ),
        "spf-failed" => Some(
            "SPF did not pass for the author's domain, and it has nothing else to check by: the sending server is not in its SPF record, or the envelope sender is of another \
             domain. If it was his own: send by the servers that the record names, add this one to it, or sign with DKIM. His registered address is told of it by mail",
        ),
        "dkim-failed" => Some(
            "no DKIM signature of the author's domain passed: the message was changed on its way, the key is not in DNS, or too little is signed (From, Subject and To). \
             If it was his own: mend that, or have SPF pass with the envelope sender in the domain of From. His registered address is told of it by mail",
        ),
        "authentication-failed" => Some(
            "neither SPF nor DKIM passed for the author's domain, or its DMARC policy was not met; the facts say which found what. If it was his own: an envelope sender in \
             the domain of From from a server of its SPF record, or a DKIM signature of that domain. His registered address is told of it by mail",
        ),
        "dns-trouble" => Some(
            "DNS did not answer for the author's domain, or your name servers do not; the sender's server tries again. Whoever writes is deferred alike",
        ),
        "automatic-repeated" => Some(
            "answers of machines from one side of a pair go to the other three times an hour and ten times a day (the fact answers: in the hour, in the day). A program of the \
             author's answers each message; he is told of it once a day. What else a program writes or marks is not counted",
        ),
        "same-words" => Some(
            "both sides have sent the same words, each its own, for the third time within an hour: two programs that answer each other. The author is told of it once a day; \
             any other words of his go through",
        ),
        "suspended" => Some("the party is suspended: `seller resume ID` ends that"),
        _ => None,
    }
}

/// Who sent a message that is refused, as nothing proves that its author did: a line among the
/// facts, which say what each check found.
pub(super) fn sent_by(sender: &Address) -> String {
    format!("\n  {:<24}{}", "sent-by", sender.expose())
}

/// `message show ID`.
pub(super) fn show(context: Context<'_>, store: &Store, id: MessageId) -> Outcome {
    let found =
        store.read(|view| Ok((view.message(id)?, view.events(id)?, view.queue_of(id)?, view.tombstone(id)?)))?;
    let (Some(row), events, waiting, tombstone) = found else {
        return Err(Failure::NotFound(format!("no message {id}")));
    };
    let (facts, rules) = (facts(&row.facts), answers(&row));
    let mut text = head(&row);
    if let Some(tombstone) = &tombstone {
        let what = if tombstone.whole { "all that was written" } else { "what was the other party's in it" };
        text.push_str(&format!("\n  erased    at {}, by {}: {what}", tombstone.erasure.at, tombstone.erasure.by));
    }
    let sender = store.read(|view| view.sender_of(id))?;
    text.push_str("\nfacts");
    for (name, value) in &facts {
        text.push_str(&format!("\n  {name:<24}{value}"));
    }
    sender.iter().for_each(|sender| text.push_str(&sent_by(sender)));
    if facts.is_empty() {
        text.push_str("\n  none: it could not be read, or it is the operator's");
    }
    text.push_str("\nrules");
    rules.iter().for_each(|answer| text.push_str(&answer.line()));
    if rules.is_empty() {
        text.push_str("\n  none was asked");
    }
    let remedy = remedy(&row.reason);
    remedy.iter().for_each(|remedy| text.push_str(&format!("\nremedy\n  {remedy}")));
    let unnamed = facts.contains(&("unnamed-client", "yes"));
    let warning = unnamed.then(|| format!("its front told no client address: {HIDDEN_CLIENTS}"));
    warning.iter().for_each(|warning| text.push_str(&format!("\nwarning\n  {warning}")));
    text.push_str("\nwhat happened then");
    if events.is_empty() && waiting.is_empty() {
        text.push_str("\n  nothing");
    }
    for event in &events {
        text.push_str(&format!("\n  {}  {} {}", event.at, event.what, event.detail));
    }
    for item in &waiting {
        text.push_str(&format!("\n  {}  in the queue: {}", item.due.rfc3339(), super::queue::state(item)));
    }
    let items: Vec<_> =
        waiting.iter().map(|item: &Item| super::queue::document(row.marketplace.as_deref(), item)).collect();
    let facts: serde_json::Map<_, _> =
        facts.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect();
    let erased = tombstone.map(|tombstone| json!({ "whole": tombstone.whole, "erasure": tombstone.erasure }));
    let document = json!({
        "message": row, "facts": facts, "sent_by": sender.as_ref().map(Address::expose), "rules": rules, "remedy": remedy,
        "warning": warning, "events": events, "queue": items, "erased": erased,
    });
    context.out.done(&document, &text)
}

fn head(row: &MessageRow) -> String {
    let mut text = format!(
        "message {}\n  received  {}, {} octets, written by the {}{}\n  pair      buyer {}, seller {}, of marketplace {}\n  thread    {}{}\n  subject   {}\n  verdict   {}, because: {}\n  fate      {}",
        row.id,
        row.received,
        row.size,
        row.author,
        if row.automatic { " (automatic)" } else { "" },
        row.buyer.as_deref().unwrap_or("-"),
        row.seller.as_deref().unwrap_or("-"),
        row.marketplace.as_deref().unwrap_or("-"),
        row.thread,
        if row.thread == row.id { " (began it)" } else { "" },
        row.subject,
        row.verdict,
        row.reason,
        row.fate,
    );
    if row.undelivered && row.fate == "delivered" {
        text.push_str("; a report that is proved says that it did not arrive after all");
    }
    if row.repeats > 0 {
        let last = row.repeated_at.as_deref().unwrap_or("-");
        text.push_str(&format!(
            "\n  came again {} times, the last time at {last}: not relayed, and not counted",
            row.repeats
        ));
    }
    if row.needs_response {
        text.push_str("\n  waits for the seller's response");
        if row.since > row.time {
            text.push_str(&format!(" again, since {}: his answer did not arrive", row.since.rfc3339()));
        }
    }
    text
}
