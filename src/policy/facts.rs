//! The facts of a decision in words, for the history and for `policy explain`: names and values from closed lists, numbers, and what the
//! operator wrote. Never an address, a subject or a text: whoever may read verdicts may read these.

use super::Facts;
use super::author::{Author, Proof};
use super::content::UNLISTED;
use super::opt_out::KnownBy;
use super::reason::Method;
use std::fmt::Write as _;

impl Author {
    /// The word used in the history.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Party => "party",
            Self::Stranger => "stranger",
            Self::Missing => "missing",
            Self::Several => "several",
            Self::Malformed => "malformed",
        }
    }
}

impl Proof {
    /// The word used in the history.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotChecked => "not-checked",
            Self::Proved => "proved",
            Self::Failed(Method::Spf) => "spf-failed",
            Self::Failed(Method::Dkim) => "dkim-failed",
            Self::Failed(Method::Several) => "failed",
            Self::Absent => "absent",
            Self::Trouble => "trouble",
        }
    }
}

impl Facts<'_> {
    /// The facts as `name=value`, one space between two; what is not so is left out. No value holds a space.
    #[must_use]
    pub fn words(&self) -> String {
        let mut words = String::with_capacity(160);
        // Writing to a String does not fail.
        let _ = write!(
            words,
            "author={} proof={} received={} size={} parts={}",
            self.author.as_str(),
            self.proof.as_str(),
            self.hops.received,
            self.content.size,
            self.content.parts.len()
        );
        let mut say = |name: &str, value: &str| {
            let _ = write!(words, " {name}={value}");
        };
        let flags = [
            ("loop-mark", self.hops.own_mark),
            ("other-mailbox", self.other_mailbox),
            ("unnamed-client", self.unnamed_client),
            ("unauthenticated-allowed", self.unauthenticated_allowed),
            ("suspended", self.author_suspended),
            ("gone", self.gone),
            ("opted-out", self.opted_out),
            ("critical-tag", self.critical),
        ];
        flags.iter().filter(|(_, is)| *is).for_each(|(name, _)| say(name, "yes"));
        if let Some(sign) = self.another {
            say("sent-by-another", sign.as_str());
        }
        if let Some(why) = self.signature {
            say("signature", why);
        }
        if let Some((why, part)) = self.content.closed {
            say(why.as_str(), part);
        }
        // Archives that were not seen whole: who looks for what was in them looks here.
        let unlisted = self.content.parts.iter().filter(|part| part.sniffed.contains(&UNLISTED));
        let unlisted: Vec<&str> = unlisted.map(|part| part.path).take(20).collect();
        if !unlisted.is_empty() {
            say("unlisted", &unlisted.join(","));
        }
        if let Some(automatic) = self.automatic {
            say("automatic", automatic.as_str());
            if automatic.is_answer() {
                say("answers", &format!("{}/{}", self.answers.hour, self.answers.day));
            }
        }
        if let Some(quota) = &self.quota {
            say("quota", &format!("{}/{}", quota.used, quota.limit));
        }
        if let Some(critical) = &self.critical_use {
            say("critical", &format!("{}/{}", critical.used, critical.limit));
        }
        if let Some(thread) = &self.thread {
            let by = match thread.known_by {
                KnownBy::Headers => "headers",
                KnownBy::Mark => "mark",
            };
            let hours = thread.age.as_secs() / 3600;
            say("thread", &format!("{}/{by}/{hours}h", thread.begun_by.as_str()));
            if thread.automatic {
                say("thread-automatic", "yes");
            }
        }
        if self.opted_out {
            let answer = self.auto_reply;
            say("auto-replies", if answer.wanted { "on" } else { "off" });
            if answer.null_sender {
                say("null-sender", "yes");
            }
            if answer.answered_today {
                say("answered-today", "yes");
            }
        }
        words
    }
}
