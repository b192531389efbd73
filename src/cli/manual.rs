//! `marketrelay man`: one page for all commands, each with a chapter of its own.

use super::Arguments;
use clap::{Command, CommandFactory as _};
use clap_mangen::Man;
use std::io::{Result, Write as _};

/// The page, in roff.
pub(super) fn page() -> Result<Vec<u8>> {
    let command = Arguments::command();
    let mut page = Vec::new();
    Man::new(command.clone()).render(&mut page)?;
    let mut page = String::from_utf8_lossy(&page).into_owned();
    for name in command.get_subcommands().map(Command::get_name).chain(["help"]) {
        // There is no page for each.
        page = page.replace(&format!("marketrelay\\-{name}(1)"), &format!("marketrelay {name}"));
    }
    let mut page = page.into_bytes();
    chapters(&command, "marketrelay", &mut page)?;
    Ok(page)
}

/// A chapter for each command below this one that does something.
fn chapters(command: &Command, path: &str, page: &mut Vec<u8>) -> Result<()> {
    for sub in command.get_subcommands() {
        let path = format!("{path} {}", sub.get_name());
        if sub.has_subcommands() {
            chapters(sub, &path, page)?;
            continue;
        }
        let man = Man::new(sub.clone().bin_name(&path));
        let mut chapter = Vec::new();
        man.render_synopsis_section(&mut chapter)?;
        man.render_description_section(&mut chapter)?;
        man.render_options_section(&mut chapter)?;
        if sub.get_after_help().is_some() {
            man.render_extra_section(&mut chapter)?;
        }
        writeln!(page, ".SH \"{}\"", path.to_uppercase())?;
        let chapter = String::from_utf8_lossy(&chapter).replace(".SH ", ".SS ");
        // The preamble stands at the top.
        for line in chapter.lines().filter(|line| !line.starts_with(".ie ") && !line.starts_with(".el ")) {
            writeln!(page, "{line}")?;
        }
    }
    Ok(())
}
