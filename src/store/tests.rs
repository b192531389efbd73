//! The store against a real file.

use super::parties::Switch;
use super::*;
use crate::types::random::Seeded;
use crate::types::{Address, Alias, ExternalId, MessageId, PartyId, Role, SystemRandom, Time};
use rusqlite::OptionalExtension as _;
use std::fs;
use std::os::unix::fs::MetadataExt as _;

pub(crate) const NOW: Time = Time(1_800_000_000_000);

pub(crate) fn open(dir: &Path, how: Open) -> std::result::Result<Store, OpenError> {
    Store::open(dir, how, &mut SystemRandom, Metrics::default())
}

fn party(role: Role, id: &str, email: &str) -> NewParty {
    NewParty {
        marketplace: "jp".into(),
        role,
        external: id.parse::<ExternalId>().unwrap(),
        name: Some(format!("{id} Ltd")),
        main: Some(Address::parse(email).unwrap()),
        further: None,
        language: None,
        auto_replies: None,
        unauthenticated: None,
    }
}

pub(crate) fn pair(store: &Store) -> (PartyId, PartyId, Pair) {
    let made = store.write_blocking(|change| {
        let domains = ["m.test".to_owned()];
        let (buyer, _) = change.set_party(&party(Role::Buyer, "b1", "b@home.test"), &domains, NOW)?;
        let (seller, _) = change.set_party(&party(Role::Seller, "s1", "s@shop.test"), &domains, NOW)?;
        let pair = change.pair_or_new(buyer, seller, ("m.test", 35), NOW, &mut SystemRandom)?;
        Ok((buyer, seller, change.pair(pair)?))
    });
    made.unwrap()
}

pub(crate) fn message(id: i64, pair: &Pair, author: Role, original: &str, body: Option<i64>) -> NewMessage {
    NewMessage {
        id: MessageId(id),
        pair: Some(pair.id),
        author,
        body,
        shared: false,
        received: NOW,
        size: 10,
        verdict: "relay",
        reason: "relayed",
        thread: MessageId(id),
        original: Some(original.into()),
        subject: "s".into(),
        automatic: false,
        needs_response: author == Role::Buyer,
        fate: "queued",
        facts: String::new(),
        sent_by: None,
    }
}

#[test]
fn refuses_what_is_not_its_store_and_says_what_to_do() {
    // what lies in the directory, how it is opened, what the error says
    type Prepare = fn(&Path);
    let made: Prepare = |dir| drop(open(dir, Open::Create).unwrap());
    let cases: &[(&str, Prepare, Open, &str)] = &[
        ("nothing", |_| {}, Open::Existing, "no store in"),
        // The folder that a disk was mounted on.
        ("nothing, to a command that registers", |_| {}, Open::Beside, "`marketrelay store init`"),
        ("an empty file", |d| fs::write(d.join(FILE), "").unwrap(), Open::Create, "damaged"),
        (
            "another file",
            |d| fs::write(d.join(FILE), "x".repeat(4096)).unwrap(),
            Open::Create,
            "not a marketrelay store",
        ),
        (
            "another database",
            |d| Connection::open(d.join(FILE)).unwrap().execute_batch("CREATE TABLE t (x)").unwrap(),
            Open::Create,
            "not a marketrelay store",
        ),
        (
            "a newer one",
            |d| {
                drop(open(d, Open::Create).unwrap());
                Connection::open(d.join(FILE)).unwrap().pragma_update(None, "user_version", 99).unwrap();
            },
            Open::Existing,
            "newer marketrelay (schema 99",
        ),
        (
            "one cut short",
            |d| {
                drop(open(d, Open::Create).unwrap());
                let file = fs::OpenOptions::new().write(true).open(d.join(FILE)).unwrap();
                file.set_len(4096 * 2).unwrap();
            },
            Open::Existing,
            "damaged",
        ),
        (
            "only what it left behind",
            |d| {
                drop(open(d, Open::Create).unwrap());
                fs::remove_file(d.join(FILE)).unwrap();
            },
            Open::Create,
            "has held a store",
        ),
        (
            "only what it left behind, to a command that registers",
            |d| {
                drop(open(d, Open::Create).unwrap());
                fs::remove_file(d.join(FILE)).unwrap();
            },
            Open::Beside,
            "has held a store",
        ),
    ];
    for (name, prepare, how, want) in cases {
        let dir = tempfile::tempdir().unwrap();
        prepare(dir.path());
        let before: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        let error = open(dir.path(), *how).map(|_| ()).expect_err(name).to_string();
        assert!(error.contains(want), "{name}: {error}");
        let after: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(before.len(), after.len(), "{name}: nothing was made");
    }
    let dir = tempfile::tempdir().unwrap();
    made(dir.path());
    open(dir.path(), Open::Existing).unwrap();
    let lock = Store::lock(dir.path()).unwrap();
    assert!(matches!(Store::lock(dir.path()), Err(OpenError::InUse(_))));
    drop(lock);
    Store::lock(dir.path()).unwrap();
}

