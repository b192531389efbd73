//! `marketrelay store …`: the store itself.

use super::{Context, Outcome};
use crate::store::Store;
use crate::types::SystemRandom;
use clap::Subcommand;
use serde_json::json;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make the store in data_dir, once for a new installation; one that is there stays as it is
    #[command(
        after_help = "`serve` makes no store: where the disk of data_dir is not mounted, an empty one would refuse all mail.\n\
                      Packages run this when they are installed for the first time, and not at each start."
    )]
    Init,
}

impl Command {
    pub(super) fn run(self, context: Context<'_>) -> Outcome {
        let Self::Init = self;
        let directory = context.config.data_dir.clone();
        let made = Store::init(&directory, &mut SystemRandom)?;
        let said = if made {
            format!("A new store was made in {}.", directory.display())
        } else {
            format!("There is a store in {} already; it stays as it is.", directory.display())
        };
        context.out.done(&json!({ "data_dir": directory, "made": made }), &said)
    }
}
