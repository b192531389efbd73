//! What attackers try, a file an attack: the lines of the threat model in the crate documentation.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

#[allow(dead_code, reason = "shared with the end-to-end tests")]
#[path = "../common/mod.rs"]
mod common;
#[allow(dead_code, reason = "shared with the end-to-end tests")]
#[path = "../e2e/zone.rs"]
mod zone;

mod bent_evidence;
mod costly_inputs;
mod erased_people;
mod full_disks;
mod guessed_authors;
mod guessed_texts;
mod opened_doors;
mod other_mailboxes;
mod repeated_messages;
mod replayed_signatures;
mod warned_operators;
