//! `marketrelay check`.

use super::{Context, Outcome, log};
use crate::config::check::RouteServer;
use crate::config::{Config, Problem};
use crate::message::sign::Signer;
use crate::notice::Texts;
use crate::outbound::route::{Route, server_key};
use crate::tls::{Certificate, ClientTls};

/// The syntax of a route, for the configuration's check.
pub(super) fn route(text: &str) -> Result<Option<RouteServer>, String> {
    match text.parse::<Route>() {
        Ok(Route::Host { host, port, tls }) => Ok(Some(RouteServer { key: server_key(&host, port), implicit: tls })),
        Ok(Route::Mx | Route::Maildir(_)) => Ok(None),
        Err(error) => Err(error.to_string()),
    }
}

/// Everything that a daemon with this configuration would stumble over at its start: what it says, and what is in the files that it names.
pub(super) fn problems(config: &Config) -> Vec<Problem> {
    let mut problems = config.check(route);
    // What cannot be read at all has been told.
    let told: Vec<String> = problems.iter().map(|problem| problem.place.clone()).collect();
    // The text's last sentence says what to do.
    let mut add = |place: &str, text: &str| {
        if !told.iter().any(|told| told == place) {
            let (what, remedy) = text.rsplit_once(". ").unwrap_or((text, ""));
            problems.push(Problem { place: place.to_owned(), what: what.to_owned(), remedy: remedy.to_owned() });
        }
    };
    if let (Some(certificate), Some(key)) = (&config.tls.certificate, &config.tls.key)
        && !told.iter().any(|place| place.starts_with("tls."))
        && let Err(error) = Certificate::load(certificate, key)
    {
        add("tls.certificate", &error.to_string());
    }
    if let Err(error) = ClientTls::with_roots(config.tls.extra_roots.as_deref()) {
        add("tls.extra_roots", &error.to_string());
    }
    for (n, dkim) in config.dkim.iter().enumerate() {
        let signer = std::fs::read(&dkim.key).map(|pem| Signer::from_pem("a.example", "a", &pem));
        if let Ok(Err(error)) = signer {
            let remedy = "`marketrelay dkim generate` makes a key, and the record that belongs to it";
            add(&format!("dkim[{n}].key"), &format!("{}: {error}. {remedy}", dkim.key.display()));
        }
    }
    if let Err(error) = log::filter(&config.log.level) {
        add("log.level", &format!("does not read: {error}. Write error, warn, info, debug or trace"));
    }
    let (_, texts) = Texts::load(config.notices.directory.as_deref());
    for what in texts {
        add("notices", &format!("{what}. Mend the file, or take it out for the built-in text"));
    }
    problems
}

pub(super) fn run(context: Context<'_>) -> Outcome {
    let none: [Problem; 0] = [];
    context.out.done(&serde_json::json!({ "problems": none }), "The configuration is good.")
}
