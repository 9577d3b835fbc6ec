//! Whole configurations through [`Config::load`]: the tables in `tests/config_cases` and what they cannot say.

mod exchanges;

use std::collections::BTreeMap;
use std::path::Path;

use proptest::prelude::*;
use serde::Deserialize;

use super::*;
use crate::model::Feed;

const BROKEN: &str = include_str!("../../../tests/config_cases/broken.yaml");
const BROKEN_EXCHANGES: &str = include_str!("../../../tests/config_cases/broken_exchanges.yaml");
const GOOD_EXCHANGES: &str = include_str!("../../../tests/config_cases/good_exchanges.yaml");
const GOOD: &str = include_str!("../../../tests/config_cases/good.yaml");
const SHIPPED: &str = include_str!("../../../configs/broker.yaml");
const EXAMPLE: &str = include_str!("../../../configs/.env.example");

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Case {
    name: String,
    file: Option<String>,
    dotenv: Option<String>,
    /// The files of the exchanges folder, by name. The folder is there when one is given, and of another name when
    /// `env` says so.
    exchanges: BTreeMap<String, String>,
    env: BTreeMap<String, String>,
    sim: bool,
    /// Adds the keys of a paper account to `env`.
    keys: bool,
    /// The exact message of a broken one.
    says: String,
    /// Lines of the masked configuration of a good one.
    shows: Vec<String>,
    warns: Vec<String>,
}

impl Case {
    /// The outcome with the temporary folder's name taken out of every text.
    fn load(&self) -> Result<(Config, Vec<String>), String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("broker.yaml");
        if let Some(text) = &self.file {
            std::fs::write(&file, text).unwrap();
        }
        let exchanges = folder.path().join("exchanges");
        for (name, text) in &self.exchanges {
            std::fs::create_dir_all(&exchanges).unwrap();
            std::fs::write(exchanges.join(name), text).unwrap();
        }
        if let Some(text) = &self.dotenv {
            write_private(&folder.path().join(".env"), text);
        }
        let mut env = self.env.clone();
        if self.keys {
            env.insert("PAPER_ALPACA_API_KEY_ID".to_owned(), "PKTEST".to_owned());
            env.insert("PAPER_ALPACA_API_SECRET_KEY".to_owned(), "hush-paper".to_owned());
        }
        let sources =
            Sources { file: self.file.is_some().then_some(file), dotenv: Some(folder.path().join(".env")), exchanges: Some(exchanges), env, sim: self.sim };
        let plain = |text: String| text.replace(&format!("{}", folder.path().display()), "configs");
        match Config::load(&sources) {
            Ok(loaded) => Ok((loaded.config, loaded.warnings.into_iter().map(plain).collect())),
            Err(error) => Err(plain(error.to_string())),
        }
    }
}

