"""Packs the files of attachments.rs into the directory that is given."""
import io, os, subprocess, sys, tarfile, zipfile
os.chdir(sys.argv[1])
pe = b"MZ\x90\0" + bytes(56) + b"\x80\0\0\0" + bytes(64) + b"PE\0\0" + bytes(300)
def zipped(name, files, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(name, "w", method) as z:
        for file, data in files.items():
            z.writestr(file, data)
    return open(name, "rb").read()
def tarred(name, mode, files, form=tarfile.PAX_FORMAT):
    with tarfile.open(name, mode, format=form) as t:
        for file, data in files.items():
            info = tarfile.TarInfo(file); info.size = len(data)
            t.addfile(info, io.BytesIO(data))
word = {"[Content_Types].xml": "<Types/>", "word/document.xml": "<w:document/>"}
inner = zipped("inner.zip", {"a/setup.scr": "x"})
zipped("named.zip", {"readme.txt": "hello", "pics/setup.EXE ": "x"})
zipped("renamed.zip", {"holiday.jpg": pe})
zipped("nested.zip", {"docs/inner.zip": inner})
zipped("stored.zip", {"docs/inner.zip": inner}, zipfile.ZIP_STORED)
zipped("macros.docx", word | {"word/vbaProject.bin": "x"})
tarred("long.tar", "w", {"x/" * 70 + "setup.vbs": b"x"}, tarfile.GNU_FORMAT)
tarred("pax.tgz", "w:gz", {"\u6ce8\u6587/" * 60 + "setup.vbs": b"x"})
tarred("renamed.tar", "w", {"photo.jpg": pe})
open("holiday.jpg", "wb").write(pe)
open("script.txt", "w").write("#!/bin/sh\nrm -rf ~\n")
open("locked.txt", "w").write("x" * 100)
subprocess.run(["zip", "-q", "-P", "secret", "locked.zip", "locked.txt"], check=True)
zipped("good.zip", {"order.pdf": b"%PDF-1.4", "list.csv": "a,b"})
zipped("good.docx", word)
tarred("good.tar.gz", "w:gz", {"order.txt": b"hello"})
zipped("authors.docx", word | {
    "docProps/core.xml": "<cp:coreProperties><dc:creator>Secret</dc:creator></cp:coreProperties>",
    "word/document.xml": '<w:document><w:ins w:author="Secret"><w:t>hello</w:t></w:ins></w:document>' + "<!-- long -->" * 20000,
    "word/comments.xml": '<w:comment w:author="Secret Two" w:initials="Secret"/>'})
open("old.rtf", "w").write("{\\rtf1{\\info{\\author Secret}}hello}")
open("good.7z", "wb").write(b"7z\xbc\xaf\x27\x1c\0\x04" + bytes(100))
def pdf(name, *options):
    objects = ["<</Type/Catalog/Pages 2 0 R/Metadata 5 0 R>>", "<</Type/Pages/Kids[3 0 R]/Count 1>>", "<</Type/Page/Parent 2 0 R/MediaBox[0 0 100 100]>>",
               "<</Title(Offer)/Author(Secret Name)/Creator(Secret Writer 9.1)/Producer(Secret Maker 3)/CreationDate(D:20261121083751+09'00')/ModDate(D:20261121083751+09'00')>>"]
    xmp = "<x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'><rdf:Description xmlns:dc='http://purl.org/dc/elements/1.1/'><dc:creator>Secret</dc:creator></rdf:Description></rdf:RDF></x:xmpmeta>"
    objects.append("<</Type/Metadata/Subtype/XML/Length %d>>stream\n%s\nendstream" % (len(xmp), xmp))
    out, places = "%PDF-1.5\n", []
    for number, text in enumerate(objects, 1):
        places.append(len(out))
        out += "%d 0 obj\n%s\nendobj\n" % (number, text)
    at = len(out)
    out += "xref\n0 6\n0000000000 65535 f \n" + "".join("%010d 00000 n \n" % place for place in places)
    out += "trailer\n<</Size 6/Root 1 0 R/Info 4 0 R>>\nstartxref\n%d\n%%%%EOF\n" % at
    open("made.pdf", "w").write(out)
    subprocess.run(["qpdf", "made.pdf", *options, name], check=True)
pdf("plain.pdf")
pdf("streams.pdf", "--object-streams=generate", "--compress-streams=y")
pdf("linear.pdf", "--linearize", "--object-streams=generate")
pdf("locked.pdf", "--encrypt", "", "owner", "256", "--")
