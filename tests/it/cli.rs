use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::bot::Bot;
use crate::support::process::{Exchange, Program, ask, broker, service, wait_running};
use crate::support::redis_server::{RedisOptions, RedisServer};
use crate::support::rig::wait_until;
use crate::support::schema::contract;

/// A service with the built-in exchange inside, as `alpaca-broker run --sim` starts it.
struct Running {
    folder: TempDir,
    redis: RedisServer,
    program: Program,
}

impl Running {
    fn start() -> Running {
        Running::on(RedisServer::start(), "")
    }

    /// With something behind the address of Redis.
    fn on(redis: RedisServer, more: &str) -> Running {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("{}{more}", redis.url());
        let program = service(folder.path(), &url, &[], &["--sim"]);
        wait_running(&mut redis::Client::open(url).unwrap().get_connection().unwrap(), &program);
        Running { folder, redis, program }
    }

    /// A command in another shell, elsewhere, told the data folder alone.
    fn ask(&self, line: &str) -> crate::support::process::Ended {
        let elsewhere = tempfile::tempdir().unwrap();
        let data = self.folder.path().join("data");
        let words: Vec<&str> = line.split_whitespace().chain(["--data-dir", data.to_str().unwrap()]).collect();
        ask(&mut broker(elsewhere.path(), &words))
    }
}

fn write(folder: &Path, file: &str, text: &str) {
    let path = folder.join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn get(address: &str, path: &str) -> String {
    let mut socket = TcpStream::connect(address).unwrap();
    write!(socket, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer}");
    answer
}

#[test]
fn check_says_what_is_wrong_and_shows_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "configs/broker.yaml", "http: 127.0.0.1:0\nsymbols: [AAPL]\n");
    write(
        folder.path(),
        "configs/.env",
        "PAPER_ALPACA_API_KEY_ID=PKCANARYCANARY1\nPAPER_ALPACA_API_SECRET_KEY=canary-secret-1\nREDIS_PASSWORD=canary-secret-2\n",
    );
    let good = ask(&mut broker(folder.path(), &["check"]));
    assert_eq!(good.code, Some(0), "{good:?}");
    assert!(good.out.starts_with("the configuration is sound: read configs/.env, configs/broker.yaml; accounts paper (paper)"), "{}", good.out);
    let shown = ask(&mut broker(folder.path(), &["check", "--show"]));
    assert_eq!(shown.code, Some(0), "{shown:?}");
    assert!(shown.out.contains("***") && shown.out.contains("AAPL"), "{}", shown.out);
    for text in [&good.out, &good.errors, &shown.out, &shown.errors] {
        assert!(!text.contains("canary-secret"), "{text}");
    }

    write(folder.path(), "configs/broker.yaml", "symbol: [AAPL]\nredis:\n  port: 70000\n");
    let bad = ask(&mut broker(folder.path(), &["check"]));
    assert_eq!(bad.code, Some(78), "{bad:?}");
    for part in ["configs/broker.yaml:1", "symbol", "configs/broker.yaml:3", "70000"] {
        assert!(bad.errors.contains(part), "{part} is not in {}", bad.errors);
    }
    assert!(!bad.errors.contains("canary-secret"), "{}", bad.errors);
    let missing = ask(&mut broker(folder.path(), &["check", "--config", "nowhere.yaml"]));
    assert!(missing.code == Some(78) && missing.errors.contains("nowhere.yaml"), "{missing:?}");
}

#[test]
fn run_without_keys_ends_with_78_and_says_what_to_set() {
    let folder = tempfile::tempdir().unwrap();
    for args in [&["run"][..], &[]] {
        let ended = ask(&mut broker(folder.path(), args));
        assert_eq!(ended.code, Some(78), "{ended:?}");
        for part in ["PAPER_ALPACA_API_KEY_ID", "PAPER_ALPACA_API_SECRET_KEY", "--sim"] {
            assert!(ended.errors.contains(part), "{part} is not in {}", ended.errors);
        }
    }
}

#[test]
fn every_command_has_help_and_nonsense_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let help = ask(&mut broker(folder.path(), &["--help"]));
    assert_eq!((help.code, help.errors.as_str()), (Some(0), ""));
    for command in ["run", "sim", "check", "status", "watch", "register", "unregister", "logs", "reconcile", "explain"] {
        assert!(help.out.contains(&format!("\n  {command} ")), "{command} is not in {}", help.out);
        let of_command = ask(&mut broker(folder.path(), &[command, "--help"]));
        assert_eq!(of_command.code, Some(0), "{of_command:?}");
        assert!(of_command.out.contains("Example") && of_command.out.contains("Usage:"), "{}", of_command.out);
    }
    assert_eq!(ask(&mut broker(folder.path(), &["dance"])).code, Some(2));
    let version = ask(&mut broker(folder.path(), &["--version"]));
    assert_eq!(version.out, format!("alpaca-broker {}", env!("CARGO_PKG_VERSION")));
}

