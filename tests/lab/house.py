"""What the cases of the lab stand on: the real daemon with a store of its own, a sink that keeps what reaches it, clients that send numbered
messages and note which got 250, and a look into a copy of the store. No case lives here."""
import copy, json, os, pathlib, queue, random, re, shutil, signal, socket, sqlite3, subprocess, tempfile, threading, time

HOST = "127.0.0.1"
ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = os.environ.get("RELAY_BIN", str(ROOT / "target/debug/marketrelay"))
SELLER = "s@real.test"
DB = "marketrelay.sqlite3"
# Nothing waits longer than this; a healthy run waits for milliseconds.
PATIENCE = 60


class Failed(Exception):
    """A promise that did not hold."""


def check(holds, what):
    if not holds:
        raise Failed(what)


def until(what, holds, seconds=PATIENCE):
    """Waits until `holds()` is true."""
    end = time.monotonic() + seconds
    while not (value := holds()):
        check(time.monotonic() < end, f"waited {seconds} s for: {what() if callable(what) else what}")
        time.sleep(0.01)
    return value


class Sink:
    """An SMTP server that keeps the id, the Message-ID and, if asked to, the raw octets of each message. `reply(verb)` may give another answer."""
    MARK = re.compile(rb"lab-id: (\S+)")
    MID = re.compile(rb"(?im)^message-id:\s*(\S+)")

    def __init__(self, keep=False, backlog=1024):
        self.listener = socket.create_server((HOST, 0), backlog=backlog)
        self.port = self.listener.getsockname()[1]
        self.lock = threading.Lock()
        self.got = {}       # id of the lab: list of Message-IDs
        self.when = {}      # id of the lab: when it first came
        self.raw = []       # octets between DATA and the dot, if kept
        self.count, self.keep, self.slow = 0, keep, 0.0
        self.reply = None
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        try:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.talk(client, client.makefile("rb"))
        except OSError:
            pass
        finally:
            client.close()

    def talk(self, client, lines):
        client.sendall(b"220 sink.test\r\n")
        while line := lines.readline():
            verb = line[:4].upper().strip()
            other = self.reply(verb.decode("latin1"), line) if self.reply else None
            if other:
                client.sendall(other.encode() + b"\r\n")
            elif verb == b"EHLO":
                client.sendall(b"250-sink.test\r\n250-PIPELINING\r\n250 8BITMIME\r\n")
            elif verb == b"DATA":
                client.sendall(b"354 go\r\n")
                message = []
                while (part := lines.readline()) != b".\r\n":
                    if not part:
                        return
                    message.append(part)
                if self.slow:
                    time.sleep(self.slow)
                self.note(b"".join(message))
                client.sendall(b"250 ok\r\n")
            elif verb == b"QUIT":
                client.sendall(b"221 bye\r\n")
                return
            else:
                client.sendall(b"250 ok\r\n")

    def note(self, message):
        mark, mid = self.MARK.search(message), self.MID.search(message)
        with self.lock:
            self.count += 1
            if mark:
                self.when.setdefault(mark[1].decode(), time.monotonic())
                self.got.setdefault(mark[1].decode(), []).append(mid[1].decode() if mid else "")
            if self.keep:
                self.raw.append(message)

    def ids(self):
        with self.lock:
            return set(self.got)

    def close(self):
        # shutdown ends the accept that waits in another thread; close alone does not.
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()


