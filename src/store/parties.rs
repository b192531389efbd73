//! Marketplaces and parties: who buys and sells, and their real addresses.

use super::{Change, Result, StoreError, View};
use crate::types::{Address, AddressKey, ExternalId, PartyId, Role, Time, is_language_tag, is_steering};
use rusqlite::{OptionalExtension as _, Row, params};

/// A buyer or a seller.
#[derive(Clone, Debug)]
pub struct Party {
    /// Row id.
    pub id: PartyId,
    /// Marketplace, by the id in the configuration.
    pub marketplace: String,
    /// Side.
    pub role: Role,
    /// The platform's id.
    pub external: String,
    /// Company name of a seller, registered name of a buyer; may be empty.
    pub name: String,
    /// BCP 47, or empty: the marketplace's.
    pub language: String,
    /// Where mail to it goes; a removed party has none.
    pub main: Option<Address>,
    /// Addresses it may write from, the main one included.
    pub addresses: Vec<Address>,
    /// Seller: domains that are its own alone, lower-case A-labels; it may write from each address
    /// in them.
    pub domains: Vec<String>,
    /// Every address it has, or ever had: what must not be seen.
    pub known: Vec<AddressKey>,
    /// Buyer: wants no unsolicited messages.
    pub opted_out: bool,
    /// Seller: may not write now.
    pub suspended: bool,
    /// Gone for ever.
    pub removed: bool,
    /// Seller: gets automatic replies.
    pub auto_replies: bool,
    /// Seller: may write without authentication.
    pub unauthenticated: bool,
}

/// What `seller set` and `buyer set` say. `None` leaves what is.
#[derive(Clone, Debug)]
pub struct NewParty {
    /// Marketplace, by the id in the configuration.
    pub marketplace: String,
    /// Side.
    pub role: Role,
    /// The platform's id.
    pub external: ExternalId,
    /// Company name, or registered name.
    pub name: Option<String>,
    /// Where mail to it goes.
    pub main: Option<Address>,
    /// Further addresses it may write from; replaces those before.
    pub further: Option<Vec<Address>>,
    /// BCP 47.
    pub language: Option<String>,
    /// Seller: gets automatic replies.
    pub auto_replies: Option<bool>,
    /// Seller: may write without authentication.
    pub unauthenticated: Option<bool>,
}

/// Flawed parties that are named; the others are counted.
const FLAWED_TOLD: usize = 10;
const MAIN: i64 = 0;
const FURTHER: i64 = 1;
pub(super) const FORMER: i64 = 2;
/// Not an address: `@` and a domain.
pub(super) const DOMAIN: i64 = 3;

pub(super) fn role_number(role: Role) -> i64 {
    match role {
        Role::Buyer => 0,
        Role::Seller => 1,
    }
}

pub(super) fn role_of(number: i64) -> Role {
    if number == 0 { Role::Buyer } else { Role::Seller }
}

const PARTY: &str = "SELECT m.name, p.id, p.role, p.external, p.name, p.language, p.opted_out, p.suspended, p.removed, \
                     p.auto_replies, p.unauthenticated FROM party p JOIN marketplace m ON m.id = p.marketplace";

fn party_of(row: &Row<'_>) -> rusqlite::Result<Party> {
    party_at(row, 1)
}

/// The party whose columns begin at `first`; the marketplace's name is the row's first.
pub(super) fn party_at(row: &Row<'_>, first: usize) -> rusqlite::Result<Party> {
    Ok(Party {
        marketplace: row.get(0)?,
        id: PartyId(row.get(first)?),
        role: role_of(row.get(first + 1)?),
        external: row.get(first + 2)?,
        name: row.get(first + 3)?,
        language: row.get(first + 4)?,
        main: None,
        addresses: Vec::new(),
        domains: Vec::new(),
        known: Vec::new(),
        opted_out: row.get(first + 5)?,
        suspended: row.get(first + 6)?,
        removed: row.get(first + 7)?,
        auto_replies: row.get(first + 8)?,
        unauthenticated: row.get(first + 9)?,
    })
}

