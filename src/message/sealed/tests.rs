use super::*;
use crate::message::cms::{Cms, begins, read};
use crate::message::work::{Allowance, End, within};
use data_encoding::BASE64_MIME;
use std::io::Write as _;

/// An element with its length before it.
fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    match content.len() {
        length @ ..0x80 => out.push(u8::try_from(length).unwrap()),
        length => {
            out.push(0x84);
            out.extend(u32::try_from(length).unwrap().to_be_bytes());
        }
    }
    out.extend_from_slice(content);
    out
}

/// An element with its end behind it.
fn ber(tag: u8, content: &[u8]) -> Vec<u8> {
    [&[tag, 0x80], content, &[0, 0]].concat()
}

/// How elements are written.
type Write = fn(u8, &[u8]) -> Vec<u8>;

fn kind(arc: &str, number: u8) -> Vec<u8> {
    let arc: &[u8] = match arc {
        "pkcs7" => &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07],
        _ => &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x10, 0x01],
    };
    der(6, &[arc, &[number]].concat())
}

/// A message of this kind. `string`: its content; `behind`: what stands behind that.
fn message(write: Write, kind_of_it: &[u8], kind_of_content: &[u8], string: &[u8], behind: &[u8]) -> Vec<u8> {
    let digests = write(0x31, &write(0x30, &der(6, &[0x60, 0x86, 0x48])));
    let inner = [kind_of_content, string].concat();
    let all = [der(2, &[1]), digests, write(0x30, &inner), behind.to_vec()].concat();
    write(0x30, &[kind_of_it, &write(0xa0, &write(0x30, &all))].concat())
}

/// A signed message as programs write it: with its length before it, or while it is made.
pub(crate) fn signed(content: &[u8], streamed: bool) -> Vec<u8> {
    let certificate = der(0xa0, &der(0x30, b"CN=Real Name, b-real-9c1@home.example"));
    let [signed, data] = [2, 1].map(|number| kind("pkcs7", number));
    if !streamed {
        return message(der, &signed, &data, &der(0xa0, &der(4, content)), &certificate);
    }
    let pieces: Vec<u8> = content.chunks(7).flat_map(|piece| der(4, piece)).collect();
    message(ber, &signed, &data, &ber(0xa0, &ber(0x24, &pieces)), &certificate)
}

fn packed(content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(content).unwrap();
    let packed = encoder.finish().unwrap();
    message(der, &kind("smime", 9), &kind("pkcs7", 1), &der(0xa0, &der(4, &packed)), b"")
}

