//! `marketrelay demo`: the command; the demonstration itself is `crate::demo`.

use super::output::Output;
use super::{Failure, Outcome, runtime};
use std::net::SocketAddr;
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Where store and Maildirs go; a new temporary directory if left out
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Where to listen
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:2525")]
    listen: SocketAddr,
}

impl Arguments {
    pub(super) fn run(self, mut out: Output<'_>) -> Outcome {
        if !self.listen.ip().is_loopback() {
            return Err(Failure::Failed("the demo believes everybody: it listens on loopback only".to_owned()));
        }
        let demo = crate::demo::prepare(self.dir, self.listen).map_err(Failure::Failed)?;
        if out.is_json() {
            let document = demo.document();
            out.line(&serde_json::to_string(&document).unwrap_or_default())?;
        } else {
            out.line(&demo.introduction())?;
        }
        let json = out.is_json();
        let tell = |text: &str| if json { Ok(()) } else { out.line(text).map_err(|_| ()) };
        runtime()?.block_on(demo.run(tell)).map_err(Failure::Failed)
    }
}
