"""pack DIR ADDRESS: writes documents that show an address, in every way that programs write it.
look: prints all that the file attached to the message on standard input says, if it is whole."""
import base64, email, email.policy, gzip, io, os, subprocess, sys, tempfile, zipfile

def zipped(files, comment=b"", entry_comment=b""):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as z:
        for name, data in files.items():
            info = zipfile.ZipInfo(name, (2026, 1, 2, 3, 4, 6))
            info.compress_type = zipfile.ZIP_STORED if name == "mimetype" else zipfile.ZIP_DEFLATED
            info.comment = entry_comment
            z.writestr(info, data)
        z.comment = comment
    return out.getvalue()

W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main" xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"'
PACKAGE = "http://schemas.openxmlformats.org/package/2006"
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
def office(kind, main, parts):
    types = {"word": "wordprocessingml.document.main", "xl": "spreadsheetml.sheet.main"}[kind]
    return {"[Content_Types].xml": f'<?xml version="1.0" encoding="UTF-8"?><Types xmlns="{PACKAGE}/content-types"><Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/><Default Extension="xml" ContentType="application/xml"/><Override PartName="/{main}" ContentType="application/vnd.openxmlformats-officedocument.{types}+xml"/></Types>',
            "_rels/.rels": f'<?xml version="1.0" encoding="UTF-8"?><Relationships xmlns="{PACKAGE}/relationships"><Relationship Id="r1" Type="{OFFICE}/officeDocument" Target="{main}"/></Relationships>'} | parts

def docx(a, more={}):
    user, host = a.split("@")
    body = f'<w:p><w:r><w:t>Invoice 7 by {user[:4]}</w:t></w:r><w:proofErr w:type="spellStart"/><w:r><w:rPr><w:b/></w:rPr><w:t>{user[4:]}@</w:t></w:r><w:r><w:t>{host}</w:t></w:r></w:p>'
    body += f'<w:p><w:hyperlink r:id="r9"><w:r><w:t>{a}</w:t></w:r></w:hyperlink></w:p><w:p><w:r><w:fldChar w:fldCharType="begin"/></w:r><w:r><w:instrText xml:space="preserve"> HYPERLINK "mailto:{user}</w:instrText></w:r><w:r><w:instrText>@{host}" </w:instrText></w:r><w:r><w:fldChar w:fldCharType="end"/></w:r></w:p>'
    return zipped(office("word", "word/document.xml", {
        "word/document.xml": f'<?xml version="1.0" encoding="UTF-8"?><w:document {W}><w:body>{body}</w:body></w:document>',
        "word/_rels/document.xml.rels": f'<?xml version="1.0" encoding="UTF-8"?><Relationships xmlns="{PACKAGE}/relationships"><Relationship Id="r9" Type="{OFFICE}/hyperlink" Target="mailto:{a}?subject=7" TargetMode="External"/></Relationships>',
        "docProps/app.xml": f"<Properties><Company>{a}</Company></Properties>"} | more))

def xlsx(a):
    main = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
    return zipped(office("xl", "xl/workbook.xml", {
        "xl/workbook.xml": f'<?xml version="1.0"?><workbook {main} xmlns:r="{OFFICE}"><sheets><sheet name="A" sheetId="1" r:id="r1"/></sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f'<?xml version="1.0"?><Relationships xmlns="{PACKAGE}/relationships"><Relationship Id="r1" Type="{OFFICE}/worksheet" Target="worksheets/sheet1.xml"/><Relationship Id="r2" Type="{OFFICE}/sharedStrings" Target="sharedStrings.xml"/></Relationships>',
        "xl/worksheets/sheet1.xml": f'<?xml version="1.0"?><worksheet {main}><sheetData><row r="1"><c r="A1" t="s"><v>0</v></c><c r="B1" t="inlineStr"><is><t>{a}</t></is></c><c r="C1"><f>HYPERLINK("mailto:{a}")</f></c></row></sheetData></worksheet>',
        "xl/sharedStrings.xml": f'<?xml version="1.0"?><sst {main} count="1" uniqueCount="1"><si><r><t>Invoice 7 {a[:5]}</t></r><r><t>{a[5:]}</t></r></si></sst>'}))

