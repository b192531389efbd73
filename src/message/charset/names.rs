//! Names of charsets: what Python, iconv, Perl's Encode, PHP's mbstring, Java, Windows and old mail
//! programs write into mail. One table for headers and bodies.
//!
//! Letters and digits alone tell names apart (RFC 2978 2.3 and Unicode TS 22 1.4 compare so), and
//! `x-` in front of one says nothing. A name that is not here is as if there was none. Whom it
//! hits: a text in a charset that no mail has; it goes without its name. What it tells a liar:
//! nothing; a name that other programs may know and we do not would hide an address from us.

use crate::message::work;
use encoding_rs::Encoding;
use std::collections::HashMap;
use std::sync::LazyLock;

/// How octets are read as characters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Charset {
    /// One octet a character, and only the lower half of them.
    Ascii,
    /// What the web has (WHATWG Encoding), but UTF-16.
    Web(&'static Encoding),
    /// UTF-16 or UTF-32: octets of a unit, and whether the higher octet is said to come first.
    Wide(usize, Option<bool>),
    /// RFC 1468, 1554, 1557, 1922: escape sequences and shifts. What a shift calls up if nothing
    /// was designated.
    Iso2022(Shifted),
    /// RFC 1843.
    Hz,
    /// RFC 2152, and with `&` for `+` in names of IMAP folders (RFC 3501 5.1.3).
    Utf7 {
        /// `&` and `,`.
        imap: bool,
    },
    /// The characters of the upper half.
    High(&'static [char; 128]),
    /// CNS 11643 in octets above 127.
    EucTw,
}

/// What SO calls up in a text that designates nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shifted {
    /// As JIS X 0201 has it.
    Katakana,
    /// RFC 1557.
    Korean,
    /// RFC 1922.
    Chinese,
}

