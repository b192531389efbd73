//! The policy as a table (`cases.txt`) and as properties over arbitrary facts.

use super::author::{Author, Proof};
use super::automatic::{Answers, Automatic};
use super::content::{Closed, Content, Part};
use super::opt_out::{KnownBy, MayAnswer, Thread};
use super::quota::Use;
use super::reason::Method;
use super::*;
use crate::config::{OptOutAnswer, OverQuota, Policy};
use proptest::prelude::*;
use std::sync::LazyLock;
use std::time::Duration;

fn facts<'a>(rules: &'a Policy, author_role: Role, parts: &'a [Part<'a>]) -> Facts<'a> {
    Facts {
        rules,
        author_role,
        hops: Hops { own_mark: false, received: 3, limit: 50 },
        author: Author::Party,
        proof: Proof::Proved,
        other_mailbox: false,
        another: None,
        named: None,
        signature: None,
        unnamed_client: false,
        unauthenticated_allowed: false,
        author_suspended: false,
        gone: false,
        content: Content { size: 4096, parts, closed: None },
        automatic: None,
        answers: Answers::default(),
        quota: (author_role == Role::Seller).then(|| used(0)),
        opted_out: false,
        thread: None,
        critical: false,
        critical_use: None,
        auto_reply: MayAnswer { wanted: true, null_sender: false, answered_today: false },
    }
}

fn used(used: u64) -> Use {
    let now = crate::types::Time::from_rfc3339("2026-11-21T05:00:00Z").unwrap();
    Use { used, limit: 600, opens: quota::Day::at(now, &jiff::tz::TimeZone::get("Asia/Tokyo").unwrap()).opens }
}

const DAY: Duration = Duration::from_secs(86_400);

fn thread(role: &str, known_by: KnownBy) -> Option<Thread> {
    let begun_by = if role == "seller" { Role::Seller } else { Role::Buyer };
    Some(Thread { begun_by, automatic: role == "machine", known_by, age: DAY })
}

/// Settings, parts (name, type, size), names listed in archives, what was sniffed.
type Borrowed = (Policy, Vec<(String, String, u64)>, Vec<String>, Option<String>);

/// What a line's words say of the parts and of the settings, which the facts borrow.
fn borrowed(words: &[&str]) -> Borrowed {
    let (mut rules, mut parts, mut lists, mut sniffed) = (Policy::default(), Vec::new(), Vec::new(), None);
    for word in words {
        match word.split_once('=').unwrap_or((word, "")) {
            ("part", value) => {
                let fields: Vec<&str> = value.split(':').collect();
                parts.push((fields[0].to_owned(), fields[1].to_owned(), fields[2].parse().unwrap()));
            }
            ("parts", count) => parts.extend((0..count.parse().unwrap()).map(|_| ("a.pdf".into(), "a/pdf".into(), 1))),
            ("lists", name) => lists.push(name.to_owned()),
            ("is", kind) => sniffed = Some(kind.to_owned()),
            ("defer", _) => rules.quota.over = OverQuota::Defer,
            ("answer", "reject") => rules.opt_out.answer = OptOutAnswer::Reject,
            _ => {}
        }
    }
    (rules, parts, lists, sniffed)
}

fn apply(facts: &mut Facts<'_>, word: &str) {
    match word.split_once('=').unwrap_or((word, "")) {
        ("seller" | "buyer" | "part" | "parts" | "lists" | "is" | "defer" | "answer", _) => {}
        ("own-mark", _) => facts.hops.own_mark = true,
        ("hops", n) => facts.hops.received = n.parse().unwrap(),
        ("stranger", _) => facts.author = Author::Stranger,
        ("missing", _) => facts.author = Author::Missing,
        ("several", _) => facts.author = Author::Several,
        ("malformed", _) => facts.author = Author::Malformed,
        ("other-mailbox", _) => facts.other_mailbox = true,
        ("absent", _) => facts.proof = Proof::Absent,
        ("not-checked", _) => facts.proof = Proof::NotChecked,
        ("trouble", _) => facts.proof = Proof::Trouble,
        ("failed", "spf") => facts.proof = Proof::Failed(Method::Spf),
        ("failed", "dkim") => facts.proof = Proof::Failed(Method::Dkim),
        ("failed", "several") => facts.proof = Proof::Failed(Method::Several),
        ("allowed", _) => facts.unauthenticated_allowed = true,
        ("suspended", _) => facts.author_suspended = true,
        ("gone", _) => facts.gone = true,
        ("size", n) => facts.content.size = n.parse().unwrap(),
        ("automatic", _) => facts.automatic = Some(Automatic::Replied),
        ("marked", _) => facts.automatic = Some(Automatic::Marked),
        // So many went in the last hour, and in the last day.
        ("answers", n) => {
            let (hour, day) = n.split_once('/').unwrap();
            facts.answers = Answers { hour: hour.parse().unwrap(), day: day.parse().unwrap() };
        }
        ("encrypted", _) => facts.content.closed = Some((Closed::Encrypted, "2")),
        ("signed", _) => facts.content.closed = Some((Closed::Signed, "2")),
        ("partial", _) => facts.content.closed = Some((Closed::Partial, "2")),
        ("elsewhere", _) => facts.content.closed = Some((Closed::Elsewhere, "2")),
        ("over-quota", _) => facts.quota = Some(used(600)),
        ("last-of-quota", _) => facts.quota = Some(used(599)),
        ("opted-out", _) => facts.opted_out = true,
        ("critical", "") => facts.critical = true,
        // So many were let through today, of 20.
        ("critical", n) => {
            facts.critical = true;
            facts.critical_use = Some(Use { limit: 20, ..used(n.parse().unwrap()) });
        }
        ("thread", role) => facts.thread = thread(role, KnownBy::Headers),
        ("mark", role) => facts.thread = thread(role, KnownBy::Mark),
        ("age", days) => facts.thread.as_mut().unwrap().age = DAY * days.parse().unwrap(),
        ("no-auto-replies", _) => facts.auto_reply.wanted = false,
        ("null-sender", _) => facts.auto_reply.null_sender = true,
        ("answered", _) => facts.auto_reply.answered_today = true,
        _ => panic!("unknown word {word}"),
    }
}

