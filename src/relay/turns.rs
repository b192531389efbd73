//! Machines without a mark that answer one another: their words are compared when both sides have
//! taken turns often enough, and read from the store only then.

use super::judged::Letter;
use super::{Arrived, Relay};
use crate::message::headers::{Field, date, split};
use crate::message::said::Said;
use crate::message::work;
use crate::policy::turns::{FRESH, Turn, goes_round, may_go_round};
use crate::store::{Result, StoreError};
use crate::types::MessageId;
use std::collections::HashMap;
use std::rc::Rc;

/// Earlier messages that are read for one letter at most.
const MOST: usize = 24;

impl Relay {
    /// Whether a letter is one too many in a talk of machines.
    pub(super) fn goes_round(&self, arrived: &Arrived, letter: &Letter) -> Result<bool> {
        let own = letter.turn(arrived.raw.len());
        if !may_go_round(&own, &letter.turns) {
            return Ok(false);
        }
        let limits = &self.config.limits;
        let Some(said) = Said::read(&arrived.raw, letter.pair.alias(own.author.other()).as_str(), limits) else {
            return Ok(false);
        };
        // Their words are about as many as its own: a small message has no large one read.
        let most = arrived.raw.len().saturating_mul(4).saturating_add(limits.header_size.octets());
        let mut read =
            Read { relay: self, letter, most, known: HashMap::new(), allowed: limits.steps(), trouble: None };
        read.known.insert(own.id, Some(Rc::new(said)));
        let date = |field: &Field<'_>| field.is("Date").then(|| date(&field.text())).flatten();
        let written = split(&arrived.raw).0.iter().find_map(date).unwrap_or(arrived.at);
        let fresh = arrived.at.since(written).max(written.since(arrived.at)) < FRESH;
        let found = goes_round(&own, fresh, &letter.turns, |later, earlier| read.same(later, earlier));
        read.trouble.map_or(Ok(found), Err)
    }
}

/// What has been read of earlier messages.
struct Read<'a> {
    relay: &'a Relay,
    letter: &'a Letter,
    most: usize,
    known: HashMap<MessageId, Option<Rc<Said>>>,
    /// Steps. What reading them costs does not count for the letter, which would be refused for
    /// what others wrote.
    allowed: u64,
    trouble: Option<StoreError>,
}

impl Read<'_> {
    fn same(&mut self, later: &Turn, earlier: &Turn) -> bool {
        let (Some(said), Some(before)) = (self.said(later), self.said(earlier)) else { return false };
        let turns = &self.letter.turns;
        let heard = turns.iter().find(|turn| turn.id < later.id && turn.author != later.author);
        said.repeats(&before, || heard.and_then(|heard| self.said(heard)))
    }

    fn said(&mut self, turn: &Turn) -> Option<Rc<Said>> {
        if let Some(known) = self.known.get(&turn.id) {
            return known.clone();
        }
        if self.known.len() > MOST || turn.size > self.most || self.trouble.is_some() {
            return None;
        }
        let raw = match self.relay.store.read(|view| view.raw(turn.id)) {
            // It cannot be compared with, and holds nobody up.
            Err(StoreError::Corrupt(_)) => None,
            Err(trouble) => {
                self.trouble = Some(trouble);
                None
            }
            Ok(raw) => raw,
        };
        let quotes = self.letter.pair.alias(turn.author.other()).as_str();
        let limits = &self.relay.config.limits;
        let read = || raw.and_then(|raw| Said::read(&raw, quotes, limits)).map(Rc::new);
        let said = work::out_of(&mut self.allowed, read);
        self.known.insert(turn.id, said.clone());
        said
    }
}
