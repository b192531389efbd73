//! `marketrelay check`.

use super::{Context, Outcome, listed, log};
use crate::config::check::RouteServer;
use crate::config::{Config, Problem};
use crate::message::sign::Signer;
use crate::notice::Texts;
use crate::outbound::route::{Route, server_key};
use crate::serve::own_domains;
use crate::store::{FILES, Flaw, Flawed, Store};
use crate::tls::{Certificate, ClientTls};
use crate::types::is_language_tag;
use std::path::Path;

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
        if !told.iter().any(|told| told.starts_with(place)) {
            let (what, remedy) = text.rsplit_once(". ").unwrap_or((text, ""));
            problems.push(Problem::new(place, what, remedy));
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
    for (key, login) in &config.delivery.credentials {
        let first = std::fs::read_to_string(&login.password_file).map(|text| text.lines().next().unwrap_or("").len());
        if let Ok(0) = first {
            let place = format!("delivery.credentials.\"{key}\".password_file");
            add(
                &place,
                &format!("{} has an empty first line. Write the password there", login.password_file.display()),
            );
        }
    }
    problems
}

/// What works and should not be so. `file` is where the configuration was read.
pub(super) fn warnings(config: &Config, file: &Path) -> Vec<Problem> {
    let mut warnings = config.warnings(file, &FILES);
    let (texts, _) = Texts::load(config.notices.directory.as_deref());
    for (n, shop) in config.marketplace.iter().enumerate() {
        if is_language_tag(&shop.language) && !texts.has(&shop.language) {
            let place = format!("marketplace[{n}].language");
            let what = "is a language that there are no texts in: notices are in English";
            let remedy = format!("Write one of {}, or add texts in [notices]", texts.languages().join(", "));
            warnings.push(Problem::new(place, what, remedy));
        }
    }
    warnings
}

/// What is wrong with parties that are registered already: a warning for each kind.
fn registered(config: &Config) -> Vec<Problem> {
    let warning = |what: String, remedy: &str| Problem::new("data_dir", what, remedy);
    let flawed = match Store::peek(&config.data_dir, |view| view.flawed(&own_domains(config))) {
        Ok(flawed) => flawed.unwrap_or_default(),
        Err(error) => {
            let what = format!("the registered parties could not be looked at ({error})");
            return vec![warning(what, "Run this as root, or as the user that the daemon runs as")];
        }
    };
    let told = |Flawed { flaw, count, first }: Flawed| {
        let mut names: Vec<String> = first.iter().map(|(shop, role, id)| format!("{role} {id} of {shop}")).collect();
        if count > names.len() as u64 {
            names.push("…".to_owned());
        }
        let names = names.join(", ");
        match flaw {
            Flaw::Domain => warning(
                format!(
                    "{count} registered address(es) lie in an alias domain or at the relay's own host name: {names}"
                ),
                "Give each the party's own address with `seller set` or `buyer set`: mail to these comes back here",
            ),
            Flaw::Name => warning(
                format!("{count} registered name(s) hold a line break or another control character: {names}"),
                "Write each on one line with `seller set` or `buyer set`",
            ),
        }
    };
    flawed.into_iter().map(told).collect()
}

pub(super) fn run(context: Context<'_>, mut warnings: Vec<Problem>) -> Outcome {
    warnings.extend(registered(&context.config));
    let said = match warnings.len() {
        0 => "The configuration is good.".to_owned(),
        count => format!("The configuration is good, with {count} warning(s):{}", listed(&warnings)),
    };
    let none: [Problem; 0] = [];
    context.out.done(&serde_json::json!({ "problems": none, "warnings": warnings }), &said)
}
