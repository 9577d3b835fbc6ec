//! Who we are at the venue: each account's own id, learned from the venue once and remembered.
//!
//! Bots listen on `order:{account_id}`, so an account takes no orders before its id is known.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use parking_lot::Mutex;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use super::stream::StreamBoard;
use crate::config::{Account, Environment};
use crate::exchanges::alpaca::{ACCOUNT_PATH, KEY_ID_HEADER, SECRET_KEY_HEADER, parse_account};
use crate::exchanges::{Advice, SessionEnd};
use crate::model::AccountId;
use crate::net::{TlsError, certificates};
use crate::runtime::{Backoff, StopToken, StreamState, Waited};

/// How long the venue may take to say who we are.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// An account is less than a kilobyte; more is not an account.
const BODY_MAX: u64 = 256 * 1024;

/// Learns and keeps the id of one account.
#[derive(Debug)]
pub struct AccountDesk {
    account: Account,
    /// Of its order stream, which cannot begin before its id is known.
    board: Arc<StreamBoard>,
    memory: Arc<AccountMemory>,
    id: Mutex<Option<Arc<str>>>,
    agent: ureq::Agent,
    /// The agent ends its requests at the shutdown.
    ends_at_shutdown: AtomicBool,
}

impl AccountDesk {
    pub fn new(account: Account, board: Arc<StreamBoard>, memory: Arc<AccountMemory>, tls: TlsConfig) -> AccountDesk {
        // The built-in exchange may give other ids at the next start.
        let remembered = if account.environment == Environment::Sim { None } else { memory.recall(account.key_id.expose()) };
        AccountDesk { account, board, memory, id: Mutex::new(remembered.map(Into::into)), agent: agent(tls), ends_at_shutdown: AtomicBool::new(false) }
    }

    pub fn known_id(&self) -> Option<Arc<str>> {
        self.id.lock().clone()
    }

    fn identity(&self) -> Option<(Arc<str>, AccountId)> {
        let id = self.known_id()?;
        id.parse().ok().map(|id| (Arc::clone(&self.account.name), id))
    }

    /// Asks the venue, unless the id is known.
    pub fn learn(&self, token: &StopToken) -> Result<(), SessionEnd> {
        if self.known_id().is_some() {
            return Ok(());
        }
        let url = self.account.api.join(ACCOUNT_PATH).http_url();
        if !self.ends_at_shutdown.swap(true, Ordering::Relaxed) {
            let closing = self.agent.clone();
            token.on_shutdown(move || closing.shutdown());
        }
        let request = self.agent.get(&url).header(KEY_ID_HEADER, self.account.key_id.expose()).header(SECRET_KEY_HEADER, self.account.secret_key.expose());
        let unreachable = |cause: String| SessionEnd { cause: format!("cannot ask for the account: {cause}"), advice: Advice::Reconnect };
        let mut response = request.call().map_err(|error| unreachable(error.to_string()))?;
        let status = response.status().as_u16();
        let body = response.body_mut().with_config().limit(BODY_MAX).read_to_string().map_err(|error| unreachable(error.to_string()))?;
        let facts = parse_account(status, &body).map_err(|error| SessionEnd { cause: format!("cannot learn the account: {error}"), advice: error.advice })?;
        log::info!("account {} is {} ({})", self.account.name, facts.id, facts.status);
        if self.account.environment != Environment::Sim {
            self.memory.remember(self.account.key_id.expose(), &facts.id);
        }
        *self.id.lock() = Some(facts.id.into());
        Ok(())
    }
}

/// The accounts whose ids are known, by their configured names.
pub type Identities = HashMap<Arc<str>, AccountId>;

/// Which account it is, or why that will not be known in this life.
#[derive(Debug)]
pub struct Learned {
    pub account: Account,
    pub id: Result<AccountId, String>,
}

/// Learns the id of every account, and tells each as soon as it is known. The channel ends when there is nothing to learn.
#[derive(Debug)]
pub struct Learner {
    pub accounts: Vec<AccountDesk>,
    pub token: StopToken,
    pub told: Sender<Learned>,
}

impl Learner {
    /// What is known without asking.
    pub fn known(&self) -> Identities {
        self.accounts.iter().filter_map(AccountDesk::identity).collect()
    }

