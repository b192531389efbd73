//! The body of a message as it comes over the wire, RFC 5321 4.1.1.4 and 4.5.2: only CRLF "." CRLF ends it, a dot that begins a
//! line is taken off, and a bare CR or LF is refused, because two servers that disagree on what ends a line can be made to
//! disagree on where a message ends (SMTP smuggling).

use crate::types::lines;

/// Where the reader stands between two octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// After CRLF, or at the very start.
    LineStart,
    /// In a line.
    Line,
    /// After a CR in a line.
    Cr,
    /// After a dot that began a line.
    Dot,
    /// After a dot that began a line, and a CR.
    DotCr,
}

/// What feeding the reader led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fed {
    /// All of the input is used, and the message goes on.
    More,
    /// The message has ended after so many octets of the input; the rest are commands.
    End(usize),
    /// A bare CR or LF.
    BareNewline,
}

/// Reads a message in pieces of any size.
#[derive(Clone, Debug)]
pub struct DataReader {
    state: State,
}

impl Default for DataReader {
    fn default() -> Self {
        Self { state: State::LineStart }
    }
}

impl DataReader {
    /// Takes the next piece and gives the message's own octets, CRLFs included, to `out`, in slices of the input.
    pub fn feed(&mut self, input: &[u8], mut out: impl FnMut(&[u8])) -> Fed {
        let mut at = 0;
        // From here to `at` the octets are the message's own, and not given out yet: what has no dots to take off goes out in one slice.
        let mut run = 0;
        if self.state == State::Cr && input.first() == Some(&b'\n') {
            // Its CR came with the piece before, and was kept back.
            out(b"\r\n");
            self.state = State::LineStart;
            (at, run) = (1, 1);
        }
        let mut give = |from: usize, to: usize| match input.get(from..to) {
            Some(octets) if !octets.is_empty() => out(octets),
            _ => {}
        };
        let mut regular = true;
        while let Some(&byte) = input.get(at) {
            if regular && matches!(self.state, State::Line | State::LineStart) && byte != b'.' {
                let lines = regular_lines(input.get(at..).unwrap_or(&[]));
                // Not looked for again where something is wrong: that ends the session.
                regular = lines > 0;
                if regular {
                    self.state = State::LineStart;
                    at += lines;
                    continue;
                }
            }
            match (self.state, byte) {
                (State::LineStart, b'.') => {
                    give(run, at);
                    self.state = State::Dot;
                    at += 1;
                    run = at;
                }
                (State::LineStart | State::Line, _) => {
                    let rest = input.get(at..).unwrap_or(&[]);
                    let end = memchr::memchr2(b'\r', b'\n', rest);
                    self.state = match end.and_then(|end| rest.get(end)) {
                        None => State::Line,
                        Some(b'\r') => State::Cr,
                        Some(_) => return Fed::BareNewline,
                    };
                    at += end.map_or(rest.len(), |end| end + 1);
                }
                (State::Dot, b'\r') => {
                    self.state = State::DotCr;
                    at += 1;
                    run = at;
                }
                (State::Dot, b'\n') => return Fed::BareNewline,
                (State::Dot, _) => self.state = State::Line,
                (State::Cr, b'\n') => {
                    self.state = State::LineStart;
                    at += 1;
                }
                (State::DotCr, b'\n') => return Fed::End(at + 1),
                (State::Cr | State::DotCr, _) => return Fed::BareNewline,
            }
        }
        // A CR is the message's own once its LF has come.
        give(run, at - usize::from(self.state == State::Cr && at > run));
        Fed::More
    }
}

