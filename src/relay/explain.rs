//! What would become of a message: the same facts, the same rules and the same look at what would go out as for one that is really sent. Nothing is
//! written and nothing goes out.

use super::judged::Letter;
use super::target::Target;
use super::{Arrived, Relay};
use crate::policy::{Answer, Decision};
use crate::types::{Address, Client, Envelope, MessageId, Reply, Time};
use bytes::Bytes;
use std::sync::Arc;

/// The walk that one message would take to one recipient.
#[derive(Clone, Debug)]
pub struct Explained {
    /// What it was judged by, as `name=value` words: the same that the history keeps.
    pub facts: String,
    /// Each rule's answer in order; none where the message could not be read so far.
    pub answers: Vec<Answer>,
    /// The verdict with its reason; none where no alias was addressed.
    pub decision: Option<Decision>,
    /// Where the guard found an address.
    pub place: Option<&'static str>,
    /// Who sent it, where it names its author and nothing proves that he did.
    pub sent_by: Option<Address>,
    /// What the sender's server would hear, with an id of zeros.
    pub reply: Reply,
}

impl Relay {
    /// Says what would become of a message that `client` sent with this envelope of one recipient at `at`.
    ///
    /// # Errors
    /// What RCPT would be answered if the recipient is nobody here.
    pub async fn explain(
        self: &Arc<Self>,
        client: Client,
        envelope: Envelope,
        raw: Bytes,
        at: Time,
    ) -> Result<Explained, Reply> {
        for recipient in &envelope.recipients {
            if let Target::Quiet(_) = self.target(recipient)? {
                return Ok(Explained::only(Reply::new(250, 0, 0, "Ok")));
            }
        }
        let authentication = self.authenticate(&client, &envelope, &raw, at).await;
        let arrived = Arrived::new((client, envelope, raw), at, authentication);
        let arrived = Arrived { explain: true, looks_back: true.into(), ..arrived };
        let judged = self.judge(&arrived, &self.allowance(Arc::default()));
        let letter = judged.letters.into_iter().next();
        Ok(letter.map_or_else(|| Explained::only(judged.otherwise), Explained::of))
    }
}

impl Explained {
    fn only(reply: Reply) -> Self {
        Self { facts: String::new(), answers: Vec::new(), decision: None, place: None, sent_by: None, reply }
    }

    fn of(letter: Letter) -> Self {
        let reply = letter.decision.reply(MessageId(0));
        let Letter { facts, answers, decision, place, sent_by, .. } = letter;
        Self { facts, answers, decision: Some(decision), place, sent_by, reply }
    }
}
