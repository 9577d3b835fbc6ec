//! Questions and orders over HTTP: one client for both hosts, who may ask when the budget runs low, and what an answer
//! means.
//!
//! Nothing is ever sent twice from here. Must not know what is asked or what the answers hold.

mod account;
mod addresses;
mod budget;
mod events;
mod refusal;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io::{Cursor, Read};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use ureq::http::{HeaderMap, Method, Request, Response};
use ureq::tls::TlsConfig;
use ureq::unversioned::transport::DefaultConnector;
use ureq::{Body, SendBody, Timeout};

pub use account::{ACCOUNT_PATH, AccountFacts, KEY_ID_HEADER, RestError, SECRET_KEY_HEADER, parse_account};
use addresses::Addresses;
use budget::{Budget, Told};
use events::{Events, Heard};
use refusal::Asked;

use crate::exchanges::{BrokerError, BrokerMetrics};
use crate::net::Endpoint;
use crate::runtime::Secret;

/// Lists of hundreds of orders fit; more is not an answer.
const BODY_MAX: u64 = 4 * 1024 * 1024;
/// Shorter than the venue keeps an idle connection, so that it rarely closes one under a request.
const IDLE: Duration = Duration::from_secs(15);
const IDLE_CONNECTIONS: usize = 4;
const CONNECT_WITHIN: Duration = Duration::from_secs(3);
const JSON: &str = "application/json";
const EVENTS: &str = "text/event-stream";
const USER_AGENT: &str = concat!("alpaca-broker/", env!("CARGO_PKG_VERSION"));

/// Where to ask, as whom, and whom to trust.
#[derive(Debug, Clone)]
pub struct RestSettings {
    /// As it stands in errors.
    pub broker: String,
    pub api: Endpoint,
    /// Market data; `None` where none is to be had.
    pub data: Option<Endpoint>,
    pub key_id: Secret,
    pub secret_key: Secret,
    pub tls: TlsConfig,
}

/// Who may still ask when the budget runs low, the first the longest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    Cancel,
    Order,
    Question,
    /// Regular comparing, which can wait.
    Sweep,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    Get,
    Post,
    Patch,
    Delete,
}

#[derive(Debug, Clone)]
pub struct Ask<'a> {
    pub verb: Verb,
    /// Encoded, with its query; begins with `/`.
    pub path: &'a str,
    /// JSON.
    pub body: Option<String>,
    pub urgency: Urgency,
    /// For all of it, from the look-up of the name to the last byte.
    pub within: Duration,
}

/// A successful answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    pub status: u16,
    pub body: String,
    /// What the venue's support asks for.
    pub request_id: Option<String>,
}

/// Asks one account's hosts.
pub struct RestClient {
    settings: RestSettings,
    agent: ureq::Agent,
    closed: AtomicBool,
    /// The hosts count apart.
    budget: Mutex<Budget>,
    data_budget: Mutex<Budget>,
    metrics: Arc<BrokerMetrics>,
}

impl fmt::Debug for RestClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RestClient").field("broker", &self.settings.broker).field("api", &self.settings.api).finish_non_exhaustive()
    }
}

impl RestClient {
    pub fn new(settings: RestSettings, metrics: Arc<BrokerMetrics>) -> RestClient {
        let now = Instant::now();
        let agent = agent(settings.tls.clone());
        let budget = || Mutex::new(Budget::new(now));
        RestClient { settings, agent, closed: AtomicBool::new(false), budget: budget(), data_budget: budget(), metrics }
    }

    /// Asks the trading host once; only a success is a page.
    pub fn ask(&self, ask: &Ask<'_>) -> Result<Page, BrokerError> {
        let answer = self.ask_at(&self.settings.api, &self.budget, ask);
        self.metrics.set_requests_left(self.budget.lock().left());
        answer
    }

    /// The same for server-sent events, each handed on as it comes, until the venue ends them or `hear` has heard enough.
    ///
    /// # Errors
    /// Also after some of them: those that were handed on have come whole and in order.
    pub fn ask_events(&self, ask: &Ask<'_>, hear: impl FnMut(&str) -> ControlFlow<()>) -> Result<(), BrokerError> {
        let told = self.hear_events(ask, hear);
        self.metrics.set_requests_left(self.budget.lock().left());
        told
    }