/// Who makes a store, and where. A folder that a disk is not mounted on is empty: the store's own,
/// or the one above.
#[test]
fn a_store_is_made_by_who_means_it() {
    // what is there, whether init makes one, whether a command that registers does
    type Prepare = fn(&Path);
    let gone: Prepare = |d| {
        drop(open(&d.join("above/data"), Open::Create).unwrap());
        fs::remove_file(d.join("above/data").join(FILE)).unwrap();
    };
    let table: &[(&str, Prepare, bool, bool)] = &[
        ("no folder above", |_| {}, true, false),
        ("an empty folder above", |d| fs::create_dir(d.join("above")).unwrap(), true, false),
        ("an empty folder", |d| fs::create_dir_all(d.join("above/data")).unwrap(), true, false),
        (
            "a configuration beside it",
            |d| {
                fs::create_dir(d.join("above")).unwrap();
                fs::write(d.join("above/c.toml"), "").unwrap();
            },
            true,
            true,
        ),
        (
            "a link to nowhere",
            |d| {
                fs::create_dir(d.join("above")).unwrap();
                std::os::unix::fs::symlink(d.join("disk/data"), d.join("above/data")).unwrap();
            },
            false,
            false,
        ),
        ("traces of one", gone, false, false),
    ];
    for (name, prepare, init, registers) in table {
        let files = |dir: &Path| {
            let found = fs::read_dir(dir.join("above/data"));
            found.map(|items| items.map(|e| e.unwrap().file_name()).collect::<Vec<_>>()).unwrap_or_default()
        };
        for who in ["init", "registers", "serves", "looks"] {
            let dir = tempfile::tempdir().unwrap();
            prepare(dir.path());
            let (data, before) = (dir.path().join("above/data"), files(dir.path()));
            let (made, want) = match who {
                "init" => (Store::init(&data, &mut SystemRandom).is_ok_and(|made| made), *init),
                "registers" => (open(&data, Open::Beside).is_ok(), *registers),
                "serves" => (Store::lock(&data).is_ok(), false),
                _ => (open(&data, Open::Existing).is_ok(), false),
            };
            assert_eq!(made, want, "{name}: {who}");
            assert_eq!(made, files(dir.path()) != before, "{name}: {who} leaves no trace of a try");
            if made {
                assert!(!Store::init(&data, &mut SystemRandom).unwrap(), "{name}: one is there");
                assert!(Store::lock(&data).is_ok() && open(&data, Open::Existing).is_ok(), "{name}: {who}");
            }
        }
    }
}

/// What a process leaves that dies while it moves the log into the database: the first page counts pages that are in the log only.
#[test]
fn a_checkpoint_cut_off_is_no_damage() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), Open::Create).unwrap();
    let size = fs::metadata(dir.path().join(FILE)).unwrap().len();
    let other = Connection::open(dir.path().join(FILE)).unwrap();
    other.execute_batch("INSERT INTO meta VALUES ('large', zeroblob(100000))").unwrap();
    let log = fs::read(dir.path().join(format!("{FILE}-wal"))).unwrap();
    other.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())).unwrap();
    drop((other, store));
    for (name, log, opens) in [("with its log", log.as_slice(), true), ("with a log of nothing", &[0; 64], false)] {
        let file = fs::OpenOptions::new().write(true).open(dir.path().join(FILE)).unwrap();
        file.set_len(size).unwrap();
        fs::write(dir.path().join(format!("{FILE}-wal")), log).unwrap();
        let lock = Store::lock(dir.path()).unwrap();
        let opened = Store::serve(&lock, &mut SystemRandom, Metrics::default());
        assert_eq!(opened.is_ok(), opens, "{name}: {:?}", opened.err().map(|e| e.to_string()));
        if let Ok(store) = opened {
            let sql = "SELECT length(value) FROM meta WHERE key = 'large'";
            let large: i64 = store.read(|view| Ok(view.0.query_row(sql, [], |row| row.get(0))?)).unwrap();
            assert_eq!(large, 100_000, "{name}");
        }
    }
}