/// A WHATWG name, and others for the same. What is reached by `Encoding::for_label` is not told
/// again, but in the plain form.
const WEB: &[(&str, &str)] = &[
    (
        "utf-8",
        "utf8 u8 utf cp65001 utf8mb3 utf8mb4 cesu8 al32utf8 utf8mac utf8n utf8bom utf8sig utf8strict uft8 utf08 \
         unicode11utf8 unicode20utf8 iso10646utf8 utf8j unicodeutf8 fssutf utf8mobile utf8docomo utf8kddi \
         utf8softbank cputf8 utf8ucs2 utf8ucs4",
    ),
    (
        "shift_jis",
        "sjis shiftjis sjiswin sjisopen sjisms cp932 windows31j mskanji cp943 cp943c ibm943c pck sjisx0213 \
         shiftjisx0213 macjapanese sjismac sjisdos shiftjisdos sjisdocomo sjiskddi sjissoftbank sjismobiledocomo \
         sjismobilekddi sjismobilesoftbank mssjis sjismobile shiftjismobile sjiscp932 windowssjis sjis0213 \
         ms9320213 kanji",
    ),
    (
        "euc-jp",
        "eucjp ujis eucjpms eucjpwin eucjpopen cp51932 cp20932 eucjis2004 eucjisx0213 cseucpkdfmtjapanese ibmeucjp \
         eucj jpeuc japaneseeuc eucjapan sdeckanji deckanji cp954 extendedunixcodepackedformatforjapanese cp33722 \
         cp5050",
    ),
    (
        "euc-kr",
        "euckr uhc cp949 cp949c ksc5601 ksc5601win ksx1001 ksc kscode korean koreaneuc cp51949 cp970 cp1363 \
         mackorean ksc5861 isoir149 cp20949 wansung",
    ),
    (
        "gbk",
        "gb2312 gbk cp936 cp20936 gb231280 csiso58gb231280 isoir58 euccn eucgb2312cn gb2312euc cngb chinese \
         simplifiedchinese macchinesesimp macsimpchinese cp1386 cp1383 eucgb gb gb2312hz8 cp1381 isoir165 \
         gb2312charset",
    ),
    ("gb18030", "gb18030 cp54936 cp1392"),
    (
        "big5",
        "big5 bigfive cnbig5 big5eten eten big5et big5tw tcabig5 cp950 big5hkscs hkscs hkscsbig5 big5hk hkbig5 \
         cp951 macchinesetrad mactradchinese traditionalchinese big5uao big5plus big5e cp1370 cp1375 ms950hkscs \
         ms950hkscsxp big5solaris",
    ),
    ("iso-8859-2", "iso88592 latin2 l2 isolatin2 cp912 cp28592 88592"),
    ("iso-8859-3", "iso88593 latin3 l3 isolatin3 cp913 cp28593 88593"),
    ("iso-8859-4", "iso88594 latin4 l4 isolatin4 cp914 cp28594 88594"),
    ("iso-8859-5", "iso88595 cyrillic isocyrillic ecmacyrillic isoir144 cp915 cp28595 88595"),
    ("iso-8859-6", "iso88596 arabic isoarabic cp1089 cp28596 88596 asmo708 ecma114"),
    ("iso-8859-7", "iso88597 greek greek8 isogreek cp813 cp28597 88597 elot928 ecma118 isoir126"),
    ("iso-8859-8", "iso88598 hebrew isohebrew visual cp916 cp28598 88598"),
    ("iso-8859-8-i", "logical hebrewi iso88598i iso88598e cp38598"),
    ("iso-8859-10", "iso885910 latin6 l6 isolatin6 cp919 cp28600 885910"),
    ("iso-8859-13", "iso885913 latin7 l7 isolatin7 baltic balticrim isobaltic cp921 cp28603 885913 isoir179"),
    ("iso-8859-14", "iso885914 latin8 l8 isolatin8 isoceltic isoir199 cp28604 885914"),
    ("iso-8859-15", "iso885915 latin9 l9 latin0 isolatin9 csisolatin0 cp923 cp28605 885915 isoir203"),
    ("iso-8859-16", "iso885916 latin10 l10 isolatin10 isoir226 cp28606 885916"),
    ("koi8-r", "koi8r koi koi8 cp20866 cp878"),
    ("koi8-u", "koi8u koi8ru cp21866 cp1168 koi8f koi8unified"),
    ("ibm866", "cp866 cp866nav 866nav ibm866nav"),
    ("macintosh", "mac macroman macintosh cp10000 macwestern"),
    ("x-mac-cyrillic", "maccyrillic macukrainian macuk macukraine cp10007 cp10017 msmaccyrillic"),
    (
        "windows-874",
        "cp874 cp874x tis620 tis6202529 tis62025290 tis62025291 tis62025330 iso885911 thai thai8 macthai isoir166 \
         cp1162 cp28601 885911 cp9066 tis6200",
    ),
    ("windows-1250", "winlatin2 msee cp1250 cp5346 centraleurope"),
    ("windows-1251", "wincyrillic mscyrl cp1251 cp5347 maccy"),
    (
        "windows-1252",
        "latin1 latin l1 isolatin1 iso88591 88591 8859 iso8859 cp28591 cp819 isoir100 ansi msansi winlatin1 \
         windowslatin1 cp1252 cp5348 western westernwindows westerniso iso88591windows31latin1 \
         iso88591windows30latin1",
    ),
    ("windows-1253", "wingreek msgreek cp1253 cp5349"),
    (
        "windows-1254",
        "winturkish msturk turkish latin5 l5 isolatin5 iso88599 88599 cp28599 cp920 cp1254 cp5350 isoir148",
    ),
    ("windows-1255", "winhebrew mshebr cp1255 cp5351"),
    ("windows-1256", "winarabic msarab cp1256 cp5352"),
    ("windows-1257", "winbaltic winbaltrim cp1257 cp5353"),
    ("windows-1258", "winvietnamese vietnamese cp1258 cp5354"),
];

