//! The footer as HTML: a quiet box under the author's part, with colours of its own.
//!
//! It says everything of its looks itself, so that nothing is inherited: `all:initial` where
//! programs know it, and one by one for the others. It covers what reaches into its place.

use super::{Action, Footer, whole};
use crate::message::html::Look;
use crate::types::html_escaped;
use std::fmt::Write as _;

/// Ground, words, links, and the rule above. Words and links have a contrast of more than 4.5 to 1
/// (WCAG 2.2, 1.4.3); a test computes it.
pub(super) struct Colours {
    pub(super) ground: &'static str,
    pub(super) words: &'static str,
    pub(super) links: &'static str,
    rule: &'static str,
}

pub(super) const LIGHT: Colours = Colours { ground: "#f6f7f9", words: "#50555c", links: "#0b57d0", rule: "#c9ced6" };
pub(super) const DARK: Colours = Colours { ground: "#202124", words: "#c4c7cc", links: "#8ab4f8", rule: "#5f6368" };

/// The class of the box.
const BOX: &str = "rly-f";
/// What no author's style is to change, for programs without `all`.
const OWN: &str = "display:block!important;visibility:visible!important;opacity:1!important;position:relative!important;\
    z-index:1!important;float:none!important;clear:both!important;overflow:visible!important;direction:ltr!important;\
    height:auto!important;text-indent:0!important;letter-spacing:normal!important;word-spacing:normal!important;\
    white-space:normal!important;text-transform:none!important;font:normal 13px/20px sans-serif!important";

impl Footer {
    /// The footer for a page that looks so.
    pub(super) fn drawn(&self, look: Look) -> String {
        let colours = if look.dark == Some(true) { &DARK } else { &LIGHT };
        let width = if look.centred {
            "margin:16px auto 0!important;max-width:600px!important"
        } else {
            "margin:16px 0 0!important"
        };
        // Where the reader's program chooses, its choice has to be stronger than what stands here.
        let firm = if look.dark.is_some() { "!important" } else { "" };
        let Colours { ground, words, links, rule } = colours;
        let mut out = String::with_capacity(4096);
        if look.dark.is_none() {
            let _ = write!(
                out,
                "<style>@media (prefers-color-scheme:dark){{.{BOX},.{BOX} td{{background-color:{}!important;color:{}!important}}\
                 .{BOX} .{BOX}l{{color:{}!important}}.{BOX} .{BOX}r{{background-color:{}!important}}}}</style>",
                DARK.ground, DARK.words, DARK.links, DARK.rule
            );
        }
        // The rule is a line of text, too: what makes plain text of this shows a separator.
        let _ = write!(
            out,
            "<div class=\"{BOX}\" dir=\"ltr\" style=\"all:initial!important;{OWN};{width};\
             background-color:{ground}{firm};color:{words}{firm}\">\
             <div class=\"{BOX}r\" style=\"height:1px;overflow:hidden;font-size:1px;line-height:1px;\
             background-color:{rule}{firm};color:{words}{firm}\">-- <br></div>\r\n\
             <table role=\"presentation\" width=\"100%\" cellpadding=\"0\" cellspacing=\"0\" border=\"0\" style=\"width:100%\">\
             <tr><td bgcolor=\"{ground}\" align=\"left\" style=\"padding:10px 16px 12px;text-align:left;\
             font:normal 13px/20px sans-serif;background-color:{ground}{firm};color:{words}{firm}\">\r\n"
        );
        for (n, action) in self.actions.iter().enumerate() {
            let gap = if n > 0 { " &nbsp;&middot;&nbsp; " } else { "" };
            let _ = write!(
                out,
                "{gap}<a class=\"{BOX}l\" href=\"{}\" style=\"color:{links}{firm};text-decoration:underline\">{}</a>\r\n",
                html_escaped(&self.link(action)),
                html_escaped(&whole(&action.label))
            );
        }
        let _ = write!(out, "<br>{}\r\n<br>", html_escaped(&whole(&self.links)));
        if let Some(seller) = &self.seller {
            let _ = write!(out, "{} &nbsp;&middot;&nbsp; ", html_escaped(&seller.line()));
        }
        let _ = write!(out, "{}</td></tr></table></div>", self.reference());
        out
    }

    /// A mail that only has to be sent (RFC 6068).
    fn link(&self, action: &Action) -> String {
        format!("mailto:{}?subject={}&body={}", action.address, quoted(&action.label), quoted(&self.send))
    }
}

/// UTF-8 in per cent, all but letters and digits.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() * 3);
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}
