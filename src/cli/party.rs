//! `marketrelay seller …` and `marketrelay buyer …`.

use super::output::{table, yes};
use super::{Context, Failure, Outcome};
use crate::store::{NewParty, Open, OwnDomain, Party, Switch};
use crate::types::{Address, ExternalId, Providers, Role, Time};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum OnOff {
    On,
    Off,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum AllowRefuse {
    Allow,
    Refuse,
}

/// Which party.
#[derive(Debug, Args)]
pub(super) struct Id {
    /// The platform's id
    pub(super) id: ExternalId,
}

/// How many.
#[derive(Debug, Args)]
pub(super) struct Limit {
    /// At most so many
    #[arg(long, default_value_t = 1000)]
    limit: usize,
}

#[derive(Debug, Args)]
pub(super) struct RefusalNotices {
    /// Whether the party is told, by mail, of refused messages in its name; it can turn that off
    /// itself by the address in such a notice
    #[arg(long, value_name = "on|off")]
    refusal_notices: Option<OnOff>,
}
const ERASE: &str = "Messages, subjects, ids, words of the index, name, addresses and password go; in the other parties' messages the \
                     name, addresses and quoted lines are replaced. What stays is told with the reason. Asked again after \
                     something stopped it, it goes on. `history verify` tells what was erased, when and by whom.";

#[derive(Debug, Subcommand)]
pub(super) enum Seller {
    /// Create or change a seller; what is left out stays as it is
    #[command(
        after_help = "Example:\n  marketrelay seller set S-1 --name \"Sato Shop\" --email service@sato.example --sender sato@sato.example"
    )]
    Set {
        #[command(flatten)]
        id: Id,
        /// Company name: buyers see it
        #[arg(long)]
        name: Option<String>,
        /// Customer-service address: buyers' mail goes there, and the seller may write from it
        #[arg(long, value_name = "ADDR")]
        email: Option<String>,
        /// Another address the seller may write from, in From or in the envelope (a mailing
        /// service's bounces@ in the same domain), or @DOMAIN for each address of a domain that is
        /// the seller's alone (not those below it); may stand several times, and replaces those
        /// before; '' for none
        #[arg(long = "sender", value_name = "ADDR|@DOMAIN")]
        senders: Vec<String>,
        /// Whether the seller gets automatic replies about blocked messages
        #[arg(long, value_name = "on|off")]
        auto_replies: Option<OnOff>,
        /// Whether mail that nothing authenticates is taken from this seller
        #[arg(long, value_name = "allow|refuse")]
        unauthenticated: Option<AllowRefuse>,
        /// Language of notices, BCP 47
        #[arg(long, value_name = "TAG")]
        language: Option<String>,
        #[command(flatten)]
        refusals: RefusalNotices,
    },
    /// Show a seller
    Show(Id),
    /// List sellers
    List(Limit),
    /// How quick the seller answered buyers in the last 7, 30 and 90 days
    Statistics(Id),
    /// Refuse the seller's mail from now on
    Suspend(Id),
    /// Take the seller's mail again
    Resume(Id),
    /// The password of a seller who logs in to send
    #[command(subcommand)]
    Password(super::password::Command),
    /// Remove a seller for ever: its aliases answer 550; what is kept of it stays, which `erase`
    /// takes
    Remove(Id),
    /// Erase a seller for ever: what it wrote and is known by goes, its aliases answer 550
    #[command(after_help = ERASE)]
    Erase {
        #[command(flatten)]
        id: Id,
        #[command(flatten)]
        how: super::erase::How,
    },
    /// Write what is kept of a seller, for the seller: one JSON document
    Export {
        #[command(flatten)]
        id: Id,
        #[command(flatten)]
        to: super::disclose::To,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum Buyer {
    /// Create or change a buyer; what is left out stays as it is
    #[command(after_help = "Example:\n  marketrelay buyer set B-7 --email hana@mail.example --name Hana --language ja")]
    Set {
        #[command(flatten)]
        id: Id,
        /// Where sellers' mail goes; the buyer may write from it
        #[arg(long, value_name = "ADDR")]
        email: Option<String>,
        /// Another address the buyer may write from; may stand several times, and replaces those before; '' for none
        #[arg(long = "address", value_name = "ADDR")]
        addresses: Vec<String>,
        /// The name that sellers see; none if left out
        #[arg(long)]
        name: Option<String>,
        /// Language of notices, BCP 47
        #[arg(long, value_name = "TAG")]
        language: Option<String>,
        #[command(flatten)]
        refusals: RefusalNotices,
    },
    /// Show a buyer
    Show(Id),
    /// List buyers
    List(Limit),
    /// No unsolicited messages from sellers from now on
    OptOut(Id),
    /// Unsolicited messages again
    OptIn(Id),
    /// Remove a buyer for ever: its aliases answer 550; what is kept of it stays, which `erase`
    /// takes
    Remove(Id),
    /// Erase a buyer for ever: what it wrote and is known by goes, its aliases answer 550
    #[command(after_help = ERASE)]
    Erase {
        #[command(flatten)]
        id: Id,
        #[command(flatten)]
        how: super::erase::How,
    },
    /// Write what is kept of a buyer, for the buyer: one JSON document
    Export {
        #[command(flatten)]
        id: Id,
        #[command(flatten)]
        to: super::disclose::To,
    },
}

/// An address as the command line gives it.
fn address(text: &str) -> Result<Address, Failure> {
    Address::parse(text).map_err(|error| Failure::Failed(format!("a mail address is wrong: {error}")))
}

/// Nothing was said: they stay. An empty text alone: there are none any more.
fn given(texts: &[String]) -> Option<&[String]> {
    match texts {
        [] => None,
        [one] if one.is_empty() => Some(&[]),
        _ => Some(texts),
    }
}

fn addresses(texts: &[String]) -> Result<Option<Vec<Address>>, Failure> {
    given(texts).map(|texts| texts.iter().map(|text| address(text)).collect()).transpose()
}

/// What a seller writes from: domains that are its own alone, and addresses.
pub(super) type Senders = (Vec<OwnDomain>, Vec<Address>);

/// Reads addresses, and `@domain` among them.
pub(super) fn read_senders(texts: &[String], own: &[String], providers: &Providers) -> Result<Senders, String> {
    let (mut domains, mut addresses) = (Vec::new(), Vec::new());
    for text in texts {
        if text.starts_with('@') {
            domains.push(OwnDomain::read(text, own, providers).map_err(|error| error.to_string())?);
        } else {
            addresses.push(Address::parse(text).map_err(|error| format!("an address is wrong: {error}"))?);
        }
    }
    Ok((domains, addresses))
}

fn senders(context: &Context<'_>, texts: &[String]) -> Result<Option<Senders>, Failure> {
    let Some(texts) = given(texts) else { return Ok(None) };
    let (own, providers) = (context.own_domains(), context.config.authentication.table());
    read_senders(texts, &own, &providers).map(Some).map_err(Failure::Failed)
}

impl Seller {
    pub(super) fn run(self, context: Context<'_>) -> Outcome {
        match self {
            Self::Set { id, name, email, senders: texts, auto_replies, unauthenticated, language, refusals } => {
                let (domains, further) = senders(&context, &texts)?.unzip();
                let new = NewParty {
                    marketplace: context.marketplace()?.id.clone(),
                    role: Role::Seller,
                    external: id.id,
                    name,
                    main: email.as_deref().map(address).transpose()?,
                    further,
                    language,
                    auto_replies: auto_replies.map(|value| matches!(value, OnOff::On)),
                    unauthenticated: unauthenticated.map(|value| matches!(value, AllowRefuse::Allow)),
                };
                set(context, new, domains, &refusals)
            }
            Self::Show(id) => show(context, Role::Seller, &id.id),
            Self::List(limit) => list(context, Role::Seller, limit.limit),
            Self::Statistics(id) => super::statistics::show(context, &id.id),
            Self::Suspend(id) => switch(context, Role::Seller, &id.id, Switch::Suspended, true),
            Self::Password(command) => command.run(context),
            Self::Resume(id) => switch(context, Role::Seller, &id.id, Switch::Suspended, false),
            Self::Remove(id) => remove(context, Role::Seller, &id.id),
            Self::Erase { id, how } => super::erase::party(context, Role::Seller, &id.id, &how),
            Self::Export { id, to } => super::disclose::export(context, Role::Seller, &id.id, &to),
        }
    }
}

impl Buyer {
    pub(super) fn run(self, context: Context<'_>) -> Outcome {
        match self {
            Self::Set { id, email, addresses: further, name, language, refusals } => {
                let new = NewParty {
                    marketplace: context.marketplace()?.id.clone(),
                    role: Role::Buyer,
                    external: id.id,
                    name,
                    main: email.as_deref().map(address).transpose()?,
                    further: addresses(&further)?,
                    language,
                    auto_replies: None,
                    unauthenticated: None,
                };
                set(context, new, None, &refusals)
            }
            Self::Show(id) => show(context, Role::Buyer, &id.id),
            Self::List(limit) => list(context, Role::Buyer, limit.limit),
            Self::OptOut(id) => switch(context, Role::Buyer, &id.id, Switch::OptedOut, true),
            Self::OptIn(id) => switch(context, Role::Buyer, &id.id, Switch::OptedOut, false),
            Self::Remove(id) => remove(context, Role::Buyer, &id.id),
            Self::Erase { id, how } => super::erase::party(context, Role::Buyer, &id.id, &how),
            Self::Export { id, to } => super::disclose::export(context, Role::Buyer, &id.id, &to),
        }
    }
}

fn set(context: Context<'_>, new: NewParty, whole: Option<Vec<OwnDomain>>, refusals: &RefusalNotices) -> Outcome {
    let domains = context.own_domains();
    let store = context.store(Open::Beside)?;
    let quiet = refusals.refusal_notices.map(|notices| matches!(notices, OnOff::Off));
    let (party, made) = store.write_blocking(move |change| {
        let (id, made) = change.set_party(&new, &domains, Time::now())?;
        if let Some(whole) = &whole {
            change.set_domains(id, whole)?;
        }
        if let Some(quiet) = quiet {
            change.set_quiet(id, quiet)?;
        }
        Ok((change.party(id)?, made))
    })?;
    let mut said = format!("{} {} {}.", kind(party.role), party.external, if made { "was created" } else { "is set" });
    if made && party.opted_out {
        said.push_str(" It is opted out from the start: one of its addresses had opted out before its owner was erased. `buyer opt-in` ends that.");
    }
    context.out.done(&document(&party), &said)
}

/// A party that the command line names.
pub(super) fn find(
    store: &crate::store::Store,
    marketplace: &str,
    role: Role,
    id: &ExternalId,
) -> Result<Party, Failure> {
    let found = store.read(|view| view.party_by_external(marketplace, role, id.as_str()))?;
    found.ok_or_else(|| Failure::NotFound(format!("no {role} {id} in marketplace {marketplace}")))
}

fn show(context: Context<'_>, role: Role, id: &ExternalId) -> Outcome {
    let store = context.store(Open::Existing)?;
    let party = find(&store, &context.marketplace()?.id, role, id)?;
    let notices = !store.read(|view| view.told_of_refusals(party.id))?.quiet;
    let mut shown = merged(document(&party), json!({ "refusal_notices": notices }));
    if role == Role::Seller {
        let password = store.read(|view| view.has_password(party.id))?;
        shown = merged(shown, json!({ "password": password }));
    }
    let rows = shown.as_object().into_iter().flatten().map(|(key, value)| {
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Array(items) => items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", "),
            Value::Bool(value) => yes(*value),
            Value::Null => String::new(),
            other => other.to_string(),
        };
        vec![key.replace('_', " "), text]
    });
    let text = table(&["", ""], rows.collect());
    context.out.done(&shown, text.trim_start_matches('\n'))
}

