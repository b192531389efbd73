"""dkimpy verifies every signature of each message: verify.py FOLDER RECORDS. RECORDS: a line `name<TAB>record` for each key. Prints what does not verify."""

import pathlib, sys
import dkim

zone = dict(line.split("\t", 1) for line in pathlib.Path(sys.argv[2]).read_text().splitlines())
for path in sorted(pathlib.Path(sys.argv[1]).glob("*.signed")):
    message = dkim.DKIM(path.read_bytes())
    count = sum(name.lower() == b"dkim-signature" for name, _ in message.headers)
    for n in range(max(count, len(zone))):
        try:
            good = message.verify(n, dnsfunc=lambda name, timeout=5: zone.get(name.decode().rstrip("."), "").encode())
        except Exception as error:
            good = error
        if good is not True:
            print(path.name, n, good)
