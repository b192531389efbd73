"""An independent reader of mail: Python's `email`, and nothing of ours.

reader.py FOLDER SECRET...   For each file of FOLDER one line of JSON: its leaf parts (type, digest of the decoded content), what `email` finds wrong with it,
and the places where a secret stands in any decoded form. Names that end in `.in` are what somebody sent: read leniently, and not searched.
"""

import base64, codecs, email, email.policy, hashlib, html, html.parser, io, json, pathlib, re, sys, unicodedata, urllib.parse, zipfile
from email.header import decode_header

SECRETS = [secret.lower() for secret in sys.argv[2:]]
# What Python calls otherwise than mail does.
CHARSETS = {"ks_c_5601-1987": "cp949", "x-sjis": "cp932", "shift_jis": "cp932", "gb2312": "gb18030", "gbk": "gb18030", "euc-kr": "cp949",
            "iso-8859-1": "cp1252", "us-ascii": "cp1252", "iso-8859-8-i": "iso-8859-8", "x-gbk": "gb18030", "big5": "big5hkscs",
            "iso-2022-jp": "iso2022_jp_ext", "windows-874": "cp874", "unicode-1-1-utf-7": "utf-7", "iso-8859-9": "cp1254", "iso-8859-11": "cp874"}


def decoded(data, charset):
    name = (charset or "utf-8").strip().strip("'\"").lower().split("*")[0]
    for name in (CHARSETS.get(name, name), "utf-8"):
        try:
            if "\0" not in name and codecs.lookup(name)._is_text_encoding:
                return data.decode(name, "replace")
        except (LookupError, UnicodeError):
            pass
    return data.decode("latin-1")


def words(value):
    """RFC 2047, also where white space parts a word from text."""
    out = []
    try:
        for data, charset in decode_header(re.sub(r"\r?\n", "", value)):
            out.append(data if isinstance(data, str) else decoded(data, charset))
    except Exception:  # a broken word is text
        out.append(value)
    return "".join(out)


def plain(text):
    """Every escape read, everything that does not show taken out."""
    for _ in range(2):
        text = html.unescape(urllib.parse.unquote(text, errors="replace"))
    text = unicodedata.normalize("NFKC", text)
    text = "".join(c for c in text if unicodedata.category(c) != "Cf" and c != "\u034f")
    return re.sub(r"xn--[a-z0-9-]+", lambda m: unpuny(m.group()), text.lower())


def unpuny(label):
    try:
        return label[4:].encode().decode("punycode")
    except UnicodeError:
        return label


def stands(text):
    seen = plain(text)
    joined = re.sub(r"[ \t]*\r?\n[>| \t]*", "", seen)
    return [secret for secret in SECRETS if secret in seen or secret in joined]


def in_file(data):
    """Text of any charset, UTF-16, and what a zip container holds."""
    found = stands(data.decode("latin-1"))
    if data.count(0) * 4 > len(data):
        found += stands(data.replace(b"\0", b"").decode("latin-1"))
    if data[:2] == b"PK":
        try:
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                for entry in archive.infolist()[:200]:
                    found += stands(entry.filename) + stands(entry.comment.decode("latin-1"))
                    if entry.file_size < 1 << 22:
                        found += stands(archive.read(entry).decode("utf-8", "replace"))
        except Exception:
            pass
    return found


def content(part):
    """A leaf's octets with the transfer encoding off; a message that `email` did not open is one, too."""
    data = part.get_payload(decode=True)
    return data if isinstance(data, bytes) else str(part.get_payload()).encode("utf-8", "surrogateescape")


def digest(data):
    return hashlib.sha256(data).hexdigest()[:16]


def visible(text):
    """The words of an HTML document; what nobody sees, and how it is laid out, left out."""
    text = re.sub(r"(?is)<!--.*?-->|<(script|style|title|xml|noscript|textarea|iframe|svg|select|object)\b.*?</\1\s*>", " ", text)
    text = re.sub(r"<[a-zA-Z/!?][^>]*(>|$)", " ", text)
    return re.sub(r"[\s\xa0]+", "", html.unescape(text))


# What may go from HTML: elements with what is in them, tags alone, and all attributes but those by which a page is laid out.
GONE = set("script xmp plaintext listing iframe noembed noframes noscript textarea template svg math xml".split())
TAGS = set("form button select option optgroup datalist object applet video audio canvas frameset dialog portal slot input embed param source track base link bgsound isindex "
           "keygen frame command image".split())
