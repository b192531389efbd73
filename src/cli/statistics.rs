//! `marketrelay seller statistics`: how quick a seller answers.

use super::output::table;
use super::party::find;
use super::{Context, Outcome};
use crate::store::{Open, Statistics};
use crate::types::{ExternalId, Role, Time};
use serde_json::json;
use std::time::Duration;

/// Days that are looked back.
const WINDOWS: [u64; 3] = [7, 30, 90];

pub(super) fn show(context: Context<'_>, seller: &ExternalId) -> Outcome {
    let shop = context.marketplace()?.id.clone();
    let store = context.store(Open::Existing)?;
    let party = find(&store, &shop, Role::Seller, seller)?;
    let hours = context.config.policy.response.deadline_hours;
    let (now, deadline) = (Time::now(), Duration::from_secs(u64::from(hours) * 3600));
    let windows = store.read(|view| {
        let look = |days: u64| {
            let since = now.minus(Duration::from_secs(days * 86_400));
            Ok((days, view.response_statistics(party.id, since, now, deadline)?))
        };
        WINDOWS.into_iter().map(look).collect::<Result<Vec<_>, crate::store::StoreError>>()
    })?;
    let documents: Vec<_> = windows
        .iter()
        .map(|(days, found)| {
            let mut document = json!(found);
            if let Some(object) = document.as_object_mut() {
                object.insert("days".into(), (*days).into());
                object.insert("percent_in_time".into(), json!(percent(found)));
            }
            document
        })
        .collect();
    let document =
        json!({ "marketplace": shop, "seller": seller.as_str(), "deadline_hours": hours, "windows": documents });
    let rows = windows.iter().map(|(days, found)| {
        let counts = [found.in_time, found.late, found.unanswered, found.waiting, found.not_needed, found.reported];
        let mut row = vec![format!("{days} days")];
        row.extend(counts.iter().map(u64::to_string));
        row.push(percent(found).map_or_else(|| "-".to_owned(), |percent| format!("{percent:.1} %")));
        row.push(found.median_seconds.map_or_else(|| "-".to_owned(), |s| period(Duration::from_secs(s))));
        row
    });
    let head =
        ["last", "in time", "late", "unanswered", "waiting", "not needed", "reported", "share in time", "median"];
    let text = table(&head, rows.collect());
    context.out.done(&document, &format!("Seller {seller}; an answer is due within {hours} hours.\n{text}"))
}

/// Of what had to be answered by now, how much was in time.
#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn percent(found: &Statistics) -> Option<f64> {
    let due = found.in_time + found.late + found.unanswered;
    (due > 0).then(|| found.in_time as f64 * 100.0 / due as f64)
}

/// `3 h 05 min`.
pub(super) fn period(time: Duration) -> String {
    let minutes = time.as_secs() / 60;
    format!("{} h {:02} min", minutes / 60, minutes % 60)
}
