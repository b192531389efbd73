//! Names of charsets: what Python, iconv, Perl's Encode, PHP's mbstring, Java, Windows and old mail
//! programs write into mail. One table for headers and bodies.
//!
//! Letters and digits alone tell names apart (RFC 2978 2.3 and Unicode TS 22 1.4 compare so), and
//! `x-` in front of one says nothing. A name that is not here is as if there was none. Whom it
//! hits: a text in a charset that no mail has; it goes without its name. What it tells a liar:
//! nothing; a name that other programs may know and we do not would hide an address from us.

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
        "utf8 u8 utf cp65001 65001 windows65001 utf8mb3 utf8mb4 cesu8 csutf8 cscesu8 al32utf8 utf8mac utf8n utf8bom \
         utf8sig utf8strict uft8 utf08 unicode11utf8 unicode20utf8 iso10646utf8 utf8j xutf8j unicodeutf8 fssutf",
    ),
    (
        "shift_jis",
        "sjis shiftjis csshiftjis sjiswin sjisopen sjisms cp932 ms932 932 windows932 windows31j cswindows31j \
         mskanji cp943 cp943c 943 ibm943 ibm943c ibm932 csibm943 pck sjis2004 shiftjis2004 sjisx0213 shiftjisx0213 \
         macjapanese sjismac sjisdos shiftjisdos sjisdocomo sjiskddi sjissoftbank sjismobiledocomo sjismobilekddi \
         sjismobilesoftbank mssjis",
    ),
    (
        "euc-jp",
        "eucjp ujis eucjpms eucjpwin eucjpopen cp51932 51932 windows51932 cp20932 20932 eucjis2004 eucjisx0213 \
         cseucpkdfmtjapanese cseucjp ibmeucjp eucj jpeuc japaneseeuc eucjapan sdeckanji deckanji ibm954 cp954 \
         extendedunixcodepackedformatforjapanese",
    ),
    (
        "euc-kr",
        "euckr cseuckr uhc cp949 ms949 949 mscp949 windows949 cp949c ksc5601 ksc56011987 ksc56011989 ksc56011992 \
         ksc5601win csksc56011987 ksx1001 ksx10011992 ksc kscode korean koreaneuc cp51949 51949 cp970 970 ibm970 \
         cp1363 ibm1363 ibm949 mackorean ksc5861 ksc58611992 isoir149",
    ),
    (
        "gbk",
        "gb2312 gbk csgbk csgb2312 cp936 ms936 936 windows936 cp20936 gb23121980 gb231280 csiso58gb231280 isoir58 \
         euccn eucgb2312cn gb2312euc cngb chinese simplifiedchinese macchinesesimp macsimpchinese xeuccn cp1386 \
         1386 ibm1386 ibm1383 ibm936 eucgb gb gb2312hz8",
    ),
    ("gb18030", "gb18030 gb180302000 gb180302005 gb180302022 csgb18030 cp54936 54936 windows54936 ibm1392 cp1392"),
    (
        "big5",
        "big5 csbig5 bigfive cnbig5 xbig5 xxbig5 big5eten eten big5et big5tw tcabig5 cp950 ms950 950 windows950 \
         mscp950 big5hkscs csbig5hkscs hkscs hkscsbig5 big5hk hkbig5 big5hkscs2004 big5hkscs2001 big5hkscs1999 \
         big5hkscs2008 cp951 951 macchinesetrad mactradchinese traditionalchinese ibm950 big5uao big52003 \
         big5plus big5e cp1370 ibm1370 ibm1375",
    ),
    ("iso-8859-2", "iso88592 latin2 l2 isolatin2 cp912 ibm912 28592 cp28592 88592"),
    ("iso-8859-3", "iso88593 latin3 l3 isolatin3 cp913 ibm913 28593 cp28593 88593"),
    ("iso-8859-4", "iso88594 latin4 l4 isolatin4 cp914 ibm914 28594 cp28594 88594"),
    ("iso-8859-5", "iso88595 cyrillic isocyrillic ecmacyrillic isoir144 cp915 ibm915 28595 cp28595 88595"),
    ("iso-8859-6", "iso88596 arabic isoarabic cp1089 ibm1089 28596 cp28596 88596 asmo708 ecma114"),
    (
        "iso-8859-7",
        "iso88597 greek greek8 isogreek cp813 ibm813 28597 cp28597 88597 elot928 ecma118 isoir126 iso885972003",
    ),
    ("iso-8859-8", "iso88598 hebrew isohebrew visual cp916 ibm916 28598 cp28598 88598"),
    ("iso-8859-8-i", "logical hebrewi iso88598i iso88598e 38598 cp38598"),
    ("iso-8859-10", "iso885910 latin6 l6 isolatin6 cp919 ibm919 28600 cp28600 885910"),
    (
        "iso-8859-13",
        "iso885913 latin7 l7 isolatin7 baltic balticrim isobaltic cp921 ibm921 28603 cp28603 885913 isoir179",
    ),
    ("iso-8859-14", "iso885914 latin8 l8 isolatin8 isoceltic isoir199 28604 cp28604 885914"),
    ("iso-8859-15", "iso885915 latin9 l9 latin0 isolatin9 csisolatin0 cp923 ibm923 28605 cp28605 885915 isoir203"),
    ("iso-8859-16", "iso885916 latin10 l10 isolatin10 csiso885916 isoir226 28606 cp28606 885916"),
    ("koi8-r", "koi8r koi koi8 cskoi8r cp20866 20866 cp878 ibm878"),
    ("koi8-u", "koi8u koi8ru cskoi8u cp21866 21866 cp1168 ibm1168 koi8f koi8unified"),
    ("ibm866", "cp866 866 ibm866 csibm866 dos866 cp866nav 866nav ibm866nav"),
    ("macintosh", "mac macroman macintosh csmacintosh cp10000 10000 xmacroman windows10000 macwestern"),
    ("x-mac-cyrillic", "maccyrillic macukrainian macuk macukraine cp10007 10007 cp10017 10017 msmaccyrillic"),
    (
        "windows-874",
        "cp874 874 windows874 ms874 ibm874 cp874x dos874 tis620 cstis620 tis6202529 tis62025290 tis62025291 \
         tis62025330 iso885911 thai thai8 macthai isoir166 cp1162 28601 cp28601 885911 cp9066",
    ),
    ("windows-1250", "winlatin2 msee 1250 cp1250 ms1250 win1250 ansi1250 cp5346 ibm5346 centraleurope"),
    ("windows-1251", "wincyrillic mscyrl 1251 cp1251 ms1251 win1251 ansi1251 cp5347 ibm5347 maccy"),
    (
        "windows-1252",
        "latin1 latin l1 isolatin1 csisolatin1 iso88591 88591 8859 iso8859 iso885911987 28591 cp28591 cp819 ibm819 \
         819 isoir100 ansi msansi winlatin1 windowslatin1 windows1252 1252 cp1252 ms1252 win1252 ansi1252 cp5348 \
         ibm5348 western westernwindows westerniso",
    ),
    ("windows-1253", "wingreek msgreek 1253 cp1253 ms1253 win1253 cp5349 ibm5349"),
    (
        "windows-1254",
        "winturkish msturk turkish latin5 l5 isolatin5 iso88599 88599 28599 cp28599 cp920 ibm920 1254 cp1254 ms1254 \
         win1254 cp5350 ibm5350 isoir148",
    ),
    ("windows-1255", "winhebrew mshebr 1255 cp1255 ms1255 win1255 cp5351 ibm5351"),
    ("windows-1256", "winarabic msarab 1256 cp1256 ms1256 win1256 cp5352 ibm5352"),
    ("windows-1257", "winbaltic winbaltrim 1257 cp1257 ms1257 win1257 cp5353 ibm5353"),
    ("windows-1258", "winvietnamese vietnamese 1258 cp1258 ms1258 win1258 cp5354 ibm5354"),
];