/// Without its lock on the file, a command that ends would take the log of the running daemon for its own, and away.
#[test]
fn the_daemon_keeps_its_lock_on_the_file_and_leaves_one_tidy_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(FILE);
    assert!(Store::init(dir.path(), &mut SystemRandom).unwrap());
    let lock = Store::lock(dir.path()).unwrap();
    let store = Store::serve(&lock, &mut SystemRandom, Metrics::default()).unwrap();
    let log = path.with_file_name(format!("{FILE}-wal"));
    let room = fs::metadata(&log).unwrap().len();
    assert!(room > 1 << 20, "{room}");
    pair(&store);
    store.backup(&dir.path().join("copy")).unwrap();
    assert_eq!(fs::metadata(&log).unwrap().len(), room, "written into the room it has");
    let (mine, inode) = (format!(" {} ", std::process::id()), format!(":{} ", fs::metadata(&path).unwrap().ino()));
    let locks = fs::read_to_string("/proc/locks").unwrap();
    assert!(locks.lines().any(|line| line.contains(&mine) && line.contains(&inode)), "{locks}");
    store.close();
    assert!(!log.exists());
    assert!(matches!(store.write_blocking(|_| Ok(())), Err(StoreError::Closed)));
    drop(store);
    let store = Store::serve(&lock, &mut SystemRandom, Metrics::default()).unwrap();
    assert!(store.read(|v| v.party(PartyId(1))).is_ok());
}

/// A new machine is set up by several commands at once, as root: one of them makes the store, none
/// makes it anew, and the daemon's user has it.
#[test]
fn a_store_is_made_once_and_by_root_for_its_user() {
    let dir = tempfile::tempdir().unwrap();
    std::os::unix::fs::chown(dir.path(), Some(12_345), Some(12_345)).expect("tests run as root");
    let made = std::thread::scope(|scope| {
        let jobs: Vec<_> =
            (0..8).map(|_| scope.spawn(|| Store::init(dir.path(), &mut SystemRandom).unwrap())).collect();
        jobs.into_iter().map(|job| job.join().unwrap()).filter(|made| *made).count()
    });
    assert_eq!(made, 1);
    let _lock = Store::lock(dir.path()).unwrap();
    let _store = open(dir.path(), Open::Existing).unwrap();
    let files = fs::read_dir(dir.path()).unwrap().map(|file| file.unwrap());
    let owners: Vec<_> = files.map(|file| (file.file_name(), file.metadata().unwrap().uid())).collect();
    assert!(owners.len() >= 5 && owners.iter().all(|(_, uid)| *uid == 12_345), "{owners:?}");
}

/// A job that takes no notice of a trouble that ended the transaction: nothing stands of those that
/// share it, and all of them hear so.
#[test]
fn a_transaction_that_ends_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), Open::Create).unwrap();
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let (begun, has_begun) = std::sync::mpsc::channel();
    let first = store.clone();
    let holder = std::thread::spawn(move || {
        first.write_blocking(move |_| {
            begun.send(()).unwrap();
            wait.recv().unwrap();
            Ok(())
        })
    });
    has_begun.recv().unwrap();
    let ends = store.leave(|c| Ok(c.0.0.execute_batch("ROLLBACK")?), true);
    let writes = store.leave(|c| c.marketplace("m").map(drop), true);
    store.0.writer.press();
    go.send(()).unwrap();
    holder.join().unwrap().unwrap();
    assert!(ends.blocking_recv().unwrap().is_err() && writes.blocking_recv().unwrap().is_err());
    let names = |v: &View<'_>| Ok(v.0.query_row("SELECT count(*) FROM marketplace", [], |r| r.get::<_, i64>(0))?);
    assert_eq!(store.read(names).unwrap(), 0);
    store.write_blocking(|c| c.marketplace("m").map(drop)).unwrap();
    assert_eq!(store.read(names).unwrap(), 1);
}

#[test]
fn waiting_jobs_share_a_commit_and_fail_alone() {
    // Each in a savepoint; all without, and then once more; some of each.
    for repeatable in [|_| false, |_| true, |n| n % 2 == 1] {
        share_a_commit_and_fail_alone(repeatable);
    }
}

