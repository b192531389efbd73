"""Files that tell of those who made them, and a look at what became of them; by the programs of others (exiftool, Pillow, qpdf, poppler, ffmpeg, heif-convert,
python-docx, openpyxl, odfpy), nothing of ours.

traces.py make FOLDER            writes files full of traces
traces.py text FILE OUT          writes messages that hold the file in their text: OUT/NAME.uu, OUT/NAME.yenc
traces.py file MESSAGE OUT       writes the file that is uuencoded in the message's text
traces.py check BEFORE AFTER     prints what is left of the traces, and what is no longer the same
"""

import binascii, email, email.policy, io, json, pathlib, subprocess, sys, zipfile
import docx, docx.opc.constants, docx.opc.packuri, docx.opc.part, odf.dc, odf.meta, odf.office, odf.opendocument, odf.text, openpyxl, openpyxl.comments
from PIL import Image, ImageChops

SECRET = "Secret Photographer"
# The tags that exiftool writes; what it cannot write into a kind of file it leaves.
TAGS = [f"-{tag}={SECRET}" for tag in ("EXIF:Artist", "EXIF:Copyright", "EXIF:Model", "EXIF:Software", "XMP:Creator", "XMP:CreatorTool", "IPTC:By-line", "PDF:Author",
        "PDF:Creator", "XMP-pdf:Producer", "PNG:Author", "PNG:Comment", "GIF:Comment", "File:Comment", "EXIF:UserComment", "EXIF:ImageDescription")]
PLACE = ["-EXIF:GPSLatitude=35.68", "-EXIF:GPSLatitudeRef=N", "-EXIF:GPSLongitude=139.76", "-EXIF:GPSLongitudeRef=E", "-EXIF:DateTimeOriginal=2026:11:21 09:00:00", "-EXIF:SerialNumber=SN12345",
         "-XMP:GPSLatitude=35.68"]
PICTURES = {"a.jpg": "JPEG", "b.png": "PNG", "c.webp": "WEBP", "d.tif": "TIFF", "e.gif": "GIF"}


def run(*command):
    return subprocess.run(command, capture_output=True, encoding="latin-1")


def make(folder):
    picture = Image.new("RGB", (64, 48))
    picture.putdata([(x * 4 % 256, y * 5 % 256, (x * y) % 256) for y in range(48) for x in range(64)])
    for name, kind in PICTURES.items():
        more = {"comment": SECRET.encode()} if kind == "GIF" else {"lossless": True} if kind == "WEBP" else {}
        picture.save(folder / name, kind, **more)
    frames = [picture.rotate(90 * n).convert("P") for n in range(3)]
    frames[0].save(folder / "f.gif", "GIF", save_all=True, append_images=frames[1:], comment=SECRET.encode(), duration=[10, 20, 30])
    picture.save(folder / "g.jpg", "JPEG", progressive=True, comment=SECRET.encode())
    picture.convert("L").save(folder / "h.tif", "TIFF", compression="tiff_lzw")
    picture.save(folder / "i.pdf", "PDF", author=SECRET, title="Offer", creator=SECRET, producer=SECRET)
    picture.save(folder / "j.png", "PNG")
    made = run("heif-enc", str(folder / "j.png"), "-o", str(folder / "k.heic"))
    assert made.returncode == 0, made.stderr
    for path in sorted(folder.iterdir()):
        turned = ["-n", "-EXIF:Orientation=6"] if path.suffix in (".jpg", ".webp", ".tif") else []
        said = run("exiftool", "-m", "-overwrite_original", *TAGS, *PLACE, *turned, str(path))
        assert "1 image files updated" in said.stdout, said
    # In a document each picture keeps what its camera wrote.
    photo = (folder / "a.jpg").read_bytes()
    for name, options in (("p.pdf", []), ("q.pdf", ["--object-streams=generate", "--compress-streams=y"]), ("r.pdf", ["--linearize", "--object-streams=generate"])):
        reviewed(folder / name, photo, options)
    videos(folder)
    office(folder, photo)
    written(folder, photo)


