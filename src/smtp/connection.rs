//! One connection: octets, time and memory around a [`Session`].
//!
//! An idle connection holds no buffers: input is read into a buffer on the stack and kept only while it is unfinished. A message stays in memory while the
//! budget of all connections allows it, else it waits in an unlinked file, so that slow clients cost no memory.

use super::Handler;
use super::auth::Answer;
use super::data::Fed;
use super::incoming::Incoming;
use super::server::{Shared, going_down, is_stopping, stopped};
use super::session::{Next, Session, Step, too_large};
use super::stream::{HANDSHAKE, Stream};
use crate::metrics::count;
use crate::types::{Address, Client, Reply};
use std::future::poll_fn;
use std::mem::MaybeUninit;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsAcceptor;

/// Octets read at once.
const CHUNK: usize = 64 * 1024;
/// Replies are sent when so many octets have gathered, or when no command is left to answer.
const REPLIES: usize = 4 * 1024;
/// Octets over the size limit that are still read, so that a client hears 552 instead of a broken connection.
const OVERRUN: u64 = 64 << 20;
/// The data rate is not looked at before.
const RATE_GRACE: Duration = Duration::from_secs(30);
/// A client that makes many errors waits this long for each reply.
const DELAY: Duration = Duration::from_secs(1);
/// The last words to a client take this long at most.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// The handler answers within this; clients wait ten minutes (RFC 5321 4.5.3.2.6).
const JUDGING: Duration = Duration::from_secs(300);
/// A transaction that a stop finds open has this long to end.
const STOP_GRACE: Duration = Duration::from_secs(30);

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
            Self::Stopping => Some(going_down()),
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
    stopping: watch::Receiver<bool>,
    /// The stop has come, and `ends` is the time it leaves.
    last: bool,
}

/// What the handler answers, or a reply in its place if it panics: that ends no session.
async fn guarded(mut judged: Pin<&mut (impl Future<Output = Reply> + Send)>) -> Reply {
    let answered = poll_fn(|cx| {
        let polled = catch_unwind(AssertUnwindSafe(|| judged.as_mut().poll(cx)));
        polled.map_or(Poll::Ready(None), |polled| polled.map(Some))
    });
    answered.await.unwrap_or_else(|| Reply::new(451, 3, 0, "Temporary trouble here, try again later"))
}

/// Ends after `limit`, or when a stop has come and its grace is over.
async fn patience(stopping: &mut watch::Receiver<bool>, limit: Duration) {
    let stop = async {
        stopped(stopping).await;
        tokio::time::sleep(STOP_GRACE).await;
    };
    let _ = timeout(limit, stop).await;
}

