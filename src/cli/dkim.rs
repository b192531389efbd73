//! `marketrelay dkim …`: keys that sign outgoing mail.

use super::{Context, Failure, Outcome};
use crate::message::sign::{Algorithm, Signer, generate};
use crate::types::address::ascii_domain;
use clap::{Subcommand, ValueEnum};
use serde_json::json;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Kind {
    Rsa,
    Ed25519,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make a key and print the DNS record that goes with it
    #[command(
        after_help = "Example:\n  marketrelay dkim generate --selector r1 --output /etc/marketrelay/dkim/r1.pem\n\n\
        Publish the record, then name the key in a [[dkim]] table and restart the daemon.\n\
        Two keys, one RSA and one Ed25519, serve every receiver."
    )]
    Generate {
        /// Selector: the record is at SELECTOR._domainkey.DOMAIN
        #[arg(long)]
        selector: String,
        /// Every receiver knows RSA (2048 bits); some do not know Ed25519
        #[arg(long, default_value = "rsa")]
        algorithm: Kind,
        /// Where the private key goes; it must not exist
        #[arg(long, value_name = "FILE")]
        output: PathBuf,
    },
}

impl Command {
    pub(super) fn run(self, context: Context<'_>) -> Outcome {
        let Self::Generate { selector, algorithm, output } = self;
        let failed = |error: crate::message::sign::SignError| Failure::Failed(error.to_string());
        if ascii_domain(&selector).is_err() {
            return Err(Failure::Failed("a selector is letters, digits and hyphens".to_owned()));
        }
        let shop = context.marketplace()?;
        let domain = ascii_domain(&shop.domain).unwrap_or_default();
        let algorithm = match algorithm {
            Kind::Rsa => Algorithm::Rsa2048,
            Kind::Ed25519 => Algorithm::Ed25519,
        };
        let pem = generate(algorithm).map_err(failed)?;
        let signer = Signer::from_pem(&domain, &selector, pem.as_bytes()).map_err(failed)?;
        let mut options = std::fs::OpenOptions::new();
        let file = options.write(true).create_new(true).mode(0o600).open(&output);
        let mut file = file.map_err(|error| Failure::Failed(format!("cannot make {}: {error}", output.display())))?;
        file.write_all(pem.as_bytes())?;
        file.sync_all()?;
        let (name, record) = (format!("{selector}._domainkey.{domain}"), signer.record().map_err(failed)?);
        let zone = signer.zone_line().map_err(failed)?;
        let said = format!(
            "The private key is in {}. Publish this record:\n\n{zone}\n\nthen add to the configuration and restart:\n\n\
             [[dkim]]\nmarketplace = \"{}\"\nselector = \"{selector}\"\nkey = \"{}\"",
            output.display(),
            shop.id,
            output.display()
        );
        let document = json!({ "key": output, "name": name, "record": record, "zone": zone });
        context.out.done(&document, &said)
    }
}
