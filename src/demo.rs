//! Floor 7: a whole relay on loopback to try out, with a sample seller, buyer and order. It delivers to Maildirs, and shows what arrives.

use crate::config::{AuthenticationMode, Config, Listener, ListenerKind, ListenerTls, Log, LogFormat, Marketplace};
use crate::metrics::Metrics;
use crate::serve;
use crate::store::{NewOrder, NewParty, Open, Pair, Store};
use crate::types::{Address, Role, SystemRandom, Time};
use serde_json::{Value, json};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

const SELLER: &str = "sato@seller.example";
const BUYER: &str = "hana@buyer.example";
const DOMAIN: &str = "relay.demo.test";
/// How often the Maildirs are looked at.
const LOOK: Duration = Duration::from_millis(200);

/// A demonstration, ready to run.
pub struct Demo {
    config: Config,
    pair: Pair,
    mail: PathBuf,
    listen: SocketAddr,
    note: Option<String>,
    _temporary: Option<tempfile::TempDir>,
}

/// Makes store, parties and order in `dir`, or in a temporary directory that goes with the demonstration.
///
/// # Errors
/// A sentence that says what to do.
pub fn prepare(dir: Option<PathBuf>, listen: SocketAddr) -> Result<Demo, String> {
    let (dir, temporary) = match dir {
        Some(dir) => (std::path::absolute(&dir).map_err(|error| error.to_string())?, None),
        None => {
            let made = tempfile::Builder::new().prefix("marketrelay-demo-").tempdir();
            let made =
                made.map_err(|error| format!("cannot make a temporary directory: {error}. Name one with --dir"))?;
            (made.path().to_owned(), Some(made))
        }
    };
    let (listen, note) = free(listen)?;
    let mail = dir.join("mail");
    let config = Config {
        hostname: format!("mx.{DOMAIN}"),
        data_dir: dir.join("data"),
        operator: Some("operator@demo.example".to_owned()),
        marketplace: vec![Marketplace {
            id: "demo".to_owned(),
            domain: DOMAIN.to_owned(),
            name: "Demo Market".to_owned(),
            language: "en".to_owned(),
            time_zone: "UTC".to_owned(),
            contact: Some("help@demo.example".to_owned()),
        }],
        listener: vec![Listener {
            address: listen,
            kind: ListenerKind::Relay,
            tls: ListenerTls::None,
            trusted_networks: Vec::new(),
            proxy_protocol: false,
        }],
        authentication: crate::config::Authentication { mode: AuthenticationMode::None, ..Default::default() },
        delivery: crate::config::Delivery { route: format!("maildir:{}", mail.display()), ..Default::default() },
        log: Log { level: "warn".to_owned(), format: LogFormat::Text },
        ..Config::default()
    };
    let pair = register(&config).map_err(|error| format!("{error}. Name an empty directory with --dir"))?;
    Ok(Demo { config, pair, mail, listen, note, _temporary: temporary })
}

/// The address, or another port if it is taken.
fn free(listen: SocketAddr) -> Result<(SocketAddr, Option<String>), String> {
    let probe = |address: SocketAddr| TcpListener::bind(address).and_then(|socket| socket.local_addr());
    if let Ok(address) = probe(listen) {
        return Ok((address, None));
    }
    let other =
        probe(SocketAddr::new(listen.ip(), 0)).map_err(|error| format!("cannot listen on {}: {error}", listen.ip()))?;
    Ok((other, Some(format!("{listen} is taken, so this is on {other}."))))
}

fn register(config: &Config) -> Result<Pair, String> {
    let store = Store::open(&config.data_dir, Open::Create, &mut SystemRandom, Metrics::default());
    let store = store.map_err(|error| error.to_string())?;
    let length = config.alias_length;
    let made = store.write_blocking(move |change| {
        let now = Time::now();
        let party = |role, id: &str, name: &str, email: &str| {
            let refused = |_| crate::store::StoreError::Refused("a sample is wrong".to_owned());
            Ok::<_, crate::store::StoreError>(NewParty {
                marketplace: "demo".to_owned(),
                role,
                external: id.parse().map_err(|_| crate::store::StoreError::Refused("a sample is wrong".to_owned()))?,
                name: Some(name.to_owned()),
                main: Some(Address::parse(email).map_err(refused)?),
                further: None,
                language: None,
                auto_replies: None,
                unauthenticated: None,
            })
        };
        let domains = [DOMAIN.to_owned()];
        let (buyer, _) = change.set_party(&party(Role::Buyer, "B-7", "Hana", BUYER)?, &domains, now)?;
        let (seller, _) = change.set_party(&party(Role::Seller, "S-1", "Sato Shop", SELLER)?, &domains, now)?;
        let pair = change.pair_or_new(buyer, seller, (DOMAIN, length), now, &mut SystemRandom)?;
        if let Ok(external) = "250-1".parse() {
            let order = NewOrder { external, status: Some("shipped".to_owned()), category: None, placed: Some(now) };
            change.set_order("demo", seller, pair, &order, now)?;
        }
        change.pair(pair)
    });
    made.map_err(|error| error.to_string())
}