class Smtp:
    """A client's connection."""

    def __init__(self, port, timeout=PATIENCE, hello=True):
        self.socket = socket.create_connection((HOST, port), timeout=timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.lines = self.socket.makefile("rb")
        self.banner = self.line()
        if hello:
            self.ask("EHLO client.test")

    def line(self):
        """The last line of a reply; nothing when the other side has closed."""
        while (line := self.lines.readline())[3:4] == b"-":
            pass
        return line.decode("latin1").rstrip("\r\n")

    def send(self, octets):
        self.socket.sendall(octets)

    def ask(self, command):
        self.send(command.encode() + b"\r\n")
        return self.line()

    def mail(self, to, message, sender=SELLER):
        """One transaction; the reply that ended it."""
        for command in (f"MAIL FROM:<{sender}>", f"RCPT TO:<{to}>", "DATA"):
            reply = self.ask(command)
            if not reply or reply[0] not in "23":
                return reply
        self.send(message + b".\r\n")
        return self.line()

    def close(self):
        try:
            self.lines.close()
            self.socket.close()
        except OSError:
            pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def message(mark, size=2000, sender=SELLER):
    """A message that carries its id, of about so many octets."""
    text = f"From: <{sender}>\r\nTo: you@alias.test\r\nSubject: lab {mark}\r\nMessage-ID: <{mark}@client.test>\r\n\r\nlab-id: {mark}\r\n"
    # Text that does not pack well.
    line = lambda: "%060x\r\n" % random.getrandbits(240)
    lines = [line() for _ in range(min(size // 62 + 1, 2000))]
    while len(lines) * 62 < size:
        lines += lines
    return (text + "".join(lines[:size // 62 + 1])).encode()


class House:
    """A daemon, its configuration and its store, in a directory of its own. `sections` replaces or adds sections of the configuration."""

    def __init__(self, sink_port, sections=None, directory=None, environment=None, buyers=4):
        self.directory = pathlib.Path(directory or tempfile.mkdtemp(prefix="marketrelay-lab-"))
        self.data = self.directory / "data"
        self.config = self.directory / "marketrelay.toml"
        self.log = self.directory / "log"
        self.environment = {**os.environ, **(environment or {})}
        self.environment.pop("MARKETRELAY_CONFIG", None)
        self.process, self.port, self.metrics = None, 0, None
        base = {
            "marketplace": ['id = "m"', 'domain = "alias.test"', 'name = "Lab"'], "listener": [f'address = "{HOST}:0"'],
            "authentication": ['mode = "none"'], "delivery": [f'route = "smtp://{HOST}:{sink_port}"'],
            "policy.quota": ["base = 4000000000"], "limits": ["connections_per_client = 10000", 'spool_above = "1 MiB"'], "log": ['format = "json"'],
            "metrics": [f'address = "{HOST}:0"'],
        }
        base.update(sections or {})
        array = ("marketplace", "listener")
        text = f'hostname = "relay.test"\ndata_dir = "{self.data}"\n'
        for name, lines in base.items():
            text += (f"[[{name}]]\n" if name in array else f"[{name}]\n") + "\n".join(lines) + "\n"
        self.config.write_text(text)
        people = [{"type": "seller", "id": "s", "name": "Shop", "email": SELLER}]
        people += [{"type": "buyer", "id": f"b{n}", "email": f"b{n}@real{n % 2}.test"} for n in range(buyers)]
        listed = self.directory / "people.jsonl"
        listed.write_text("".join(json.dumps(p) + "\n" for p in people))
        self.cli("store", "init")
        self.cli("import", str(listed))
        self.aliases = [json.loads(self.cli("alias", "get", "--buyer", f"b{n}", "--seller", "s", "--json"))["buyer_alias"] for n in range(buyers)]

    def twin(self, data, sink_port):
        """The same daemon on another store, delivering to another sink."""
        other = copy.copy(self)
        other.process, other.directory = None, pathlib.Path(tempfile.mkdtemp(prefix="marketrelay-lab-"))
        other.data, other.config, other.log = pathlib.Path(data), other.directory / "marketrelay.toml", other.directory / "log"
        text = self.config.read_text().replace(f'data_dir = "{self.data}"', f'data_dir = "{data}"')
        other.config.write_text(re.sub(rf"smtp://{HOST}:\d+", f"smtp://{HOST}:{sink_port}", text))
        return other

    def cli(self, *arguments, status=0):
        done = subprocess.run([BINARY, "--config", self.config, *arguments], capture_output=True, text=True, env=self.environment, timeout=900)
        check(status is None or done.returncode == status, f"{arguments}: exit status {done.returncode}: {done.stdout} {done.stderr}")
        return done.stdout if status == 0 else done.stdout + done.stderr

    def spawn(self, wrapper=(), **more):
        """Starts the daemon, and does not wait for it. `wrapper` is a program that runs it."""
        self.start_of_log = self.log.stat().st_size if self.log.exists() else 0
        more.setdefault("stdout", subprocess.DEVNULL)
        with open(self.log, "a") as log:
            more.setdefault("stderr", log)
            self.process = subprocess.Popen([*wrapper, BINARY, "--config", self.config, "serve"], stdin=subprocess.DEVNULL, env=self.environment, **more)

    def start(self, wrapper=(), seconds=PATIENCE, **more):
        """Starts it and waits until it says where it listens."""
        self.spawn(wrapper, **more)
        found = {}

        def listens():
            check(self.process.poll() is None, f"ended at start: {self.logged()[-2000:]}")
            for line in self.logged().splitlines():
                if '"started"' in line and line.endswith("}"):
                    event = json.loads(line)
                    found.update({k: int(event[k].rsplit(":", 1)[1]) for k in ("listener", "metrics") if k in event})
            return len(found) == 2
        until("the daemon starts", listens, seconds)
        self.port, self.metrics = found["listener"], found["metrics"]
        return self

    def logged(self):
        with open(self.log, errors="replace") as f:
            f.seek(self.start_of_log)
            return f.read()

    def pid(self):
        """The daemon itself, which a wrapper may have started."""
        children = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return int(children[0]) if children else self.process.pid

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def kill_inner(self):
        """The same where a wrapper runs the daemon: it ends with it."""
        os.kill(self.pid(), signal.SIGKILL)
        self.process.wait(PATIENCE)

    def stop(self, seconds=PATIENCE):
        """SIGTERM; the exit status has to be 0."""
        os.kill(self.pid(), signal.SIGTERM)
        check(self.process.wait(seconds) == 0, f"exit status {self.process.returncode}: {self.logged()[-2000:]}")

    def metric(self, name):
        """Sum of a metric's samples."""
        with socket.create_connection((HOST, self.metrics), timeout=10) as s:
            s.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            text = b"".join(iter(lambda: s.recv(65536), b"")).decode()
        return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if re.match(rf"{name}(\{{|\s)", line))

    def close(self):
        if self.process and self.process.poll() is None:
            # A wrapper that is killed leaves the daemon behind.
            inner = self.pid()
            self.kill()
            if inner != self.process.pid:
                os.kill(inner, signal.SIGKILL)
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Image:
    """A copy of a store's files as they lie on disk, opened as SQLite would after a crash. The daemon's own files are not touched."""

    def __init__(self, data):
        self.directory = tempfile.TemporaryDirectory(prefix="marketrelay-image-")
        for name in (DB, DB + "-wal"):
            if (pathlib.Path(data) / name).exists():
                shutil.copy(pathlib.Path(data) / name, self.directory.name)
        self.db = sqlite3.connect(pathlib.Path(self.directory.name) / DB)

    def whole(self):
        result = self.db.execute("PRAGMA integrity_check").fetchall()
        check(result == [("ok",)], f"integrity_check: {result[:3]}")
        wrong = self.db.execute("PRAGMA foreign_key_check").fetchall()
        check(not wrong, f"foreign_key_check: {wrong[:3]}")

    def ids(self, where="1"):
        """Ids of the lab of messages in the queue: they stand in the subject."""
        rows = self.db.execute(f"SELECT m.subject FROM queue q JOIN message m ON m.id = q.message WHERE q.kind = 0 AND {where}")
        return {row[0].removeprefix("lab ") for row in rows}

    def value(self, sql):
        return self.db.execute(sql).fetchone()[0]

    def close(self):
        self.db.close()
        self.directory.cleanup()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Load:
    """Clients that send until told to stop. `acked`: got 250. `doubt`: all was sent, and no reply came. `refused`: the replies that were not 250."""

    def __init__(self, house, clients=6, name="m", size=lambda: 2000, per_connection=20, rest=0.0):
        self.house, self.name, self.size, self.per_connection, self.rest = house, name, size, per_connection, rest
        self.acked, self.doubt, self.refused = set(), set(), []
        self.ids = {}       # id that the reply named: id of the lab
        self.ended = threading.Event()
        self.threads = [threading.Thread(target=self.run, args=(n,), daemon=True) for n in range(clients)]
        for thread in self.threads:
            thread.start()

    def run(self, client):
        number = 0
        while not self.ended.is_set():
            try:
                with Smtp(self.house.port, timeout=30) as smtp:
                    if not smtp.banner.startswith("220"):
                        self.refused.append(smtp.banner)
                        self.ended.wait(0.02)
                        continue
                    for _ in range(self.per_connection):
                        number += 1
                        if self.ended.is_set() or not self.one(smtp, f"{self.name}-{client}-{number}"):
                            break
            except OSError:
                self.ended.wait(0.01)

    def one(self, smtp, mark):
        octets = message(mark, self.size())
        to = self.house.aliases[hash(mark) % len(self.house.aliases)]
        for command in (f"MAIL FROM:<{SELLER}>", f"RCPT TO:<{to}>", "DATA"):
            reply = smtp.ask(command)
            if not reply or reply[0] not in "23":
                self.refused.append(reply)
                self.ended.wait(0.02)
                return False
        self.doubt.add(mark)
        smtp.send(octets + b".\r\n")
        reply = smtp.line()
        if reply.startswith("250"):
            self.acked.add(mark)
            self.ids[reply.split()[-1]] = mark
            self.doubt.discard(mark)
        elif reply:
            self.doubt.discard(mark)
            self.refused.append(reply)
            self.ended.wait(0.02)
            return False
        self.ended.wait(self.rest) if self.rest else None
        return bool(reply)

    def stop(self):
        self.ended.set()
        for thread in self.threads:
            thread.join(40)
        return self
