//! Files in links of their own text (`data:image/png;base64,…`, RFC 2397): taken out, cleaned like
//! an attached file, put back.
//!
//! Not here: which of them may stand in a document at all (`html`).

use super::entities::ending;
use super::transfer::decode_base64;
use super::work;
use data_encoding::BASE64;
use std::borrow::Cow;

/// Octets of a media type with its parameters.
const HEAD: usize = 200;

/// Gives each file in `text` to `clean`, and writes what comes back in its place. What does not end
/// as a link does is left out from there: nobody knows which octets a program would take for the
/// rest. `None`: nothing changed.
pub(super) fn clean(text: &str, mut clean: impl FnMut(&[u8]) -> Option<Vec<u8>>) -> Option<String> {
    let bytes = text.as_bytes();
    work::skip(bytes.len());
    let (mut out, mut done) = (String::new(), 0);
    for comma in memchr::memmem::find_iter(bytes, b"64,").map(|at| at + 2) {
        work::count(HEAD);
        if comma < done || work::is_over() || !is_data(bytes.get(comma.saturating_sub(HEAD)..comma).unwrap_or(&[])) {
            continue;
        }
        let start = comma + 1;
        let rest = bytes.get(start..).unwrap_or(&[]);
        // In quotes a link may be wrapped over lines.
        let quoted = is_quoted(bytes, comma);
        let goes_on = |byte: u8| is_digit(byte) || quoted && byte.is_ascii_whitespace();
        let length = rest.iter().position(|byte| !goes_on(*byte)).unwrap_or(rest.len());
        work::count(length * 2);
        let Some(written) = text.get(start..start + length) else { continue };
        let digits = unescaped(written);
        let whole = ends(text.get(start + length..).unwrap_or(""));
        let cleaned = if whole { clean(&decode_base64(digits.as_bytes())) } else { Some(Vec::new()) };
        if let Some(cleaned) = cleaned {
            out.push_str(text.get(done..start).unwrap_or(""));
            out.push_str(&BASE64.encode(&cleaned));
            done = start + length;
        }
    }
    if done == 0 {
        return None;
    }
    out.push_str(text.get(done..).unwrap_or(""));
    Some(out)
}

/// Base 64 without the escapes of a link. Almost none has any, and pictures are large.
fn unescaped(written: &str) -> Cow<'_, str> {
    if !written.contains('%') {
        return written.into();
    }
    let digits = written.replace("%2B", "+").replace("%2F", "/").replace("%3D", "=").replace("%2b", "+");
    digits.replace("%2f", "/").replace("%3d", "=").replace('%', "").into()
}

/// Whether what stands before the comma is the head of such a link.
fn is_data(head: &[u8]) -> bool {
    let head = head.to_ascii_lowercase();
    let Some(at) = memchr::memmem::rfind(&head, b"data:") else { return false };
    let media = head.get(at + 5..).unwrap_or(&[]);
    media.ends_with(b";base64") && !media.iter().any(|byte| byte.is_ascii_whitespace() || b"<>\"'(),".contains(byte))
}

fn is_digit(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=' | b'%')
}

/// Whether the link whose head ends at `comma` stands in quotes.
fn is_quoted(bytes: &[u8], comma: usize) -> bool {
    let head = bytes.get(comma.saturating_sub(HEAD)..comma).unwrap_or(&[]).to_ascii_lowercase();
    let before = memchr::memmem::rfind(&head, b"data:").and_then(|at| head.get(..at)).unwrap_or(&[]);
    matches!(before.trim_ascii_end().last(), Some(b'"' | b'\''))
}

/// Whether a link ends before `rest`.
fn ends(rest: &str) -> bool {
    let ends = |c: char| "\"')><],; \t\r\n".contains(c);
    rest.is_empty() || rest.starts_with(ends) || ending(rest).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_taken_out_and_put_back() {
        let upper = |text: &str| clean(text, |bytes| (bytes != b"same").then(|| bytes.to_ascii_uppercase()));
        // text, what becomes of it
        let cases = [
            ("<img src=\"data:image/png;base64,YWJj\">", Some("<img src=\"data:image/png;base64,QUJD\">")),
            ("<img src=DATA:image/png;x=y;Base64,YWJj>", Some("<img src=DATA:image/png;x=y;Base64,QUJD>")),
            ("<img src='data:a/b;base64,\r\n YW\r\n Jj'>", Some("<img src='data:a/b;base64,QUJD'>")),
            ("url(data:text/plain;base64,YWI%3D) x", Some("url(data:text/plain;base64,QUI=) x")),
            ("url(&quot;data:a/b;base64,YWI=&quot;)", Some("url(&quot;data:a/b;base64,QUI=&quot;)")),
            ("url(&#039;data:a/b;base64,YWI=&#039;)", Some("url(&#039;data:a/b;base64,QUI=&#039;)")),
            ("data:a/b;base64,c2FtZQ==", None),
            ("data:a/b;base64,YWJj&#65;", Some("data:a/b;base64,&#65;")),
            ("data:a/b,YWJj base64,YWJj data: x;base64,YWJj", None),
            ("a base64, b", None),
        ];
        for (text, want) in cases {
            assert_eq!(upper(text).as_deref(), want, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text(text in "(data:|image/png|;base64,|[A-Za-z%=<&;\"]|ü){0,30}") {
            let _ = clean(&text, |bytes| Some(bytes.to_vec()));
        }
    }
}