#[test]
fn cryptographic_messages() {
    let words: &[u8] = b"Content-Type: text/plain\r\n\r\nHello, is it there?";
    let [data, signed_data] = [1, 2].map(|number| kind("pkcs7", number));
    let certificate = der(0xa0, &der(0x30, b"x"));
    let holds = || Some(Cms::Holds(words.to_vec()));
    let string = |string: Vec<u8>| message(der, &signed_data, &data, &der(0xa0, &string), &certificate);
    let half = words.len() / 2;
    let halves = [der(4, &words[..half]), der(4, &words[half..])].concat();
    let encrypted = |arc: &str, number| message(der, &kind(arc, number), &data, b"", b"");
    // octets, what they are
    let cases = [
        (signed(words, false), holds()),
        (signed(words, true), holds()),
        (signed(&words.repeat(2000), true), Some(Cms::Holds(words.repeat(2000)))),
        // cut into pieces, with lengths and without, in one another
        (string(der(0x24, &halves)), holds()),
        (string(ber(0x24, &ber(0x24, &halves))), holds()),
        (string([der(0x24, &der(0x24, &halves))].concat()), holds()),
        (string(der(0x24, &[])), Some(Cms::Holds(Vec::new()))),
        (message(der, &signed_data, &data, &der(0x80, words), b""), holds()),
        (packed(words), holds()),
        (message(der, &kind("pkcs7", 5), &data, &der(0xa0, &der(4, words)), b""), holds()),
        // what is cut off behind the content is not missed
        (signed(words, true).split_last_chunk::<20>().unwrap().0.to_vec(), holds()),
        (BASE64_MIME.encode(&signed(words, false)).into_bytes(), holds()),
        (
            format!("-----BEGIN PKCS7-----\r\n{}-----END PKCS7-----\r\n", BASE64_MIME.encode(&signed(words, true)))
                .into(),
            holds(),
        ),
        // nothing in it: certificates, a signature over something else, a time stamp
        (message(der, &signed_data, &data, b"", &certificate), Some(Cms::Other)),
        (message(ber, &signed_data, &data, b"", &certificate), Some(Cms::Other)),
        (message(der, &signed_data, &kind("smime", 4), &der(0xa0, &der(4, b"x")), b""), Some(Cms::Other)),
        (message(der, &data, &data, b"", b""), Some(Cms::Other)),
        (encrypted("pkcs7", 3), Some(Cms::Encrypted)),
        (encrypted("pkcs7", 4), Some(Cms::Encrypted)),
        (encrypted("pkcs7", 6), Some(Cms::Encrypted)),
        (encrypted("smime", 23), Some(Cms::Encrypted)),
        (ber(0x30, &kind("pkcs7", 3)), Some(Cms::Encrypted)),
        // broken
        (signed(words, false)[..60].to_vec(), None),
        (signed(words, true)[..80].to_vec(), None),
        (string(der(2, words)), None),
        (b"\x30\x80".to_vec(), None),
        (b"\x30\x84\xff\xff\xff\xff\x06\x09".to_vec(), None),
        (b"\x30\x80\x06\x80".to_vec(), None),
        (words.to_vec(), None),
        (Vec::new(), None),
        (b"MIIB".to_vec(), None),
        (string((0..40).fold(halves.clone(), |inner, _| ber(0x24, &inner))), None),
    ];
    for (octets, want) in cases {
        assert_eq!(read(&octets), want, "{}", BASE64_MIME.encode(&octets));
    }
    for octets in [signed(words, true), signed(words, false), encrypted("smime", 23)] {
        assert!(begins(&octets) && begins(&octets[..32]));
    }
    assert!(!begins(b"\x30\x82\x05\x00\x02\x01\x03") && !begins(words) && !begins(b""));
}

#[test]
fn what_unpacks_to_much_costs_much() {
    let bomb = packed(&vec![b'x'; 40 << 20]);
    let (opened, spent) = within(&Allowance::endless(), || read(&bomb));
    assert!(opened.is_none() && spent.packing > 30 << 20, "{spent:?}");
    let allowance = Allowance { packing: 1 << 20, ..Allowance::endless() };
    let (opened, spent) = within(&allowance, || read(&bomb));
    assert_eq!((opened, spent.end), (None, Some(End::Costly)));
}

