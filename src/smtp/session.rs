//! The server's side of an SMTP session, RFC 5321, without any I/O: a line comes in, a [`Step`] comes out.
//!
//! Not here: sockets, timeouts, memory (`connection`), syntax (`command`), or what a recipient is (the [`Handler`](super::Handler)).

use super::auth::{self, Answer, Attempt, Exchange, Turn};
use super::command::{self, Command, Mail, Recipient};
use super::front::Front;
use crate::config::Limits;
use crate::types::{Address, Client, Envelope, Reply};
use std::sync::Arc;

/// Recipients over the limit that a client may name before they count as errors.
const OVERSHOOT: usize = 1000;
/// Logins that may fail on one connection.
const LOGINS: usize = 5;

/// What every session of a listener shares.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Our name.
    pub hostname: String,
    /// Limits.
    pub limits: Limits,
    /// Largest message in octets.
    pub max_message: u64,
    /// Whether STARTTLS is offered on this listener.
    pub starttls: bool,
    /// Whether this is a submission listener: who does not log in may not send.
    pub submission: bool,
}

/// Where a transaction stands. A state holds what exists then.
#[derive(Clone, Debug)]
enum State {
    /// Nobody has said EHLO.
    Connected,
    /// Between transactions.
    Ready,
    /// MAIL was accepted.
    Mail { envelope: Envelope, refused: bool },
    /// At least one RCPT was accepted.
    Recipients { envelope: Envelope },
    /// The message comes in, or is being judged.
    Data { envelope: Envelope },
    /// AUTH is under way: lines are no commands.
    Login { exchange: Exchange },
}

/// What the connection does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Read the next line.
    Line,
    /// Read a message.
    Data,
    /// Begin TLS, then call [`Session::tls_started`].
    Tls,
    /// Ask the handler what [`Session::attempt`] holds, and give its answer to [`Session::login_answer`]. The step's reply is for the case that it has none.
    Login,
    /// Close.
    Close,
}

/// The answer to a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The reply.
    pub reply: Reply,
    /// What then.
    pub next: Next,
    /// Make the client wait before the reply: it makes many errors.
    pub delay: bool,
}

/// Looks a recipient up: may it be written to?
pub type Lookup<'a> = &'a mut dyn FnMut(&Client, Option<&Address>, &Address) -> Result<(), Reply>;

/// A session.
#[derive(Clone, Debug)]
pub struct Session {
    settings: Arc<Settings>,
    client: Client,
    front: Front,
    state: State,
    errors: usize,
    junk: usize,
    messages: usize,
    /// Recipients over the limit: each has its 452, as RFC 5321 4.5.3.1.10 wants, and is no error of the client.
    overshoot: usize,
    failed_logins: usize,
    attempt: Option<Attempt>,
    /// There is room for new mail.
    space: bool,
    /// Octets that MAIL announced (RFC 1870), 0 if none.
    announced: u64,
}

fn sequence(text: &'static str) -> Reply {
    Reply::new(503, 5, 1, text)
}

impl Session {
    /// A new connection.
    #[must_use]
    pub fn new(settings: Arc<Settings>, client: Client) -> Self {
        let state = State::Connected;
        let (errors, junk) = (0, 0);
        let (messages, overshoot, failed_logins, announced) = (0, 0, 0, 0);
        let (front, attempt, space) = (Front::default(), None, true);
        Self {
            settings,
            client,
            front,
            state,
            errors,
            junk,
            messages,
            overshoot,
            failed_logins,
            attempt,
            space,
            announced,
        }
    }

    /// Octets that the client said the message has; 0 if it did not.
    #[must_use]
    pub fn announced(&self) -> u64 {
        self.announced
    }

    /// The first words. They name no program.
    #[must_use]
    pub fn greeting(&self) -> Reply {
        Reply::plain(220, format!("{} ESMTP", self.settings.hostname))
    }

    /// The client as known now.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Whether a transaction is open: a stop waits for it.
    #[must_use]
    pub fn in_transaction(&self) -> bool {
        !matches!(self.state, State::Connected | State::Ready | State::Login { .. })
    }

    /// Whether there is room for new mail; without it MAIL is refused for now.
    pub fn set_space(&mut self, space: bool) {
        self.space = space;
    }

    /// TLS stands: everything that was said before is forgotten (RFC 3207 4.2).
    pub fn tls_started(&mut self) {
        self.client.tls = true;
        self.client.helo = String::new();
        self.client.login = None;
        self.state = State::Connected;
    }

