//! What an attempt came to, on its way to `settle`.

use super::delivery::Outcome;
use crate::store::queue::Item;
use std::time::Duration;
use tokio::sync::mpsc;

/// What became of an item, for `settle`.
pub(super) struct Report {
    pub(super) item: Item,
    pub(super) outcome: Outcome,
    pub(super) reach: Reach,
}

/// What an attempt taught of its destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// Nothing new.
    Same,
    /// It was down, and is not any more.
    Again,
    /// No server was reached, so many times in a row; it is left alone for so long.
    Down(u32, Duration),
}

/// An item being delivered: however the attempt ends, it is reported.
pub(super) struct Running<'a> {
    pub(super) reports: &'a mpsc::UnboundedSender<Report>,
    pub(super) item: Option<Item>,
}

impl Running<'_> {
    pub(super) fn ends(mut self, outcome: Outcome, reach: Reach) {
        if let Some(item) = self.item.take() {
            let _ = self.reports.send(Report { item, outcome, reach });
        }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if let Some(item) = self.item.take() {
            let outcome = Outcome::Later { why: "internal trouble".to_owned(), reached: true };
            let _ = self.reports.send(Report { item, outcome, reach: Reach::Same });
        }
    }
}
