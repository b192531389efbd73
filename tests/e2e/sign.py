# Signs by dkimpy: standard input is a JSON list of {"message": base64, "keys": [[algorithm, selector, domain]], "arc": [selector, domain] or null},
# standard output the list of the signed messages. The first argument is the directory of keys; "records" makes them and prints their DNS records.
import base64, json, subprocess, sys
import dkim

folder, what = sys.argv[1], sys.argv[2]
files = {"rsa": f"{folder}/rsa.pem", "ed25519": f"{folder}/ed25519.key"}
if what == "records":
    import nacl.signing
    subprocess.run(["openssl", "genrsa", "-traditional", "-out", files["rsa"], "2048"], check=True, capture_output=True)
    public = subprocess.run(["openssl", "rsa", "-in", files["rsa"], "-pubout", "-outform", "DER"], check=True, capture_output=True).stdout
    key = nacl.signing.SigningKey.generate()
    open(files["ed25519"], "wb").write(base64.b64encode(key.encode()))
    print("v=DKIM1; k=rsa; p=" + base64.b64encode(public).decode())
    print("v=DKIM1; k=ed25519; p=" + base64.b64encode(key.verify_key.encode()).decode())
    sys.exit()
keys = {name: open(file, "rb").read() for name, file in files.items()}
out = []
for item in json.load(sys.stdin):
    message = base64.b64decode(item["message"])
    for algorithm, selector, domain in item["keys"]:
        field = dkim.sign(message, selector.encode(), domain.encode(), keys[algorithm], canonicalize=(b"relaxed", b"relaxed"),
                          signature_algorithm={"rsa": b"rsa-sha256", "ed25519": b"ed25519-sha256"}[algorithm],
                          include_headers=[b"from", b"subject", b"to"])
        message = field + message
    if item["arc"]:
        selector, domain = item["arc"]
        fields = dkim.arc_sign(message, selector.encode(), domain.encode(), keys["rsa"], domain.encode(), include_headers=[b"from", b"subject", b"to"])
        message = b"".join(fields) + message
    out.append(base64.b64encode(message).decode())
json.dump(out, sys.stdout)