    fn hear_events(&self, ask: &Ask<'_>, mut hear: impl FnMut(&str) -> ControlFlow<()>) -> Result<(), BrokerError> {
        let secrets = [&self.settings.secret_key, &self.settings.key_id];
        let asked = self.asked(ask, &secrets);
        let Answer { mut response, after } = self.send(&self.settings.api, &self.budget, ask, &asked, EVENTS)?;
        if !response.status().is_success() {
            let page = read_page(&mut response, &asked)?;
            return asked.judge(page, after).map(|_| ());
        }
        let request_id = text(response.headers(), "x-request-id").map(str::to_owned);
        let mut events = Events::new(response.body_mut().with_config().limit(u64::MAX).reader());
        loop {
            let heard = events.next().map_err(|error| asked.uncertain(asked.words(&format!("the events broke off: {error}"), request_id.as_deref())))?;
            match heard {
                Some(Heard::Event(json)) => {
                    if hear(&json).is_break() {
                        return Ok(());
                    }
                }
                Some(Heard::TooLarge) => log::warn!("{}: an event larger than any order is left out", self.broker()),
                None => return Ok(()),
            }
        }
    }

    /// Asks the host of the market data once.
    pub fn ask_data(&self, ask: &Ask<'_>) -> Result<Page, BrokerError> {
        let Some(data) = &self.settings.data else {
            return Err(BrokerError::Unsupported { broker: self.settings.broker.clone(), what: "market data over REST".to_owned() });
        };
        self.ask_at(data, &self.data_budget, ask)
    }

    /// Ends the requests that are under way, and every later one; the client is of no use afterwards.
    pub fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        self.agent.clone().shutdown();
    }

    /// Of the trading host, as far as is known.
    pub fn requests_left(&self) -> Option<u32> {
        self.metrics.requests_left()
    }

    pub(super) fn broker(&self) -> &str {
        &self.settings.broker
    }

    fn asked<'a>(&'a self, ask: &'a Ask<'_>, secrets: &'a [&'a Secret]) -> Asked<'a> {
        Asked { broker: self.broker(), verb: ask.verb, path: ask.path, body: ask.body.as_deref(), secrets }
    }

    fn ask_at(&self, host: &Endpoint, budget: &Mutex<Budget>, ask: &Ask<'_>) -> Result<Page, BrokerError> {
        let secrets = [&self.settings.secret_key, &self.settings.key_id];
        let asked = self.asked(ask, &secrets);
        let Answer { mut response, after } = self.send(host, budget, ask, &asked, JSON)?;
        let page = read_page(&mut response, &asked)?;
        asked.judge(page, after)
    }

    /// Sends once, if the budget allows it, and reads the head of the answer, whatever its status.
    fn send(&self, host: &Endpoint, budget: &Mutex<Budget>, ask: &Ask<'_>, asked: &Asked<'_>, accept: &str) -> Result<Answer, BrokerError> {
        if self.closed.load(Ordering::SeqCst) {
            return Err(BrokerError::NotConnected { broker: self.broker().to_owned(), cause: "this client was closed; nothing was sent".to_owned() });
        }
        budget.lock().take(ask.urgency, Instant::now()).map_err(|after| BrokerError::RateLimited { after: Some(after) })?;
        let response = self.exchange(host, ask, asked, accept)?;
        let (now, told) = (Instant::now(), told(response.headers()));
        let mut budget = budget.lock();
        budget.learn(told, now);
        let is_no = response.status().as_u16() == 429;
        let after = is_no.then(|| budget.refused(retry_after(response.headers()).or(told.reset), now));
        Ok(Answer { response, after })
    }

    fn exchange(&self, host: &Endpoint, ask: &Ask<'_>, asked: &Asked<'_>, accept: &str) -> Result<Response<Body>, BrokerError> {
        let body = Watched { rest: Cursor::new(ask.body.clone().unwrap_or_default()), begun: Arc::default() };
        let has_begun = Arc::clone(&body.begun);
        let writes = matches!(ask.verb, Verb::Post | Verb::Patch);
        let answer = self.request(host, ask, body, accept).and_then(|request| {
            // Each of the first two ends before the whole does, so that the name of a timeout tells whether anything was sent.
            let first = CONNECT_WITHIN.min(ask.within / 3);
            let timed = self.agent.configure_request(request).timeout_global(Some(ask.within)).timeout_resolve(Some(first)).timeout_connect(Some(first));
            self.agent.run(timed.build())
        });
        // An order whose body was never begun cannot have been taken.
        let has_body = writes && ask.body.as_ref().is_some_and(|body| !body.is_empty());
        let unsent = has_body && !has_begun.load(Ordering::Relaxed);
        answer.map_err(|error| {
            let cause = asked.words(&error.to_string(), None);
            if unsent || is_before_sending(&error) { asked.unavailable(cause) } else { asked.uncertain(cause) }
        })
    }

    fn request(&self, host: &Endpoint, ask: &Ask<'_>, body: Watched, accept: &str) -> Result<Request<SendBody<'static>>, ureq::Error> {
        let method = match ask.verb {
            Verb::Get => Method::GET,
            Verb::Post => Method::POST,
            Verb::Patch => Method::PATCH,
            Verb::Delete => Method::DELETE,
        };
        let writes = matches!(ask.verb, Verb::Post | Verb::Patch);
        let request = Request::builder()
            .method(method)
            .uri(host.join(ask.path).http_url())
            .header("Accept", accept)
            .header(KEY_ID_HEADER, self.settings.key_id.expose())
            .header(SECRET_KEY_HEADER, self.settings.secret_key.expose());
        let request = if writes { request.header("Content-Type", "application/json").header("Content-Length", body.rest.get_ref().len()) } else { request };
        Ok(request.body(if writes { SendBody::from_owned_reader(body) } else { SendBody::none() })?)
    }
}

