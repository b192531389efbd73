//! Machines: their answers are counted, and those without a mark that answer one another end. What
//! else a program had its hand in is mail. And the clock of a question stops where it is answered.

use super::*;
use crate::authentication::Authentication;
use crate::policy::author::Proof;
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);

impl World {
    fn arrived_at(&self, at: Time, from: &str, message: &str) -> Arrived {
        let (buyer_alias, seller_alias) = self.aliases();
        let to = if from == SELLER { buyer_alias } else { seller_alias };
        Arrived::new(self.session(false, from, &[to], message), at, Authentication::only(Proof::NotChecked))
    }

    /// What becomes of a message that comes at `at`: verdict, reason, and the rule that decided.
    async fn outcome_at(&self, at: Time, from: &str, message: &str) -> (String, String, String) {
        let reply = self.relay.through(self.arrived_at(at, from, message)).await;
        assert_eq!(reply.code(), 250, "{message}");
        self.decided()
    }

    /// The newest message: verdict, reason, and the rule that decided.
    fn decided(&self) -> (String, String, String) {
        let newest = self.newest();
        let rule = newest.facts.rsplit("rule=").next().unwrap().to_owned();
        (newest.verdict, newest.reason, rule)
    }

    fn waiting(&self) -> usize {
        let waiting = Filter { needs_response: true, limit: 100, ..Filter::default() };
        self.store.read(|v| v.messages(&waiting)).unwrap().len()
    }
}

fn three(words: [&str; 3]) -> (String, String, String) {
    let [verdict, reason, rule] = words.map(str::to_owned);
    (verdict, reason, rule)
}

/// A program that answers each message that it gets with the same words.
#[derive(Clone, Copy, Debug)]
struct Responder {
    fields: &'static str,
    /// With what the message says, and how often it has answered, in it.
    says: fn(&str, usize) -> String,
    /// It names what it answers.
    threads: bool,
    html: bool,
}

const PLAIN: fn(&str, usize) -> String = |_, _| "Thank you for your message. We answer within a day.".to_owned();
const TICKET: fn(&str, usize) -> String =
    |_, n| format!("Your request got the number {}. We will see to it.", 4711 + n);
const QUOTES: fn(&str, usize) -> String =
    |heard, _| format!("We are away until Monday, and will answer then.\n> {}", heard.replace('\n', "\n> "));
const REPEATS: fn(&str, usize) -> String = |heard, _| format!("We have got your message.\nIt says:\n{heard}");
const JAPANESE: fn(&str, usize) -> String =
    |_, n| format!("お問い合わせありがとうございます。受付番号{}にて承りました。担当者よりご連絡いたします。", 90 + n);

const fn unmarked(says: fn(&str, usize) -> String, threads: bool) -> Responder {
    Responder { fields: "", says, threads, html: false }
}

/// As web mailers write and quote.
const HTML: Responder = Responder {
    fields: "",
    says: |heard, n| {
        format!(
            "<div dir=\"ltr\"><p>Your request <b>#{n}</b> has reached us.<br>We will be in touch.</p></div><br><div class=\"gmail_quote\">\
             <div>On Sat, 28 Nov 2026 at 10:{n:02}, you wrote:<br></div><blockquote>{}</blockquote></div>",
            heard.replace('<', "&lt;")
        )
    },
    threads: true,
    html: true,
};

impl Responder {
    fn answer(&self, from: &str, heard: &str, n: usize) -> String {
        let id = header(heard, "Message-ID").unwrap();
        let thread = if self.threads { format!("In-Reply-To: {id}\nReferences: {id}\n") } else { String::new() };
        let text = heard.split_once("\n\n").unwrap().1.trim_end();
        let own = format!("Message-ID: <{n}.{}@{}>\n", from.len(), from.rsplit_once('@').unwrap().1);
        let kind = if self.html { "html" } else { "plain" };
        let kind =
            format!("MIME-Version: 1.0\nContent-Type: text/{kind}; charset=utf-8\nContent-Transfer-Encoding: 8bit\n");
        let fields = self.fields;
        format!("From: {from}\nSubject: We got it\n{own}{thread}{fields}{kind}\n{}\n", (self.says)(text, n))
    }
}

