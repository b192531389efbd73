"""Disks that fill up: a small tmpfs as the data directory. New mail is refused in time, the queue goes on, and mail is accepted again by itself."""
import contextlib, os, pathlib, shutil, socket, sqlite3, subprocess, time
from house import DB, HOST, SELLER, House, Load, Sink, Smtp, check, message, until

MIB = 1 << 20


@contextlib.contextmanager
def mounted(options):
    """A house whose data directory is a small file system of its own; the sink refuses everything until told otherwise."""
    sink = Sink()
    sink.reply = lambda verb, line: "451 4.3.0 later" if verb == "MAIL" else None
    house = House(sink.port, {"limits": ["connections_per_client = 10000", *options.get("limits", [])], "queue": ['retry_first = "1 s"', 'retry_longest = "2 s"']})
    kept = house.directory / "kept"
    shutil.move(house.data, kept)
    house.data.mkdir(mode=0o700)
    subprocess.run(["mount", "-t", "tmpfs", "-o", options["mount"], "tmpfs", house.data], check=True)
    try:
        for file in kept.iterdir():
            shutil.copy2(file, house.data)
        yield house, sink
    finally:
        if house.process and house.process.poll() is None:
            house.kill()
        subprocess.run(["umount", "-l", house.data], check=True)
        house.close()
        sink.close()


def free(house):
    found = os.statvfs(house.data)
    return found.f_bavail * found.f_frsize


def fill(house, leave):
    """A file that takes all but so many octets."""
    with open(house.data / "junk", "wb") as junk:
        try:
            while (left := free(house) - leave) > 0:
                junk.write(bytes(min(left, MIB)))
                junk.flush()
        except OSError:
            pass


def send(house, mark, size=2000):
    with Smtp(house.port) as smtp:
        return smtp.mail(house.aliases[0], message(mark, size))


def floor(house, sink):
    """Under the floor mail is refused before it is sent, and what waits is delivered."""
    for n in range(20):
        check(send(house, f"early{n}").startswith("250"), "not accepted with much space")
    fill(house, 8 * MIB)
    until("452 4.3.1 at MAIL", lambda: send(house, "refused").startswith("452 4.3.1"), 5)
    with Smtp(house.port) as smtp:
        check(smtp.ask(f"MAIL FROM:<{SELLER}>").startswith("452 4.3.1"), "not refused at MAIL")
    sink.reply = None
    until("what waited is delivered", lambda: {f"early{n}" for n in range(20)} <= sink.ids())
    (house.data / "junk").unlink()
    until("accepted again", lambda: send(house, "late").startswith("250"), 5)
    until("delivered", lambda: "late" in sink.ids())
    return "452 at MAIL, the queue went out, accepted again"


def full(house, sink):
    """To the last octet, with nobody looking at the floor: nothing gets 250 that is not kept, and all of it goes out in the end."""
    sink.reply = None
    load = Load(house, clients=4, name="full", size=lambda: 20_000)
    time.sleep(0.5)
    fill(house, 0)
    until("452 4.3.1", lambda: any(r.startswith("452 4.3.1") for r in load.refused), 20)
    time.sleep(1.5)
    check(house.process.poll() is None, f"the daemon ended: {house.logged()[-500:]}")
    number = len(load.acked)
    (house.data / "junk").unlink()
    until("accepted again", lambda: len(load.acked) > number + 10, 20)
    load.stop()
    check(not [r for r in load.refused if r and not r.startswith(("452 4.3.1", "451 4.3.0"))], f"{set(load.refused)}")
    until("all delivered", lambda: load.acked <= sink.ids())
    return f"{len(load.acked)} accepted and delivered, {len(load.refused)} refused in between"


