"""Messages in messages, and mail that comes back. Judged on the octets that leave: whoever reads them, strictly or not, must find one message."""
import collections, concurrent.futures, itertools, re, socket, time
from house import SELLER, House, Sink, Smtp, check, message, until

# What stands before and behind the dot. The pair of two CRLF is the true end, and the control of this case.
LINE_ENDS = [b"\r\n", b"\n", b"\r", b"", b"\r\r\n", b"\r\n\r", b"\n\r\n", b"\r\n\n", b"\n\r", b"\0\r\n", b"\r\0\n", b"\r\n\0", b" \r\n", b"\r\n ", b"\r\n.", b".\r\n", b"\x85", b"\xe2\x80\xa8"]
# Encoded line ends and dots: nothing of them may be let loose by decoding.
ENCODED = [
    (b"Content-Transfer-Encoding: quoted-printable", b"x=0D=0A.=0D=0AMAIL FROM:<s@real.test>=0D=0A"), (b"Content-Transfer-Encoding: quoted-printable", b"x=0A.=0AQUIT=0A"),
    (b"Content-Transfer-Encoding: quoted-printable", b"x=0D.=0DQUIT=0D"), (b"Content-Transfer-Encoding: quoted-printable", b".=\r\n\r\n=\r\n..\r\n=2E\r\n=2E=\r\n"),
    (b"Content-Transfer-Encoding: base64", b"eAouClFVSVQKDQoNLg0NCi4NCngNCi4NCg=="), (b"Content-Transfer-Encoding: 8bit", b"x\xe2\x80\xa8.\xe2\x80\xa9\xc2\x85.\xc2\x85y"),
    (b"X: y\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable", b"<p>x=0A.=0AQUIT</p>=0A<pre>=0D.=0D</pre>"),
    (b"Content-Type: text/plain; charset=utf-16be\r\nContent-Transfer-Encoding: base64", b"AHgACgAuAAoAUQBVAEkAVAAKAA0ALgANAA0ACgAuAA0ACg=="),
    (b"Subject: =?utf-8?Q?x=0D=0A.=0D=0AMAIL?=\r\nX: y", b"y"), (b"Content-Disposition: attachment; filename*=utf-8''x%0D%0A.%0D%0Ay", b"y"),
]


def variants():
    """Each as (octets up to the dot's surroundings, those, what follows): a message that would like to be two."""
    for place in ("body", "header"):
        for before, behind in itertools.product(LINE_ENDS, LINE_ENDS):
            start = b"From: <s@real.test>\r\nSubject: lab\r\nX-Lab: y" + (b"\r\n\r\nx" if place == "body" else b"")
            second = b"MAIL FROM:<s@real.test>\r\nRCPT TO:<%s>\r\nDATA\r\nFrom: s@real.test\r\nSubject: second\r\n\r\nx\r\n.\r\n"
            yield start, before + b"." + behind, second


def one(port, aliases, start, dot, rest, at):
    """Sends one, cut in two at an octet or whole; the replies after DATA, until the other side has nothing more to say."""
    with Smtp(port) as smtp:
        for command in (f"MAIL FROM:<{SELLER}>", f"RCPT TO:<{aliases[0]}>", "DATA"):
            reply = smtp.ask(command)
            check(reply[:1] in ("2", "3"), f"{command}: {reply}")
        octets = start + dot + rest + b"QUIT\r\n.\r\nQUIT\r\n"
        smtp.socket.settimeout(10)
        replies = []
        try:
            if at is None:
                smtp.send(octets)
            else:
                smtp.send(octets[:len(start) + at])
                # So that the other side reads the two parts one by one.
                time.sleep(0.0015)
                smtp.send(octets[len(start) + at:])
            smtp.socket.shutdown(socket.SHUT_WR)
            while line := smtp.line():
                replies.append(line)
        except OSError:
            pass
        return replies


def clean(raw):
    """What no server, however lax, takes for an end of the message or of a line that is none."""
    check(b"\0" not in raw, "NUL leaves")
    check(not re.search(rb"\r(?!\n)|(?<!\r)\n", raw), f"a bare CR or LF leaves: {raw[-200:]}")
    lone = re.search(rb"(?m)^\.(?!\.)", raw.replace(b"\r\n", b"\n"))
    check(not lone, f"a lone dot leaves: {raw[-200:]}")


def smuggle(rounds):
    """`rounds`: 1 cuts each stream at every octet around the dot, more at every so many."""
    sink = Sink(keep=True)
    taken = refused = 0
    with House(sink.port, {"limits": ["connections_per_client = 10000", "errors_hard = 100"]}) as house:
        house.start()
        work = []
        for start, dot, second in variants():
            second %= house.aliases[1].encode()
            work += [(start, dot, second, at) for at in (None, *range(-1, len(dot) + 2, rounds))]
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda item: one(house.port, house.aliases, *item), work))
        for (start, dot, _, at), replies in zip(work, answers):
            positive = sum(r.startswith("250 2.6.0") for r in replies)
            what = f"{start[-5:]!r} {dot!r} cut at {at}: {replies}"
            # The control: behind a true end the second message is one, so that it would be seen behind any other, too.
            check(positive == 2 if dot == b"\r\n.\r\n" else positive <= 2 if b"\r\n.\r\n" in dot else positive <= 1, f"{positive} messages: {what}")
            check(positive or any(r[:1] in "45" for r in replies), f"no answer: {what}")
            taken += positive
            refused += any(r.startswith("521 5.5.2") for r in replies)
        for header, body in ENCODED:
            with Smtp(house.port) as smtp:
                taken += smtp.mail(house.aliases[0], b"From: <s@real.test>\r\nMIME-Version: 1.0\r\n" + header + b"\r\n\r\n" + body + b"\r\n").startswith("250")
        until(lambda: f"{sink.count} of {taken} to leave", lambda: sink.count >= taken)
        house.stop()
        check(sink.count == taken, f"{taken} were taken, and {sink.count} left")
        for octets in sink.raw:
            clean(octets)
    sink.close()
    return f"{len(work)} streams, {refused} refused; {taken} messages taken and as many left, all clean"


def loop(rounds):
    """A server behind the relay that sends everything back: to where it came from, as whoever, with and without what was put on top."""
    sink = Sink(keep=True)
    heard = collections.Counter()
    with House(sink.port) as house:
        house.start()
        for n in range(rounds):
            with Smtp(house.port) as smtp:
                check(smtp.mail(house.aliases[0], message(f"loop{n}")).startswith("250"), "not accepted")
        until("delivered", lambda: sink.count == rounds)
        for octets in list(sink.raw):
            sender = re.search(rb"(?im)^from:[^\r]*?([^<\s]+@[^>\s]+)", octets.replace(b"\r\n ", b" "))[1].decode()
            for back in ("b0@real0.test", SELLER, "", sender):
                for to in (house.aliases[0], sender):
                    for more in (b"", b"Received: from x by y; Sat, 21 Nov 2026 00:00:00 +0000\r\n" * 3, b"Resent-From: b0@real0.test\r\nX-Forwarded-To: x@y.test\r\n"):
                        with Smtp(house.port) as smtp:
                            heard[smtp.mail(to, more + octets, sender=back)[:9]] += 1
        check(not any(reply.startswith("250") for reply in heard), f"taken again: {heard}")
        check(heard["554 5.4.6"], f"never called a loop: {heard}")
        house.stop()
        check(sink.count == rounds, f"{sink.count} left of {rounds}")
    sink.close()
    return f"{rounds} messages sent back in 24 ways each: " + ", ".join(f"{number} × {reply}" for reply, number in heard.items())
