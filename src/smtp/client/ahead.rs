//! What may go ahead of a message: its envelope, and, when the server has agreed to that, as much of the text as the connection takes at once.
//!
//! [`Client::begin`], then [`Client::settle`], then [`Client::push`]; each may be left out. [`Client::deliver`] of the same message goes on from
//! there, whichever was reached. A message of somebody else never goes behind an envelope that went ahead.

use super::{BLOCK, Client, Failure, Mail, Stage, block};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use tokio::io::AsyncWrite as _;

/// What has gone ahead on a connection.
pub(super) struct Ahead {
    pub(super) commands: String,
    /// What the server says to them, once that is read.
    pub(super) answer: Option<Result<(), Failure>>,
    pub(super) text: Text,
}

/// A message as it goes over the wire, and how much of it has gone. Empty: it was not made ready.
#[derive(Default)]
pub(super) struct Text {
    pub(super) bytes: Vec<u8>,
    pub(super) gone: usize,
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
            self.ahead = Some(Ahead { commands, answer: None, text: Text::default() });
        }
        Ok(())
    }

    /// Reads the replies to the envelope that went ahead, and makes the text ready that is to follow. What the server refuses, `deliver` tells.
    pub async fn settle(&mut self, bytes: &[u8]) {
        if self.ahead.is_none() {
            return;
        }
        let answer = self.pipelined().await;
        let Some(ahead) = &mut self.ahead else { return };
        ahead.answer = Some(answer);
        if answer.is_ok() && bytes.len() <= BLOCK {
            block(bytes, &mut true, true, &mut ahead.text.bytes);
        }
    }

    /// Sends what the connection takes at once of the text that was made ready, without waiting: `deliver` sends the rest, and meets what went
    /// wrong.
    pub fn push(&mut self) {
        let Some(Ahead { answer: Some(Ok(())), text, .. }) = &mut self.ahead else { return };
        // Whoever sends the rest waits for room himself.
        let mut context = Context::from_waker(Waker::noop());
        while let Some(rest) = text.bytes.get(text.gone..).filter(|rest| !rest.is_empty()) {
            match Pin::new(&mut self.stream).poll_write(&mut context, rest) {
                Poll::Ready(Ok(sent)) if sent > 0 => text.gone += sent,
                _ => break,
            }
        }
        let _ = Pin::new(&mut self.stream).poll_flush(&mut context);
    }
}
