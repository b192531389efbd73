//! What a server's replies are reduced to: codes. Its words may hold addresses, and are not kept.

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
    /// AUTH.
    Auth,
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
            Self::Auth => "auth",
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
    /// TLS is required, and it does not offer it.
    NoTls,
    /// Its certificate is not the one that it must have.
    Certificate,
    /// A login is set, and it offers no way that we know.
    NoAuth,
    /// What the receivers' domain demands forbids to use this server now; our words.
    Policy(&'static str),
    /// It lacks an extension that this message needs (`8BITMIME`, `SMTPUTF8`).
    Lacks(&'static str),
    /// The message is larger than the server takes (RFC 1870).
    TooLarge,
    /// The message has a bare CR or LF: the next server could see two messages in it.
    BareNewline,
}

impl Failure {
    /// Whether another try is of no use.
    #[must_use]
    pub fn is_permanent(self) -> bool {
        match self {
            // A refused greeting or login is about us or about now, not about the message: it may pass.
            Self::Refused(Stage::Banner | Stage::Hello | Stage::Tls | Stage::Auth, _) => false,
            Self::Refused(_, code) => (500..600).contains(&code.code),
            Self::Lacks(_) | Self::TooLarge | Self::BareNewline => true,
            Self::Network(_) | Self::Timeout(_) | Self::Protocol(_) => false,
            // The operator, or the receiver's, has something to mend; until then mail waits.
            Self::NoTls | Self::Certificate | Self::NoAuth | Self::Policy(_) => false,
        }
    }

    /// Whether TLS as such failed, so that one who would do without it may try again in the clear.
    #[must_use]
    pub fn is_tls(self) -> bool {
        matches!(self, Self::Network(Stage::Tls) | Self::Timeout(Stage::Tls) | Self::Certificate)
    }

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
            Self::Refused(Stage::Auth, code) => write!(f, "auth: the server refuses our login with {code}"),
            Self::NoTls => f.write_str("tls: required, but the server does not offer it"),
            Self::Certificate => f.write_str("tls: the server's certificate is not good"),
            Self::NoAuth => f.write_str("auth: the server offers no way to log in that we know"),
            Self::Refused(stage, code) => write!(f, "{}: refused with {code}", stage.as_str()),
            Self::Network(stage) => write!(f, "{}: connection lost", stage.as_str()),
            Self::Timeout(stage) => write!(f, "{}: no answer in time", stage.as_str()),
            Self::Protocol(stage) => write!(f, "{}: not SMTP", stage.as_str()),
            Self::Policy(what) => f.write_str(what),
            Self::Lacks(what) => write!(f, "the server lacks {what}"),
            Self::TooLarge => f.write_str("larger than the server takes"),
            Self::BareNewline => f.write_str("a bare newline in the message"),
        }
    }
}

/// Whether a code is what a stage asks for.
pub(super) fn wanted(stage: Stage, code: Code) -> Result<(), Failure> {
    let good = if stage == Stage::Data { code.code == 354 } else { (200..300).contains(&code.code) };
    match code.code {
        _ if good => Ok(()),
        400..=599 => Err(Failure::Refused(stage, code)),
        _ => Err(Failure::Protocol(stage)),
    }
}

/// One line of a reply: code, whether more follow, and the text.
pub(super) fn reply_line(line: &[u8]) -> Option<(u16, bool, &[u8])> {
    let (digits, rest) = line.split_at_checked(3)?;
    let number = |n: u16, digit: &u8| digit.is_ascii_digit().then(|| n * 10 + u16::from(digit - b'0'));
    let code = digits.iter().try_fold(0, number).filter(|code| (200..600).contains(code))?;
    match rest.split_first() {
        None => Some((code, false, rest)),
        Some((b' ', text)) => Some((code, false, text)),
        Some((b'-', text)) => Some((code, true, text)),
        Some(_) => None,
    }
}

/// The last two numbers of an enhanced code whose class fits the reply.
pub(super) fn enhanced(text: &[u8], code: u16) -> Option<(u16, u16)> {
    let word = std::str::from_utf8(text.split(|b| *b == b' ').next()?).ok()?;
    let mut numbers = word.split('.').map(|n| n.parse::<u16>().ok().filter(|n| *n < 1000));
    let (class, subject, detail) = (numbers.next()??, numbers.next()??, numbers.next()??);
    (numbers.next().is_none() && class == code / 100).then_some((subject, detail))
}
