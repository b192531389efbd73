"""Prints the members of the ZIP archive that is attached to the message on standard input, if all of it is whole."""
import email, email.policy, io, sys, zipfile
message = email.message_from_bytes(sys.stdin.buffer.read(), policy=email.policy.default)
archive = zipfile.ZipFile(io.BytesIO(next(message.iter_attachments()).get_content()))
assert archive.testzip() is None
for name in archive.namelist():
    print(name, archive.read(name).decode())
