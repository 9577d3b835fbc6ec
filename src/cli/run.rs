//! `run`: the service in the foreground.

use std::time::{Duration, Instant};

use crossbeam_channel::bounded;

use super::args::{Reach, RunArgs};
use super::error::CliError;
use super::out::Console;
use crate::config::{Account, Config, SimSettings, Sources};
use crate::hub::{AlpacaBroker, HubOptions};
use crate::net::Endpoint;
use crate::observe::{self, Notifier};
use crate::runtime::Threads;
use crate::sim::{Sim, SimConfig};

/// What the log may take to be written at the end.
const LAST_LINES: Duration = Duration::from_millis(200);
const EXITS: usize = 1_024;

pub fn run(args: &RunArgs, reach: &Reach, console: &mut Console) -> Result<(), CliError> {
    let mut sources = Sources::from_process(args.config.clone(), args.sim);
    // The word on the command line is the nearest one, here as for every other command.
    sources.env.extend(reach.redis.iter().map(|url| ("REDIS_URL".to_owned(), url.clone())));
    sources.env.extend(reach.data_dir.iter().map(|folder| ("BROKER_DATA_DIR".to_owned(), folder.display().to_string())));
    let loaded = Config::load(&sources)?;
    let log = observe::init(loaded.config.log_level)?;
    observe::log_panics();
    for warning in &loaded.warnings {
        log::warn!("{warning}");
    }
    let mut config = loaded.config;
    let sim = config.sim.clone().map(|settings| start_exchange(&settings, &mut config)).transpose()?;
    if sim.is_some() {
        console.note("SIMULATED: every price and every order is invented; set PAPER_ALPACA_API_KEY_ID and PAPER_ALPACA_API_SECRET_KEY for real ones");
    }
    let options = HubOptions { log: Some(log.clone()), notifier: Notifier::from_env(), ..HubOptions::default() };
    let broker = AlpacaBroker::new(config, options)?;
    let handle = broker.handle();
    console.stop.on_shutdown(move || handle.stop());
    let served = broker.run();
    if let Some(sim) = sim {
        sim.stop();
    }
    log.flush(Instant::now() + LAST_LINES);
    Ok(served?)
}

/// The exchange inside this process, and the configuration pointed at it.
fn start_exchange(settings: &SimSettings, config: &mut Config) -> Result<Sim, CliError> {
    let (exit, exits) = bounded(EXITS);
    let sim = SimConfig { seed: settings.seed, rate: settings.rate, order_latency: settings.latency, ..SimConfig::default() };
    let sim = Sim::start(sim, &Threads::new(exit))?;
    // Nobody supervises its connections: with the receiver gone their ends are not reported.
    drop(exits);
    let here = Endpoint { secure: false, host: sim.address().ip().to_string(), port: sim.address().port(), path: "/".to_owned() };
    config.market_data.host = here.clone();
    config.market_data.rest = here.clone();
    for Account { api, order_stream, .. } in &mut config.accounts {
        *api = here.clone();
        *order_stream = here.join("stream");
    }
    Ok(sim)
}
