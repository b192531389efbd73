//! Rule 4, machines without a mark: both sides of a thread send their own same words in turn.
//!
//! Two programs that answer each message with the same text go on for ever, and nothing in their
//! mail says that they are programs. What says it is the third time: within an hour each side has
//! sent its own words three times, and each time the other's came in between.
//!
//! Whom it hits: somebody who answers the same question with the same text for the third time
//! within an hour, where the question came in the same words as often. He is told, and any other
//! word of his goes through. What it tells a liar: how to write a letter twice.
//!
//! Not here: what the words of a message are (`message::said`), and finding the messages (`store`).

use super::{Decision, Reason, Verdict};
use crate::types::{MessageId, Role};
use std::time::Duration;

/// Messages that went to the other side within this are looked at.
pub const WITHIN: Duration = Duration::from_secs(3600);
/// So many of a pair at most, the newest ones.
pub const MOST: usize = 32;
/// What was written longer ago than this, or later, is no answer of a program.
pub const FRESH: Duration = Duration::from_secs(86_400);

/// Messages of a pair that are taken together.
struct Talk {
    /// Whether the second belongs to the first one's.
    holds: fn(&Turn, &Turn) -> bool,
    /// Each side's words for so many times are one too many.
    times: usize,
    /// Also where the message is not one that was written just now.
    old: bool,
}

const TALKS: [Talk; 4] = [
    // A thread.
    Talk { holds: |own, turn| own.thread == turn.thread, times: 3, old: true },
    // A program that does not name what it answers begins a thread each time. Somebody who sends on
    // old mail does, too.
    Talk { holds: |own, turn| own.begins() && turn.begins(), times: 3, old: false },
    // One program does, the other does not: people who answer several questions alike look the
    // same.
    Talk { holds: |_, _| true, times: 5, old: false },
    Talk { holds: |_, _| true, times: 12, old: true },
];
/// A side's newest messages of which one has to say the same: helpers that send two for one.
const NEWEST: usize = 2;

/// A message of a pair that went to the other side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    /// Its id.
    pub id: MessageId,
    /// The side that wrote it.
    pub author: Role,
    /// The message that began its thread; itself if it began one.
    pub thread: MessageId,
    /// Octets as received.
    pub size: usize,
}

impl Turn {
    fn begins(&self) -> bool {
        self.thread == self.id
    }
}

/// Whether so many messages took turns that it is worth a look at their words. `before`: the newest
/// first.
#[must_use]
pub fn may_go_round(own: &Turn, before: &[Turn]) -> bool {
    TALKS
        .iter()
        .any(|talk| take_turns(own.author, talk.times, before.iter().filter(|turn| (talk.holds)(own, turn)), |_| true))
}

/// Whether a message is one too many: with it both sides have sent their own same words for the
/// third time in turn. `before`: what went to the other side before it within the hour, the newest
/// first. `fresh`: by its date it was written just now. `same(a, b)`: whether two of one side say
/// the same; asked seldom, as it reads them.
pub fn goes_round(own: &Turn, fresh: bool, before: &[Turn], mut same: impl FnMut(&Turn, &Turn) -> bool) -> bool {
    TALKS.iter().filter(|talk| fresh || talk.old).any(|talk| {
        let held: Vec<&Turn> = before.iter().filter(|turn| (talk.holds)(own, turn)).collect();
        talk.repeats(own, &held, &mut same)
    })
}

impl Talk {
    fn repeats(&self, own: &Turn, before: &[&Turn], same: &mut impl FnMut(&Turn, &Turn) -> bool) -> bool {
        if !take_turns(own.author, self.times, before.iter().copied(), |_| true) {
            return false;
        }
        // Almost all talk ends here: people do not repeat themselves.
        let mut newest = before.iter().filter(|turn| turn.author == own.author).take(NEWEST);
        let Some(last) = newest.find(|turn| same(own, turn)) else { return false };
        let heard = before.iter().take_while(|turn| turn.id != last.id).filter(|turn| turn.author != own.author);
        heard.take(NEWEST).any(|heard| {
            let counts = |turn: &Turn| {
                let said = if turn.author == own.author { own } else { heard };
                turn.id == heard.id || turn.id == last.id || same(said, turn)
            };
            take_turns(own.author, self.times, before.iter().copied(), counts)
        })
    }
}

/// Whether the sides took turns so many times, `last` being the one whose message is asked about.
/// `counts`: whether a message is one of those.
fn take_turns<'a>(
    last: Role,
    times: usize,
    before: impl Iterator<Item = &'a Turn>,
    mut counts: impl FnMut(&Turn) -> bool,
) -> bool {
    let wanted = times * 2 - 1;
    let (mut turns, mut side) = (0, last.other());
    for turn in before {
        if turns < wanted && turn.author == side && counts(turn) {
            turns += 1;
            side = side.other();
        }
    }
    turns >= wanted
}

