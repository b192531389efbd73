//! The shipped file against the defaults, and every problem with its remedy.

use super::*;
use std::collections::BTreeSet;

const SHIPPED: &str = include_str!("../../conf/marketrelay.toml");

fn route(text: &str) -> Result<Option<check::RouteServer>, String> {
    let server = |key: &str, implicit| Some(check::RouteServer { key: key.into(), implicit });
    match (text, text.strip_prefix("smtp://"), text.strip_prefix("smtps://")) {
        ("mx", ..) => Ok(None),
        (_, Some(key), _) => Ok(server(key, false)),
        (_, _, Some(key)) => Ok(server(key, true)),
        _ => Err("write mx or smtp://HOST:PORT".into()),
    }
}

/// The shipped file with all its keys in force but the examples that need files or have no default.
fn uncommented() -> String {
    let skip = [
        "certificate",
        "key ",
        "authserv_id",
        "directory",
        "address = \"127.0.0.1:9125\"",
        "[[dkim]]",
        "[[listener]]",
        "address = \"0.0.0.0:465\"",
        "kind = \"submission\"",
        "tls = \"implicit\"",
        "marketplace = ",
        "selector",
        "extra_roots",
        "[delivery.credentials",
        "user",
        "password_file",
    ];
    let line = |line: &'static str| match line.strip_prefix('#') {
        Some(key) if !key.starts_with(' ') && !skip.iter().any(|s| key.starts_with(s)) => key,
        _ => line,
    };
    SHIPPED.lines().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_shipped_file_tells_the_defaults() {
    let shipped = parse(SHIPPED).unwrap();
    let told = parse(&uncommented()).unwrap();
    assert_eq!(shipped, told, "a key behind # is at its default");
    let examples = Config {
        hostname: shipped.hostname.clone(),
        operator: shipped.operator.clone(),
        marketplace: shipped.marketplace.clone(),
        listener: shipped.listener.clone(),
        ..Config::default()
    };
    assert_eq!(shipped, examples);
    assert_eq!(shipped.check(route), [], "and it is a good configuration but for the files it names");
}

#[test]
fn the_shipped_file_names_every_key() {
    fn keys(value: &toml::Value, into: &mut BTreeSet<String>) {
        match value {
            toml::Value::Table(table) => table.iter().for_each(|(key, value)| {
                into.insert(key.clone());
                keys(value, into);
            }),
            toml::Value::Array(items) => items.iter().for_each(|item| keys(item, into)),
            _ => {}
        }
    }
    let mut full = parse(&uncommented()).unwrap();
    full.tls = Tls { certificate: Some("c".into()), key: Some("k".into()), extra_roots: Some("r".into()) };
    full.delivery.credentials.insert("h:1".into(), Credentials { user: "u".into(), password_file: "f".into() });
    full.authentication.authserv_id = Some("x".into());
    full.notices.directory = Some("d".into());
    full.metrics.address = "127.0.0.1:1".parse().ok();
    full.dkim = vec![Dkim { marketplace: "m".into(), selector: "s".into(), key: "k".into() }];
    let mut names = BTreeSet::new();
    keys(&toml::Value::try_from(&full).unwrap(), &mut names);
    names.remove("h:1");
    for name in names {
        let told = [
            format!("{name} = "),
            format!("[{name}."),
            format!("[{name}]"),
            format!(".{name}."),
            format!(".{name}]"),
            format!("[[{name}]]"),
        ];
        assert!(told.iter().any(|form| SHIPPED.contains(form)), "{name} is not in conf/marketrelay.toml");
    }
}

/// Two routes to servers, one with TLS from the first octet.
fn routed(config: &mut Config) {
    for (domain, to) in [("routed.test", "smtp://smart:25"), ("safe.test", "smtps://safe:465")] {
        config.delivery.routes.insert(domain.into(), to.into());
    }
}

fn tls_for(config: &mut Config, key: &str, level: TlsLevel) {
    routed(config);
    config.delivery.tls_for.insert(key.into(), level);
}

fn login(config: &mut Config, key: &str, user: &str, file: &str) {
    routed(config);
    let credentials = Credentials { user: user.into(), password_file: file.into() };
    config.delivery.credentials.insert(key.into(), credentials);
}

