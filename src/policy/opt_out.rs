//! Rule 6: a buyer who wants no unsolicited messages, what still reaches them, and whether the seller is told.
//!
//! Not here: finding the thread (`relay` asks the store) and the marks (`types::token`).

use super::automatic::Automatic;
use super::{Decision, Facts, Reason, Verdict};
use crate::config::{OptOut, OptOutAnswer, Policy};
use crate::types::{Role, is_invisible};
use std::time::Duration;

/// How the thread that a message answers is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KnownBy {
    /// `In-Reply-To` or `References` name a message of this pair.
    Headers,
    /// The message quotes the mark that the relay wrote into a message of this pair.
    Mark,
}

/// The thread that a message answers. Always one of this pair: a mark of another is worth nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thread {
    /// Who wrote its first message.
    pub begun_by: Role,
    /// Its first message, and all that this side wrote in it since, is automatic mail.
    pub automatic: bool,
    /// How it is known.
    pub known_by: KnownBy,
    /// Since the buyer last wrote in it himself; since its first message if that is unknown.
    pub age: Duration,
}

/// What speaks for and against answering a blocked message (RFC 3834 2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MayAnswer {
    /// The seller wants these answers (`seller set --auto-replies on`).
    pub wanted: bool,
    /// The envelope sender is `<>`: nobody to answer.
    pub null_sender: bool,
    /// This thread has had one today.
    pub answered_today: bool,
}

/// Whether the buyer began this thread, not too long ago.
///
/// A machine's answer opens nothing: a vacation mail, a receipt or a delivery report is no wish to
/// be written to. Whom that hits: the seller who answers a buyer whose only mail was one of those;
/// he is told how to reach him, and any word of the buyer's own opens the thread. What it tells a
/// liar: what the reply says, that the buyer has opted out.
fn thread(facts: &Facts<'_>) -> Option<Reason> {
    let thread = facts.thread.as_ref().filter(|thread| thread.begun_by == Role::Buyer && !thread.automatic)?;
    let longest = Duration::from_secs(u64::from(facts.rules.opt_out.thread_days) * 86_400);
    if thread.age > longest {
        return None;
    }
    Some(match thread.known_by {
        KnownBy::Headers => Reason::RelayedThread,
        KnownBy::Mark => Reason::RelayedMark,
    })
}

/// The last rule: what nothing speaks against is relayed.
pub(super) fn rule(facts: &Facts<'_>) -> Decision {
    if !facts.opted_out || facts.author_role != Role::Seller {
        return Decision::new(Verdict::Relay, Reason::Relayed);
    }
    if let Some(reason) = thread(facts) {
        return Decision::new(Verdict::Relay, reason);
    }
    if facts.critical {
        return match over_critical(facts) {
            Some(stopped) => stopped,
            None => Decision::new(Verdict::Relay, Reason::RelayedCritical),
        };
    }
    stopped(facts, Reason::OptedOut)
}

/// What stops a message that a tag declares critical: so many a day, over all of the seller's
/// buyers who have opted out. See [`critical_limit`].
///
/// Whom it hits: the seller with more orders in trouble than usual; he hears when it opens again,
/// and the operator can raise it. What it tells a liar: the limit, which is the operator's.
fn over_critical(facts: &Facts<'_>) -> Option<Decision> {
    let used = facts.critical_use.as_ref().filter(|used| used.used >= used.limit)?;
    Some(stopped(facts, Reason::OverCritical { limit: used.limit, opens: used.opens.to_string() }))
}

/// What would be decided if the seller's critical messages of the day were used up, of a message
/// that one let through: parallel sessions may have used them up.
#[must_use]
pub fn without_critical(facts: &Facts<'_>) -> Option<Decision> {
    let used = facts.critical_use.as_ref()?;
    Some(stopped(facts, Reason::OverCritical { limit: used.limit, opens: used.opens.to_string() }))
}

