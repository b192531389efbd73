"""Reads a message as Python's email package does, and prints what it found as JSON. Faults of the message are told, not forgiven."""
import email, email.policy, html.parser, json, sys

class Text(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.words, self.title, self.tags = "", False, []
    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.title = tag in ("title", "style")
        if tag in ("p", "br", "li", "div"):
            self.words += "\n"
    def handle_endtag(self, tag):
        self.title = False
    def handle_data(self, data):
        if not self.title:
            self.words += data

raw = sys.stdin.buffer.read()
message = email.message_from_bytes(raw, policy=email.policy.default)
parts, defects = [], []
for part in message.walk():
    defects += [repr(defect) for defect in part.defects]
    for name in part.keys():
        defects += [f"{name}: {defect!r}" for defect in getattr(part[name], "defects", [])]
    if part.is_multipart():
        continue
    text = part.get_content()
    if isinstance(text, bytes):
        text = text.decode()
    if part.get_content_type() == "text/html":
        reader = Text()
        reader.feed(text)
        text = reader.words
    parts.append({"type": part.get_content_type(), "text": text, "language": str(part.get("Content-Language", "")),
                  "disposition": str(part.get("Content-Disposition", ""))})
# A report's second part is fields, in groups.
status = [dict(group.items()) for part in message.walk() if part.get_content_type() == "message/delivery-status" for group in part.get_payload()]
if status:
    parts = [part for part in parts if part["type"] != "text/plain" or part["language"]]
print(json.dumps({
    "headers": [[name, str(value)] for name, value in message.items()],
    "structure": [part.get_content_type() for part in message.walk()],
    "parts": parts, "status": status, "defects": defects,
    "longest": max(len(line) for line in raw.split(b"\r\n")), "ascii": raw.isascii(),
}))