    /// A line longer than `limits.command_line` went by.
    pub fn long_line(&mut self) -> Step {
        if let State::Login { .. } = self.state {
            self.state = State::Ready;
            return self.refused_login(Reply::new(500, 5, 6, "Line too long for this exchange"));
        }
        self.error(Reply::new(500, 5, 2, "Line too long"))
    }

    /// Answers a command line, or one of an exchange, its CRLF taken off.
    pub fn line(&mut self, line: &[u8], lookup: Lookup<'_>) -> Step {
        if let State::Login { exchange } = &mut self.state {
            let exchange = exchange.clone();
            return self.turn(exchange.line(line));
        }
        match command::parse(line) {
            Ok(command) => self.command(command, lookup),
            Err(reply) => self.error(reply),
        }
    }

    /// Every command in every state.
    fn command(&mut self, command: Command, lookup: Lookup<'_>) -> Step {
        if matches!(command, Command::Ehlo(_) | Command::Helo(_) | Command::Rset) {
            self.front.end_of_message(&mut self.client);
        }
        match (command, std::mem::replace(&mut self.state, State::Ready)) {
            (Command::Http, _) => Step { reply: bye("This is a mail server"), next: Next::Close, delay: false },
            (Command::Quit, _) => Step { reply: Reply::new(221, 0, 0, "Bye"), next: Next::Close, delay: false },
            (Command::Ehlo(name), _) => {
                self.client.helo = name;
                self.junk(self.extensions())
            }
            (Command::Helo(name), _) => {
                self.client.helo = name;
                self.junk(Reply::plain(250, self.settings.hostname.clone()))
            }
            (Command::Rset, State::Connected) => self.keep(State::Connected, |s| s.junk(ok("Ok"))),
            (Command::Rset, _) => self.junk(ok("Ok")),
            (Command::Noop, state) => self.keep(state, |s| s.junk(ok("Ok"))),
            (Command::Help, state) => self
                .keep(state, |s| s.junk(Reply::new(214, 0, 0, "RFC 5321; write to postmaster for help by a person"))),
            (Command::Vrfy, state) => {
                self.keep(state, |s| s.junk(Reply::new(252, 5, 0, "Cannot tell; send mail and see")))
            }
            (Command::StartTls, State::Data { envelope }) => {
                self.keep(State::Data { envelope }, |s| s.error(sequence("Not now")))
            }
            (Command::StartTls, state) if !self.settings.starttls || self.client.tls => {
                self.keep(state, |s| s.error(Reply::new(502, 5, 1, "STARTTLS is not offered")))
            }
            (Command::StartTls, state) => {
                let step = Step { reply: Reply::new(220, 0, 0, "Ready to start TLS"), next: Next::Tls, delay: false };
                self.keep(state, |_| step)
            }
            (Command::Xclient(found), State::Connected | State::Ready) if self.client.trusted => {
                self.front.xclient(&mut self.client, found);
                self.keep(State::Connected, |s| s.accepted(s.greeting()))
            }
            (Command::Xforward(found), state @ (State::Connected | State::Ready)) if self.client.trusted => {
                self.front.xforward(&mut self.client, found);
                self.keep(state, |s| s.accepted(ok("Ok")))
            }
            (Command::Xclient(_) | Command::Xforward(_), state) if !self.client.trusted => {
                self.keep(state, |s| s.error(Reply::new(550, 7, 0, "Not allowed")))
            }
            (Command::Xclient(_) | Command::Xforward(_), state) => {
                self.keep(state, |s| s.error(sequence("Transaction in progress")))
            }
            (Command::Auth(..), state) if !self.settings.submission => {
                self.keep(state, |s| s.error(Reply::new(502, 5, 1, "Command not implemented")))
            }
            (Command::Auth(..), state) if !self.client.tls => {
                self.keep(state, |s| s.error(Reply::new(538, 7, 11, "Encryption required: STARTTLS first")))
            }
            (Command::Auth(mechanism, initial), State::Ready) if self.client.login.is_none() => {
                self.turn(Exchange::begin(&mechanism, initial.as_deref()))
            }
            (Command::Auth(..), state) => self.keep(state, |s| s.error(sequence("Not now"))),
            (Command::Mail(mail), State::Ready) => self.mail(mail),
            (Command::Mail(_), State::Connected) => {
                self.keep(State::Connected, |s| s.error(sequence("Say EHLO or HELO first")))
            }
            (Command::Mail(_), state) => self.keep(state, |s| s.error(sequence("Transaction in progress"))),
            (Command::Rcpt(recipient), State::Mail { envelope, .. } | State::Recipients { envelope }) => {
                self.rcpt(envelope, recipient, lookup)
            }
            (
                Command::Rcpt(_) | Command::Data,
                state @ (State::Connected | State::Ready | State::Data { .. } | State::Login { .. }),
            ) => self.keep(state, |s| s.error(sequence("MAIL first"))),
            (Command::Data, State::Recipients { envelope }) => {
                let reply = Reply::plain(354, "End with a line that holds only a dot");
                self.state = State::Data { envelope };
                Step { reply, next: Next::Data, delay: false }
            }
            (Command::Data, State::Mail { envelope, refused }) => {
                let reply = if refused { Reply::new(554, 5, 1, "No valid recipients") } else { sequence("RCPT first") };
                self.keep(State::Mail { envelope, refused }, |s| s.error(reply))
            }
        }
    }

