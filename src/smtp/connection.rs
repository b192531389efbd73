//! One connection: octets, time and memory around a [`Session`].
//!
//! An idle connection holds no buffers: input is read into a buffer on the stack and kept only while it is unfinished. A message stays in memory while the
//! budget of all connections allows it, else it waits in an unlinked file, so that slow clients cost no memory.

use super::Handler;
use super::data::Fed;
use super::incoming::Incoming;
use super::proxy;
use super::server::{Shared, stopped};
use super::session::{Next, Session, Step, too_large};
use crate::metrics::count;
use crate::types::{Address, Client, Reply};
use std::future::poll_fn;
use std::mem::MaybeUninit;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// Octets read at once.
const CHUNK: usize = 16 * 1024;
/// Replies are sent when so many octets have gathered, or when no command is left to answer.
const REPLIES: usize = 4 * 1024;
/// Octets over the size limit that are still read, so that a client hears 552 instead of a broken connection.
const OVERRUN: u64 = 64 << 20;
/// A TLS handshake, or a PROXY header, takes this long at most.
const HANDSHAKE: Duration = Duration::from_secs(30);
/// The data rate is not looked at before.
const RATE_GRACE: Duration = Duration::from_secs(30);
/// A client that makes many errors waits this long for each reply.
const DELAY: Duration = Duration::from_secs(1);
/// The last words to a client take this long at most.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// A transaction that a stop finds open has this long to end.
const STOP_GRACE: Duration = Duration::from_secs(30);

/// Plain or encrypted.
enum Stream<S> {
    Plain(S),
    Tls(Box<TlsStream<S>>),
    /// Between the two.
    None,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Stream<S> {
    fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        match self {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, into),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, into),
            Self::None => Poll::Ready(Ok(())),
        }
    }

    async fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        match self {
            Self::Plain(stream) => stream.write_all(bytes).await,
            Self::Tls(stream) => {
                stream.write_all(bytes).await?;
                stream.flush().await
            }
            Self::None => Ok(()),
        }
    }

    async fn shutdown(&mut self) -> std::io::Result<()> {
        match self {
            Self::Plain(stream) => stream.shutdown().await,
            Self::Tls(stream) => stream.shutdown().await,
            Self::None => Ok(()),
        }
    }
}

/// Why a connection ends early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The client went away, or the network did.
    Gone,
    /// Silence for too long.
    Idle,
    /// The session lasted too long.
    SessionTime,
    /// DATA came too slowly.
    Slow,
    /// A bare CR or LF.
    BareNewline,
    /// The relay stops.
    Stopping,
    /// It sent far more than it may.
    Overrun,
    /// A handshake failed.
    Handshake,
}

impl End {
    /// What the client is told.
    fn reply(self) -> Option<Reply> {
        match self {
            Self::Gone | Self::Handshake => None,
            Self::Idle => Some(Reply::new(421, 4, 2, "Idle for too long")),
            Self::SessionTime => Some(Reply::new(421, 4, 2, "Session too long")),
            Self::Slow => Some(Reply::new(421, 4, 2, "Data came too slowly")),
            Self::BareNewline => Some(Reply::new(521, 5, 2, "Bare CR or LF; lines end with CRLF")),
            Self::Stopping => Some(Reply::new(421, 3, 2, "Going down, try again")),
            Self::Overrun => Some(too_large()),
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Gone => "gone",
            Self::Idle => "idle",
            Self::SessionTime => "session-time",
            Self::Slow => "slow",
            Self::BareNewline => "bare-newline",
            Self::Stopping => "stopping",
            Self::Overrun => "overrun",
            Self::Handshake => "handshake",
        }
    }
}

pub(super) struct Connection<S, H> {
    stream: Stream<S>,
    session: Session,
    shared: Arc<Shared<H>>,
    tls: Option<TlsAcceptor>,
    /// What was read and not used yet.
    input: Vec<u8>,
    /// Replies that were not sent yet.
    output: String,
    /// When the session has lasted long enough.
    ends: Instant,
}

