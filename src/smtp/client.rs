//! SMTP as a client, RFC 5321: one connection that delivers message after message, and what each attempt came to.
//!
//! Commands are pipelined where the server allows it (RFC 2920). What a server says is kept as a code only: its words may hold addresses.
//!
//! Not here: where to connect (`outbound::route`), or when to try again (`outbound`).

mod ahead;
mod auth;
mod failure;
#[cfg(test)]
mod logins;
mod open;
#[cfg(test)]
mod tests;

pub use auth::Login;
pub use failure::{Code, Failure, Stage};
pub use open::Security;

use ahead::{Ahead, Text};
use failure::{enhanced, reply_line, wanted};
use open::Offers;

use crate::config::ClientTimeouts;
use crate::types::{Address, lines};
use std::net::IpAddr;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::time::timeout;

/// The extension that text beyond ASCII needs (RFC 6152).
pub const EIGHT_BIT: &str = "8BITMIME";
/// Longest reply line that is read, and lines of one reply.
const LINE: usize = 2048;
const LINES: usize = 128;
/// Octets of replies that are asked for at once.
const INPUT: usize = 1024;
/// Octets written before the clock of one block starts anew.
const BLOCK: usize = 64 * 1024;
/// A server that breaks off in the middle of a message may have said why.
const LAST_WORD: Duration = Duration::from_secs(5);
/// QUIT is a courtesy.
const QUIT: Duration = Duration::from_secs(2);

/// A byte stream of either kind.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// A message to one recipient.
pub struct Mail<'a> {
    /// `None` is `<>`.
    pub sender: Option<&'a str>,
    /// To whom.
    pub recipient: &'a Address,
    /// CRLF lines.
    pub bytes: &'a [u8],
}

/// An open session, between messages.
pub struct Client {
    stream: Box<dyn Stream>,
    /// What was read and not yet used, from `used` on.
    input: Vec<u8>,
    used: usize,
    times: ClientTimeouts,
    offers: Offers,
    usable: bool,
    /// What has been sent ahead of its message.
    ahead: Option<Ahead>,
    encrypted: bool,
    /// Messages that were sent on it.
    pub sent: usize,
    /// The server's network address, if it was reached over a network. Never shown.
    pub server: Option<IpAddr>,
}