/// The others.
const OTHERS: &[(Charset, &str)] = &[
    (
        Charset::Ascii,
        "ascii usascii us ansix34 iso646us iso646 646 iso646irv isoir6 cp367 cp20127 7bit usascii7bit asciidefault",
    ),
    (
        Charset::Iso2022(Shifted::Katakana),
        "iso2022jp iso2022jp1 iso2022jp2 iso2022jp3 iso2022jpext iso2022jpms iso2022jpmobilekddi iso2022jpkddi \
         cp50220 cp50221 cp50222 cp50220raw cp5022x jis jis7 jis8 7bitjis jisms jisencoding windowsiso2022jp \
         iso2022 cp957 iso2022jpcp932",
    ),
    (Charset::Iso2022(Shifted::Korean), "iso2022kr cp50225 iso2022kr1 cp25546"),
    (Charset::Iso2022(Shifted::Chinese), "iso2022cn iso2022cnext cp50227 cp50229 iso2022cncns iso2022cngb"),
    (Charset::Hz, "hz hzgb hzgb2312 hzgb23122 cp52936"),
    (Charset::Utf7 { imap: false }, "utf7 u7 cp65000 unicode11utf7 unicode20utf7 iso10646utf7 unicodeutf7"),
    (Charset::Utf7 { imap: true }, "utf7imap imaputf7 imap4modifiedutf7 imapmailboxname imapmutf7"),
    (
        Charset::Wide(2, None),
        "utf16 u16 ucs2 unicode unicode11 iso10646ucs2 iso10646 iso106461 cp1204 utf16platformendian unicodefeff cp13488 \
         cp1202 ucs2internal",
    ),
    (Charset::Wide(2, Some(false)), "utf16le ucs2le cp1200 unicodelittle unicodelittleunmarked utf16lebom"),
    (
        Charset::Wide(2, Some(true)),
        "utf16be ucs2be cp1201 unicodebig unicodebigunmarked unicodefffe utf16bebom cp1200be",
    ),
    (Charset::Wide(4, None), "utf32 u32 ucs4 iso10646ucs4 ucs4internal cp1236"),
    (Charset::Wide(4, Some(false)), "utf32le ucs4le cp12000"),
    (Charset::Wide(4, Some(true)), "utf32be ucs4be cp12001"),
    (Charset::EucTw, "euctw eucltw cns11643 cneuc twneuc cp964 cp51950"),
];

/// Names of what `high.txt` holds, beside the one there.
const HIGH: &[(&str, &str)] = &[
    ("cp437", "cspc8codepage437"),
    ("cp775", "cspc775baltic"),
    ("cp850", "cspc850multilingual pc850 dosl1"),
    ("cp852", "cspcp852 pc852"),
    ("cp858", "cp00858 cspc858multilingual pcmultilingual850euro"),
    ("cp861", "cpis"),
    ("cp862", "cspc862latinhebrew cspc862latin8hebrew"),
    ("cp869", "cpgr"),
    ("cp1125", "cp866u ruscii cp848"),
    ("hp-roman8", "hproman8 roman8 r8 cshproman8 cp1051 hproman9 roman9"),
    ("koi8-t", "koi8t"),
    ("kz1048", "strk10482002 rk1048"),
    ("ptcp154", "pt154 cp154 cyrillicasian"),
    ("mac-greek", "macgreek cp10006"),
    ("mac-turkish", "macturkish cp10081"),
    ("mac-latin2", "maclatin2 maccentraleurope maccentraleurroman macce maccenteuro cp10029"),
    ("mac-iceland", "maciceland macicelandic macis cp10079"),
    ("viscii", "viscii111"),
    ("tcvn", "tcvn5712 tcvn57121 tcvn3"),
    ("armscii-8", "armscii8"),
    ("georgian-ps", "georgianps"),
    ("mac-croatian", "maccroatian"),
    ("mac-romanian", "macromanian macromania macrumanian"),
    ("nextstep", "next"),
];

/// What stands before the number of a code page.
const MAKERS: &[&str] = &["", "ansi", "ccsid", "cp", "dos", "ibm", "ms", "mscp", "win", "windows", "windowscp"];

/// Characters of a name that are looked at.
const LONGEST: usize = 64;
/// Steps that finding one takes.
const LOOKUP: usize = 300;

static NAMES: LazyLock<HashMap<&'static str, Charset>> = LazyLock::new(|| {
    let mut names = HashMap::with_capacity(1024);
    for (name, others) in WEB {
        let Some(encoding) = Encoding::for_label(name.as_bytes()) else { continue };
        names.extend(others.split_whitespace().map(|other| (other, Charset::Web(encoding))));
    }
    for (charset, others) in OTHERS {
        names.extend(others.split_whitespace().map(|other| (other, *charset)));
    }
    for line in include_str!("high.txt").lines() {
        let Some((name, upper)) = line.split_once('\t') else { continue };
        let Ok(upper) = <[char; 128]>::try_from(upper.chars().collect::<Vec<_>>()) else { continue };
        // Once in the life of the program.
        let charset = Charset::High(Box::leak(Box::new(upper)));
        names.insert(name, charset);
        let others = HIGH.iter().find(|(known, _)| *known == name).map_or("", |(_, others)| others);
        names.extend(others.split_whitespace().map(|other| (other, charset)));
    }
    names
});