impl Demo {
    fn lines(&self) -> (String, String) {
        let (buyer_alias, seller_alias) = (self.pair.buyer_alias.as_str(), self.pair.seller_alias.as_str());
        let server = self.listen;
        let line = |from: &str, to: &str, subject: &str, body: &str| {
            format!(
                "swaks --server {server} --from {from} --to {to} \\\n        --header 'Subject: {subject}' --body '{body}'"
            )
        };
        let body = |own: &str, other: &str| format!("Write to {own}, not to {other}!");
        (
            line(SELLER, buyer_alias, "Your order 250-1", &body(SELLER, BUYER)),
            line(BUYER, seller_alias, "Re: Your order 250-1", &body(BUYER, SELLER)),
        )
    }

    /// What is there, as JSON.
    #[must_use]
    pub fn document(&self) -> Value {
        let (seller, buyer) = self.lines();
        json!({
            "listen": self.listen, "buyer_alias": self.pair.buyer_alias.as_str(), "seller_alias": self.pair.seller_alias.as_str(),
            "buyer": BUYER, "seller": SELLER, "mail": self.mail, "data_dir": self.config.data_dir, "swaks": [seller, buyer],
        })
    }

    /// What is there, and what to do, for people.
    #[must_use]
    pub fn introduction(&self) -> String {
        let (seller, buyer) = self.lines();
        let note = self.note.as_ref().map_or(String::new(), |note| format!("{note}\n"));
        format!(
            "{note}A relay for the made-up marketplace \"Demo Market\" listens on {}.\n\n  \
             seller  Sato Shop  {SELLER}\n  buyer   Hana       {BUYER}\n\n\
             Neither knows the other's address. They write to these:\n\n  \
             to the buyer   {}\n  to the seller  {}\n\n\
             Paste into another terminal. The seller writes to the buyer:\n\n    {seller}\n\n\
             and the buyer answers:\n\n    {buyer}\n\n\
             What arrives is shown here, and kept as Maildirs in {}.\nCtrl-C ends the demo.\n",
            self.listen,
            self.pair.buyer_alias.as_str(),
            self.pair.seller_alias.as_str(),
            self.mail.display(),
        )
    }

    /// Runs until interrupted; `started` is called when the relay listens, so that nobody writes to
    /// it before; `tell` shows a line.
    ///
    /// # Errors
    /// Why the relay did not start.
    pub async fn run(
        self,
        started: impl FnOnce() -> Result<(), ()>,
        mut tell: impl FnMut(&str) -> Result<(), ()>,
    ) -> Result<(), String> {
        let mail = self.mail.clone();
        // The watcher ends with the relay: whichever comes first.
        let watch = async {
            let mut seen = std::collections::HashSet::new();
            loop {
                for (address, path) in arrived(&mail) {
                    if seen.insert(path.clone()) && tell(&shown(&address, &path)).is_err() {
                        return;
                    }
                }
                tokio::time::sleep(LOOK).await;
            }
        };
        // Where nobody reads what is shown, the watcher ends with its first line.
        let started = |_: &serve::Started, _: &Store| {
            let _ = started();
        };
        serve::run(self.config, started, watch).await.map_err(|error| error.to_string())
    }
}

/// Every message in the Maildirs, with the address it came to.
fn arrived(mail: &Path) -> Vec<(String, PathBuf)> {
    let list = |path: &Path| std::fs::read_dir(path).into_iter().flatten().flatten().collect::<Vec<_>>();
    let boxes = list(mail).into_iter().map(|entry| (entry.file_name().to_string_lossy().into_owned(), entry.path()));
    let mut found: Vec<(String, PathBuf)> = boxes
        .flat_map(|(address, path)| list(&path.join("new")).into_iter().map(move |e| (address.clone(), e.path())))
        .collect();
    found.sort_by(|one, other| one.1.file_name().cmp(&other.1.file_name()));
    found
}

/// A message as its reader sees it.
fn shown(address: &str, path: &Path) -> String {
    let raw = std::fs::read_to_string(path).unwrap_or_default();
    let (header, body) = raw.split_once("\n\n").unwrap_or((&raw, ""));
    let header = header.replace("\n ", " ");
    let wanted = ["From:", "To:", "Subject:"];
    let fields = header.lines().filter(|line| wanted.iter().any(|name| line.starts_with(name)));
    let lines = fields.chain(std::iter::once("")).chain(body.lines().take(10));
    let text: Vec<String> = lines.map(|line| format!("  | {line}")).collect();
    format!("Arrived at {address}:\n{}\n", text.join("\n"))
}
