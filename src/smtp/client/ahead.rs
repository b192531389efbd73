//! What may go ahead of a message: its envelope, and, when the server has agreed to that, as much of the text as the connection takes at once.
//!
//! [`Client::begin`], then [`Client::hear`], then [`Client::push`]; the later ones may be left out. [`Client::deliver`] of the same message goes on
//! from there, whichever was reached, and tells what went wrong. A message of somebody else never goes behind an envelope that went ahead.

use super::{BLOCK, Client, Failure, Mail, Stage, block};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use tokio::io::AsyncWrite as _;

/// What has gone ahead on a connection.
pub(super) struct Ahead {
    pub(super) commands: String,
    /// What the server says to them, once that is read.
    pub(super) answer: Option<Result<(), Failure>>,
    /// None for a message of more than a block, which is not pushed.
    pub(super) text: Option<Text>,
}

/// A message as it goes over the wire, and how much of it has gone.
pub(super) struct Text {
    pub(super) bytes: Vec<u8>,
    pub(super) gone: usize,
    /// The connection took no more of it: it may have taken what it did not count.
    pub(super) broken: bool,
}

impl Text {
    fn new(bytes: &[u8]) -> Self {
        let mut text = Self { bytes: Vec::with_capacity(bytes.len() + 256), gone: 0, broken: false };
        block(bytes, &mut true, true, &mut text.bytes);
        text
    }
}

impl Client {
    /// Sends the envelope of a message ahead, where the server takes commands in one go, without waiting for its replies. Another message cannot
    /// take this connection any more.
    ///
    /// # Errors
    /// [`Failure`]; what does not depend on the connection, `deliver` finds as well.
    pub async fn begin(&mut self, mail: &Mail<'_>) -> Result<(), Failure> {
        if self.ahead.is_some() {
            self.usable = false;
            return Err(Failure::Network(Stage::Mail));
        }
        self.check(mail).await?;
        if self.offers.pipelining {
            let commands = self.envelope(mail).concat();
            let sent = self.send(commands.as_bytes(), Stage::Mail).await;
            self.usable &= sent.is_ok();
            sent?;
            let text = (mail.bytes.len() <= BLOCK).then(|| Text::new(mail.bytes));
            self.ahead = Some(Ahead { commands, answer: None, text });
        }
        Ok(())
    }

    /// Reads the replies to the envelope that went ahead. A refusal is kept for `deliver`.
    pub async fn hear(&mut self) {
        if !matches!(self.ahead, Some(Ahead { answer: None, .. })) {
            return;
        }
        let answer = self.pipelined().await;
        if let Some(ahead) = &mut self.ahead {
            ahead.answer = Some(answer);
        }
    }

    /// Sends what the connection takes at once of the text, without waiting, if the server has been heard to agree.
    pub fn push(&mut self) {
        let Some(Ahead { answer: Some(Ok(())), text: Some(text), .. }) = &mut self.ahead else { return };
        // Whoever sends the rest waits for room himself.
        let mut context = Context::from_waker(Waker::noop());
        while let Some(rest) = text.bytes.get(text.gone..).filter(|rest| !rest.is_empty()) {
            match Pin::new(&mut self.stream).poll_write(&mut context, rest) {
                Poll::Ready(Ok(sent)) if sent > 0 => text.gone += sent,
                Poll::Ready(_) => {
                    text.broken = true;
                    return;
                }
                Poll::Pending => break,
            }
        }
        // What is not out yet is flushed by `deliver`.
        let _ = Pin::new(&mut self.stream).poll_flush(&mut context);
    }
}