    /// The whole message has arrived: hands out its envelope. `None` if none was open.
    pub fn data_end(&mut self) -> Option<Envelope> {
        match std::mem::replace(&mut self.state, State::Ready) {
            State::Data { envelope } => Some(envelope),
            state => {
                self.state = state;
                None
            }
        }
    }

    /// What the handler is to be asked, once.
    pub fn attempt(&mut self) -> Option<Attempt> {
        self.attempt.take()
    }

    /// The handler's answer to [`attempt`](Self::attempt).
    pub fn login_answer(&mut self, answer: Answer) -> Step {
        match std::mem::replace(&mut self.state, State::Ready) {
            State::Login { exchange } => self.turn(exchange.answer(answer)),
            state => self.keep(state, |s| s.error(sequence("Nothing was asked"))),
        }
    }

    /// What an exchange came to.
    fn turn(&mut self, turn: Turn) -> Step {
        self.state = State::Ready;
        match turn {
            Turn::Challenge(exchange, reply) => {
                self.state = State::Login { exchange };
                self.accepted(reply)
            }
            Turn::Ask(exchange, attempt) => {
                self.state = State::Login { exchange };
                self.attempt = Some(attempt);
                Step { reply: auth::trouble(), next: Next::Login, delay: false }
            }
            Turn::Granted(party) => {
                self.client.login = Some(party);
                self.accepted(Reply::new(235, 7, 0, "Authentication successful"))
            }
            Turn::Refused(reply) => self.refused_login(reply),
        }
    }

    /// Each failure waits a second; a few end the connection.
    fn refused_login(&mut self, reply: Reply) -> Step {
        self.failed_logins += 1;
        if self.failed_logins >= LOGINS {
            return Step { reply: bye("Too many failed logins"), next: Next::Close, delay: true };
        }
        let delay = reply.code() == 535;
        let step = self.error(reply);
        Step { delay: delay || step.delay, ..step }
    }

    /// The reply to a message. The envelope is gone, whatever it says.
    ///
    /// A message that is taken makes good for errors and empty commands before it: a front MTA keeps its connection for hours, and asks with RSET whether it
    /// still stands. A message that is refused counts as an error, but its own reply is given: it was judged, and must not be sent again.
    pub fn data_reply(&mut self, reply: Reply) -> Step {
        self.front.end_of_message(&mut self.client);
        self.state = State::Ready;
        self.messages += 1;
        if reply.is_positive() {
            (self.errors, self.junk, self.overshoot) = (0, 0, 0);
            return self.accepted(reply);
        }
        self.errors += 1;
        let delay = self.errors > self.settings.limits.errors_soft;
        let next = if reply.closes() { Next::Close } else { Next::Line };
        Step { reply, next, delay }
    }

    fn accepted(&mut self, reply: Reply) -> Step {
        Step { reply, next: Next::Line, delay: false }
    }

    fn keep(&mut self, state: State, step: impl FnOnce(&mut Self) -> Step) -> Step {
        self.state = state;
        step(self)
    }

    /// A command that moves nothing: a few are normal.
    fn junk(&mut self, reply: Reply) -> Step {
        self.junk += 1;
        if self.junk > self.settings.limits.junk_commands {
            return Step { reply: bye("Too many commands without mail"), next: Next::Close, delay: false };
        }
        Step { reply, next: Next::Line, delay: false }
    }