impl Client {
    /// Whether the next message can go the same way.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        self.usable
    }

    /// Sends one message to one recipient.
    ///
    /// # Errors
    /// [`Failure`]; [`is_usable`](Self::is_usable) tells whether the next message can go the same way.
    pub async fn deliver(&mut self, mail: &Mail<'_>) -> Result<(), Failure> {
        if self.ahead.is_none() {
            self.check(mail).await?;
        }
        self.sent += 1;
        let result = self.transaction(mail).await;
        match result {
            Ok(()) => {}
            Err(Failure::Refused(Stage::Message, code)) => self.usable &= code.code != 421,
            Err(Failure::Refused(_, code)) if self.usable && code.code != 421 => {
                self.usable = self.reset().await.is_ok()
            }
            Err(_) => self.usable = false,
        }
        result
    }

    /// Whether the server can take the message, and the connection is fit for one more.
    async fn check(&mut self, mail: &Mail<'_>) -> Result<(), Failure> {
        if !self.offers.eight_bit && !mail.bytes.is_ascii() {
            return Err(Failure::Lacks(EIGHT_BIT));
        }
        if !mail.recipient.is_ascii() && !self.offers.utf8 {
            return Err(Failure::Lacks("SMTPUTF8"));
        }
        if self.offers.size.is_some_and(|most| most > 0 && mail.bytes.len() > most) {
            return Err(Failure::TooLarge);
        }
        if !lines::are_whole(mail.bytes) {
            return Err(Failure::BareNewline);
        }
        if self.sent > 0 && self.has_spoken().await {
            // It closed, or has more to say than it was asked: its replies could be taken for those to this message.
            self.usable = false;
            return Err(Failure::Network(Stage::Mail));
        }
        Ok(())
    }

    /// MAIL, RCPT and DATA.
    fn envelope(&self, mail: &Mail<'_>) -> [String; 3] {
        let mut from = format!("MAIL FROM:<{}>", mail.sender.unwrap_or(""));
        if self.offers.size.is_some() {
            from.push_str(&format!(" SIZE={}", mail.bytes.len()));
        }
        if self.offers.eight_bit && !mail.bytes.is_ascii() {
            from.push_str(" BODY=8BITMIME");
        }
        if !mail.recipient.is_ascii() {
            from.push_str(" SMTPUTF8");
        }
        from.push_str("\r\n");
        [from, format!("RCPT TO:<{}>\r\n", mail.recipient.expose()), "DATA\r\n".to_owned()]
    }

    async fn transaction(&mut self, mail: &Mail<'_>) -> Result<(), Failure> {
        let mut text = None;
        if self.offers.pipelining {
            let commands = self.envelope(mail).concat();
            let answer = match self.ahead.take() {
                None => {
                    self.send(commands.as_bytes(), Stage::Mail).await?;
                    None
                }
                Some(ahead) if ahead.commands == commands => {
                    text = ahead.text;
                    ahead.answer
                }
                // The server would take this message for that envelope's.
                Some(_) => return Err(Failure::Network(Stage::Mail)),
            };
            match answer {
                Some(answer) => answer?,
                None => self.pipelined().await?,
            }
        } else {
            let limits = [self.times.command.0, self.times.command.0, self.times.data.0];
            let stages = [Stage::Mail, Stage::Rcpt, Stage::Data];
            for ((stage, command), limit) in stages.into_iter().zip(self.envelope(mail)).zip(limits) {
                self.send(command.as_bytes(), stage).await?;
                let code = self.reply(stage, limit).await?;
                wanted(stage, code)?;
            }
        }
        self.message(mail.bytes, text).await?;
        let code = self.reply(Stage::Message, self.times.final_dot.0).await?;
        wanted(Stage::Message, code)
    }

    /// The replies to MAIL, RCPT and DATA, sent in one go. The first refusal is what counts.
    async fn pipelined(&mut self) -> Result<(), Failure> {
        let mut refused = None;
        for stage in [Stage::Mail, Stage::Rcpt, Stage::Data] {
            let limit = if stage == Stage::Data { self.times.data.0 } else { self.times.command.0 };
            let code = match (self.reply(stage, limit).await, refused) {
                (Ok(code), _) => code,
                (Err(failure), None) => return Err(failure),
                // It refused, and hung up: the refusal stands.
                (Err(_), Some(refused)) => {
                    self.usable = false;
                    return Err(refused);
                }
            };
            if stage == Stage::Data && code.code == 354 && refused.is_some() {
                // It goes on although nobody is to get it: an empty message ends that (RFC 2920 3.1).
                let end = self.send(b".\r\n", Stage::Message).await;
                let ended = match end {
                    Ok(()) => self.reply(Stage::Message, self.times.final_dot.0).await.is_ok(),
                    Err(_) => false,
                };
                self.usable &= ended;
            } else if let Err(failure) = wanted(stage, code) {
                refused = refused.or(Some(failure));
            }
        }
        refused.map_or(Ok(()), Err)
    }

    /// Ends a transaction that was refused, so that the next message finds a clean session.
    async fn reset(&mut self) -> Result<(), Failure> {
        self.send(b"RSET\r\n", Stage::Mail).await?;
        let code = self.reply(Stage::Mail, self.times.command.0).await?;
        wanted(Stage::Mail, code)
    }

    /// Leaves politely, if the server lets it.
    pub async fn quit(mut self) {
        let _ = timeout(QUIT, async {
            self.stream.write_all(b"QUIT\r\n").await?;
            self.stream.flush().await?;
            let mut last = [0; 64];
            self.stream.read(&mut last).await
        })
        .await;
    }

    async fn send(&mut self, bytes: &[u8], stage: Stage) -> Result<(), Failure> {
        let stream = &mut self.stream;
        let write = async {
            stream.write_all(bytes).await?;
            stream.flush().await
        };
        match timeout(self.times.block.0, write).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Failure::Network(stage)),
            Err(_) => Err(Failure::Timeout(stage)),
        }
    }

    /// The message in blocks. `text`: it is at hand as one, of which a part may have gone.
    async fn message(&mut self, bytes: &[u8], text: Option<Text>) -> Result<(), Failure> {
        if let Some(Text { bytes, gone, broken }) = text {
            if broken {
                return Err(self.broken_off(Failure::Network(Stage::Message)).await);
            }
            // Though nothing may be left to be written: under TLS it is still to be flushed.
            return self.text(bytes.get(gone..).unwrap_or(&[])).await;
        }
        let mut out = Vec::with_capacity(bytes.len().min(BLOCK) + 256);
        let mut line_start = true;
        let mut blocks = bytes.chunks(BLOCK).peekable();
        loop {
            out.clear();
            let piece = blocks.next().unwrap_or(&[]);
            let last = blocks.peek().is_none();
            block(piece, &mut line_start, last, &mut out);
            self.text(&out).await?;
            if last {
                return Ok(());
            }
        }
    }

    /// A part of a message's text as it goes over the wire.
    async fn text(&mut self, wire: &[u8]) -> Result<(), Failure> {
        match self.send(wire, Stage::Message).await {
            Ok(()) => Ok(()),
            Err(failure) => Err(self.broken_off(failure).await),
        }
    }

    /// The connection failed in the middle of a message. What the server said before is what counts.
    async fn broken_off(&mut self, failure: Failure) -> Failure {
        self.usable = false;
        let said = self.reply(Stage::Message, LAST_WORD).await;
        said.ok().and_then(|code| wanted(Stage::Message, code).err()).unwrap_or(failure)
    }

    fn has_input(&self) -> bool {
        self.used < self.input.len()
    }

    /// Whether there is something to read, or the end, without waiting.
    async fn has_spoken(&mut self) -> bool {
        let mut octet = [0];
        let stream = &mut self.stream;
        let read = std::future::poll_fn(|context| {
            let mut buffer = ReadBuf::new(&mut octet);
            Poll::Ready(Pin::new(&mut *stream).poll_read(context, &mut buffer).is_ready())
        });
        self.used < self.input.len() || read.await
    }

    /// The next reply.
    async fn reply(&mut self, stage: Stage, limit: Duration) -> Result<Code, Failure> {
        self.reply_lines(stage, limit, |_| {}).await
    }

    /// The next reply; `each` sees its lines without the codes.
    async fn reply_lines(
        &mut self,
        stage: Stage,
        limit: Duration,
        each: impl FnMut(&[u8]) + Send,
    ) -> Result<Code, Failure> {
        match timeout(limit, self.read_reply(stage, each)).await {
            Ok(reply) => reply,
            Err(_) => Err(Failure::Timeout(stage)),
        }
    }

    async fn read_reply(&mut self, stage: Stage, mut each: impl FnMut(&[u8]) + Send) -> Result<Code, Failure> {
        let mut first: Option<Code> = None;
        for _ in 0..LINES {
            let end = self.line_end(stage).await?;
            let line = self.input.get(self.used..end).unwrap_or(&[]);
            self.used = end;
            let line = line.strip_suffix(b"\n").unwrap_or(line);
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            let (code, more, rest) = reply_line(line).ok_or(Failure::Protocol(stage))?;
            let known = first.get_or_insert(Code { code, enhanced: enhanced(rest, code) });
            if known.code != code {
                return Err(Failure::Protocol(stage));
            }
            each(rest);
            if !more {
                return Ok(*known);
            }
        }
        Err(Failure::Protocol(stage))
    }

    /// Where the next line ends, its newline included.
    async fn line_end(&mut self, stage: Stage) -> Result<usize, Failure> {
        let mut searched = self.used;
        loop {
            if let Some(end) = memchr::memchr(b'\n', self.input.get(searched..).unwrap_or(&[])) {
                return Ok(searched + end + 1);
            }
            if self.input.len() - self.used > LINE {
                return Err(Failure::Protocol(stage));
            }
            self.input.drain(..std::mem::take(&mut self.used));
            searched = self.input.len();
            self.input.reserve(INPUT);
            match self.stream.read_buf(&mut self.input).await {
                Ok(0) | Err(_) => return Err(Failure::Network(stage)),
                Ok(_) => {}
            }
        }
    }
}

/// Appends a piece of a message with its dots stuffed, and the final dot to the last one. `line_start` as in [`stuff`].
fn block(piece: &[u8], line_start: &mut bool, last: bool, out: &mut Vec<u8>) {
    stuff(piece, line_start, out);
    if last {
        out.extend_from_slice(if *line_start { b".\r\n".as_slice() } else { b"\r\n.\r\n".as_slice() });
    }
}

/// Appends a piece of a message with its dots stuffed. `line_start`: whether the piece begins a line; then, whether the next does.
fn stuff(piece: &[u8], line_start: &mut bool, out: &mut Vec<u8>) {
    if *line_start && piece.first() == Some(&b'.') {
        out.push(b'.');
    }
    let mut start = 0;
    for at in memchr::memmem::find_iter(piece, b"\n.") {
        out.extend_from_slice(piece.get(start..=at).unwrap_or(&[]));
        out.push(b'.');
        start = at + 1;
    }
    out.extend_from_slice(piece.get(start..).unwrap_or(&[]));
    if let Some(last) = piece.last() {
        *line_start = *last == b'\n';
    }
}
