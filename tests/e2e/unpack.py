"""Prints what is in the ZIP archive or the PDF file that is attached to the message on standard input, if all of it is whole."""
import email, email.policy, io, subprocess, sys, tempfile, zipfile
message = email.message_from_bytes(sys.stdin.buffer.read(), policy=email.policy.default)
content = next(message.iter_attachments()).get_content()
if content.startswith(b"%PDF"):
    with tempfile.NamedTemporaryFile(suffix=".pdf") as file:
        file.write(content)
        file.flush()
        # Warnings are faults, too.
        subprocess.run(["qpdf", "--check", "--no-warn", file.name], check=True, stdout=subprocess.DEVNULL)
        for options in (["pdfinfo"], ["pdfinfo", "-meta"], ["qpdf", "--qdf", "--object-streams=disable"]):
            command = options + [file.name] + (["-"] if options[0] == "qpdf" else [])
            print(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout.decode("latin-1"))
else:
    archive = zipfile.ZipFile(io.BytesIO(content))
    assert archive.testzip() is None
    for name in archive.namelist():
        print(name, archive.read(name).decode())
