//! The files of the exchanges folder: those that are shipped, and what the tables cannot say.

use std::time::Duration;

use rust_decimal::Decimal;

use super::*;

const PAPER: &str = include_str!("../../../configs/exchanges/paper.yaml");
const ALPACA: &str = include_str!("../../../configs/exchanges/alpaca.yaml");
const BINANCE: &str = include_str!("../../../configs/exchanges/binance.yaml.example");
const IB: &str = include_str!("../../../configs/exchanges/interactive_brokers.yaml.example");

fn dec(text: &str) -> Decimal {
    text.parse().unwrap()
}

fn with(exchanges: &[(&str, &str)]) -> Case {
    Case { exchanges: exchanges.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect(), ..with_keys(None) }
}

fn shown(config: &Config) -> Vec<String> {
    config.brokers.iter().map(BrokerSettings::masked_yaml).collect()
}

#[test]
fn without_files_there_is_the_paper_broker_of_the_plan() {
    let (config, _) = with_keys(None).load().unwrap();
    let [paper] = &config.brokers[..] else { panic!("{:?}", config.brokers) };
    assert_eq!((paper.name.as_str(), paper.broker_type(), paper.is_live(), &*paper.file), ("paper", "paper", false, "(built in)/paper.yaml"));
    assert_eq!((paper.limits.max_position_size, paper.limits.max_order_value), (Some(dec("1000")), Some(dec("10000"))));
    let VenueSettings::Paper(settings) = &paper.venue else { panic!("{:?}", paper.venue) };
    assert_eq!((settings.initial_balance, &*settings.base_currency, settings.latency), (dec("100000"), "USD", Duration::from_millis(50)));
    assert_eq!((settings.slippage, settings.commission_rate), (Slippage::Percentage(dec("0.0005")), dec("0.001")));
    let (simulated, _) = Case { sim: true, ..Case::default() }.load().unwrap();
    assert_eq!(shown(&simulated), shown(&config), "an order finds a broker with --sim too");
    assert_eq!(shown(&with(&[("paper.yaml", PAPER)]).load().unwrap().0), shown(&config), "the shipped file is the built-in one");
}

#[test]
fn a_file_without_settings_says_the_plans_defaults() {
    let bare = "broker_type: paper\nenabled: true\nrisk_limits: {max_position_size: 1000, max_order_value: 10000}\n";
    assert_eq!(shown(&with(&[("paper.yaml", bare)]).load().unwrap().0), shown(&with_keys(None).load().unwrap().0));
}

