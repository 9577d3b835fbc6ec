use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::bot::Bot;
use crate::support::process::{ACCOUNT, Exchange, Program, ask, broker, service, wait_running};
use crate::support::redis_server::{RedisOptions, RedisServer};
use crate::support::rig::wait_until;

const PASSWORD: &str = "a-password";

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn text(path: &str) -> String {
    fs::read_to_string(repository(path)).unwrap()
}

fn client(redis: &RedisServer, user: &str) -> redis::Connection {
    redis::Client::open(url(redis, user)).unwrap().get_connection().unwrap()
}

fn url(redis: &RedisServer, user: &str) -> String {
    redis.url().replacen("redis://", &format!("redis://{user}:{PASSWORD}@"), 1)
}

/// The file of the repository that this server's version takes, with passwords and the account put in as its README says.
fn users() -> String {
    let version = RedisServer::start();
    let info: String = redis::cmd("INFO").arg("server").query(&mut redis::Client::open(version.url()).unwrap().get_connection().unwrap()).unwrap();
    let old = info.lines().any(|line| line.starts_with("redis_version:6."));
    let file = text(if old { "configs/redis/users-6.2.acl" } else { "configs/redis/users.acl" });
    file.replace(" resetpass", &format!(" resetpass >{PASSWORD}")).replace("ACCOUNT_ID", ACCOUNT).replacen(
        &format!("default off resetpass >{PASSWORD}"),
        "default off resetpass",
        1,
    )
}

/// Denials that Redis has noted down, as user and command. Which library a client uses is said uninvited by many, and no
/// loss: Redis 6.2 and 7.0 do not know the command, and 7.0 has no word to allow it.
fn denials(admin: &mut redis::Connection) -> Vec<(String, String)> {
    let entries: Vec<BTreeMap<String, redis::Value>> = redis::cmd("ACL").arg("LOG").query(admin).unwrap();
    let text = |value: &redis::Value| redis::from_redis_value_ref::<String>(value).unwrap();
    let all = entries.iter().map(|entry| (text(&entry["username"]), text(&entry["object"])));
    all.filter(|(user, object)| user == "broker" || !object.starts_with("client")).collect()
}

