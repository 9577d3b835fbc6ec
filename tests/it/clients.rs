use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::process::{Ended, Exchange, Program, ask, service, wait_running};
use crate::support::redis_server::RedisServer;

/// The Python of the test clients, which `make clients` installs.
fn python() -> PathBuf {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/clients-venv/bin/python");
    assert!(python.exists(), "the Python clients of the tests are not installed: run `make clients`");
    python
}

fn script(path: &str) -> Command {
    let mut command = Command::new(python());
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join(path));
    command
}

fn assert_all_ok(ended: &Ended) {
    assert_eq!(ended.code, Some(0), "{}\n{}", ended.out, ended.errors);
    assert!(ended.out.lines().last().is_some_and(|line| line.starts_with("ok all")), "{}\n{}", ended.out, ended.errors);
}

#[test]
fn alpaca_py_takes_the_built_in_exchange_for_alpaca() {
    let folder = tempfile::tempdir().unwrap();
    let exchange = Exchange::start(folder.path(), 400);
    assert_all_ok(&ask(script("tests/clients/alpaca_py_check.py").arg(&exchange.url)));
}

#[test]
fn a_bot_on_redis_py_is_served_by_the_real_binary() {
    let folder = tempfile::tempdir().unwrap();
    let exchange = Exchange::start(folder.path(), 4_000);
    let redis = RedisServer::start();
    let service = service(folder.path(), &redis.url(), &exchange.variables(), &[]);
    wait_running(&mut redis::Client::open(redis.url()).unwrap().get_connection().unwrap(), &service);
    assert_all_ok(&ask(script("tests/clients/redis_py_bot.py").arg(redis.url()).arg(&exchange.url)));
}

#[test]
fn the_quick_start_prints_prices_and_gives_its_registration_back() {
    let folder = tempfile::tempdir().unwrap();
    let exchange = Exchange::start(folder.path(), 400);
    let redis = RedisServer::start();
    let service = service(folder.path(), &redis.url(), &exchange.variables(), &[]);
    let mut client = redis::Client::open(redis.url()).unwrap().get_connection().unwrap();
    wait_running(&mut client, &service);
    let quickstart = Program::start(script("examples/python/quickstart.py").arg("MSFT").env("REDIS_URL", redis.url()));
    for _ in 0..5 {
        let line = quickstart.line();
        assert!(line.contains(" MSFT ") && !line.contains("missed"), "{line}");
    }
    quickstart.signal("INT");
    let ended = quickstart.end();
    assert_eq!((ended.code, ended.errors.as_str()), (Some(0), ""));
    crate::support::rig::wait_until("the quick start has left", || !redis::cmd("EXISTS").arg("broker:registrations").query::<bool>(&mut client).unwrap());
}