/// Two programs that answer all that they get: what a person wrote, and at most so many of theirs,
/// however long they try.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_responders_stop_within_three_rounds() {
    let marked = |fields, threads| Responder { fields, says: PLAIN, threads, html: false };
    let replied = marked("Auto-Submitted: auto-replied\n", true);
    let vendor = marked("X-Autoreply: yes\n", false);
    let suppress = marked("X-Auto-Response-Suppress: All\n", true);
    let generated = marked("Auto-Submitted: auto-generated\nPrecedence: bulk\n", true);
    // the buyer's, the seller's, messages of theirs that arrive at most
    let cases = [
        (replied, replied, 6),
        (replied, vendor, 6),
        (vendor, unmarked(TICKET, true), 6),
        (suppress, generated, 6),
        (unmarked(PLAIN, true), unmarked(PLAIN, true), 6),
        (unmarked(PLAIN, true), unmarked(TICKET, true), 6),
        (unmarked(TICKET, false), unmarked(PLAIN, false), 6),
        (unmarked(TICKET, false), unmarked(JAPANESE, false), 6),
        (unmarked(QUOTES, true), unmarked(TICKET, true), 6),
        (unmarked(QUOTES, true), unmarked(QUOTES, true), 6),
        (unmarked(REPEATS, true), unmarked(REPEATS, true), 6),
        (HTML, HTML, 6),
        (HTML, unmarked(QUOTES, true), 6),
        (unmarked(REPEATS, true), unmarked(JAPANESE, true), 6),
        // One of them names what it answers: as people who answer several questions alike.
        (unmarked(PLAIN, true), unmarked(TICKET, false), 10),
    ];
    for (buyers, sellers, most) in cases {
        let world = world().await;
        let (buyer_alias, seller_alias) = world.aliases();
        let first =
            format!("From: {SELLER}\nSubject: x\nMessage-ID: <p@sellerco.example>\n\nHello, is anybody there?\n");
        assert_eq!(world.send(SELLER, &[buyer_alias], &first).await.code(), 250);
        let (mut arrived, mut n) = (0, 0);
        for _ in 0..20 {
            let at_buyer = world.arrived(BUYER).await;
            // Notices of ours are from postmaster: programs do not answer them, as they say so.
            let at_seller = world.arrived(SELLER).await;
            let ours = |mail: &&String| !header(mail, "From").unwrap().contains("postmaster@");
            for heard in at_buyer.iter().filter(ours) {
                n += 1;
                let answer = buyers.answer(BUYER, heard, n);
                assert_eq!(world.send(BUYER, &[seller_alias], &answer).await.code(), 250);
            }
            for heard in at_seller.iter().filter(ours) {
                n += 1;
                let answer = sellers.answer(SELLER, heard, n);
                assert_eq!(world.send(SELLER, &[buyer_alias], &answer).await.code(), 250);
            }
            arrived += at_buyer.iter().chain(&at_seller).filter(ours).count();
        }
        assert!((3..=most + 1).contains(&arrived), "{arrived} instead of {most}: {buyers:?} {sellers:?}");
        assert_eq!((world.decided().0.as_str(), world.decided().2.as_str()), ("block", "automatic"), "{buyers:?}");
    }
}