impl<S, H> Connection<S, H>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
    H: Handler,
{
    pub(super) fn new(stream: S, client: Client, shared: Arc<Shared<H>>, tls: Option<TlsAcceptor>) -> Self {
        let session = Session::new(Arc::clone(&shared.settings), client);
        let ends = Instant::now() + shared.settings.limits.session.0;
        let (stream, stopping) = (Stream::Plain(stream), shared.stopping.clone());
        let (input, output) = (Vec::new(), String::new());
        Self { stream, session, shared, tls, input, output, ends, stopping, last: false }
    }

    /// What was read before the session began.
    pub(super) fn with_input(self, input: Vec<u8>) -> Self {
        Self { input, ..self }
    }

    /// Serves the connection to its end. `implicit`: TLS comes first.
    pub(super) async fn run(mut self, implicit: bool) {
        let mut linger = false;
        match self.serve(implicit).await {
            Ok(closing) => linger = closing,
            Err(end) => {
                count(&self.shared.metrics.sessions_cut, end.word());
                if let Some(reply) = end.reply() {
                    self.say(&reply);
                    // Whether the client hears it is its own affair.
                    linger = timeout(LAST_WORDS, self.flush()).await.is_ok();
                }
            }
        }
        // The message, if there was one, is of no more use.
        self.input = Vec::new();
        self.shared.metrics.memory.set(self.shared.memory.used());
        let _ = timeout(LAST_WORDS, self.stream.shutdown()).await;
        if linger {
            let _ = timeout(LAST_WORDS, self.stream.drain()).await;
        }
    }

    /// Whether it was us who closed, against the client's wish.
    async fn serve(&mut self, implicit: bool) -> Result<bool, End> {
        if implicit {
            self.start_tls().await?;
            self.session.tls_started();
        }
        self.say(&self.session.greeting());
        let last = loop {
            let mut step = self.command().await?;
            if step.next == Next::Login {
                step = self.login(step).await?;
            }
            self.answer(&step).await?;
            let step = match step.next {
                Next::Line | Next::Login => continue,
                Next::Close => break step,
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
                break step;
            }
        };
        self.flush().await?;
        let quit = last.reply.is_positive();
        if !quit {
            count(&self.shared.metrics.sessions_cut, "errors");
        }
        Ok(!quit)
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
        tokio::select! {
            biased;
            written = self.stream.write(output.as_bytes()) => written.map_err(|_| End::Gone),
            () = patience(&mut self.stopping, idle) => Err(End::Idle),
        }
    }

    /// A stop ends what is idle, and leaves an open transaction a little time.
    fn heed_stop(&mut self) -> Result<(), End> {
        if !is_stopping(&self.stopping) {
            return Ok(());
        }
        if !self.session.in_transaction() {
            return Err(End::Stopping);
        }
        if !self.last {
            self.last = true;
            self.ends = self.ends.min(Instant::now() + STOP_GRACE);
        }
        Ok(())
    }

    /// Reads what is there into `input`.
    async fn fill(&mut self) -> Result<(), End> {
        let mut input = std::mem::take(&mut self.input);
        let read = self.read(|chunk| input.extend_from_slice(chunk)).await;
        self.input = input;
        read
    }

    /// Gives what is there to `take`, as it comes from the socket.
    async fn read<R>(&mut self, mut take: impl FnMut(&[u8]) -> R) -> Result<R, End> {
        let deadline = Instant::now() + self.shared.settings.limits.idle.0;
        loop {
            self.heed_stop()?;
            let (stream, take) = (&mut self.stream, &mut take);
            let read = poll_fn(|cx| {
                let mut chunk = [MaybeUninit::uninit(); CHUNK];
                let mut chunk = ReadBuf::uninit(&mut chunk);
                ready!(stream.poll_read(cx, &mut chunk))?;
                let some = !chunk.filled().is_empty();
                Poll::Ready(std::io::Result::Ok(some.then(|| take(chunk.filled()))))
            });
            tokio::select! {
                biased;
                read = timeout_at(self.ends.min(deadline), read) => return match read {
                    Ok(Ok(Some(taken))) => Ok(taken),
                    Ok(Ok(None) | Err(_)) => Err(End::Gone),
                    Err(_) if deadline < self.ends => Err(End::Idle),
                    Err(_) if self.last => Err(End::Stopping),
                    Err(_) => Err(End::SessionTime),
                },
                () = stopped(&mut self.stopping), if !self.last => {}
            }
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
                    let (handler, octets) = (&self.shared.handler, self.session.announced());
                    let mut lookup = |client: &Client, sender: Option<&Address>, recipient: &Address| {
                        handler.recipient(client, sender, recipient)?;
                        if octets > 0 { handler.announced(recipient, octets) } else { Ok(()) }
                    };
                    let step = match self.input.get(..end) {
                        Some(line) if !too_long && end + 2 <= longest => {
                            self.session.set_space(self.shared.space.is_enough());
                            self.session.line(line, &mut lookup)
                        }
                        _ => self.session.long_line(),
                    };
                    self.input.drain(..end + 2);
                    if self.input.is_empty() {
                        self.input = Vec::new();
                    }
                    return Ok(step);
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
                    self.fill().await?;
                }
                _ => return Err(End::BareNewline),
            }
        }
    }

    /// Has a login checked. `unasked` is said if nobody can.
    async fn login(&mut self, unasked: Step) -> Result<Step, End> {
        self.flush().await?;
        let Some(attempt) = self.session.attempt() else { return Ok(unasked) };
        let (handler, client) = (Arc::clone(&self.shared.handler), self.session.client().clone());
        // A task of its own: who hangs up does not stop it half way.
        let asked = tokio::spawn(handler.login(client, attempt));
        let answer = tokio::select! {
            biased;
            answer = asked => answer.unwrap_or(Answer::Refused(unasked.reply)),
            () = patience(&mut self.stopping, JUDGING) => Answer::Refused(unasked.reply),
        };
        Ok(self.session.login_answer(answer))
    }

    /// Reads a message and has it judged.
    async fn data(&mut self) -> Result<Step, End> {
        let mut incoming = Incoming::new(self.session.announced());
        let started = Instant::now();
        let limits = &self.shared.settings.limits;
        let (rate, largest) = (limits.min_data_rate, self.shared.settings.max_message);
        let shared = Arc::clone(&self.shared);
        // What came with the command, and then straight from the socket.
        let feed = |incoming: &mut Incoming, chunk: &[u8]| match incoming.feed(chunk, &shared) {
            Fed::End(used) => Ok(Some(chunk.get(used..).unwrap_or(&[]).to_vec())),
            Fed::More => Ok(None),
            Fed::BareNewline => Err(End::BareNewline),
        };
        let mut rest = feed(&mut incoming, &std::mem::take(&mut self.input))?;
        while rest.is_none() {
            if incoming.size > largest.saturating_add(OVERRUN) {
                return Err(End::Overrun);
            }
            let elapsed = started.elapsed();
            if elapsed > RATE_GRACE && incoming.size < elapsed.as_secs().saturating_mul(u64::from(rate)) {
                return Err(End::Slow);
            }
            rest = self.read(|chunk| feed(&mut incoming, chunk)).await??;
        }
        self.input = rest.unwrap_or_default();
        let Some(envelope) = self.session.data_end() else { return Err(End::Gone) };
        if incoming.size > largest {
            return Ok(self.session.data_reply(too_large()));
        }
        let arrived = Instant::now();
        let (shared, client) = (Arc::clone(&self.shared), self.session.client().clone());
        let mut judged = Box::pin(async move {
            let Some((raw, permit)) = incoming.into_memory(&shared).await else {
                return Reply::new(452, 3, 1, "No room for this message now, try again later");
            };
            let reply = Arc::clone(&shared.handler).message(client, envelope, raw).await;
            drop(permit);
            reply
        });
        let reply = tokio::select! {
            biased;
            reply = guarded(judged.as_mut()) => reply,
            () = patience(&mut self.stopping, JUDGING) => {
                // It goes on by itself: half of what it does must not be left undone. If the message is taken all the same, later, the author
                // sends it twice: better than a message that nobody has.
                tokio::spawn(judged);
                Reply::new(451, 4, 5, "Took too long, try again later")
            }
        };
        self.shared.metrics.memory.set(self.shared.memory.used());
        self.shared.metrics.accept_seconds.observe(arrived.elapsed().as_secs_f64());
        Ok(self.session.data_reply(reply))
    }
}