/// An answer of which the head was read.
struct Answer {
    response: Response<Body>,
    /// How long nobody is to ask, where the venue has said no.
    after: Option<Duration>,
}

/// The rest of it, whatever its status.
fn read_page(response: &mut Response<Body>, asked: &Asked<'_>) -> Result<Page, BrokerError> {
    let status = response.status().as_u16();
    let request_id = text(response.headers(), "x-request-id").map(str::to_owned);
    match response.body_mut().with_config().limit(BODY_MAX).read_to_vec() {
        Ok(body) => Ok(Page { status, body: String::from_utf8_lossy(&body).into_owned(), request_id }),
        // The status alone says that nothing was done.
        Err(_) if (400..500).contains(&status) => Ok(Page { status, body: String::new(), request_id }),
        Err(error) => Err(asked.uncertain(asked.words(&format!("the answer {status} broke off: {error}"), request_id.as_deref()))),
    }
}

fn agent(tls: TlsConfig) -> ureq::Agent {
    let config = ureq::Agent::config_builder()
        .tls_config(tls)
        // A redirect would carry the keys to another host.
        .max_redirects(0)
        .max_redirects_will_error(false)
        .proxy(None)
        .http_status_as_error(false)
        .no_delay(true)
        .user_agent(USER_AGENT)
        .max_idle_age(IDLE)
        .max_idle_connections(2 * IDLE_CONNECTIONS)
        .max_idle_connections_per_host(IDLE_CONNECTIONS)
        .build();
    ureq::Agent::with_parts(config, DefaultConnector::default(), Addresses::default())
}

/// A body that tells whether anybody has begun to send it.
struct Watched {
    rest: Cursor<String>,
    begun: Arc<AtomicBool>,
}

impl Read for Watched {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.begun.store(true, Ordering::Relaxed);
        self.rest.read(buffer)
    }
}

/// Whether it is certain that not a byte of the request was sent.
fn is_before_sending(error: &ureq::Error) -> bool {
    use std::io::ErrorKind as Kind;
    use ureq::Error;
    match error {
        Error::Timeout(timeout) => matches!(timeout, Timeout::Resolve | Timeout::Connect),
        Error::Io(error) => {
            let is_handshake = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
            let is_untrusted = is_handshake.is_some_and(|cause| matches!(cause, rustls::Error::InvalidCertificate(_)));
            is_untrusted || matches!(error.kind(), Kind::ConnectionRefused | Kind::HostUnreachable | Kind::NetworkUnreachable | Kind::AddrNotAvailable)
        }
        Error::HostNotFound | Error::ConnectionFailed | Error::Tls(_) | Error::TlsRequired | Error::Pem(_) | Error::Http(_) | Error::BadUri(_) => true,
        Error::Rustls(rustls::Error::InvalidCertificate(_)) => true,
        _ => false,
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

fn told(headers: &HeaderMap) -> Told {
    let number = |name| text(headers, name)?.parse::<u64>().ok();
    let small = |name| number(name).map(|number| u32::try_from(number).unwrap_or(u32::MAX));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let reset = number("x-ratelimit-reset").map(|at| Duration::from_secs(at).saturating_sub(now));
    Told { limit: small("x-ratelimit-limit"), remaining: small("x-ratelimit-remaining"), reset }
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    text(headers, "retry-after")?.parse().ok().map(Duration::from_secs)
}

/// Percent-encodes one segment of a path, or one value of a query.
pub fn encode(segment: &str) -> String {
    use std::fmt::Write as _;
    segment.bytes().fold(String::with_capacity(segment.len()), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            out.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}