/// What is wrong with parties that were registered before it was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// An address in an alias domain, or at the relay's host name.
    Domain,
    /// A name with a line break or another control character.
    Name,
}

/// The parties that have a flaw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flawed {
    /// Which.
    pub flaw: Flaw,
    /// How many parties.
    pub count: u64,
    /// The first of them: marketplace, side and the platform's id.
    pub first: Vec<(String, Role, String)>,
}

fn lies_in(address: &Address, domains: &[String]) -> bool {
    domains.iter().any(|domain| address.domain() == domain)
}

impl View<'_> {
    /// The parties that [`Change::set_party`] would refuse today. Looks at each party that is not
    /// removed: it takes half a second for a million.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn flawed(&self, own_domains: &[String]) -> Result<Vec<Flawed>> {
        // The addresses of removed parties are all former ones. Rows come in the order of parties.
        let addresses = "SELECT party, address FROM party_address WHERE kind < 2";
        let own =
            |text: &str| text.rsplit_once('@').is_some_and(|(_, domain)| own_domains.iter().any(|own| own == domain));
        let names = "SELECT id, name FROM party WHERE removed = 0 AND name <> ''";
        let found = [
            self.flaw(Flaw::Domain, addresses, own)?,
            self.flaw(Flaw::Name, names, |name| name.contains(is_steering))?,
        ];
        Ok(found.into_iter().flatten().collect())
    }

    /// `sql` gives parties, each with a text that is `wrong` or not.
    fn flaw(&self, flaw: Flaw, sql: &str, wrong: impl Fn(&str) -> bool) -> Result<Option<Flawed>> {
        let (mut count, mut first, mut last) = (0, Vec::new(), None);
        let mut statement = self.0.prepare_cached(sql)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let party = Some(PartyId(row.get(0)?));
            if party == last || !row.get_ref(1)?.as_str().is_ok_and(&wrong) {
                continue;
            }
            last = party;
            count += 1;
            if first.len() < FLAWED_TOLD {
                first.extend(party);
            }
        }
        let named = first.into_iter().map(|id| {
            let party = self.party(id)?;
            Ok((party.marketplace, party.role, party.external))
        });
        let first = named.collect::<Result<_>>()?;
        Ok((count > 0).then_some(Flawed { flaw, count, first }))
    }

    /// A party by row id, with its addresses.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] and the database's trouble.
    pub fn party(&self, id: PartyId) -> Result<Party> {
        let mut statement = self.0.prepare_cached(&format!("{PARTY} WHERE p.id = ?1"))?;
        let party = statement.query_row([id.0], party_of).optional()?;
        self.with_addresses(party.ok_or(StoreError::NotFound("party"))?)
    }

    /// A party by the platform's id.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn party_by_external(&self, marketplace: &str, role: Role, external: &str) -> Result<Option<Party>> {
        let sql = format!("{PARTY} WHERE m.name = ?1 AND p.role = ?2 AND p.external = ?3");
        let mut statement = self.0.prepare_cached(&sql)?;
        let party = statement.query_row(params![marketplace, role_number(role), external], party_of).optional()?;
        party.map(|party| self.with_addresses(party)).transpose()
    }

    /// The row id alone of a party that was not removed.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn party_id(&self, marketplace: &str, role: Role, external: &str) -> Result<Option<PartyId>> {
        let sql = "SELECT p.id FROM party p JOIN marketplace m ON m.id = p.marketplace \
                   WHERE m.name = ?1 AND p.role = ?2 AND p.external = ?3 AND p.removed = 0";
        let values = params![marketplace, role_number(role), external];
        Ok(self.0.prepare_cached(sql)?.query_row(values, |row| row.get(0)).optional()?.map(PartyId))
    }

    /// Parties of one side in the order of their ids, from after `after`.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn parties(&self, marketplace: Option<&str>, role: Role, after: i64, limit: usize) -> Result<Vec<Party>> {
        let sql =
            format!("{PARTY} WHERE p.role = ?1 AND p.id > ?2 AND (?3 IS NULL OR m.name = ?3) ORDER BY p.id LIMIT ?4");
        let mut statement = self.0.prepare_cached(&sql)?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = statement.query_map(params![role_number(role), after, marketplace, limit], party_of)?;
        rows.map(|party| self.with_addresses(party?)).collect()
    }

    pub(super) fn with_addresses(&self, mut party: Party) -> Result<Party> {
        let mut statement = self.0.prepare_cached("SELECT kind, address FROM party_address WHERE party = ?1")?;
        let rows = statement.query_map([party.id.0], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let mut addresses: Vec<(i64, String)> = rows.collect::<rusqlite::Result<_>>()?;
        // A handful: a sorter of the database's would cost more than the lookup.
        addresses.sort();
        for (kind, text) in addresses {
            if kind == DOMAIN {
                party.domains.extend(text.strip_prefix('@').map(str::to_owned));
                continue;
            }
            let Ok(address) = Address::parse(&text) else {
                return Err(StoreError::Corrupt("an address in the store is not one".to_owned()));
            };
            let key = address.key();
            if !party.known.contains(&key) {
                party.known.push(key);
            }
            match kind {
                MAIN => {
                    party.main = Some(address.clone());
                    party.addresses.push(address);
                }
                FURTHER => party.addresses.push(address),
                _ => {}
            }
        }
        Ok(party)
    }
}

