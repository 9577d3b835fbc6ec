use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::process::{Ended, Exchange, Program, SecureExchange, ask, service, wait_running};
use crate::support::redis_server::RedisServer;

/// The version of alpaca-py that a user of today has.
const NEWEST: &str = "0.44.0";
/// Market messages a second that let no check wait long for one symbol's.
const RATE: u32 = 1_500;

/// What `make clients` installed there.
fn installed(path: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target").join(path);
    assert!(path.exists(), "{} is not there, the clients of the tests are not installed: run `make clients`", path.display());
    path
}

/// A script of the repository, run by the Python that sees this version of alpaca-py.
fn python(version: &str, script: &str) -> Command {
    let mut command = Command::new(installed(&format!("clients-python/{version}/bin/python")));
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join(script));
    command
}

fn assert_all_ok(ended: &Ended) {
    assert_eq!(ended.code, Some(0), "{}\n{}", ended.out, ended.errors);
    assert!(ended.out.lines().last().is_some_and(|line| line.starts_with("ok all")), "{}\n{}", ended.out, ended.errors);
}

fn judged_by_alpaca_py(version: &str) {
    let folder = tempfile::tempdir().unwrap();
    let exchange = Exchange::start(folder.path(), RATE);
    assert_all_ok(&ask(python(version, "tests/clients/alpaca_py_check.py").arg(&exchange.url)));
}

fn judged_by_alpaca_js(folder_of_sdk: &str) {
    let folder = tempfile::tempdir().unwrap();
    let exchange = SecureExchange::start(folder.path(), RATE);
    let mut node = Command::new(installed("clients-node/bin/node"));
    node.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/alpaca_js_check.js"));
    node.arg(installed(folder_of_sdk)).arg(&exchange.plain.url).arg(&exchange.url);
    assert_all_ok(&ask(node.env("NODE_EXTRA_CA_CERTS", &exchange.certificate)));
}

#[test]
fn alpaca_py_0_10_0_takes_the_built_in_exchange_for_alpaca() {
    judged_by_alpaca_py("0.10.0");
}

#[test]
fn alpaca_py_0_43_5_takes_the_built_in_exchange_for_alpaca() {
    judged_by_alpaca_py("0.43.5");
}

#[test]
fn alpaca_py_0_44_0_takes_the_built_in_exchange_for_alpaca() {
    judged_by_alpaca_py(NEWEST);
}

#[test]
fn alpaca_trade_api_js_3_1_3_takes_the_built_in_exchange_for_alpaca() {
    judged_by_alpaca_js("clients-node/3");
}

#[test]
fn alpaca_trade_api_js_4_0_2_takes_the_built_in_exchange_for_alpaca() {
    judged_by_alpaca_js("clients-node/4");
}

#[test]
fn a_bot_on_redis_py_is_served_by_the_real_binary() {
    let folder = tempfile::tempdir().unwrap();
    let exchange = Exchange::start(folder.path(), 4_000);
    let redis = RedisServer::start();
    let service = service(folder.path(), &redis.url(), &exchange.variables(), &[]);
    wait_running(&mut redis::Client::open(redis.url()).unwrap().get_connection().unwrap(), &service);
    assert_all_ok(&ask(python(NEWEST, "tests/clients/redis_py_bot.py").arg(redis.url()).arg(&exchange.url)));
}

#[test]
fn the_quick_start_prints_prices_and_gives_its_registration_back() {
    let folder = tempfile::tempdir().unwrap();
    let exchange = Exchange::start(folder.path(), 400);
    let redis = RedisServer::start();
    let service = service(folder.path(), &redis.url(), &exchange.variables(), &[]);
    let mut client = redis::Client::open(redis.url()).unwrap().get_connection().unwrap();
    wait_running(&mut client, &service);
    let quickstart = Program::start(python(NEWEST, "examples/python/quickstart.py").arg("MSFT").env("REDIS_URL", redis.url()));
    for _ in 0..5 {
        let line = quickstart.line();
        assert!(line.contains(" MSFT ") && !line.contains("missed"), "{line}");
    }
    quickstart.signal("INT");
    let ended = quickstart.end();
    assert_eq!((ended.code, ended.errors.as_str()), (Some(0), ""));
    crate::support::rig::wait_until("the quick start has left", || !redis::cmd("EXISTS").arg("broker:registrations").query::<bool>(&mut client).unwrap());
}

#[test]
fn the_helper_for_bots_loses_nothing_when_its_broker_is_at_its_worst() {
    let redis = RedisServer::start();
    assert_all_ok(&ask(python(NEWEST, "tests/clients/redis_py_helper.py").arg(redis.url())));
}