    fn tell(&self, account: &AccountDesk, id: Result<AccountId, String>) {
        if let Err(cause) = &id {
            account.board.set_state(StreamState::Refused, Some(cause.clone()));
        }
        let _ = self.told.send(Learned { account: account.account.clone(), id });
    }

    /// The body of the thread that asks.
    pub fn run(self) {
        let mut backoff = Backoff::new(Duration::from_millis(250), Duration::from_secs(30), 2.0, Duration::from_secs(60), fastrand::u64(..));
        let mut waiting: Vec<&AccountDesk> = self.accounts.iter().filter(|account| account.identity().is_none()).collect();
        while self.token.is_running() {
            waiting.retain(|account| match account.learn(&self.token) {
                Ok(()) => {
                    let id = account.identity().map(|(_, id)| id).ok_or_else(|| "the venue's name of the account is none".to_owned());
                    self.tell(account, id);
                    false
                }
                Err(end) if end.advice == Advice::Refuse => {
                    self.tell(account, Err(format!("{}; its orders are neither taken nor heard before the next start", end.cause)));
                    false
                }
                Err(end) => {
                    log::warn!("account {}: {}", account.account.name, end.cause);
                    account.board.set_state(StreamState::BackingOff, Some(end.cause));
                    true
                }
            });
            if waiting.is_empty() {
                return;
            }
            if self.token.wait(backoff.failed(Instant::now())) == Waited::Stopped {
                return;
            }
        }
    }
}

/// Whom a question to the venue trusts: the same as its streams do.
pub fn rest_tls(trusted_ca: Option<&Path>) -> Result<TlsConfig, TlsError> {
    let Some(path) = trusted_ca else { return Ok(TlsConfig::default()) };
    let trusted: Vec<_> = certificates(path)?.iter().map(|certificate| Certificate::from_der(certificate).to_owned()).collect();
    Ok(TlsConfig::builder().root_certs(RootCerts::new_with_certs(&trusted)).build())
}

fn agent(tls: TlsConfig) -> ureq::Agent {
    ureq::Agent::config_builder()
        .tls_config(tls)
        .timeout_global(Some(ANSWER_WITHIN))
        .timeout_connect(Some(ANSWER_WITHIN))
        // A redirect would carry the keys to another host.
        .max_redirects(0)
        .proxy(None)
        .http_status_as_error(false)
        .build()
        .into()
}

/// Account ids by a fingerprint of the key, in a file of the data directory.
#[derive(Debug)]
pub struct AccountMemory {
    file: PathBuf,
    ids: Mutex<BTreeMap<String, String>>,
}

impl AccountMemory {
    /// Reads what is there; a file that cannot be read is as good as none.
    pub fn open(data_dir: &Path) -> AccountMemory {
        let file = data_dir.join("accounts.json");
        let ids = std::fs::read(&file).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
        AccountMemory { file, ids: Mutex::new(ids) }
    }

    fn recall(&self, key_id: &str) -> Option<String> {
        self.ids.lock().get(&fingerprint(key_id)).cloned()
    }

    fn remember(&self, key_id: &str, id: &str) {
        let json = {
            let mut ids = self.ids.lock();
            ids.insert(fingerprint(key_id), id.to_owned());
            serde_json::to_vec_pretty(&*ids).unwrap_or_default()
        };
        if let Err(error) = crate::runtime::files::replace(&self.file, &json) {
            log::warn!("cannot remember the account in {}: {error}; it will be asked for at the next start", self.file.display());
        }
    }
}

/// Tells keys apart without keeping them.
fn fingerprint(key_id: &str) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, key_id.as_bytes());
    digest.as_ref()[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_remembered_by_key_and_the_key_is_not() {
        let dir = tempfile::tempdir().unwrap();
        AccountMemory::open(dir.path()).remember("PKTESTKEY", "id-1");
        let again = AccountMemory::open(dir.path());
        assert_eq!(again.recall("PKTESTKEY").as_deref(), Some("id-1"));
        assert_eq!(again.recall("PKOTHER"), None);
        assert!(!std::fs::read_to_string(dir.path().join("accounts.json")).unwrap().contains("PKTESTKEY"));
    }
}