impl<S, H> Connection<S, H>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
    H: Handler,
{
    pub(super) fn new(stream: S, client: Client, shared: Arc<Shared<H>>, tls: Option<TlsAcceptor>) -> Self {
        let session = Session::new(Arc::clone(&shared.settings), client);
        let ends = Instant::now() + shared.settings.limits.session.0;
        Self { stream: Stream::Plain(stream), session, shared, tls, input: Vec::new(), output: String::new(), ends }
    }

    /// What was read before the session began.
    pub(super) fn with_input(self, input: Vec<u8>) -> Self {
        Self { input, ..self }
    }

    /// Serves the connection to its end. `implicit`: TLS comes first.
    pub(super) async fn run(mut self, implicit: bool) {
        if let Err(end) = self.serve(implicit).await {
            count(&self.shared.metrics.sessions_cut, end.word());
            if let Some(reply) = end.reply() {
                self.say(&reply);
                // Whether the client hears it is its own affair.
                let _ = timeout(LAST_WORDS, self.flush()).await;
            }
        }
        let _ = timeout(LAST_WORDS, self.stream.shutdown()).await;
    }

    async fn serve(&mut self, implicit: bool) -> Result<(), End> {
        if implicit {
            self.start_tls().await?;
            self.session.tls_started();
        }
        self.say(&self.session.greeting());
        loop {
            let step = self.command().await?;
            self.answer(&step).await?;
            let step = match step.next {
                Next::Line => continue,
                Next::Close => return self.flush().await,
                Next::Tls => {
                    self.flush().await?;
                    // What was sent in the clear behind the command is not believed.
                    self.input = Vec::new();
                    self.start_tls().await?;
                    self.session.tls_started();
                    continue;
                }
                Next::Data => {
                    self.flush().await?;
                    self.data().await?
                }
            };
            self.answer(&step).await?;
            if step.next == Next::Close {
                return self.flush().await;
            }
        }
    }

    async fn start_tls(&mut self) -> Result<(), End> {
        let (Stream::Plain(stream), Some(tls)) = (std::mem::replace(&mut self.stream, Stream::None), &self.tls) else {
            return Err(End::Handshake);
        };
        match timeout(HANDSHAKE, tls.accept(stream)).await {
            Ok(Ok(stream)) => {
                self.stream = Stream::Tls(Box::new(stream));
                Ok(())
            }
            _ => Err(End::Handshake),
        }
    }

    async fn answer(&mut self, step: &Step) -> Result<(), End> {
        if step.delay {
            self.flush().await?;
            tokio::time::sleep(DELAY).await;
        }
        self.say(&step.reply);
        if self.output.len() > REPLIES { self.flush().await } else { Ok(()) }
    }

    fn say(&mut self, reply: &Reply) {
        self.output.push_str(&reply.wire());
    }

    /// Sends the replies that wait. A client that does not read them is cut off.
    async fn flush(&mut self) -> Result<(), End> {
        if self.output.is_empty() {
            return Ok(());
        }
        let output = std::mem::take(&mut self.output);
        let idle = self.shared.settings.limits.idle.0;
        match timeout(idle, self.stream.write(output.as_bytes())).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(End::Gone),
            Err(_) => Err(End::Idle),
        }
    }

    /// Reads what is there into `input`.
    async fn fill(&mut self) -> Result<(), End> {
        let deadline = self.ends.min(Instant::now() + self.shared.settings.limits.idle.0);
        let (stream, input) = (&mut self.stream, &mut self.input);
        let read = poll_fn(|cx| {
            let mut chunk = [MaybeUninit::uninit(); CHUNK];
            let mut chunk = ReadBuf::uninit(&mut chunk);
            ready!(stream.poll_read(cx, &mut chunk))?;
            input.extend_from_slice(chunk.filled());
            Poll::Ready(std::io::Result::Ok(chunk.filled().len()))
        });
        match timeout_at(deadline, read).await {
            Ok(Ok(0) | Err(_)) => Err(End::Gone),
            Ok(Ok(_)) => Ok(()),
            Err(_) if deadline == self.ends => Err(End::SessionTime),
            Err(_) => Err(End::Idle),
        }
    }

    /// Reads while nothing is under way: a stop ends it. An open transaction has a little time left then.
    async fn fill_or_stop(&mut self) -> Result<(), End> {
        let mut stopping = self.shared.stopping.clone();
        let in_transaction = self.session.in_transaction();
        let stop = async {
            stopped(&mut stopping).await;
            if in_transaction {
                tokio::time::sleep(STOP_GRACE).await;
            }
        };
        tokio::select! {
            biased;
            filled = self.fill() => filled,
            () = stop => Err(End::Stopping),
        }
    }

    /// The next command, answered by the session.
    async fn command(&mut self) -> Result<Step, End> {
        let longest = self.shared.settings.limits.command_line;
        let (mut searched, mut too_long) = (0, false);
        loop {
            let found = self.input.get(searched..).and_then(|rest| memchr::memchr2(b'\r', b'\n', rest));
            let end = found.map_or(self.input.len(), |found| searched + found);
            match (self.input.get(end), self.input.get(end + 1)) {
                (Some(b'\r'), Some(b'\n')) => {
                    let line: Vec<u8> = self.input.drain(..end + 2).take(end).collect();
                    if self.input.is_empty() {
                        self.input = Vec::new();
                    }
                    if too_long || line.len() + 2 > longest {
                        return Ok(self.session.long_line());
                    }
                    let handler = &self.shared.handler;
                    let mut lookup = |client: &Client, sender: Option<&Address>, recipient: &Address| {
                        handler.recipient(client, sender, recipient)
                    };
                    return Ok(self.session.line(&line, &mut lookup));
                }
                (Some(b'\r'), None) | (None, _) => {
                    searched = end;
                    if self.input.len() > longest {
                        // Only the end of a line that is too long is of interest.
                        too_long = true;
                        self.input.drain(..end);
                        searched = 0;
                    }
                    self.flush().await?;
                    self.fill_or_stop().await?;
                }
                _ => return Err(End::BareNewline),
            }
        }
    }

    /// Reads a message and has it judged.
    async fn data(&mut self) -> Result<Step, End> {
        let mut incoming = Incoming::new();
        let started = Instant::now();
        let limits = &self.shared.settings.limits;
        let (rate, largest) = (limits.min_data_rate, self.shared.settings.max_message);
        loop {
            let input = std::mem::take(&mut self.input);
            match incoming.feed(&input, &self.shared) {
                Fed::End(used) => {
                    self.input = input.get(used..).unwrap_or(&[]).to_vec();
                    break;
                }
                Fed::BareNewline => return Err(End::BareNewline),
                Fed::More => {}
            }
            if incoming.size > largest.saturating_add(OVERRUN) {
                return Err(End::Overrun);
            }
            let elapsed = started.elapsed();
            if elapsed > RATE_GRACE && incoming.size < elapsed.as_secs().saturating_mul(u64::from(rate)) {
                return Err(End::Slow);
            }
            self.fill().await?;
        }
        let Some(envelope) = self.session.data_end() else { return Err(End::Gone) };
        if incoming.size > largest {
            return Ok(self.session.data_reply(too_large()));
        }
        let arrived = Instant::now();
        let reply = match incoming.into_memory(&self.shared).await {
            None => Reply::new(452, 3, 1, "No room for this message now, try again later"),
            Some((raw, permits)) => {
                let client = self.session.client().clone();
                let judged = tokio::spawn(Arc::clone(&self.shared.handler).message(client, envelope, raw));
                let reply =
                    judged.await.unwrap_or_else(|_| Reply::new(451, 3, 0, "Temporary trouble here, try again later"));
                drop(permits);
                reply
            }
        };
        self.shared.metrics.accept_seconds.observe(arrived.elapsed().as_secs_f64());
        Ok(self.session.data_reply(reply))
    }
}

/// Reads the PROXY header that a balancer sends first. Returns the client behind it, and what came after the header.
pub(super) async fn proxy_header<S: AsyncRead + Unpin>(stream: &mut S) -> Option<(Option<IpAddr>, Vec<u8>)> {
    let mut input = Vec::new();
    let read = async {
        loop {
            match proxy::read(&input) {
                proxy::Header::Is { length, client } => return Some((client, input.split_off(length))),
                proxy::Header::Bad => return None,
                proxy::Header::More => {
                    if stream.read_buf(&mut input).await.ok()? == 0 {
                        return None;
                    }
                }
            }
        }
    };
    timeout(HANDSHAKE, read).await.ok().flatten()
}
