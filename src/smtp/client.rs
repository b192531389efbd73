//! SMTP as a client, RFC 5321: one connection that delivers message after message, and what each attempt came to.
//!
//! Commands are pipelined where the server allows it (RFC 2920). What a server says is kept as a code only: its words may hold addresses.
//!
//! Not here: where to connect (`outbound::route`), or when to try again (`outbound`).

use crate::config::ClientTimeouts;
use crate::types::Address;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

/// Longest reply line that is read, and lines of one reply.
const LINE: usize = 2048;
const LINES: usize = 128;
/// Octets written before the clock of one block starts anew.
const BLOCK: usize = 64 * 1024;
/// QUIT is a courtesy.
const QUIT: Duration = Duration::from_secs(2);

/// A reply as far as it is believed: its code, and the enhanced code's last two numbers (RFC 2034).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code {
    /// Three digits.
    pub code: u16,
    /// `5.1.1` is `(1, 1)`.
    pub enhanced: Option<(u16, u16)>,
}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.code)?;
        if let Some((subject, detail)) = self.enhanced {
            write!(f, " {}.{subject}.{detail}", self.code / 100)?;
        }
        Ok(())
    }
}

/// The command a failure belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// TCP.
    Connect,
    /// The first reply.
    Banner,
    /// EHLO, HELO.
    Hello,
    /// STARTTLS and the handshake.
    Tls,
    /// MAIL.
    Mail,
    /// RCPT.
    Rcpt,
    /// DATA.
    Data,
    /// The message and its final dot.
    Message,
}

impl Stage {
    /// The word for the history.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Banner => "banner",
            Self::Hello => "hello",
            Self::Tls => "tls",
            Self::Mail => "mail",
            Self::Rcpt => "rcpt",
            Self::Data => "data",
            Self::Message => "message",
        }
    }
}

/// How an attempt failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The server refused with this code.
    Refused(Stage, Code),
    /// The network failed, or the server closed.
    Network(Stage),
    /// It was silent for too long.
    Timeout(Stage),
    /// It said what no SMTP server says.
    Protocol(Stage),
    /// It lacks an extension that this message needs (`8BITMIME`, `SMTPUTF8`).
    Lacks(&'static str),
}

impl Failure {
    /// Whether another try is of no use.
    #[must_use]
    pub fn is_permanent(self) -> bool {
        match self {
            // A refused greeting or EHLO is about us or about now, not about the message: it may pass.
            Self::Refused(Stage::Banner | Stage::Hello | Stage::Tls, _) => false,
            Self::Refused(_, code) => (500..600).contains(&code.code),
            Self::Lacks(_) => true,
            Self::Network(_) | Self::Timeout(_) | Self::Protocol(_) => false,
        }
    }

    /// Whether the connection can carry another message.
    #[must_use]
    pub fn keeps_connection(self) -> bool {
        match self {
            Self::Refused(Stage::Mail | Stage::Rcpt | Stage::Data | Stage::Message, code) => code.code != 421,
            Self::Lacks(_) => true,
            _ => false,
        }
    }
}

impl Failure {
    /// Whether a connection that was kept can have failed only because it was: closed, or told to go, before a message was sent.
    #[must_use]
    pub fn is_stale(self) -> bool {
        match self {
            Self::Network(stage) => matches!(stage, Stage::Mail | Stage::Rcpt | Stage::Data),
            Self::Refused(stage, code) => stage != Stage::Message && code.code == 421,
            _ => false,
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Refused(stage, code) => write!(f, "{}: refused with {code}", stage.as_str()),
            Self::Network(stage) => write!(f, "{}: connection lost", stage.as_str()),
            Self::Timeout(stage) => write!(f, "{}: no answer in time", stage.as_str()),
            Self::Protocol(stage) => write!(f, "{}: not SMTP", stage.as_str()),
            Self::Lacks(what) => write!(f, "the server lacks {what}"),
        }
    }
}

/// A byte stream of either kind.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// How TLS is used.
#[derive(Clone)]
pub enum Security {
    /// STARTTLS if it is offered; the certificate is not looked at, as nobody vouches for the MX (RFC 7435).
    Opportunistic(Arc<ClientConfig>, ServerName<'static>),
    /// TLS from the first octet, certificate verified.
    Implicit(Arc<ClientConfig>, ServerName<'static>),
    /// None.
    Plain,
}

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
    input: Vec<u8>,
    times: ClientTimeouts,
    pipelining: bool,
    eight_bit: bool,
    utf8: bool,
    size: bool,
    /// Messages that were sent on it.
    pub sent: usize,
}

impl Client {
    /// Greets the server on a fresh connection.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn open(
        stream: impl Stream + 'static,
        hostname: &str,
        security: Security,
        times: ClientTimeouts,
    ) -> Result<Self, Failure> {
        let mut client = Self {
            stream: Box::new(stream),
            input: Vec::new(),
            times,
            pipelining: false,
            eight_bit: false,
            utf8: false,
            size: false,
            sent: 0,
        };
        if let Security::Implicit(config, name) = &security {
            client = client.handshake(config, name).await?;
        }
        let (code, _) = client.reply(Stage::Banner, client.times.command.0).await?;
        if code.code != 220 {
            return Err(Failure::Refused(Stage::Banner, code));
        }
        let starttls = client.hello(hostname).await?;
        if let Security::Opportunistic(config, name) = &security
            && starttls
        {
            client.send(b"STARTTLS\r\n", Stage::Tls).await?;
            let (code, _) = client.reply(Stage::Tls, client.times.command.0).await?;
            if code.code == 220 {
                // What came in the clear behind the reply was put there by somebody else.
                if !client.input.is_empty() {
                    return Err(Failure::Protocol(Stage::Tls));
                }
                client = client.handshake(config, name).await?;
                client.hello(hostname).await?;
            }
        }
        Ok(client)
    }

