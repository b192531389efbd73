//! Mail to postmaster and abuse, which goes to the operator. Anybody may write there (RFC 5321
//! 4.5.1, RFC 2142), proved or not, so what it may cost is bounded: its size, how often one network
//! sends it, and what all of it takes in an hour and in the queue. It is kept until it is delivered
//! or given up, and is no part of the history.

use super::target::is_operator;
use super::{Arrived, Relay};
use crate::authentication::{Authentication, front};
use crate::config::Limits;
use crate::message::{author, headers};
use crate::metrics::count;
use crate::policy::author::Proof;
use crate::policy::{Decision, LOOP_MARK, Reason};
use crate::smtp::session::too_large;
use crate::store::queue::NewForward;
use crate::store::{Change, Result};
use crate::types::shares::{Amount, Bounds};
use crate::types::{Address, Client, MessageId, Reply, Time, locked};

/// A message that is small enough to be let in from a network that sent none for an hour, whatever
/// others send: room for a complaint with the header that it is about.
const SMALL: u64 = 64 << 10;
/// One network has this part of what all have.
pub const NETWORKS: u64 = 8;

/// Mail for the operator, ready for the queue.
pub(super) struct Forward {
    id: MessageId,
    content: Vec<u8>,
    client: Option<u128>,
}

/// What may be taken in an hour; and, with the same numbers, what may wait.
pub(super) fn bounds(limits: &Limits) -> Bounds {
    Bounds {
        all: Amount::new(limits.operator_messages_in_all as u64, limits.operator_octets.0),
        each: Amount::new(limits.operator_messages as u64, limits.operator_octets.0 / NETWORKS),
        small: SMALL,
    }
}

/// The same in the queue, where a network's messages of several hours can wait.
fn waiting(limits: &Limits) -> Bounds {
    let all = bounds(limits).all;
    Bounds { all, each: Amount { count: all.count / NETWORKS as f64, ..bounds(limits).each }, small: SMALL }
}

/// Honest people meet it when they send dozens of complaints at once, or while a flood goes on and
/// they have written lately: their server tries again, and room comes back by the minute. It tells
/// a flood that it is one, and nothing of anybody else.
fn too_much() -> Reply {
    Reply::new(450, 7, 28, "Too much mail to this address lately, try again later")
}

impl Relay {
    /// At RCPT: whether anything at all from this client has room.
    pub(super) fn operator_has_room(&self, client: &Client) -> std::result::Result<(), Reply> {
        if locked(&self.forwards).has_room(self.network_of(client), 0, Time::now()) {
            return Ok(());
        }
        count(&self.metrics.operator_mail, "deferred");
        Err(too_much())
    }

    /// Whether mail of so many octets is too large for the operator. Honest people send samples of
    /// spam and logs, seldom megabytes of them; the reply tells everybody the same.
    pub(super) fn operator_fits(&self, octets: u64) -> std::result::Result<(), Reply> {
        if octets <= self.config.limits.operator_message_size.0 {
            return Ok(());
        }
        count(&self.metrics.operator_mail, "too-large");
        Err(too_large())
    }

