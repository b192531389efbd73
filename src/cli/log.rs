//! Where log lines go: standard error, as text or JSON, or the journal.

use crate::config::{Log, LogFormat};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, fmt};

/// Starts logging.
///
/// # Errors
/// A level that is none, or a journal that is not there.
pub fn start(settings: &Log) -> Result<(), String> {
    let filter = EnvFilter::try_new(&settings.level).map_err(|error| format!("[log] level: {error}"))?;
    let registry = tracing_subscriber::registry().with(filter);
    let started = match settings.format {
        LogFormat::Text => registry.with(fmt::layer().with_writer(std::io::stderr).with_target(false)).try_init(),
        LogFormat::Json => {
            registry.with(fmt::layer().json().flatten_event(true).with_writer(std::io::stderr)).try_init()
        }
        LogFormat::Journal => {
            let journal = tracing_journald::layer()
                .map_err(|error| format!("[log] format: no systemd journal here ({error}); use text or json"))?;
            registry.with(journal).try_init()
        }
    };
    started.map_err(|error| error.to_string())
}