fn list(context: Context<'_>, role: Role, limit: usize) -> Outcome {
    let store = context.store(Open::Existing)?;
    let parties = store.read(|view| view.parties(context.marketplace.as_deref(), role, 0, limit))?;
    let documents: Vec<Value> = parties.iter().map(document).collect();
    let rows = parties.iter().map(|party| {
        let main = party.main.as_ref().map_or("", Address::expose);
        let (shop, state) = (party.marketplace.clone(), state(party).to_owned());
        vec![party.external.clone(), shop, party.name.clone(), main.to_owned(), state]
    });
    let empty = format!("There are no {role}s.");
    context.out.table(&documents, &["id", "marketplace", "name", "email", "state"], rows.collect(), &empty)
}

fn switch(context: Context<'_>, role: Role, id: &ExternalId, switch: Switch, on: bool) -> Outcome {
    let store = context.store(Open::Existing)?;
    let party = find(&store, &context.marketplace()?.id, role, id)?;
    let party = store.write_blocking(move |change| {
        change.set_switch(party.id, switch, on)?;
        change.party(party.id)
    })?;
    let said = format!("{} {id} is {}.", kind(role), state(&party));
    context.out.done(&document(&party), &said)
}

fn remove(context: Context<'_>, role: Role, id: &ExternalId) -> Outcome {
    let store = context.store(Open::Existing)?;
    let party = find(&store, &context.marketplace()?.id, role, id)?;
    let party = store.write_blocking(move |change| {
        change.remove_party(party.id)?;
        change.party(party.id)
    })?;
    let said = format!(
        "{} {id} is removed; its aliases answer 550 from now on. This is not erasure: messages, name and addresses are kept. `marketrelay {role} erase {id}` takes them.",
        kind(role)
    );
    let erase = format!("marketrelay {role} erase {id}");
    context.out.done(&merged(document(&party), json!({ "erased": false, "to_erase": erase })), &said)
}

