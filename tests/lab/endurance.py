"""What takes long: a million messages that wait for a dead destination, and hours of steady load. Memory, descriptors and files have to stay flat."""
import copy, csv, json, os, pathlib, shutil, socket, sqlite3, statistics, subprocess, threading, time
from abuse import memory
from house import DB, HOST, SELLER, House, Load, Sink, Smtp, check, message, until

BARS = "▁▂▃▄▅▆▇█"
# What has to stay flat in a soak, what it is called, and by how much it may grow in the second half: octets in MiB. Caches, the log's own size and kept
# connections move by as much from one minute to the next; a leak grows with each message, and a long soak shows it.
FLAT = {"memory_mib": ("memory, MiB", 4), "descriptors": ("descriptors", 25), "wal_mib": ("write-ahead log, MiB", 8)}


def latencies(houses, sink, name, number=80):
    """Milliseconds from the first octet of a message to its arrival, of daemons that take turns: the lower quartile, which a busy machine disturbs least."""
    took = [[] for _ in houses]
    for n in range(number):
        for house, times in zip(houses, took):
            mark, began = f"{name}{n}-{house.port}", time.monotonic()
            with Smtp(house.port) as smtp:
                check(smtp.mail(house.aliases[0], message(mark)).startswith("250"), "not accepted")
            while mark not in sink.when and time.monotonic() < began + 30:
                time.sleep(0.0002)
            check(mark in sink.when, f"{mark} does not arrive")
            times.append((sink.when[mark] - began) * 1000)
    return [statistics.quantiles(times, n=4)[0] for times in took]


def copies(db, table, where, changed):
    """Inserts into a table what `changed` makes of one of its rows, once for each number of the table `n`."""
    columns = [row[1] for row in db.execute(f"PRAGMA table_info({table})")]
    made = ", ".join(changed.get(c, f"t.{c}") for c in columns)
    db.execute(f"INSERT INTO {table} ({', '.join(columns)}) SELECT {made} FROM n, (SELECT * FROM {table} WHERE {where}) t")


def commands(house, sink):
    """`queue` by id, destination and state: each answers at once or in proportion, and mail for others goes through meanwhile."""
    rows = json.loads(house.cli("queue", "list", "--limit", "3", "--json"))
    first, second, third = (str(row["id"]) for row in rows)
    # What is asked, what has to be said, seconds at most: one look, a walk through all rows, a change of each.
    one, walk, change = 5, 20, 600
    asked = [
        (["list"], first, one), (["list", "--state", "waiting"], first, one), (["list", "--domain", "real1.test"], "real1.test", one),
        (["list", "--domain", "nobody.test"], "empty", walk), (["list", "--state", "delivering"], "", walk), (["show", first], "connect", one),
        (["retry", first], "due now", one), (["retry", "--domain", "real1.test"], "due now", change), (["cancel", first], "out of the queue", one),
        (["cancel", "--state", "delivering", "--domain", "real1.test"], "out of the queue", walk), (["cancel", "--domain", "real1.test"], "out of the queue", change),
    ]
    load, took = Load(house, clients=1, name="between", rest=0.2), {}
    # The dead destination's mail is not what is sent meanwhile.
    load.house = copy.copy(house)
    load.house.aliases = house.aliases[::2]
    for arguments, wanted, most in asked:
        began, before = time.monotonic(), len(load.acked)
        said = house.cli("queue", *arguments)
        took[" ".join(arguments[:2] if arguments[1:] and arguments[1][0] == "-" else arguments[:1] + ["ID"] * (len(arguments) > 1))] = seconds = time.monotonic() - began
        check(wanted in said, f"queue {' '.join(arguments)} said {said[:300]}")
        check(seconds < most, f"queue {' '.join(arguments)} took {seconds:.1f} s")
        check(seconds < 10 or len(load.acked) > before + seconds / 2, f"queue {' '.join(arguments)} held up the others: {len(load.acked) - before} in {seconds:.0f} s")
    load.stop()
    until("the others' mail has arrived", lambda: load.acked <= sink.ids())
    until("nothing is left", lambda: house.cli("queue", "list").startswith("The queue is empty"))
    return ", ".join(f"{name} {seconds:.1f} s" for name, seconds in took.items()), f"{len(load.acked)} others meanwhile"


