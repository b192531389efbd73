//! `marketrelay check`.

use super::{Context, Failure, Outcome};
use crate::config::Problem;
use crate::config::check::RouteServer;
use crate::notice::Texts;
use crate::outbound::route::{Route, server_key};

/// The syntax of a route, for the configuration's check.
pub(super) fn route(text: &str) -> Result<Option<RouteServer>, String> {
    match text.parse::<Route>() {
        Ok(Route::Host { host, port, tls }) => Ok(Some(RouteServer { key: server_key(&host, port), implicit: tls })),
        Ok(Route::Mx | Route::Maildir(_)) => Ok(None),
        Err(error) => Err(error.to_string()),
    }
}

pub(super) fn run(context: Context<'_>, mut problems: Vec<Problem>) -> Outcome {
    let (_, texts) = Texts::load(context.config.notices.directory.as_deref());
    problems.extend(texts.into_iter().map(|what| Problem {
        place: "notices".to_owned(),
        what,
        remedy: "Mend the file, or take it out for the built-in text".to_owned(),
    }));
    if problems.is_empty() {
        let none: [Problem; 0] = [];
        context.out.done(&serde_json::json!({ "problems": none }), "The configuration is good.")
    } else {
        Err(Failure::Config(problems))
    }
}
