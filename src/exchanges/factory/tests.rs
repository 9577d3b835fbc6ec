use super::*;
use crate::config::{Config, Sources};
use crate::events::AccountRef;
use crate::exchanges::Capabilities;
use crate::exchanges::fixtures::Venue;

/// Knows its name and nothing else.
fn named(settings: &BrokerSettings, account: &str) -> Arc<dyn Broker> {
    let capabilities = Capabilities { live: settings.is_live(), ..Capabilities::none(settings.broker_type()) };
    Arc::new(Venue::new(AccountRef { broker: settings.name.clone(), account: account.parse().unwrap() }, capabilities))
}

/// The settings that these files make, and the folder's name to take out of messages.
fn settings(files: &[(&str, &str)]) -> (Vec<BrokerSettings>, String) {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    std::fs::write(folder.path().join("broker.cfg"), "accounts: [{environment: sim}]\n").unwrap();
    let sources = Sources { file: Some(folder.path().join("broker.cfg")), exchanges: Some(folder.path().to_owned()), ..Sources::default() };
    let loaded = Config::load(&sources).unwrap();
    (loaded.config.brokers, format!("{}/", folder.path().display()))
}

const PAPER: &str = "broker_type: paper\nenabled: true\n";
const IB: &str = "broker_type: interactive_brokers\nenabled: true\n";

#[test]
fn several_brokers_of_one_type_and_of_several_live_side_by_side() {
    let (list, _) = settings(&[("ib.yaml", IB), ("one.yaml", PAPER), ("two.yaml", PAPER), ("off.yaml", "broker_type: paper\nenabled: false\n")]);
    let registry = Registry::new()
        .with("paper", |settings, account: &String| Ok(named(settings, account)))
        .with("interactive_brokers", |settings, account: &String| Ok(named(settings, account)));
    let brokers = registry.create_all(&list, &"DU1".to_owned()).unwrap();
    let seen: Vec<(String, String, String)> = brokers
        .iter()
        .map(|(name, broker)| (name.to_string(), broker.capabilities().broker.clone(), format!("{}/{}", broker.of().broker, broker.of().account)))
        .collect();
    let wanted = [("ib", "interactive_brokers", "ib/DU1"), ("one", "paper", "one/DU1"), ("two", "paper", "two/DU1")];
    assert_eq!(seen, wanted.map(|(name, kind, of)| (name.to_owned(), kind.to_owned(), of.to_owned())));
    assert_eq!(format!("{registry:?}"), "[\"interactive_brokers\", \"paper\"]");
}

#[test]
fn what_nobody_can_build_is_said_with_its_file() {
    let (list, folder) = settings(&[("ib.yaml", IB), ("one.yaml", PAPER), ("two.yaml", PAPER)]);
    let registry = Registry::new().with("paper", |settings, (): &()| match settings.name.as_str() {
        "two" => Err(BrokerError::Storage { broker: "two".to_owned(), cause: "the disk is full".to_owned() }),
        _ => Ok(named(settings, "a")),
    });
    let said = |error: FactoryError| error.to_string().replace(&folder, "");
    let not_built_in = "ib.yaml: interactive_brokers is not built into this version, which has paper; say 'enabled: false' there, or use a version that has it";
    assert_eq!(said(registry.create(&list[0], &()).unwrap_err()), not_built_in);
    let refused = "two.yaml: the broker 'two' cannot be made: the state of two cannot be kept: the disk is full; no order is taken until it can";
    assert_eq!(said(registry.create_all(&list[1..], &()).unwrap_err()), refused);
    assert_eq!(said(registry.create_all(&list, &()).unwrap_err()), format!("2 brokers cannot be made:\n  {not_built_in}\n  {refused}"));
    let twice = [list[1].clone(), list[1].clone()];
    assert_eq!(said(registry.create_all(&twice, &()).unwrap_err()), "one.yaml: another broker is named 'one'; give each its own name");
    let empty = Registry::<()>::new().create_all(&list[1..2], &()).unwrap_err();
    assert_eq!(said(empty), "one.yaml: paper is not built into this version, which has none; say 'enabled: false' there, or use a version that has it");
    assert!(Registry::<()>::new().create_all(&[], &()).unwrap().is_empty());
}