def million(rounds):
    """`rounds` messages wait for a server that is not there: nothing of it is felt by the others, in memory, or at start."""
    sink, turns = Sink(), 80 if rounds >= 1_000_000 else 25
    sections = {"delivery": [f'route = "smtp://{HOST}:{sink.port}"', "[delivery.routes]", f'"real1.test" = "smtp://{HOST}:1"']}
    with House(sink.port, sections) as house, House(sink.port, sections) as calm:
        house.start()
        calm.start()
        with Smtp(house.port) as smtp:
            check(smtp.mail(house.aliases[1], message("dead")).startswith("250"), "not accepted")
        until("it waits", lambda: house.cli("queue", "list", "--json").count('"id"') == 1)
        latencies([house, calm], sink, "warm", 20)
        small = memory(house)
        house.stop()
        db = sqlite3.connect(house.data / DB, isolation_level=None)
        db.execute("PRAGMA synchronous=OFF")
        db.execute("BEGIN")
        db.execute("CREATE TEMP TABLE n (i INTEGER PRIMARY KEY)")
        db.executemany("INSERT INTO n VALUES (?)", ((i,) for i in range(1, rounds)))
        row, = db.execute("SELECT message FROM queue").fetchone()
        # Ids grow with time: the copies lie just before the original.
        copies(db, "message", f"id = {row}", {"id": "t.id - n.i", "thread": "t.id - n.i"})
        copies(db, "queue", f"message = {row}", {"id": "t.id - n.i", "message": "t.message - n.i", "due": "t.due + n.i % 1000"})
        db.execute("COMMIT")
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        check(db.execute("SELECT count(*) FROM queue").fetchone()[0] == rounds, "not filled")
        db.close()
        began = time.monotonic()
        house.start()
        ready = time.monotonic() - began
        after = latencies([house, calm], sink, "after", turns)
        # Through two rounds of the schedule's own look at the queue.
        time.sleep(65 if rounds >= 1_000_000 else 2)
        later, large = latencies([house, calm], sink, "later", turns), memory(house)
        house.kill()
        began = time.monotonic()
        house.start()
        again = time.monotonic() - began
        asked, during = commands(house, sink)
        house.stop()
    sink.close()
    said = f"ready in {ready:.1f} s, after kill -9 in {again:.1f} s; latency {after[0]:.1f} ms and later {later[0]:.1f} ms, {after[1]:.1f} and {later[1]:.1f} ms without them; {small:.0f} and {large:.0f} MiB; queue {asked}; {during}"
    check(max(ready, again) < 2, said)
    # Half a millisecond is what a busy machine adds or takes; a few turns, beside other tests, show no more than that nothing is stuck.
    ratio, slack = (1.2, 0.5) if rounds >= 1_000_000 else (4, 50)
    check(all(full <= empty * ratio + slack for full, empty in (after, later)), said)
    check(large <= small + 30, said)
    return said


