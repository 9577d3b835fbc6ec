//! `sim`: the built-in exchange as a server of its own.

use crossbeam_channel::{bounded, select};

use super::args::SimArgs;
use super::error::CliError;
use super::out::Console;
use crate::runtime::Threads;
use crate::sim::{Sim, SimConfig, SimKey};

/// Ends of threads that nobody has looked at yet.
const EXITS: usize = 1_024;

pub fn run(args: &SimArgs, console: &mut Console) -> Result<(), CliError> {
    let mut config = SimConfig {
        listen: args.listen,
        tls: args.tls_cert.clone().zip(args.tls_key.clone()),
        seed: args.seed,
        rate: args.rate,
        keys: vec![SimKey { symbol_limit: args.symbol_limit, ..SimKey::default() }],
        ..SimConfig::default()
    };
    if !args.symbols.is_empty() {
        config.symbols.clone_from(&args.symbols);
    }
    let secure = if config.tls.is_some() { "s" } else { "" };
    let (exit, exits) = bounded(EXITS);
    let sim = Sim::start(config, &Threads::new(exit))?;
    let address = sim.address();
    console.out.line(&format!("SIMULATED exchange at http{secure}://{address}, key SIM, secret SIM-SECRET"))?;
    console.out.line(&format!("  prices  ws{secure}://{address}/v2/iex"))?;
    console.out.line(&format!("  orders  ws{secure}://{address}/stream"))?;
    loop {
        select! {
            recv(console.stop.channel()) -> _ => break,
            // Connections come and go; their ends are of no interest here.
            recv(exits) -> _ => {}
        }
    }
    sim.stop();
    Ok(())
}