impl Change<'_> {
    /// The row id of a marketplace, made if need be.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn marketplace(&self, name: &str) -> Result<i64> {
        let mut find = self.0.0.prepare_cached("SELECT id FROM marketplace WHERE name = ?1")?;
        if let Some(id) = find.query_row([name], |row| row.get(0)).optional()? {
            return Ok(id);
        }
        self.0.0.prepare_cached("INSERT INTO marketplace (name) VALUES (?1)")?.execute([name])?;
        Ok(self.0.0.last_insert_rowid())
    }

    /// Creates or changes a party. Twice the same changes nothing more. Says whether it was made. A
    /// buyer who comes back after an erasure is opted out from the start if one of his addresses
    /// was.
    ///
    /// # Errors
    /// [`StoreError::Refused`] for an address in one of `own_domains` (the alias domains and our
    /// host name, as lower-case A-labels), a name with control characters, a new party without an
    /// address, a removed party, an address that is the mailbox of the other side of a pair.
    pub fn set_party(&self, new: &NewParty, own_domains: &[String], now: Time) -> Result<(PartyId, bool)> {
        let refuse = |text: &str| Err(StoreError::Refused(text.to_owned()));
        // Mail to it would come back to us, and an alias as a party's address tells one party the
        // other's. Whoever has a mailbox on the relay's own host has to give another: the relay
        // takes no mail for it.
        if new.main.iter().chain(new.further.iter().flatten()).any(|address| lies_in(address, own_domains)) {
            return refuse(
                "the address lies in an alias domain or at the relay's own host name; give the party's own address",
            );
        }
        // A name becomes a header field and a line of a footer. Those that a shop's export ends
        // with a line break are told which line it is.
        if new.name.as_deref().is_some_and(|name| name.contains(is_steering)) {
            return refuse("the name holds a line break or another control character; write it on one line");
        }
        if new.language.as_deref().is_some_and(|tag| !tag.is_empty() && !is_language_tag(tag)) {
            return refuse(
                "the language is not a tag of BCP 47; write ja or zh-Hans, for example, or nothing for the marketplace's",
            );
        }
        let found = self.party_by_external(&new.marketplace, new.role, new.external.as_str())?;
        if found.as_ref().is_some_and(|party| party.removed) {
            return refuse("this party was removed; its id cannot be used again");
        }
        if found.is_none() && new.main.is_none() {
            return refuse("a new party needs --email");
        }
        if let Some(party) = &found {
            let named = new.main.iter().chain(new.further.iter().flatten());
            let fresh: Vec<&Address> = named.filter(|address| !party.addresses.contains(address)).collect();
            self.refuse_one_mailbox(party, &fresh)?;
        }
        let (id, made) = match &found {
            Some(party) => (party.id, false),
            None => {
                let marketplace = self.marketplace(&new.marketplace)?;
                let sql = "INSERT INTO party (marketplace, role, external, created) VALUES (?1, ?2, ?3, ?4)";
                let values = params![marketplace, role_number(new.role), new.external.as_str(), now.0];
                self.0.0.prepare_cached(sql)?.execute(values)?;
                (PartyId(self.0.0.last_insert_rowid()), true)
            }
        };
        let sql = "UPDATE party SET name = coalesce(?2, name), language = coalesce(?3, language), \
                   auto_replies = coalesce(?4, auto_replies), unauthenticated = coalesce(?5, unauthenticated) WHERE id = ?1";
        let values = params![id.0, new.name, new.language, new.auto_replies, new.unauthenticated];
        self.0.0.prepare_cached(sql)?.execute(values)?;
        if let Some(main) = &new.main {
            self.set_addresses(id, MAIN, std::slice::from_ref(main))?;
        }
        if let Some(further) = &new.further {
            self.set_addresses(id, FURTHER, further)?;
        }
        if made && new.role == Role::Buyer {
            let keys =
                new.main.iter().chain(new.further.iter().flatten()).map(|address| address.key().expose().to_owned());
            if self.opted_out_before(&new.marketplace, keys)? {
                self.set_switch(id, Switch::OptedOut, true)?;
            }
        }
        Ok((id, made))
    }

    /// Makes `addresses` those of this kind; the ones before become former, and are kept for the rewriter.
    fn set_addresses(&self, party: PartyId, kind: i64, addresses: &[Address]) -> Result<()> {
        self.0
            .0
            .prepare_cached("UPDATE party_address SET kind = ?3 WHERE party = ?1 AND kind = ?2")?
            .execute(params![party.0, kind, FORMER])?;
        // The main address stays the main one, even if it is named again among the further.
        let sql = "INSERT INTO party_address (party, key, address, kind) VALUES (?1, ?2, ?3, ?4) \
                   ON CONFLICT (party, key) DO UPDATE SET address = excluded.address, kind = min(kind, excluded.kind)";
        let mut statement = self.0.0.prepare_cached(sql)?;
        for address in addresses {
            // Narrow: an address and a tag of it are two who may write. Rows of before have the
            // wide key; they become former.
            statement.execute(params![party.0, address.author_key(), address.expose(), kind])?;
        }
        Ok(())
    }

    /// Sets one switch of a party. Says whether that changed anything.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn set_switch(&self, party: PartyId, switch: Switch, on: bool) -> Result<bool> {
        let sql = match switch {
            Switch::OptedOut => "UPDATE party SET opted_out = ?2 WHERE id = ?1 AND opted_out <> ?2",
            Switch::Suspended => "UPDATE party SET suspended = ?2 WHERE id = ?1 AND suspended <> ?2",
        };
        Ok(self.0.0.prepare_cached(sql)?.execute(params![party.0, on])? > 0)
    }

    /// Removes a party: its aliases answer 550 for ever, its history stays, its addresses are kept only for the rewriter.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn remove_party(&self, party: PartyId) -> Result<bool> {
        // A domain is no person's: nothing hides it, and nobody writes by it any more.
        let sql = "DELETE FROM party_address WHERE party = ?1 AND kind = ?2";
        self.0.0.prepare_cached(sql)?.execute(params![party.0, DOMAIN])?;
        let sql = "UPDATE party_address SET kind = ?2 WHERE party = ?1";
        self.0.0.prepare_cached(sql)?.execute(params![party.0, FORMER])?;
        self.0.0.prepare_cached("DELETE FROM password WHERE party = ?1")?.execute([party.0])?;
        let sql = "UPDATE party SET removed = 1 WHERE id = ?1 AND removed = 0";
        Ok(self.0.0.prepare_cached(sql)?.execute([party.0])? > 0)
    }
}

/// A party's switches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Switch {
    /// Buyer: wants no unsolicited messages.
    OptedOut,
    /// Seller: may not write now.
    Suspended,
}