def graph(values, width=60):
    """One line of bars from zero to the largest."""
    step = max(1, len(values) // width)
    means = [statistics.mean(values[i:i + step]) for i in range(0, len(values), step)]
    top = max(means) or 1
    return "".join(BARS[min(7, int(v / top * 7.99))] for v in means)


def growth(samples, name):
    """What a straight line through the second half of the samples grows by in that half."""
    half = samples[len(samples) // 2:]
    if len(half) < 2:
        return 0.0
    fit = statistics.linear_regression([s["seconds"] for s in half], [s[name] for s in half])
    return fit.slope * (half[-1]["seconds"] - half[0]["seconds"])


def picture(samples, title):
    """The same for eyes: one chart above the other, each from zero, the second half, which is judged, on grey."""
    wide, high, left, gap = 720, 120, 60, 44
    last, parts = samples[-1]["seconds"] or 1, []
    for row, (name, (what, *_)) in enumerate(FLAT.items()):
        top, base = max(s[name] for s in samples) or 1, gap + (row + 1) * (high + gap) - gap
        dots = " ".join(f"{left + s['seconds'] / last * wide:.1f},{base - s[name] / top * high:.1f}" for s in samples)
        parts += [f'<rect x="{left + wide / 2}" y="{base - high}" width="{wide / 2}" height="{high}" fill="#f0f0f0"/>',
                  f'<path d="M{left} {base - high}V{base}h{wide}" fill="none" stroke="#888"/>',
                  f'<polyline points="{dots}" fill="none" stroke="#06c" stroke-width="1.5"/>',
                  f'<text x="{left}" y="{base - high - 8}">{what}: {growth(samples, name):+.1f} in the second half</text>',
                  f'<text x="{left - 6}" y="{base - high + 10}" text-anchor="end">{top:g}</text><text x="{left - 6}" y="{base}" text-anchor="end">0</text>',
                  f'<text x="{left + wide}" y="{base + 14}" text-anchor="end">{last / 60:.0f} min</text>']
    tall = gap + len(FLAT) * (high + gap)
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {left + wide + 20} {tall}" font-family="sans-serif" font-size="12">\n'
            f'<rect width="100%" height="100%" fill="#fff"/><text x="{left}" y="18" font-size="14">{title}</text>\n' + "\n".join(parts) + "\n</svg>\n")


def source(house, number, sessions=10):
    tool = shutil.which("smtp-source", path=os.environ["PATH"] + ":/usr/sbin")
    subprocess.run([tool, "-4", "-d", "-m", str(number), "-s", str(min(sessions, number)), "-l", "4096", "-f", SELLER, "-t", house.aliases[0], f"{HOST}:{house.port}"],
                   check=True, timeout=300)


def soak(rounds, folder):
    """`rounds` minutes at half the rate that is possible: what the daemon holds stays flat. Samples and a picture go to `folder`."""
    tool = shutil.which("smtp-sink", path=os.environ["PATH"] + ":/usr/sbin")
    with socket.create_server((HOST, 0)) as probe:
        port = probe.getsockname()[1]
    swallow = subprocess.Popen([tool, "-u", "nobody", "-h", "sink.test", f"{HOST}:{port}", "4000"], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        with House(port, {"log": ['format = "json"', 'level = "warn,marketrelay::serve=info"']}) as house:
            house.start()
            source(house, 200)
            began = time.monotonic()
            source(house, 2000)
            rate = max(1, int(2000 / (time.monotonic() - began) / 2))
            samples, ended = [], threading.Event()

            def watch():
                start = time.monotonic()
                while not ended.wait(min(5, rounds)):
                    wal = house.data / f"{DB}-wal"
                    samples.append({"seconds": round(time.monotonic() - start), "memory_mib": round(memory(house), 1), "descriptors": len(os.listdir(f"/proc/{house.process.pid}/fd")),
                                    "wal_mib": round(wal.stat().st_size / 2**20, 1), "queue": house.metric("marketrelay_queue"), "store_mib": round((house.data / DB).stat().st_size / 2**20)})
            watcher = threading.Thread(target=watch)
            watcher.start()
            began, sent = time.monotonic(), 0
            while (passed := time.monotonic() - began) < rounds * 60:
                # What a busy machine held up is not made up for: that would be a storm.
                turn = time.monotonic()
                source(house, rate)
                sent += rate
                time.sleep(max(0, 1 - (time.monotonic() - turn)))
            ended.set()
            watcher.join()
            until("the queue is empty", lambda: sqlite3.connect(house.data / DB).execute("SELECT count(*) FROM queue").fetchone()[0] == 0)
            accepted = sqlite3.connect(house.data / DB).execute("SELECT count(*) FROM message WHERE fate = 'delivered'").fetchone()[0]
            check(accepted == sent + 2200, f"{sent + 2200} sent, {accepted} delivered")
            house.stop()
    finally:
        swallow.kill()
        swallow.wait()
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "soak.csv", "w", newline="") as f:
        writer = csv.DictWriter(f, list(samples[0]))
        writer.writeheader()
        writer.writerows(samples)
    (folder / "soak.svg").write_text(picture(samples, f"{sent} messages of 4 KiB in {passed / 60:.0f} minutes"))
    said, grown = f"{sent} messages, {sent / passed:.0f}/s", []
    print(f"    {'':22} {'least':>8} {'most':>8} {'grown':>8} {'may':>5}", flush=True)
    for name, (what, slack) in FLAT.items():
        values, more = [s[name] for s in samples], growth(samples, name)
        print(f"    {what:22} {min(values):8.1f} {max(values):8.1f} {more:+8.1f} {slack:5}  {graph(values)}", flush=True)
        said += f"; {what}: {min(values):.0f} to {max(values):.0f}, {more:+.1f} in the second half"
        grown += [what] if more > slack else []
    check(not grown, f"{', '.join(grown)} grows: {said}")
    return said + f"; {folder / 'soak.svg'}"