#[test]
fn every_problem_at_once_with_its_remedy() {
    // what is put into (or instead of) a good file, places of the problems
    let good = "hostname = 'mx.m.test'\n[[marketplace]]\nid = 'm'\ndomain = 'm.test'\nname = 'M'\n[[listener]]\naddress = '127.0.0.1:25'\n";
    assert_eq!(parse(good).unwrap().check(route), []);
    let cases: &[(&str, &[&str])] = &[
        ("hostname = ", &["syntax"]),
        ("", &["hostname", "marketplace", "listener"]),
        (
            "colour = 1\n[log]\nlevel = 3\nformat = 'odd'\n[limits]\nidle = 'soon'\n",
            &["colour", "log.level", "log.format", "limits.idle", "hostname", "marketplace", "listener"],
        ),
        (
            "[[listener]]\naddress = 'x'\n[[listener]]\naddress = '127.0.0.1:1'\ntls = 'maybe'\n",
            &["listener[0].address", "listener[1].tls", "hostname", "marketplace"],
        ),
        // What does not read hides nothing of the rest, and is not told twice.
        (
            "hostname = 'x'\n[limits]\nmemory = '5 furlongs'\nrecipients = 0\n[tls]\nkeys = ''\n[[listener]]\naddress = '127.0.0.1:1'\ntls = 'starttls'\n",
            &["hostname", "limits.memory", "limits.recipients", "tls.keys", "marketplace"],
        ),
        (
            "[[marketplace]]\nid = 'm'\n[[dkim]]\nmarketplace = 'm'\nselector = 's'\nkey = '/dev/null'\n",
            &["marketplace[0].domain", "marketplace[0].name", "hostname", "listener"],
        ),
    ];
    for (text, places) in cases {
        let loaded = super::load::examine(text);
        let problems = loaded.problems(loaded.config.check(route));
        let got: Vec<&str> = problems.iter().map(|p| p.place.as_str()).collect();
        assert_eq!(got, *places, "{text}");
        assert!(problems.iter().all(|p| !p.what.is_empty() && !p.remedy.is_empty()));
    }
    type Change = fn(&mut Config);
    let changes: &[(Change, &str)] = &[
        (|c| c.hostname = "x".into(), "hostname"),
        (|c| c.data_dir = "here".into(), "data_dir"),
        (|c| c.operator = Some("a@m.test".into()), "operator"),
        (|c| c.operator = Some("nobody".into()), "operator"),
        (|c| c.marketplace[0].domain = "a-rather-long-alias-domain.example".into(), "marketplace[0].domain"),
        (|c| c.marketplace[0].domain = "-".into(), "marketplace[0].domain"),
        (|c| c.marketplace[0].id = "a b".into(), "marketplace[0].id"),
        (|c| c.marketplace[0].language = "x".into(), "marketplace[0].language"),
        (|c| c.marketplace[0].time_zone = "Mars/Base".into(), "marketplace[0].time_zone"),
        (|c| c.marketplace[0].name = " ".into(), "marketplace[0].name"),
        (|c| c.marketplace[0].name = "M\r\nBcc: x".into(), "marketplace[0].name"),
        (|c| c.marketplace[0].name = "M\u{202e}".into(), "marketplace[0].name"),
        (|c| c.marketplace.push(c.marketplace[0].clone()), "marketplace[1].id marketplace[1].domain"),
        (|c| c.listener[0].tls = ListenerTls::Starttls, "listener[0].tls"),
        (|c| c.listener[0].trusted_networks = vec!["10/8".into()], "listener[0].trusted_networks[0]"),
        (|c| c.listener[0].trusted_networks = vec!["0.0.0.0/0".into()], "listener[0].trusted_networks"),
        (
            |c| c.listener[0].trusted_networks = vec!["10.0.0.0/8".into(), "::/1".into(), "x".into()],
            "listener[0].trusted_networks[2] listener[0].trusted_networks",
        ),
        (|c| c.listener[0].trusted_networks = vec!["17.0.0.0/8".into()], ""),
        (|c| c.listener[0].proxy_protocol = true, "listener[0].proxy_protocol"),
        (|c| c.listener.push(c.listener[0].clone()), "listener[1].address"),
        (
            |c| {
                c.authentication.mode = AuthenticationMode::None;
                c.listener[0].address = "0.0.0.0:25".parse().unwrap();
            },
            "listener[0].address",
        ),
        (|c| c.listener[0].kind = ListenerKind::Submission, "listener[0].tls"),
        (
            |c| {
                c.authentication.mode = AuthenticationMode::None;
                c.listener[0].address = "0.0.0.0:465".parse().unwrap();
                c.listener[0].kind = ListenerKind::Submission;
                c.listener[0].tls = ListenerTls::Implicit;
                c.tls = Tls { certificate: Some("/dev/null".into()), key: Some("/dev/null".into()), ..Tls::default() };
            },
            "",
        ),
        (|c| c.authentication.mode = AuthenticationMode::Front, "authentication.authserv_id listener.trusted_networks"),
        (
            |c| c.authentication.providers = vec!["mail.test".into(), "ann@mail.test".into()],
            "authentication.providers[1]",
        ),
        (|c| c.authentication.tags = vec!["localhost".into()], "authentication.tags[0]"),
        (|c| c.tls.key = Some("/nowhere/key.pem".into()), "tls tls.key"),
        (
            |c| c.dkim = vec![Dkim { marketplace: "x".into(), selector: "a b".into(), key: "/nowhere".into() }],
            "dkim[0].key dkim[0].marketplace dkim[0].selector",
        ),
        (|c| c.notices.directory = Some("/nowhere".into()), "notices.directory"),
        (|c| c.delivery.route = "carrier pigeon".into(), "delivery.route"),
        (|c| drop(c.delivery.routes.insert("@x".into(), "mx".into())), "delivery.routes.\"@x\""),
        (|c| c.tls.extra_roots = Some("/nowhere/ca.pem".into()), "tls.extra_roots"),
        (|c| tls_for(c, "b.test", TlsLevel::None), ""),
        (|c| tls_for(c, "B.test", TlsLevel::None), "delivery.tls_for.\"B.test\""),
        (|c| tls_for(c, "routed.test", TlsLevel::Required), "delivery.tls_for.\"routed.test\""),
        (|c| tls_for(c, "smart:25", TlsLevel::Required), ""),
        (|c| tls_for(c, "smart:26", TlsLevel::Required), "delivery.tls_for.\"smart:26\""),
        (|c| tls_for(c, "safe:465", TlsLevel::Opportunistic), "delivery.tls_for.\"safe:465\""),
        (|c| login(c, "smart:25", "u", "/dev/null"), "delivery.credentials.\"smart:25\""),
        (
            |c| {
                login(c, "smart:25", "u", "/dev/null");
                tls_for(c, "smart:25", TlsLevel::Required);
            },
            "",
        ),
        (
            |c| {
                login(c, "smart:25", "u", "/dev/null");
                c.delivery.tls = TlsLevel::Required;
            },
            "",
        ),
        (|c| login(c, "safe:465", "u", "/dev/null"), ""),
        (|c| login(c, "safe:465", "", "/dev/null"), "delivery.credentials.\"safe:465\".user"),
        (|c| login(c, "safe:465", "u", "/nowhere"), "delivery.credentials.\"safe:465\".password_file"),
        (|c| login(c, "safe", "u", "/dev/null"), "delivery.credentials.\"safe\""),
        (|c| c.policy.quota.window_days = 0, "policy.quota.window_days"),
        (|c| c.policy.opt_out.critical_tags = vec![" ".into()], "policy.opt_out.critical_tags[0]"),
        (|c| c.policy.attachments.max_total = Size::mib(26), "policy.attachments.max_total"),
        (|c| c.history.keep_days = 0, "history.keep_days"),
        (|c| c.limits.connections = 0, "limits.connections"),
        (|c| c.limits.idle = Span::seconds(0), "limits.idle"),
        (|c| c.limits.command_line = 100, "limits.command_line"),
        (|c| c.limits.mime_depth = 1000, "limits.mime_depth"),
        (|c| c.limits.message_work = 99, "limits.message_work"),
        (|c| c.limits.memory = Size::mib(30), "limits.memory"),
        (|c| c.limits.spool_above = Size::mib(65), "limits.spool_above"),
        (|c| c.limits.operator_message_size = Size::kib(63), "limits.operator_message_size"),
        (|c| c.limits.operator_octets = Size::mib(31), "limits.operator_octets"),
        (|c| c.limits.operator_messages = 76, "limits.operator_messages_in_all"),
        (|c| c.queue.retry_first = Span::seconds(86_400), "queue"),
    ];
    for (change, places) in changes {
        let mut config = parse(good).unwrap();
        change(&mut config);
        let problems = config.check(route);
        let got: Vec<&str> = problems.iter().map(|p| p.place.as_str()).collect();
        assert_eq!(got.join(" "), *places);
        assert!(problems.iter().all(|p| !p.what.is_empty() && p.remedy.len() > 8), "{problems:?}");
    }
}