#[test]
fn commands_in_another_shell_find_the_broker_by_its_data_folder() {
    let running = Running::start();
    let status = running.ask("status --json");
    assert_eq!(status.code, Some(0), "{status:?}");
    contract().key("broker:status", None, &status.out).unwrap();
    let report: Value = serde_json::from_str(&status.out).unwrap();
    assert_eq!((&report["pid"], &report["sim"]), (&running.program.pid().into(), &true.into()));
    let status = running.ask("status");
    assert!(status.code == Some(0) && status.out.contains("running") && status.out.contains("alp-data"), "{status:?}");

    let watch = running.ask("watch AAPL -n 3 --json");
    assert_eq!((watch.code, watch.out.lines().count()), (Some(0), 3), "{watch:?}");
    let seqs = watch.out.lines().map(|line| {
        let message: Value = serde_json::from_str(line).unwrap();
        assert_eq!(contract().message("TICKER_UPDATES_AAPL", &message).as_deref(), Ok("Price"));
        message["seq"].as_u64().unwrap()
    });
    let seqs: Vec<u64> = seqs.collect();
    assert!(seqs.windows(2).all(|pair| pair[1] == pair[0] + 1), "{seqs:?}");
    let typed = running.ask("watch AAPL --dialect typed --feeds quote -n 1 --json");
    assert!(typed.code == Some(0) && typed.out.starts_with(r#"{"type":"quote""#), "{typed:?}");
}

#[test]
fn a_broker_on_a_unix_socket_or_another_database_is_found_as_well() {
    for running in [Running::on(RedisOptions::default().unix().start(), "?db=2"), Running::on(RedisServer::start(), "/3")] {
        let status = running.ask("status --json");
        assert_eq!(status.code, Some(0), "{status:?}");
        assert_eq!(serde_json::from_str::<Value>(&status.out).unwrap()["pid"], running.program.pid());
    }
}

#[test]
fn register_and_unregister_tell_by_their_exit_code() {
    let running = Running::start();
    let held = || -> Vec<String> {
        let mut client = redis::Client::open(running.redis.url()).unwrap().get_connection().unwrap();
        redis::cmd("HKEYS").arg("broker:registrations").query(&mut client).unwrap()
    };
    let done = running.ask("register aapl --bot scalper --feeds price");
    assert_eq!((done.code, done.out.as_str()), (Some(0), "accepted  AAPL"), "{done:?}");
    wait_until("it is held", || held() == ["scalper|alpaca|AAPL|price|ticker"]);
    let answer = running.ask("register MSFT --bot scalper --json");
    let body: Value = serde_json::from_str(&answer.out).unwrap();
    assert_eq!(contract().message("broker:replies:cli", &body).as_deref(), Ok("RegistrationReply"));
    let done = running.ask("unregister AAPL MSFT --bot scalper");
    assert_eq!(done.code, Some(0), "{done:?}");
    wait_until("nothing is held", || held().is_empty());

    for (line, code) in
        [("register A/B/C", 2), ("register AAPL --ttl 0", 2), ("register nowhere:AAPL", 1), ("register AAPL --bot config", 1), ("watch nowhere:AAPL", 1)]
    {
        let refused = running.ask(line);
        assert_eq!(refused.code, Some(code), "{line}: {refused:?}");
    }
    let refused = running.ask("register nowhere:AAPL");
    assert!(refused.errors.contains("nowhere is not served") || refused.out.contains("nowhere is not served"), "{refused:?}");
    assert!(held().is_empty(), "{:?}", held());
}

#[test]
fn without_a_broker_commands_say_so() {
    let (folder, redis) = (tempfile::tempdir().unwrap(), RedisServer::start());
    for line in ["status", "status --json", "watch AAPL", "register AAPL", "unregister AAPL"] {
        let url = redis.url();
        let words: Vec<&str> = line.split_whitespace().chain(["--redis", &url]).collect();
        let ended = ask(&mut broker(folder.path(), &words));
        assert!(ended.code == Some(1) && ended.errors.contains("no broker is running") && ended.out.is_empty(), "{line}: {ended:?}");
    }
}

#[test]
fn a_running_broker_ends_well_at_a_signal_and_is_found_no_more() {
    for signal in ["INT", "TERM"] {
        let running = Running::start();
        let file = running.folder.path().join("data/endpoint.json");
        let endpoint: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
        assert_eq!(endpoint["pid"], running.program.pid());
        running.program.signal(signal);
        let ended = running.program.end();
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert!(ended.errors.contains("SIMULATED"), "{}", ended.errors);
        assert!(!file.exists());
    }
}

/// Runs a service whose secrets are known, and looks for them wherever it writes.
fn assert_hidden(key_id: &str, secret: &str, state: &str) {
    let folder = tempfile::tempdir().unwrap();
    let exchange = Exchange::start(folder.path(), 1_000);
    let users = "user default on nopass ~* &* +@all\nuser broker on >canary-of-redis ~* &* +@all\n";
    let redis = RedisOptions::default().acl(users).start();
    let mut client = redis::Client::open(redis.url()).unwrap().get_connection().unwrap();
    let mut bot = Bot::listening(&redis.url(), &["broker:*", "TICKER_UPDATES_*", "price:*", "order:*"]);
    let mut variables = exchange.variables();
    variables.retain(|(name, _)| !name.starts_with("PAPER_"));
    for (name, value) in [("PAPER_ALPACA_API_KEY_ID", key_id), ("PAPER_ALPACA_API_SECRET_KEY", secret), ("BROKER_SYMBOLS", "AAPL"), ("LOG_LEVEL", "trace")] {
        variables.push((name, value.to_owned()));
    }
    let url = redis.url().replacen("redis://", "redis://broker:canary-of-redis@", 1);
    let program = service(folder.path(), &url, &variables, &[]);
    wait_until("the exchange has answered both streams", || {
        let status: Option<String> = redis::cmd("GET").arg("broker:status").query(&mut client).unwrap();
        status.is_some_and(|text| text.matches(&format!(r#""state":"{state}""#)).count() == 2)
    });
    bot.say("broker:registration", r#"{"action":"register","symbols":["AAPL"],"bot":"b1","reply_to":"broker:replies:b1"}"#);
    bot.until("an answer", |message| message.channel == "broker:replies:b1");
    redis::cmd("PUBLISH").arg("BROKER_REGISTRATION").arg(r#"{"action":"subscribe","ticker":"no symbol"}"#).exec(&mut client).unwrap();
    bot.until("a line of the lowest level in use", |message| message.name == "Log" && message.body["level"] == "DEBUG");

    let endpoint = fs::read_to_string(folder.path().join("data/endpoint.json")).unwrap();
    let http = serde_json::from_str::<Value>(&endpoint).unwrap()["http"].as_str().unwrap().to_owned();
    let mut seen = vec![("/metrics", get(&http, "/metrics")), ("/status", get(&http, "/status"))];
    let keys: Vec<String> = redis::cmd("KEYS").arg("*").query(&mut client).unwrap();
    assert!(keys.len() > 1, "{keys:?}");
    for key in keys {
        let hash: Vec<String> = redis::cmd("HGETALL").arg(&key).query(&mut client).unwrap_or_default();
        let text: String = redis::cmd("GET").arg(&key).query(&mut client).unwrap_or_default();
        seen.push(("a key", format!("{key} {hash:?} {text}")));
    }
    for entry in fs::read_dir(folder.path().join("data")).unwrap() {
        seen.push(("a file of the data folder", String::from_utf8_lossy(&fs::read(entry.unwrap().path()).unwrap()).into_owned()));
    }
    program.signal("TERM");
    let ended = program.end();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.errors.contains(" DEBUG "), "{}", ended.errors);
    seen.push(("stderr", ended.errors));
    seen.push(("stdout", ended.out));
    seen.extend(bot.heard.iter().map(|message| ("a message", message.text.clone())));
    for (place, text) in &seen {
        for canary in ["canary-of-redis", secret] {
            assert!(!text.contains(canary), "{canary} is in {place}: {text}");
        }
    }
}

#[test]
fn a_secret_that_the_exchange_takes_shows_up_nowhere() {
    assert_hidden("SIM", "SIM-SECRET", "streaming");
}

#[test]
fn a_secret_that_the_exchange_refuses_shows_up_nowhere() {
    assert_hidden("PKUNKNOWN", "canary-of-the-exchange", "refused");
}
