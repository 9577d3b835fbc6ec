//! `check`: is the configuration sound, and what is in force?

use super::args::CheckArgs;
use super::error::CliError;
use super::out::Console;
use crate::config::{Config, Sources};

pub fn run(args: &CheckArgs, console: &mut Console) -> Result<(), CliError> {
    let loaded = Config::load(&Sources::from_process(args.run.config.clone(), args.run.sim))?;
    for warning in &loaded.warnings {
        console.note(&format!("warning: {warning}"));
    }
    if args.show {
        return Ok(console.out.line(loaded.config.masked_yaml().trim_end())?);
    }
    let files: Vec<String> = loaded.files.iter().map(|file| file.display().to_string()).collect();
    let read = if files.is_empty() { "the environment alone".to_owned() } else { files.join(", ") };
    let accounts: Vec<String> = loaded.config.accounts.iter().map(|account| format!("{} ({:?})", account.name, account.environment).to_lowercase()).collect();
    console.out.line(&format!("the configuration is sound: read {read}; accounts {}; Redis {}", accounts.join(", "), loaded.config.redis.place))?;
    Ok(())
}
