//! `sim`: the built-in exchange as a server of its own.

use std::time::Duration;

use crossbeam_channel::{bounded, select};

use super::args::{FaultWish, HoursWord, SimArgs};
use super::error::CliError;
use super::out::{Colour, Console};
use crate::runtime::Threads;
use crate::sim::{Fault, Hours, Sim, SimConfig, SimKey};

/// Ends of threads that nobody has looked at yet.
const EXITS: usize = 1_024;
/// What is kept for `/admin/record`.
const RECORD_BYTES: usize = 8 * 1024 * 1024;

pub fn run(args: &SimArgs, console: &mut Console) -> Result<(), CliError> {
    if args.faults.contains(&FaultWish::List) {
        return list_faults(console);
    }
    let (exit, exits) = bounded(EXITS);
    let sim = Sim::start(config(args), &Threads::new(exit))?;
    greet(&sim, args, console)?;
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

fn config(args: &SimArgs) -> SimConfig {
    let wished = args.faults.iter().filter_map(|wish| if let FaultWish::One(spec) = wish { Some(spec.clone()) } else { None });
    let mut config = SimConfig {
        listen: args.listen,
        listen_tls: args.listen_tls,
        tls: args.tls_cert.clone().zip(args.tls_key.clone()),
        seed: args.seed,
        rate: args.rate,
        keys: keys(args),
        slot_linger: Duration::from_secs(args.slot_linger.into()),
        admin: args.admin,
        order_latency: Duration::from_millis(args.latency_ms.into()),
        start: args.start,
        speed: args.speed,
        hours: if args.hours == HoursWord::Calendar { Hours::Calendar } else { Hours::Always },
        replay: args.replay.clone(),
        replay_loop: args.replay_loop,
        day_trading_fields: args.day_trading_fields,
        record_bytes: RECORD_BYTES,
        faults: wished.collect(),
        ..SimConfig::default()
    };
    if !args.symbols.is_empty() {
        config.symbols.clone_from(&args.symbols);
    }
    config
}

/// The keys that are given, each on an account of its own; the known one, which has no limits, only when none is.
fn keys(args: &SimArgs) -> Vec<SimKey> {
    let mut keys: Vec<SimKey> = args.keys.iter().cloned().zip(1..).map(|(key, number)| key.on_account(number)).collect();
    if keys.is_empty() {
        keys.push(SimKey::default());
    }
    for key in &mut keys {
        key.symbol_limit = args.symbol_limit.or(key.symbol_limit);
        key.trading_per_minute = args.rest_limit.or(key.trading_per_minute);
        key.data_per_minute = args.rest_limit.or(key.data_per_minute);
    }
    keys
}

/// Who may come in. A secret that was given is not shown.
fn who(args: &SimArgs) -> String {
    match args.keys.as_slice() {
        [] => "key SIM, secret SIM-SECRET".to_owned(),
        [key] => format!("key {}", key.key_id),
        keys => format!("keys {}", keys.iter().map(|key| key.key_id.as_str()).collect::<Vec<_>>().join(", ")),
    }
}

fn greet(sim: &Sim, args: &SimArgs, console: &mut Console) -> Result<(), CliError> {
    let places = match sim.tls_address() {
        Some(secure) => vec![("", sim.address()), ("s", secure)],
        None => vec![(if args.tls_cert.is_some() { "s" } else { "" }, sim.address())],
    };
    let key = who(args);
    for (secure, address) in places {
        console.out.line(&format!("SIMULATED exchange at http{secure}://{address}, {key}"))?;
        console.out.line(&format!("  prices  ws{secure}://{address}/v2/iex"))?;
        console.out.line(&format!("  orders  ws{secure}://{address}/stream"))?;
    }
    if sim.made_certificate().is_some() {
        console.out.line("  TLS     with a certificate made for this run: GET /admin/certificate shows it")?;
    }
    for wish in &args.faults {
        if let FaultWish::One(spec) = wish {
            let text = console.out.paint(Colour::Warn, &format!("  fault   {spec}: {}", spec.fault.sees()));
            console.out.line(&text)?;
        }
    }
    Ok(())
}

fn list_faults(console: &mut Console) -> Result<(), CliError> {
    console.out.line("NAME[=VALUE][@SCOPE], with its usual value, and what a bot sees. Scopes: data, trading, or a path such as /v2/iex.")?;
    console.out.line("")?;
    for fault in Fault::all() {
        console.out.line(&format!("  {:<30} {}", fault.example(), fault.sees()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::super::args::{Cli, Command};
    use super::super::out::Out;
    use super::*;
    use crate::runtime::Stop;

    fn args(line: &str) -> SimArgs {
        match Cli::try_parse_from(line.split_whitespace()).unwrap().command {
            Some(Command::Sim(args)) => args,
            _ => panic!("not sim"),
        }
    }

    #[test]
    fn the_list_of_faults_is_printed_whole() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let out = |file: &tempfile::NamedTempFile| Out::new(file.reopen().unwrap(), false);
        let mut console = Console { out: out(&file), notes: Out::new(std::io::sink(), false), stop: Stop::new().unwrap().token() };
        run(&args("x sim --fault list"), &mut console).unwrap();
        let text = std::fs::read_to_string(file.path()).unwrap();
        assert!(Fault::all().all(|fault| text.contains(fault.name()) && text.contains(fault.sees())), "{text}");
    }

    #[test]
    fn given_keys_have_accounts_of_their_own_and_the_known_one_gives_way() {
        let of = |line: &str| keys(&args(line)).into_iter().map(|key| (key.key_id, key.trading_per_minute, key.account_id)).collect::<Vec<_>>();
        let (known, both) = (of("x sim"), of("x sim --key PK1:s:plus --key PK2:s --rest-limit 7"));
        assert_eq!((known.len(), known[0].0.as_str(), known[0].1), (1, "SIM", None));
        assert_eq!((both.len(), both[0].0.as_str(), both[0].1, both[1].0.as_str()), (2, "PK1", Some(7), "PK2"));
        assert_ne!(both[0].2, both[1].2);
        assert_eq!(of("x sim --key PK1:s:basic")[0].1, Some(200));
        assert_eq!(keys(&args("x sim --symbol-limit 5 --key PK1:s"))[0].symbol_limit, Some(5));
        assert_eq!(who(&args("x sim")), "key SIM, secret SIM-SECRET");
        assert_eq!(who(&args("x sim --key PK1:hunter2 --key PK2:s")), "keys PK1, PK2");
    }

    #[test]
    fn what_is_said_on_the_line_arrives() {
        let config = config(&args("x sim --slot-linger 90 --fault mute=1s --fault drop --admin"));
        assert_eq!((config.slot_linger, config.faults.len(), config.admin), (Duration::from_secs(90), 2, true));
    }

    #[test]
    fn its_clock_may_begin_anywhere_and_run_fast() {
        let config = config(&args("x sim --start 2026-11-20T14:29:00Z --speed 60 --hours calendar --latency-ms 50"));
        assert_eq!((config.start.map(|at| at.seconds()), config.speed, config.hours), (Some(1_795_184_940), 60.0, Hours::Calendar));
        assert_eq!(config.order_latency, Duration::from_millis(50));
        assert!(Cli::try_parse_from("x sim --replay-loop".split_whitespace()).is_err());
    }
}
