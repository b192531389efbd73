//! marketrelay: a mail relay for marketplaces. Buyers and sellers write to each other through anonymous addresses, and
//! neither learns who the other is.
//!
//! # The house
//! A file imports only from floors below its own; `tests/floors.rs` reads the code and checks it. Each folder's `mod.rs` says what the folder
//! owns and what is deliberately not in it.
//!
//! ```text
//! 7 outside   main.rs  cli/ (one file a noun)  demo.rs  serve/ (open, bind, notify, run, drain; metrics over HTTP)
//! 6 house     relay/     the heart: target, prove, login, judge, thread, compose, commit; act, bounce, notices; explain
//!             outbound/  queue (the schedule), lane (one destination), delivery (one attempt), settle; route, connect, sts, dane; maildir
//!             janitor.rs chain and index behind the history, retention
//! 5 wire      smtp/      command, session, auth (no I/O), data, connection, incoming, space, server; client/; proxy.   tls.rs
//! 4 facts     store/     all SQL: schema, open, writer; parties, passwords, pairs, orders; messages, responses, reports; chain, verify, search,
//!                        retention; policies (MTA-STS); queue/
//!             authentication/ (SPF, DKIM, DMARC; what a front found; passwords and how often they are guessed)   dns.rs (a trait; hickory; zones for tests)
//! 3 message   message/   bytes in, bytes out: headers, text, transfer, mime, author, inspect, words, scrub, rewrite, footer, guard, bounce, sign, search; archive;
//!                        contents and its cleaners: html, calendar, vcard, pgp, tnef, uuencode, yenc, metadata; content_id
//!             notice/    what the relay writes itself, in the reader's language
//! 2 policy    policy/    facts in, verdict out: author, content, automatic, quota, opt_out; retry and failure classes
//! 1 settings  config/    structs with defaults, load, check (every problem with its remedy).   metrics.rs
//! 0 words     types/     address, alias, ids, token, reply, time, envelope, network, random, credential
//! ```
//!
//! Neighbours on one floor that know each other: the relay hands items to `outbound` and is its [`outbound::House`]; `smtp` uses `tls`; `cli` starts
//! `serve` and `demo`.
//!
//! # The walk of one message
//! 1. [`smtp::server`] accepts, `smtp::connection` moves octets, [`smtp::session`] answers; for RCPT it asks [`smtp::Handler::recipient`].
//! 2. [`smtp::data`] hands over the message, or refuses and closes on a bare CR or LF.
//! 3. [`relay::Relay`] proves the author, gathers the facts of each recipient into [`policy::Facts`], asks [`policy::decide`], and lets [`message::rewrite()`] build what goes
//!    out and [`message::guard`] look at it once more. What cannot be made safe is refused here, while the sender still listens.
//! 4. One transaction: message as received, verdict, thread ids, quota count, queue rows, notices. The store's writer commits what waits together, so that a disk
//!    flush is paid per batch. Then 250. Chain and index of the history follow some seconds later ([`janitor`]).
//! 5. Right after the commit the finished bytes go to [`outbound::Outbound::submit`] in memory, and to threads of their own: sessions and deliveries do not take turns. At a
//!    quiet relay the envelope alone goes ahead ([`outbound::Outbound::begin`]), so that the server answers it while the disk flushes; then whoever has committed the message
//!    sends it himself. What does not fit, or has to wait, is claimed from the store when it is due, and made again from the message as received: the same order gives the same bytes.
//! 6. Outcomes are settled in batches; what is given up is told to its author, in the transaction that gives it up. The legal states, and what a crash leaves at each arrow, stand in
//!    [`store::queue`].
//!
//! # Promises, and the types that hold them
//! - Addresses do not print themselves: [`types::Address`] has a redacted `Debug`, and `expose()` is the one way out.
//! - Impossible replies cannot be written: [`types::Reply`] computes the enhanced code's class.
//! - A verdict carries its reason, a closed enum whose words history, log, metrics and reply share ([`policy::Reason`]).
//! - Time, DNS and randomness are arguments; only [`types::time`] reads the clock.
//! - What a remote server says is kept as numbers only ([`smtp::client::Code`], [`policy::failure::FailureClass`]).

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
