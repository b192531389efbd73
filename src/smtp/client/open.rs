//! The beginning of a session: greeting, EHLO, STARTTLS, and the login.
//!
//! Not here: which kind of TLS a server is owed; the caller says so with [`Security`].

use super::auth::{Exchange, Login, Mechanism};
use super::failure::{Failure, Stage};
use super::{Client, Code, Stream};
use crate::config::ClientTimeouts;
use crate::types::{Random as _, SystemRandom};
use std::sync::Arc;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{self, ClientConfig};

/// Challenges of one login.
const CHALLENGES: usize = 4;

/// How TLS is used. A login belongs to the kinds that demand TLS; whoever gives one gives a configuration that verifies certificates.
#[derive(Clone)]
pub enum Security {
    /// None.
    Plain,
    /// STARTTLS if it is offered; the certificate is not looked at, as nobody vouches for the MX (RFC 7435).
    Opportunistic(Arc<ClientConfig>, ServerName<'static>),
    /// STARTTLS, or nothing is sent; what the certificate must be is the configuration's to say.
    Required(Arc<ClientConfig>, ServerName<'static>, Option<Login>),
    /// TLS from the first octet; else as required.
    Implicit(Arc<ClientConfig>, ServerName<'static>, Option<Login>),
}

/// What the server said that it can do.
#[derive(Clone, Debug, Default)]
pub(super) struct Offers {
    pub(super) pipelining: bool,
    pub(super) eight_bit: bool,
    pub(super) utf8: bool,
    pub(super) starttls: bool,
    /// RFC 1870: the largest message, 0 if it does not say.
    pub(super) size: Option<usize>,
    /// RFC 4954: ways to log in that we know.
    pub(super) auth: Vec<Mechanism>,
}

impl Offers {
    /// Reads one line of the reply to EHLO.
    fn read(&mut self, line: &[u8]) {
        let line = String::from_utf8_lossy(line);
        let mut words = line.split(' ');
        match words.next().unwrap_or("").to_ascii_uppercase().as_str() {
            "PIPELINING" => self.pipelining = true,
            "8BITMIME" => self.eight_bit = true,
            "SMTPUTF8" => self.utf8 = true,
            "STARTTLS" => self.starttls = true,
            "SIZE" => self.size = Some(words.next().and_then(|size| size.parse().ok()).unwrap_or(0)),
            "AUTH" => {
                for mechanism in words.filter_map(Mechanism::read) {
                    if !self.auth.contains(&mechanism) {
                        self.auth.push(mechanism);
                    }
                }
            }
            _ => {}
        }
    }
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
            used: 0,
            times,
            offers: Offers::default(),
            usable: true,
            ahead: None,
            encrypted: false,
            sent: 0,
            server: None,
        };
        if let Security::Implicit(config, name, _) = &security {
            client = client.handshake(config, name).await?;
        }
        let code = client.reply(Stage::Banner, client.times.command.0).await?;
        if code.code != 220 {
            return Err(Failure::Refused(Stage::Banner, code));
        }
        client.hello(hostname).await?;
        match security {
            Security::Plain => {}
            Security::Opportunistic(config, name) => {
                if client.offers.starttls && client.starttls().await?.code == 220 {
                    client = client.handshake(&config, &name).await?;
                    client.hello(hostname).await?;
                }
            }
            Security::Required(config, name, login) => {
                if !client.offers.starttls {
                    return Err(Failure::NoTls);
                }
                let code = client.starttls().await?;
                if code.code != 220 {
                    return Err(Failure::Refused(Stage::Tls, code));
                }
                client = client.handshake(&config, &name).await?;
                client.hello(hostname).await?;
                client.log_in(login).await?;
            }
            Security::Implicit(_, _, login) => client.log_in(login).await?,
        }
        Ok(client)
    }

    /// Whether the session is encrypted.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        self.encrypted
    }

    async fn starttls(&mut self) -> Result<Code, Failure> {
        self.send(b"STARTTLS\r\n", Stage::Tls).await?;
        let code = self.reply(Stage::Tls, self.times.command.0).await?;
        // What came in the clear behind the reply was put there by somebody else.
        if code.code == 220 && self.has_input() { Err(Failure::Protocol(Stage::Tls)) } else { Ok(code) }
    }

    async fn handshake(mut self, config: &Arc<ClientConfig>, name: &ServerName<'static>) -> Result<Self, Failure> {
        let connector = TlsConnector::from(Arc::clone(config));
        let limit = self.times.command.0;
        match timeout(limit, connector.connect(name.clone(), self.stream)).await {
            Ok(Ok(stream)) => {
                self.stream = Box::new(stream);
                self.encrypted = true;
                Ok(self)
            }
            Ok(Err(error)) => {
                let cause = error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>());
                let certificate = matches!(cause, Some(rustls::Error::InvalidCertificate(_)));
                Err(if certificate { Failure::Certificate } else { Failure::Network(Stage::Tls) })
            }
            Err(_) => Err(Failure::Timeout(Stage::Tls)),
        }
    }

    /// EHLO, or HELO where that is all the server knows.
    async fn hello(&mut self, hostname: &str) -> Result<(), Failure> {
        // What was offered before STARTTLS counts no more (RFC 3207 4.2).
        let mut offers = Offers::default();
        let limit = self.times.command.0;
        self.send(format!("EHLO {hostname}\r\n").as_bytes(), Stage::Hello).await?;
        let code = self.reply_lines(Stage::Hello, limit, |line| offers.read(line)).await?;
        if matches!(code.code, 500..=504) {
            self.send(format!("HELO {hostname}\r\n").as_bytes(), Stage::Hello).await?;
            let code = self.reply(Stage::Hello, limit).await?;
            return if code.code == 250 { Ok(()) } else { Err(Failure::Refused(Stage::Hello, code)) };
        }
        if code.code != 250 {
            return Err(Failure::Refused(Stage::Hello, code));
        }
        self.offers = offers;
        Ok(())
    }

    /// RFC 4954 4. Only over TLS, whatever the caller thought.
    async fn log_in(&mut self, login: Option<Login>) -> Result<(), Failure> {
        let Some(login) = login else { return Ok(()) };
        if !self.encrypted {
            return Err(Failure::NoTls);
        }
        let mut nonce = [0; 18];
        SystemRandom.fill(&mut nonce);
        let (mut line, mut exchange) = Exchange::start(&self.offers.auth, &login, nonce).ok_or(Failure::NoAuth)?;
        let limit = self.times.command.0;
        for _ in 0..=CHALLENGES {
            line.push_str("\r\n");
            self.send(line.as_bytes(), Stage::Auth).await?;
            let mut challenge = Vec::new();
            let code = self.reply_lines(Stage::Auth, limit, |text| challenge = text.to_vec()).await?;
            match code.code {
                235 if exchange.may_end() => return Ok(()),
                334 => {
                    // Thousands of hashes are no work for a thread that serves others.
                    let answer = tokio::task::spawn_blocking(move || exchange.answer(&challenge)).await;
                    (line, exchange) = answer.ok().flatten().ok_or(Failure::Protocol(Stage::Auth))?;
                }
                400..=599 => return Err(Failure::Refused(Stage::Auth, code)),
                _ => return Err(Failure::Protocol(Stage::Auth)),
            }
        }
        Err(Failure::Protocol(Stage::Auth))
    }
}