/// What people write goes through, however alike it is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_repeat_themselves() {
    let (asks, answers) =
        ("Where is my parcel? It should be here by now.", "It has been sent. Please have some patience.");
    // minutes, side, thread, text, file; the last one is asked about
    type Letter<'a> = (u64, &'a str, &'a str, &'a str, &'a str);
    fn round<'a>(minute: u64, thread: &'a str, asks: &'a str, answers: &'a str) -> [Letter<'a>; 2] {
        [(minute, BUYER, thread, asks, ""), (minute + 1, SELLER, thread, answers, "")]
    }
    let rounds = |minutes: [u64; 3], threads: [&'static str; 3]| {
        let of = |n: usize| round(minutes[n], threads[n], asks, answers);
        [of(0), of(1), of(2)].concat()
    };
    let one = ["a", "a", "a"];
    let mut files = rounds([0, 5, 10], one);
    files[1].4 = "red";
    let mut other_words = rounds([0, 5, 10], one);
    other_words[5].3 = "It has been sent. I have asked the carrier once more.";
    let mut not_in_turn = rounds([0, 5, 10], one);
    not_in_turn.swap(3, 4);
    let mut short = rounds([0, 5, 10], one);
    short.iter_mut().for_each(|letter| letter.3 = if letter.1 == BUYER { "Any news?" } else { "Not yet, sorry." });
    let cases = [
        ("the third time", rounds([0, 5, 10], one), false),
        ("within the hour", rounds([0, 5, 58], one), false),
        ("but not later", rounds([0, 30, 62], one), true),
        ("the second time", rounds([0, 5, 10], one)[..4].to_vec(), true),
        ("one side alone", rounds([0, 5, 10], one)[..5].to_vec(), true),
        ("three threads", rounds([0, 5, 10], ["a", "b", "c"]), true),
        ("two threads", [rounds([0, 5, 10], one)[..4].to_vec(), round(11, "b", asks, answers).to_vec()].concat(), true),
        ("another file", files, true),
        ("another word", other_words, true),
        ("a few words", short, true),
        ("not in turn", not_in_turn, true),
    ];
    for (what, letters, passes) in cases {
        let world = world().await;
        let start = Time::now();
        let mut last = three(["", "", ""]);
        for (n, (minute, from, thread, text, file)) in letters.iter().enumerate() {
            let part = |kind: &str, text: &str| format!("--b\nContent-Type: {kind}\n\n{text}\n");
            let body = format!("{}{}--b--\n", part("text/plain", text), part("application/x; name=x", file));
            // Each side knows the thread by the buyer's first message of it, or by its copy.
            let first = letters.iter().position(|(_, _, other, ..)| other == thread).unwrap();
            let id = format!("<{first}@home.example>");
            let id = match *from {
                SELLER => world
                    .store
                    .read(|v| v.messages(&Filter { limit: 100, ..Filter::default() }))
                    .unwrap()
                    .iter()
                    .rev()
                    .find(|row| row.original.as_deref() == Some(id.trim_matches(['<', '>'])))
                    .map(|row| format!("<{}>", world.relay.message_id(MessageId(row.number), "m.test")))
                    .unwrap(),
                _ => id,
            };
            let thread = if n == first { String::new() } else { format!("In-Reply-To: {id}\n") };
            let own = if *from == BUYER { "home.example" } else { "sellerco.example" };
            let message = format!(
                "From: {from}\nSubject: x\nMessage-ID: <{n}@{own}>\n{thread}Content-Type: multipart/mixed; boundary=b\n\n{body}"
            );
            last = world.outcome_at(start.plus(MINUTE * u32::try_from(*minute).unwrap()), from, &message).await;
        }
        let want = if passes { ["relay", "relayed", "opt-out"] } else { ["block", "same-words", "automatic"] };
        assert_eq!(last, three(want), "{what}");
    }
}

/// Whatever mark it was known by, the copy of a machine's answer says so in the one way that all
/// programs know: the receiver's does not answer it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn copies_of_answers_are_marked() {
    let table = [
        ("Auto-Submitted: Auto-Replied (vacation)\n", Some("auto-replied")),
        ("X-Apple-Action: VACATION\n", Some("auto-replied")),
        ("Precedence: auto_reply\n", Some("auto-replied")),
        ("Auto-Submitted: auto-generated\n", Some("auto-generated")),
        ("Auto-Submitted: no\nPrecedence: bulk\n", None),
        ("Precedence: bulk\n", None),
        ("", None),
    ];
    for (fields, want) in table {
        let world = world().await;
        let message = format!("From: {SELLER}\nSubject: x\n{fields}\nWords\n");
        assert_eq!(world.send(SELLER, &[world.aliases().0], &message).await.code(), 250);
        assert_eq!(header(&world.arrived(BUYER).await[0], "Auto-Submitted"), want, "{fields}");
    }
}