/// What such a message comes to.
#[must_use]
pub fn one_too_many() -> Decision {
    Decision::new(Verdict::Block, Reason::SameWords)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Turns as words, the oldest first: the side, the thread's number (`-`: it begins one), the
    /// words. The last one is asked about.
    fn one_too_many(talk: &str, fresh: bool) -> bool {
        let mut turns: Vec<(Turn, char)> = Vec::new();
        let mut begun: Vec<(char, MessageId)> = Vec::new();
        for (n, word) in talk.split_whitespace().enumerate() {
            let [side, thread, words] = word.chars().collect::<Vec<_>>()[..] else { panic!("{word}") };
            let id = MessageId(i64::try_from(n).unwrap() + 1);
            let known = begun.iter().find(|(name, _)| *name == thread && thread != '-').map(|(_, id)| *id);
            if known.is_none() {
                begun.push((thread, id));
            }
            let author = if side == 's' { Role::Seller } else { Role::Buyer };
            turns.push((Turn { id, author, thread: known.unwrap_or(id), size: 1 }, words));
        }
        let (own, _) = turns.last().copied().unwrap();
        let words = |turn: &Turn| turns.iter().find(|(other, _)| other.id == turn.id).unwrap().1;
        let before: Vec<Turn> = turns.iter().rev().skip(1).map(|(turn, _)| *turn).collect();
        let mut asked = 0;
        let found = goes_round(&own, fresh, &before, |a, b| {
            asked += 1;
            words(a) == words(b)
        });
        assert!(asked <= 9 * MOST, "{asked}: {talk}");
        found
    }

    #[test]
    fn who_has_said_enough() {
        let cases = [
            // In one thread: the sixth message is the third of both.
            ("b1q s1a b1q s1a b1q", false),
            ("b1q s1a b1q s1a b1q s1a", true),
            ("s1x b1q s1a b1q s1a b1q s1a", true),
            // Once more within the hour, whatever came in between.
            ("b1q s1a b1q s1a b1q s1z b1q s1a", true),
            ("b1q s1a b1q s1a b1q s1h b1q", false),
            ("b1q s1a b1q s1a b1q s1h b1q s1a", true),
            // A program that sends two for one, and one that is answered twice.
            ("b1q s1a s1c b1q s1a s1c b1q s1a", true),
            ("b1q b1q s1a s1a b1q b1q s1a s1a b1q b1q s1a", true),
            // A third time that is one side's alone, or not in turn.
            ("b1q s1a b1q s1c b1q s1d", false),
            ("b1q s1a b1r s1a b1t s1a", false),
            ("b1q b1q b1q s1a s1a s1a", false),
            ("b1q b1q b1q s1a", false),
            ("s1a s1a s1a s1a s1a s1a", false),
            ("b1q s1a b1q b1q s1a", false),
            // Answers that name nothing: each begins a thread.
            ("s-x b-q s-a b-q s-a b-q s-a", true),
            ("b-q s-a b-q s-a b-q", false),
            // The same program on both sides.
            ("b-q s-q b-q s-q b-q", false),
            ("b-q s-q b-q s-q b-q s-q", true),
            // The same question in three threads, and the same answer in each.
            ("b1q s1a b2q s2a b3q s3a", false),
            ("b1q s1a b1q s1a b2q s2a b2q s2a", false),
            // One side names what it answers, the other does not: later, as that looks like it.
            ("b1q s1a b2q s2a b3q s3a b4q s4a", false),
            ("b1q s1a b2q s2a b3q s3a b4q s4a b5q s5a", true),
        ];
        for (talk, want) in cases {
            assert_eq!(one_too_many(talk, true), want, "{talk}");
        }
        // What was written long ago is no answer, but in a thread.
        let old = [("b-q s-a", 3, false), ("b-q s-a", 11, false), ("b-q s-a", 12, true), ("b1q s1a", 3, true)];
        for (round, times, want) in old {
            assert_eq!(one_too_many(&[round].repeat(times).join(" "), false), want, "{round} {times}");
        }
    }

    proptest::proptest! {
        /// Nobody is stopped who does not say it for the third time, nor where the other side says
        /// nothing three times.
        #[test]
        fn only_what_is_said_three_times(talk in proptest::collection::vec("[bs][123-][xyz]", 1..40)) {
            let last = talk.last().unwrap().clone();
            let said = |word: &String| (word.as_bytes()[0], word.as_bytes()[2]);
            let times = |wanted: (u8, u8)| talk.iter().rev().take(MOST + 1).filter(|word| said(word) == wanted).count();
            if one_too_many(&talk.iter().rev().take(MOST + 1).rev().cloned().collect::<Vec<_>>().join(" "), true) {
                let other = if last.starts_with('b') { b's' } else { b'b' };
                proptest::prop_assert!(times(said(&last)) >= 3);
                proptest::prop_assert!(b"xyz".iter().any(|words| times((other, *words)) >= 3));
            }
        }
    }
}