LAYOUT = set("width height align valign bgcolor color face size border cellpadding cellspacing colspan rowspan hspace vspace nowrap start alt dir lang title rel target text".split())
FACTS = {"viewport", "color-scheme", "supported-color-schemes", "format-detection", "x-apple-disable-message-reformatting"}
NAMES = re.compile("gmail|proton|yahoo|zmail|tutanota|airmail|Apple|moz-|Mso|WordSection|ms-outlook|OutlookMessage|divRply|appendonsend|x_Signature")
PROGRAMS = re.compile(r"mso-|expression\(|behavior:|-moz-binding|@import|-ms-filter|progid:|url\(|/\*|\\", re.I)


class Layout(html.parser.HTMLParser):
    """A document as a list of tags and texts, without what may go. `touched`: something in it may."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.items, self.words, self.gone, self.touched = [], "", [], False
        self.feed(text)
        self.close()
        self.flush()

    def flush(self):
        if self.words.strip():
            self.items.append(re.sub(r"\s+", " ", self.words).strip())
        self.words = ""

    def style(self, css):
        # Names that Word gives are neutral now, as are those of other programs.
        pieces = [" ".join(NAMES.sub("Text", piece).split()).lower() for piece in css.split(";")]
        self.touched |= any(PROGRAMS.search(piece) for piece in pieces)
        return ";".join(piece for piece in pieces if piece and not PROGRAMS.search(piece))

    def handle_starttag(self, tag, attributes):
        known = {}
        for name, value in attributes:
            own = name in LAYOUT | {"href", "src", "style"} or name in ("class", "id") and not NAMES.search(value or "")
            self.touched |= tag != "meta" and (name in known or not own)
            known.setdefault(name, value or "")
        if tag == "meta":
            self.touched |= "charset" not in known and known.get("http-equiv", "").lower() != "content-type" and known.get("name", "").lower() not in FACTS
            return
        link = known.get("src", known.get("href", ""))
        beacon = tag == "img" and not re.match(r"(?i)\s*(cid|data):", link)
        if tag in GONE or tag in TAGS or beacon or not re.fullmatch("[a-z][a-z0-9-]*", tag):
            self.touched = True
            self.gone += [tag] if tag in GONE else []
            return
        if self.gone:
            return
        self.flush()
        shown = [f"{name}={known[name]}" for name in sorted(known) if name in LAYOUT]
        shown += [f"style={self.style(known['style'])}"] if self.style(known.get("style", "")) else []
        if re.match(r"(?i)\s*cid:", link):
            self.touched, link = True, "cid:"
        if re.match(r"(?i)\s*(cid|data|https?|mailto|tel):", link):
            shown.append(f"link={link}")
        else:
            self.touched |= bool(link)
        self.items.append(f"<{tag} {' '.join(shown)}>")

    def handle_endtag(self, tag):
        if self.gone and tag == self.gone[-1]:
            self.gone.pop()
        elif not self.gone and tag not in TAGS and tag not in GONE:
            self.flush()
            self.items.append(f"</{tag}>")

    def handle_data(self, data):
        if self.gone:
            return
        if self.cdata_elem == "style":
            data = self.style(data.replace("{", ";").replace("}", ";"))
        self.words += data

    def handle_comment(self, data):
        self.touched = True

    handle_decl = handle_pi = unknown_decl = handle_comment


def laid_out(text, octets):
    """How HTML is laid out; and its octets, if there is nothing in it that may go."""
    try:
        # To a browser `</ div>` is a comment.
        layout = Layout(re.sub(r"</[^a-zA-Z>][^>]*>", "<!-- -->", text))
    except Exception:  # html.parser is no browser
        return "", ""
    return "\n".join(layout.items), "" if layout.touched else digest(octets.rstrip())


def pixels(data):
    """A picture without what is not the picture: chunks and segments that hold pixels, and how they are to be read."""
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        out, at, packed = [], 8, b""
        while at + 8 <= len(data):
            size = int.from_bytes(data[at:at + 4], "big")
            kind, body = data[at + 4:at + 8], data[at + 8:at + 8 + size]
            if kind == b"IDAT":
                packed += body
            elif kind in (b"IHDR", b"PLTE", b"tRNS", b"gAMA"):
                out.append(kind + body)
            at += size + 12
        return b"".join(out) + packed
    if data[:3] == b"\xff\xd8\xff" and b"\xff\xd9" in data:
        out, at = [], 2
        while at + 4 <= len(data) and data[at] == 0xFF:
            size = int.from_bytes(data[at + 2:at + 4], "big") + 2
            if data[at + 1] == 0xDA:
                return b"".join(out) + data[at:data.rfind(b"\xff\xd9")]
            if not (0xE0 <= data[at + 1] <= 0xEF or data[at + 1] == 0xFE):
                out.append(data[at:at + size])
            at += size
    if data[:4] == b"GIF8":
        return data[:6]  # comments lie between blocks of pixels; see the proof of metadata
    return data


def shape(message):
    leaves = []
    for part in message.walk():
        encoding = str(part.get("content-transfer-encoding", "")).strip().lower()
        if "content-transfer-encoding" in part:
            part.replace_header("content-transfer-encoding", encoding)
        if part.get_content_type() == "message/rfc822" and encoding == "base64" and part.is_multipart():
            # Not allowed, not rare, and not read by `email`.
            inner = email.message_from_bytes(base64.b64decode(part.get_payload(0).as_bytes()))
            leaves += shape(inner)
            part.set_payload([])
            continue
        if part.is_multipart():
            continue
        kind = re.sub(r"^multipart/.*", "text/plain", part.get_content_type().lower(), flags=re.S)
        data = content(part)
        if kind in ("text/plain", "text/html"):
            text = decoded(data, part.get_content_charset()).replace("\ufeff", "")
            layout = laid_out(text, data) if kind == "text/html" else ("", "")
            text = visible(text) if kind == "text/html" else re.sub(r"[ \t\x00]*(\r\n|\r|\n)", "\n", text).strip()
            text = unicodedata.normalize("NFC", text)
            leaves.append([kind, digest(text.encode("utf-8", "replace")), text, *layout])
        elif kind.startswith("text/") or kind.startswith("message/"):
            leaves.append([kind, "", len(data)])
        else:
            data = pixels(data).rstrip(b"\r\n")
            leaves.append([kind, digest(data), f"{len(data)} {data[:12]}"])
    return leaves


def search(message, raw):
    found = [f"wire {s}" for s in stands(raw.decode("latin-1"))]
    for part in message.walk():
        for name, value in part.raw_items():
            value = str(value)
            for text in (name, value, words(value)):
                found += [f"{name}: {s}" for s in stands(text)]
        texts = [part.get_filename() or "", part.get_boundary() or ""]
        for header in ("content-type", "content-disposition"):
            for key, value in part.get_params(header=header, unquote=True) or []:
                texts.append(words(email.utils.collapse_rfc2231_value(value)))
        for text in texts:
            found += [f"parameter: {s}" for s in stands(text)]
        if not part.is_multipart():
            data = content(part)
            found += [f"{part.get_content_type()} as octets: {s}" for s in in_file(data)]
            found += [f"{part.get_content_type()}: {s}" for s in stands(decoded(data, part.get_content_charset()))]
            try:
                found += [f"base 64 in text: {s}" for blob in re.findall(rb"[A-Za-z0-9+/]{24,}={0,2}", data)[:50] for s in stands(base64.b64decode(blob + b"==").decode("latin-1"))]
            except ValueError:
                pass
    return sorted(set(found))


def faults(raw):
    """What `email` says of a message under its strict policy."""
    out = []
    message = email.message_from_bytes(raw, policy=email.policy.default)
    for part in message.walk():
        out += [type(defect).__name__ for defect in part.defects]
        for name, value in part.items():
            out += [f"{name}: {type(defect).__name__} {value!r}" for defect in getattr(value, "defects", [])]
        if not part.is_multipart() and part.get_content_maintype() == "text":
            try:
                part.get_content()
            except LookupError:
                pass
    return out


for path in sorted(pathlib.Path(sys.argv[1]).iterdir()):
    raw = path.read_bytes()
    message = email.message_from_bytes(raw, policy=email.policy.compat32)
    answer = {"name": path.name, "leaves": shape(message), "faults": [], "found": []}
    if path.suffix != ".in":
        answer["faults"], answer["found"] = faults(raw), search(message, raw)
    print(json.dumps(answer))
