//! Where log lines go: standard error, as text or JSON, or the journal.

use crate::config::{Log, LogFormat};
use std::io::IsTerminal as _;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, fmt};

/// A bare level is meant for this program. Libraries promise nothing about what they log: the resolver's debug lines name every domain that it asks for.
fn directives(level: &str) -> String {
    let bare = level.chars().all(|c| c.is_ascii_alphanumeric());
    if bare { format!("off,marketrelay={level}") } else { level.to_owned() }
}

/// Which lines are written.
pub(super) fn filter(level: &str) -> Result<EnvFilter, String> {
    EnvFilter::try_new(directives(level)).map_err(|error| error.to_string())
}

/// What a panic is told by: where it was. Its words may hold a piece of the text that it choked on.
fn panicked(info: &std::panic::PanicHookInfo<'_>) {
    let place = info.location().map(ToString::to_string).unwrap_or_default();
    tracing::error!(place, "panic: a bug in this program; please report it with this line");
}

/// Starts logging, and has panics told there.
///
/// # Errors
/// A level that is none, or a journal that is not there.
pub fn start(settings: &Log) -> Result<(), String> {
    let filter = filter(&settings.level).map_err(|error| format!("[log] level: {error}"))?;
    let registry = tracing_subscriber::registry().with(filter);
    let started = match settings.format {
        LogFormat::Text => {
            // Colours are for people; a file or a journal would keep their codes.
            let colours = std::io::stderr().is_terminal();
            registry.with(fmt::layer().with_writer(std::io::stderr).with_target(false).with_ansi(colours)).try_init()
        }
        LogFormat::Json => {
            registry.with(fmt::layer().json().flatten_event(true).with_writer(std::io::stderr)).try_init()
        }
        LogFormat::Journal => {
            let journal = tracing_journald::layer()
                .map_err(|error| format!("[log] format: no systemd journal here ({error}); use text or json"))?;
            registry.with(journal.with_syslog_identifier("marketrelay".to_owned())).try_init()
        }
    };
    started.map_err(|error| error.to_string())?;
    std::panic::set_hook(Box::new(panicked));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_level_is_ours_alone() {
        let cases = [
            ("debug", "off,marketrelay=debug"),
            ("INFO", "off,marketrelay=INFO"),
            ("info,hickory_resolver=debug", "info,hickory_resolver=debug"),
            ("marketrelay=trace", "marketrelay=trace"),
        ];
        for (level, want) in cases {
            assert_eq!(directives(level), want);
            assert!(EnvFilter::try_new(directives(level)).is_ok());
        }
        assert!(EnvFilter::try_new(directives("loud")).is_err());
    }
}
