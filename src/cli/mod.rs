//! Floor 7: the command line. One file a noun; this one holds the words, the options that all commands share, and exit statuses.
//!
//! Exit status: 0 done, 1 failed, 2 usage, 3 bad configuration, 4 not found. With `--json`, standard output is exactly one JSON
//! document, `{"error": …}` included; sentences for people go to standard error.

mod alias;
mod check;
mod demo;
mod disclose;
mod dkim;
mod erase;
mod export;
mod history;
mod import;
pub mod log;
mod manual;
mod message;
mod order;
mod output;
mod party;
mod password;
mod policy;
mod queue;
mod quota;
mod refusals;
mod reports;
mod statistics;
mod store;
#[cfg(test)]
mod tests;
mod walk;
mod which;

use crate::config::{self, Config, Marketplace, Problem};
use crate::metrics::Metrics;
use crate::serve::own_domains;
use crate::store::{FILE, Open, OpenError, Store, StoreError};
use crate::types::SystemRandom;
use clap::{CommandFactory as _, Parser, Subcommand};
use output::Output;
use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;

/// A mail relay for marketplaces: buyers and sellers write to each other through anonymous addresses.
#[derive(Debug, Parser)]
#[command(
    name = "marketrelay",
    version,
    max_term_width = 100,
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "Begin with `marketrelay demo`: it needs no configuration.\n\n\
                  Exit status: 0 done, 1 failed, 2 usage, 3 bad configuration, 4 not found.\n\
                  The commands work beside a running daemon; it sees what they changed at the next message."
)]
pub struct Arguments {
    /// Configuration file
    #[arg(
        long,
        global = true,
        env = "MARKETRELAY_CONFIG",
        default_value = "/etc/marketrelay/marketrelay.toml",
        value_name = "FILE"
    )]
    config: PathBuf,
    /// Print exactly one JSON document to standard output
    #[arg(long, global = true)]
    json: bool,
    /// Which marketplace; may be left out where there is only one, and lists are of all then
    ///
    /// What is done with the whole store or configuration (serve, check, store, backup, history
    /// verify) is the same for each.
    #[arg(long, global = true, value_name = "ID")]
    marketplace: Option<String>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// A whole relay on loopback to try out, with a sample seller, buyer and order
    Demo(demo::Arguments),
    /// Run the daemon
    Serve,
    /// Validate the configuration: every problem at once, each with its remedy
    Check,
    /// Register and manage sellers
    #[command(subcommand)]
    Seller(party::Seller),
    /// Register and manage buyers
    #[command(subcommand)]
    Buyer(party::Buyer),
    /// Register and show orders
    #[command(subcommand)]
    Order(order::Command),
    /// The aliases of a buyer and a seller
    #[command(subcommand)]
    Alias(alias::Command),
    /// The history: what came in, what was decided, what became of it
    #[command(subcommand)]
    Message(message::Command),
    /// Whether the history is still what it was
    #[command(subcommand)]
    History(history::Command),
    /// What waits to go out
    #[command(subcommand)]
    Queue(queue::Command),
    /// How much a seller may send
    #[command(subcommand)]
    Quota(quota::Command),
    /// What the rules say of a message
    #[command(subcommand)]
    Policy(policy::Command),
    /// Keys that sign outgoing mail
    #[command(subcommand)]
    Dkim(dkim::Command),
    /// The store in data_dir
    #[command(subcommand)]
    Store(store::Command),
    /// Read sellers, buyers and orders from JSON Lines
    Import(import::Arguments),
    /// Copy the store to a file while it is in use
    Backup {
        /// The copy; it must not exist
        file: PathBuf,
    },
    /// Print a completion script: bash, zsh, fish, elvish, powershell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page
    Man,
}

/// Why a command failed.
#[derive(Debug)]
enum Failure {
    /// 1
    Failed(String),
    /// 3: problems, and the warnings beside them.
    Config(Vec<Problem>, Vec<Problem>),
    /// 4
    NotFound(String),
    /// 1, and standard output says all there is to say.
    Told,
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NotFound(what) => Self::NotFound(format!("no such {what}")),
            error => Self::Failed(error.to_string()),
        }
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

type Outcome = Result<(), Failure>;

/// What a command works with.
struct Context<'a> {
    config: Config,
    marketplace: Option<String>,
    out: Output<'a>,
}

impl Context<'_> {
    /// Opens the store.
    fn store(&self, how: Open) -> Result<Store, Failure> {
        Ok(Store::open(&self.config.data_dir, how, &mut SystemRandom, Metrics::default())?)
    }

    /// The marketplaces that are meant: the one that is named, or all.
    fn marketplaces(&self) -> Result<Vec<&Marketplace>, Failure> {
        let shops = &self.config.marketplace;
        let meant: Vec<&Marketplace> = shops.iter().filter(|shop| self.is_meant(Some(&shop.id))).collect();
        match (&self.marketplace, meant.is_empty()) {
            (Some(id), true) => {
                let ids: Vec<&str> = shops.iter().map(|shop| shop.id.as_str()).collect();
                Err(Failure::NotFound(format!(
                    "no marketplace {id} in the configuration; there are: {}",
                    ids.join(", ")
                )))
            }
            _ => Ok(meant),
        }
    }

    /// The one marketplace that is meant.
    fn marketplace(&self) -> Result<&Marketplace, Failure> {
        match self.marketplaces()?[..] {
            [only] => Ok(only),
            _ => Err(Failure::Failed("there are several marketplaces: name one with --marketplace ID".to_owned())),
        }
    }

    /// Whether something of this marketplace is meant. What is of none is so where none is named.
    fn is_meant(&self, marketplace: Option<&str>) -> bool {
        self.marketplace.is_none() || self.marketplace.as_deref() == marketplace
    }

    /// The domains in which no party has its mailbox: the alias domains, and our own host name.
    fn own_domains(&self) -> Vec<String> {
        own_domains(&self.config)
    }
}