/// Octets up to the end of the last line before one that begins with a dot, if all lines before it end in CRLF; 0: go on octet by octet.
fn regular_lines(input: &[u8]) -> usize {
    let end = memchr::memmem::find(input, b"\n.").or_else(|| memchr::memrchr(b'\n', input)).map_or(0, |end| end + 1);
    if input.get(..end).is_some_and(lines::are_whole) { end } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A second opinion: the whole input at once, line by line.
    fn reference(input: &[u8]) -> (Vec<u8>, Fed) {
        let mut out = Vec::new();
        let mut at = 0;
        loop {
            let rest = &input[at..];
            let Some(nl) = rest.iter().position(|b| *b == b'\n' || *b == b'\r') else {
                out.extend(rest.strip_prefix(b".").unwrap_or(rest));
                return (out, Fed::More);
            };
            let line = &rest[..nl];
            match rest.get(nl..nl + 2) {
                Some(b"\r\n") if line == b"." => return (out, Fed::End(at + nl + 2)),
                Some(b"\r\n") => {
                    out.extend(line.strip_prefix(b".").unwrap_or(line));
                    out.extend(b"\r\n");
                }
                None if rest[nl] == b'\r' => {
                    out.extend(line.strip_prefix(b".").unwrap_or(line));
                    return (out, Fed::More);
                }
                _ => {
                    out.extend(line.strip_prefix(b".").unwrap_or(line));
                    return (out, Fed::BareNewline);
                }
            }
            at += nl + 2;
        }
    }

    fn in_pieces(input: &[u8], cuts: &[usize]) -> (Vec<u8>, Fed) {
        let mut reader = DataReader::default();
        let mut out = Vec::new();
        let mut from = 0;
        for cut in cuts.iter().copied().chain([input.len()]) {
            match reader.feed(&input[from..cut], |bytes| out.extend_from_slice(bytes)) {
                Fed::More => from = cut,
                Fed::End(used) => return (out, Fed::End(from + used)),
                Fed::BareNewline => return (out, Fed::BareNewline),
            }
        }
        (out, Fed::More)
    }

    fn check(input: &[u8]) {
        let want = reference(input);
        for first in 0..=input.len() {
            for second in [first, (first + 1).min(input.len()), input.len()] {
                let got = in_pieces(input, &[first, second]);
                assert_eq!(got.1, want.1, "{input:?} cut at {first}, {second}");
                if want.1 != Fed::BareNewline {
                    assert_eq!(got.0, want.0, "{input:?} cut at {first}, {second}");
                }
            }
        }
    }

    #[test]
    fn every_ending_at_every_split_point() {
        // The smuggling matrix: everything that some server has taken for the end of a message.
        let endings: &[&[u8]] = &[
            b"\r\n.\r\n",
            b"\n.\n",
            b"\r.\r",
            b"\r\n.\n",
            b"\n.\r\n",
            b"\r.\r\n",
            b"\r\n.\r",
            b"\r\n\x00.\r\n",
            b"\r\n.\x00\r\n",
            b"\r\r\n.\r\n",
            b"\r\n.\r\r\n",
            b"\r\n..\r\n",
            b"\r\n. \r\n",
            b"\n\r\n.\r\n",
            b".\r\n",
        ];
        for ending in endings {
            for start in [&b""[..], b"a", b".", b"..", b"a\r\nb", b".a\r\n.b"] {
                let input = [start, ending, b"MAIL FROM:<x@y>\r\n"].concat();
                check(&input);
            }
        }
    }

    #[test]
    fn only_the_one_ending_ends() {
        // input, message, octets used
        let cases: &[(&[u8], &[u8], usize)] =
            &[(b".\r\nQUIT\r\n", b"", 3), (b"..\r\n.\r\n", b".\r\n", 7), (b"a\r\n.b\r\n.\r\n", b"a\r\nb\r\n", 10)];
        for (input, message, used) in cases {
            assert_eq!(in_pieces(input, &[]), (message.to_vec(), Fed::End(*used)));
        }
    }

    proptest::proptest! {
        #[test]
        fn agrees_with_the_reference(input in proptest::collection::vec(
            proptest::sample::select(vec![b'\r', b'\n', b'.', b'a', 0, 0xff]), 0..24)) {
            check(&input);
        }

        #[test]
        fn what_is_stuffed_comes_back(lines in proptest::collection::vec("[.a\u{e9} ]{0,5}", 0..8)) {
            let mut wire = String::new();
            let mut plain = String::new();
            for line in &lines {
                wire.push_str(if line.starts_with('.') { "." } else { "" });
                wire.push_str(&format!("{line}\r\n"));
                plain.push_str(&format!("{line}\r\n"));
            }
            wire.push_str(".\r\n");
            let (out, fed) = in_pieces(wire.as_bytes(), &[]);
            proptest::prop_assert_eq!(out, plain.into_bytes());
            proptest::prop_assert_eq!(fed, Fed::End(wire.len()));
        }
    }
}
