//! Which messages of the history are meant: the options that `message list` and `message export` share.

use super::party::find;
use super::{Context, Failure};
use crate::message::search::query;
use crate::store::{Filter, Store};
use crate::types::{Address, Alias, ExternalId, PairId, PartyId, Role, Time};
use clap::Args;
use jiff::ToSpan as _;
use jiff::civil::Date;
use jiff::tz::TimeZone;

/// A day of the marketplace, or a moment.
#[derive(Clone, Copy, Debug)]
enum When {
    Day(Date),
    Moment(Time),
}

fn when(text: &str) -> Result<When, String> {
    let moment = || Time::from_rfc3339(text).map(When::Moment);
    let day = || text.parse::<Date>().ok().filter(|_| text.len() == 10).map(When::Day);
    day().or_else(moment).ok_or_else(|| "write a day, 2026-11-21, or a moment, 2026-11-21T09:00:00+09:00".to_owned())
}

/// The parties that are meant.
#[derive(Debug, Args)]
pub(super) struct Parties {
    /// Of this seller's pairs
    #[arg(long)]
    seller: Option<ExternalId>,
    /// Of this buyer's pairs
    #[arg(long)]
    buyer: Option<ExternalId>,
}

impl Parties {
    /// The buyer and the seller.
    pub(super) fn found(&self, context: &Context<'_>, store: &Store) -> Result<[Option<PartyId>; 2], Failure> {
        let party = |id: &Option<ExternalId>, role| match id {
            Some(id) => Ok(Some(find(store, &context.marketplace()?.id, role, id)?.id)),
            None => Ok::<_, Failure>(None),
        };
        Ok([party(&self.buyer, Role::Buyer)?, party(&self.seller, Role::Seller)?])
    }
}

#[derive(Debug, Args)]
pub(super) struct Which {
    #[command(flatten)]
    parties: Parties,
    /// Between the buyer and the seller of this order
    #[arg(long)]
    order: Option<ExternalId>,
    /// Between the two parties of this alias
    #[arg(long, value_name = "ADDR")]
    alias: Option<String>,
    /// Received on this day or after: 2026-11-21 in the marketplace's time zone, or RFC 3339
    #[arg(long, value_name = "WHEN", value_parser = when)]
    since: Option<When>,
    /// Received on this day or before; before this moment
    #[arg(long, value_name = "WHEN", value_parser = when)]
    until: Option<When>,
    /// That say all of these words, in subject, text or names of files; `order*` is any word that begins so
    #[arg(long, value_name = "WORDS")]
    text: Option<String>,
    /// With this verdict: relay, block, reject, defer
    #[arg(long, value_parser = ["relay", "block", "reject", "defer"])]
    verdict: Option<String>,
    /// Only buyers' messages that the seller has not answered
    #[arg(long)]
    pub(super) needs_response: bool,
}

impl Which {
    /// The same as a question to the store.
    pub(super) fn filter(&self, context: &Context<'_>, store: &Store) -> Result<Filter, Failure> {
        let nothing = || Failure::Failed("--text has no word to look for".to_owned());
        let by_order = self.order.as_ref().map(|order| pair_of_order(context, store, order)).transpose()?;
        let by_alias = self.alias.as_ref().map(|alias| pair_of_alias(context, store, alias)).transpose()?;
        if let (Some(order), Some(alias)) = (by_order, by_alias)
            && order != alias
        {
            return Err(Failure::NotFound("the order and the alias are of different parties".to_owned()));
        }
        let [buyer, seller] = self.parties.found(context, store)?;
        Ok(Filter {
            buyer,
            seller,
            pair: by_order.or(by_alias),
            marketplace: context.marketplace.clone(),
            since: self.since.map(|when| moment(context, when, false)),
            until: self.until.map(|when| moment(context, when, true)),
            text: self.text.as_ref().map(|text| query(text).ok_or_else(nothing)).transpose()?,
            verdict: self.verdict.clone(),
            needs_response: self.needs_response,
            ..Filter::default()
        })
    }
}

/// The first moment of a day, or of the next: the day is in it. Where there are several marketplaces and none is named, days are those of UTC.
fn moment(context: &Context<'_>, when: When, next: bool) -> Time {
    let day = match when {
        When::Moment(time) => return time,
        When::Day(day) => day,
    };
    let zone = context.marketplace().ok().and_then(|shop| TimeZone::get(&shop.time_zone).ok()).unwrap_or(TimeZone::UTC);
    let day = if next { day.checked_add(1.day()).unwrap_or(day) } else { day };
    day.to_zoned(zone).map_or(Time(i64::MAX), |start| Time(start.timestamp().as_millisecond()))
}

fn pair_of_order(context: &Context<'_>, store: &Store, order: &ExternalId) -> Result<PairId, Failure> {
    let shop = context.marketplace()?.id.clone();
    let missing = || Failure::NotFound(format!("no order {order} in marketplace {shop}"));
    let found = store.read(|view| {
        let Some(order) = view.order(&shop, order.as_str())? else { return Ok(None) };
        let buyer = view.party_by_external(&shop, Role::Buyer, &order.buyer)?;
        let seller = view.party_by_external(&shop, Role::Seller, &order.seller)?;
        let (Some(buyer), Some(seller)) = (buyer, seller) else { return Ok(None) };
        view.pair_of(buyer.id, seller.id)
    })?;
    found.ok_or_else(missing)
}

fn pair_of_alias(context: &Context<'_>, store: &Store, text: &str) -> Result<PairId, Failure> {
    let missing = || Failure::NotFound("no such alias".to_owned());
    let address = Address::parse(text.trim()).map_err(|_| missing())?;
    let alias = Alias::from_text(&address.expose().to_ascii_lowercase());
    let found = store.read(|view| view.resolve(&alias)?.map(|resolved| view.pair(resolved.pair)).transpose())?;
    let pair = found.filter(|pair| context.is_meant(Some(&pair.buyer.marketplace))).ok_or_else(missing)?;
    Ok(pair.id)
}