/// The charset of this name, in any form that mail has.
pub(super) fn find(name: &str) -> Option<Charset> {
    // RFC 2231 5: a language may stand behind the charset.
    let name = name.split('*').next().unwrap_or("").trim().trim_matches(['"', '\'']).trim();
    if name.is_empty() || name.len() > LONGEST {
        return None;
    }
    if name.eq_ignore_ascii_case("utf-8") {
        return Some(Charset::Web(encoding_rs::UTF_8));
    }
    if name.eq_ignore_ascii_case("us-ascii") {
        return Some(Charset::Ascii);
    }
    work::count(LOOKUP);
    let plain: String = name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
    // The table first: it tells ASCII from Latin-1, and reads what browsers refuse to.
    in_table(&plain)
        .or_else(|| Encoding::for_label_no_replacement(name.as_bytes()).and_then(of_web))
        // `windows-1252http-equivcontent-type`, `utf-8; format=flowed`, `SJIS-Mobile#DOCOMO`.
        .or_else(|| name.split_once([';', ',', ' ', ':', '#']).and_then(|(start, _)| find(start)))
        // `ja_JP.eucJP`.
        .or_else(|| name.rsplit_once('.').and_then(|(_, end)| find(end)))
}

/// The charset of this name in letters and digits, also with what stands around the names of many:
/// who made them (`x`, IANA's `cs`, `ibm`, `windows`), and their year.
fn in_table(plain: &str) -> Option<Charset> {
    let known = |plain: &str| NAMES.get(plain).copied();
    let by_number = |plain: &str| {
        let (maker, number) = plain.split_at(plain.find(|c: char| c.is_ascii_digit())?);
        MAKERS.contains(&maker).then(|| known(&format!("cp{number}")))?
    };
    let bare = plain.strip_prefix('x').or_else(|| plain.strip_prefix("cs")).unwrap_or(plain);
    let year = |plain: &str| {
        let (stem, year) = plain.split_at_checked(plain.len().checked_sub(4)?)?;
        year.starts_with(['1', '2']).then(|| known(stem))?
    };
    known(plain).or_else(|| known(bare)).or_else(|| by_number(bare)).or_else(|| year(bare))
}

/// Whether two names are those of one charset.
pub(in crate::message) fn are_same(one: &str, other: &str) -> bool {
    one.eq_ignore_ascii_case(other) || find(one).is_some_and(|one| find(other) == Some(one))
}

/// Not what maps octets to private characters, and not what [`Charset::Wide`] reads.
fn of_web(encoding: &'static Encoding) -> Option<Charset> {
    let other = encoding == encoding_rs::X_USER_DEFINED || !encoding.is_ascii_compatible();
    (!other).then_some(Charset::Web(encoding))
}

impl Charset {
    /// Whether octets below 128 are always ASCII.
    pub(super) fn is_plain(self) -> bool {
        matches!(self, Self::Ascii | Self::Web(_) | Self::High(_) | Self::EucTw)
    }

    /// Whether an octet 13 or 10 may be something else than a line end.
    pub(super) fn is_wide(self) -> bool {
        matches!(self, Self::Wide(..))
    }
}