/// Three answers of machines an hour and ten a day go to the other side.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_of_machines_are_counted() {
    let world = world().await;
    let start = Time::now();
    let away = |n: u64| {
        format!("From: {SELLER}\nAuto-Submitted: auto-replied\nSubject: away\nMessage-ID: <{n}@x>\n\nAway {n}.\n")
    };
    let mut n = 0;
    // minutes, how many of four pass
    let steps = [(0, 3), (59, 0), (60, 3), (120, 3), (180, 1), (240, 0), (24 * 60 + 1, 3), (25 * 60 + 2, 3)];
    for (minute, passes) in steps {
        let mut passed = 0;
        for _ in 0..4 {
            n += 1;
            let (verdict, reason, rule) = world.outcome_at(start.plus(MINUTE * minute), SELLER, &away(n)).await;
            passed += usize::from(verdict == "relay");
            let want = if verdict == "relay" { ["relayed", "opt-out"] } else { ["automatic-repeated", "automatic"] };
            assert_eq!([reason.as_str(), rule.as_str()], want);
        }
        assert_eq!(passed, passes, "{minute}");
    }
    // The other side has its own count, and a person none.
    let other = away(0).replace(SELLER, BUYER);
    assert_eq!(world.outcome_at(start, BUYER, &other).await.0, "relay");
    for n in 0..20 {
        let person = format!("From: {SELLER}\nSubject: x\n\nHello {n}\n");
        assert_eq!(world.outcome_at(start.plus(MINUTE * (26 * 60)), SELLER, &person).await.0, "relay");
    }
}

/// Nothing ends in silence: the author hears once a day that his machine's messages stop.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn authors_hear_of_it_once_a_day() {
    use crate::policy::quota::Day;
    let world = world().await;
    let start = Day::at(Time::now(), &TimeZone::UTC).starts;
    for day in 0..2_u64 {
        for n in 0..6 {
            let away = format!(
                "From: {SELLER}\nAuto-Submitted: auto-replied\nSubject: away\nMessage-ID: <{day}.{n}@x>\n\nAway\n"
            );
            let at = start.plus(MINUTE * u32::try_from(day * 24 * 60 + n).unwrap());
            let passes = n < 3;
            assert_eq!(world.outcome_at(at, SELLER, &away).await.0 == "relay", passes, "{day} {n}");
        }
        assert_eq!(world.arrived(BUYER).await.len(), 3);
        let told = world.arrived(SELLER).await;
        let [notice] = told.as_slice() else { panic!("one notice, not {}", told.len()) };
        let words = notice.replace("=\n", "");
        assert!(words.contains("What you write yourself is passed on"), "{notice}");
        assert!(!words.contains("b-real") && words.contains(world.aliases().0), "{notice}");
        assert_eq!(header(notice, "Auto-Submitted"), Some("auto-replied"));
    }
}