    async fn handshake(mut self, config: &Arc<ClientConfig>, name: &ServerName<'static>) -> Result<Self, Failure> {
        let connector = TlsConnector::from(Arc::clone(config));
        let limit = self.times.command.0;
        match timeout(limit, connector.connect(name.clone(), self.stream)).await {
            Ok(Ok(stream)) => {
                self.stream = Box::new(stream);
                self.input.clear();
                Ok(self)
            }
            Ok(Err(_)) => Err(Failure::Network(Stage::Tls)),
            Err(_) => Err(Failure::Timeout(Stage::Tls)),
        }
    }

    /// EHLO, or HELO where that is all the server knows. Says whether STARTTLS is offered.
    async fn hello(&mut self, hostname: &str) -> Result<bool, Failure> {
        (self.pipelining, self.eight_bit, self.utf8, self.size) = (false, false, false, false);
        self.send(format!("EHLO {hostname}\r\n").as_bytes(), Stage::Hello).await?;
        let (code, lines) = self.reply(Stage::Hello, self.times.command.0).await?;
        if code.code != 250 {
            if !matches!(code.code, 500..=504) {
                return Err(Failure::Refused(Stage::Hello, code));
            }
            self.send(format!("HELO {hostname}\r\n").as_bytes(), Stage::Hello).await?;
            let (code, _) = self.reply(Stage::Hello, self.times.command.0).await?;
            return if code.code == 250 { Ok(false) } else { Err(Failure::Refused(Stage::Hello, code)) };
        }
        let mut starttls = false;
        for line in lines.iter().skip(1) {
            match line.split(' ').next().unwrap_or("").to_ascii_uppercase().as_str() {
                "PIPELINING" => self.pipelining = true,
                "8BITMIME" => self.eight_bit = true,
                "SMTPUTF8" => self.utf8 = true,
                "SIZE" => self.size = true,
                "STARTTLS" => starttls = true,
                _ => {}
            }
        }
        Ok(starttls)
    }

    /// Sends one message to one recipient.
    ///
    /// # Errors
    /// [`Failure`]; [`Failure::keeps_connection`] tells whether the next message can go the same way.
    pub async fn deliver(&mut self, mail: &Mail<'_>) -> Result<(), Failure> {
        let ascii = mail.bytes.is_ascii();
        if !ascii && !self.eight_bit {
            return Err(Failure::Lacks("8BITMIME"));
        }
        if !mail.recipient.is_ascii() && !self.utf8 {
            return Err(Failure::Lacks("SMTPUTF8"));
        }
        self.sent += 1;
        let mut from = format!("MAIL FROM:<{}>", mail.sender.unwrap_or(""));
        if self.size {
            from.push_str(&format!(" SIZE={}", mail.bytes.len()));
        }
        if !ascii {
            from.push_str(" BODY=8BITMIME");
        }
        if !mail.recipient.is_ascii() {
            from.push_str(" SMTPUTF8");
        }
        from.push_str("\r\n");
        let to = format!("RCPT TO:<{}>\r\n", mail.recipient.expose());
        if self.pipelining {
            self.send(format!("{from}{to}DATA\r\n").as_bytes(), Stage::Mail).await?;
        }
        let mut refused = None;
        for (stage, command) in [(Stage::Mail, from.as_bytes()), (Stage::Rcpt, to.as_bytes())] {
            if !self.pipelining {
                self.send(command, stage).await?;
            }
            let (code, _) = self.reply(stage, self.times.command.0).await?;
            if !(200..300).contains(&code.code) {
                refused = refused.or(Some(Failure::Refused(stage, code)));
                if !self.pipelining {
                    break;
                }
            }
        }
        if let (Some(failure), false) = (refused, self.pipelining) {
            return self.reset(failure).await;
        }
        if !self.pipelining {
            self.send(b"DATA\r\n", Stage::Data).await?;
        }
        let (code, _) = self.reply(Stage::Data, self.times.data.0).await?;
        match (code.code, refused) {
            (354, None) => {}
            (354, Some(failure)) => {
                // It goes on although nobody is to get it: an empty message ends that (RFC 2920 3.1).
                self.send(b".\r\n", Stage::Message).await?;
                self.reply(Stage::Message, self.times.final_dot.0).await?;
                return Err(failure);
            }
            (_, Some(failure)) => return self.reset(failure).await,
            (_, None) => return self.reset(Failure::Refused(Stage::Data, code)).await,
        }
        self.send(&stuffed(mail.bytes), Stage::Message).await?;
        let (code, _) = self.reply(Stage::Message, self.times.final_dot.0).await?;
        if (200..300).contains(&code.code) { Ok(()) } else { Err(Failure::Refused(Stage::Message, code)) }
    }