/// Decides about the facts that the words of a line say.
fn decided(words: &[&str]) -> Decision {
    let (rules, parts, lists, sniffed) = borrowed(words);
    let sniffed: Vec<&str> = sniffed.iter().map(String::as_str).collect();
    let parts: Vec<Part<'_>> = parts
        .iter()
        .map(|(name, kind, size)| Part {
            path: "2",
            name: Some(name.as_str()).filter(|name| !name.is_empty()),
            content_type: kind,
            sniffed: &sniffed,
            size: *size,
            listed: &lists,
        })
        .collect();
    let role = if words[0] == "seller" { Role::Seller } else { Role::Buyer };
    let mut facts = facts(&rules, role, &parts);
    words.iter().for_each(|word| apply(&mut facts, word));
    decide(&facts)
}

fn lines() -> impl Iterator<Item = (&'static str, Vec<&'static str>, Vec<&'static str>)> {
    let lines = include_str!("cases.txt").lines().filter(|l| !l.is_empty() && !l.starts_with('#'));
    lines.filter_map(|line| {
        let (left, right) = line.split_once('|')?;
        Some((line, left.split_whitespace().collect(), right.split_whitespace().collect()))
    })
}

#[test]
fn every_case_of_the_table() {
    let mut ran = 0;
    for (line, words, want) in lines() {
        let decision = match words[..] {
            // Found before or after the rules.
            ["outside", "repeated"] => Decision::repeated(),
            ["outside", "same-words"] => turns::one_too_many(),
            ["outside", "malformed"] => Decision::reject(Reason::Malformed),
            ["outside", "repeated-field"] => Decision::reject(Reason::RepeatedField("Message-ID")),
            ["outside", "address-in-file"] => Decision::reject(Reason::AddressInFile { part: "2".to_owned() }),
            ["outside", "unclean"] => Decision::reject(Reason::Unclean),
            ["outside", "costly"] => Decision::reject(Reason::TooCostly),
            _ => decided(&words),
        };
        let reply = decision.reply(MessageId(7)).wire();
        let codes = reply.split_whitespace().take(2).collect::<Vec<_>>();
        assert_eq!(
            (decision.verdict.as_str(), decision.reason.as_str(), codes, decision.answer),
            (want[0], want[1], vec![want[2], want[3]], want.get(4) == Some(&"answer")),
            "{line}"
        );
        assert!(reply.len() <= 512 && !reply.contains('@') && reply.is_ascii(), "{reply}");
        ran += 1;
    }
    assert!(ran > 100, "{ran} lines");
}

/// A reason without a line is a rule that nobody tests.
#[test]
fn every_reason_has_a_line() {
    let source = include_str!("reason.rs").split("impl Reason {").nth(1).unwrap();
    let (words, _) = source.split_once("/// What SMTP says").unwrap();
    let words: Vec<&str> = words.split('"').skip(1).step_by(2).collect();
    assert!(words.len() >= 27, "{words:?}");
    for word in words {
        assert!(lines().any(|(_, _, want)| want[1] == word), "cases.txt has no line for {word}");
    }
}

