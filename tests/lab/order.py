"""The order of the system calls, by strace: for each 250 of a message, and before any of it leaves, a flush of the log that began after the last
write of the message's row had returned. At an idle relay the envelope alone may go ahead."""
import pathlib, re, tempfile, time
from house import DB, Failed, House, Load, Sink, Smtp, check, message, until

ALONE = [f"order-99-{number}" for number in range(5)]
CALL = re.compile(r"^(\d+) +(?:<\.\.\. (\w+) resumed>|(\w+)\()")


def calls(path):
    """Each system call as (name, line it began, line it ended, text), by the order in which strace saw them begin and end."""
    open_calls, done = {}, []
    for number, line in enumerate(open(path, errors="replace")):
        found = CALL.match(line)
        if not found:
            continue
        thread, resumed, name = found.groups()
        if resumed:
            began, text = open_calls.pop(thread, (None, ""))
            if began is not None:
                done.append((resumed, began, number, text + line))
        elif "<unfinished ...>" in line:
            open_calls[thread] = (number, line)
        else:
            done.append((name, number, number, line))
    return sorted(done, key=lambda call: call[1])


def order(rounds):
    """`rounds` is seconds of load. With synchronous=NORMAL the check has to fail."""
    said = traced(rounds, "FULL")
    try:
        traced(1, "NORMAL")
    except Failed as failed:
        check("and no flush" in str(failed), f"NORMAL failed for another reason: {failed}")
        return said + "; with NORMAL it fails, as it has to"
    raise Failed("passed with synchronous=NORMAL, which only a debug binary can be told to use")


def traced(rounds, synchronous):
    sink = Sink()
    with tempfile.TemporaryDirectory(prefix="marketrelay-lab-") as directory, House(sink.port) as house:
        path = pathlib.Path(directory) / "trace"
        names = "openat,write,pwrite64,sendto,sendmsg,writev,fsync,fdatasync"
        house.environment["MARKETRELAY_LAB_SYNCHRONOUS"] = synchronous
        # Whole pages, so that the message's subject is seen where its row is written.
        house.start(wrapper=["strace", "-f", "--seccomp-bpf", "-y", "-s", "9000", "-e", f"trace={names}", "-e", "signal=none", "-o", str(path)])
        load = Load(house, clients=6, name="order")
        time.sleep(rounds)
        load.stop()
        # One at a time, with a pause: then the envelope goes out ahead of the commit.
        for mark in ALONE:
            time.sleep(0.05)
            with Smtp(house.port) as client:
                load.ids[client.mail(house.aliases[0], message(mark)).split()[-1]] = mark
            until(f"{mark} at the sink", lambda: mark in sink.ids())
        house.kill_inner()
        seen = calls(path)
    sink.close()
    log = [c for c in seen if f"{DB}-wal>" in c[3]]
    flushes = [c for c in log if c[0] in ("fsync", "fdatasync") and c[3].rstrip().endswith("= 0")]
    writes = {}
    for name, began, ended, text in log:
        if name in ("pwrite64", "write"):
            for mark in re.findall(r"lab (order-\d+-\d+)(?!\d)", text):
                writes.setdefault(mark, (began, ended))
    replies = left = ahead = last = 0
    envelope, alone = 0, set(ALONE)    # the line where the last envelope went out
    for name, began, ended, text in seen:
        if name not in ("sendto", "write", "sendmsg", "writev"):
            continue
        if '"MAIL FROM:<bounce' in text:
            envelope = began
        reply = re.search(r'"250 2\.6\.0 Accepted as (\w+)', text)
        delivery = re.search(r"Subject: lab (order-\d+-\d+)", text)
        what = "250" if reply else "delivered"
        mark = load.ids.get(reply[1]) if reply else delivery and delivery[1]
        replies, left = replies + bool(reply), left + bool(delivery)
        if not mark:
            continue
        check(mark in writes, f"{mark}: its row was not seen written before it was {what}")
        written = writes[mark]
        check(written[1] < began, f"{mark}: {what} before its row was written")
        flush = [f for f in flushes if f[1] > written[1] and f[2] < began]
        check(flush, f"{mark}: {what} at line {began}, and no flush since its row was written at line {written[1]}")
        # The first that is seen of a message sent alone: its reply, or the message itself.
        if mark in alone:
            alone.remove(mark)
            ahead += last < envelope < min(f[2] for f in flush)
        last = began
    check(replies >= 5 and left >= 5 and flushes, f"only {replies} replies, {left} deliveries and {len(flushes)} flushes were seen")
    check(ahead or synchronous == "NORMAL", "no envelope went ahead of its commit")
    return f"{replies} replies and {left} deliveries, each behind the flush of its row; {len(flushes)} flushes, {ahead} of {len(ALONE)} envelopes ahead"