def started_full(house, sink):
    """Started where hardly anything is left: it delivers and refuses; where nothing at all is, it says so, and starts when there is room."""
    check(send(house, "early").startswith("250"), "not accepted at first")
    house.stop()
    # The last one to close it takes the log away: not even its room is left.
    sqlite3.connect(house.data / DB).execute("PRAGMA wal_checkpoint(TRUNCATE)").connection.close()
    fill(house, 0)
    house.spawn()
    check(house.process.wait(20) == 1 and "is full" in house.logged(), f"exit status {house.process.returncode}: {house.logged()}")
    os.truncate(house.data / "junk", (house.data / "junk").stat().st_size - 128 * 1024)
    sink.reply = None
    house.start()
    check(send(house, "refused").startswith("452 4.3.1"), "not refused")
    until("what waited is delivered", lambda: "early" in sink.ids())
    (house.data / "junk").unlink()
    until("accepted again", lambda: send(house, "late").startswith("250"), 5)
    until("delivered", lambda: "late" in sink.ids())
    return "says so and does not start; with 128 KiB it starts, delivers and refuses"


def inodes(house, sink):
    """No file can be made any more: refused as well, and the same afterwards."""
    sink.reply = None
    check(send(house, "first").startswith("250"), "not accepted at first")
    made = []
    try:
        while True:
            path = house.data / f"junk{len(made)}"
            path.touch()
            made.append(path)
    except OSError:
        pass
    until("452 4.3.1", lambda: send(house, "large", 3 * MIB).startswith("452 4.3.1"), 5)
    check(house.process.poll() is None, "the daemon ended")
    for path in made:
        path.unlink()
    until("accepted again", lambda: send(house, "large2", 3 * MIB).startswith("250"), 5)
    until("delivered", lambda: {"first", "large2"} <= sink.ids())
    return "452, accepted again"


def read_only(house, sink):
    """The daemon says what is wrong instead of starting on a disk that takes no writes."""
    house.stop()
    subprocess.run(["mount", "-o", "remount,ro", house.data], check=True)
    house.spawn()
    check(house.process.wait(20) == 1, f"exit status {house.process.returncode}")
    check("data" in house.logged() and "panick" not in house.logged(), f"said: {house.logged()}")
    said = house.logged().strip()[:160]
    subprocess.run(["mount", "-o", "remount,rw", house.data], check=True)
    house.start()
    sink.reply = None
    check(send(house, "again").startswith("250"), "not accepted afterwards")
    return f"does not start read-only ({said.replace(str(house.directory), '…')}); starts afterwards"


CASES = [
    (floor, {"mount": "size=40m", "limits": ['free_space = "16 MiB"']}),
    (full, {"mount": "size=24m", "limits": ["free_space = 0"]}),
    (started_full, {"mount": "size=40m", "limits": ['free_space = "16 MiB"']}),
    (inodes, {"mount": "size=64m,nr_inodes=64", "limits": ['free_space = "16 MiB"']}),
    (inodes, {"mount": "size=64m,nr_inodes=64", "limits": ["free_space = 0"]}),
    (read_only, {"mount": "size=64m", "limits": ["free_space = 0"]}),
]


def disk(rounds):
    said = []
    for case, options in CASES * rounds:
        with mounted(options) as (house, sink):
            house.start()
            said.append(f"{case.__name__.replace('_', ' ')}: {case(house, sink)}")
    return "; ".join(said[:len(CASES)])


def log_full(rounds):
    """Standard error leads nowhere any more: the mail goes on."""
    sink = Sink()
    with socket.create_server((HOST, 0)) as probe:
        port = probe.getsockname()[1]
    for style in ("json", "text"):
        with House(sink.port, {"listener": [f'address = "{HOST}:{port}"'], "log": [f'format = "{style}"', 'level = "debug"']}) as house:
            with open("/dev/full", "w") as nowhere:
                house.spawn(stderr=nowhere)
            house.port = port

            def listens():
                try:
                    return send(house, f"{style}0").startswith("250")
                except OSError:
                    return False
            until("the daemon listens", listens, 20)
            for n in range(1, rounds + 1):
                check(send(house, f"{style}{n}").startswith("250"), "not accepted")
            until("delivered", lambda: {f"{style}{n}" for n in range(rounds)} <= sink.ids())
            house.stop()
    sink.close()
    return f"{2 * rounds} messages with standard error on /dev/full, text and JSON"