fn write_private(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

fn with_keys(file: Option<&str>) -> Case {
    Case { file: file.map(str::to_owned), keys: true, ..Case::default() }
}

#[test]
fn broken_ones_are_refused_in_these_words() {
    let of_exchanges: Vec<Case> = yaml_serde::from_str(BROKEN_EXCHANGES).unwrap();
    assert!(of_exchanges.len() >= 100, "the table of exchange files shrank to {}", of_exchanges.len());
    let of_broker: Vec<Case> = yaml_serde::from_str(BROKEN).unwrap();
    assert!(of_broker.len() >= 85, "the table shrank to {}", of_broker.len());
    let cases: Vec<Case> = of_exchanges.into_iter().chain(of_broker).collect();
    let mut differences = String::new();
    for case in &cases {
        let said = match case.load() {
            Ok(_) => "(was accepted)".to_owned(),
            Err(said) => said,
        };
        assert!(!said.contains("hush"), "{}: shows a secret: {said}", case.name);
        if said.trim_end() != case.says.trim_end() {
            differences.push_str(&format!("--- {}\nsaid:   {said}\nwanted: {}\n", case.name, case.says));
        }
    }
    assert!(differences.is_empty(), "\n{differences}");
}

#[test]
fn good_ones_are_taken_as_meant() {
    for case in &good_cases() {
        let (config, warnings) = case.load().unwrap_or_else(|error| panic!("{}: {error}", case.name));
        let shown = all_shown(&config);
        assert!(!shown.contains("hush") && !format!("{config:?}{warnings:?}").contains("hush"), "{}: shows a secret", case.name);
        for line in &case.shows {
            assert!(shown.contains(line.as_str()), "{}: {line:?} is not in\n{shown}", case.name);
        }
        assert_eq!(warnings, case.warns, "{}", case.name);
    }
}

fn good_cases() -> Vec<Case> {
    let cases = [GOOD, GOOD_EXCHANGES].map(|table| yaml_serde::from_str::<Vec<Case>>(table).unwrap());
    cases.into_iter().flatten().collect()
}

/// As `check --show` prints it, without the names of files.
fn all_shown(config: &Config) -> String {
    config.masked_yaml() + &config.brokers.iter().map(BrokerSettings::masked_yaml).collect::<String>()
}

/// Puts some secret where one was masked.
fn refill(shown: &str) -> String {
    shown.replace("api_key: '***'", "api_key: K").replace("api_secret: '***'", "api_secret: S")
}

/// What is shown is a configuration, and the same one: nothing in effect is left out or renamed.
#[test]
fn what_is_shown_reads_back() {
    for case in &good_cases() {
        let (config, _) = case.load().unwrap();
        let shown = config.masked_yaml();
        let mut number = 0;
        let filled: String = shown
            .lines()
            .map(|line| match line.split_once("key_id: ") {
                Some((start, _)) => {
                    number += 1;
                    format!("{start}key_id: K{number}\n")
                }
                None => format!("{}\n", line.replace("secret_key: '***'", "secret_key: S")),
            })
            .collect();
        let mut exchanges: BTreeMap<String, String> =
            config.brokers.iter().map(|broker| (format!("{}.yaml", broker.name), refill(&broker.masked_yaml()))).collect();
        exchanges.insert("off.yaml".to_owned(), "broker_type: paper\nenabled: false\n".to_owned());
        let again = Case { keys: false, exchanges, ..with_keys(Some(&filled)) };
        assert_eq!(again.load().map(|(config, _)| all_shown(&config)), Ok(all_shown(&config)), "{}", case.name);
    }
}

#[test]
fn the_shipped_file_says_the_defaults() {
    let (of_nothing, _) = with_keys(None).load().unwrap();
    let (of_file, warnings) = with_keys(Some(SHIPPED)).load().unwrap();
    assert_eq!(of_file.masked_yaml(), of_nothing.masked_yaml());
    assert_eq!(warnings, Vec::<String>::new());
}

/// Uncommenting a line of the file must not be a mistake.
#[test]
fn the_shipped_file_names_keys_that_exist() {
    let uncommented: String = SHIPPED.lines().map(|line| format!("{}\n", line.replacen("#: ", "", 1))).collect();
    assert_ne!(uncommented, SHIPPED);
    let case = Case { env: BTreeMap::from([("MY_KEY_ID".into(), "PKMINE".into()), ("MY_SECRET_KEY".into(), "hush".into())]), ..with_keys(Some(&uncommented)) };
    case.load().unwrap();
}

#[test]
fn the_example_is_refused_until_it_is_filled_in() {
    let said = Case { keys: false, dotenv: Some(EXAMPLE.to_owned()), ..with_keys(None) }.load().unwrap_err();
    assert!(said.contains("configs/.env:") && said.contains("placeholder"), "{said}");
    let filled = EXAMPLE.replace("your_paper_key", "PKMINE").replace("your_paper_secret", "hush");
    let (config, warnings) = Case { keys: false, dotenv: Some(filled), ..with_keys(Some(SHIPPED)) }.load().unwrap();
    assert_eq!((config.accounts.len(), warnings), (1, Vec::new()));
    let all: String = EXAMPLE.lines().map(|line| format!("{}\n", line.strip_prefix("#: ").unwrap_or(line))).collect();
    let mut report = problem::Report::default();
    let names = dotenv::parse(Path::new(".env"), &all, &mut report);
    assert!(report.problems.is_empty() && names.keys().all(|name| dotenv::NAMES.contains(&name.as_str())), "{:?}", names.keys());
}

#[test]
fn the_environment_wins_over_dotenv_over_the_file() {
    let file = "redis: {host: of-file, port: 1, db: 1, allow_plaintext: true}\n";
    let dotenv = Some("REDIS_HOST=of-dotenv\nREDIS_PORT=2\n".to_owned());
    let env = BTreeMap::from([("REDIS_HOST".to_owned(), "of-environment".to_owned()), ("REDIS_DB".to_owned(), String::new())]);
    let (config, _) = Case { dotenv, env, ..with_keys(Some(file)) }.load().unwrap();
    assert_eq!(config.redis.place, RedisPlace::Tcp { host: "of-environment".to_owned(), port: 2 });
    assert_eq!(config.redis.db, 1, "an empty variable counts as not set");
}

#[test]
fn secrets_arrive_whole() {
    let file = "accounts:\n- environment: paper\n  key_id: ${MY_KEY}\n  secret_key: ${MY_SECRET}\nredis: {password: '${MY_PASSWORD}'}\n";
    let dotenv = Some("MY_KEY=PK#1\nMY_SECRET=0123/+${MY_KEY}==\nMY_PASSWORD='a#b: c\" $x'\n".to_owned());
    let (config, _) = Case { keys: false, dotenv, ..with_keys(Some(file)) }.load().unwrap();
    assert_eq!(config.accounts[0].key_id.expose(), "PK#1");
    assert_eq!(config.accounts[0].secret_key.expose(), "0123/+${MY_KEY}==");
    assert_eq!(config.redis.password.unwrap().expose(), "a#b: c\" $x");
}

#[test]
fn the_built_in_exchange_runs_only_when_asked() {
    let (config, warnings) = Case { sim: true, ..with_keys(None) }.load().unwrap();
    assert!(config.sim.is_some() && config.accounts.len() == 1 && config.accounts[0].environment == Environment::Sim);
    assert_eq!((config.market_data.key_id.expose(), config.market_data.host.port, config.accounts[0].api.port), ("SIM", 0, 0));
    assert_eq!(warnings, ["--sim: the built-in exchange is used, the configured accounts and keys are left unused"]);
    let (config, _) = with_keys(Some("sim: {rate: 2.5}")).load().unwrap();
    assert!(config.sim.is_none() && config.accounts[0].environment == Environment::Paper);
    assert!(config.symbol_feeds.iter().eq([Feed::Price]));
}

#[test]
fn a_dotenv_file_that_others_can_read_is_warned_of() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(".env");
    std::fs::write(&path, "LOG_LEVEL=debug\n").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let mut sources = Sources { dotenv: Some(path.clone()), sim: true, ..Sources::default() };
    let loaded = Config::load(&sources).unwrap();
    assert_eq!(loaded.config.log_level, log::LevelFilter::Debug);
    assert_eq!(loaded.files, std::slice::from_ref(&path));
    assert_eq!(loaded.warnings, [format!("{}: other users of this machine can reach this file (mode 0644); chmod 600 {0}", path.display())]);
    std::fs::rename(&path, folder.path().join("alpaca-broker.env")).unwrap();
    sources.env.insert("CREDENTIALS_DIRECTORY".to_owned(), folder.path().display().to_string());
    let loaded = Config::load(&sources).unwrap();
    assert_eq!((loaded.config.log_level, loaded.warnings.len()), (log::LevelFilter::Debug, 0), "a credential's mode is systemd's affair");
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("none.yaml");
    let said = Config::load(&Sources { file: Some(missing.clone()), sim: true, ..Sources::default() }).unwrap_err().to_string();
    assert_eq!(said, format!("the configuration is refused: {}: cannot be read: No such file or directory (os error 2)", missing.display()));
    for (bytes, wanted) in [(vec![0xff, 0xfe], "it is not UTF-8 text"), (vec![b'#'; 65 * 1024], "larger than 64 KiB")] {
        std::fs::write(&missing, bytes).unwrap();
        let said = Config::load(&Sources { file: Some(missing.clone()), sim: true, ..Sources::default() }).unwrap_err().to_string();
        assert!(said.contains(wanted), "{said}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_file_ends_in_a_configuration_or_a_message(
        text in "((redis|accounts|market_data|symbols|limits|sim|http|port|host|name|environment|paper|live|true|1|-5|null|~|\\*|\\$\\{A\\}|\\[|\\]|\\{|\\}|,|\"|'|x): ?|\n|  |- ){0,40}"
    ) {
        let _ = with_keys(Some(&text)).load();
    }

    #[test]
    fn any_variable_ends_in_a_configuration_or_a_message(name in prop::sample::select(dotenv::NAMES.to_vec()), value in "\\PC{0,40}") {
        let _ = Case { env: BTreeMap::from([(name.to_owned(), value)]), ..with_keys(None) }.load();
    }
}