#[test]
fn quantities() {
    let read = |text: &str| parse(&format!("[limits]\nidle = {text}\n")).map(|c| c.limits.idle.0.as_millis());
    for (text, want) in [
        ("'90 s'", 90_000),
        ("'5 min'", 300_000),
        ("'4h'", 14_400_000),
        ("'1 d'", 86_400_000),
        ("7", 7000),
        ("'250 ms'", 250),
    ] {
        assert_eq!(read(text), Ok(want), "{text}");
    }
    for text in ["''", "'5'x", "-1", "'5 weeks'", "'99999999999999999999 d'", "1.5", "'999999999999999999 d'"] {
        assert!(read(text).is_err(), "{text}");
    }
}

proptest::proptest! {
    #[test]
    fn any_text_gets_an_answer(text in "[\\[\\]=a-z0-9\"' \n.#{}]{0,80}") {
        let _ = parse(&text).map(|config| config.check(route));
    }

    #[test]
    fn known_keys_with_any_value(key in proptest::sample::select(vec!["hostname", "limits.idle", "listener", "delivery.routes", "marketplace", "queue", "dkim"]),
        value in "[\\[\\]=a-z0-9\"' .{}]{0,30}") {
        let _ = parse(&format!("{key} = {value}")).map(|config| config.check(route));
    }
}
