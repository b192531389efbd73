//! Visiting cards (RFC 6350, RFC 2426, vCard 2.1): a card is there to tell who somebody is, so what goes out says what the other side may know: the name that the
//! platform registered and the alias. Notes stay, scrubbed.

use super::content_lines::{ContentLine, fold, unfold};
use super::replacements::Replacements;
use super::work;
use crate::types::Alias;

/// Writes each card of `text` anew, with `name` (the author's, as the receiver knows it) and the author's `alias`.
#[must_use]
pub fn clean(text: &str, name: &str, alias: &Alias, replacements: &Replacements) -> String {
    let name = super::text::harmless(name);
    let name = if name.is_empty() { alias.as_str().to_owned() } else { name.replace(['\\', ';', ','], " ") };
    let mut out = String::new();
    for line in unfold(text) {
        let Some(line) = ContentLine::read(&line) else { continue };
        work::count(line.parameters.len() * 64);
        let is_card = line.value.trim().eq_ignore_ascii_case("VCARD");
        // Encoded lines of version 2.1 would need decoding.
        let encoded = line
            .parameters
            .iter()
            .any(|p| p.to_ascii_uppercase().contains("QUOTED-PRINTABLE") || p.to_ascii_uppercase().contains("BASE64"));
        match line.name.as_str() {
            "BEGIN" if is_card => fold("BEGIN:VCARD", &mut out),
            "END" if is_card => fold("END:VCARD", &mut out),
            "VERSION" => {
                // FN and N have to be there in version 3.
                fold(&format!("VERSION:{}", if line.value.trim() == "4.0" { "4.0" } else { "3.0" }), &mut out);
                work::count(4 * name.len());
                fold(&format!("FN:{name}"), &mut out);
                fold(&format!("N:{name};;;;"), &mut out);
                fold(&format!("EMAIL:{}", alias.as_str()), &mut out);
            }
            "NOTE" | "CATEGORIES" if !encoded => {
                fold(&format!("{}:{}", line.name, replacements.scrubbed(line.value)), &mut out);
            }
            _ => {}
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Address;

    #[test]
    fn cards_tell_what_the_other_side_knows() {
        let alias = Alias::from_text("seller@m.test");
        let key = [Address::parse("s-real@shop.example").unwrap().key()];
        let replacements = Replacements::new((&key, &alias), (&[], &Alias::from_text("buyer@m.test")));
        let card = "BEGIN:VCARD\r\nVERSION:4.0\r\nFN:Sato Real\r\nN:Real;Sato;;;\r\nitem1.EMAIL;TYPE=work:s-real@shop.example\r\nTEL:+81 3\r\nPHOTO;ENCODING=b:AA\r\n AA\r\nNOTE:write to\r\n  s-real@shop.example\r\nNOTE;ENCODING=QUOTED-PRINTABLE:=20\r\nX-ABUID:1\r\nEND:VCARD\r\n";
        assert_eq!(
            clean(card, "Sato Shop; Tokyo", &alias, &replacements),
            "BEGIN:VCARD\r\nVERSION:4.0\r\nFN:Sato Shop  Tokyo\r\nN:Sato Shop  Tokyo;;;;\r\nEMAIL:seller@m.test\r\nNOTE:write to seller@m.test\r\nEND:VCARD\r\n"
        );
        assert_eq!(clean("", "x", &alias, &replacements), "");
    }
}
