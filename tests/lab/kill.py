"""kill -9 at random points under load: what got 250 is delivered or queued, the store is whole, and what goes out twice was in flight."""
import collections, random, sqlite3, time
from house import DB, House, Image, Load, Sink, check, until


def sizes():
    """Mostly small; some wait on disk while they arrive."""
    return random.choices((500, 4000, 60_000, 1_500_000), (40, 50, 8, 2))[0]


def kill(rounds):
    sink = Sink()
    acked, doubt = set(), set()
    # How often a message was on its way out when the daemon was killed: so often, at most, it may come once more.
    flights = collections.Counter()
    with House(sink.port) as house:
        for turn in range(rounds):
            house.start()
            load = Load(house, clients=8, name=f"k{turn}", size=sizes)
            time.sleep(random.uniform(0.02, 0.9))
            house.kill()
            load.stop()
            acked |= load.acked
            doubt |= load.doubt
            with Image(house.data) as image:
                image.whole()
                lost = acked - image.ids() - sink.ids()
                check(not lost, f"round {turn}: got 250, and neither delivered nor queued: {sorted(lost)[:5]}")
                flights.update(image.ids("q.leased = 1"))
        house.start()
        until(lambda: f"{len(acked - sink.ids())} of {len(acked)} messages", lambda: acked <= sink.ids())
        # What was taken without a reply goes out as well: nothing stays behind.
        until("the queue is empty", lambda: sqlite3.connect(house.data / DB).execute("SELECT count(*) FROM queue").fetchone()[0] == 0)
        house.stop()
        with sink.lock:
            got = dict(sink.got)
        differ = [mark for mark, mids in got.items() if len(set(mids)) > 1]
        check(not differ, f"copies with another Message-ID: {differ[:5]}")
        more = [mark for mark, mids in got.items() if len(mids) > 1 + flights[mark]]
        check(not more, f"sent again without having been in flight: {more[:5]}")
        made_up = set(got) - acked - doubt
        check(not made_up, f"delivered, and never sent whole: {sorted(made_up)[:5]}")
        check(len(acked) > 5 * rounds, "no load worth the name")
        with Image(house.data) as image:
            image.whole()
            check(image.value("SELECT count(*) FROM queue") == 0, "left in the queue")
    sink.close()
    twice = sum(len(mids) - 1 for mids in got.values())
    return f"{len(acked)} acknowledged, none lost; {len(doubt)} without a reply; {twice} sent twice of {sum(flights.values())} in flight"