#[test]
fn the_variables_of_the_plan_reach_their_brokers() {
    let env = [
        ("PAPER_INITIAL_BALANCE", "2500.50"),
        ("PAPER_BASE_CURRENCY", "EUR"),
        ("BINANCE_TESTNET_API_KEY", "the-key"),
        ("BINANCE_TESTNET_SECRET", "hush"),
        ("IB_HOST", "gateway"),
        ("IB_PORT", "4002"),
        ("IB_CLIENT_ID", "17"),
    ];
    let env = BTreeMap::from(env.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let (of_nothing, _) = Case { env: env.clone(), ..with_keys(None) }.load().unwrap();
    assert!(shown(&of_nothing)[0].contains("initial_balance: '2500.5'"), "{:?}", shown(&of_nothing));
    let case = Case { env, ..with(&[("paper.yaml", PAPER), ("binance.yaml", BINANCE), ("interactive_brokers.yaml", IB), ("alpaca.yaml", ALPACA)]) };
    let (config, warnings) = case.load().unwrap();
    assert_eq!(warnings, Vec::<String>::new());
    let names: Vec<&str> = config.brokers.iter().map(|broker| broker.name.as_str()).collect();
    assert_eq!(names, ["binance", "ib", "paper"]);
    assert_eq!(config.disabled_brokers, [DisabledBroker { name: "alpaca".parse().unwrap(), file: config.disabled_brokers[0].file.clone() }]);
    let VenueSettings::Binance(binance) = &config.brokers[0].venue else { panic!("no Binance") };
    assert_eq!((binance.api_key.expose(), binance.api_secret.expose(), binance.live), ("the-key", "hush", false));
    assert_eq!((&*binance.rest.host, binance.rest.secure), ("testnet.binance.vision", true));
    let VenueSettings::InteractiveBrokers(ib) = &config.brokers[1].venue else { panic!("no Interactive Brokers") };
    assert_eq!((&*ib.host, ib.port, ib.client_id, ib.live), ("gateway", 4002, 17, false));
    let VenueSettings::Paper(paper) = &config.brokers[2].venue else { panic!("no paper broker") };
    assert_eq!((paper.initial_balance, &*paper.base_currency), (dec("2500.50"), "EUR"));
    assert!(!format!("{config:?}").contains("hush"));
}

/// Uncommenting a line of a shipped file must not be a mistake.
#[test]
fn the_shipped_files_name_keys_that_exist() {
    let keys = BTreeMap::from([("BINANCE_TESTNET_API_KEY".to_owned(), "K".to_owned()), ("BINANCE_TESTNET_SECRET".to_owned(), "hush".to_owned())]);
    for (name, text) in [("paper.yaml", PAPER), ("alpaca.yaml", ALPACA), ("binance.yaml", BINANCE), ("interactive_brokers.yaml", IB)] {
        let uncommented: String = text.lines().map(|line| format!("{}\n", line.replacen("#: ", "", 1))).collect();
        assert_ne!(uncommented, text);
        // The keys of the other slippage model come with it; the first example wants the file on.
        let uncommented = uncommented.replace("slippage_model: percentage", "slippage_model: impact").replace("ALPACA_ENABLED:false", "ALPACA_ENABLED:true");
        let (config, warnings) = Case { env: keys.clone(), ..with(&[(name, &uncommented)]) }.load().unwrap();
        assert_eq!((config.brokers.len(), warnings.len()), (1, 0), "{name}");
    }
}

#[test]
fn decimals_arrive_digit_for_digit() {
    let text = "broker_type: paper\nenabled: true\npaper: {commission_rate: 0.000123456, initial_balance: 99999999999.123456789}\n";
    let (config, _) = with(&[("paper.yaml", text)]).load().unwrap();
    let VenueSettings::Paper(paper) = &config.brokers[0].venue else { panic!("no paper broker") };
    assert_eq!((paper.commission_rate, paper.initial_balance), (dec("0.000123456"), dec("99999999999.123456789")));
}

#[test]
fn limits_arrive_as_the_check_takes_them() {
    let text = "broker_type: paper\nenabled: true\ntrading: {default_order_type: market, max_slippage: 0.01}\nrisk_limits:\n  max_open_orders: 5\n  \
                allowed_symbols: [MSFT, AAPL]\n  require_open_market: true\n  max_price_age_ms: 1500\n  max_daily_loss: 100.5\n  bots:\n    scalper: {max_open_orders: 2, max_slippage: 0.005, \
                allowed_symbols: AAPL}\n    slow_one:\n";
    let (config, _) = with(&[("paper.yaml", text)]).load().unwrap();
    let broker = &config.brokers[0];
    assert_eq!(broker.default_order_type, DefaultOrderType::Market);
    let symbols = |names: &[&str]| Some(names.iter().map(|name| name.parse().unwrap()).collect());
    let limits = crate::risk::Limits {
        max_open_orders: Some(5),
        allowed_symbols: symbols(&["AAPL", "MSFT"]),
        require_open_market: true,
        max_price_age: Some(Duration::from_millis(1500)),
        max_daily_loss: Some(dec("100.5")),
        max_slippage: Some(dec("0.01")),
        ..Default::default()
    };
    assert_eq!(broker.limits, limits);
    let bot = crate::risk::Limits { max_open_orders: Some(2), allowed_symbols: symbols(&["AAPL"]), max_slippage: Some(dec("0.005")), ..Default::default() };
    let wanted = BTreeMap::from([("scalper".to_owned(), bot), ("slow_one".to_owned(), crate::risk::Limits::default())]);
    assert_eq!(broker.bot_limits, wanted);
}

#[test]
fn a_folder_may_be_named_and_what_is_no_yaml_file_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [("small.yaml", "broker_type: paper\nenabled: true\n"), ("ib.yaml.example", "nonsense: ["), (".hidden.yaml", "["), ("notes.txt", "[")] {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let env = BTreeMap::from([("BROKER_EXCHANGES_DIR".to_owned(), folder.path().display().to_string())]);
    let (config, warnings) = Case { env, ..with(&[("paper.yaml", "[")]) }.load().unwrap();
    assert_eq!((config.brokers.len(), config.brokers[0].name.as_str(), warnings.len()), (1, "small", 0));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_exchange_file_ends_in_a_configuration_or_a_message(
        kind in prop::sample::select(vec!["paper", "alpaca", "binance", "interactive_brokers", "x"]),
        text in "((paper|credentials|connection|trading|risk_limits|bots|max_order_value|initial_balance|slippage_model|port|account|environment|live|true|1|-5|0.5|null|\\$\\{A\\}|\\[|\\]|\\{|\\}|,|\"|x): ?|\n|  |- ){0,40}"
    ) {
        let _ = with(&[("one.yaml", &format!("broker_type: {kind}\nenabled: true\n{text}"))]).load();
    }

    #[test]
    fn any_decimal_is_kept_or_refused(text in "-?[0-9]{0,14}(\\.[0-9]{0,12})?(e-?[0-9]{1,2})?") {
        let file = format!("broker_type: paper\nenabled: true\npaper:\n  initial_balance: {text}\n");
        if let Ok((config, _)) = with(&[("paper.yaml", &file)]).load()
            && let VenueSettings::Paper(paper) = &config.brokers[0].venue
            && !text.is_empty()
        {
            let exact = text.parse::<Decimal>().or_else(|_| Decimal::from_scientific(&text)).unwrap();
            prop_assert_eq!(paper.initial_balance, exact);
        }
    }
}
