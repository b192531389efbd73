//! Where the quoted part of an answer begins: behind quote marks, in elements that quote, and below
//! the header that programs write over a quote.

use super::stream::Stream;

/// Octets of a line that may be such a header.
const LONGEST: usize = 400;
/// Lines behind a field in which another one has to stand.
const BLOCK: usize = 5;
/// Fields of a header over a quote as programs write them, lower case, without white space:
/// `From:`, `Sent:`, `To:`.
const FIELDS: &[&str] = &[
    "from",
    "von",
    "de",
    "da",
    "van",
    "från",
    "fra",
    "od",
    "от",
    "откого",
    "kimden",
    "lähettäjä",
    "feladó",
    "差出人",
    "送信者",
    "发件人",
    "發件人",
    "寄件者",
    "寄件人",
    "보낸사람",
    "sent",
    "date",
    "to",
    "cc",
    "gesendet",
    "datum",
    "an",
    "envoyé",
    "à",
    "inviato",
    "data",
    "a",
    "para",
    "enviado",
    "enviada",
    "verzonden",
    "aan",
    "skickat",
    "till",
    "sendt",
    "til",
    "wysłano",
    "do",
    "дата",
    "отправлено",
    "кому",
    "gönderme",
    "tarih",
    "kime",
    "送信日時",
    "日時",
    "日付",
    "宛先",
    "发送时间",
    "日期",
    "时间",
    "收件人",
    "傳送時間",
    "收件者",
    "보낸날짜",
    "받는사람",
];
/// `Subject:`.
const SUBJECTS: &[&str] = &[
    "subject",
    "betreff",
    "objet",
    "oggetto",
    "asunto",
    "assunto",
    "onderwerp",
    "ämne",
    "emne",
    "aihe",
    "tárgy",
    "temat",
    "тема",
    "konu",
    "件名",
    "主题",
    "主旨",
    "제목",
];

/// Which lines of `text` are quoted. `alias`: of whoever wrote what is quoted, as the answer's
/// author knows it.
///
/// Too much is no danger: only what is word for word a line of the copy is given back, so a header
/// that is none lets nothing through but the reader's own words.
pub(in crate::message) fn quoted(text: &Stream, alias: &str) -> Vec<bool> {
    let mut below = false;
    let lines = 0..text.lines.len();
    lines
        .map(|n| {
            let marked = text.marked.get(n).copied().unwrap_or(false);
            let begins = !below && is_block(text, n);
            let quoted = below || marked || begins;
            below = below || begins || !marked && is_header(text, n, alias);
            quoted
        })
        .collect()
}

fn line(text: &Stream, n: usize) -> Option<&str> {
    text.text.get(text.line_at(n)).filter(|line| !line.is_empty() && line.len() <= LONGEST)
}

fn is_header(text: &Stream, n: usize, alias: &str) -> bool {
    line(text, n).is_some_and(|line| is_rule(line) || is_attribution(line, alias))
}

/// Fields one below the other.
fn is_block(text: &Stream, n: usize) -> bool {
    let is = |n: usize| line(text, n).is_some_and(|line| is_field(line, FIELDS) || is_field(line, SUBJECTS));
    is(n) && (n + 1..=n + BLOCK).any(is)
}

/// The subject that a line of such a header tells, from which place of the text on.
pub(super) fn subject(text: &Stream, n: usize) -> Option<usize> {
    let start = text.line_at(n).start;
    let line = line(text, n).filter(|line| is_field(line, SUBJECTS))?;
    let colon = line.find([':', '\u{ff1a}'])?;
    let sign = line.get(colon..)?.chars().next()?;
    let mark = line.get(colon + sign.len_utf8()..)?.chars().take_while(|c| *c == '*').count();
    Some(start + colon + sign.len_utf8() + mark)
}

/// `-----Original Message-----`, in any language.
fn is_rule(line: &str) -> bool {
    let Some(sign) = line.chars().next().filter(|c| matches!(c, '-' | '=' | '*' | '_' | '\u{2500}' | '\u{2501}'))
    else {
        return false;
    };
    let words = line.trim_matches(sign);
    let before = line.chars().take_while(|c| *c == sign).count();
    before > 1 && line.len() - words.len() > before && words.starts_with(char::is_alphabetic)
}

/// `On Saturday at 10:00, Bea wrote:`: it ends with a colon, and tells who, or when.
fn is_attribution(line: &str, alias: &str) -> bool {
    let digits = || line.chars().filter(char::is_ascii_digit).count() > 3;
    line.ends_with([':', '\u{ff1a}']) && (digits() || line.to_ascii_lowercase().contains(alias))
}

fn is_field(line: &str, names: &[&str]) -> bool {
    let Some((name, _)) = line.split_once([':', '\u{ff1a}']).filter(|(name, _)| name.len() < 40) else { return false };
    let name = name.trim_matches('*').to_lowercase();
    names.contains(&name.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_quotes_begin() {
        // text, its quoted lines
        let cases: &[(&str, &[&str])] = &[
            ("Yes.\n> a\n>> b\nNo.", &["a", "b"]),
            ("Yes.\n\nOn Sat, 21 Nov 2026 at 10:00, Bea wrote:\n\na\n", &["a"]),
            ("はい\n2026年11月21日(土) 10:00 Bea <x@m.test>:\na", &["a"]),
            ("Yes.\nBea <X@m.test> schrieb:\na", &["a"]),
            ("Yes.\n-----Ursprüngliche Nachricht-----\nVon: Bea\na", &["Von:Bea", "a"]),
            ("好\n------------------ 原始邮件 ------------------\na", &["a"]),
            (
                "Yes.\n________________________________\nFrom: Bea\nSent: Saturday\nTo: Hana\n\na",
                &["From:Bea", "Sent:Saturday", "To:Hana", "a"],
            ),
            ("はい\n差出人: Bea\n件名: 質問\na", &["差出人:Bea", "件名:質問", "a"]),
            ("*From:* Bea\n*Subject:* x\na", &["*From:*Bea", "*Subject:*x", "a"]),
            ("| a", &["a"]),
            // None of these is a header.
            ("Please note:\na", &[]),
            ("From: me\nwith love\na", &[]),
            ("----\na", &[]),
            ("-- \nBea", &[]),
        ];
        for (text, want) in cases {
            let stream = Stream::of_text(text);
            let lines = quoted(&stream, "x@m.test").into_iter().enumerate().filter(|(_, quoted)| *quoted);
            let lines: Vec<_> = lines.map(|(n, _)| &stream.text[stream.line_at(n)]).collect();
            assert_eq!(lines, *want, "{text}");
        }
    }
}