fn share_a_commit_and_fail_alone(repeatable: fn(i32) -> bool) {
    let dir = tempfile::tempdir().unwrap();
    let metrics = Metrics::default();
    let store = Store::open(dir.path(), Open::Create, &mut SystemRandom, metrics.clone()).unwrap();
    // The first job holds the writer until all others wait.
    let (go, wait) = std::sync::mpsc::channel::<()>();
    std::thread::scope(|scope| {
        let first = store.clone();
        let (begun, has_begun) = std::sync::mpsc::channel();
        let holder = scope.spawn(move || {
            first.write_blocking(move |_| {
                begun.send(()).unwrap();
                wait.recv().unwrap();
                Ok(())
            })
        });
        // The writer is busy with it before the others come: they wait, and share the next commit.
        has_begun.recv().unwrap();
        let (queued, all_queued) = std::sync::mpsc::channel();
        let jobs: Vec<_> = (0..20)
            .map(|n| {
                let (store, queued) = (store.clone(), queued.clone());
                scope.spawn(move || {
                    let (sender, receiver) = oneshot::channel();
                    let job = move |change: &Change<'_>| {
                        change.marketplace(&format!("m{n}"))?;
                        match n {
                            3 => Err(StoreError::Refused("no".into())),
                            7 => panic!("a bug"),
                            _ => Ok(n),
                        }
                    };
                    store.0.writer.leave(Box::new(Task { f: job, repeatable: repeatable(n), result: None, sender }));
                    store.0.writer.press();
                    queued.send(()).unwrap();
                    receiver.blocking_recv().unwrap()
                })
            })
            .collect();
        all_queued.iter().take(20).for_each(drop);
        go.send(()).unwrap();
        holder.join().unwrap().unwrap();
        for (n, job) in (0..).zip(jobs) {
            assert_eq!(job.join().unwrap().ok(), (n != 3 && n != 7).then_some(n));
        }
    });
    let names: i64 = store.read(|v| Ok(v.0.query_row("SELECT count(*) FROM marketplace", [], |r| r.get(0))?)).unwrap();
    assert_eq!(names, 18, "the failed and the panicked job left nothing");
    assert!(metrics.text().contains("marketrelay_commit_jobs_count 2"), "{}", metrics.text());
}

#[test]
fn aliases_are_for_ever_and_never_given_twice() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), Open::Create).unwrap();
    let (buyer, seller, first) = pair(&store);
    let (_, _, again) = pair(&store);
    assert_eq!((&first.buyer_alias, first.id), (&again.buyer_alias, again.id));
    assert_ne!(first.buyer_alias, first.seller_alias);
    let resolved = store.read(|v| v.resolve(&Alias::from_text(&first.buyer_alias.as_str().to_uppercase()))).unwrap();
    assert_eq!(resolved, Some(Resolved { pair: first.id, side: Role::Buyer }));
    let (behind, side) = store.read(|v| v.open_pair(&first.seller_alias)).unwrap().unwrap();
    assert_eq!((behind.id, side, behind.buyer.main.is_some()), (first.id, Role::Seller, true));
    // The same draw again is taken, and passed over.
    let second = store.write_blocking(move |change| {
        let (one, _) = change.set_party(&party(Role::Seller, "s2", "x@shop.test"), &[], NOW)?;
        let (two, _) = change.set_party(&party(Role::Seller, "s3", "y@shop.test"), &[], NOW)?;
        let one = change.pair_or_new(buyer, one, ("m.test", 35), NOW, &mut Seeded::new(1))?;
        let two = change.pair_or_new(buyer, two, ("m.test", 35), NOW, &mut Seeded::new(1))?;
        Ok((change.pair(one)?, change.pair(two)?))
    });
    let (one, two) = second.unwrap();
    assert_ne!(one.buyer_alias, two.buyer_alias);
    // Removed: the alias stays taken, and the pair is closed.
    store.write_blocking(move |change| change.remove_party(seller)).unwrap();
    assert!(store.read(|v| v.resolve(&first.seller_alias)).unwrap().is_some());
    for alias in [&first.buyer_alias, &first.seller_alias] {
        assert!(store.read(|v| Ok(!v.is_open(alias)? && v.open_pair(alias)?.is_none())).unwrap());
    }
    let gone = store.read(|v| v.party(seller)).unwrap();
    assert!(gone.main.is_none() && gone.addresses.is_empty() && gone.known.len() == 1);
    let refused = store.write_blocking(|change| change.set_party(&party(Role::Seller, "s1", "n@shop.test"), &[], NOW));
    assert!(refused.is_err());
}

