"""Shows pages in Debian's chromium and looks at the footer under each: whether it looks as it does
under an innocent page, whether a click meets its links, and whether one comes to it by scrolling.

usage: look.py TOKEN REFERENCE... -- PAGE...   (files; with SHOTS=DIR in the environment, pictures)
prints a line for each page: its name, and what is wrong with it, or "good".
"""
import base64, json, os, pathlib, struct, subprocess, sys, tempfile, zlib


class Browser:
    """The DevTools protocol through a pipe: one JSON text after the other, each with a NUL behind it."""

    def __init__(self, profile):
        read, self.to = os.pipe()
        self.frm, write = os.pipe()
        os.set_inheritable(read, True)
        os.set_inheritable(write, True)

        def wire():
            # Copies first: one of the two may be the number that the other is wanted at.
            r, w = os.dup(read), os.dup(write)
            os.dup2(r, 3)
            os.dup2(w, 4)

        self.process = subprocess.Popen(
            ["chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run",
             "--disable-extensions", "--disable-background-networking", "--force-color-profile=srgb",
             "--disable-lcd-text", f"--user-data-dir={profile}", "--remote-debugging-pipe", "about:blank"],
            close_fds=False, preexec_fn=wire, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(read)
        os.close(write)
        self.rest, self.number, self.events = b"", 0, []
        target = next(t for t in self.call("Target.getTargets")["targetInfos"] if t["type"] == "page")
        self.session = self.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)["sessionId"]
        self.page("Page.enable")

    def message(self):
        while b"\0" not in self.rest:
            more = os.read(self.frm, 1 << 16)
            if not more:
                sys.exit("chromium has ended")
            self.rest += more
        one, self.rest = self.rest.split(b"\0", 1)
        return json.loads(one)

    def call(self, method, session=None, **params):
        self.number += 1
        call = {"id": self.number, "method": method, "params": params}
        if session:
            call["sessionId"] = session
        os.write(self.to, json.dumps(call).encode() + b"\0")
        while True:
            message = self.message()
            if message.get("id") == self.number:
                if "error" in message:
                    raise RuntimeError(f"{method}: {message['error']}")
                return message["result"]
            self.events.append(message.get("method"))

    def page(self, method, **params):
        return self.call(method, self.session, **params)

    def show(self, file):
        self.events = []
        self.page("Page.navigate", url=pathlib.Path(file).resolve().as_uri())
        while "Page.loadEventFired" not in self.events:
            self.events.append(self.message().get("method"))

    def run(self, script):
        done = self.page("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in done:
            raise RuntimeError(done["exceptionDetails"])
        return done["result"].get("value")

    def shot(self, clip=None):
        params = {"clip": dict(clip, scale=1)} if clip else {}
        return base64.b64decode(self.page("Page.captureScreenshot", captureBeyondViewport=bool(clip and clip.get("beyond")), **params)["data"])


def pixels(png):
    """Width and rows of red, green and blue."""
    at, data, width = 8, b"", 0
    while at < len(png):
        length, kind = struct.unpack(">I4s", png[at:at + 8])
        body = png[at + 8:at + 8 + length]
        if kind == b"IHDR":
            width, height, depth, colours = struct.unpack(">IIBB", body[:10])
            step = {2: 3, 6: 4}[colours]
        elif kind == b"IDAT":
            data += body
        at += 12 + length
    raw, rows, before = zlib.decompress(data), [], bytearray(width * step)
    for y in range(height):
        start = y * (width * step + 1)
        how, line = raw[start], bytearray(raw[start + 1:start + 1 + width * step])
        for x in range(len(line)):
            left = line[x - step] if x >= step else 0
            up, corner = before[x], before[x - step] if x >= step else 0
            if how == 1:
                line[x] = line[x] + left & 255
            elif how == 2:
                line[x] = line[x] + up & 255
            elif how == 3:
                line[x] = line[x] + (left + up) // 2 & 255
            elif how == 4:
                guess = left + up - corner
                near = min((abs(guess - left), 0, left), (abs(guess - up), 1, up), (abs(guess - corner), 2, corner))
                line[x] = line[x] + near[2] & 255
        rows.append([tuple(line[x:x + 3]) for x in range(0, len(line), step)])
        before = line
    return width, rows


def contrast(rows):
    """Of the ground and what differs from it the most."""
    def light(pixel):
        linear = [(c / 255) / 12.92 if c <= 10 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in pixel]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2] + 0.05
    counts = {}
    for row in rows:
        for pixel in row:
            counts[pixel] = counts.get(pixel, 0) + 1
    ground = light(max(counts, key=counts.get))
    return max(max(ground, light(p)) / min(ground, light(p)) for p in counts)