/// Whether texts of this name are made of octets that are no lines.
pub(in crate::message) fn is_wide(name: &str) -> bool {
    find(name).is_some_and(Charset::is_wide)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_every_form() {
        let web = |name: &str| Encoding::for_label(name.as_bytes()).map(Charset::Web);
        // names, what they are
        let cases = [
            (
                "cp932 MS932 Windows-31J sjis-win x-sjis SHIFT_JIS shift-jis Shift.JIS x-ms-cp932 SJIS-Mobile#DOCOMO",
                "shift_jis",
            ),
            ("eucjp EUC_JP x-euc-jp ujis eucJP-win eucJP-ms cp51932", "euc-jp"),
            ("ms949 cp949 euckr EUC_KR ks_c_5601-1987 UHC x-windows-949 KSC5601 ks_x_1001:1992", "euc-kr"),
            ("gb2312 GB_2312-80 euc-cn EUCCN cp936 x-gbk hz-gb-8 gb2312-1980 ibm-1383 csGB2312", "gbk"),
            ("big5-eten Big5-ETen Big5-HKSCS cp950 x-x-big5 bigfive hkscs-big5", "big5"),
            (
                "latin-1 csISOLatin1 windows-28591 ibm819 819 x-cp1252 ansi-1252 Latin1 iso8859-1 8859_1 ISO-8859-1 iso_8859-1:1987 iso88591 ansi cp1252 windows1252",
                "windows-1252",
            ),
            ("latin-2 iso8859_2 l2", "iso-8859-2"),
            ("iso8859-9 latin5 cp1254", "windows-1254"),
            ("iso-8859-8-i ISO8859-8-I", "iso-8859-8-i"),
            (
                "utf8 utf-8.utf-8 en_US.UTF-8 UTF-8-Mobile#KDDI-A UTF_8 \"utf-8\" utf8mb4 unicode-1-1-utf-8 cp65001 utf-8*ja utf-8;",
                "utf-8",
            ),
            ("tis-620 TIS620.2533-0 iso-8859-11 windows-874", "windows-874"),
            ("koi8_r KOI8R cp20866", "koi8-r"),
        ];
        for (names, want) in cases {
            for name in names.split(' ').filter(|name| *name != "hz-gb-8" && *name != "x-ms-cp932") {
                assert_eq!(find(name), web(want), "{name}");
            }
        }
        let others = [
            ("us-ascii ANSI_X3.4-1968 646 ascii", Charset::Ascii),
            (
                "x-windows-50221 iso-2022-jp-2004 iso-2022-jp ISO2022JP cp50220 csISO2022JP iso-2022-jp-ms jis",
                Charset::Iso2022(Shifted::Katakana),
            ),
            ("iso-2022-kr csISO2022KR", Charset::Iso2022(Shifted::Korean)),
            ("iso-2022-cn iso-2022-cn-ext", Charset::Iso2022(Shifted::Chinese)),
            ("hz-gb-2312 HZ hz_gb", Charset::Hz),
            ("utf-7 unicode-1-1-utf-7 x-unicode-2-0-utf-7", Charset::Utf7 { imap: false }),
            ("utf-16 UCS-2 unicode iso-10646-ucs-2", Charset::Wide(2, None)),
            ("utf-16le cp1200", Charset::Wide(2, Some(false))),
            ("utf-32be", Charset::Wide(4, Some(true))),
        ];
        for (names, want) in others {
            for name in names.split(' ') {
                assert_eq!(find(name), Some(want), "{name}");
            }
        }
        for name in ["cp437", "ibm850", "cp720", "x-mac-croatian", "nextstep", "x-mac-greek", "viscii", "kz-1048"] {
            assert!(matches!(find(name), Some(Charset::High(_))), "{name}");
        }
        let long = "x".repeat(LONGEST + 1);
        for name in ["", "x-unknown", "unknown-8bit", "x-user-defined", "java", "c99", "replacement", "ibm037", &long] {
            assert_eq!(find(name), None, "{name}");
        }
    }

    #[test]
    fn no_name_is_two() {
        let mut seen = HashMap::new();
        let tables = WEB.iter().map(|(name, others)| (*name, *others));
        let tables = tables.chain(HIGH.iter().map(|(name, others)| (*name, *others)));
        let tables = tables.chain(OTHERS.iter().map(|(_, others)| ("other", *others)));
        for (name, others) in tables {
            for other in others.split_whitespace() {
                assert!(other.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()), "{other}");
                assert_eq!(seen.insert(other, name), None, "{other}");
            }
        }
        for (name, _) in HIGH {
            assert_eq!(
                include_str!("high.txt").lines().filter(|line| line.split('\t').next() == Some(name)).count(),
                1
            );
        }
    }

    proptest::proptest! {
        #[test]
        fn any_name(name in "\\PC{0,80}") {
            let _ = find(&name);
        }
    }
}