/// What a program had its hand in, that is no answer: relayed each time, counted in the quota, and
/// with a clock like any other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mark_is_no_reason_to_lose_mail() {
    use crate::policy::quota::Day;
    let marks = [
        "Auto-Submitted: auto-generated\n",
        "X-Auto-Response-Suppress: DR, OOF, AutoReply\n",
        "Precedence: bulk\n",
        "Precedence: list\nMailing-list: list support@sellerco.example\nList-ID: <support.sellerco.example>\n",
        "List-Unsubscribe: <https://crm.example/u/1>\n",
        "X-MS-Exchange-Generated-Message-Source: Mailbox Rules Agent\nAuto-Submitted: auto-generated\n",
        "X-Loop: support@sellerco.example\n",
        "X-Autogenerated: Forward\n",
    ];
    for fields in marks {
        let world = world().await;
        let (buyer_alias, seller_alias) = world.aliases();
        let mut last = String::new();
        for n in 0..5 {
            let ask = format!(
                "From: {BUYER}\nSubject: 自動返信が来ません\nMessage-ID: <q{n}@home.example>\n{fields}\nHelp {n}\n"
            );
            assert_eq!(world.send(BUYER, &[seller_alias], &ask).await.code(), 250);
            let copy = world.arrived(SELLER).await.remove(0);
            assert_eq!(world.waiting(), 1, "{fields}");
            let id = header(&copy, "Message-ID").unwrap();
            let answer =
                format!("From: {SELLER}\nSubject: Re: x\nIn-Reply-To: {id}\n{fields}\nAnswer {n}, typed by Yuki.\n");
            assert_eq!(world.send(SELLER, &[buyer_alias], &answer).await.code(), 250);
            assert_eq!((world.arrived(BUYER).await.len(), world.waiting()), (1, 0), "{fields}");
            last = id.to_owned();
            assert!(!world.newest().automatic && world.newest().facts.contains("automatic=marked"), "{fields}");
        }
        let day = Day::at(Time::now(), &TimeZone::UTC).starts;
        assert_eq!(world.store.read(|v| v.quota_used(world.pair.seller.id, day)).unwrap(), 5, "{fields}");
        // Where it does not reach the buyer, its author hears of it: nothing ends in silence.
        world.opt_out().await;
        let offer = format!("From: {SELLER}\nSubject: Offer\n{fields}\nBuy!\n");
        assert_eq!(world.outcome(&offer).await.1, "opted-out");
        assert_eq!(world.arrived(SELLER).await.len(), 1, "{fields}");
        // The buyer's own question opens its thread, whatever his program put on it.
        let answer = format!("From: {SELLER}\nSubject: Re: x\nIn-Reply-To: {last}\n\nOne more thing.\n");
        assert_eq!(world.outcome(&answer).await.1, "relayed-thread", "{fields}");
    }
}

/// Sessions in parallel: each judged before any of the others was written. The transaction has the
/// last word, and the history names the rule that had it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_rule_that_decides_has_its_name_in_the_history() {
    let now = Time::now();
    let letter = |n: usize, fields: &str, subject: &str| {
        format!("From: {SELLER}\nSubject: {subject} {n}\nMessage-ID: <{n}@sellerco.example>\n{fields}\nWords {n}\n")
    };
    let replied = "Auto-Submitted: auto-replied\n";
    let few = |config: &mut Config| {
        config.policy.quota.base = 2;
        config.policy.opt_out.critical_per_day = 1;
    };
    // what is sent eight times at once, the buyer has opted out, settings; what passes, and what
    // becomes of the others
    type Case<'a> = (&'a str, &'a str, bool, bool, usize, [&'a str; 3]);
    let cases: [Case<'_>; 6] = [
        (replied, "away", false, false, 3, ["block", "automatic-repeated", "automatic"]),
        ("", "hello", false, true, 2, ["reject", "over-quota", "quota"]),
        // Machines before the quota, and the quota before the opt-out.
        (replied, "away", false, true, 2, ["reject", "over-quota", "quota"]),
        ("", "[Important]", true, false, 20, ["", "", ""]),
        ("", "[Important]", true, true, 1, ["block", "over-critical", "opt-out"]),
        ("", "hello", true, false, 0, ["block", "opted-out", "opt-out"]),
    ];
    for (fields, subject, opted_out, limits, passes, others) in cases {
        let world = world_with(|config| {
            if limits {
                few(config)
            }
        })
        .await;
        if opted_out {
            world.opt_out().await;
        }
        let judged: Vec<Judged> =
            (0..8).map(|n| world.judge(&world.arrived_at(now, SELLER, &letter(n, fields, subject)))).collect();
        let mut seen = Vec::new();
        for judged in judged {
            assert!(world.relay.commit(judged).await.is_some());
            seen.push(world.decided());
        }
        let passed = seen.iter().filter(|(verdict, ..)| verdict == "relay").count();
        assert_eq!(passed, passes.min(8), "{subject}: {seen:?}");
        let rest = seen.iter().filter(|(verdict, ..)| verdict != "relay");
        // With a quota of two, what is blocked uses it up, too.
        let quota = three(["reject", "over-quota", "quota"]);
        assert!(rest.clone().all(|found| *found == three(others) || limits && *found == quota), "{subject}: {seen:?}");
        assert!(passes >= 8 || rest.into_iter().any(|found| *found == three(others)), "{subject}: {seen:?}");
    }
}