/// One mailbox may be several parties, but never both sides of a pair, however it is spelled.
#[test]
fn one_mailbox_is_not_both_sides() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), Open::Create).unwrap();
    // buyer, seller, whether they are refused
    let cases = [
        ("ann@x.test", "ann@x.test", true),
        ("Ann@x.test", "ann@X.TEST", true),
        ("an.n@gmail.com", "ann+shop@googlemail.com", true),
        ("ann@me.com", "ann@icloud.com", true),
        ("a..b.@docomo.ne.jp", "\"a..b.\"@docomo.ne.jp", true),
        ("an.n@x.test", "ann@x.test", false),
        ("ann+shop@x.test", "ann@x.test", false),
        ("ann@outlook.com", "ann@hotmail.com", false),
        ("ann@x.test", "bob@x.test", false),
    ];
    for (n, (one, other, refused)) in cases.into_iter().enumerate() {
        let (b, s) = (format!("b{n}"), format!("s{n}"));
        let told = |result: Result<_>| match result {
            Ok(_) => String::new(),
            Err(error) => error.to_string(),
        };
        let made = store.write_blocking(move |c| {
            let (buyer, _) = c.set_party(&party(Role::Buyer, &b, one), &[], NOW)?;
            let (seller, _) = c.set_party(&party(Role::Seller, &s, other), &[], NOW)?;
            Ok((buyer, seller))
        });
        let (buyer, seller) = made.expect("each by itself");
        let paired = store
            .write_blocking(move |c| c.pair_or_new(buyer, seller, ("m.test", 35), NOW, &mut SystemRandom).map(|_| ()));
        assert_eq!(told(paired).contains("one mailbox"), refused, "{one} {other}");
        // The same where the pair is there before.
        let (b, s) = (format!("B{n}"), format!("S{n}"));
        let late = store.write_blocking(move |c| {
            let (buyer, _) = c.set_party(&party(Role::Buyer, &b, one), &[], NOW)?;
            let (seller, _) = c.set_party(&party(Role::Seller, &s, "other@y.test"), &[], NOW)?;
            c.pair_or_new(buyer, seller, ("m.test", 35), NOW, &mut SystemRandom)?;
            let further = Some(vec![Address::parse(other).unwrap()]);
            c.set_party(&NewParty { further, ..party(Role::Seller, &s, "other@y.test") }, &[], NOW).map(|_| ())
        });
        assert_eq!(told(late).contains("one mailbox"), refused, "late: {one} {other}");
    }
}

#[test]
fn domains_of_a_seller() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), Open::Create).unwrap();
    let own = ["m.test".to_owned(), "mx.host.test".to_owned()];
    let providers = crate::types::Providers::new(["mail.test".to_owned()], []);
    let read = |text: &str| OwnDomain::read(text, &own, &providers);
    for bad in [
        "",
        "@",
        "shop.test",
        "a@shop.test",
        "@shop",
        "@sh op.test",
        "@[192.0.2.1]",
        "@gmail.com",
        "@GoogleMail.com",
        "@docomo.ne.jp",
        "@t.vodafone.ne.jp",
        "@mail.test",
        "@sub.mail.test",
        "@m.test",
        "@sub.m.test",
    ] {
        assert!(read(bad).is_err(), "{bad}");
    }
    let domains = ["@Shop.test", "@bücher.test."].map(|text| read(text).unwrap());
    let id = store
        .write_blocking(move |c| {
            let (id, _) = c.set_party(&party(Role::Seller, "s1", "a@shop.test"), &[], NOW)?;
            c.set_domains(id, &domains)?;
            Ok(id)
        })
        .unwrap();
    let found = store.read(|v| v.party(id)).unwrap();
    assert_eq!(found.domains, ["shop.test", "xn--bcher-kva.test"]);
    assert_eq!((found.addresses.len(), found.known.len()), (1, 1));
    let one = read("@other.test").unwrap();
    store.write_blocking(move |c| c.set_domains(id, &[one])).unwrap();
    assert_eq!(store.read(|v| v.party(id)).unwrap().domains, ["other.test"]);
    store.write_blocking(move |c| c.remove_party(id)).unwrap();
    let gone = store.read(|v| v.party(id)).unwrap();
    assert!(gone.domains.is_empty() && gone.known.len() == 1, "a removed party can still be read");
}

