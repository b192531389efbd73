"""Power cuts. journal.c notes, inside the daemon, each write, truncation, flush and rename of the store's files, and each 250, in one order. Here a
cut is made anywhere in it: a disk is put together that holds all that was flushed by then, and of the rest nothing, all, or any part. The daemon
starts on that disk, and everything that got 250 before the cut has to be there or to have been delivered before."""
import bisect, collections, os, pathlib, random, re, shutil, struct, subprocess, tempfile, time
from house import DB, Failed, House, Image, Load, Sink, check, until

HEAD = struct.Struct("<cIQI")
DIRECTORY = 0xFFFFFFFF
SECTOR = 512
HOW = ("nothing", "all", "any writes", "any sectors")
Record = collections.namedtuple("Record", "kind file offset octets")


def shim(directory):
    path = pathlib.Path(directory) / "journal.so"
    source = pathlib.Path(__file__).with_name("journal.c")
    subprocess.run(["gcc", "-O1", "-Wall", "-shared", "-fPIC", "-o", path, source, "-ldl"], check=True)
    return path


def records(path):
    octets, at = pathlib.Path(path).read_bytes(), 0
    while at + HEAD.size <= len(octets):
        kind, file, offset, length = HEAD.unpack_from(octets, at)
        at += HEAD.size
        if at + length > len(octets):
            return
        yield Record(kind.decode(), file, offset, octets[at:at + length])
        at += length


class Disk:
    """What is on disk for certain, and what is on its way."""

    def __init__(self, before):
        self.before = before                                  # name: octets, before the journal began
        self.safe = collections.defaultdict(bytearray)        # file: octets
        self.names = {}                                       # name: file
        self.waiting = collections.defaultdict(list)          # file: (number, record) not flushed yet; the directory's, too
        self.flushing = {}

    def take(self, number, record):
        if record.kind == "o":
            name = record.octets.decode()
            self.safe[record.file], self.names[name] = bytearray(self.before[name]), record.file
        elif record.kind in "wt":
            self.waiting[record.file].append((number, record))
        elif record.kind in "cur":
            self.waiting[DIRECTORY].append((number, record))
        elif record.kind == "s":
            self.flushing[record.file, record.offset] = number
        elif record.kind == "S":
            begun = self.flushing.pop((record.file, record.offset))
            waiting = self.waiting[record.file]
            covered = bisect.bisect_left([n for n, _ in waiting], begun)
            for _, done in waiting[:covered]:
                self.name(self.names, done) if record.file == DIRECTORY else write(self.safe[record.file], done)
            del waiting[:covered]

    def name(self, names, record):
        if record.kind == "c":
            names[record.octets.decode()] = record.file
        elif record.kind == "u":
            names.pop(record.octets.decode(), None)
        else:
            old, new = record.octets.decode().split("\0")
            if old in names:
                names[new] = names.pop(old)

    def cut(self, how, directory, dice):
        """Writes down a disk that a cut may leave. Names change in order, as a file system's own journal keeps them; octets in any."""
        os.makedirs(directory, mode=0o700)
        names = dict(self.names)
        waiting = self.waiting[DIRECTORY]
        keep = {"nothing": 0, "all": len(waiting)}.get(how, dice.randint(0, len(waiting)))
        for _, record in waiting[:keep]:
            self.name(names, record)
        for name, file in names.items():
            octets = bytearray(self.safe[file])
            for _, record in self.waiting[file]:
                for part in sectors(record) if how == "any sectors" else [record]:
                    if how == "all" or how != "nothing" and dice.random() < 0.5:
                        write(octets, part)
            (pathlib.Path(directory) / name).write_bytes(octets)


def write(octets, record):
    if record.kind == "t":
        del octets[record.offset:]
        octets.extend(bytes(record.offset - len(octets)))
    else:
        octets.extend(bytes(max(0, record.offset - len(octets))))
        octets[record.offset:record.offset + len(record.octets)] = record.octets