#[test]
fn parts_and_their_wrappings() {
    let entity = "Content-Type: text/plain\r\n\r\nHello";
    let [enveloped, certificates] =
        [3, 2].map(|number| message(der, &kind("pkcs7", number), &kind("pkcs7", 1), b"", b""));
    let (opened, none) = (|entity: &str| Wrapping::Opened(entity.as_bytes().to_vec()), || Wrapping::None);
    let (encrypted, unreadable) = (|| Wrapping::Closed(Closed::Encrypted), || Wrapping::Closed(Closed::Signed));
    let sign = |content: &str| signed(content.as_bytes(), true);
    // Content-Type, what is in it, how it is wrapped
    let cases = [
        ("application/pkcs7-mime; smime-type=signed-data; name=smime.p7m", sign(entity), opened(entity)),
        ("application/x-pkcs7-mime; name=\"SMIME.P7M\"", sign(entity), opened(entity)),
        ("Application/PKCS7-mime", sign(entity), opened(entity)),
        ("application/pkcs7-mime; smime-type=enveloped-data", sign(entity), opened(entity)),
        ("application/octet-stream; name=smime.p7m", sign(entity), opened(entity)),
        ("application/octet-stream", sign(entity), opened(entity)),
        (
            "application/pkcs7-mime; smime-type=compressed-data; name=smime.p7z",
            packed(entity.as_bytes()),
            opened(entity),
        ),
        ("application/pkcs7-signature; name=smime.p7s", sign(entity), opened(entity)),
        ("application/pkcs7-mime", sign("\r\nHello"), opened("\r\nHello")),
        ("application/pkcs7-mime", sign("Hello"), opened("\r\nHello")),
        (
            "application/pkcs7-mime",
            sign("Content-Transfer-Encoding: 7bit\r\n\r\nHello"),
            opened("Content-Transfer-Encoding: 7bit\r\n\r\nHello"),
        ),
        ("application/pkcs7-mime; name=mail.p7m", sign(entity), opened(entity)),
        // files
        ("application/pkcs7-mime; name=rechnung.pdf.p7m", sign("%PDF-1.4\0"), none()),
        ("application/pkcs7-mime; name=fattura.xml.p7m", sign("<?xml version=\"1.0\"?>"), none()),
        ("application/octet-stream; name=fattura.xml.p7m", sign("<?xml version=\"1.0\"?>"), none()),
        ("application/octet-stream; name=smime.p7m", sign("\0"), none()),
        ("application/pkcs7-mime; smime-type=certs-only; name=smime.p7c", certificates.clone(), none()),
        ("application/pkcs7-mime; name=smime.p7m", certificates.clone(), none()),
        ("application/octet-stream; name=a.p7b", certificates, none()),
        ("application/octet-stream; name=a.p7m", b"no".to_vec(), none()),
        ("application/pkcs7-signature; name=a.pdf.p7s", b"no".to_vec(), none()),
        ("text/plain; name=a.p7m", sign(entity), none()),
        // closed
        ("application/pkcs7-mime; smime-type=enveloped-data; name=smime.p7m", enveloped.clone(), encrypted()),
        ("application/pkcs7-mime; smime-type=signed-data", enveloped.clone(), encrypted()),
        ("application/octet-stream; name=smime.p7m", enveloped.clone(), encrypted()),
        ("application/octet-stream", enveloped, encrypted()),
        ("application/pkcs7-mime; smime-type=authEnveloped-data", b"no".to_vec(), encrypted()),
        ("application/pkcs7-mime; smime-type=signed-data; name=smime.p7m", b"no".to_vec(), unreadable()),
        ("application/pkcs7-mime", b"no".to_vec(), unreadable()),
        ("multipart/encrypted; boundary=b", Vec::new(), encrypted()),
        ("application/pgp-encrypted", b"Version: 1".to_vec(), encrypted()),
        ("application/x-microsoft-rpmsg-message; name=message.rpmsg", b"\x76\xe8\x04\x60".to_vec(), encrypted()),
    ];
    for (kind, octets, want) in cases {
        let mut whole = format!("Content-Type: {kind}\r\nContent-Transfer-Encoding: base64\r\n\r\n").into_bytes();
        whole.extend(BASE64_MIME.encode(&octets).into_bytes());
        assert_eq!(look(&Part::read(&whole, false)), want, "{kind}");
    }
    let file = format!(
        "Content-Type: application/pkcs7-mime; name=a.exe.p7m\r\nContent-Transfer-Encoding: base64\r\n\r\n{}",
        BASE64_MIME.encode(&sign("MZ"))
    );
    assert_eq!(content_of_file(&Part::read(file.as_bytes(), false)).as_deref(), Some(&b"MZ"[..]));
}

proptest::proptest! {
    #[test]
    fn any_octets(octets in proptest::collection::vec(proptest::sample::select(vec![0_u8, 1, 2, 4, 6, 0x24, 0x30, 0x31, 0x80, 0x82, 0xa0, 0xff]), 0..60)) {
        let _ = read(&octets);
        let _ = read(&[&signed(b"x", true)[..20], &octets].concat());
    }

    #[test]
    fn signed_content_comes_back(content in proptest::collection::vec(proptest::num::u8::ANY, 0..300), streamed in proptest::bool::ANY) {
        proptest::prop_assert_eq!(read(&signed(&content, streamed)), Some(Cms::Holds(content)));
    }
}
