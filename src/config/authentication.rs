//! `[authentication]`: who checks that an author is who he says, and what is known of providers.

use crate::types::Providers;
use crate::types::address::ascii_domain;
use serde::{Deserialize, Serialize};

/// `[authentication]`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Authentication {
    /// Who checks.
    pub mode: AuthenticationMode,
    /// `front`: whose results are believed.
    pub authserv_id: Option<String>,
    /// Domains at which strangers have mailboxes, beside those of the built-in table.
    pub providers: Vec<String>,
    /// Domains at which `ann+tag@` is the author `ann@`, beside those of the built-in table.
    pub tags: Vec<String>,
}

impl Authentication {
    /// The table of providers with what these settings add to it.
    #[must_use]
    pub fn table(&self) -> Providers {
        let domains = |list: &[String]| list.iter().filter_map(|name| ascii_domain(name).ok()).collect::<Vec<_>>();
        Providers::new(domains(&self.providers), domains(&self.tags))
    }
}

/// Who checks that the author is who he says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AuthenticationMode {
    /// SPF, DKIM and DMARC by the relay.
    #[default]
    Verify,
    /// The `Authentication-Results` of a front MTA in a trusted network.
    Front,
    /// Nobody: loopback listeners only.
    None,
}