    /// Ends the transaction that failed, so that the next message finds a clean session.
    async fn reset(&mut self, failure: Failure) -> Result<(), Failure> {
        if failure.keeps_connection() {
            self.send(b"RSET\r\n", Stage::Mail).await?;
            self.reply(Stage::Mail, self.times.command.0).await?;
        }
        Err(failure)
    }

    /// Leaves politely, if the server lets it.
    pub async fn quit(mut self) {
        let _ = timeout(QUIT, async {
            self.stream.write_all(b"QUIT\r\n").await?;
            let mut last = [0; 64];
            self.stream.read(&mut last).await
        })
        .await;
    }

    async fn send(&mut self, bytes: &[u8], stage: Stage) -> Result<(), Failure> {
        for block in bytes.chunks(BLOCK) {
            within(self.times.block.0, self.stream.write_all(block), stage).await?;
        }
        within(self.times.block.0, self.stream.flush(), stage).await
    }

    /// The next reply: its code, and its lines without the codes.
    async fn reply(&mut self, stage: Stage, limit: Duration) -> Result<(Code, Vec<String>), Failure> {
        match timeout(limit, self.read_reply(stage)).await {
            Ok(reply) => reply,
            Err(_) => Err(Failure::Timeout(stage)),
        }
    }

    async fn read_reply(&mut self, stage: Stage) -> Result<(Code, Vec<String>), Failure> {
        let mut lines = Vec::new();
        let mut first: Option<Code> = None;
        loop {
            let line = self.read_line(stage).await?;
            let text = String::from_utf8_lossy(&line);
            let digits = text.get(..3).filter(|d| d.bytes().all(|b| b.is_ascii_digit()));
            let code: u16 = digits.and_then(|d| d.parse().ok()).ok_or(Failure::Protocol(stage))?;
            let known = first.get_or_insert(Code { code, enhanced: None });
            let more = match text.as_bytes().get(3) {
                Some(b'-') => true,
                Some(b' ') | None => false,
                _ => return Err(Failure::Protocol(stage)),
            };
            if !(200..600).contains(&code) || known.code != code {
                return Err(Failure::Protocol(stage));
            }
            let rest = text.get(4..).unwrap_or("");
            if known.enhanced.is_none() {
                known.enhanced = enhanced(rest, code);
            }
            lines.push(rest.to_owned());
            if lines.len() > LINES {
                return Err(Failure::Protocol(stage));
            }
            if let (false, Some(code)) = (more, first) {
                return Ok((code, lines));
            }
        }
    }

    async fn read_line(&mut self, stage: Stage) -> Result<Vec<u8>, Failure> {
        loop {
            if let Some(end) = memchr::memchr(b'\n', &self.input) {
                let mut line: Vec<u8> = self.input.drain(..=end).collect();
                line.pop();
                if line.last() == Some(&b'\r') {
                    line.pop();
                }
                return Ok(line);
            }
            if self.input.len() > LINE {
                return Err(Failure::Protocol(stage));
            }
            match self.stream.read_buf(&mut self.input).await {
                Ok(0) | Err(_) => return Err(Failure::Network(stage)),
                Ok(_) => {}
            }
        }
    }
}

async fn within<T>(
    limit: Duration,
    work: impl Future<Output = std::io::Result<T>>,
    stage: Stage,
) -> Result<T, Failure> {
    match timeout(limit, work).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(_)) => Err(Failure::Network(stage)),
        Err(_) => Err(Failure::Timeout(stage)),
    }
}

/// The last two numbers of an enhanced code whose class fits the reply.
fn enhanced(text: &str, code: u16) -> Option<(u16, u16)> {
    let word = text.split(' ').next()?;
    let mut numbers = word.split('.').map(|n| n.parse::<u16>().ok().filter(|n| *n < 1000));
    let (class, subject, detail) = (numbers.next()??, numbers.next()??, numbers.next()??);
    (numbers.next().is_none() && class == code / 100).then_some((subject, detail))
}

/// The message with its dots stuffed, and the final dot.
fn stuffed(message: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(message.len() + 64);
    let mut start = 0;
    if message.first() == Some(&b'.') {
        out.push(b'.');
    }
    for at in memchr::memmem::find_iter(message, b"\n.") {
        out.extend_from_slice(message.get(start..=at).unwrap_or(&[]));
        out.push(b'.');
        start = at + 1;
    }
    out.extend_from_slice(message.get(start..).unwrap_or(&[]));
    if !out.is_empty() && !out.ends_with(b"\r\n") {
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b".\r\n");
    out
}
