"""Files that tell of those who made them, and a look at what became of them; by exiftool, Pillow, qpdf and heif-convert, nothing of ours.

traces.py make FOLDER            writes files full of traces
traces.py check BEFORE AFTER     prints what is left of the traces, and what is no longer the same
"""

import io, json, pathlib, subprocess, sys, zipfile
from PIL import Image, ImageChops

SECRET = "Secret Photographer"
# The tags that exiftool writes; what it cannot write into a kind of file it leaves.
TAGS = [f"-{tag}={SECRET}" for tag in ("EXIF:Artist", "EXIF:Copyright", "EXIF:Model", "EXIF:Software", "XMP:Creator", "XMP:CreatorTool", "IPTC:By-line", "PDF:Author",
        "PDF:Creator", "XMP-pdf:Producer", "PNG:Author", "PNG:Comment", "GIF:Comment", "File:Comment", "EXIF:UserComment", "EXIF:ImageDescription")]
PLACE = ["-EXIF:GPSLatitude=35.68", "-EXIF:GPSLatitudeRef=N", "-EXIF:GPSLongitude=139.76", "-EXIF:GPSLongitudeRef=E", "-EXIF:DateTimeOriginal=2026:11:21 09:00:00", "-EXIF:SerialNumber=SN12345",
         "-XMP:GPSLatitude=35.68"]
PICTURES = {"a.jpg": "JPEG", "b.png": "PNG", "c.webp": "WEBP", "d.tif": "TIFF", "e.gif": "GIF"}


def run(*command):
    return subprocess.run(command, capture_output=True, text=True)


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
    office(folder)


def office(folder):
    core = ('<?xml version="1.0" encoding="UTF-8" standalone="yes"?><cp:coreProperties xmlns:cp="http://schemas.openxmlformats.org/package/2006/metadata/core-properties" '
            'xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>Offer</dc:title><dc:creator>%s</dc:creator><cp:lastModifiedBy>%s</cp:lastModifiedBy></cp:coreProperties>' % (SECRET, SECRET))
    app = '<?xml version="1.0"?><Properties xmlns="http://schemas.openxmlformats.org/officeDocument/2006/extended-properties"><Company>%s</Company><Manager>%s</Manager></Properties>' % (SECRET, SECRET)
    types = '<?xml version="1.0"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"/>'
    for name, main in (("l.docx", "word/document.xml"), ("m.xlsx", "xl/workbook.xml"), ("n.pptx", "ppt/presentation.xml")):
        with zipfile.ZipFile(folder / name, "w", zipfile.ZIP_DEFLATED) as archive:
            for entry, text in (("[Content_Types].xml", types), ("docProps/core.xml", core), ("docProps/app.xml", app), (main, "<x>The offer itself</x>")):
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
            out += " ".join(archive.read(name).decode("latin-1") for name in archive.namelist())
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
        elif "The offer itself" not in left:
            print(path.name, "has lost its content")


arguments = [pathlib.Path(argument) for argument in sys.argv[2:]]
make(*arguments) if sys.argv[1] == "make" else check(*arguments)
