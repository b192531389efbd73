"""Load and abuse: thousands of connections and no descriptors left, clients that do not read or hardly write, alias guessing."""
import os, random, resource, socket, statistics, string, subprocess, time
from house import HOST, SELLER, House, Load, Sink, Smtp, check, message, until


def memory(house):
    """MiB that the daemon has to itself."""
    for line in open(f"/proc/{house.process.pid}/smaps_rollup"):
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024


def connections(rounds):
    """So many connections at once, while others send; then too few descriptors for them: accept fails, and all goes on by itself."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    sink = Sink()
    with House(sink.port, {"limits": [f"connections_per_client = {rounds + 100}"]}) as house:
        house.start()
        before, kept = memory(house), []
        for n in range(rounds):
            # Loopback has many addresses; one cannot have so many connections to a port.
            s = socket.socket()
            s.bind((f"127.0.{1 + n // 250}.{1 + n % 250}", 0))
            s.connect((HOST, house.port))
            kept.append(s)
        for s in kept:
            s.settimeout(60)
            check(s.recv(256).startswith(b"220"), "not greeted")
            s.sendall(b"EHLO c.test\r\n")
        for s in kept:
            check(b"SIZE" in s.recv(1024), "no answer to EHLO")
        after = memory(house)
        load = Load(house, clients=4, name="c")
        until("mail goes through between them", lambda: len(load.acked & sink.ids()) > 20)
        load.stop()
        # What is open now is all that there may be.
        files = len(os.listdir(f"/proc/{house.process.pid}/fd"))
        subprocess.run(["prlimit", "--pid", str(house.process.pid), f"--nofile={files}:{hard}"], check=True)
        waiting = [socket.create_connection((HOST, house.port), timeout=60) for _ in range(20)]
        until("accept fails", lambda: "accept failed" in house.logged(), 20)
        check(house.process.poll() is None, "the daemon ended")
        noisy = house.logged().count("accept failed")
        for s in kept[:60]:
            s.close()
        for s in waiting:
            check(s.recv(256).startswith(b"220"), "not greeted after descriptors were free again")
        check(house.logged().count("accept failed") < noisy + 100, "the log is flooded")
        with Smtp(house.port) as smtp:
            check(smtp.mail(house.aliases[0], message("after")).startswith("250"), "not accepted afterwards")
        until("delivered", lambda: "after" in sink.ids())
        for s in kept + waiting:
            s.close()
        house.stop()
    sink.close()
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    each = (after - before) * 1024 / rounds
    check(after < 60 or each < 16, f"{after:.0f} MiB for {rounds} connections")
    return f"{rounds} connections: {before:.0f} MiB before, {after:.0f} MiB with them; out of descriptors: waits, serves, accepts again"


def slow(rounds):
    """Clients that never read a reply, that write an octet at a time, that stop in the middle: memory stays, the others are served."""
    sink = Sink()
    with House(sink.port, {"limits": ["connections_per_client = 10000", 'idle = "3 s"', 'memory = "64 MiB"']}) as house:
        house.start()
        with Smtp(house.port) as smtp:
            check(smtp.mail(house.aliases[0], message("warm", 1_000_000)).startswith("250"), "not accepted")
        until("delivered", lambda: "warm" in sink.ids())
        before, deaf, slack = memory(house), [], []
        for _ in range(rounds):
            s = socket.socket()
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            s.connect((HOST, house.port))
            s.setblocking(False)
            deaf.append([s, 0])
            half = Smtp(house.port)
            for command in (f"MAIL FROM:<{SELLER}>", f"RCPT TO:<{house.aliases[0]}>", "DATA"):
                half.ask(command)
            half.send(message("half", 900_000))
            slack.append(half)
        words, peak, began = b"EHLO " + b"x" * 60 + b"\r\n", 0.0, time.monotonic()
        words *= 100
        gone = 0
        trickle = random.sample(slack, min(5, len(slack)))
        while time.monotonic() - began < 8:
            for pair in deaf:
                try:
                    # It goes on in the middle of a line, if the last one did not go out whole.
                    pair[1] += pair[0].send(words[pair[1] % len(words):])
                except BlockingIOError:
                    pass
                except OSError:
                    gone += pair[1] >= 0
                    pair[1] = -1
            for half in trickle:
                try:
                    half.send(b"x")
                except OSError:
                    pass
            peak = max(peak, memory(house))
            time.sleep(0.05)
        load = Load(house, clients=2, name="s")
        until("others are served", lambda: len(load.acked & sink.ids()) > 10)
        load.stop()
        check(gone >= rounds, f"only {gone} of {rounds} that never read were cut off")
        check(peak - before < 64 + rounds * 0.3, f"{before:.0f} MiB grew to {peak:.0f}")
        for pair in deaf:
            pair[0].close()
        for half in slack:
            half.close()
        house.stop()
    sink.close()
    return f"{rounds} that never read and {rounds} that stop in DATA: {before:.0f} MiB before, {peak:.0f} at most; cut off, the others served"


def guessing(rounds):
    """Random recipients and known ones, in turn: the same time, one text for all that are unknown, and 421 before long."""
    letters = string.ascii_lowercase + string.digits
    sink, texts, known, unknown, cut = Sink(), set(), [], [], 0
    with House(sink.port) as house:
        house.start()
        left = rounds
        while left > 0:
            with Smtp(house.port) as smtp:
                smtp.ask(f"MAIL FROM:<{SELLER}>")
                for n in range(200):
                    for alias, times in ((random.choice(house.aliases), known), ("".join(random.choices(letters, k=24)) + "@alias.test", unknown)):
                        began = time.perf_counter()
                        reply = smtp.ask(f"RCPT TO:<{alias}>")
                        took = time.perf_counter() - began
                        if times is unknown:
                            texts.add(reply)
                            left -= 1
                        # Replies that wait for a second are the defence, not the answer's own time.
                        if took < 0.5:
                            times.append(took)
                    if not reply or reply.startswith("421") or n >= 9:
                        break
                # The rest of the way to 421, once in a while: each reply waits a second there.
                if not cut:
                    while reply and not reply.startswith("421"):
                        reply = smtp.ask("RCPT TO:<nobody@alias.test>")
                        texts.add(reply)
                    cut += reply.startswith("421")
        house.stop()
    sink.close()
    check(cut, "never cut off")
    refusals = {t for t in texts if t and not t.startswith("421")}
    check(len(refusals) == 1, f"different texts: {refusals}")
    a, b = statistics.median(known) * 1e6, statistics.median(unknown) * 1e6
    check(abs(a - b) <= 0.2 * max(a, b), f"known {a:.0f} µs, unknown {b:.0f} µs")
    return f"{len(unknown)} unknown: median {b:.0f} µs, known {a:.0f} µs; «{refusals.pop()}», then 421"
