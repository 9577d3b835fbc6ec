//! The whole service between a fake exchange and Redis subscribers, beside the limit of the machine measured in the same
//! minutes: `cargo bench --bench path` prints a line of JSON a figure, and a table at the end on stderr.
//!
//! `-- --rounds 5 --only throughput,latency,bots,symbols,start,idle --seconds 60 --python PATH --quick` are the options.
//! Feed, sink, bare publisher and probe are this program again in a role, each a process with an account of its own.
//! Needs Linux (`/proc`) and redis-server.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a measurement that cannot go on should say where, and prints its result"
)]

mod bare;
mod cases;
mod child;
mod clock;
mod feed;
mod feed_wire;
mod figure;
mod frame_body;
mod frames;
mod latency;
mod message;
mod options;
mod pacer;
mod probe;
mod resp;
mod run;
mod service;
mod sheet;
mod sink;
mod stored;
mod talk;
mod tally;
mod universe;

#[path = "../../tests/support/redis_server.rs"]
mod redis_server;

use options::Options;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, role, args] = args.as_slice()
        && flag == "--role"
    {
        return play(role, args);
    }
    let options = match Options::read(&args) {
        Ok(options) => options,
        Err(reason) => {
            eprintln!("{reason}");
            std::process::exit(2);
        }
    };
    let account = service::Account::open();
    let bench = run::Bench { account: account.address() };
    let figures = cases::measure(&bench, &options);
    figure::print_table(&figures);
    Ok(())
}

fn play(role: &str, args: &str) -> Result<(), Box<dyn std::error::Error>> {
    match role {
        "feed" => feed::run(serde_json::from_str(args)?)?,
        "sink" => sink::run(serde_json::from_str(args)?)?,
        "bare" => bare::run(serde_json::from_str(args)?)?,
        "probe" => probe::run(serde_json::from_str(args)?)?,
        other => return Err(format!("there is no role {other}").into()),
    }
    Ok(())
}