# Where the links are, when one has scrolled to them, and what a click meets there.
LINKS = r"""
(async () => {
  await new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)));
  const all = [...document.querySelectorAll('a[href^="mailto:"]')].filter(a => a.href.includes('%s'));
  const out = {links: [], high: document.documentElement.scrollHeight, wrong: []};
  if (all.length < 2) out.wrong.push('there are ' + all.length + ' links');
  for (const a of all) {
    a.scrollIntoView({block: 'center', inline: 'nearest', behavior: 'instant'});
    const box = a.getClientRects()[0];
    if (!box || box.width < 20 || box.height < 10) { out.wrong.push('a link is ' + (box ? box.width + ' by ' + box.height : 'nowhere')); continue; }
    for (const part of [0.03, 0.25, 0.5, 0.75, 0.97]) {
      const x = box.left + box.width * part, y = box.top + box.height / 2;
      const met = document.elementFromPoint(x, y);
      if (!met || !a.contains(met)) { out.wrong.push('a click meets ' + (met ? met.tagName : 'nothing')); break; }
    }
    const style = getComputedStyle(a);
    if (parseFloat(style.fontSize) < 11) out.wrong.push('letters of ' + style.fontSize);
    const around = a.closest('div');
    const whole = around.getBoundingClientRect();
    out.links.push({x: box.left, y: box.top, width: box.width, height: box.height,
                    scrolled: window.scrollY, top: window.scrollY + whole.top, scale: window.visualViewport.scale});
  }
  return out;
})()
"""
# Nobody scrolls for longer.
DEEPEST = 12000


def looked_at(browser, token, file):
    """What is wrong, and the pictures of the links."""
    browser.show(file)
    found = browser.run(LINKS % token)
    wrong, pictures = found["wrong"], []
    for link in found["links"]:
        if not 0 <= link["top"] <= DEEPEST:
            wrong.append(f"the box stands at {link['top']:.0f}")
        # A wide mail is shown smaller on a telephone, and all of it.
        if link["scale"] < 0.3:
            wrong.append(f"shown at {link['scale']:.2f}")
        # Each link is in view when the script has gone to the last one: the box is small.
        clip = {k: link[k] for k in ("x", "width", "height")}
        clip["y"] = link["y"] + link["scrolled"]
        if clip["width"] > 2000 or clip["y"] < 0:
            continue
        width, rows = pixels(browser.shot(clip))
        if contrast(rows) < 4.5:
            wrong.append(f"contrast {contrast(rows):.1f}")
        pictures.append((width, rows))
    return wrong, pictures


def same(one, other):
    """Whether two pictures show the same, but for how a letter's edge falls on the grid."""
    (width, rows), (width2, rows2) = one, other
    if abs(width - width2) > 2 or abs(len(rows) - len(rows2)) > 2:
        return False

    def dark(rows):
        ground = rows[0][0]
        return [sum(sum(abs(a - b) for a, b in zip(pixel, ground)) for pixel in row) for row in rows]
    a, b = dark(rows), dark(rows2)
    # Ground and ink: how much of it, and where from top to bottom.
    if sum(abs(x - y) for x, y in zip(rows[0][0], rows2[0][0])) > 24:
        return False
    total = max(sum(a), sum(b), 1)
    return abs(sum(a) - sum(b)) / total < 0.12 and min(
        sum(abs(x - y) for x, y in zip(a, [0] * s + b)) / total for s in (0, 1, 2)) < 0.5


SIGHTS = [("by day", 1000, 700, False, "light"), ("by night, on a telephone", 390, 800, True, "dark")]


def main():
    token, rest = sys.argv[1], sys.argv[2:]
    references, pages = rest[:rest.index("--")], rest[rest.index("--") + 1:]
    shots = os.environ.get("SHOTS")
    wrong = {page: [] for page in references + pages}
    with tempfile.TemporaryDirectory() as profile:
        browser = Browser(profile)
        for name, width, height, mobile, scheme in SIGHTS:
            browser.page("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=mobile)
            browser.page("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
            known = []
            for page in references:
                bad, pictures = looked_at(browser, token, page)
                wrong[page] += [f"{name}: {w}" for w in bad]
                known.append(pictures)
            for page in pages:
                bad, pictures = looked_at(browser, token, page)
                if not bad and not any(len(pictures) == len(k) and all(map(same, pictures, k)) for k in known):
                    bad.append("it looks otherwise")
                wrong[page] += [f"{name}: {w}" for w in bad]
                if shots and "mail-" in page:
                    size = browser.page("Page.getLayoutMetrics")["cssContentSize"]
                    clip = {"x": 0, "y": 0, "width": width, "height": min(size["height"], 3000), "beyond": True}
                    file = f"{pathlib.Path(page).stem}-{scheme}.png"
                    pathlib.Path(shots, file).write_bytes(browser.shot(clip))
        browser.call("Browser.close")
        browser.process.wait()
    for page, bad in wrong.items():
        print(page, "; ".join(dict.fromkeys(bad)) or "good", sep="\t")


main()
