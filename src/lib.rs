//! marketrelay: a mail relay for marketplaces. Buyers and sellers write to each other through anonymous addresses, and
//! neither learns who the other is.
//!
//! # The house
//! A file imports only from floors below its own; `tests/floors.rs` reads the code and checks it. Each folder's `mod.rs` says what the folder
//! owns and what is deliberately not in it.
//!
//! ```text
//! 7 outside   main.rs  cli/ (one file a noun)  demo.rs
//!             serve/ (open, bind, notify, run, drain; metrics and health over HTTP)
//! 6 house     relay/     the heart: target, prove, login, judge (facts, judged), thread, repeats,
//!                        turns, compose, commit; act, bounce, operator, notices; refusals, owners;
//!                        explain
//!             outbound/  queue (the schedule), lane (one destination), delivery (one attempt),
//!                        settle; route, connect, sts, dane; maildir
//!             janitor.rs chain and index behind the history, retention
//! 5 wire      smtp/      command, session, auth (no I/O), data, connection, incoming, space,
//!                        server; client/; proxy, front.   tls.rs
//! 4 facts     store/     all SQL: schema, open, writer; parties, passwords, pairs, orders;
//!                        mailboxes; messages, seen, turns, responses, reports, refusals; chain,
//!                        verify, search, retention, erasure/; policies (MTA-STS); queue/
//!             authentication/ (SPF, DKIM, DMARC; what a signature proves; what a front found;
//!                        passwords and how often they are guessed)
//!             dns.rs     a trait; hickory; zones for tests
//! 3 message   message/   bytes in, bytes out: headers, addressed, text, transfer, mime, author,
//!                        once, inspect, same, said, words, written, entities, endings, scrub,
//!                        encoded, replacements, quoted/, rewrite, charset/ (names, and what
//!                        octets are),
//!                        footer, guard, bounce, sign, search; erased/; work (what it may cost),
//!                        shared; archive; files/ (the author's addresses in documents);
//!                        contents and its cleaners: html, data_uri, calendar, vcard,
//!                        pgp, tnef, uuencode, yenc, metadata; sealed (signed and encrypted parts)
//!                        over cms; content_id, located, kinds
//!             notice/    what the relay writes itself, in the reader's language
//! 2 policy    policy/    facts in, verdict out: author, content, automatic, turns, quota, opt_out;
//!                        response (what answers a question), reminder, retry and failure classes
//! 1 settings  config/    structs with defaults; load (all that does not read; lines, words), check
//!                        (every problem with its remedy; sockets, bounds, delivery), warn (what
//!                        opens a door; idle: what never does what it says).   metrics.rs
//! 0 words     types/     address, provider (houses), spelling, alias, ids, token, reply, time,
//!                        envelope, network, counts, shares, quiet, random, credential, invisible
//! ```
//!
//! Neighbours on one floor that know each other: the relay hands items to `outbound` and is its [`outbound::House`]; `smtp` uses `tls`; `cli` starts
//! `serve` and `demo`.
//!
//! # The walk of one message
//! 1. [`smtp::server`] accepts, `smtp::connection` moves octets, [`smtp::session`] answers; for RCPT it asks [`smtp::Handler::recipient`].
//! 2. [`smtp::data`] hands over the message, or refuses and closes on a bare CR or LF.
//! 3. [`relay::Relay`] proves the author, gathers the facts of each recipient into [`policy::Facts`], asks [`policy::decide`], and lets [`message::rewrite()`] build what goes
//!    out and [`message::guard`] look at it once more. What cannot be made safe is refused here,
//!    while the sender still listens. What all of that may cost is bounded ([`message::work`]).
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
//! - What is proved is asked for one recipient ([`authentication::Authentication::proof_to`]): a
//!   signature speaks to whom it was written.
//! - Whose addresses are replaced, and whose are refused, are two types: [`message::Replacements`]
//!   knows both sides, [`message::guard::Secrets`] the author's alone.
//! - Time, DNS and randomness are arguments; only [`types::time`] reads the clock.
//! - What a remote server says is kept as numbers only ([`smtp::client::Code`], [`policy::failure::FailureClass`]).
//!
//! # Threat model
//! Who attacks: a stranger on the internet; the other party of a pair, who is proved and knows both
//! aliases; a neighbour at the same mail provider; whoever holds one signed message, or one address
//! of a footer; whoever runs a server that mail goes to. Trusted are the operator, the platform
//! that registers parties, DNS as far as it is validated, and what `trusted_networks` names.
//!
//! Each line is a file in `tests/security/`, which attacks the real binary; the last is tried in a
//! browser.
//!
//! - **Guess who stands behind an alias, by forged `From`.** One reply after the same work for
//!   every unproved author; refusals limited by client network and alias; the owner hears at his
//!   registered address (`relay::refusals`, `relay::owners`). Test: `guessed_authors`;
//!   `tests/bench/oracle`.
//! - **Guess it in a text, quote or file, as the proved other party.** All that he is told knows
//!   his own addresses alone; what is quoted goes back as it was written
//!   ([`message::replacements`], [`message::quoted`]). Test: `guessed_texts`.
//! - **Speak by a signed message: fields put on top, sent to somebody else, old.** A field stands
//!   once ([`message::once`]); a signature alone proves what it covers, to whom its `To` names,
//!   for 8 days (`authentication::signature`). Test: `replayed_signatures`.
//! - **Send the same message again and again.** It is the same message: 250 with the first id,
//!   nothing new (`relay::repeats`). Test: `repeated_messages`.
//! - **Speak as a neighbour at the same provider.** Table of providers; SPF alone proves only who
//!   stands in the envelope ([`types::provider`], [`policy::author`]). Test: `other_mailboxes`.
//! - **Fill the disk, the log, the operator's mailbox.** Mail to the operator is kept until
//!   delivered, each network has its share; refused mail is summed; log lines have a limit
//!   (`relay::operator`, [`types::shares`], [`types::quiet`]). Test: `full_disks`.
//! - **Cost more than a message is worth.** One pass, steps counted, an allowance for each
//!   message ([`message::work`]). Test: `costly_inputs`; `tests/leaks/steps.rs`.
//! - **Bend the history: forged delivery reports, leaked footer addresses.** A report adds a
//!   step, proved or not, and changes no fate; a clock only if it is proved; an address acts for
//!   its party's own mail to it (`relay::bounce`, `relay::act`). Test: `bent_evidence`.
//! - **Pass an opt-out by a machine's answer, or by urgency.** A machine's answer opens no thread;
//!   critical messages have a limit and a share that is told ([`policy::opt_out`]). Test:
//!   `opened_doors`.
//! - **Read what was erased, from files or chain.** Words, names and ids go with their salt,
//!   pages are overwritten; a tombstone stays ([`store`], `store::erasure`). Test:
//!   `erased_people`.
//! - **Wait for a careless setting.** Refused, or told by `check` and at the start ([`config`]).
//!   Test: `warned_operators`.
//! - **Hide, cover or restyle what a reader needs to complain.** The footer is a box of its own;
//!   the author's style sheets reach his own part alone, and what would leave it is taken out
//!   ([`message::html`]). Test: `tests/browser.rs`, by clicks and pixels in Chromium.
//!
//! What is left to an attacker. Who answers edits a quoted line, or copies it into words of his
//! own: then a right guess comes back as the alias. So does one in a file that is sent back, where
//! the file can be rewritten. A DNS cache tells that somebody lately wrote from a domain, the limit
//! of an alias whether others were refused there within the hour. A seller with `--unauthenticated
//! allow` can be guessed, and spoken for. A provider that is missing from the table is a company to
//! us, whose people vouch for one another. A signature without `t=` and `Date` never grows old,
//! though it is good for one message, and one that leaves `Content-*` out lets a message that was
//! written to this alias be read otherwise. A receiver with a server of his own can prove that mail
//! bounced, and so stop or restart a response clock; he could as well have refused it, and the
//! other side is told in either case. A front that leaves SPF or DKIM out, and fields of its own
//! name in, lets a sender say what it did not. Doubtful reports reach a pair's author three times a
//! day. Through a front that hands on no client address one flood uses up the operator's whole
//! share. In blocks of the chain that were made before it had salts, guesses at an erased message
//! can be tried until retention takes them.

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