def reviewed(path, photo, options):
    """A document with a picture and remarks of several people: in the page's list and in objects of their own, names as text, in hexadecimal and elsewhere."""
    utf16 = "\ufeff" + SECRET
    stream = lambda dictionary, data: b"<<%s/Length %d>>stream\n%s\nendstream" % (dictionary, len(data), data)
    note = "<</Type/Annot/Subtype/%s/Rect[5 5 25 25]/Contents(The remark)/T%s/M(D:20261121173751+09'00')/CreationDate(D:20261121173751+09'00')%s>>"
    objects = [b"<</Type/Catalog/Pages 2 0 R/AcroForm<</Fields[8 0 R]>>>>", b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
               ("<</Type/Page/Parent 2 0 R/MediaBox[0 0 100 100]/Contents 4 0 R/Resources<</XObject<</P 5 0 R>>>>/Annots[6 0 R 7 0 R 8 0 R %s]>>"
                % (note % ("Square", "(%s)" % SECRET, "/C[1 0 0]"))).encode(),
               stream(b"", b"q 60 0 0 60 20 20 cm /P Do Q"),
               stream(b"/Type/XObject/Subtype/Image/Width 64/Height 48/ColorSpace/DeviceRGB/BitsPerComponent 8/Filter/DCTDecode", photo),
               (note % ("Text", "<%s>" % utf16.encode("utf-16-be").hex(), "/Name/Comment/Popup 9 0 R")).encode(), (note % ("Highlight", " 10 0 R", "/QuadPoints[5 25 25 25 5 5 25 5]")).encode(),
               b"<</Type/Annot/Subtype/Widget/FT/Tx/T(The field)/V(typed)/Rect[60 5 90 15]>>", ("<</Type/Annot/Subtype/Popup/Parent 6 0 R/Rect[0 0 9 9]/T(%s)>>" % SECRET).encode(),
               ("(%s)" % SECRET).encode(), ("<</Title(The offer itself)/Author(%s)/Company(%s)>>" % (SECRET, SECRET)).encode()]
    out, places = b"%PDF-1.5\n", []
    for number, text in enumerate(objects, 1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, text)
    table = b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1) + b"".join(b"%010d 00000 n \n" % place for place in places)
    path.write_bytes(out + table + b"trailer\n<</Size %d/Root 1 0 R/Info 11 0 R>>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, len(out)))
    said = run("qpdf", str(path), *options, "--replace-input")
    assert said.returncode == 0, said


def videos(folder):
    """As a telephone and a camera make them; the second has a track of places, the third a time code."""
    picture, sound = ["-f", "lavfi", "-i", "testsrc=size=64x48:rate=10:duration=1"], ["-f", "lavfi", "-i", "sine=duration=1"]
    places = folder / "places.srt"
    places.write_text("1\n00:00:00,000 --> 00:00:01,000\n%s 35.68 139.76\n" % SECRET)
    tags = [f"title={SECRET}", f"artist={SECRET}", "location=+35.68+139.76/", "com.apple.quicktime.location.ISO6709=+35.6800+139.7600/",
            f"com.apple.quicktime.model={SECRET}", "creation_time=2026-11-21T09:00:00Z"]
    tags = [word for tag in tags for word in ("-metadata", tag)] + ["-metadata:s:v", f"handler_name={SECRET}", "-metadata:s:v", "encoder=Secret Camera"]
    for name, more in (("s.mov", ["-c:v", "mjpeg", "-pix_fmt", "yuvj420p", "-c:a", "pcm_s16le", "-movflags", "use_metadata_tags"]),
                       ("t.mp4", ["-i", str(places), "-c:v", "mpeg4", "-c:a", "aac", "-c:s", "mov_text", "-movflags", "faststart"]),
                       ("u.mp4", ["-c:v", "mpeg4", "-c:a", "aac", "-timecode", "01:00:00:00"])):
        said = run("ffmpeg", "-v", "error", *picture, *sound, *more, *tags, str(folder / name))
        assert said.returncode == 0, said
        if name == "t.mp4":
            # ffmpeg writes no track of data: the words become one.
            (folder / name).write_bytes((folder / name).read_bytes().replace(b"sbtl", b"meta"))
        said = run("exiftool", "-m", "-overwrite_original", f"-XMP:Creator={SECRET}", f"-QuickTime:Model={SECRET}", "-QuickTime:GPSCoordinates=35.68 139.76 10", str(folder / name))
        assert "1 image files updated" in said.stdout, said
    places.unlink()


def written(folder, photo):
    """As Word, Excel and LibreOffice write them, with remarks and changes by several people, and a picture."""
    text = docx.Document()
    text.core_properties.author = text.core_properties.last_modified_by = SECRET
    paragraph = text.add_paragraph("The offer itself")
    text.add_picture(io.BytesIO(photo))
    W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
    paragraph._p.append(docx.oxml.parse_xml('<w:ins %s w:id="7" w:author="%s" w:date="2026-11-21T09:00:00Z"><w:r><w:t>, changed</w:t></w:r></w:ins>' % (W, SECRET)))
    paragraph._p.append(docx.oxml.parse_xml('<w:r %s><w:commentReference w:id="0"/></w:r>' % W))
    comments = '<w:comments %s><w:comment w:id="0" w:author="%s" w:initials="%s"><w:p><w:r><w:t>The remark</w:t></w:r></w:p></w:comment></w:comments>' % (W, SECRET, SECRET)
    part = docx.opc.part.Part(docx.opc.packuri.PackURI("/word/comments.xml"), "application/vnd.openxmlformats-officedocument.wordprocessingml.comments+xml", comments.encode(), text.part.package)
    text.part.relate_to(part, docx.opc.constants.RELATIONSHIP_TYPE.COMMENTS)
    text.save(folder / "v.docx")

    book = openpyxl.Workbook()
    book.properties.creator = book.properties.lastModifiedBy = SECRET
    book.active["A1"] = "The offer itself"
    book.active["A1"].comment = openpyxl.comments.Comment(SECRET + ":\nThe remark", SECRET)
    book.save(folder / "w.xlsx")

    text = odf.opendocument.OpenDocumentText()
    text.meta.addElement(odf.meta.InitialCreator(text=SECRET))
    text.meta.addElement(odf.dc.Creator(text=SECRET))
    paragraph = odf.text.P(text="The offer itself")
    remark = odf.office.Annotation()
    remark.addElement(odf.dc.Creator(text=SECRET))
    remark.addElement(odf.text.P(text="The remark"))
    paragraph.addElement(remark)
    text.text.addElement(paragraph)
    text.addPicture("photo.jpg", "image/jpeg", photo)
    text.save(folder / "x.odt")
    # As people pack what their telephones made.
    with zipfile.ZipFile(folder / "y.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("photos/a.jpg", photo)
        archive.writestr("photos/list.txt", "The offer itself")
        archive.write(folder / "v.docx", "text.docx")


def reads(path):
    """What the library that wrote a document finds in it."""
    if path.name == "v.docx":
        text = docx.Document(path)
        return [paragraph.text for paragraph in text.paragraphs] + [len(text.inline_shapes), text.core_properties.author]
    if path.name == "w.xlsx":
        cell = openpyxl.load_workbook(path).active["A1"]
        return [cell.value, cell.comment.text.split(":")[1]]
    if path.name == "x.odt":
        text = odf.opendocument.load(path)
        return [str(paragraph).replace(SECRET, "Author 1") for paragraph in text.getElementsByType(odf.text.P)] + [None]
    return []


def office(folder, photo):
    core = ('<?xml version="1.0" encoding="UTF-8" standalone="yes"?><cp:coreProperties xmlns:cp="http://schemas.openxmlformats.org/package/2006/metadata/core-properties" '
            'xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>Offer</dc:title><dc:creator>%s</dc:creator><cp:lastModifiedBy>%s</cp:lastModifiedBy></cp:coreProperties>' % (SECRET, SECRET))
    app = '<?xml version="1.0"?><Properties xmlns="http://schemas.openxmlformats.org/officeDocument/2006/extended-properties"><Company>%s</Company><Manager>%s</Manager></Properties>' % (SECRET, SECRET)
    types = '<?xml version="1.0"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"/>'
    for name, main in (("l.docx", "word/document.xml"), ("m.xlsx", "xl/workbook.xml"), ("n.pptx", "ppt/presentation.xml")):
        with zipfile.ZipFile(folder / name, "w", zipfile.ZIP_DEFLATED) as archive:
            remarks = '<p:cmAuthorLst xmlns:p="p"><p:cmAuthor id="0" name="%s" initials="%s"/></p:cmAuthorLst>' % (SECRET, SECRET)
            more = [("ppt/commentAuthors.xml", remarks), ("ppt/media/image1.jpeg", photo)] if name == "n.pptx" else []
            for entry, text in [("[Content_Types].xml", types), ("docProps/core.xml", core), ("docProps/app.xml", app), (main, "<x>The offer itself</x>")] + more:
                archive.writestr(entry, text)
    meta = '<office:document-meta xmlns:office="o" xmlns:meta="m" xmlns:dc="d"><office:meta><meta:initial-creator>%s</meta:initial-creator><dc:creator>%s</dc:creator></office:meta></office:document-meta>' % (SECRET, SECRET)
    with zipfile.ZipFile(folder / "o.odt", "w") as archive:
        archive.writestr(zipfile.ZipInfo("mimetype"), "application/vnd.oasis.opendocument.text")
        archive.writestr("meta.xml", meta)
        archive.writestr("content.xml", "<x>The offer itself</x>")


def words(path):
    """Everything that can be read in a file."""
    out = run("exiftool", "-j", "-a", "-u", "-U", "-G1", "-ee", str(path)).stdout + path.read_bytes().decode("latin-1")
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            assert archive.testzip() is None, path
            for name in archive.namelist():
                content = archive.read(name)
                if name.endswith(".docx"):
                    content += b" ".join(zipfile.ZipFile(io.BytesIO(content)).read(inner) for inner in zipfile.ZipFile(io.BytesIO(content)).namelist())
                out += content.decode("latin-1")
    if path.suffix == ".pdf":
        # Every object unpacked, names in UTF-16 and hexadecimal read.
        out += subprocess.run(["qpdf", "--qdf", "--object-streams=disable", str(path), "-"], capture_output=True).stdout.decode("latin-1").replace("\0", "")
    return out


def tags(path):
    return json.loads(run("exiftool", "-j", "-n", "-a", str(path)).stdout)[0]


def same_picture(before, after):
    if before.suffix == ".heic":
        before, after = converted(before), converted(after)
    with Image.open(before) as a, Image.open(after) as b:
        if getattr(a, "n_frames", 1) != getattr(b, "n_frames", 1):
            return False
        for n in range(getattr(a, "n_frames", 1)):
            a.seek(n), b.seek(n)
            if a.info.get("duration") != b.info.get("duration") or ImageChops.difference(a.convert("RGBA"), b.convert("RGBA")).getbbox():
                return False
    return True


def converted(path):
    out = path.with_suffix(".out.png")
    said = run("heif-convert", str(path), str(out))
    assert said.returncode == 0, said
    return out


def check(before, after):
    for path in sorted(p for p in before.iterdir() if ".out" not in p.name):
        other = after / path.name
        was, left = words(path), words(other)
        assert SECRET in was, f"{path}: nothing to find"
        if SECRET in left or SECRET.encode("utf-16-le").decode("latin-1") in left:
            print(path.name, "still tells", [line for line in left.splitlines() if SECRET in line][:5])
        told = tags(other)
        print(*(f"{path.name} still has {tag}\n" for tag in told if tag.startswith("GPS") or tag in ("SerialNumber", "Model", "DateTimeOriginal")), sep="", end="")
        if path.suffix in (".jpg", ".png", ".webp", ".tif", ".gif", ".heic"):
            if not same_picture(path, other):
                print(path.name, "is another picture")
            if tags(path).get("Orientation", 1) != told.get("Orientation", 1):
                print(path.name, "is turned another way:", tags(path).get("Orientation"), told.get("Orientation"))
        elif path.suffix == ".pdf":
            said = run("qpdf", "--check", str(other))
            if said.returncode != 0:
                print(path.name, said.stdout, said.stderr)
            if run("pdftoppm", "-r", "72", str(path)).stdout != run("pdftoppm", "-r", "72", str(other)).stdout:
                print(path.name, "looks otherwise")
            if path.name[0] in "pqr":
                print(*(f"{path.name} has lost {word}\n" for word in ("The remark", "The field", "The offer itself") if word not in left), sep="", end="")
                print(*(f"{path.name} still tells {word}\n" for word in ("+09'00'", "20261121") if word in left), sep="", end="")
        elif path.suffix in (".mov", ".mp4"):
            shown, now = (run("ffmpeg", "-v", "warning", "-i", str(file), "-map", "0:v", "-map", "0:a", "-f", "framemd5", "-") for file in (path, other))
            if now.returncode != 0 or now.stderr or now.stdout != shown.stdout:
                print(path.name, "is another video", now.stderr, shown.stdout, now.stdout)
            tracks = json.loads(run("ffprobe", "-v", "error", "-show_streams", "-show_format", "-of", "json", str(other)).stdout)
            if len(tracks["streams"]) != 2 or tracks["format"]["size"] != str(path.stat().st_size):
                print(path.name, "has other tracks", tracks)
            told = json.dumps([tracks["format"].get("tags")] + [track.get("tags") for track in tracks["streams"]])
            print(*(f"{path.name} still tells {word}: {told}\n" for word in ("2026", "35.", "Lavf", "Lavc", "Camera") if word in told), sep="", end="")
        elif "The offer itself" not in left or ("The remark" in was) != ("The remark" in left):
            print(path.name, "has lost its content")
        if reads(path)[:-1] != reads(other)[:-1] or SECRET in reads(other):
            print(path.name, "reads otherwise", reads(path), reads(other))


def text(path, out):
    """RFC 822's way and Usenet's, both by hand: Python has no yEnc, and soon no uuencode."""
    data = path.read_bytes()
    lines = [binascii.b2a_uu(data[at:at + 45]) for at in range(0, len(data), 45)]
    packed = b"".join(b"=%c" % ((octet + 106) % 256) if (octet + 42) % 256 in b"\0\r\n=" else b"%c" % ((octet + 42) % 256) for octet in data)
    # A line must not end within an escape.
    packed = packed.replace(b".", b"=n")
    rows, at = [], 0
    while at < len(packed):
        end = at + 128 + (packed[at + 127:at + 128] == b"=")
        rows.append(packed[at:end] + b"\n")
        at = end
    ways = {"uu": b"begin 644 %s\n%s`\nend\n" % (path.name.encode(), b"".join(lines)),
            "yenc": b"=ybegin line=128 size=%d name=%s\n%s=yend size=%d crc32=%08x\n" % (len(data), path.name.encode(), b"".join(rows), len(data), binascii.crc32(data))}
    for way, body in ways.items():
        head = b"From: b-real-9c1@home.example\nSubject: %s\nMIME-Version: 1.0\nContent-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: 8bit\n\nHello\n\n" % way.encode()
        (out / f"{path.name}.{way}").write_bytes((head + body + b"\nGood bye, b-real-9c1@home.example\n").replace(b"\n", b"\r\n"))


def file(message, out):
    words = email.message_from_bytes(message.read_bytes(), policy=email.policy.default).get_content()
    assert words.startswith("Hello") and "Good bye" in words, words[:200]
    lines = [line.rstrip("\r") for line in words.split("\n")]
    start = next(at for at, line in enumerate(lines) if line.startswith("begin 644 "))
    end = lines.index("end", start)
    out.write_bytes(b"".join(binascii.a2b_uu(line) for line in lines[start + 1:end]))


arguments = [pathlib.Path(argument) for argument in sys.argv[2:]]
{"make": make, "text": text, "file": file, "check": check}[sys.argv[1]](*arguments)
