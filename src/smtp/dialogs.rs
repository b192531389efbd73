//! SMTP dialogs: `tests/dialogs/*.txt` against the real connection over an in-memory pipe with a paused clock, and a random walk of the session against
//! a model of it.
//!
//! A dialog's lines: `C: text` sends a line, `C< text` sends octets without CRLF (`\r`, `\n`, `\0`, `\xNN` are read), `S: text` is the one reply line
//! expected, `X:` expects the end of the connection, `T: 90` lets so many seconds pass, `# why`. The first line may set `trusted`, `submission`
//! and `encrypted`; `# full` as its beginning means a disk without space.
//! The handler accepts `ok@m.test`, and answers a message with its size; `panic@m.test` panics. It knows the login of RFC 7677: `user`,
//! `pencil`; `panic` panics there too.

use super::connection::Connection;
use super::incoming::Budget;
use super::server::Shared;
use super::session::{Next, Session, Settings};
use super::space::Space;
use super::*;
use crate::config::{Limits, Size};
use crate::metrics::Metrics;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::sync::watch;

pub(super) struct Echo;

impl Handler for Echo {
    fn recipient(&self, _: &Client, _: Option<&Address>, recipient: &Address) -> Result<(), Reply> {
        match recipient.expose() {
            "panic@m.test" | "postmaster@mx.test" => Ok(()),
            name if name.starts_with("ok") && recipient.domain() == "m.test" => Ok(()),
            _ if recipient.domain() == "m.test" => Err(Reply::new(550, 1, 1, "No such address")),
            _ => Err(Reply::new(550, 7, 1, "No relaying")),
        }
    }

    async fn message(self: Arc<Self>, client: Client, envelope: Envelope, raw: Bytes) -> Reply {
        assert!(!envelope.recipients.iter().any(|r| r.local() == "panic"), "a bug in the handler");
        if raw.starts_with(b"Subject: later") {
            return Reply::new(451, 3, 0, "Later");
        }
        if raw.starts_with(b"Subject: enough") {
            return Reply::new(550, 7, 1, "No").closing();
        }
        let (bytes, recipients) = (raw.len(), envelope.recipients.len());
        let login = client.login.map_or(String::new(), |login| format!(" as {}", login.0));
        Reply::new(250, 6, 0, format!("{bytes} octets for {recipients} from {} {}{login}", client.ip, client.helo))
    }

    async fn login(self: Arc<Self>, _: Client, attempt: Attempt) -> Answer {
        let salt = b"[m\x99h\x9d\x125\x8e\xec\xa0K\x14\x126\xfa\x81".to_vec();
        let (party, iterations) = (crate::types::PartyId(5), 4096);
        match attempt {
            Attempt::Password { login, .. } if login == "panic" => panic!("a bug in the handler"),
            Attempt::Password { login, password } if login == "user" && password == "pencil" => {
                Answer::Granted { party, signature: [0; 32] }
            }
            Attempt::Salt { .. } => Answer::Salt { salt, iterations, nonce: "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0".into() },
            Attempt::Proof { login, message, proof } if login == "user" => {
                let keys = crate::authentication::password::scram_keys("pencil", salt, iterations);
                let signature = crate::authentication::password::scram_signature(&keys, &message, &proof);
                signature.map_or(Answer::Refused(auth::wrong()), |signature| Answer::Granted { party, signature })
            }
            _ => Answer::Refused(auth::wrong()),
        }
    }
}

pub(super) fn settings() -> Settings {
    let limits = Limits {
        recipients: 3,
        command_line: 128,
        junk_commands: 13,
        errors_soft: 4,
        errors_hard: 6,
        free_space: Size(0),
        ..Limits::default()
    };
    Settings { hostname: "mx.test".into(), limits, max_message: 2000, starttls: false, submission: false }
}

fn shared(settings: Settings, memory: u64, stopping: watch::Receiver<bool>) -> Arc<Shared<Echo>> {
    let floor = settings.limits.free_space.0;
    Arc::new(Shared {
        handler: Arc::new(Echo),
        settings: Arc::new(settings),
        metrics: Metrics::default(),
        memory: Budget::new(memory),
        spool: std::env::temp_dir(),
        quiet: Arc::default(),
        space: Arc::new(Space::new(std::env::temp_dir(), floor)),
        stopping,
    })
}

