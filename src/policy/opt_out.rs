//! Rule 6: a buyer who wants no unsolicited messages, what still reaches them, and whether the seller is told.
//!
//! Not here: finding the thread (`relay` asks the store) and the marks (`types::token`).

use super::{Decision, Facts, Reason, Verdict};
use crate::config::OptOutAnswer;
use crate::types::Role;
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
    /// How it is known.
    pub known_by: KnownBy,
    /// Since the buyer last wrote in it; since its first message if that is unknown.
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
fn thread(facts: &Facts<'_>) -> Option<Reason> {
    let thread = facts.thread.as_ref().filter(|thread| thread.begun_by == Role::Buyer)?;
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
        return Decision::new(Verdict::Relay, Reason::RelayedCritical);
    }
    match facts.rules.opt_out.answer {
        OptOutAnswer::Reject => Decision::reject(Reason::OptedOut),
        OptOutAnswer::AutoReply => {
            let may = facts.auto_reply;
            let answer = may.wanted && !may.null_sender && !may.answered_today && facts.automatic.is_none();
            Decision { verdict: Verdict::Block, reason: Reason::OptedOut, answer }
        }
    }
}

/// Whether a decoded subject holds one of the tags: in any case, anywhere, with any kind of brackets and spacing.
#[must_use]
pub fn is_critical(subject: &str, tags: &[String]) -> bool {
    let subject = folded(subject);
    tags.iter().map(|tag| folded(tag)).any(|tag| !tag.is_empty() && subject.contains(&tag))
}

/// The form in which tags are compared: full-width characters as their ASCII twins (as NFKC has it), every square bracket
/// as `[` and `]`, lower case, and no spaces or invisible characters, which mail programs put in where they fold a line.
fn folded(text: &str) -> String {
    let plain = |c: char| match c {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(c) - 0xfee0).unwrap_or(c),
        '【' | '〔' | '〖' | '〚' | '﹝' | '「' | '『' | '｢' => '[',
        '】' | '〕' | '〗' | '〛' | '﹞' | '」' | '』' | '｣' => ']',
        c => c,
    };
    let seen = text.chars().map(plain).filter(|c| !c.is_whitespace() && !c.is_control() && !is_invisible(*c));
    seen.flat_map(char::to_lowercase).collect()
}

/// Characters without width: joiners, directions, soft hyphen, byte order mark, variation selectors.
pub(crate) fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_in_any_dress() {
        let tags = crate::config::OptOut::default().critical_tags;
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
            assert_eq!(is_critical(subject, &tags), want, "{subject}");
        }
        assert!(!is_critical("[Important]", &[]), "the list can be emptied");
        assert!(!is_critical("anything", &[String::new(), " \u{200b}".to_owned()]), "an empty tag is in no subject");
    }
}
