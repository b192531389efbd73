//! SMTP replies, RFC 5321 4.2 and RFC 3463. The enhanced code's class is computed from the reply code, so that the two
//! cannot contradict each other. Texts are fixed words: never an address, never what a client sent.

use std::borrow::Cow;
use std::fmt::Write as _;

/// A reply of one or more lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    code: u16,
    enhanced: Option<(u16, u16)>,
    lines: Vec<Cow<'static, str>>,
    closes: bool,
}

impl Reply {
    /// A reply with an enhanced status code: `Reply::new(550, 1, 1, "No such address")` is `550 5.1.1 No such address`.
    #[must_use]
    pub fn new(code: u16, subject: u16, detail: u16, text: impl Into<Cow<'static, str>>) -> Self {
        Self { code, enhanced: Some((subject, detail)), lines: vec![text.into()], closes: false }
    }

    /// A reply without one: greetings, `354`, EHLO (RFC 2034 3).
    #[must_use]
    pub fn plain(code: u16, text: impl Into<Cow<'static, str>>) -> Self {
        Self { code, enhanced: None, lines: vec![text.into()], closes: false }
    }

    /// The same reply with one more line.
    #[must_use]
    pub fn line(mut self, text: impl Into<Cow<'static, str>>) -> Self {
        self.lines.push(text.into());
        self
    }

    /// The same reply, word for word, after which the session ends.
    #[must_use]
    pub fn closing(self) -> Self {
        Self { closes: true, ..self }
    }

    /// Whether the session ends after it.
    #[must_use]
    pub fn closes(&self) -> bool {
        self.closes
    }

    /// The three-digit code.
    #[must_use]
    pub fn code(&self) -> u16 {
        self.code
    }

    /// 2xx or 3xx.
    #[must_use]
    pub fn is_positive(&self) -> bool {
        self.code < 400
    }

    /// The wire form, every line ended by CRLF. Bytes outside printable ASCII become `?`.
    #[must_use]
    pub fn wire(&self) -> String {
        let mut out = String::with_capacity(64);
        for (i, line) in self.lines.iter().enumerate() {
            let separator = if i + 1 == self.lines.len() { ' ' } else { '-' };
            let _ = write!(out, "{}{separator}", self.code);
            if let Some((subject, detail)) = self.enhanced {
                let _ = write!(out, "{}.{subject}.{detail} ", self.code / 100);
            }
            out.extend(line.chars().map(|c| if matches!(c, ' '..='~') { c } else { '?' }));
            out.push_str("\r\n");
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_class_follows_the_code() {
        assert_eq!(Reply::new(451, 3, 0, "later").wire(), "451 4.3.0 later\r\n");
        assert_eq!(Reply::plain(250, "a").line("SIZE 1").wire(), "250-a\r\n250 SIZE 1\r\n");
        assert_eq!(Reply::new(550, 1, 1, "a\r\n250 b").wire(), "550 5.1.1 a??250 b\r\n", "no reply injection");
    }
}