/// The answer to a message that does not reach an opted-out buyer.
fn stopped(facts: &Facts<'_>, reason: Reason) -> Decision {
    match facts.rules.opt_out.answer {
        OptOutAnswer::Reject => Decision::reject(reason),
        OptOutAnswer::AutoReply => {
            let may = facts.auto_reply;
            // What else a program had its hand in is answered: it is the only way in which its
            // author hears that it did not go.
            let is_answer = facts.automatic.is_some_and(Automatic::is_answer);
            let answer = may.wanted && !may.null_sender && !may.answered_today && !is_answer;
            Decision { verdict: Verdict::Block, reason, answer }
        }
    }
}

/// Critical messages a day for a seller with so many orders in the quota's window:
/// `critical_per_day`, and one for each order of an average day, as each order may need one.
#[must_use]
pub fn critical_limit(orders: u64, rules: &Policy) -> u64 {
    let average = orders / u64::from(rules.quota.window_days.max(1));
    average.saturating_add(u64::from(rules.opt_out.critical_per_day))
}

/// The share of critical messages in percent, where it is one that the operator wants to hear of. A
/// few messages are no share.
#[must_use]
pub fn worrying_share(critical: u64, messages: u64, rules: &OptOut) -> Option<u64> {
    let percent = critical.saturating_mul(100) / messages.max(1);
    let wanted = rules.critical_share > 0 && critical >= FEW && percent >= u64::from(rules.critical_share);
    wanted.then_some(percent.min(100))
}

/// Fewer critical messages than this in a day are no share.
const FEW: u64 = 10;

/// Tags by which a seller declares a message critical, ready to be looked for.
#[derive(Clone, Debug, Default)]
pub struct CriticalTags(Vec<String>);

impl CriticalTags {
    /// As the settings have them.
    #[must_use]
    pub fn new(tags: &[String]) -> Self {
        Self(tags.iter().map(|tag| folded(tag)).filter(|tag| !tag.is_empty()).collect())
    }

    /// Whether a decoded subject holds one of them: in any case, anywhere, with any kind of
    /// brackets and spacing.
    #[must_use]
    pub fn stand_in(&self, subject: &str) -> bool {
        let subject = folded(subject);
        self.0.iter().any(|tag| subject.contains(tag))
    }
}

/// The form in which tags are compared: full-width characters as their ASCII twins (as NFKC has it), every square bracket
/// as `[` and `]`, lower case, and no spaces or invisible characters, which mail programs put in where they fold a line.
fn folded(text: &str) -> String {
    if text.is_ascii() {
        return text.chars().filter(char::is_ascii_graphic).map(|c| c.to_ascii_lowercase()).collect();
    }
    let plain = |c: char| match c {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(c) - 0xfee0).unwrap_or(c),
        '【' | '〔' | '〖' | '〚' | '﹝' | '「' | '『' | '｢' => '[',
        '】' | '〕' | '〗' | '〛' | '﹞' | '」' | '』' | '｣' => ']',
        c => c,
    };
    let seen = text.chars().map(plain).filter(|c| !c.is_whitespace() && !c.is_control() && !is_invisible(*c));
    seen.flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_in_any_dress() {
        let tags = CriticalTags::new(&crate::config::OptOut::default().critical_tags);
        let cases = [
            ("[Important] your address", true),
            ("your address [IMPORTANT]", true),
            ("Re: [important]: x", true),
            ("［Ｉｍｐｏｒｔａｎｔ］ x", true),
            ("[ Important ] x", true),
            ("[Impor\u{ad}tant] x", true),
            ("【重要】ご確認", true),
            ("[重要] ご確認", true),
            ("［重\r\n 要］", true),
            ("Re: Fwd: 〔重要〕", true),
            ("[重要消息] 地址", true),
            ("[WICHTIG] x", true),
            ("Important: x", false),
            ("(Important) x", false),
            ("重要なお知らせ", false),
            ("[Importa]", false),
            ("", false),
        ];
        for (subject, want) in cases {
            assert_eq!(tags.stand_in(subject), want, "{subject}");
        }
        assert!(!CriticalTags::new(&[]).stand_in("[Important]"), "the list can be emptied");
        let empty = CriticalTags::new(&[String::new(), " \u{200b}".to_owned()]);
        assert!(!empty.stand_in("anything"), "an empty tag is in no subject");
    }
}
