//! The footer of what a party receives, and how footers, marks and acting addresses are found again
//! in what the party writes: they are the receiver's own and never go out to the other side, also
//! not quoted.
//!
//! ```text
//! --
//! Report this message: report+…@market.example
//! No more messages from sellers: stop+…@market.example
//! An e-mail to one of these addresses is enough; it needs no text.
//! Seller: Sato Shop
//! Ref: bbqxer-ik4m2f-dq7opk-xa2zzt
//! ```
//! The words are in the receiver's language; the separator (RFC 3676 4.3, with a space behind it)
//! and what stands behind `Ref:` never change: between the two everything is footer, whatever a
//! mail program made of it when it quoted. A thread is known by the reference, which programs keep
//! that make plain text of HTML, and by each acting address, which stays in links. Reading is as
//! tolerant as `scrub`: any case, full-width forms, entities, quote marks and line breaks inside,
//! tags inside.
//!
//! Footers were once written in brackets, `[ref:MARK] … [/ref]`. Mail that has them is in mailboxes
//! and is answered for years, so they are read as well.
//!
//! Not here: who made a mark, and for whom (`types::token`).

mod drawn;
mod find;

use super::anchors::Anchors;
use super::html;
use super::text::shown_name;
use crate::types::token::Purpose;
pub use find::{marks, strip};
use std::fmt::Write as _;

/// What goes under the text. Labels are one line each, without control characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Footer {
    /// The thread mark.
    pub mark: String,
    /// Says what the links are for.
    pub links: String,
    /// The same of addresses in plain text.
    pub addresses: String,
    /// What a mail says that a link opens: to send it as it is.
    pub send: String,
    /// Says that the author's signature was taken off.
    pub unsigned: String,
    /// Who wrote to a buyer: mail programs hide the address that a name in `From` stands for, and forwarded mail loses both.
    pub seller: Option<Seller>,
    /// Addresses that act.
    pub actions: Vec<Action>,
}

/// The company that wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seller {
    /// "Seller", in the reader's words.
    pub label: String,
    /// Its name, as registered.
    pub name: String,
}

impl Seller {
    /// `Seller: Sato Shop`. A name with a separator in it begins no footer, and one with brackets
    /// ends none.
    fn line(&self) -> String {
        let name = self.name.replace(['[', ']', '\u{ff3b}', '\u{ff3d}'], " ");
        whole(&format!("{}: {}", self.label, shown_name(&name)))
    }
}

/// An address that acts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Action {
    /// What it is for.
    pub purpose: Purpose,
    /// What it is for, in the reader's words.
    pub label: String,
    /// `report+TOKEN@domain`.
    pub address: String,
}

/// What tells of a thread in what a party writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mark {
    /// The reference of a footer: a thread's mark.
    Thread(String),
    /// The token of an acting address: it was made for one message of the thread.
    Message(Purpose, String),
}

/// Marks of one message that are looked at: the first ones. Quotes of quotes repeat the same one.
pub const MARKS: usize = 16;
/// Begins a footer in plain text, as it does a signature: programs fold away what follows.
const SEPARATOR: &str = "-- ";

/// Words in which no footer begins anew.
fn whole(words: &str) -> String {
    words.replace("--", "-")
}

impl Footer {
    /// The address for `purpose`, if there is one.
    #[must_use]
    pub fn address(&self, purpose: Purpose) -> Option<&str> {
        self.actions.iter().find(|action| action.purpose == purpose).map(|action| action.address.as_str())
    }

    /// `Ref: bbqxer-ik4m2f-dq7opk-xa2zzt`.
    fn reference(&self) -> String {
        let mut out = "Ref: ".to_owned();
        for (n, c) in self.mark.chars().enumerate() {
            if n > 0 && n % find::GROUP == 0 {
                out.push('-');
            }
            out.push(c);
        }
        out
    }

    /// The footer of a message whose author had signed it.
    #[must_use]
    pub fn of_unsigned(&self) -> Self {
        let links = format!("{} {}", self.links, self.unsigned);
        let addresses = format!("{}\r\n{}", self.addresses, self.unsigned);
        Self { links, addresses, ..self.clone() }
    }

    /// What goes under `text`, from the line end that it lacks on: the text may be large, and is not copied for it.
    #[must_use]
    pub fn under_text(&self, text: &str) -> String {
        let gap = if text.ends_with('\n') || text.is_empty() { "\r\n" } else { "\r\n\r\n" };
        let mut out = format!("{gap}{SEPARATOR}\r\n");
        for action in &self.actions {
            let _ = write!(out, "{}: {}\r\n", whole(&action.label), action.address);
        }
        let _ = write!(out, "{}\r\n", whole(&self.addresses));
        if let Some(seller) = &self.seller {
            let _ = write!(out, "{}\r\n", seller.line());
        }
        let _ = write!(out, "{}\r\n", self.reference());
        out
    }

    /// `html` with the footer at its end.
    #[must_use]
    pub fn under_html(&self, html: &str) -> String {
        html::page(html, |look| self.drawn(look))
    }
}

#[cfg(test)]
mod tests;