pub(super) fn kind(role: Role) -> &'static str {
    match role {
        Role::Buyer => "Buyer",
        Role::Seller => "Seller",
    }
}

fn state(party: &Party) -> &'static str {
    match (party.removed, party.suspended, party.opted_out) {
        (true, ..) => "removed",
        (_, true, _) => "suspended",
        (_, _, true) => "opted out",
        _ => "active",
    }
}

pub(super) fn document(party: &Party) -> Value {
    let addresses: Vec<&str> = party.addresses.iter().map(Address::expose).collect();
    let main = party.main.as_ref().map(Address::expose);
    let common = json!({
        "marketplace": party.marketplace, "id": party.external, "name": party.name, "email": main,
        "addresses": addresses, "language": party.language, "removed": party.removed,
    });
    let own = match party.role {
        Role::Buyer => json!({ "opted_out": party.opted_out }),
        Role::Seller => json!({
            "domains": party.domains, "suspended": party.suspended, "auto_replies": party.auto_replies,
            "unauthenticated": if party.unauthenticated { "allow" } else { "refuse" },
        }),
    };
    merged(common, own)
}

/// Both objects' fields.
fn merged(mut one: Value, other: Value) -> Value {
    if let (Some(one), Value::Object(other)) = (one.as_object_mut(), other) {
        one.extend(other);
    }
    one
}