def odt(a, more={}):
    return zipped({"mimetype": "application/vnd.oasis.opendocument.text",
        "META-INF/manifest.xml": '<?xml version="1.0"?><manifest:manifest xmlns:manifest="urn:oasis:names:tc:opendocument:xmlns:manifest:1.0"><manifest:file-entry manifest:full-path="/" manifest:media-type="application/vnd.oasis.opendocument.text"/><manifest:file-entry manifest:full-path="content.xml" manifest:media-type="text/xml"/></manifest:manifest>',
        "content.xml": f'<?xml version="1.0"?><office:document-content xmlns:office="urn:oasis:names:tc:opendocument:xmlns:office:1.0" xmlns:text="urn:oasis:names:tc:opendocument:xmlns:text:1.0" xmlns:xlink="http://www.w3.org/1999/xlink" office:version="1.3"><office:body><office:text><text:p>Invoice 7 <text:a xlink:type="simple" xlink:href="mailto:{a}">{a[:3]}<text:span>{a[3:]}</text:span></text:a></text:p></office:text></office:body></office:document-content>'} | more)

def pdf(a, *options, name=None):
    drawn = f"BT /F1 12 Tf 20 200 Td (Invoice 7) Tj 0 -20 Td [({a[:6]}) -20 ({a[6:]})] TJ ET"
    objects = ["<</Type/Catalog/Pages 2 0 R>>", "<</Type/Pages/Kids[3 0 R]/Count 1>>",
        "<</Type/Page/Parent 2 0 R/MediaBox[0 0 400 300]/Contents 4 0 R/Resources<</Font<</F1 5 0 R>>>>/Annots[6 0 R]>>",
        f"<</Length {len(drawn)}>>stream\n{drawn}\nendstream", "<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding>>",
        f"<</Type/Annot/Subtype/Link/Rect[20 170 200 190]/A<</S/URI/URI(mailto:{a})>>/Contents({a})>>"]
    out, places = "%PDF-1.5\n", []
    for number, text in enumerate(objects, 1):
        places.append(len(out)); out += f"{number} 0 obj\n{text}\nendobj\n"
    at = len(out)
    out += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n" + "".join("%010d 00000 n \n" % place for place in places)
    out += f"trailer\n<</Size {len(objects) + 1}/Root 1 0 R>>\nstartxref\n{at}\n%%EOF\n"
    if not options: return out.encode()
    with tempfile.TemporaryDirectory() as d:
        open(d + "/in.pdf", "w").write(out)
        subprocess.run(["qpdf", d + "/in.pdf", *options, d + "/out.pdf"], check=True)
        return open(d + "/out.pdf", "rb").read()

def message(a):
    body = base64.b64encode(f"Invoice 7 {a}".encode()).decode()
    return f"Received: from host.{a.split('@')[1]} ([192.0.2.9])\r\nFrom: Real <{a}>\r\nSubject: Invoice 7\r\nMIME-Version: 1.0\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\n{body}\r\n".encode()