/// The others.
const OTHERS: &[(Charset, &str)] = &[
    (
        Charset::Ascii,
        "ascii usascii us csascii ansix341968 ansix341986 ansix34 iso646us iso646 646 iso646irv iso646irv1991 \
         isoir6 cp367 ibm367 367 cp20127 20127 7bit usascii7bit asciidefault",
    ),
    (
        Charset::Iso2022(Shifted::Katakana),
        "iso2022jp csiso2022jp csiso2022jp2 iso2022jp1 iso2022jp2 iso2022jp3 iso2022jp2004 iso2022jpext iso2022jpms \
         iso2022jpmobilekddi iso2022jpkddi cp50220 50220 cp50221 50221 cp50222 50222 cp50220raw cp5022x jis jis7 \
         jis8 7bitjis jisms jisencoding csjisencoding windowsiso2022jp iso2022 cp957 ibm957 iso2022jpcp932",
    ),
    (Charset::Iso2022(Shifted::Korean), "iso2022kr csiso2022kr cp50225 50225 iso2022kr1 ibm25546 cp25546"),
    (
        Charset::Iso2022(Shifted::Chinese),
        "iso2022cn csiso2022cn iso2022cnext csiso2022cnext cp50227 50227 cp50229 50229 iso2022cncns iso2022cngb",
    ),
    (Charset::Hz, "hz hzgb hzgb2312 cshzgb2312 hzgb23122 cp52936 52936"),
    (
        Charset::Utf7 { imap: false },
        "utf7 u7 cp65000 65000 windows65000 csutf7 unicode11utf7 csunicode11utf7 unicode20utf7 iso10646utf7 unicodeutf7",
    ),
    (Charset::Utf7 { imap: true }, "utf7imap imaputf7 imap4modifiedutf7 imapmailboxname imapmutf7 csutf7imap"),
    (
        Charset::Wide(2, None),
        "utf16 u16 ucs2 csutf16 csunicode unicode iso10646ucs2 iso10646 iso106461 cp1204 utf16platformendian \
         unicodefeff cp13488 ibm13488 cp1202 ucs2internal",
    ),
    (
        Charset::Wide(2, Some(false)),
        "utf16le ucs2le csutf16le cp1200 1200 windows1200 unicodelittle unicodelittleunmarked utf16lebom",
    ),
    (
        Charset::Wide(2, Some(true)),
        "utf16be ucs2be csutf16be cp1201 1201 windows1201 unicodebig unicodebigunmarked unicodefffe utf16bebom cp1200be",
    ),
    (Charset::Wide(4, None), "utf32 u32 ucs4 csutf32 csucs4 iso10646ucs4 ucs4internal cp1236"),
    (Charset::Wide(4, Some(false)), "utf32le ucs4le csutf32le cp12000 12000 windows12000"),
    (Charset::Wide(4, Some(true)), "utf32be ucs4be csutf32be cp12001 12001 windows12001"),
    (Charset::EucTw, "euctw eucltw cns11643 cneuc twneuc cp964 ibm964 cp51950 51950"),
];

