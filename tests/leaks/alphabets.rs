//! What each scanner of the rewriter and the guard looks for, what may stand around it, what ends
//! it, and what looks almost like it.

pub const ADDRESSES: &[&str] = &[
    "@", "%40", "%", "%4", "&", "&#64;", "&#x40;", "&#", "&#x000000", "0", "&commat;", "&am", "\u{ff20}", "\u{ff11}", "\u{ff1d}", "\u{fe6b}", "\u{feff}", "\u{200b}",
    "\u{ad}", "\u{3164}", "+", "+t", "=", "=40", "=3D", "%25", "%2540", "\\", "\\u0040", "&amp;", "-40", "*", "urldefense.", "IMCEA", "SRS0=x=home.example=", "\0", "aG9tZS5leGFtcGxl", "b-real-9c1", "B-REAL-9C1@", "home.example", "b-real-9c1@home.example", "@home.example", "home", ".", ". ", " ", "\t", "> ",
    ">", "|", "\r\n", "\n", "_", "-", ";", "é", "日", "\u{3002}", "=", "\"", "x", "\u{212a}",
];
pub const FOOTERS: &[&str] = &[
    "[", "[ref:", "[ref: aaaaaaaaaaaaaaaaaaaaaaaa]", "[/ref]", "]", "&#91;", "\u{ff3b}", "\u{ff0b}", "\u{ff11}", "+", "%2b", "%", "&", "&#43;",
    "report+", "stop+", "report+aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa@m.test", "a", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "@", ".", "?subject=", " ",
    "\u{a0}", "\r\n", "> ", "\u{200b}", "\u{feff}", "<b>", "</b>",
    "Ref:", "Ref: aaaaaa-aaaaaa-aaaaaa-aaaaaa", "Ref: aaaaaa-", ":", "-- ", "--", "-", "?subject=a%20b&body=c",
];
pub const TAGS: &[&str] = &[
    "<", ">", "</", "<!", "<!--", "-->", "--!>", "<![CDATA[", "<?", "<b>", "</b>", "<p>", "</p>", "<div>", "</div>", "<td>", "<table>", "<a href=\"",
    "<a href='x' ", "href=x ", "href=x href=y ", "a=b ", "a1=\"b\" ", "=", "\"", "'", "/", "<style>", "</style>", "<style x=>", "<script>",
    "</script>", "<title>", "<textarea>", "<plaintext>", "<svg>", "<img src=cid:a@b>", "<img width=1 src=http://x>", "<span hidden>",
    "<p style=\"a:b;c:url(x)\">", "<meta charset=x>", "class=gmail_x ", "&", "&#64;", "&#0", "0000000000", "&nbsp;", "b-real-9c1", "@", "home.example", " ", "\r\n", "x",
    "\u{ff11}", "</body>", "</html>", "<x@y>", "mailto:", "cid:", "\0",
    "<font>", "</font>", "</table>", "<body bgcolor=#123456>", "<body style=\"a:b\">", "<article>", "</article>", "<center>", "<td align=center>",
];
pub const STYLES: &[&str] = &[
    "a{", "}", ";", "a:b", ":", "url(", "url(cid:", "url(data:image/png", "url(x)", "url( ", "(", ")", "\"", "'", "\\", "\\75 ", "/*", "*/", "/",
    "@import", "@import 'x';", "expression(", "mso-x:y;", ".Mso", ".gmail_x", "</", "<", " ", "\n", "&#58;", "&", "x", "#", "cid:",
    "p{color:red}", "color:red;", "@media print{", ",", ">", "p:not(", "[a=\"b\"]", "calc(1px + ", "rgb(1,", "!important", "body{", "1px ", "-1em ", "<!--", "-->",
];
pub const LINES: &[&str] = &[
    "BEGIN:VEVENT\r\n", "END:VEVENT\r\n", "UID:x\r\n", "ATTENDEE:mailto:a@b.test\r\n", "ATTENDEE;CN=x:mailto:b-real-9c1@home.example\r\n",
    "SUMMARY:b-real-9c1@home.example\r\n", "METHOD:x\r\n", "METHOD:REPLY\r\n", "DTSTART;TZID=x:1\r\n", "NOTE:x\r\n", "VERSION:4.0\r\n",
    "BEGIN:VCARD\r\n", "item1.EMAIL:x\r\n", "X", ";", ";A=b", "A=\"", ":", "\"", " ", "\t", "\r\n", "\n", " x\r\n", "\u{ff11}", "@", "%",
];
pub const ARMOUR: &[&str] = &[
    "-----BEGIN PGP SIGNATURE-----\r\n", "-----BEGIN PGP SIGNED MESSAGE-----\r\n", "-----BEGIN PGP ", "-----END PGP ", "-----\r\n", "- -",
"-----BEGIN PGP MESSAGE-----\r\n",
    "-----END PGP MESSAGE-----\r\n", "Hash: x\r\n", "iQEz\r\n", "\r\n", ">", " ", "|", "x", "begin ", "begin 644 x\r\n", "begin 644 ", "#0V%T\r\n", "`\r\n", "end\r\n", "=ybegin ",
    "=ybegin line=1 size=1 name=a\r\n", " name=", "=ypart ", "=yend ", "=", "M", "BEGIN:VCALENDAR\r\n",
];
pub const FIELDS: &[&str] = &[
    "=?", "?=", "?", "=?utf-8?Q?a?=", "=?utf-8?B?YQ==?= ", "=?utf-8?q?", "=?iso-2022-jp?B?GyRC?=", "=40", "=", "_", ";", "; a=b", "; a*0*=utf-8''x",
    "; a*1=y", "; name=\"", "\"", "\\", "(", ")", ",", "<", ">", "<a@b>", "@", "%40", "'", "*", " ", "\t", "\r\n ", "\r\n", ":", "X: y\r\n", "x", "é",
    "\u{ff11}", "\u{202e}",
];
/// Octets that several charsets begin a character or a state with.
pub const OCTETS: &[&[u8]] = &[
    b"\xef", b"\xef\xbc", b"\xef\xbc\x91", b"\x81", b"\x83\x41", b"\x83", b"\xe9", b"\xff", b"\xfe", b"\xff\xfe", b"\0@", b"@\0", b"\0", b"\x1b",
    b"\x1b$B", b"\x1b(B", b"\x1b(J", b"\x1b$B#1\x1b(B", b"\x1b$B!w\x1b(B", b"#1", b"\x8f", b"\x84\x31\x95\x33", b"@", b"%40", b"&#64;", b"+AEA-",
    b"+", b"-", b"b-real-9c1@home.example", b"home.example", b"a", b" ", b"\r\n", b"\n", b"~{", b"~}", b"\x7f", b"\x01",
];
/// More of them, and how pages say theirs.
pub const STATES: &[&[u8]] = &[
    b"\x0e", b"\x0f", b"\x1b$)C", b"\x1b$)A", b"\x1b$*H", b"\x1bN", b"$B", b"&", b"\x8e\xa2", b"\xa4\xa2", b"\xc0", b"<meta charset=", b"<?xml encoding=",
    b">", b"<",
];
pub const PARTS: &[&str] = &[
    "--b\r\n", "--b--\r\n", "--b", "--", "-", "--bc\r\n", "--b ", "\r\n", "\n", " ", "\t", "Content-Type: text/html\r\n",
    "Content-Type: text/plain; name=a\r\n\r\n", "Content-Type: multipart/mixed; boundary=b\r\n\r\n", "Content-Type: message/rfc822\r\n\r\n",
    "Content-Transfer-Encoding: base64\r\n", "Content-Transfer-Encoding: quoted-printable\r\n", "Subject: =?utf-8?Q?a?=\r\n", "=\r\n", "=40", "= ",
    "QUFB", "x", "@", ":", ";", "\u{ff11}", "<b>",
];
pub const ZIPS: &[&[u8]] = &[
    b"PK", b"PK\x03\x04", b"PK\x03\x04\x14\0\0\0\x08\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\0\0\0a",
    b"PK\x03\x04\x14\0\0\0\0\0\0\0\0\0\0\0\0\0\x10\0\0\0\x10\0\0\0\x01\0\0\0a",
    b"PK\x03\x04\x14\0\x08\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x05\0\0\0a.exe",
    b"PK\x01\x02\x14\0\x14\0\0\0\x08\0\0\0\0\0\0\0\0\0\x10\0\0\0\x10\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0a",
    b"PK\x05\x06\0\0\0\0\x01\0\x01\0\x2f\0\0\0\0\0\0\0\0\0", b"\0\0\0\xff\xff", b"\0\x05\0\xfa\xffPK\x03\x04\x14", b"\x03\0",
    b"\x1f\x8b\x08\0\0\0\0\0\0\0", b"Rar!\x1a\x07\0", b"\0\0\x74\x20\0\x07\0", b"\xd0\xcf\x11\xe0", b"word/document.xml", b"vbaProject.bin", b".",
    b"/", b"\0", b"a",
];
pub const PDFS: &[&[u8]] = &[
    b"1 0 obj\n", b"2 0 obj", b"endobj\n", b"<<", b">>", b"<</Author(x)>>", b"(", b")", b"\\", b"<", b">", b"/", b"/T", b"/T 1 0 R ",
    b"/Subtype/Text", b" 1 0 R", b"/Info 1 0 R ", b"/Info", b"/Type/Metadata", b"/Type/Metadata/Length 3>>stream\nabc",
    b"/Type/ObjStm/N 9/First 9/FlateDecode>>stream\n", b"stream\n", b"endstream\n", b" obj", b"/Length 3", b"/FlateDecode", b"\x78\x9c",
    b"\0\0\0\xff\xff", b"\x78\x9c\x03\0\0\0\0\x01", b"\xff\xd8\xff\xe1\0\x08Exif\0\0", b"\xff\xd8", b"\xff\xe1\0\x04ab", b"R", b" ", b"\n", b"1",
    b"@", b"x",
];
/// What draws and tells words in PDF, and words in RTF.
pub const DRAWN: &[&[u8]] = &[
    b"1 0 obj\n", b"endobj\n", b"<<", b">>", b"[", b"]", b"(", b")", b"(b-real-9c1@home.example) Tj ", b"(b-real) Tj ", b"<4065> Tj ", b"/F1 1 Tf ",
    b"BI ", b"ID ", b"EI ", b"/Font<</F1 1 0 R>>", b"<</Type/Font/Subtype/Type0/BaseFont/A/ToUnicode 1 0 R>>", b"beginbfrange <00> <FF> <41> ",
    b"<</Length 9>>stream\n", b"endstream\n", b"%", b"\\", b"\\100", b"<</Type/ObjStm/N 9/First 9>>stream\n1 0 2 3 ", b" obj ", b"obj", b"@", b"x",
];
pub const RTFS: &[&[u8]] = &[
    b"{", b"}", b"\\", b"\\u64?", b"\\'40", b"\\bin9 ", b"\\uc9 ", b"\\b ", b"b-real-9c1", b"@home.example", b"@", b"\r\n", b"\\-", b" ", b"x", b"\xe9",
];
pub const PICTURES: &[&[u8]] = &[
    b"\xff\xe1\0\x08Exif\0\0", b"\xff\xe1\0\x04ab", b"\xff", b"\xff\xda\0\x02", b"\xff\xd9", b"\xff\0", b"II*\0\x08\0\0\0",
    b"\xff\xff\x0e\x01\x02\0\x01\0\0\0\x08\0\0\0", b"\x69\x87\x04\0\x01\0\0\0\x08\0\0\0", b"\0\0\0\0tEXtabcd", b"\0\0\0\x08eXIfII*\0\x08\0\0\0abcd",
    b"EXIF\0\0\0\0", b"VP8X\0\0\0\0", b"!\xfe\x01a\0", b"!\xff\x0bNETSCAPE2.0\0", b"\0\0\0\x08free", b"\0\0\0\x08udta", b"\0\0\0\x08trak",
    b"\0\0\0\0trak", b"\0\0\0\0mdia", b"\0\0\0\x0ciloc\0\0\0\0", b"\0\0\0\0meta\0\0\0\0", b"\0\0\0\x15infe\x02\0\0\0\0\x01\0\0Exif\0", b"\0", b"\x01",
    b"a",
];
pub const TNEFS: &[&[u8]] = &[
    b"\x01\x0c\x80\x02\0\x05\0\0\0Hello\0\0", b"\x02\x02\x90\x06\0\0\0\0\0\0\0", b"\x02\x0f\x80\x06\0\x01\0\0\0a\0\0",
    b"\x02\x05\x90\x06\0\x10\0\0\0\x01\0\0\0\x1e\0\x07\x37\x01\0\0\0\x01\0\0\0\0\0",
    b"\x01\x03\x90\x06\0\x0c\0\0\0\xff\xff\0\0\x1e\x10\x07\x37\xff\xff\0\0\0\0", b"\0", b"\xff", b"a",
];
/// Heads of elements, with lengths and without, ends, and kinds of messages.
pub const ELEMENTS: &[&[u8]] = &[
    b"\x30\x80", b"\x30\x82\xff\xff", b"\x30\x02", b"\x31\x80", b"\xa0\x80", b"\xa0\x03", b"\x24\x80", b"\x24\x84\0\x10\0\0", b"\x24\x04\x04\x02",
    b"\x04\x01a", b"\x04\0", b"\x04\x05Hello", b"\0\0", b"\x02\x01\x01", b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02",
    b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01", b"\x1f\xff", b"\x80", b"\xff", b"a", b"MIAG", b"\r\n",
];
/// What shows parts by their places, and what almost does.
pub const PLACES: &[&str] = &[
    "<img src=\"p.png\">", "<img src=p.png>", "<img src='", "<td background=", "url(", "url('p.png')", "url(&quot;p.png&quot;)", "URL( ", "(", ")", "\"",
    "'", "&quot;", "&amp;", "../", "/", "a/../p.png", "http://h.test/", "%2e", "\\", "#", "?", "p.png", " ", "\r\n", "<style>", "</style>", "x",
];
pub const REPORTS: &[&[u8]] = &[
    b"550 ", b"550-", b"550", b"<<< ", b">>> ", b": ", b"5.1.1", b"5.", b".", b"4.4.1 ", b"#", b"(", b"message-id: <1@m>\r\n", b"Message-ID:", b"<1@m>", b"\r\n", b"\r\n\r\n", b" ",
    b"\t", b"x", b"user unknown", b"user ", b"could not be\r\ndelivered", b"delivery", b"failed", "配信できません".as_bytes(), "配信".as_bytes(), "\u{130}".as_bytes(), b"\x1b$B", b"\x1b(B",
    b"\x83\x81", b"\xff", b"\xa5\xe1", b"\0", b"=?utf-8?Q?a?= ", b"=?iso-2022-jp?B?GyRC?=", b"=?", b"<b>", b"<", b"&amp;", b"&", b"--b\r\n", b"--b\r\n\r\n", b"--b--\r\n",
    b"Content-Type: text/html\r\n\r\n", b"Content-Type: message/delivery-status\r\n\r\n", b"Content-Type: multipart/mixed; boundary=b\r\n\r\n", b"Status: 5.1.1\r\n", b"Action: failed\r\n",
    b"Diagnostic-Code: smtp; 550\r\n", b" x\r\n", b"Subject: x\r\n", b"X-Failed-Recipients: x\r\n",
];
