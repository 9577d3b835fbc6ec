//! From the settings of a broker to the broker: a registry of constructors by type.
//!
//! Whoever composes the program fills it, so this room knows no venue. Must not read files.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::{Broker, BrokerError};
use crate::config::BrokerSettings;
use crate::model::ExchangeName;

/// The brokers that are in force, by the name that orders give.
pub type Brokers = BTreeMap<ExchangeName, Arc<dyn Broker>>;

type Constructor<C> = Box<dyn Fn(&BrokerSettings, &C) -> Result<Arc<dyn Broker>, BrokerError> + Send + Sync>;

/// Why a broker does not exist, with the file to look at.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FactoryError {
    /// The type is known to the configuration and to nobody here.
    #[error(
        "{file}: {broker_type} is not built into this version, which has {}; say 'enabled: false' there, or use a version that has it",
        list(.built_in)
    )]
    NotBuiltIn { file: String, broker_type: &'static str, built_in: Vec<&'static str> },
    #[error("{file}: the broker '{name}' cannot be made: {source}")]
    Refused { file: String, name: ExchangeName, source: BrokerError },
    #[error("{file}: another broker is named '{name}'; give each its own name")]
    NameTaken { file: String, name: ExchangeName },
    #[error("{} brokers cannot be made:{}", .0.len(), lines(.0))]
    Several(Vec<FactoryError>),
}

fn list(names: &[&'static str]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

fn lines(errors: &[FactoryError]) -> String {
    errors.iter().map(|error| format!("\n  {error}")).collect()
}

/// Which constructor makes which type. `C` is what all of them need: clocks, buses, folders.
pub struct Registry<C> {
    constructors: BTreeMap<&'static str, Constructor<C>>,
}

impl<C> Default for Registry<C> {
    fn default() -> Registry<C> {
        Registry { constructors: BTreeMap::new() }
    }
}

impl<C> fmt::Debug for Registry<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.constructors.keys()).finish()
    }
}

impl<C> Registry<C> {
    pub fn new() -> Registry<C> {
        Registry::default()
    }

    /// The word stands in files as `broker_type`. The last constructor of a type is the one that counts.
    #[must_use]
    pub fn with<F>(mut self, broker_type: &'static str, build: F) -> Registry<C>
    where
        F: Fn(&BrokerSettings, &C) -> Result<Arc<dyn Broker>, BrokerError> + Send + Sync + 'static,
    {
        self.constructors.insert(broker_type, Box::new(build));
        self
    }

    pub fn types(&self) -> Vec<&'static str> {
        self.constructors.keys().copied().collect()
    }

    pub fn create(&self, settings: &BrokerSettings, context: &C) -> Result<Arc<dyn Broker>, FactoryError> {
        let broker_type = settings.broker_type();
        let Some(build) = self.constructors.get(broker_type) else {
            return Err(FactoryError::NotBuiltIn { file: settings.file.clone(), broker_type, built_in: self.types() });
        };
        build(settings, context).map_err(|source| FactoryError::Refused { file: settings.file.clone(), name: settings.name.clone(), source })
    }

    /// All of them or, when one fails, what is wrong with every one that did.
    pub fn create_all(&self, list: &[BrokerSettings], context: &C) -> Result<Brokers, FactoryError> {
        let mut brokers = Brokers::new();
        let mut errors = Vec::new();
        for settings in list {
            if brokers.contains_key(&settings.name) {
                errors.push(FactoryError::NameTaken { file: settings.file.clone(), name: settings.name.clone() });
                continue;
            }
            match self.create(settings, context) {
                Ok(broker) => {
                    brokers.insert(settings.name.clone(), broker);
                }
                Err(error) => errors.push(error),
            }
        }
        match errors.len() {
            0 => Ok(brokers),
            1 => Err(errors.remove(0)),
            _ => Err(FactoryError::Several(errors)),
        }
    }
}

#[cfg(test)]
mod tests;
