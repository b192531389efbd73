//! The tables, as an append-only list of migrations. One transaction each; `user_version` counts them. Released entries are never edited.

use rusqlite::{Connection, TransactionBehavior};

/// Marks the file as ours: "mkrl".
pub const APPLICATION_ID: i32 = 0x6d6b_726c;

/// Each entry brings the schema from its index to the next version.
pub const MIGRATIONS: &[&str] = &[VERSION_1, REFUSALS, SEEN, OPERATOR_MAIL, EVIDENCE, ERASURE, MACHINES, TOLD, SENT_BY];

/// The schema that a list of migrations ends at.
pub fn version(migrations: &[&str]) -> i32 {
    i32::try_from(migrations.len()).unwrap_or(i32::MAX)
}

const VERSION_1: &str = "
CREATE TABLE meta (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID, STRICT;

CREATE TABLE marketplace (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;

CREATE TABLE party (
    id INTEGER PRIMARY KEY,
    marketplace INTEGER NOT NULL REFERENCES marketplace,
    role INTEGER NOT NULL,                     -- 0 buyer, 1 seller
    external TEXT NOT NULL,                    -- the platform's id
    name TEXT NOT NULL DEFAULT '',
    language TEXT NOT NULL DEFAULT '',
    opted_out INTEGER NOT NULL DEFAULT 0,
    suspended INTEGER NOT NULL DEFAULT 0,
    removed INTEGER NOT NULL DEFAULT 0,
    auto_replies INTEGER NOT NULL DEFAULT 1,
    unauthenticated INTEGER NOT NULL DEFAULT 0,
    created INTEGER NOT NULL,
    UNIQUE (marketplace, role, external)
) STRICT;

-- Former addresses stay: the rewriter still has to know them.
CREATE TABLE party_address (
    party INTEGER NOT NULL REFERENCES party,
    key TEXT NOT NULL,                         -- Address::author_key; before it was lower case, +tag cut, A-labels
    address TEXT NOT NULL,
    kind INTEGER NOT NULL,                     -- 0 main, 1 further, 2 former
    PRIMARY KEY (party, key)
) WITHOUT ROWID, STRICT;
CREATE INDEX party_address_key ON party_address (key);

-- Of sellers who log in. Nothing here opens a door by itself: see authentication::password.
CREATE TABLE password (
    party INTEGER PRIMARY KEY REFERENCES party,
    phc TEXT NOT NULL,                         -- argon2id
    salt BLOB NOT NULL,                        -- SCRAM-SHA-256, RFC 5802: this and the next three
    iterations INTEGER NOT NULL,
    stored_key BLOB NOT NULL,
    server_key BLOB NOT NULL,
    made INTEGER NOT NULL
) STRICT;

CREATE TABLE pair (
    id INTEGER PRIMARY KEY,
    buyer INTEGER NOT NULL REFERENCES party,
    seller INTEGER NOT NULL REFERENCES party,
    buyer_alias TEXT NOT NULL,
    seller_alias TEXT NOT NULL,
    created INTEGER NOT NULL,
    UNIQUE (buyer, seller)
) STRICT;
CREATE INDEX pair_seller ON pair (seller);

-- Never deleted, so that no alias is given twice.
CREATE TABLE alias (
    address TEXT PRIMARY KEY,
    pair INTEGER NOT NULL REFERENCES pair,
    side INTEGER NOT NULL                      -- whom it stands for: 0 buyer, 1 seller
) WITHOUT ROWID, STRICT;

CREATE TABLE orders (
    id INTEGER PRIMARY KEY,
    marketplace INTEGER NOT NULL REFERENCES marketplace,
    external TEXT NOT NULL,
    pair INTEGER NOT NULL REFERENCES pair,
    seller INTEGER NOT NULL REFERENCES party,
    status TEXT NOT NULL DEFAULT '',
    category TEXT NOT NULL DEFAULT '',
    placed INTEGER NOT NULL,
    UNIQUE (marketplace, external)
) STRICT;
CREATE INDEX orders_pair ON orders (pair);
CREATE INDEX orders_seller ON orders (seller, placed);

-- How many of them in each span of 2^22 ms: a message has the orders of a month counted.
CREATE TABLE orders_span (
    seller INTEGER NOT NULL,
    span INTEGER NOT NULL,
    number INTEGER NOT NULL,
    PRIMARY KEY (seller, span)
) WITHOUT ROWID, STRICT;
CREATE TRIGGER orders_in AFTER INSERT ON orders BEGIN
    INSERT INTO orders_span VALUES (new.seller, new.placed >> 22, 1)
        ON CONFLICT (seller, span) DO UPDATE SET number = number + 1;
END;
CREATE TRIGGER orders_out AFTER DELETE ON orders BEGIN
    UPDATE orders_span SET number = number - 1 WHERE seller = old.seller AND span = old.placed >> 22;
END;
CREATE TRIGGER orders_moved AFTER UPDATE OF seller, placed ON orders
    WHEN old.seller <> new.seller OR old.placed >> 22 <> new.placed >> 22 BEGIN
    UPDATE orders_span SET number = number - 1 WHERE seller = old.seller AND span = old.placed >> 22;
    INSERT INTO orders_span VALUES (new.seller, new.placed >> 22, 1)
        ON CONFLICT (seller, span) DO UPDATE SET number = number + 1;
END;

CREATE TABLE body (
    id INTEGER PRIMARY KEY,
    size INTEGER NOT NULL,                     -- octets as received
    packed INTEGER NOT NULL,                   -- 1: zstd
    raw BLOB NOT NULL
) STRICT;

CREATE TABLE message (
    id INTEGER PRIMARY KEY,                    -- grows with time
    pair INTEGER REFERENCES pair,
    author INTEGER NOT NULL,                   -- 0 buyer, 1 seller
    body INTEGER,                              -- none: not kept, or past keep_days
    shared INTEGER NOT NULL DEFAULT 0,         -- other messages may have the same body
    received INTEGER NOT NULL,
    size INTEGER NOT NULL,
    verdict TEXT NOT NULL,
    reason TEXT NOT NULL,
    thread INTEGER NOT NULL,                   -- the message that began it
    original TEXT,                             -- the author's own Message-ID
    subject TEXT NOT NULL DEFAULT '',
    automatic INTEGER NOT NULL DEFAULT 0,
    needs_response INTEGER NOT NULL DEFAULT 0, -- 0 never, 1 waiting, 2 answered, 3 not needed, 4 reported
    response_at INTEGER,                       -- when it stopped waiting
    fate TEXT NOT NULL,                        -- none, queued, delivered, failed
    facts TEXT NOT NULL DEFAULT ''             -- what it was judged by: name=value words
) STRICT;
CREATE INDEX message_pair ON message (pair, id);
CREATE INDEX message_body ON message (body) WHERE shared = 1;
CREATE INDEX message_unanswered ON message (pair) WHERE needs_response = 1;

-- A party's own Message-ID, by hash, to the message that had it.
CREATE TABLE mid (
    pair INTEGER NOT NULL,
    author INTEGER NOT NULL,
    hash INTEGER NOT NULL,
    message INTEGER NOT NULL,
    PRIMARY KEY (pair, author, hash)
) WITHOUT ROWID, STRICT;

-- The walk of a message after its verdict.
CREATE TABLE event (
    id INTEGER PRIMARY KEY,                    -- in the order in which they were written
    message INTEGER NOT NULL,
    at INTEGER NOT NULL,
    what TEXT NOT NULL,
    detail TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX event_message ON event (message);

-- Hashes of messages and events, in blocks: see store/chain.rs.
CREATE TABLE chain (
    seq INTEGER PRIMARY KEY,
    last_message INTEGER NOT NULL,
    last_event INTEGER NOT NULL,
    entries BLOB NOT NULL
) STRICT;

-- What kept messages say, by the message's id. The words alone: the text is in the body.
CREATE VIRTUAL TABLE search
    USING fts5(words, content = '', contentless_delete = 1, tokenize = 'unicode61 remove_diacritics 2');

-- What a party told of a message of the other.
CREATE TABLE report (
    message INTEGER NOT NULL REFERENCES message,
    reporter INTEGER NOT NULL,                 -- 0 buyer, 1 seller
    at INTEGER NOT NULL,
    reason TEXT NOT NULL,                      -- in the reporter's words
    PRIMARY KEY (message, reporter)
) WITHOUT ROWID, STRICT;
CREATE INDEX report_at ON report (at);

-- What had come in when the relay had been there for so long: see store/retention.rs.
CREATE TABLE witness (
    span INTEGER PRIMARY KEY,                  -- milliseconds
    clock INTEGER NOT NULL,                    -- what it said
    message INTEGER NOT NULL                   -- the newest then
) STRICT;

CREATE TABLE quota (
    seller INTEGER NOT NULL,
    day INTEGER NOT NULL,                      -- start of the marketplace's day, milliseconds
    used INTEGER NOT NULL,
    PRIMARY KEY (seller, day)
) WITHOUT ROWID, STRICT;
CREATE INDEX quota_day ON quota (day);         -- for retention; only a seller's first message of a day touches it

-- See store/queue.rs for the states.
CREATE TABLE queue (
    id INTEGER PRIMARY KEY,                    -- its message's; a notice has its own
    message INTEGER NOT NULL,
    kind INTEGER NOT NULL,                     -- 0 relay, 1 notice, 2 forward
    party INTEGER,
    address TEXT,
    domain TEXT NOT NULL,
    queued INTEGER NOT NULL,
    due INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    leased INTEGER NOT NULL,
    delay_told INTEGER NOT NULL DEFAULT 0,
    waits_for TEXT NOT NULL DEFAULT '',
    content BLOB
) STRICT;
-- Only rows that wait are in these: a message that goes out at once costs them nothing.
CREATE INDEX queue_waiting ON queue (domain, due) WHERE leased = 0;
CREATE INDEX queue_age ON queue (delay_told, queued) WHERE leased = 0;
CREATE INDEX queue_notice ON queue (message) WHERE kind = 1;

-- A row for each domain that mail waits for, so that the schedule costs a step a destination, not a step a message.
CREATE TABLE destination (
    domain TEXT PRIMARY KEY,
    due INTEGER NOT NULL,                      -- nothing is tried before
    failures INTEGER NOT NULL,                 -- attempts in a row that reached no server
    forced INTEGER NOT NULL DEFAULT 0,         -- the operator wants it tried
    why TEXT NOT NULL DEFAULT ''               -- how the last of the failures failed
) WITHOUT ROWID, STRICT;
CREATE INDEX destination_due ON destination (due);

-- RFC 8461: what receivers' domains demand.
CREATE TABLE sts_policy (
    domain TEXT PRIMARY KEY,
    id TEXT NOT NULL,
    mode INTEGER NOT NULL,                     -- 0 enforce, 1 testing, 2 none
    mx TEXT NOT NULL,                          -- lines
    fetched INTEGER NOT NULL,
    expires INTEGER NOT NULL
) WITHOUT ROWID, STRICT;
CREATE INDEX sts_policy_expires ON sts_policy (expires);
";

/// Refused mail, summed, and what parties were told of it.
const REFUSALS: &str = "
-- Refused mail of strangers that has no rows of its own; appended once a minute.
CREATE TABLE refusal (
    id INTEGER PRIMARY KEY,
    minute INTEGER NOT NULL,                   -- its first moment
    client INTEGER NOT NULL,                   -- keyed hash of the network; 0: several
    pair INTEGER NOT NULL,                     -- 0: several
    author INTEGER NOT NULL,                   -- the side that it says has written it: 0 buyer, 1 seller
    reason TEXT NOT NULL,
    number INTEGER NOT NULL
) STRICT;

-- What a party has to be told of refused mail in its name.
CREATE TABLE refused (
    party INTEGER NOT NULL REFERENCES party,
    pair INTEGER NOT NULL REFERENCES pair,
    reason TEXT NOT NULL,
    number INTEGER NOT NULL,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    message INTEGER,                           -- the newest of them that has a row
    PRIMARY KEY (party, pair, reason)
) WITHOUT ROWID, STRICT;

-- What it was told before.
CREATE TABLE refusal_notice (
    party INTEGER PRIMARY KEY REFERENCES party,
    told INTEGER,                              -- when last
    run INTEGER NOT NULL DEFAULT 0,            -- notices since a month without
    quiet INTEGER NOT NULL DEFAULT 0           -- it wants none
) STRICT;
";

/// What tells that a message is one that has been here before: see store/seen.rs. And critical
/// messages, counted.
///
/// The values of signatures stand in `mid` beside the Message-IDs of their pair, with `author` 2
/// (buyer) and 3 (seller): a message that brings both writes to one place.
const SEEN: &str = "
-- Of the signatures that proved the author: eight octets each, as in `mid`.
ALTER TABLE message ADD COLUMN signatures BLOB;
-- How often it came again, and when it did last.
ALTER TABLE message ADD COLUMN repeats INTEGER NOT NULL DEFAULT 0;
ALTER TABLE message ADD COLUMN repeated_at INTEGER;

-- Messages to opted-out buyers that a tag declared critical.
CREATE TABLE critical (
    seller INTEGER NOT NULL,
    day INTEGER NOT NULL,                      -- as in quota
    used INTEGER NOT NULL,                     -- let through
    over INTEGER NOT NULL DEFAULT 0,           -- blocked, being over the limit
    told INTEGER NOT NULL DEFAULT 0,           -- 1: the operator was warned of the share
    PRIMARY KEY (seller, day)
) WITHOUT ROWID, STRICT;
CREATE INDEX critical_day ON critical (day);
";

/// Mail to postmaster and abuse.
const OPERATOR_MAIL: &str = "
-- Of mail to the operator: the network that it came from, as a keyed hash.
ALTER TABLE queue ADD COLUMN network INTEGER;
CREATE INDEX queue_forward ON queue (network) WHERE kind = 2;
";

/// Reports that came after a delivery, and critical messages.
const EVIDENCE: &str = "
-- nothing yet
";

/// What was erased, when and by whom: see store/erasure.
const ERASURE: &str = "
-- Of a party, or of one message.
CREATE TABLE erasure (
    id INTEGER PRIMARY KEY,
    party INTEGER UNIQUE REFERENCES party,
    message INTEGER UNIQUE,
    at INTEGER NOT NULL,                       -- when it began
    operator TEXT NOT NULL,                    -- who asked for it
    done INTEGER                               -- none: it has begun, and goes on when it is asked for again
) STRICT;

-- Messages of which something was erased: what stays of each is proved by a leaf of its own.
CREATE TABLE tombstone (
    message INTEGER PRIMARY KEY,
    erasure INTEGER NOT NULL,
    whole INTEGER NOT NULL,                    -- 1: all that its author wrote; 0: what was another's in it
    salt BLOB NOT NULL,
    leaf BLOB NOT NULL
) STRICT;

-- Erased buyers' addresses that had opted out, under the store's secret.
CREATE TABLE opt_out (
    sum BLOB PRIMARY KEY,
    at INTEGER NOT NULL
) WITHOUT ROWID, STRICT;

-- The salts of a block's leaves, in the order of its entries, and the chain's hash behind it; none in blocks from before.
ALTER TABLE chain ADD COLUMN salts BLOB;
ALTER TABLE chain ADD COLUMN head BLOB;
";

/// Answers of machines are counted.
const MACHINES: &str = "
-- Only what is counted is in it.
CREATE INDEX message_answers ON message (pair, author, received) WHERE automatic = 1 AND verdict = 'relay';
";

/// What an author was told of his mail, and when: once a day for each pair and reason.
const TOLD: &str = "
CREATE TABLE told (
    pair INTEGER NOT NULL REFERENCES pair,
    author INTEGER NOT NULL,                   -- 0 buyer, 1 seller
    reason TEXT NOT NULL,
    at INTEGER NOT NULL,                       -- when last
    PRIMARY KEY (pair, author, reason)
) WITHOUT ROWID, STRICT;
";

/// Who sent what was refused, as nothing proves that its author did.
const SENT_BY: &str = "
-- An address, for the operator; of other messages nothing is kept.
ALTER TABLE message ADD COLUMN sent_by TEXT;
";

/// Brings an older schema to the end of the list, one transaction a step. Only under the daemon's lock, or where nobody else has the file yet.
pub fn migrate(connection: &mut Connection, migrations: &[&str]) -> rusqlite::Result<()> {
    loop {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let version: i32 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
        let Some(step) = usize::try_from(version).ok().and_then(|at| migrations.get(at)) else { return Ok(()) };
        transaction.execute_batch(step)?;
        transaction.pragma_update(None, "user_version", version + 1)?;
        transaction.commit()?;
    }
}