/// Runs the command line `arguments` (the program's name first) and returns the exit status.
pub fn run(arguments: impl IntoIterator<Item = OsString>, out: &mut dyn Write, err: &mut dyn Write) -> u8 {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let json_wanted = arguments.iter().any(|word| word == "--json");
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            let text = error.render();
            if error.use_stderr() && json_wanted {
                let document = serde_json::json!({ "error": text.to_string().trim_end(), "problems": [] });
                let _ = writeln!(out, "{document:#}");
            }
            // Help is asked for and goes to standard output; a mistake does not. A closed pipe is nobody's fault.
            let to: &mut dyn Write = if error.use_stderr() { err } else { out };
            let _ = write!(to, "{text}");
            return u8::try_from(error.exit_code()).unwrap_or(2);
        }
    };
    let json = arguments.json;
    match dispatch(arguments, out, err) {
        Ok(()) => 0,
        Err(failure) => {
            let (status, text) = match &failure {
                Failure::Told => return 1,
                Failure::Failed(text) => (1, text.clone()),
                Failure::NotFound(text) => (4, text.clone()),
                Failure::Config(problems, warnings) => {
                    let mut text = format!("the configuration has {} problem(s):{}", problems.len(), listed(problems));
                    if !warnings.is_empty() {
                        text += &format!("\nand {} warning(s):{}", warnings.len(), listed(warnings));
                    }
                    (3, text)
                }
            };
            if json {
                let none = (Vec::new(), Vec::new());
                let (problems, warnings) = match failure {
                    Failure::Config(problems, warnings) => (problems, warnings),
                    _ => none,
                };
                let document = serde_json::json!({ "error": text, "problems": problems, "warnings": warnings });
                let _ = writeln!(out, "{document:#}");
            }
            let _ = writeln!(err, "marketrelay: {text}");
            status
        }
    }
}

/// Each on a line of its own.
fn listed(problems: &[Problem]) -> String {
    problems.iter().map(|problem| format!("\n  {problem}")).collect()
}

fn dispatch(arguments: Arguments, out: &mut dyn Write, err: &mut dyn Write) -> Outcome {
    let out = Output::new(out, arguments.json);
    match arguments.command {
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "marketrelay", &mut script);
            return out.text("script", &script);
        }
        Command::Man => return out.text("page", &manual::page()?),
        Command::Demo(demo) => return demo.run(out),
        _ => {}
    }
    let loaded = config::load(&arguments.config);
    let loaded = loaded.map_err(|problem| Failure::Config(vec![problem], Vec::new()))?;
    let config = &loaded.config;
    let (problems, warnings) = match arguments.command {
        Command::Check | Command::Serve => (check::problems(config), check::warnings(config, &arguments.config)),
        _ => (config.check(check::route), Vec::new()),
    };
    let (problems, warnings) = (loaded.problems(problems), loaded.warnings(warnings));
    if !problems.is_empty() {
        return Err(Failure::Config(problems, warnings));
    }
    let context = Context { config: loaded.config, marketplace: arguments.marketplace, out };
    // Whatever is asked: a command that takes no notice of a wrong id would show too much.
    context.marketplaces()?;
    let directory = context.config.data_dir.clone();
    let (makes, was) = (!matches!(arguments.command, Command::Store(_)), directory.join(FILE).exists());
    let outcome = match arguments.command {
        Command::Check => check::run(context, warnings),
        Command::Serve => serve(context, &warnings),
        Command::Seller(command) => command.run(context),
        Command::Buyer(command) => command.run(context),
        Command::Order(command) => command.run(context),
        Command::Alias(command) => command.run(context),
        Command::Message(command) => command.run(context),
        Command::History(command) => command.run(context),
        Command::Queue(command) => command.run(context),
        Command::Quota(command) => command.run(context),
        Command::Policy(command) => command.run(context),
        Command::Dkim(command) => command.run(context),
        Command::Store(command) => command.run(context),
        Command::Import(command) => command.run(context),
        Command::Backup { file } => backup(context, &file),
        Command::Demo(_) | Command::Completions { .. } | Command::Man => Ok(()),
    };
    if makes && !was && directory.join(FILE).exists() {
        // Never in silence: it may be the wrong place.
        let _ = writeln!(err, "marketrelay: there was no store; a new one was made in {}", directory.display());
    }
    outcome
}

/// The runtime of the daemon: two cores are the smallest machine that is meant.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    Ok(crate::serve::threads().build()?)
}

fn serve(context: Context<'_>, warnings: &[Problem]) -> Outcome {
    log::start(&context.config.log).map_err(Failure::Failed)?;
    raise_file_limit();
    let warn = |_: &crate::serve::Started, _: &Store| {
        for warning in warnings {
            tracing::warn!("{warning}");
        }
    };
    let served = crate::serve::run(context.config, warn, std::future::pending());
    runtime()?.block_on(served).map_err(|error| Failure::Failed(error.to_string()))
}

/// Each connection is a file; the soft limit is lower than what we may have.
fn raise_file_limit() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}

fn backup(context: Context<'_>, file: &std::path::Path) -> Outcome {
    context.store(Open::Existing)?.backup(file)?;
    let said = format!(
        "The store was copied to {}. To restore it, put it into data_dir as marketrelay.sqlite3, with no other file there.",
        file.display()
    );
    context.out.done(&serde_json::json!({ "backup": file }), &said)
}