/// Lines that begin with `order`: each word brings its reason about, and wins over every word behind it.
#[test]
fn rules_in_their_order() {
    let mut pairs = 0;
    for line in include_str!("cases.txt").lines().filter_map(|line| line.strip_prefix("order ")) {
        let (role, steps) = line.split_once(' ').unwrap();
        let steps: Vec<(&str, &str)> = steps.split_whitespace().map(|step| step.split_once('>').unwrap()).collect();
        for (at, (words, reason)) in steps.iter().enumerate() {
            for (later, _) in &steps[at..] {
                let words: Vec<&str> = [role].into_iter().chain(words.split('+')).chain(later.split('+')).collect();
                assert_eq!(decided(&words).reason.as_str(), *reason, "{words:?}");
                pairs += 1;
            }
        }
    }
    assert!(pairs > 200, "{pairs} pairs");
}

#[test]
fn over_quota_tells_the_number_and_the_time() {
    let rules = Policy::default();
    let mut facts = facts(&rules, Role::Seller, &[]);
    facts.quota = Some(used(600));
    let reply = decide(&facts).reply(MessageId(7)).wire();
    assert!(reply.contains("600 messages") && reply.contains("2026-11-22T00:00:00+09:00"), "{reply}");
}

#[test]
fn a_refused_part_is_named_and_long_rules_fit() {
    let mut rules = Policy::default();
    rules.attachments.forbidden_extensions = vec!["x".repeat(900)];
    let name = format!("a.{}", "x".repeat(900));
    let parts = [Part { path: "2.1", name: Some(&name), content_type: "a/b", ..Part::default() }];
    let reply = decide(&facts(&rules, Role::Buyer, &parts)).reply(MessageId(7)).wire();
    assert!(reply.contains("Part 2.1 ") && reply.len() <= 512, "{reply}");
}

/// A limit that follows the orders, and a share that a few messages are not.
#[test]
fn critical_messages_have_a_limit_and_a_share() {
    let rules = Policy::default();
    for (orders, want) in [(0, 20), (29, 20), (30, 21), (3000, 120), (u64::MAX, u64::MAX / 30 + 20)] {
        assert_eq!(opt_out::critical_limit(orders, &rules), want, "{orders}");
    }
    // critical, of so many messages, the share that is told
    let table = [
        (0, 0, None),
        (9, 9, None),
        (10, 10, Some(100)),
        (10, 20, Some(50)),
        (10, 21, None),
        (300, 601, None),
        (301, 600, Some(50)),
        (10, 0, Some(100)),
    ];
    for (critical, messages, want) in table {
        let told = opt_out::worrying_share(critical, messages, &rules.opt_out);
        assert_eq!(told, want, "{critical} of {messages}");
    }
    let never = crate::config::OptOut { critical_share: 0, ..rules.opt_out };
    assert_eq!(opt_out::worrying_share(100, 100, &never), None);
}

/// The right guess and the wrong one: whatever is proved of a message, short of its author, the two
/// are answered in the same words, and the message counts as a stranger's.
#[test]
fn an_author_that_nothing_proves_is_answered_like_a_stranger() {
    use Method::{Dkim, Several, Spf};
    let failed = [Spf, Dkim, Several].map(Proof::Failed);
    let rules = Policy::default();
    for proof in [Proof::Absent, Proof::Trouble].into_iter().chain(failed) {
        for flags in 0..32 {
            let mut facts = facts(&rules, Role::Seller, &[]);
            facts.proof = proof;
            facts.other_mailbox = flags & 1 > 0;
            facts.author_suspended = flags & 2 > 0;
            facts.gone = flags & 4 > 0;
            facts.opted_out = flags & 8 > 0;
            facts.quota = Some(used(if flags & 16 > 0 { 600 } else { 0 }));
            let stranger = decide(&Facts { author: Author::Stranger, ..facts.clone() });
            let party = decide(&facts);
            let wire = |decision: &Decision| decision.reply(MessageId(7)).wire();
            assert_eq!(wire(&party), wire(&stranger), "{proof:?} {flags}");
            assert!(!author::is_known(&facts), "{proof:?} {flags}");
            let want = if proof == Proof::Trouble { "451 4.7.24 " } else { "550 5.7.1 " };
            assert!(wire(&party).starts_with(want), "{proof:?} {flags}");
        }
    }
    // Who is proved to be another is a stranger; who is proved to be the party hears what is the
    // matter.
    let text = |reason: Reason| Decision::reject(reason).reply(MessageId(7)).wire();
    assert_ne!(text(Reason::Stranger), text(Reason::Suspended));
}

fn any_author() -> impl Strategy<Value = Author> {
    prop_oneof![
        6 => Just(Author::Party),
        1 => Just(Author::Stranger),
        1 => Just(Author::Missing),
        1 => Just(Author::Several),
        1 => Just(Author::Malformed),
    ]
}

