"""What happens beside the daemon: another process holds the store, a backup is taken under load, files are cut short or strange."""
import os, pathlib, shutil, sqlite3, stat, tempfile, time
from house import DB, House, Image, Load, Sink, Smtp, check, message, until


def held(rounds):
    """`rounds` is for how many seconds another process holds the write lock."""
    sink = Sink()
    with House(sink.port) as house:
        house.start()
        load = Load(house, clients=4, name="held")
        until("accepted", lambda: len(load.acked) > 5)
        other = sqlite3.connect(house.data / DB, isolation_level=None)
        other.execute("PRAGMA wal_autocheckpoint=0")
        other.execute("PRAGMA busy_timeout=5000")
        other.execute("BEGIN IMMEDIATE")
        number, started = len(load.acked), time.monotonic()
        with Smtp(house.port) as smtp:
            time.sleep(0.2)
            began = time.monotonic()
            check(smtp.ask("MAIL FROM:<s@real.test>").startswith("250") and smtp.ask(f"RCPT TO:<{house.aliases[0]}>").startswith("250"), "RCPT needs no lock")
            check(time.monotonic() - began < 1, "RCPT waited for the lock")
        time.sleep(max(0, rounds - (time.monotonic() - started)))
        check(len(load.acked) <= number + 4, "got 250 while another process held the lock")
        other.execute("ROLLBACK")
        other.close()
        until("accepted again", lambda: len(load.acked) > number + 20)
        load.stop()
        until("all delivered", lambda: load.acked <= sink.ids())
        wrong = {r for r in load.refused if r and not r.startswith("451 4.3.0")}
        check(not wrong, f"{wrong}")
        house.stop()
        check(len(sink.got) == len(load.acked | (load.doubt & sink.ids())), "more was delivered than sent")
        twice = [mark for mark, mids in sink.got.items() if len(mids) > 1]
        check(not twice, f"sent twice: {twice[:3]}")
    sink.close()
    return f"{len(load.refused)} × 451 meanwhile, accepted again, nothing lost or doubled"


def backup(rounds):
    """Backups under load: each is whole, holds everything that got 250 before it began, and a daemon starts on it."""
    sink, seconds = Sink(), []
    with House(sink.port) as house:
        # Something to copy.
        db = sqlite3.connect(house.data / DB)
        db.executemany("INSERT INTO body (size, packed, raw) VALUES (?, 0, ?)", ((30_000, os.urandom(30_000)) for _ in range(2000)))
        db.commit()
        db.close()
        house.start()
        load = Load(house, clients=6, name="b")
        for turn in range(rounds):
            until("load", lambda: len(load.acked) > 30 * (turn + 1))
            before, began = set(load.acked), time.monotonic()
            copy = house.directory / f"copy-{turn}"
            house.cli("backup", str(copy))
            seconds.append(time.monotonic() - began)
            check(stat.S_IMODE(copy.stat().st_mode) == 0o600, f"others may read the copy: {oct(copy.stat().st_mode)}")
            check("exists" in house.cli("backup", str(copy), status=None), "wrote over a file")
            restored = house.directory / f"restored-{turn}"
            restored.mkdir(mode=0o700)
            shutil.move(copy, restored / DB)
            second = Sink()
            twin = house.twin(restored, second.port)
            with Image(restored) as image:
                image.whole()
                has = {row[0].removeprefix("lab ") for row in image.db.execute("SELECT subject FROM message")}
                check(before <= has, f"{len(before - has)} with 250 are not in the backup")
                check(image.value("SELECT count(*) FROM body WHERE size = 30000") == 2000, "bodies are missing")
                queued = image.ids()
            check(queued | sink.ids() >= before, "neither delivered nor in the queue of the backup")
            twin.start()
            until("the copy's queue goes out", lambda: queued <= second.ids())
            twin.stop()
            twin.close()
            second.close()
            shutil.rmtree(restored)
        last = house.directory / "last"
        house.cli("backup", str(last))
        until("a log", lambda: (house.data / f"{DB}-wal").stat().st_size > 0)
        load.stop()
        until("all delivered", lambda: load.acked <= sink.ids())
        # After a crash, put over what was there: the log of that other store must not be played into it.
        house.kill()
        shutil.copy(last, house.data / DB)
        house.spawn()
        status = house.process.wait(20)
        check(status == 1 and "log beside it" in house.logged() and last.read_bytes() == (house.data / DB).read_bytes(), f"{status}: {house.logged()}")
        for more in ("-wal", "-shm"):
            (house.data / (DB + more)).unlink()
        house.start()
        house.stop()
        with Image(house.data) as image:
            image.whole()
    sink.close()
    return f"{max(seconds):.1f} s at most for {rounds} backups of 60 MiB under load, each whole and restored"


def cut(size):
    return lambda path: os.truncate(path, size if size >= 0 else path.stat().st_size + size)


def other_database(path):
    path.unlink()
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE theirs (x)")
    db.close()


def newer(path):
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version = 999")
    db.commit()
    db.close()


# What is done to the database of a stopped daemon.
STRANGE = {
    "empty": cut(0), "50 octets": cut(50), "one page": cut(8192), "its last octet gone": cut(-1), "its half gone": lambda p: os.truncate(p, p.stat().st_size // 2),
    "text": lambda p: p.write_text("Dear Sir or Madam,\n" * 5000), "zeros": lambda p: p.write_bytes(bytes(100_000)), "another program's": other_database,
    "a newer version's": newer, "gone": lambda p: p.unlink(), "a directory": lambda p: (p.unlink(), p.mkdir()), "unreadable octets": lambda p: p.write_bytes(os.urandom(100_000)),
}


def strange(_rounds):
    """A database that is cut short or not ours: the daemon does not start, says why, and leaves it as it is."""
    sink = Sink()
    with House(sink.port) as house:
        house.start()
        house.stop()
        # With pages in the log the file's length tells nothing: they are moved, and the log goes.
        closing = sqlite3.connect(house.data / DB)
        closing.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        closing.close()
        kept = house.directory / "kept"
        shutil.copytree(house.data, kept)
        for what, change in STRANGE.items():
            shutil.rmtree(house.data)
            shutil.copytree(kept, house.data)
            path = house.data / DB
            change(path)
            before = path.read_bytes() if path.is_file() else None
            for command in ("serve", "seller"):
                if command == "serve":
                    house.spawn()
                    status, said = house.process.wait(20), house.logged()
                else:
                    said = house.cli("seller", "set", "x", "--email", "x@real.test", status=1) or house.cli("seller", "list", status=None)
                    status = 1
                check(status == 1, f"{what}: exit status {status}: {said}")
                check("marketrelay: " in said and "panick" not in said and str(house.data) in said, f"{what}: said {said}")
            after = path.read_bytes() if path.is_file() else None
            check(before == after, f"{what}: the file was changed")
    sink.close()
    return f"{len(STRANGE)} kinds, none started, none changed"
