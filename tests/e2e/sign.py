# Signs by dkimpy: standard input is a JSON list of {"message": base64, "keys": [[algorithm, selector, domain]], "arc": [selector, domain] or null,
# "headers": fields that are covered (left out: from, subject, to), "identity": i= (left out: none), "age": seconds since it was signed (left out: 0)},
# standard output the list of the signed messages. The first argument is the directory of keys; "records" makes them and prints their DNS records.
import base64, json, subprocess, sys, time
import dkim

clock = time.time

folder, what = sys.argv[1], sys.argv[2]
files = {"rsa": f"{folder}/rsa.pem", "weak": f"{folder}/weak.pem", "ed25519": f"{folder}/ed25519.key"}
# name: key, algorithm, whether only the body's length so far is signed
kinds = {
    "rsa": ("rsa", b"rsa-sha256", False), "ed25519": ("ed25519", b"ed25519-sha256", False), "weak": ("weak", b"rsa-sha256", False),
    "sha1": ("rsa", b"rsa-sha1", False), "length": ("rsa", b"rsa-sha256", True),
}
if what == "records":
    import nacl.signing
    key = nacl.signing.SigningKey.generate()
    open(files["ed25519"], "wb").write(base64.b64encode(key.encode()))
    for name, bits in [("rsa", "2048"), ("weak", "512")]:
        subprocess.run(["openssl", "genrsa", "-traditional", "-out", files[name], bits], check=True, capture_output=True)
        public = subprocess.run(["openssl", "rsa", "-in", files[name], "-pubout", "-outform", "DER"], check=True, capture_output=True).stdout
        print("v=DKIM1; k=rsa; p=" + base64.b64encode(public).decode())
    print("v=DKIM1; k=ed25519; p=" + base64.b64encode(key.verify_key.encode()).decode())
    sys.exit()
keys = {name: open(file, "rb").read() for name, file in files.items()}
out = []
for item in json.load(sys.stdin):
    message = base64.b64decode(item["message"])
    covered = [name.encode() for name in item.get("headers") or ["from", "subject", "to"]]
    identity = item["identity"].encode() if item.get("identity") else None
    time.time = lambda: clock() - (item.get("age") or 0)
    for algorithm, selector, domain in item["keys"]:
        key, name, length = kinds[algorithm]
        field = dkim.sign(message, selector.encode(), domain.encode(), keys[key], canonicalize=(b"relaxed", b"relaxed"),
                          signature_algorithm=name, include_headers=covered, identity=identity, length=length)
        message = field + message
    if item.get("arc"):
        selector, domain = item["arc"]
        fields = dkim.arc_sign(message, selector.encode(), domain.encode(), keys["rsa"], domain.encode(), include_headers=[b"from", b"subject", b"to"])
        message = b"".join(fields) + message
    out.append(base64.b64encode(message).decode())
json.dump(out, sys.stdout)
