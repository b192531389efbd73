//! `marketrelay message reports`: what parties reported, and how often each seller was reported.

use super::output::table;
use super::party::find;
use super::{Context, Outcome};
use crate::store::Store;
use crate::types::{ExternalId, Role};
use clap::Args;
use serde_json::json;

#[derive(Debug, Args)]
pub(super) struct Which {
    /// Only what this seller has to do with, reported or reporting
    #[arg(long)]
    seller: Option<ExternalId>,
    /// At most so many reports, the newest; sellers are counted over all
    #[arg(long, default_value_t = 50)]
    limit: usize,
}

/// Characters of a reason in the table; `--json` has all of it.
const REASON: usize = 60;

pub(super) fn list(context: Context<'_>, store: &Store, which: &Which) -> Outcome {
    let seller = match &which.seller {
        Some(id) => Some(find(store, &context.marketplace()?.id, Role::Seller, id)?.id),
        None => None,
    };
    let shop = context.marketplace.as_deref();
    let found =
        store.read(|view| Ok((view.reports(shop, seller, which.limit)?, view.reports_by_seller(shop, seller)?)));
    let (reports, sellers) = found?;
    let mut text = "Nothing was reported.".to_owned();
    if !reports.is_empty() {
        let rows = reports.iter().map(|report| {
            let mut reason: String = report.reason.replace('\n', " ").chars().take(REASON).collect();
            if reason.len() < report.reason.len() {
                reason.push('…');
            }
            let ids =
                [&report.message, &report.at, &report.marketplace, &report.seller, &report.buyer].map(Clone::clone);
            ids.into_iter().chain([report.reporter.to_owned(), reason]).collect()
        });
        let listed =
            table(&["message", "reported", "marketplace", "seller", "buyer", "by the", "reason"], rows.collect());
        let rows = sellers.iter().map(|seller| {
            vec![
                seller.marketplace.clone(),
                seller.seller.clone(),
                seller.reported.to_string(),
                seller.reports.to_string(),
            ]
        });
        let counted = table(&["marketplace", "seller", "reported by buyers", "reported buyers"], rows.collect());
        text = format!("{listed}\n\n{counted}");
    }
    context.out.done(&json!({ "reports": reports, "sellers": sellers }), &text)
}