#[test]
fn setting_a_party() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), Open::Create).unwrap();
    let set = |new: NewParty| store.write_blocking(move |c| c.set_party(&new, &["m.test".to_owned()], NOW));
    let base = party(Role::Seller, "s1", "a@shop.test");
    let (id, made) = set(base.clone()).unwrap();
    assert!(made);
    assert_eq!(set(base.clone()).unwrap(), (id, false), "twice changes nothing more");
    let further = vec![Address::parse("b+x@shop.test").unwrap(), Address::parse("A@shop.test").unwrap()];
    set(NewParty { further: Some(further), ..base.clone() }).unwrap();
    set(NewParty { main: Some(Address::parse("c@shop.test").unwrap()), name: None, ..base.clone() }).unwrap();
    let party = store.read(|v| v.party(id)).unwrap();
    let texts: Vec<&str> = party.addresses.iter().map(Address::expose).collect();
    assert_eq!(texts, ["c@shop.test", "b+x@shop.test"], "the old main address is former");
    assert_eq!(party.known.len(), 3, "and still known to the rewriter");
    assert_eq!(party.name, "s1 Ltd");
    for bad in ["x@m.test", "x@M.TEST"] {
        assert!(set(NewParty { main: Some(Address::parse(bad).unwrap()), ..base.clone() }).is_err());
        assert!(set(NewParty { further: Some(vec![Address::parse(bad).unwrap()]), ..base.clone() }).is_err());
    }
    for bad in [
        "a\r\nBcc: x@y.test",
        "a\n",
        "a\tb",
        "a\0",
        "\u{85}",
        "a\u{2028}b",
        "\u{202e}moc",
        "a\u{2067}",
        "\x1b[2J",
        "\u{7f}",
    ] {
        assert!(set(NewParty { name: Some(bad.to_owned()), ..base.clone() }).is_err(), "{bad:?}");
    }
    // Joiners and marks of direction belong to the spelling of some names.
    for good in ["O’Neill & Söhne", "佐藤商店", "می\u{200c}خواهم", "שלום\u{200f}", ""] {
        assert!(set(NewParty { name: Some(good.to_owned()), ..base.clone() }).is_ok(), "{good:?}");
    }
    assert!(store.write_blocking(move |c| c.set_switch(id, Switch::Suspended, true)).unwrap());
    assert!(!store.write_blocking(move |c| c.set_switch(id, Switch::Suspended, true)).unwrap());
}

/// What an older version let pass is found, counted, and named as far as there is room.
#[test]
fn parties_with_flaws() {
    let dir = tempfile::tempdir().unwrap();
    let own = ["m.test".to_owned(), "mx.m.test".to_owned()];
    let look = |path: &std::path::Path| Store::peek(path, |view| view.flawed(&own)).unwrap();
    assert_eq!(look(dir.path()), None, "there is no store");
    assert!(std::fs::read_dir(dir.path()).unwrap().next().is_none(), "and none was made");
    let store = open(dir.path(), Open::Create).unwrap();
    let (buyer, ..) = pair(&store);
    assert_eq!(look(dir.path()), Some(vec![]));
    let gone = store
        .write_blocking(move |c| {
            let set = |id: &str, main: &str| c.set_party(&party(Role::Seller, id, main), &[], NOW).map(|(id, _)| id);
            for n in 10..25 {
                set(&format!("s{n}"), &format!("{n}@m.test"))?;
            }
            let further = Some(["x@m.test", "y@mx.m.test"].map(|text| Address::parse(text).unwrap()).to_vec());
            c.set_party(&NewParty { further, ..party(Role::Seller, "s25", "z@shop.test") }, &[], NOW)?;
            for fine in ["a@sub.m.test", "b@xm.test", "m.test@shop.test"] {
                set(fine, fine)?;
            }
            c.0.0.execute("UPDATE party SET name = 'a' || char(13, 10) || 'b' WHERE id = ?1", [buyer.0])?;
            set("gone", "gone@m.test")
        })
        .unwrap();
    let found = look(dir.path()).unwrap();
    let counts: Vec<_> = found.iter().map(|one| (one.flaw, one.count, one.first.len())).collect();
    assert_eq!(counts, [(Flaw::Domain, 17, 10), (Flaw::Name, 1, 1)]);
    assert_eq!(found[0].first[0], ("jp".to_owned(), Role::Seller, "s10".to_owned()));
    assert_eq!(found[1].first[0], ("jp".to_owned(), Role::Buyer, "b1".to_owned()));
    store.write_blocking(move |c| c.remove_party(gone)).unwrap();
    assert_eq!(look(dir.path()).unwrap()[0].count, 16, "who is removed gets no mail");
    // Beside no daemon, too, and without a trace.
    store.close();
    drop(store);
    let files = || {
        std::fs::read_dir(dir.path())
            .unwrap()
            .map(|file| file.unwrap().file_name())
            .collect::<std::collections::BTreeSet<_>>()
    };
    let before = files();
    assert_eq!(look(dir.path()).unwrap()[0].count, 16);
    assert_eq!(files(), before);
    let store = open(dir.path(), Open::Existing).unwrap();
    // Of another schema: left alone.
    store.write_blocking(|c| Ok(c.0.0.pragma_update(None, "user_version", 1)?)).unwrap();
    assert_eq!(look(dir.path()), None);
}

