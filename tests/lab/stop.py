"""SIGTERM in every phase of a session, and restarts behind a socket that stays open."""
import os, signal, socket, threading, time
from house import HOST, SELLER, House, Load, Sink, Smtp, check, message, until


def begin(smtp, house, mark, phase):
    """Brings a session into a phase; what is left to send so that its message is whole, if one is open."""
    left = message(mark) + b".\r\n"
    if phase == "connect":
        return None
    smtp.ask("EHLO client.test")
    commands = {"EHLO": 0, "MAIL": 1, "RCPT": 2, "DATA": 3, "half": 3, "all but the dot": 3, "after the dot": 3}[phase]
    every = [f"MAIL FROM:<{SELLER}>", f"RCPT TO:<{house.aliases[0]}>", "DATA"]
    if not commands:
        return None
    for command in every[:commands]:
        check(smtp.ask(command)[0] in "23", command)
    for command in reversed(every[commands:]):
        left = command.encode() + b"\r\n" + left
    sent = {"half": len(left) // 2, "all but the dot": len(left) - 3, "after the dot": len(left)}.get(phase, 0)
    smtp.send(left[:sent])
    return left[sent:]


PHASES = ["connect", "EHLO", "MAIL", "RCPT", "DATA", "half", "all but the dot", "after the dot"]


def phases(rounds):
    """A stop lets open transactions end, tells the others 421, and ends soon with status 0; what got 250 is delivered."""
    sink, accepted, slowest = Sink(), set(), 0.0
    with House(sink.port) as house:
        for turn in range(rounds):
            for together in ([phase] for phase in PHASES + [None]):
                phases_now = PHASES if together == [None] else together
                house.start()
                open_now = []
                for phase in phases_now:
                    smtp = Smtp(house.port, hello=False)
                    mark = f"t{turn}-{len(accepted)}-{phase.replace(' ', '_')}-{together[0] is None}"
                    open_now.append((smtp, phase, mark, begin(smtp, house, mark, phase)))
                os.kill(house.process.pid, signal.SIGTERM)
                began = time.monotonic()
                until("the stop begins", lambda: "stopping" in house.logged())
                for smtp, phase, mark, left in open_now:
                    if left is None:
                        check(smtp.line().startswith("421 4.3.2"), f"{phase}: not told of the stop")
                        check(smtp.lines.read() == b"", f"{phase}: not closed")
                        smtp.close()
                        continue
                    smtp.send(left)
                    heard = []
                    while line := smtp.line():
                        heard.append(line)
                    check(any(r.startswith("250 2.6.0") for r in heard), f"{phase}: an open transaction was cut: {heard}")
                    check(heard[-1].startswith("421 4.3.2"), f"{phase}: not told of the stop: {heard}")
                    accepted.add(mark)
                    smtp.close()
                check(house.process.wait(20) == 0, f"exit status {house.process.returncode}")
                slowest = max(slowest, time.monotonic() - began)
        house.start()
        until("all delivered", lambda: accepted <= sink.ids())
        house.stop()
    sink.close()
    return f"{rounds * 9} stops: {len(accepted)} open transactions ended well and were delivered; {slowest:.1f} s at most"


def restarts(rounds):
    """Restarts under load behind a socket that somebody else holds, as systemd does: every connection is greeted."""
    sink = Sink()
    listener = socket.create_server((HOST, 0), backlog=1024)
    port = listener.getsockname()[1]
    lost, greeted = [], [0]
    with House(sink.port, {"listener": [f'address = "{HOST}:{port}"']}) as house:
        def hand_over():
            os.dup2(listener.fileno(), 3)
            os.set_inheritable(3, True)
        wrapper = ["sh", "-c", 'LISTEN_FDS=1 LISTEN_PID=$$ exec "$@"', "sh"]
        handed = dict(wrapper=wrapper, preexec_fn=hand_over, close_fds=False)
        house.start(**handed)
        ended = threading.Event()

        def knock():
            while not ended.is_set():
                try:
                    with Smtp(port, timeout=30, hello=False) as smtp:
                        if not smtp.banner.startswith("220"):
                            lost.append(smtp.banner or "closed without a word")
                        greeted[0] += 1
                        smtp.send(b"QUIT\r\n")
                        smtp.line()
                except OSError as error:
                    lost.append(str(error))
                ended.wait(0.002)
        knockers = [threading.Thread(target=knock, daemon=True) for _ in range(4)]
        load = Load(house, clients=4, name="r", per_connection=3)
        for thread in knockers:
            thread.start()
        for _ in range(rounds):
            number = len(load.acked)
            until("load", lambda: len(load.acked) > number + 10)
            house.stop()
            house.start(**handed)
        ended.set()
        for thread in knockers:
            thread.join(40)
        load.stop()
        until("all delivered", lambda: load.acked <= sink.ids())
        house.stop()
        check(not load.doubt, f"a message without a reply: {load.doubt}")
    listener.close()
    sink.close()
    check(not lost, f"{len(lost)} of {greeted[0]} connections were not served: {set(lost)}")
    return f"{rounds} restarts, {greeted[0]} connections besides the load, each greeted; {len(load.acked)} messages accepted and delivered"
