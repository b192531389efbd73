//! `marketrelay demo`: the command; the demonstration itself is `crate::demo`.

use super::output::Output;
use super::{Failure, Outcome, runtime};
use std::cell::RefCell;
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
    pub(super) fn run(self, out: Output<'_>) -> Outcome {
        if !self.listen.ip().is_loopback() {
            return Err(Failure::Failed("the demo believes everybody: it listens on loopback only".to_owned()));
        }
        let demo = crate::demo::prepare(self.dir, self.listen).map_err(Failure::Failed)?;
        let json = out.is_json();
        let introduction = if json { demo.document().to_string() } else { demo.introduction() };
        let out = RefCell::new(out);
        let say = |text: &str| out.borrow_mut().line(text).map_err(|_| ());
        let tell = |text: &str| if json { Ok(()) } else { say(text) };
        runtime()?.block_on(demo.run(|| say(&introduction), tell)).map_err(Failure::Failed)
    }
}
