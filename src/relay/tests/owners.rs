//! Who hears of refused mail in his name: when, what, and how he ends it.

use super::guesses::{WRONG, guessed};
use super::*;
use crate::store::{Refused, Summed};
use std::time::Duration;

/// Sums from the store, and a fixed clock.
impl World {
    async fn forge(&self, reason: &'static str, number: u64, at: Time) {
        let pair = self.pair.id;
        let sum = Summed { minute: at, client: 7, pair, author: Role::Seller, reason, number };
        self.store.write(move |c| c.add_refusals(&[sum])).await.unwrap();
    }

    fn notices(mail: &[String]) -> Vec<String> {
        mail.iter().map(|notice| notice.replace("=\n", "").replace("=3D", "=")).collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_owner_is_told_at_the_registered_address_once_a_day() {
    let guessed = guessed(|config| config.marketplace[0].time_zone = "Asia/Tokyo".to_owned()).await;
    let w = &guessed.world;
    let (buyer_alias, seller_alias) = w.aliases();
    // Three with rows, of two checks, and one to an address that acts; secrets must not come back.
    let secret = format!(
        "From: {SELLER}\nSubject: SECRET-SUBJECT\nTo: victim@secret.example\n\nSECRET-TEXT http://secret.example\n"
    );
    for _ in 0..2 {
        guessed.guess([198, 51, 100, 7], SELLER, buyer_alias, &secret, false).await;
    }
    guessed.guess([192, 0, 2, 1], "mallory@sellerco.example", buyer_alias, &secret, false).await;
    // Strangers are nobody's business, and a buyer hears of his own.
    guessed.guess([198, 51, 100, 7], "x@attack.example", buyer_alias, &secret.replace(SELLER, WRONG[1]), false).await;
    let received = Time::now();
    w.forge("spf-failed", 40, received).await;
    w.forge("stranger", 1000, received).await;
    let day = |n: u64| {
        crate::policy::quota::Day::at(received, &jiff::tz::TimeZone::get("Asia/Tokyo").unwrap())
            .starts
            .plus(Duration::from_secs(n * 86_400 + 9 * 3600))
    };
    // Before the hour nothing goes out, and at any time after it the same; nobody is told twice.
    w.relay.tell_owners(day(1).minus(Duration::from_secs(1))).await.unwrap();
    let before = World::notices(&w.arrived(SELLER).await);
    w.relay.tell_owners(day(1)).await.unwrap();
    w.relay.tell_owners(day(1).plus(Duration::from_secs(3600))).await.unwrap();
    let told = [before, World::notices(&w.arrived(SELLER).await)].concat();
    let [notice] = told.as_slice() else { panic!("{} notices", told.len()) };
    for words in ["43 in all", &format!("{buyer_alias} "), "SPF record", "another mailbox", "DKIM", "quiet+"] {
        assert!(notice.contains(words), "{words} in\n{notice}");
    }
    assert_eq!(notice.matches(&format!("- {buyer_alias} ")).count(), 2, "{notice}");
    for leak in ["SECRET", "secret", "victim", "mallory", "attack", BUYER, "home.example", seller_alias, "198.51"] {
        assert!(!notice.contains(leak), "{leak} in\n{notice}");
    }
    assert!(w.arrived(BUYER).await.is_empty());
    // Forged every day: a week of notices, then one a week.
    let mut days = Vec::new();
    for n in 2..30 {
        w.forge("dkim-failed", 1, day(n).minus(Duration::from_secs(7200))).await;
        w.relay.tell_owners(day(n)).await.unwrap();
        let told = w.arrived(SELLER).await;
        assert!(told.len() < 2);
        days.extend((!told.is_empty()).then_some(n));
    }
    assert_eq!(days, [2, 3, 4, 5, 6, 7, 14, 21, 28]);
    // The address in it ends it, for whoever has it, with one reply for everybody.
    let quiet = notice.split_whitespace().find(|word| word.starts_with("quiet+")).unwrap().trim_end_matches('.');
    let mut replies = Vec::new();
    w.outbound.drain(crate::outbound::DRAIN).await;
    let elsewhere = [198, 51, 100, 7];
    for (client, author) in [
        (elsewhere, "x@attack.example"),
        (elsewhere, "x@attack.example"),
        (elsewhere, SELLER),
        ([192, 0, 2, 1], SELLER),
    ] {
        w.store
            .write({
                let seller = w.pair.seller.id;
                move |c| c.set_quiet(seller, false)
            })
            .await
            .unwrap();
        let cost = guessed.guess(client, author, quiet, &format!("From: {author}\n\n"), false).await;
        replies.push((cost.reply, cost.steps, cost.commits));
        assert!(w.store.read(|v| v.told_of_refusals(w.pair.seller.id)).unwrap().quiet);
    }
    // The first has its statements prepared.
    replies.remove(0);
    assert!(replies.iter().all(|reply| *reply == replies[0]) && replies[0].0.starts_with("250 "), "{replies:?}");
    w.forge("dkim-failed", 1, day(100)).await;
    w.relay.tell_owners(day(101)).await.unwrap();
    assert_eq!(w.store.read(|v| v.queue_length()).unwrap(), 0);
    // Another party's token, and one that is guessed, are none.
    let client = Client { ip: [127, 0, 0, 1].into(), helo: "x".into(), tls: false, trusted: false, login: None };
    let forged = quiet.replacen("quiet+a", "quiet+b", 1);
    assert!(w.relay.recipient(&client, None, &Address::parse(&forged).unwrap()).is_err());
}

/// Going through refused mail loses and doubles nothing, however it is cut into steps.
#[tokio::test]
async fn refused_mail_is_gone_through_in_steps() {
    let guessed = guessed(|_| ()).await;
    let w = &guessed.world;
    let mail = format!("From: {SELLER}\nSubject: x\n\nx\n");
    for _ in 0..23 {
        guessed.guess([198, 51, 100, 7], SELLER, w.aliases().0, &mail, false).await;
    }
    for n in 0..9 {
        w.forge("spf-failed", n, Time::now()).await;
    }
    let (mut at, mut found) = (crate::store::Progress { message: MessageId(0), sum: 0 }, Vec::<Refused>::new());
    loop {
        let (some, end) =
            w.store.read(|v| v.refused_after(at, MessageId(i64::MAX), &crate::notice::CHECKS, 4)).unwrap();
        found.extend(some);
        if end == at {
            break;
        }
        at = end;
    }
    assert_eq!(found.iter().map(|row| row.number).sum::<u64>(), 23 + 36);
    assert!(found.iter().all(|row| row.reason == "spf-failed" && row.author == Role::Seller));
}