/// A question stops waiting where it is answered: in its thread.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_stops_the_clock_of_its_thread() {
    use crate::config::AnsweredBy;
    /// What the seller writes, of the question's id and mark in his copy; clocks of two that run
    /// on, and where any letter of his answers.
    type Case<'a> = (&'a str, fn(&str, &str) -> String, usize, usize);
    let table: [Case<'_>; 9] = [
        ("by its id", |id, _| format!("Subject: x\nIn-Reply-To: {id}\n\nAnswer\n"), 1, 0),
        ("by its mark", |_, mark| format!("Subject: x\n\nAnswer\n> Ref: {mark}\n"), 1, 0),
        ("by its subject", |_, _| "Subject: Re: Question one\n\nAnswer\n".into(), 1, 0),
        (
            "by its subject, in Japanese",
            |_, _| "Subject: =?utf-8?B?6L+U5L+h77ya?= Question one\n\nAnswer\n".into(),
            1,
            0,
        ),
        ("its subject alone", |_, _| "Subject: Question one\n\nAnswer\n".into(), 2, 0),
        ("a letter of its own", |_, _| "Subject: Offer\n\nBuy!\n".into(), 2, 0),
        (
            "an answer of a machine",
            |id, _| format!("Subject: x\nAuto-Submitted: auto-replied\nIn-Reply-To: {id}\n\nAway\n"),
            2,
            2,
        ),
        (
            "an absence note of Exchange",
            |id, _| format!("Subject: Automatic reply: x\nX-Auto-Response-Suppress: All\nIn-Reply-To: {id}\n\nAway\n"),
            2,
            2,
        ),
        (
            "a rule of Exchange",
            |id, _| {
                format!(
                    "Subject: Re: x\nX-MS-Exchange-Generated-Message-Source: Mailbox Rules Agent\nIn-Reply-To: {id}\n\nYes\n"
                )
            },
            1,
            0,
        ),
    ];
    for (what, answer, by_thread, by_pair) in table {
        for (answered_by, want) in [(AnsweredBy::Thread, by_thread), (AnsweredBy::Pair, by_pair)] {
            let world = world_with(|config| config.policy.response.answered_by = answered_by).await;
            let (buyer_alias, seller_alias) = world.aliases();
            for subject in ["Question one", "Question two"] {
                let ask = format!("From: {BUYER}\nSubject: {subject}\n\n?\n");
                assert_eq!(world.send(BUYER, &[seller_alias], &ask).await.code(), 250);
            }
            let copies = world.arrived(SELLER).await;
            let one = copies.iter().find(|copy| header(copy, "Subject") == Some("Question one")).unwrap();
            let mark = one.split_once("Ref: ").map_or("", |(_, rest)| rest.split_once('\n').unwrap().0.trim());
            let message = format!("From: {SELLER}\n{}", answer(header(one, "Message-ID").unwrap(), mark));
            assert_eq!(world.waiting(), 2);
            assert_eq!(world.send(SELLER, &[buyer_alias], &message).await.code(), 250, "{what}");
            assert_eq!(world.waiting(), want, "{what} {answered_by:?}");
        }
    }
}