fn client(trusted: bool) -> Client {
    Client { ip: [192, 0, 2, 1].into(), helo: String::new(), tls: false, trusted, login: None }
}

fn unescape(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c, c == '\\').1.then(|| chars.next().unwrap()) {
            None => out.extend(c.to_string().bytes()),
            Some('r') => out.push(b'\r'),
            Some('n') => out.push(b'\n'),
            Some('0') => out.push(0),
            Some('x') => {
                let hex: String = chars.by_ref().take(2).collect();
                out.push(u8::from_str_radix(&hex, 16).unwrap());
            }
            Some(other) => panic!("\\{other}"),
        }
    }
    out
}

async fn run(path: &Path) {
    let script = std::fs::read_to_string(path).unwrap();
    let (stop, stopping) = watch::channel(false);
    let (ours, theirs) = tokio::io::duplex(1 << 20);
    let first = script.lines().next().unwrap();
    let client = Client { tls: first.contains("encrypted"), ..client(first.contains("trusted")) };
    let mut settings = settings();
    settings.submission = first.contains("submission");
    settings.limits.free_space = Size(if first.starts_with("# full") { u64::MAX } else { 0 });
    settings.limits.command_line += if settings.submission { 128 } else { 0 };
    let connection = Connection::new(theirs, client, shared(settings, 1 << 16, stopping), None);
    tokio::spawn(connection.run(false));
    let (read, mut write) = tokio::io::split(ours);
    let mut read = BufReader::new(read);
    let mut replies = 0;
    for (number, line) in script.lines().enumerate() {
        let place = format!("{}:{}", path.file_name().unwrap().display(), number + 1);
        let (what, rest) = line.split_at_checked(2).unwrap_or((line, ""));
        let rest = rest.strip_prefix(' ').unwrap_or(rest);
        match what {
            "C:" => write.write_all(format!("{rest}\r\n").as_bytes()).await.expect(&place),
            "C<" => write.write_all(&unescape(rest)).await.expect(&place),
            "T:" => tokio::time::sleep(Duration::from_secs(rest.parse().expect(&place))).await,
            "Q:" => stop.send(true).unwrap(),
            "S:" => {
                let mut got = String::new();
                read.read_line(&mut got).await.expect(&place);
                assert_eq!(got.trim_end_matches("\r\n"), rest, "{place}");
                replies += 1;
            }
            "X:" => {
                let mut got = String::new();
                read.read_to_string(&mut got).await.expect(&place);
                assert_eq!(got, "", "{place}: the end");
                replies += 1;
            }
            "" => {}
            _ => assert!(line.starts_with('#'), "{place}: {line}"),
        }
    }
    assert!(replies > 1, "{}: expects nothing", path.display());
}

#[test]
fn dialogs() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dialogs");
    let mut names: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    assert!(names.len() >= 10);
    let failed: Vec<_> = names
        .iter()
        .filter(|path| {
            let dialog = || {
                let mut runtime = tokio::runtime::Builder::new_current_thread();
                runtime.enable_time().start_paused(true).build().unwrap().block_on(run(path));
            };
            std::panic::catch_unwind(dialog).is_err()
        })
        .collect();
    assert!(failed.is_empty(), "{failed:?}");
}

