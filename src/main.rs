//! The thin binary: arguments in, exit status out.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // The allocator asks for huge pages: measured, they cost an idle relay 10 MiB and a busy one as much time as they save. A kernel that refuses is fine, too.
    let _ = nix::sys::prctl::set_thp_disable(true);
    let (mut out, mut err) = (std::io::stdout().lock(), std::io::stderr());
    ExitCode::from(marketrelay::cli::run(std::env::args_os(), &mut out, &mut err))
}
