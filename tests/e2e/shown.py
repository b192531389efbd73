"""What a mail program shows of the message on standard input: for each link from its HTML to a part the picture's size and first pixel, or that it is lost;
then all its texts and headers, decoded."""
import email, email.policy, html.parser, io, re, sys, urllib.parse
from PIL import Image

message = email.message_from_bytes(sys.stdin.buffer.read(), policy=email.policy.default)
parts = {part["Content-ID"].strip().strip("<>"): part for part in message.walk() if part["Content-ID"]}


def show(text):
    for link in re.findall(r"(?i)\bcid:([^\"')\s]+)", text or ""):
        part = parts.get(urllib.parse.unquote(link))
        if part is None:
            print("lost", link)
            continue
        picture = Image.open(io.BytesIO(part.get_content()))
        print("shown", picture.size, picture.convert("RGB").getpixel((0, 0)))


class Reader(html.parser.HTMLParser):
    def handle_starttag(self, tag, attributes):
        for _, value in attributes:
            show(value)
        self.style = tag == "style"

    def handle_data(self, data):
        if getattr(self, "style", False):
            show(data)


for part in message.walk():
    print(part.items())
    if part.get_content_type() == "text/html":
        Reader().feed(part.get_content())
    if part.get_content_maintype() == "text":
        print(part.get_content())