/// A message that memory has no room for waits on disk, and arrives whole; one for which there is never room is put off.
#[tokio::test(start_paused = true)]
async fn memory_is_a_budget() {
    let whole = "250 2.6.0 300000 octets";
    // Others hold all room for what arrives; for what is whole; for how long. The reply.
    let cases = [(false, None, whole), (true, None, whole), (true, Some(30), whole), (true, Some(90), "452 4.3.1")];
    for (slow_clients, judged, want) in cases {
        let (_stop, stopping) = watch::channel(false);
        let shared = shared(Settings { max_message: 1 << 20, ..settings() }, 4 << 20, stopping);
        let all = |of: &Arc<tokio::sync::Semaphore>| {
            let free = u32::try_from(of.available_permits()).unwrap();
            Arc::clone(of).try_acquire_many_owned(free).unwrap()
        };
        let _slow = slow_clients.then(|| all(&shared.memory.arriving));
        if let Some(seconds) = judged {
            let hog = all(&shared.memory.whole);
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_secs(seconds)).await;
                drop(hog);
            });
        }
        let (ours, theirs) = tokio::io::duplex(1 << 16);
        tokio::spawn(Connection::new(theirs, client(false), Arc::clone(&shared), None).run(false));
        let (read, mut write) = tokio::io::split(ours);
        let mut lines = BufReader::new(read).lines();
        write.write_all(b"HELO a\r\nMAIL FROM:<>\r\nRCPT TO:<ok@m.test>\r\nDATA\r\n").await.unwrap();
        for _ in 0..5 {
            lines.next_line().await.unwrap();
        }
        let line = [b"x".repeat(998), b"\r\n".to_vec()].concat();
        for _ in 0..300 {
            write.write_all(&line).await.unwrap();
        }
        write.write_all(b".\r\n").await.unwrap();
        let reply = lines.next_line().await.unwrap().unwrap();
        assert!(reply.starts_with(want), "{slow_clients} {judged:?}: {reply}");
        let used = shared.metrics.memory.get();
        assert_eq!(used > 0, slow_clients, "{used}: all is given back that others do not hold");
    }
}

/// What the model knows: the words of RFC 5321 4.1.4, and nothing of the implementation.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Model {
    Connected,
    Ready,
    Mail { refused: bool },
    Recipients,
}

#[test]
fn a_random_walk_agrees_with_the_model() {
    use crate::types::{Random as _, random::Seeded};
    let limits =
        Limits { junk_commands: usize::MAX, errors_soft: usize::MAX, errors_hard: usize::MAX, ..Limits::default() };
    let settings = Arc::new(Settings { limits, ..settings() });
    let words = [
        "EHLO a",
        "HELO a",
        "MAIL FROM:<a@b.test>",
        "MAIL FROM:<>",
        "MAIL FROM:<a@b.test> SIZE=9999",
        "RCPT TO:<ok@m.test>",
        "RCPT TO:<no@m.test>",
        "RCPT TO:<a@else.test>",
        "DATA",
        "RSET",
        "NOOP",
        "VRFY x",
        "HELP",
        "STARTTLS",
        "NONSENSE",
        "MAIL FROM:x",
    ];
    let mut random = Seeded::new(2026);
    let mut visited = std::collections::HashSet::new();
    for _walk in 0..6000 {
        let mut session = Session::new(Arc::clone(&settings), client(false));
        let mut model = Model::Connected;
        let mut history = String::new();
        for _ in 0..12 {
            let word = words[random.below(words.len())];
            visited.insert(format!("{model:?} {word}"));
            let (code, next) = match (word, model) {
                ("EHLO a" | "HELO a", _) => (250, Model::Ready),
                ("RSET", Model::Connected) => (250, Model::Connected),
                ("RSET", _) => (250, Model::Ready),
                ("NOOP", same) => (250, same),
                ("VRFY x", same) => (252, same),
                ("HELP", same) => (214, same),
                ("STARTTLS", same) => (502, same),
                ("NONSENSE", same) => (500, same),
                ("MAIL FROM:x", same) => (501, same),
                ("MAIL FROM:<a@b.test> SIZE=9999", Model::Ready) => (552, Model::Ready),
                (mail, Model::Ready) if mail.starts_with("MAIL") => (250, Model::Mail { refused: false }),
                (mail, same) if mail.starts_with("MAIL") => (503, same),
                (rcpt, same @ (Model::Connected | Model::Ready)) if rcpt.starts_with("RCPT") => (503, same),
                ("RCPT TO:<ok@m.test>", _) => (250, Model::Recipients),
                (rcpt, Model::Mail { .. }) if rcpt.starts_with("RCPT") => (550, Model::Mail { refused: true }),
                (rcpt, same) if rcpt.starts_with("RCPT") => (550, same),
                ("DATA", Model::Recipients) => (354, Model::Ready),
                ("DATA", Model::Mail { refused: true }) => (554, Model::Mail { refused: true }),
                (_, same) => (503, same),
            };
            let mut lookup = |client: &Client, sender: Option<&Address>, recipient: &Address| {
                Echo.recipient(client, sender, recipient)
            };
            let step = session.line(word.as_bytes(), &mut lookup);
            let _ = writeln!(history, "{word} -> {}", step.reply.code());
            assert_eq!(step.reply.code(), code, "{model:?}\n{history}");
            if step.next == Next::Data {
                let envelope = session.data_end().expect("an envelope");
                assert_eq!(envelope.recipients.len(), 1, "{history}");
                // Refused or not: the envelope is gone.
                let reply = if random.below(2) == 0 { Reply::new(250, 0, 0, "") } else { Reply::new(554, 6, 0, "") };
                session.data_reply(reply);
                assert!(session.data_end().is_none());
            }
            model = next;
        }
    }
    assert!(visited.len() >= 60, "the walk saw only {}", visited.len());
}