    fn error(&mut self, reply: Reply) -> Step {
        self.errors += 1;
        let limits = &self.settings.limits;
        if self.errors >= limits.errors_hard {
            return Step { reply: bye("Too many errors"), next: Next::Close, delay: true };
        }
        Step { reply, next: Next::Line, delay: self.errors > limits.errors_soft }
    }

    fn extensions(&self) -> Reply {
        let mut reply = Reply::plain(250, self.settings.hostname.clone())
            .line("PIPELINING")
            .line(format!("SIZE {}", self.settings.max_message));
        if self.settings.starttls && !self.client.tls {
            reply = reply.line("STARTTLS");
        }
        if self.settings.submission && self.client.tls && self.client.login.is_none() {
            reply = reply.line(auth::MECHANISMS);
        }
        if self.client.trusted {
            reply = reply.line("XCLIENT NAME ADDR PORT PROTO HELO").line("XFORWARD ADDR HELO");
        }
        reply.line("ENHANCEDSTATUSCODES").line("8BITMIME").line("SMTPUTF8").line("HELP")
    }

    fn mail(&mut self, mail: Mail) -> Step {
        if self.settings.submission && self.client.login.is_none() {
            let text = if self.client.tls { "Authentication required" } else { "STARTTLS first, then authenticate" };
            return self.error(Reply::new(530, 7, 0, text));
        }
        if mail.auth && !self.settings.submission {
            return self.error(Reply::new(555, 5, 4, "MAIL parameter not recognised"));
        }
        if self.messages >= self.settings.limits.messages_per_connection {
            return Step { reply: bye("Too many messages on one connection"), next: Next::Close, delay: false };
        }
        if mail.size.is_some_and(|size| size > self.settings.max_message) {
            return self.error(too_large());
        }
        if !self.space {
            // No fault of the client, so no error either.
            return self.accepted(Reply::new(452, 3, 1, "Insufficient system storage, try again later"));
        }
        self.announced = mail.size.unwrap_or(0);
        let Mail { sender, eight_bit, utf8, .. } = mail;
        let envelope = Envelope { sender, recipients: Vec::new(), eight_bit, utf8 };
        self.state = State::Mail { envelope, refused: false };
        self.accepted(Reply::new(250, 1, 0, "Ok"))
    }

    fn rcpt(&mut self, mut envelope: Envelope, recipient: Recipient, lookup: Lookup<'_>) -> Step {
        let outcome = self.recipient(&mut envelope, recipient, lookup);
        let refused = outcome.is_err();
        self.state = if envelope.recipients.is_empty() {
            State::Mail { envelope, refused }
        } else {
            State::Recipients { envelope }
        };
        match outcome {
            Ok(()) => self.accepted(Reply::new(250, 1, 5, "Ok")),
            Err(reply) if reply.code() == 452 && self.overshoot < OVERSHOOT => {
                self.overshoot += 1;
                self.accepted(reply)
            }
            Err(reply) => self.error(reply),
        }
    }

    fn recipient(&self, envelope: &mut Envelope, recipient: Recipient, lookup: Lookup<'_>) -> Result<(), Reply> {
        let address = match recipient {
            Recipient::Address(address) => address,
            Recipient::Postmaster => Address::parse(&format!("postmaster@{}", self.settings.hostname))
                .map_err(|_| Reply::new(550, 1, 1, "No such address"))?,
        };
        if !address.is_ascii() && !envelope.utf8 {
            return Err(Reply::new(553, 6, 7, "An address outside ASCII needs SMTPUTF8"));
        }
        let same = |known: &Address| known.expose().eq_ignore_ascii_case(address.expose());
        if envelope.recipients.iter().any(same) {
            return Ok(());
        }
        if envelope.recipients.len() >= self.settings.limits.recipients {
            return Err(Reply::new(452, 5, 3, "Too many recipients"));
        }
        lookup(&self.client, envelope.sender.as_ref(), &address)?;
        envelope.recipients.push(address);
        Ok(())
    }
}

/// 552, at MAIL and after DATA.
#[must_use]
pub fn too_large() -> Reply {
    Reply::new(552, 3, 4, "Message too large")
}

fn ok(text: &'static str) -> Reply {
    Reply::new(250, 0, 0, text)
}

fn bye(text: &'static str) -> Reply {
    Reply::new(421, 7, 0, text)
}