#[test]
fn messages_and_threads() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), Open::Create).unwrap();
    let (_, seller, pair) = pair(&store);
    let raw = b"Subject: s\r\n\r\n".repeat(100);
    let body = Body::pack(&raw);
    assert!(body.bytes.len() < raw.len() / 4);
    let (one, two) = (message(5, &pair, Role::Buyer, "x@home", None), message(6, &pair, Role::Seller, "x@home", None));
    let id = pair.id;
    store
        .write_blocking(move |c| {
            let body = c.insert_body(&body)?;
            c.insert_message(&NewMessage { body: Some(body), ..one })?;
            c.insert_message(&NewMessage { body: Some(body), fate: "delivered", ..two })?;
            c.record(MessageId(5), NOW, "deferred", "connect")?;
            c.count_quota(seller, NOW)?;
            c.count_quota(seller, NOW)
        })
        .unwrap();
    store
        .read(|v| {
            assert_eq!(v.raw(MessageId(5))?, Some(raw.clone()));
            assert_eq!(v.message_by_original(id, Role::Buyer, "x@home")?, Some(MessageId(5)));
            assert_eq!(v.message_by_original(id, Role::Seller, "x@home")?, Some(MessageId(6)));
            assert_eq!(v.message_by_original(id, Role::Seller, "y@home")?, None);
            assert_eq!(v.events(MessageId(5))?.len(), 1);
            assert_eq!(v.quota_used(seller, NOW)?, 2);
            assert_eq!(v.last_message()?, MessageId(6));
            let open = Filter { needs_response: true, limit: 9, ..Filter::default() };
            assert_eq!(v.messages(&open)?.len(), 1);
            let of_seller = Filter { seller: Some(seller), limit: 1, ..Filter::default() };
            assert_eq!(v.messages(&of_seller)?[0].number, 6);
            Ok(())
        })
        .unwrap();
}

#[test]
fn backups_open_and_another_process_sees_changes() {
    let dir = tempfile::tempdir().unwrap();
    let (daemon, cli) = (open(dir.path(), Open::Create).unwrap(), open(dir.path(), Open::Existing).unwrap());
    let (buyer, _, _) = pair(&cli);
    assert!(!daemon.read(|v| v.party(buyer)).unwrap().opted_out);
    cli.write_blocking(move |c| c.set_switch(buyer, Switch::OptedOut, true)).unwrap();
    assert!(daemon.read(|v| v.party(buyer)).unwrap().opted_out);
    let copy = tempfile::tempdir().unwrap();
    let file = copy.path().join(FILE);
    daemon.backup(&file).unwrap();
    // Put where another store was, and its log still is.
    let log = copy.path().join(format!("{FILE}-wal"));
    std::fs::copy(dir.path().join(format!("{FILE}-wal")), &log).unwrap();
    let before = std::fs::read(&file).unwrap();
    assert!(matches!(open(copy.path(), Open::Existing), Err(OpenError::Strangers(_))));
    assert_eq!(std::fs::read(&file).unwrap(), before);
    std::fs::remove_file(&log).unwrap();
    assert!(open(copy.path(), Open::Existing).unwrap().read(|v| v.party(buyer)).unwrap().opted_out);
    assert!(open(copy.path(), Open::Existing).is_ok(), "a log of its own is no stranger's");
}

/// A job that can wait shares the commit of one that cannot; alone, it is not forgotten.
#[tokio::test]
async fn jobs_that_can_wait() {
    let (dir, metrics) = (tempfile::tempdir().unwrap(), Metrics::default());
    let store = Store::open(dir.path(), Open::Create, &mut SystemRandom, metrics.clone()).unwrap();
    let record = |id: i64| move |c: &Change<'_>| c.record(MessageId(id), NOW, "x", "");
    // A busy machine may come between the two; it does not do so every time.
    for _ in 0..20 {
        let (first, second) = tokio::join!(store.write_with_others(record(1)), store.write(record(2)));
        assert!(first.is_ok() && second.is_ok());
    }
    let (text, name) = (metrics.text(), "marketrelay_commit_jobs_count ");
    let commits = text.lines().find_map(|line| line.strip_prefix(name)).unwrap().parse::<u32>().unwrap();
    assert!((20..40).contains(&commits), "{commits} commits of 40 jobs");
    store.write_with_others(record(3)).await.unwrap();
    let kept = |id| store.read(|v| v.events(MessageId(id))).unwrap().len();
    assert_eq!((kept(1), kept(2), kept(3)), (20, 20, 1));
}

