//! Floor 6: what has to be done now and then. Old messages go in small batches, so that nobody waits for it.

use crate::store::Store;
use crate::types::Time;
use std::time::Duration;

/// How often it looks.
const ROUND: Duration = Duration::from_secs(3600);
/// Messages of one batch, and the rest between two.
const BATCH: usize = 100;
const REST: Duration = Duration::from_millis(200);

/// Lets go of messages older than `keep_days`, until the task is dropped.
pub async fn run(store: Store, keep_days: u32) {
    let keep = Duration::from_secs(u64::from(keep_days) * 86_400);
    loop {
        let before = Time::now().minus(keep);
        loop {
            match store.write(move |change| change.purge(before, BATCH)).await {
                Ok(gone) => {
                    if gone > 0 {
                        tracing::info!(messages = gone, "purged");
                    }
                    if gone < BATCH {
                        break;
                    }
                }
                Err(error) => {
                    tracing::error!(%error, "cannot purge old messages");
                    break;
                }
            }
            tokio::time::sleep(REST).await;
        }
        tokio::time::sleep(ROUND).await;
    }
}
