//! The command line: parse, call, exit code.
//!
//! `run`, `sim` and `check` compose the library, `explain` reads its journal; all other commands talk to a running broker
//! over Redis and know only what any bot knows.

mod args;
mod check;
mod error;
pub mod exit;
mod explain;
mod logs;
mod messages;
mod orders;
mod out;
mod reach;
mod registration;
mod run;
mod sim;
mod status;
mod tables;
mod watch;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

use self::args::{Cli, Command, RunArgs};
use self::error::CliError;
use self::out::{Colour, Console};
use self::reach::Place;
use crate::runtime::{Stop, StopKind, StopToken};

/// The whole program.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(refusal) => {
            // Help that nobody reads any more is no failure.
            let _ = refusal.print();
            return ExitCode::from(u8::try_from(refusal.exit_code()).unwrap_or(exit::USAGE));
        }
    };
    // A panic was printed where it happened; what is left is to say whose fault it was.
    let code = std::panic::catch_unwind(|| match stop_at_a_signal() {
        Ok(stop) => {
            let mut console = Console::of_process(stop);
            let ended = dispatch(&cli, &|name| std::env::var(name).ok(), &mut console);
            report(&ended, &mut console)
        }
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "error: {error}");
            exit::INTERNAL
        }
    });
    ExitCode::from(code.unwrap_or(exit::INTERNAL))
}

fn dispatch(cli: &Cli, env: &dyn Fn(&str) -> Option<String>, console: &mut Console) -> Result<(), CliError> {
    let default = Command::Run(RunArgs::default());
    let command = cli.command.as_ref().unwrap_or(&default);
    let place = || Place::find(&cli.reach, env);
    match command {
        Command::Run(args) => run::run(args, &cli.reach, console),
        Command::Sim(args) => sim::run(args, console),
        Command::Check(args) => check::run(args, console),
        Command::Status(args) => status::run(args, &place()?, console),
        Command::Watch(args) => watch::run(args, &place()?, console),
        Command::Register(args) => registration::register(args, &place()?, console),
        Command::Unregister(args) => registration::unregister(args, &place()?, console),
        Command::Logs(args) => logs::run(args, &place()?, console),
        Command::Order(args) => orders::order(args, &place()?, console),
        Command::Cancel(args) => orders::cancel(args, &place()?, console),
        Command::CancelAll(args) => orders::cancel_all(args, &place()?, console),
        Command::Orders(args) => orders::ask("orders", args, &place()?, console),
        Command::Fills(args) => orders::fills(args, &place()?, console),
        Command::Positions(args) => orders::ask("positions", args, &place()?, console),
        Command::Balance(args) => orders::ask("balance", args, &place()?, console),
        Command::Reconcile(args) => orders::reconcile(args, &place()?, console),
        Command::Explain(args) => explain::run(args, &cli.reach, env, console),
        Command::Halt(args) => orders::halt(args, &place()?, console),
        Command::Resume(args) => orders::resume(args, &place()?, console),
    }
}

fn report(ended: &Result<(), CliError>, console: &mut Console) -> u8 {
    match ended {
        Ok(()) => exit::OK,
        Err(error) => {
            if !error.is_reader_gone() {
                let word = console.notes.paint(Colour::Bad, "error:");
                let _ = console.notes.line(&format!("{word} {error}"));
            }
            error.exit_code()
        }
    }
}

/// The first signal asks, the second insists.
fn stop_at_a_signal() -> Result<StopToken, CliError> {
    let stop = Stop::new()?;
    let token = stop.token();
    ctrlc::set_handler(move || {
        if stop.is_running() {
            stop.stop(StopKind::Shutdown);
        } else {
            std::process::exit(130);
        }
    })?;
    Ok(token)
}

#[cfg(test)]
mod tests;
