//! A name server on loopback, for the real binary's `[dns] servers`: TXT records from a map.

use std::collections::HashMap;
use std::net::{SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex};

type Names = Arc<Mutex<HashMap<String, Answer>>>;
type Asked = Arc<Mutex<Vec<String>>>;

/// What a name answers.
#[derive(Clone, Debug)]
pub enum Answer {
    Text(Vec<String>),
    ServFail,
    Silence,
}

/// Serves until the test program ends.
pub struct Zone {
    pub address: SocketAddr,
    names: Names,
    asked: Asked,
}

impl Zone {
    pub fn start() -> Self {
        Self::at("127.0.0.1:0".parse().unwrap())
    }

    pub fn at(address: SocketAddr) -> Self {
        let socket = UdpSocket::bind(address).unwrap();
        let address = socket.local_addr().unwrap();
        let (names, asked) = (Names::default(), Asked::default());
        let (shared, log) = (Arc::clone(&names), Arc::clone(&asked));
        std::thread::spawn(move || {
            let mut buffer = [0; 1500];
            while let Ok((length, from)) = socket.recv_from(&mut buffer) {
                let (name, is_text, question) = question(&buffer[..length]);
                let found = shared.lock().unwrap().get(&name).cloned();
                log.lock().unwrap().push(name);
                if let Some(reply) = reply(&buffer[..2], &question, is_text, found) {
                    let _ = socket.send_to(&reply, from);
                }
            }
        });
        Self { address, names, asked }
    }

    /// Adds a TXT record.
    pub fn text(&self, name: &str, text: &str) {
        let mut names = self.names.lock().unwrap();
        match names.entry(name.to_owned()).or_insert(Answer::Text(Vec::new())) {
            Answer::Text(texts) => texts.push(text.to_owned()),
            trouble => panic!("{name} is {trouble:?}"),
        }
    }

    pub fn trouble(&self, name: &str, how: Answer) {
        self.names.lock().unwrap().insert(name.to_owned(), how);
    }

    /// The names that were asked for since the last call.
    pub fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }
}

/// RFC 1035 4.1.2: the one question's name in lower case, whether it asks for TXT, and its octets.
fn question(query: &[u8]) -> (String, bool, Vec<u8>) {
    let (mut at, mut labels) = (12, Vec::new());
    while query[at] != 0 {
        let length = usize::from(query[at]);
        labels.push(String::from_utf8_lossy(&query[at + 1..=at + length]).to_lowercase());
        at += length + 1;
    }
    (labels.join("."), query[at + 1..at + 3] == [0, 16], query[12..at + 5].to_vec())
}

fn reply(id: &[u8], question: &[u8], is_text: bool, found: Option<Answer>) -> Option<Vec<u8>> {
    let (code, texts) = match found {
        Some(Answer::Silence) => return None,
        Some(Answer::ServFail) => (2, Vec::new()),
        Some(Answer::Text(texts)) if is_text => (0, texts),
        Some(Answer::Text(_)) => (0, Vec::new()),
        None => (3, Vec::new()),
    };
    let mut out = [id, &[0x81, 0x80 | code, 0, 1, 0, u8::try_from(texts.len()).unwrap(), 0, 0, 0, 0]].concat();
    out.extend(question);
    for text in texts {
        let strings: Vec<u8> = text.as_bytes().chunks(255).flat_map(|c| [&[c.len() as u8][..], c].concat()).collect();
        out.extend([0xc0, 12, 0, 16, 0, 1, 0, 0, 0, 60]);
        out.extend(u16::try_from(strings.len()).unwrap().to_be_bytes());
        out.extend(strings);
    }
    Some(out)
}