#[test]
fn only_who_holds_the_lock_changes_the_schema() {
    let newer = [schema::MIGRATIONS, &["ALTER TABLE marketplace ADD COLUMN note TEXT"]].concat();
    let (ours, next) = (schema::version(schema::MIGRATIONS), schema::version(&newer));
    // who opens the store of an older version, whether a daemon runs on it, and the schema after that, or what the error says
    let table: &[(&str, bool, bool, std::result::Result<i32, &str>)] = &[
        ("a command", false, false, Ok(next)),
        ("a command beside a daemon", false, true, Err("Restart the daemon with this version")),
        ("a daemon", true, false, Ok(next)),
        ("a daemon beside another", true, true, Err("another marketrelay daemon runs")),
    ];
    for (name, daemon, runs, want) in table {
        let dir = tempfile::tempdir().unwrap();
        let old = open(dir.path(), Open::Create).unwrap();
        let held = runs.then(|| Store::lock(dir.path()).unwrap());
        let upgrade = |daemon: bool| {
            let lock = daemon.then(|| Store::lock(dir.path())).transpose()?;
            let (how, random) = (Open::Existing, &mut SystemRandom);
            Store::opened(dir.path(), how, lock.as_ref(), &newer, random, Metrics::default())
        };
        let version = |store: &Store| {
            store.read(|v| Ok(v.0.pragma_query_value(None, "user_version", |row| row.get::<_, i32>(0))?)).unwrap()
        };
        match (upgrade(*daemon), want) {
            (Ok(store), Ok(want)) => assert_eq!(version(&store), *want, "{name}"),
            (Err(error), Err(want)) => {
                assert!(error.to_string().contains(want), "{name}: {error}");
                assert_eq!(version(&old), ours, "{name}: nothing changed under it");
            }
            (got, _) => panic!("{name}: {:?}", got.map(|_| ())),
        }
        drop(held);
        upgrade(false).expect(name);
        // Now a command works beside the daemon, and the version before is refused.
        let _daemon = Store::lock(dir.path()).expect("a command lets go of the lock");
        upgrade(false).expect(name);
        let refused = open(dir.path(), Open::Existing);
        assert!(
            matches!(refused, Err(OpenError::Newer { found, known, .. }) if (found, known) == (next, ours)),
            "{name}"
        );
    }
}

/// Rows as earlier releases wrote them, brought up to date. A new migration adds its rows here.
#[test]
fn old_rows_survive_each_migration() {
    const ROWS: &[&str] = &[
        "INSERT INTO marketplace VALUES (1, 'jp');
         INSERT INTO party (id, marketplace, role, external, created) VALUES (1, 1, 0, 'b', 0), (2, 1, 1, 's', 0);
         INSERT INTO pair VALUES (1, 1, 2, 'b@m.test', 's@m.test', 0);
         INSERT INTO alias VALUES ('b@m.test', 1, 0), ('s@m.test', 1, 1);",
        // Refusals.
        "INSERT INTO refusal (minute, client, pair, author, reason, number) VALUES (0, 7, 1, 1, 'stranger', 3);
         INSERT INTO refused VALUES (2, 1, 'spf-failed', 3, 0, 1, NULL);
         INSERT INTO refusal_notice (party, told, run) VALUES (2, 0, 1);",
        "",
        "",
        "",
        "",
        // Machines.
        "",
        // Told.
        "INSERT INTO told VALUES (1, 1, 'address-in-file', 0);",
        // Who sent what was refused.
        "",
    ];
    assert_eq!(ROWS.len(), schema::MIGRATIONS.len(), "rows for each version");
    for from in 0..ROWS.len() {
        let mut connection = Connection::open_in_memory().unwrap();
        for (step, rows) in schema::MIGRATIONS.iter().zip(ROWS).take(from + 1) {
            connection.execute_batch(step).unwrap();
            connection.execute_batch(rows).unwrap();
        }
        connection.pragma_update(None, "user_version", i32::try_from(from).unwrap() + 1).unwrap();
        schema::migrate(&mut connection, schema::MIGRATIONS).unwrap();
        let version: i32 = connection.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
        assert_eq!(version, schema::version(schema::MIGRATIONS));
        let broken = connection.query_row("PRAGMA foreign_key_check", [], |row| row.get::<_, String>(0)).optional();
        assert_eq!(broken, Ok(None));
        assert!(View(&connection).resolve(&Alias::from_text("b@m.test")).unwrap().is_some());
    }
}

/// A panic among lookups on the writer's connection, or an error, ends their snapshot, and costs nobody else anything.
#[test]
fn a_panic_in_a_glance() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), Open::Create).unwrap();
    let panics = std::panic::AssertUnwindSafe(|| {
        store.glance(|view| -> Result<()> {
            view.last_message()?;
            panic!("hostile")
        })
    });
    assert!(std::panic::catch_unwind(panics).is_err());
    let (_, _, pair) = pair(&store);
    let seen = |view: &View<'_>| view.pair(pair.id).map(|pair| pair.id);
    assert_eq!((store.glance(seen).unwrap(), store.read(seen).unwrap()), (pair.id, pair.id));
    assert!(store.glance(|view| view.pair(crate::types::PairId(i64::MAX))).is_err());
    assert_eq!(store.glance(seen).unwrap(), pair.id);
}
