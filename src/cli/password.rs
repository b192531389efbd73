//! `marketrelay seller password …`: what a seller logs in with on a submission listener. The password comes from standard input, so that it stands in no list of
//! processes and no shell's history.

use super::party::{Id, find};
use super::{Context, Failure, Outcome};
use crate::authentication::password::{self, LONGEST};
use crate::store::Open;
use crate::types::{Role, SystemRandom, Time};
use clap::Subcommand;
use serde_json::json;
use std::io::{IsTerminal as _, Read};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Set the password, read from the first line of standard input, or take it away
    #[command(after_help = "Examples:\n  systemd-ask-password | marketrelay seller password set S-1\n  \
                            openssl rand -base64 18 | tee /dev/tty | marketrelay seller password set S-1\n\n\
                            The seller logs in on a [[listener]] of kind \"submission\" as S-1, or as S-1@ALIAS-DOMAIN, and sends as its own addresses.")]
    Set {
        #[command(flatten)]
        id: Id,
        /// Take the password away: the seller cannot log in any more
        #[arg(long)]
        remove: bool,
    },
}

impl Command {
    pub(super) fn run(self, context: Context<'_>) -> Outcome {
        let Self::Set { id, remove } = self;
        let store = context.store(Open::Existing)?;
        let seller = find(&store, &context.marketplace()?.id, Role::Seller, &id.id)?;
        let credential = if remove {
            None
        } else {
            let input = std::io::stdin();
            if input.is_terminal() {
                // It would be shown while it is typed.
                let remedy =
                    "give the password on standard input: systemd-ask-password | marketrelay seller password set ID";
                return Err(Failure::Failed(remedy.to_owned()));
            }
            let password = read(input.lock())?;
            let derived = password::derive(&password, &mut SystemRandom);
            Some(derived.map_err(|error| Failure::Failed(error.to_string()))?)
        };
        let set = credential.is_some();
        let had =
            store.write_blocking(move |change| change.set_password(seller.id, credential.as_ref(), Time::now()))?;
        let said = match (set, had) {
            (true, _) => format!("Seller {} can log in with this password.", seller.external),
            (false, true) => format!("Seller {} has no password any more, and cannot log in.", seller.external),
            (false, false) => format!("Seller {} had no password.", seller.external),
        };
        let document = json!({ "marketplace": seller.marketplace, "id": seller.external, "password": set });
        context.out.done(&document, &said)
    }
}

/// The first line. More than any password has is not read.
fn read(from: impl Read) -> Result<String, Failure> {
    let mut bytes = Vec::new();
    from.take(LONGEST as u64 + 3).read_to_end(&mut bytes)?;
    let line = bytes.split(|b| *b == b'\n').next().unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    String::from_utf8(line.to_vec()).map_err(|_| Failure::Failed("the password is not UTF-8".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_counts() {
        let long = "x".repeat(100_000);
        // input, length of what is read
        let cases =
            [("secret\n", 6), ("secret\r\nmore\n", 6), ("secret", 6), (" a b \n", 5), ("", 0), (&long, LONGEST + 3)];
        for (input, want) in cases {
            assert_eq!(read(input.as_bytes()).unwrap().len(), want, "{input:.9}");
        }
        assert!(read(&b"\xff\n"[..]).is_err());
    }
}