def sectors(record):
    if record.kind == "t":
        return [record]
    at, end = record.offset, record.offset + len(record.octets)
    edges = [at, *range((at // SECTOR + 1) * SECTOR, end, SECTOR), end]
    return [record._replace(offset=a, octets=record.octets[a - at:b - at]) for a, b in zip(edges, edges[1:])]


def recover(house, disk, load, seen, answered, how, directory, dice):
    """One cut: the disk, the store on it, the daemon on that."""
    image = pathlib.Path(directory) / "cut"
    disk.cut(how, image, dice)
    sink = Sink()
    twin = house.twin(image, sink.port)
    try:
        marks = {load.ids[i] for i in answered if i in load.ids}
        with Image(image) as copy:
            copy.whole()
            fates = dict(copy.db.execute("SELECT subject, fate FROM message"))
            queued = copy.ids()
        fates = {subject.removeprefix("lab "): fate for subject, fate in fates.items()}
        lost = {m for m in marks if m not in fates or m not in queued and fates[m] != "delivered"}
        check(not lost, f"cut, {how} of what was not flushed: {len(lost)} of {len(marks)} with 250 are lost: {sorted(lost)[:3]}")
        early = {m for m, fate in fates.items() if fate == "delivered"} - seen
        check(not early, f"called delivered, and never arrived: {sorted(early)[:3]}")
        twin.start()
        until(lambda: f"{len(queued - sink.ids())} of {len(queued)} that waited at the cut", lambda: queued <= sink.ids())
        twin.stop()
        with Image(image) as copy:
            copy.whole()
        return len(marks)
    finally:
        sink.close()
        twin.close()
        shutil.rmtree(image, ignore_errors=True)


def journal(house, sink, load, directory, seconds):
    """Runs the daemon under load with the journal; the records."""
    path = pathlib.Path(directory) / "journal"
    house.environment.update(LD_PRELOAD=str(shim(directory)), LAB_JOURNAL=str(path), LAB_DIRECTORY=str(house.data))
    house.start()
    for name in ("LD_PRELOAD", "LAB_JOURNAL", "LAB_DIRECTORY"):
        del house.environment[name]
    load = load(house)
    time.sleep(seconds)
    house.kill()
    load.stop()
    return load, list(records(path))


def cuts(rounds, synchronous=None):
    dice = random.Random()
    sink = Sink()
    sizes = lambda: random.choices((500, 4000, 60_000, 1_200_000), (40, 50, 8, 2))[0]
    with tempfile.TemporaryDirectory(prefix="marketrelay-lab-") as directory, House(sink.port) as house:
        if synchronous:
            house.environment["MARKETRELAY_LAB_SYNCHRONOUS"] = synchronous
        before = {path.name: path.read_bytes() for path in house.data.iterdir() if path.is_file()}
        load, log = journal(house, sink, lambda house: Load(house, clients=8, name="p", size=sizes), directory, 2 + min(rounds, 40) / 10)
        answers = [n for n, r in enumerate(log) if r.kind == "a"]
        check(len(answers) >= 20, f"only {len(answers)} got 250")
        # Half of the cuts right behind a 250, the rest anywhere.
        places = sorted(dice.choice(answers) if n % 2 else dice.randrange(answers[0], len(log)) for n in range(rounds))
        disk, answered, number, kept = Disk(before), [], 0, 0
        for turn, place in enumerate(places):
            while number <= place:
                disk.take(number, log[number])
                if log[number].kind == "a":
                    answered.append(re.search(rb"Accepted as (\w+)", log[number].octets)[1].decode())
                number += 1
            kept = max(kept, recover(house, disk, load, sink.ids(), answered, HOW[turn % len(HOW)], directory, dice))
        files = collections.Counter(r.kind for r in log)
        main = next(r.file for r in log if r.kind in "oc" and r.octets == DB.encode())
        checkpoints = sum(1 for r in log if r.kind == "S" and r.file == main)
    sink.close()
    return f"{len(answers)} messages, {files['w']} writes, {files['S']} flushes, {checkpoints} checkpoints; up to {kept} with 250 at a cut, none lost"


def power_new(rounds):
    """A cut while the store is made leaves none or a whole one, and the command can be run again."""
    sink = Sink()
    with tempfile.TemporaryDirectory(prefix="marketrelay-lab-") as directory, House(sink.port) as house:
        twin = house.twin(pathlib.Path(directory) / "new", sink.port)
        path = pathlib.Path(directory) / "new-journal"
        command = ("store", "init")
        twin.environment = {**twin.environment, "LD_PRELOAD": str(shim(directory)), "LAB_JOURNAL": str(path), "LAB_DIRECTORY": str(twin.data)}
        twin.cli(*command)
        log = list(records(path))
        twin.environment = house.environment
        disk, made, places = Disk({}), 0, {0, len(log) - 1, *random.sample(range(len(log)), min(rounds, len(log)))}
        for number, record in enumerate(log):
            disk.take(number, record)
            if number not in places:
                continue
            how = random.choice(HOW)
            again = house.twin(pathlib.Path(directory) / f"new-{number}", sink.port)
            disk.cut(how, again.data, random)
            made += (again.data / DB).exists()
            again.cli(*command)
            again.cli("seller", "set", "s", "--name", "Shop", "--email", "s@real.test")
            with Image(again.data) as image:
                image.whole()
            again.close()
            shutil.rmtree(again.data)
        twin.close()
    sink.close()
    check(0 < made < len(places), f"{made} of {len(places)} cuts left a store")
    return f"{len(places)} cuts, {made} of them left a store; the command succeeded again on each"


def power(rounds):
    return cuts(rounds)


def power_normal(rounds):
    """The same with synchronous=NORMAL has to fail, or the case above shows nothing."""
    for _ in range(rounds):
        try:
            cuts(12, "NORMAL")
        except Failed as failed:
            check("are lost" in str(failed), f"failed for another reason: {failed}")
            return f"fails as it has to: {failed}"
    raise Failed("no message was lost with synchronous=NORMAL")
