//! marketrelay: a mail relay for marketplaces. Buyers and sellers write to each other through anonymous addresses, and
//! neither learns who the other is.
//!
//! # The house
//! A file imports only from floors below its own; `tests/floors.rs` reads the `use crate::` lines and checks it.
//!
//! ```text
//! 7 outside   main.rs  cli/  demo.rs  serve.rs
//! 6 house     relay.rs  outbound/  janitor.rs
//! 5 wire      smtp/  tls.rs
//! 4 facts     store/  authentication.rs  dns.rs
//! 3 message   message/  notice/
//! 2 policy    policy/
//! 1 settings  config.rs  metrics.rs
//! 0 words     types/
//! ```

// floor 0
pub mod types;
// floor 1
pub mod config;
pub mod metrics;
// floor 2
pub mod policy;
// floor 3
pub mod message;
pub mod notice;
// floor 4
pub mod authentication;
pub mod dns;
pub mod store;
// floor 5
pub mod smtp;
pub mod tls;
// floor 6
pub mod janitor;
pub mod outbound;
pub mod relay;
// floor 7
pub mod cli;
pub mod demo;
pub mod serve;