#[test]
fn the_shipped_users_suffice_for_the_broker_and_for_a_bot() {
    let lines = users();
    let redis = RedisOptions::default().acl(&lines).start();
    let old = lines.contains("user bot1_out ");
    let mut admin = client(&redis, "admin");
    let folder = tempfile::tempdir().unwrap();
    let exchange = Exchange::start(folder.path(), 2_000);
    let program = service(folder.path(), &url(&redis, "broker"), &exchange.variables(), &[]);
    wait_running(&mut admin, &program);

    let speaker = if old { "bot1_out" } else { "bot1" };
    let order_channel = format!("order:{ACCOUNT}");
    let mut bot = Bot::listening(&url(&redis, "bot1"), &["TICKER_UPDATES_AAPL", "price:AAPL", "quote:AAPL", "broker:replies", "broker:health", &order_channel]);
    let mut say = client(&redis, speaker);
    let mut publish = |channel: &str, message: &str| redis::cmd("PUBLISH").arg(channel).arg(message).exec(&mut say).unwrap();
    publish("BROKER_REGISTRATION", r#"{"action":"subscribe","ticker":"AAPL"}"#);
    publish("broker:registration", r#"{"action":"register","symbols":["AAPL"],"bot":"b1","feeds":["price","quote","bar","status"]}"#);
    publish("broker:registration", r#"{"action":"register","symbols":["no"],"bot":"b1"}"#);
    bot.until("a refusal", |m| m.channel == "broker:replies");
    for channel in ["TICKER_UPDATES_AAPL", "price:AAPL", "quote:AAPL"] {
        bot.until("a price", |m| m.channel == channel);
    }
    let order = r#"{"symbol":"AAPL","qty":"1","side":"buy","type":"market","time_in_force":"day"}"#;
    ureq::post(format!("{}/v2/orders", exchange.url)).header("APCA-API-KEY-ID", "SIM").header("APCA-API-SECRET-KEY", "SIM-SECRET").send(order).unwrap();
    for channel in ["TICKER_UPDATES_AAPL", order_channel.as_str()] {
        bot.until("the fill", |m| m.channel == channel && m.body["event"] == "fill");
    }
    wait_until("the last value is kept", || {
        redis::cmd("HGET").arg("broker:last:AAPL").arg("price").query::<Option<String>>(&mut client(&redis, "bot1")).unwrap().is_some()
    });
    let status: String = redis::cmd("GET").arg("broker:status").query(&mut client(&redis, "bot1")).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&status).unwrap()["state"], "running");
    // Giving up a symbol that nobody has a name for makes the broker ask who listens.
    drop(bot);
    publish("BROKER_REGISTRATION", r#"{"action":"unsubscribe","ticker":"AAPL"}"#);
    publish("broker:registration", r#"{"action":"unregister","symbols":["AAPL"],"bot":"b1"}"#);
    wait_until("all is given up", || !redis::cmd("EXISTS").arg("broker:registrations").query::<bool>(&mut admin).unwrap());
    let mut logs = Bot::listening(&url(&redis, "admin"), &["broker:logs"]);
    program.signal("TERM");
    logs.until("a log line", |m| m.name == "Log");
    let ended = program.end();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(!ended.errors.contains("NOPERM") && !ended.errors.contains("ERROR"), "{}", ended.errors);
    assert_eq!(denials(&mut admin), [], "Redis denied something; stderr: {}", ended.errors);

    // The other half of the promise: a bot cannot forge a price or give the broker's orders.
    for (channel, user) in [("price:AAPL", "bot1"), ("TICKER_UPDATES_AAPL", "bot1"), ("broker:status", "bot1"), ("price:AAPL", speaker)] {
        let forged: redis::RedisResult<i64> = redis::cmd("PUBLISH").arg(channel).arg("{}").query(&mut client(&redis, user));
        assert!(forged.is_err(), "{user} may publish on {channel}");
    }
    let written: redis::RedisResult<i64> = redis::cmd("HSET").arg("broker:last:AAPL").arg("price").arg("{}").query(&mut client(&redis, "bot1"));
    assert!(written.is_err());
    let nobody = redis::Client::open(redis.url()).unwrap().get_connection().and_then(|mut nobody| redis::cmd("PING").query::<String>(&mut nobody));
    assert!(nobody.is_err());
}

/// The values of `key=` lines of a systemd unit.
fn unit_values(unit: &str, key: &str) -> Vec<String> {
    unit.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('=').map(str::to_owned)).collect()
}

/// The words of a JSON list behind a word of a Dockerfile.
fn docker_list(dockerfile: &str, word: &str) -> Vec<String> {
    let line = dockerfile.lines().find(|line| line.contains(word) && line.contains('[')).unwrap_or_else(|| panic!("no {word}"));
    serde_json::from_str(&line[line.find('[').unwrap()..]).unwrap()
}

/// The program understands such a command line: nonsense ends with 2, and nothing of it is started.
fn assert_parses(words: &[String]) {
    let (program, args) = words.split_first().unwrap();
    assert_eq!(Path::new(program).file_name().unwrap(), "alpaca-broker");
    let folder = tempfile::tempdir().unwrap();
    let args: Vec<&str> = args.iter().map(String::as_str).chain(["--help"]).collect();
    let ended = ask(&mut broker(folder.path(), &args));
    assert_eq!(ended.code, Some(0), "{words:?}: {ended:?}");
}

#[test]
fn the_unit_and_the_image_call_commands_that_exist() {
    let unit = text("configs/systemd/alpaca-broker.service");
    let starts = unit_values(&unit, "ExecStart");
    assert_eq!(starts.len(), 1);
    assert_parses(&starts[0].split_whitespace().map(str::to_owned).collect::<Vec<_>>());
    let prevented = unit_values(&unit, "RestartPreventExitStatus").join(" ");
    let folder = tempfile::tempdir().unwrap();
    let help = ask(&mut broker(folder.path(), &["--help"])).out;
    // Neither another broker nor a refused configuration goes away by starting again.
    assert_eq!(prevented, "75 78");
    for code in prevented.split_whitespace() {
        assert!(help.lines().any(|line| line.trim_start().starts_with(&format!("{code} "))), "the help knows no exit code {code}");
    }

    let dockerfile = text("Dockerfile");
    let entry = docker_list(&dockerfile, "ENTRYPOINT");
    assert_parses(&[entry.clone(), docker_list(&dockerfile, "CMD [\"run")].concat());
    assert_parses(&docker_list(&dockerfile, "CMD [\"alpaca-broker"));
    assert!(dockerfile.contains("COPY configs/broker.yaml configs/broker.yaml"));

    let compose: Value = yaml_serde::from_str(&text("configs/compose.yaml")).unwrap();
    let broker = &compose["services"]["broker"];
    assert!(broker["command"].is_null() && broker["entrypoint"].is_null(), "the image's own command is tested above");
    assert_eq!(compose["services"]["redis"]["command"][0], "redis-server");
    // The journal outlives the container.
    assert!(dockerfile.contains("ENV BROKER_DATA_DIR=/data\nVOLUME /data\n"));
    assert_eq!(broker["volumes"][0], "broker:/data");
    assert!(unit_values(&unit, "StateDirectory").contains(&"alpaca-broker".to_owned()));
}

#[test]
fn the_unit_starts_the_service_with_its_credential() {
    let unit = text("configs/systemd/alpaca-broker.service");
    let (folder, redis) = (tempfile::tempdir().unwrap(), RedisServer::start());
    let exchange = Exchange::start(folder.path(), 0);
    // What systemd makes of LoadCredential=, Environment= and StateDirectory=.
    let credential = unit_values(&unit, "LoadCredential").remove(0);
    let (name, source) = credential.split_once(':').unwrap();
    assert_eq!(source, "/etc/alpaca-broker/.env");
    fs::create_dir(folder.path().join("credentials")).unwrap();
    let lines: Vec<String> = exchange.variables().iter().map(|(name, value)| format!("{name}={value}")).collect();
    fs::write(folder.path().join("credentials").join(name), format!("{}\nREDIS_URL={}\n", lines.join("\n"), redis.url())).unwrap();
    fs::write(folder.path().join("broker.yaml"), text("configs/broker.yaml").replace("127.0.0.1:9464", "127.0.0.1:0")).unwrap();
    let environment = unit_values(&unit, "Environment").join(" ");
    let mut command = broker(folder.path(), &["run"]);
    for word in environment.split_whitespace() {
        let (name, value) = word.split_once('=').unwrap();
        let value = value.replace("/etc/alpaca-broker", folder.path().to_str().unwrap()).replace("%S", folder.path().to_str().unwrap());
        command.env(name, value);
    }
    let program = Program::start(command.env("CREDENTIALS_DIRECTORY", folder.path().join("credentials")));
    let mut client = redis::Client::open(redis.url()).unwrap().get_connection().unwrap();
    wait_running(&mut client, &program);
    assert!(folder.path().join("alpaca-broker/endpoint.json").exists());
    program.signal("TERM");
    let ended = program.end();
    assert!(ended.code == Some(0) && !ended.errors.contains("WARN"), "{ended:?}");
}
