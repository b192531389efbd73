//! Threads: ids as each side knows them, and the thread that a message continues, by its ids or by the mark that it quotes.

use super::Relay;
use super::judged::Letter;
use crate::message::Inspection;
use crate::message::footer::Mark;
use crate::policy::opt_out::{KnownBy, Thread};
use crate::store::{Result, ThreadEntry, View};
use crate::types::token::Purpose;
use crate::types::{MessageId, Role, Time};

/// The thread that a message continues.
pub(super) struct Continued {
    pub(super) first: MessageId,
    pub(super) known: Option<Thread>,
}

impl Relay {
    /// The thread that a message continues: the newest id of it that this pair knows, by whichever side; or, where a mail program
    /// dropped the ids, the first mark in it that was made for its author's side of this pair.
    pub(super) fn continued(
        &self,
        view: &View<'_>,
        letter: &Letter,
        inspection: &Inspection,
        answers: Option<MessageId>,
        now: Time,
    ) -> Result<Option<Continued>> {
        let ids = inspection.in_reply_to.iter().chain(inspection.references.iter().rev());
        let named = ids.map(|id| self.known_id(view, letter, id)).chain([Ok(answers)]);
        for message in named {
            let Some(message) = message? else { continue };
            let Some(entry) = view.thread_entry(message)?.filter(|e| e.pair == Some(letter.pair.id)) else { continue };
            let known = match view.thread_entry(entry.thread)? {
                Some(begun) => Some(opened(view, letter, &begun, Some(&entry), now)?),
                None => None,
            };
            return Ok(Some(Continued { first: entry.thread, known }));
        }
        for mark in &inspection.marks {
            let pair = letter.pair.id;
            let Some(first) = self.marked(view, letter, mark)? else { continue };
            let Some(begun) = view.thread_entry(first)?.filter(|e| e.pair == Some(pair)) else { continue };
            let known = opened(view, letter, &begun, None, now)?;
            return Ok(Some(Continued { first, known: Some(known) }));
        }
        Ok(None)
    }

    /// The thread that a mark was made for: on the author's side of this pair, or for a message of
    /// it that the author received. Whom it hits: nobody. What it tells a liar: marks and tokens
    /// are signed, and those of others are worth nothing here.
    fn marked(&self, view: &View<'_>, letter: &Letter, mark: &Mark) -> Result<Option<MessageId>> {
        let (secret, pair) = (self.store.secret(), letter.pair.id);
        let (purpose, token) = match mark {
            Mark::Thread(mark) => return Ok(secret.read_mark(pair, letter.author, mark)),
            Mark::Message(purpose, token) => (*purpose, token),
        };
        let Some(message) = secret.read(purpose, token) else { return Ok(None) };
        let entry = view.thread_entry(message)?;
        let received = entry.filter(|e| e.pair == Some(pair) && e.author == letter.author.other() && e.relayed);
        Ok(received.map(|entry| entry.thread))
    }

    /// Our Message-ID of a message: a signed token, so that it is known again without a table, and nobody can probe for others.
    pub(super) fn message_id(&self, message: MessageId, domain: &str) -> String {
        format!("{}@{domain}", self.store.secret().token(Purpose::MessageId, message))
    }

    /// The message of this pair that an id names, as its author knows it: one that the author received from us, or one of the author's own.
    pub(super) fn known_id(&self, view: &View<'_>, letter: &Letter, id: &str) -> Result<Option<MessageId>> {
        let ours = id.split_once('@').filter(|(_, domain)| domain.eq_ignore_ascii_case(&letter.shop.domain));
        if let Some((token, _)) = ours
            && let Some(message) = self.store.secret().read(Purpose::MessageId, token)
        {
            return Ok(Some(message));
        }
        view.message_by_original(letter.pair.id, letter.author, id)
    }

    /// An id in the author's mail, as the receiver knows it. `None` for what this pair does not know: it could tell of others.
    pub(super) fn mapped(&self, view: &View<'_>, letter: &Letter, id: &str) -> Result<Option<String>> {
        match self.known_id(view, letter, id)? {
            Some(message) => self.as_receiver_knows(view, letter, message),
            None => Ok(None),
        }
    }

    /// The id under which a letter's receiver knows a message of the pair.
    pub(super) fn as_receiver_knows(
        &self,
        view: &View<'_>,
        letter: &Letter,
        message: MessageId,
    ) -> Result<Option<String>> {
        let entry = view.thread_entry(message)?;
        let Some(entry) = entry.filter(|entry| entry.pair == Some(letter.pair.id) && entry.relayed) else {
            return Ok(None);
        };
        Ok(if entry.author == letter.author {
            Some(self.message_id(message, &letter.shop.domain))
        } else {
            entry.original
        })
    }
}

/// Who opened a thread, and when the buyer last wrote in it himself. `named`: the message in it
/// that an id names; without one its mark did.
fn opened(
    view: &View<'_>,
    letter: &Letter,
    begun: &ThreadEntry,
    named: Option<&ThreadEntry>,
    now: Time,
) -> Result<Thread> {
    let machine = |entry: &ThreadEntry| entry.author == Role::Buyer && entry.automatic;
    // A seller who answers himself does not make the buyer's thread any younger, nor does a machine
    // of the buyer's.
    let newest = match named {
        Some(named) if named.author == Role::Buyer && !named.automatic => Some(named.received),
        Some(named) if !machine(named) && !machine(begun) => None,
        _ => view.last_in_thread(letter.pair.id, begun.thread, Role::Buyer)?,
    };
    let automatic = machine(begun) && newest.is_none();
    // The clock may have been set back since the first message came.
    let newest = newest.map_or(begun.received, |newest| newest.max(begun.received));
    let known_by = if named.is_some() { KnownBy::Headers } else { KnownBy::Mark };
    Ok(Thread { begun_by: begun.author, automatic, known_by, age: now.since(newest) })
}