/// Whatever is said in whatever order: nobody sends on a submission listener who did not give the right password under TLS, in this session and since TLS began.
#[tokio::test]
async fn no_walk_leads_past_the_login() {
    use crate::types::{Random as _, random::Seeded};
    let limits =
        Limits { junk_commands: usize::MAX, errors_soft: usize::MAX, errors_hard: usize::MAX, ..Limits::default() };
    let settings = Arc::new(Settings { limits, submission: true, starttls: true, ..settings() });
    // \0user\0pencil, the same with another password, and the two words of LOGIN
    let words = [
        "EHLO a",
        "STARTTLS",
        "AUTH PLAIN AHVzZXIAcGVuY2ls",
        "AUTH PLAIN AHVzZXIAcGVuY2lk",
        "AUTH PLAIN",
        "AHVzZXIAcGVuY2ls",
        "AUTH LOGIN",
        "AUTH LOGIN dXNlcg==",
        "dXNlcg==",
        "cGVuY2ls",
        "AUTH SCRAM-SHA-256 biwsbj11c2VyLHI9ck9wck5HZndFYmVSV2diTkVrcU8=",
        "",
        "*",
        "XCLIENT ADDR=198.51.100.7",
        "RSET",
        "MAIL FROM:<a@b.test>",
    ];
    let mut random = Seeded::new(4954);
    let (mut sent, mut granted_in_all) = (0, 0);
    for walk in 0..3000 {
        let mut session = Session::new(Arc::clone(&settings), client(walk % 2 == 0));
        // What a careful observer believes.
        let (mut tls, mut granted) = (false, false);
        let mut history = String::new();
        for _ in 0..24 {
            let word = words[random.below(words.len())];
            let mut step = session.line(word.as_bytes(), &mut |_, _, _| Ok(()));
            if step.next == Next::Login {
                let attempt = session.attempt().expect("something to ask");
                let right = matches!(&attempt, Attempt::Password { login, password } if login == "user" && password == "pencil");
                let answer = Arc::new(Echo).login(session.client().clone(), attempt).await;
                step = session.login_answer(answer);
                assert_eq!(step.reply.code() == 235, right && tls, "{history}{word}");
                granted |= right;
                granted_in_all += usize::from(right);
            }
            let _ = writeln!(history, "{word} -> {}", step.reply.code());
            match step.next {
                Next::Tls => {
                    session.tls_started();
                    (tls, granted) = (true, false);
                }
                Next::Close => break,
                _ => {}
            }
            // The front speaks for another client from now on.
            granted &= !(word.starts_with("XCLIENT") && step.reply.code() == 220);
            if word.starts_with("MAIL") && step.reply.code() == 250 {
                assert!(tls && granted, "{history}");
                sent += 1;
            }
            assert_eq!(session.client().login.is_some(), granted, "{history}");
        }
    }
    assert!(sent > 50 && granted_in_all > 100, "the walks saw too little: {sent} {granted_in_all}");
}
