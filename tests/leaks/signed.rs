//! Mail signed, packed and encrypted by openssl as mail programs do it, through the rewriter: what
//! is only signed arrives open and without its signer's certificate; what nobody here can read is
//! told by its right name.

use super::common::run;
use super::house::{BUYER, House, MINE, form};
use data_encoding::{BASE64, BASE64_MIME};
use marketrelay::config::Limits;
use marketrelay::message::{Unclean, inspect};
use marketrelay::policy::content::Closed;
use std::path::Path;

/// Runs `openssl cms` on `input`.
fn cms(folder: &Path, arguments: &str, input: &[u8]) -> Vec<u8> {
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    std::fs::write(path("input"), input).unwrap();
    let arguments = arguments.replace("CERT", &path("cert.pem")).replace("KEY", &path("key.pem"));
    let (from, to) = (path("input"), path("output"));
    let mut all = vec!["cms", "-binary", "-in", &from, "-out", &to, "-outform", "DER"];
    all.extend(arguments.split(' '));
    let made = run("openssl", &all, "");
    assert!(made.status.success(), "{arguments}: {}", String::from_utf8_lossy(&made.stderr));
    std::fs::read(to).unwrap()
}

/// What becomes of a part.
enum Becomes {
    /// Its words arrive.
    Words,
    /// It arrives as it is, under this name.
    File(&'static str),
    Refused(Closed),
}

#[test]
fn mail_that_openssl_signed() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let names = ["cert.pem", "key.pem"].map(|name| folder.join(name).to_str().unwrap().to_owned());
    let subject = format!("/CN=Real Name/emailAddress={BUYER}");
    let request = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", &subject];
    let made = run("openssl", &[&request[..], &["-keyout", &names[1], "-out", &names[0]]].concat(), "");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));

    let text = format!("Content-Type: text/plain; charset=utf-8\r\n\r\nhello openssl, answer to {BUYER}\r\n");
    let large = format!("{text}{}", "A line of a long text.\r\n".repeat(9000));
    let sign = "-sign -signer CERT -inkey KEY -nodetach";
    let signed = cms(folder, sign, text.as_bytes());
    let streamed = cms(folder, &format!("{sign} -stream"), text.as_bytes());
    let encrypt = |what: &str, input: &[u8]| cms(folder, &format!("{what} CERT"), input);
    let entity = |kind: &str, octets: &[u8]| {
        let body = BASE64_MIME.encode(octets);
        format!("Content-Type: {kind}\r\nContent-Transfer-Encoding: base64\r\n\r\n{body}")
    };
    let mime = "application/pkcs7-mime; smime-type=signed-data; name=smime.p7m";
    let twice = cms(folder, sign, entity(mime, &streamed).as_bytes());
    let sealed = encrypt("-encrypt -aes256", text.as_bytes());
    let inside = cms(folder, sign, entity("application/pkcs7-mime; name=smime.p7m", &sealed).as_bytes());
    let digested = cms(folder, "-digest_create", text.as_bytes());
    let file = cms(folder, sign, b"%PDF-1.4\n1 0 obj\n<<>>\nendobj\n");
    let sealed_again = encrypt("-encrypt -aes128 -keyid", text.as_bytes());
    let gcm = encrypt("-encrypt -aes-128-gcm", text.as_bytes());
    let with_password =
        cms(folder, "-EncryptedData_encrypt -aes128 -secretkey 000102030405060708090a0b0c0d0e0f", text.as_bytes());
    use Becomes::{File, Refused, Words};
    // Content-Type, octets, what becomes of it
    let cases = [
        (mime, signed.clone(), Words),
        (mime, streamed.clone(), Words),
        (mime, cms(folder, sign, large.as_bytes()), Words),
        (mime, cms(folder, &format!("{sign} -stream"), large.as_bytes()), Words),
        (mime, cms(folder, &format!("{sign} -nocerts"), text.as_bytes()), Words),
        (mime, cms(folder, &format!("{sign} -noattr"), text.as_bytes()), Words),
        (mime, cms(folder, &format!("{sign} -md sha512 -keyid"), text.as_bytes()), Words),
        (mime, twice, Words),
        (mime, digested, Words),
        ("application/pkcs7-mime", signed.clone(), Words),
        ("application/x-pkcs7-mime; name=smime.p7m", streamed.clone(), Words),
        ("application/octet-stream; name=smime.p7m", signed.clone(), Words),
        ("application/octet-stream", streamed.clone(), Words),
        ("application/pkcs7-mime; name=\"Nachricht.p7m\"", signed, Words),
        ("application/pkcs7-mime; name=rechnung.pdf.p7m", file.clone(), File("rechnung.pdf.p7m")),
        ("application/octet-stream; name=rechnung.pdf.p7m", file, File("rechnung.pdf.p7m")),
        (mime, sealed.clone(), Refused(Closed::Encrypted)),
        (mime, inside, Refused(Closed::Encrypted)),
        (mime, sealed_again, Refused(Closed::Encrypted)),
        (mime, gcm, Refused(Closed::Encrypted)),
        (mime, with_password, Refused(Closed::Encrypted)),
        ("application/octet-stream; name=smime.p7m", sealed, Refused(Closed::Encrypted)),
        (mime, streamed[..120].to_vec(), Refused(Closed::Signed)),
    ];
    let house = House::buyer_writes();
    for (n, (kind, octets, becomes)) in cases.into_iter().enumerate() {
        let raw = format!("From: {BUYER}\r\nMIME-Version: 1.0\r\n{}", entity(kind, &octets));
        let closed = inspect(raw.as_bytes(), false, &Limits::default()).unwrap().closed.map(|(why, _)| why);
        let out = house.rewrite(raw.as_bytes());
        match becomes {
            Refused(why) => assert_eq!((closed, out.unwrap_err()), (Some(why), Unclean::Closed(why)), "{n}: {kind}"),
            Words => {
                let out = out.unwrap();
                let written = String::from_utf8_lossy(&out.bytes).into_owned();
                assert!(written.contains(&format!("hello openssl, answer to {MINE}")), "{n}: {kind}: {written}");
                assert_eq!((house.guard(&out.bytes), form(&out.bytes)), (Ok(()), Vec::new()), "{n}: {kind}");
                assert!(closed.is_none() && !out.unsigned.is_empty(), "{n}: {kind}");
            }
            File(name) => {
                let out = out.unwrap();
                let written = String::from_utf8_lossy(&out.bytes).replace("\r\n", "");
                assert!(written.contains(&BASE64.encode(&octets)) && written.contains(name), "{n}: {kind}: {written}");
                assert!(closed.is_none() && out.unsigned.is_empty(), "{n}: {kind}");
            }
        }
    }
}