def files(a):
    text = f"Invoice 7\r\n{a}\r\n".encode()
    page = f"<!DOCTYPE html><html><body>Invoice 7 <b>{a.split('@')[0]}</b>&#64;{a.split('@')[1]} <a href='mailto:{a.replace('@', '%40')}'>x</a></body></html>".encode()
    rtf = f"{{\\rtf1\\ansi Invoice 7 {a.replace('@', chr(92) + chr(39) + '40')}\\par {a[:4]}{{\\b {a[4:]}}}}}".encode()
    card = f"BEGIN:VCARD\r\nVERSION:3.0\r\nFN:Invoice 7\r\nNOTE:Invoice 7 {a}\r\nEMAIL:{a}\r\nEND:VCARD\r\n".encode()
    event = f"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nBEGIN:VEVENT\r\nUID:1\r\nSUMMARY:Invoice 7 {a}\r\nORGANIZER:mailto:{a}\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n".encode()
    signature = {"_xmlsignatures/origin.sigs": "", "_xmlsignatures/sig1.xml": "<Signature/>"}
    wide = a.encode("utf-16le")
    out = {"a.txt": text, "a.csv": b"no;mail\r\n7;" + a.encode() + b"\r\n;Invoice 7\r\n", "a.html": page, "a.rtf": rtf, "a.vcf": card, "a.ics": event, "a.eml": message(a), "a.docx": docx(a), "a.xlsx": xlsx(a), "a.odt": odt(a),
        "plain.pdf": pdf(a), "packed.pdf": pdf(a, "--compress-streams=y", "--recompress-flate"), "streams.pdf": pdf(a, "--object-streams=generate", "--compress-streams=y"), "linear.pdf": pdf(a, "--linearize", "--object-streams=generate"),
        "a.txt.gz": gzip.compress(text), "name.zip": zipped({a + ".txt": "Invoice 7"}), "comment.zip": zipped({"a.txt": "Invoice 7"}, a.encode(), a.encode())}
    out["all.zip"] = zipped(dict(out))
    out["deep.zip"] = zipped({"x/in.zip": out["all.zip"], "y.docx": out["a.docx"]})
    out["left.signed.docx"] = docx(a, signature)
    out["left.signed.odt"] = odt(a, {"META-INF/documentsignatures.xml": "<x/>"})
    out["left.signed.pdf"] = pdf(a).replace(b"/Annots[6 0 R]", b"/A<</ByteRange[0 1 2 3]>>/Annots[6 0 R]")
    out["left.old.doc"] = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(200) + wide + bytes(200)
    out["left.octets.bin"] = b"\0\1" + a.encode() + b"\0"
    out["left.zip"] = zipped({"signed.docx": out["left.signed.docx"], "Invoice 7.txt": "x"})
    return out

def tell(name, data, say):
    if data[:4] == b"PK\3\4":
        z = zipfile.ZipFile(io.BytesIO(data))
        assert z.testzip() is None and len(set(z.namelist())) == len(z.namelist())
        if "mimetype" in z.namelist():
            first = z.infolist()[0]
            assert (first.filename, first.compress_type, first.extra) == ("mimetype", 0, b"")
        say(z.comment)
        for info in z.infolist():
            say(info.filename.encode() + info.comment)
            tell(info.filename, z.read(info), say)
    elif data[:2] == b"\x1f\x8b":
        tell(name, gzip.decompress(data), say)
    elif data[:5] == b"%PDF-":
        say(data)
        with tempfile.NamedTemporaryFile(suffix=".pdf") as file:
            file.write(data); file.flush()
            # Warnings are faults, too.
            subprocess.run(["qpdf", "--check", "--no-warn", file.name], check=True, stdout=subprocess.DEVNULL)
            say(subprocess.run(["qpdf", "--qdf", "--object-streams=disable", file.name, "-"], check=True, stdout=subprocess.PIPE).stdout)
            say(subprocess.run(["pdftotext", file.name, "-"], check=True, stdout=subprocess.PIPE).stdout)
    elif name.endswith(".eml") or data[:9] == b"Received:" or data[:5] == b"From:":
        say(data)
        inner = email.message_from_bytes(data, policy=email.policy.default)
        for part in inner.walk():
            if not part.is_multipart(): say(part.get_payload(decode=True))
    else:
        say(data)
        if data[:5] == b"<?xml":
            import xml.dom.minidom
            xml.dom.minidom.parseString(data)

if sys.argv[1] == "pack":
    for name, data in files(sys.argv[3]).items():
        open(os.path.join(sys.argv[2], name), "wb").write(data)
else:
    outer = email.message_from_bytes(sys.stdin.buffer.read(), policy=email.policy.default)
    part = next(outer.iter_attachments())
    data = part.get_payload(0).as_bytes() if part.get_content_type() == "message/rfc822" else part.get_payload(decode=True)
    tell(part.get_filename() or "", data, lambda text: sys.stdout.buffer.write(b"\n" + text))
