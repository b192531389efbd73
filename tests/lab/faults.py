"""The system refuses: flushes, writes and files opened fail, injected by strace. Nothing gets 250 that is not on disk; a failed flush ends the
daemon without a second try at it, everything else passes by itself."""
import collections, os, random, re, sqlite3, time
from house import DB, House, Image, Load, Sink, check, until

# What a client may hear while the system refuses.
TEMPORARY = re.compile(r"4(51 4\.3\.0|52 4\.3\.1|21 4\.3\.2) |$")


def run(house, sink, inject, path=None, large=0.0):
    """The daemon under load and under strace until something was injected and its effect is over; what the clients saw, and the trace."""
    trace = house.directory / "trace"
    only = ["-P", str(path)] if path else []
    calls = inject.split(":")[0]
    house.start(wrapper=["strace", "-f", "--seccomp-bpf", "-y", "-qq", "-e", f"trace={calls}", *only, "-e", "signal=none", "-e", f"inject={inject}", "-o", str(trace)])
    size = lambda: 1_500_000 if random.random() < large else 3000
    load = Load(house, clients=6, name=f"f{random.randrange(10 ** 9)}", size=size, per_connection=5)
    injected = lambda: "(INJECTED)" in trace.read_text(errors="replace")
    while not injected() and path == house.data / DB:
        stuff(house)
        time.sleep(0.2)
    until(f"{inject} is injected", injected, 30)
    return load, trace


def stuff(house):
    """Fills the log, so that the daemon's next commit finds it time to move it into the database."""
    db = sqlite3.connect(house.data / DB, timeout=20)
    db.execute("PRAGMA wal_autocheckpoint=0")
    db.executemany("INSERT INTO body (size, packed, raw) VALUES (?, 0, ?)", ((1 << 20, os.urandom(1 << 20)) for _ in range(9)))
    db.commit()
    db.close()


def ends(house, sink, load):
    """Starts the daemon anew: everything that got 250 arrives, and the store is whole."""
    with Image(house.data) as image:
        image.whole()
    house.start()
    until(lambda: f"{len(load.acked - sink.ids())} of {len(load.acked)} messages", lambda: load.acked <= sink.ids())
    house.stop()
    with Image(house.data) as image:
        image.whole()
    wrong = [r for r in load.refused if not TEMPORARY.match(r)]
    check(not wrong, f"another reply than a temporary one: {wrong[:3]}")


def flush(rounds):
    """A flush fails once: of the log at a commit or at a checkpoint, or of the database. The kernel would say yes to a second one."""
    sink, found = Sink(), collections.Counter()
    with House(sink.port) as house:
        for turn in range(rounds):
            on = (None, house.data / DB, house.data / f"{DB}-wal")[turn % 3]
            # The first of the database may be at start.
            when = 2 if on == house.data / DB else random.randint(8, 80)
            load, trace = run(house, sink, f"fsync,fdatasync:error=EIO:when={when}", on)
            status = until("the daemon ends after a failed flush", lambda: house.process.poll() is not None and str(house.process.returncode), 20)
            load.stop()
            check(status == "1", f"exit status {status}: {house.logged()[-800:]}")
            lines = trace.read_text(errors="replace").splitlines()
            at = next(n for n, line in enumerate(lines) if "(INJECTED)" in line)
            failed = DB + "-wal" if f"{DB}-wal" in lines[at] else DB
            found[failed] += 1
            again = [line for line in lines[at + 1:] if "sync(" in line and f"{DB}" in line]
            check(not again, f"a second try: {lines[at]} and then {again[:2]}")
            check("421 4.3.2" in " ".join(load.refused) or "451 4.3.0" in " ".join(load.refused), f"nobody heard of it: {load.refused[:3]}")
            ends(house, sink, load)
    sink.close()
    return ", ".join(f"{number} of {name}" for name, number in found.items()) + ": ended at once with status 1, nothing lost"


# What is injected; which file (None: any); what has to be heard; large messages.
PASSING = [
    ("pwrite64:error=ENOSPC:when=60..160", None, "452 4.3.1", 0),
    ("pwrite64:error=EIO:when=60..160", None, "451 4.3.0", 0),
    ("pwrite64:error=EROFS:when=60..160", None, "451 4.3.0", 0),
    ("openat:error=EMFILE:when=2..6", "", "45", 0.5),
    ("openat:error=EIO:when=2..6", "", "45", 0.5),
    ("openat:error=ENOSPC:when=2..6", "", "452 4.3.1", 0.5),
]


def passing(rounds):
    """Errors that are over after a while: refused meanwhile, accepted afterwards, by the same process."""
    sink, heard = Sink(), collections.Counter()
    with House(sink.port) as house:
        for inject, path, expected, large in (PASSING * rounds)[:max(rounds, len(PASSING))]:
            load, trace = run(house, sink, inject, None if path is None else house.data / path, large=large)
            until(f"{inject}: {expected} is heard", lambda: any(r.startswith(expected) for r in load.refused), 30)
            number = len(load.acked)
            until(f"{inject}: accepted again", lambda: len(load.acked) > number + 20, 30)
            check(house.process.poll() is None, f"{inject}: the daemon ended")
            load.stop()
            until(f"{inject}: delivered", lambda: load.acked <= sink.ids())
            heard.update(r[:9] for r in load.refused if r)
            house.stop()
            ends(house, sink, load)
    sink.close()
    return ", ".join(f"{number} × {reply}" for reply, number in heard.items()) + "; accepted again by itself"
