use std::time::Instant;

use super::*;
use crate::config::{Config, Sources};
use crate::events::{AccountRef, OrderKey};
use crate::exchanges::{BrokerMetrics, CancelOutcome, Capabilities, Connection};
use crate::model::{AccountInfo, Balance, Fill, Modification, Order, OrderRequest, Position, Symbol, Timestamp};
use crate::risk::Approved;

/// Knows its name and nothing else.
#[derive(Debug)]
struct Named {
    of: AccountRef,
    capabilities: Capabilities,
    metrics: BrokerMetrics,
}

impl Named {
    fn broker(settings: &BrokerSettings, account: &str) -> Arc<dyn Broker> {
        let capabilities = Capabilities {
            broker: settings.broker_type().to_owned(),
            order_types: Vec::new(),
            times_in_force: Vec::new(),
            classes: Vec::new(),
            modify: false,
            cancel_all: false,
            extended_hours: false,
            notional: false,
            fractional: false,
            short_selling: false,
            fills: false,
            batch_orders: false,
            local: false,
            unique_client_ids: false,
            live: settings.is_live(),
        };
        let of = AccountRef { broker: settings.name.clone(), account: account.parse().unwrap() };
        Arc::new(Named { of, capabilities, metrics: BrokerMetrics::new(Instant::now()) })
    }

    fn cannot<T>(&self, what: &str) -> Result<T, BrokerError> {
        Err(BrokerError::Unsupported { broker: self.of.broker.to_string(), what: what.to_owned() })
    }
}

impl Broker for Named {
    fn of(&self) -> AccountRef {
        self.of.clone()
    }
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }
    fn connect(&self) -> Result<(), BrokerError> {
        Ok(())
    }
    fn disconnect(&self) {}
    fn connection(&self) -> Connection {
        Connection::Disconnected
    }
    fn place(&self, _: Approved<OrderRequest>) -> Result<Order, BrokerError> {
        self.cannot("orders")
    }
    fn modify(&self, _: &OrderKey, _: Approved<Modification>) -> Result<Order, BrokerError> {
        self.cannot("changes")
    }
    fn cancel(&self, _: &OrderKey) -> Result<(), BrokerError> {
        self.cannot("cancels")
    }
    fn cancel_all(&self, _: Option<&Symbol>) -> Result<Vec<CancelOutcome>, BrokerError> {
        self.cannot("cancels")
    }
    fn open_orders(&self) -> Result<Vec<Order>, BrokerError> {
        Ok(Vec::new())
    }
    fn order(&self, _: &OrderKey) -> Result<Option<Order>, BrokerError> {
        Ok(None)
    }
    fn fills(&self, _: Timestamp, _: usize) -> Result<Vec<Fill>, BrokerError> {
        Ok(Vec::new())
    }
    fn positions(&self) -> Result<Vec<Position>, BrokerError> {
        Ok(Vec::new())
    }
    fn account(&self) -> Result<AccountInfo, BrokerError> {
        self.cannot("accounts")
    }
    fn balances(&self) -> Result<Vec<Balance>, BrokerError> {
        Ok(Vec::new())
    }
    fn metrics(&self) -> &BrokerMetrics {
        &self.metrics
    }
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
        .with("paper", |settings, account: &String| Ok(Named::broker(settings, account)))
        .with("interactive_brokers", |settings, account: &String| Ok(Named::broker(settings, account)));
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
        _ => Ok(Named::broker(settings, "a")),
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
