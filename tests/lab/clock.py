"""Clocks that jump: an hour, to 1970, beyond 2038 and 2106, and back, while mail waits for a server that says later. Nobody is told that his mail
has failed, new mail goes out at once, and in the end all of it does."""
import pathlib, struct, subprocess, time
from house import House, Sink, Smtp, check, message, until

HOUR, DAY = 3600, 86400
# What the clock shows, or how far it is off.
JUMPS = [("an hour on", HOUR), ("an hour back", -HOUR), ("1970", 5), ("2038", 2**31 + DAY), ("now", 0), ("2106", 2**32 + DAY), ("1970", 5), ("2106", 2**32 + DAY), ("now", 0)]


def send(house, mark, buyer):
    with Smtp(house.port) as smtp:
        return smtp.mail(house.aliases[buyer], message(mark))


def clock(rounds):
    sink = Sink()
    later, told = [True], []

    def reply(verb, line):
        if verb == "RCPT" and b"s@real.test" in line:
            told.append(line)
        return "451 4.3.0 later" if verb == "RCPT" and b"real1.test" in line and later[0] else None
    sink.reply = reply
    with House(sink.port, {"queue": ['retry_first = "1 s"', 'retry_longest = "2 s"']}) as house:
        offset = house.directory / "offset"
        offset.write_bytes(bytes(8))
        subprocess.run(["gcc", "-O1", "-Wall", "-shared", "-fPIC", "-o", house.directory / "clock.so", pathlib.Path(__file__).with_name("clock.c")], check=True)
        house.environment.update(LD_PRELOAD=str(house.directory / "clock.so"), LAB_CLOCK=str(offset))
        house.start()
        waiting, sent, shown = set(), 0, set()
        for turn in range(rounds):
            for again in (False, True):
                for what, value in JUMPS:
                    ahead = value if value in (0, HOUR, -HOUR) else value - int(time.time())
                    # In place: the daemon has it mapped.
                    with open(offset, "r+b") as file:
                        file.write(struct.pack("<q", ahead))
                    if again:
                        # A start with such a clock.
                        house.stop()
                        house.start()
                    sent += 1
                    check(send(house, f"ok{sent}", 0).startswith("250"), f"{what}: not accepted")
                    check(send(house, f"wait{sent}", 1).startswith("250"), f"{what}: not accepted")
                    waiting.add(f"wait{sent}")
                    until(f"{what}: new mail goes out", lambda: f"ok{sent}" in sink.ids(), 15)
                    time.sleep(0.3 if rounds == 1 else 2)
                    check(not told, f"{what}: the author was told of a failure or a delay: {len(told)}")
                    shown.update(line[14:18] for line in house.logged().splitlines() if line.startswith('{"timestamp":"'))
        check({"1970", "2106", "2038"} <= shown, f"the clock did not jump: {shown}")
        listed = house.cli("queue", "list", "--json")
        check(listed.count('"id"') >= len(waiting), "mail that waited is gone")
        later[0] = False
        until(lambda: f"{len(waiting - sink.ids())} of {len(waiting)} still wait", lambda: waiting <= sink.ids(), 40)
        house.stop()
    sink.close()
    return f"{2 * rounds * len(JUMPS)} jumps, half of them across a restart: {len(waiting)} messages waited and went out, no notice"