    /// What goes to the operator, or the reply that refuses it.
    pub(super) fn for_operator(&self, arrived: &Arrived) -> std::result::Result<Forward, Reply> {
        let id = self.next_id(arrived.at);
        let (fields, _) = headers::split(&arrived.raw);
        let received = fields.iter().filter(|field| field.is("Received")).count();
        let author = author::read(&fields).ok().map(|author| author.address);
        // Nobody writes as one of these addresses but a forger, who would have the operator's
        // vacation program answer itself.
        let own = author.as_ref().is_some_and(|author| is_operator(author) && self.is_ours(author.domain()));
        if own || fields.iter().any(|field| field.is(LOOP_MARK)) || received > self.config.limits.hops {
            // It hits who sends a message of the relay back as it came, mark and all, instead of
            // quoting it.
            count(&self.metrics.operator_mail, "loop");
            return Err(Decision::reject(Reason::Loop).reply(id));
        }
        self.operator_fits(arrived.raw.len() as u64)?;
        let mut content = self.operator_header(arrived, id, author.as_ref());
        let ours = |field: &headers::Field<'_>| {
            field.is("Authentication-Results") && front::may_be_of(&field.text(), &self.config.hostname)
        };
        content.extend_from_slice(&headers::without(&arrived.raw, ours));
        Ok(Forward { id, content, client: self.network_of(&arrived.client) })
    }

    fn is_ours(&self, domain: &str) -> bool {
        self.shops.contains_key(domain) || domain.eq_ignore_ascii_case(&self.config.hostname)
    }

    /// The fields that the relay puts on top (RFC 8601 4, RFC 5321 4.4), and its mark.
    fn operator_header(&self, arrived: &Arrived, id: MessageId, author: Option<&Address>) -> Vec<u8> {
        let (hostname, date) = (&self.config.hostname, arrived.at.rfc5322());
        let results = results(arrived, author);
        format!(
            "Authentication-Results: {hostname}; {results}\r\nReceived: by {hostname} with ESMTP id {id};\r\n {date}\r\n\
             {LOOP_MARK}: {hostname}\r\n"
        )
        .into_bytes()
    }

    /// Queues it, if there is room.
    ///
    /// # Errors
    /// The store's trouble.
    pub(super) fn forward(&self, change: &Change<'_>, forward: &Forward, now: Time) -> Result<Option<Reply>> {
        let Some(operator) = &self.operator else { return Ok(None) };
        let octets = forward.content.len() as u64;
        let network = forward.client.map(|client| self.store.secret().network_mark(client));
        let (own, others) = change.forwards(network)?;
        let first = own == Amount::default();
        let room = waiting(&self.config.limits).admit(own, others, octets, network.is_some(), first)
            && locked(&self.forwards).take(forward.client, octets, now);
        if !room {
            count(&self.metrics.operator_mail, "deferred");
            return Ok(Some(too_much()));
        }
        count(&self.metrics.operator_mail, "taken");
        let new = NewForward { id: forward.id, recipient: operator, content: &forward.content, network };
        change.enqueue_forward(&new, now)?;
        tracing::info!(id = %forward.id, size = octets, "mail for the operator");
        Ok(None)
    }
}

/// What was found of the author, in the words of RFC 8601 2.7. Domains only, and only such as are
/// plain names.
fn results(arrived: &Arrived, author: Option<&Address>) -> String {
    let found = &arrived.authentication;
    if *found == Authentication::only(found.proof) {
        let trouble = found.proof == Proof::Trouble;
        return if trouble { "spf=temperror;\r\n dmarc=temperror" } else { "none" }.to_owned();
    }
    let name = |property: &str, domain: &str| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
        let usable = (1..=255).contains(&domain.len()) && domain.bytes().all(plain);
        if usable { format!(" {property}={domain}") } else { String::new() }
    };
    let spf = match &arrived.envelope.sender {
        Some(sender) => name("smtp.mailfrom", sender.domain()),
        None => name("smtp.helo", &arrived.client.helo),
    };
    let author = author.map(|author| name("header.from", author.domain())).unwrap_or_default();
    let mut text = if found.login { "auth=pass".to_owned() } else { format!("spf={}{spf}", found.spf.as_str()) };
    for outcome in &found.dkim {
        text.push_str(&format!(";\r\n dkim={}", outcome.as_str()));
    }
    let to = |recipient: &Address| is_operator(recipient) && found.proof_to(recipient) == Proof::Proved;
    let proved = if arrived.envelope.recipients.iter().any(to) { "proved" } else { "not proved" };
    text.push_str(&format!(";\r\n dmarc={}{author} (the author's domain is {proved})", found.dmarc.as_str()));
    text
}