fn any_proof() -> impl Strategy<Value = Proof> {
    prop_oneof![
        4 => Just(Proof::Proved),
        1 => Just(Proof::NotChecked),
        2 => Just(Proof::Absent),
        1 => Just(Proof::Trouble),
        2 => prop::sample::select(vec![Method::Spf, Method::Dkim, Method::Several]).prop_map(Proof::Failed),
    ]
}

fn any_thread() -> impl Strategy<Value = Option<Thread>> {
    let begun = prop::sample::select(vec![Role::Buyer, Role::Seller]);
    let known = prop::sample::select(vec![KnownBy::Headers, KnownBy::Mark]);
    prop::option::of((begun, known, 0..400_u32).prop_map(|(begun_by, known_by, days)| Thread {
        begun_by,
        automatic: days % 3 == 0,
        known_by,
        age: DAY * days,
    }))
}

static RULES: LazyLock<Policy> = LazyLock::new(Policy::default);

fn any_facts() -> impl Strategy<Value = Facts<'static>> {
    let flags = prop::collection::vec(any::<bool>(), 11);
    (any_author(), any_proof(), any_thread(), flags, 0..60_usize, 0..30_u64, 598..603_u64).prop_map(
        |(author, proof, thread, flags, received, mib, sent)| {
            let role = if flags[0] { Role::Seller } else { Role::Buyer };
            let mut facts = facts(&RULES, role, &[]);
            facts.author = author;
            facts.proof = proof;
            facts.thread = thread;
            facts.hops = Hops { own_mark: flags[1] && flags[2], received, limit: 50 };
            facts.content.size = mib << 20;
            facts.quota = flags[0].then(|| used(sent));
            facts.unauthenticated_allowed = flags[3];
            facts.author_suspended = flags[1] && flags[4];
            facts.automatic = match (flags[5], flags[6]) {
                (true, true) => Some(Automatic::Marked),
                (true, false) => Some(Automatic::Replied),
                _ => None,
            };
            facts.answers = Answers { hour: sent % 5, day: sent % 12 };
            facts.opted_out = flags[7];
            facts.critical = flags[8];
            facts.critical_use = flags[8].then(|| Use { limit: 20, ..used(sent - 580) });
            facts.auto_reply = MayAnswer { wanted: flags[9], null_sender: flags[10], answered_today: false };
            facts.other_mailbox = flags[2] && flags[4];
            facts
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn promises_hold_for_all_facts(facts in any_facts()) {
        let decision = decide(&facts);
        let lets_in = matches!(decision.verdict, Verdict::Relay | Verdict::Block);
        if lets_in {
            prop_assert_eq!(facts.author, Author::Party, "only the party writes");
            let proved = matches!(facts.proof, Proof::Proved | Proof::NotChecked);
            prop_assert!(proved || (facts.proof == Proof::Absent && facts.unauthenticated_allowed));
            prop_assert!(!facts.other_mailbox && !facts.author_suspended && !facts.hops.own_mark);
        }
        if decision.verdict == Verdict::Relay && facts.opted_out && facts.author_role == Role::Seller {
            let begun = facts.thread.is_some_and(|t| t.begun_by == Role::Buyer && !t.automatic && t.age <= DAY * 180);
            let critical = facts.critical && facts.critical_use.as_ref().is_none_or(|used| used.used < used.limit);
            prop_assert!(begun || critical, "no opted-out buyer gets a message without an exception");
        }
        if decision.verdict == Verdict::Relay {
            prop_assert!(facts.quota.as_ref().is_none_or(|q| q.used < q.limit));
            let answer = facts.automatic.is_some_and(Automatic::is_answer);
            prop_assert!(!answer || automatic::one_more(facts.answers).is_none());
        }
        if decision.answer {
            let asks = !facts.auto_reply.null_sender && !facts.automatic.is_some_and(Automatic::is_answer);
            prop_assert!(decision.verdict == Verdict::Block && asks);
        }
        if decision.counts() {
            prop_assert!(lets_in, "what is refused uses nothing up");
        }
        let told = every_answer(&facts);
        let first = told.iter().find_map(|answer| answer.decision.clone());
        prop_assert_eq!(first.as_ref(), Some(&decision), "who explains says what is decided");
        prop_assert!(told.iter().map(|answer| answer.rule).eq(rule_names()));
        let words = facts.words();
        prop_assert!(words.split(' ').all(|word| word.split_once('=').is_some_and(|(n, v)| !n.is_empty() && !v.is_empty())), "{}", words);
        let code = decision.reply(MessageId(7)).code() / 100;
        let want = match decision.verdict { Verdict::Relay | Verdict::Block => 2, Verdict::Reject => 5, Verdict::Defer => 4 };
        prop_assert_eq!(code, want);
    }
}