/// Names of what `high.txt` holds.
const HIGH: &[(&str, &str)] = &[
    ("cp437", "437 ibm437 dos437 cspc8codepage437"),
    ("cp737", "737 ibm737 dos737"),
    ("cp775", "775 ibm775 dos775 cspc775baltic"),
    ("cp850", "850 ibm850 dos850 cspc850multilingual pc850 dosl1"),
    ("cp852", "852 ibm852 dos852 cspcp852 pc852"),
    ("cp855", "855 ibm855 dos855 csibm855"),
    ("cp857", "857 ibm857 dos857 csibm857"),
    ("cp858", "858 ibm858 dos858 ibm00858 ccsid00858 cspc858multilingual pcmultilingual850euro cp00858"),
    ("cp860", "860 ibm860 dos860 csibm860"),
    ("cp861", "861 ibm861 dos861 csibm861 cpis"),
    ("cp862", "862 ibm862 dos862 cspc862latinhebrew cspc862latin8hebrew"),
    ("cp863", "863 ibm863 dos863 csibm863"),
    ("cp864", "864 ibm864 dos864 csibm864"),
    ("cp865", "865 ibm865 dos865 csibm865"),
    ("cp869", "869 ibm869 dos869 csibm869 cpgr"),
    ("cp1125", "1125 ibm1125 cp866u ruscii ibm848 cp848"),
    ("hp-roman8", "roman8 r8 cshproman8 cp1051 ibm1051 hproman9 roman9"),
    ("koi8-t", "koi8t"),
    ("kz1048", "kz1048 strk10482002 rk1048 cskz1048"),
    ("ptcp154", "ptcp154 csptcp154 pt154 cp154 cyrillicasian"),
    ("mac-greek", "macgreek cp10006 10006"),
    ("mac-turkish", "macturkish cp10081 10081"),
    ("mac-latin2", "maclatin2 maccentraleurope maccentraleurroman macce maccenteuro cp10029 10029 xmacce"),
    ("mac-iceland", "maciceland macicelandic macis cp10079 10079"),
    ("viscii", "viscii csviscii viscii111 cp1129viscii"),
    ("tcvn", "tcvn tcvn5712 tcvn57121 tcvn571211993 tcvn3"),
    ("armscii-8", "armscii8"),
    ("georgian-ps", "georgianps"),
];

/// Characters of a name that are looked at.
const LONGEST: usize = 64;

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
    let plain: String = name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
    let known = |plain: &str| NAMES.get(plain).copied();
    // The table first: it tells ASCII from Latin-1, and reads what browsers refuse to.
    known(&plain)
        .or_else(|| plain.strip_prefix('x').and_then(known))
        .or_else(|| Encoding::for_label_no_replacement(name.as_bytes()).and_then(of_web))
        // `windows-1252http-equivcontent-type`, `utf-8; format=flowed`, `iso-8859-1charset`.
        .or_else(|| name.split_once([';', ',', ' ', ':']).and_then(|(start, _)| find(start)))
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
            ("gb2312 GB_2312-80 euc-cn EUCCN cp936 x-gbk hz-gb-8", "gbk"),
            ("big5-eten Big5-ETen Big5-HKSCS cp950 x-x-big5 bigfive hkscs-big5", "big5"),
            (
                "latin-1 Latin1 iso8859-1 8859_1 ISO-8859-1 iso_8859-1:1987 iso88591 ansi cp1252 windows1252",
                "windows-1252",
            ),
            ("latin-2 iso8859_2 l2", "iso-8859-2"),
            ("iso8859-9 latin5 cp1254", "windows-1254"),
            ("iso-8859-8-i ISO8859-8-I", "iso-8859-8-i"),
            ("utf8 UTF_8 \"utf-8\" utf8mb4 unicode-1-1-utf-8 cp65001 utf-8*ja utf-8;", "utf-8"),
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
            ("iso-2022-jp ISO2022JP cp50220 csISO2022JP iso-2022-jp-ms jis", Charset::Iso2022(Shifted::Katakana)),
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
        for name in ["cp437", "ibm850", "x-mac-greek", "viscii", "kz-1048"] {
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
        assert_eq!(include_str!("high.txt").lines().count(), HIGH.len());
    }

    proptest::proptest! {
        #[test]
        fn any_name(name in "\\PC{0,80}") {
            let _ = find(&name);
        }
    }
}
