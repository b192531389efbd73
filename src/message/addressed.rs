//! Whether a message is addressed to somebody: who stands in its `To` and `Cc`.

use super::headers::Field;
use crate::types::Address;

/// Whether a `To` or `Cc` field names this address: as it is, or with a reason behind the local part
/// (`ALIAS+delivery@`). Case does not matter.
#[must_use]
pub fn names(fields: &[Field<'_>], address: &Address) -> bool {
    let (local, domain) = (address.local().to_ascii_lowercase(), address.domain());
    let is_it = |word: &str| {
        let word = word.to_ascii_lowercase();
        word.rsplit_once('@').is_some_and(|(name, of)| {
            let bare = name == local || name.strip_prefix(local.as_str()).is_some_and(|rest| rest.starts_with('+'));
            of == domain && bare
        })
    };
    let named = |field: &Field<'_>| {
        let parts = |c: char| c.is_whitespace() || "<>,;:\"()".contains(c);
        field.text().split(parts).any(is_it)
    };
    fields.iter().filter(|field| field.is("To") || field.is("Cc")).any(named)
}
