//! One accepted connection: HTTP requests in turn, until one of them becomes a WebSocket.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tungstenite::Bytes;
use tungstenite::handshake::derive_accept_key;

use super::accept::{Accepted, Idle};
use super::record::{FaultAction, StageFault};
use super::request::{self, Headers, Late, Reply};
use super::sse;
use super::stream::Stream;
use super::tape::Direction;
use super::upgrade::{StreamPath, Upgrade};
use super::{Shared, admin, wire};
use crate::config::Codec;
use crate::net::Transport;
use crate::runtime::{Stop, StopToken};
use crate::sim::fault::{Fault, Target};
use crate::sim::http::{self, Head, Parsed};
use crate::sim::rest::Response;
use crate::sim::session::Stage;

/// For the TLS handshake, for a request once it has begun, and for an answer.
const STEP: Duration = Duration::from_secs(10);
/// A connection without a request is closed after that.
const IDLE: Duration = Duration::from_secs(75);

/// Serves one connection to its end. What goes wrong with it concerns nobody else.
pub(super) fn serve(shared: &Shared, wake: &Stop, accepted: Accepted) {
    let (token, id, from) = (wake.token(), accepted.id, accepted.from);
    match wire::open(accepted.tcp, accepted.tls.as_ref(), &token, Instant::now() + STEP) {
        Ok(transport) => {
            let connection =
                Connection { shared, id, from, wake, token, transport, buffer: Vec::new(), served: 0, recorded: true, bare: false, idle: accepted.idle };
            if let Err(error) = connection.run() {
                log::debug!("simulated exchange: connection {id} ended: {error}");
            }
        }
        Err(error) => log::debug!("simulated exchange: no TLS handshake on connection {id}: {error}"),
    }
}

struct Connection<'a> {
    shared: &'a Shared,
    id: u64,
    from: SocketAddr,
    wake: &'a Stop,
    token: StopToken,
    transport: Transport,
    buffer: Vec<u8>,
    served: u64,
    /// What is asked now is written down.
    recorded: bool,
    /// What is asked now is answered without a body.
    bare: bool,
    idle: Arc<Idle>,
}

impl Connection<'_> {
    fn run(mut self) -> io::Result<()> {
        while let Some(head) = self.head()? {
            let websocket = head.websocket_key().map(derive_key);
            let fault = self.shared.change(|hub| hub.claim(&head.path, websocket.is_some()));
            self.bare = head.method == "HEAD";
            self.recorded = admin::part(&head.path).is_none();
            if websocket.is_some() {
                self.tape(Direction::In, "upgrade", || Bytes::from(format!("{} {}", head.method, head.target)));
            }
            if let Some(StageFault { stage: Stage::Upgrade, action, .. }) = fault {
                match action {
                    FaultAction::Refuse { status } => {
                        self.body(&head)?;
                        self.refuse(status)?;
                    }
                    FaultAction::Mute => wire::stay_mute(&mut self.transport, &self.token, || false),
                    FaultAction::Close | FaultAction::Error { .. } => {}
                }
                self.transport.shutdown();
                return Ok(());
            }
            if let Some(accept) = websocket {
                return self.upgrade(&head, &accept, fault);
            }
            let body = self.body(&head)?;
            if !self.request(&head, &body)? {
                self.transport.shutdown();
                return Ok(());
            }
        }
        Ok(())
    }

    /// Answers one request; `false` when the connection ends with it.
    fn request(&mut self, head: &Head, body: &[u8]) -> io::Result<bool> {
        self.shared.change(|hub| hub.counters.request(&head.method, &head.path));
        let asked = || {
            Bytes::from(format!(
                "{} {}{}",
                head.method,
                head.target,
                if body.is_empty() { String::new() } else { format!(" {}", String::from_utf8_lossy(body)) }
            ))
        };
        self.tape(Direction::In, "request", asked);
        let Late { reply, by } = request::reply(self.shared, head, body, self.from);
        if let Some(late) = by {
            self.token.wait(late);
        }
        match reply {
            Reply::Answer(response, headers) => {
                self.answer(&response, &headers, head.wants_close())?;
                Ok(!head.wants_close())
            }
            Reply::Cut => Ok(false),
            Reply::Events(reader) => {
                let request_id = self.request_id();
                wire::write_all(&mut self.transport, &http::event_stream(&request_id), &self.token, Instant::now() + STEP)?;
                self.shared.change(|hub| hub.counters.answer(200));
                sse::serve(self.shared, self.id, self.wake, &mut self.transport, reader)?;
                Ok(false)
            }
        }
    }

    /// The next request; `None` when the client has finished or is refused.
    fn head(&mut self) -> io::Result<Option<Head>> {
        let mut deadline = Instant::now() + IDLE;
        let mut begun = false;
        loop {
            match if self.buffer.is_empty() { Parsed::Partial } else { Head::parse(&self.buffer) } {
                Parsed::Complete(head) => {
                    self.buffer.drain(..head.length);
                    return Ok(Some(*head));
                }
                Parsed::Refused(status) => {
                    self.refuse(status)?;
                    self.transport.shutdown();
                    return Ok(None);
                }
                Parsed::Partial => {}
            }
            if !begun && !self.buffer.is_empty() {
                begun = true;
                deadline = Instant::now() + STEP;
            }
            self.idle.set(!begun);
            let more = wire::read_more(&mut self.transport, &mut self.buffer, &self.token, deadline)?;
            self.idle.set(false);
            if !more {
                return Ok(None);
            }
        }
    }

    fn body(&mut self, head: &Head) -> io::Result<Vec<u8>> {
        let deadline = Instant::now() + STEP;
        if head.expects_continue() && self.buffer.len() < head.body_length {
            wire::write_all(&mut self.transport, b"HTTP/1.1 100 Continue\r\n\r\n", &self.token, deadline)?;
        }
        while self.buffer.len() < head.body_length {
            if !wire::read_more(&mut self.transport, &mut self.buffer, &self.token, deadline)? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(self.buffer.drain(..head.body_length).collect())
    }

    /// Writes down what concerns the exchange; looking at it does not.
    fn tape(&self, direction: Direction, kind: &'static str, bytes: impl FnOnce() -> Bytes) {
        if self.recorded {
            self.shared.tape(self.id, direction, kind, bytes);
        }
    }

    fn request_id(&mut self) -> String {
        self.served += 1;
        format!("sim-{}-{}", self.id, self.served)
    }

    /// An answer that ends the connection.
    fn refuse(&mut self, status: u16) -> io::Result<()> {
        let headers: Headers = if status == 429 { vec![("Retry-After", "1".to_owned())] } else { Vec::new() };
        self.answer(&Response::error(status), &headers, true)
    }

    fn answer(&mut self, response: &Response, headers: &[(&'static str, String)], close: bool) -> io::Result<()> {
        let request_id = self.request_id();
        self.shared.change(|hub| hub.counters.answer(response.status));
        let said = || Bytes::from([format!("{} ", response.status).as_bytes(), &response.body].concat());
        self.tape(Direction::Out, "response", said);
        let bytes = http::response(response.status, &response.body, &request_id, headers, close, self.bare);
        wire::write_all(&mut self.transport, &bytes, &self.token, Instant::now() + STEP)
    }

    fn upgrade(mut self, head: &Head, accept: &str, fault: Option<StageFault>) -> io::Result<()> {
        let Some(kind) = StreamPath::find(&head.path) else {
            self.refuse(404)?;
            self.transport.shutdown();
            return Ok(());
        };
        let target = Target { trading: matches!(kind, StreamPath::Trading), path: &head.path };
        if self.shared.armed() && self.shared.hub.lock().faults.until(Fault::Upgrade429, &target, Instant::now()).is_some() {
            // The venue promises no time to come back at.
            self.answer(&Response::error(429), &[], true)?;
            self.transport.shutdown();
            return Ok(());
        }
        let request_id = self.request_id();
        self.tape(Direction::Out, "response", || Bytes::from_static(b"101 "));
        wire::write_all(&mut self.transport, &http::switching(accept, &request_id), &self.token, Instant::now() + STEP)?;
        let packed = head.header("content-type").is_some_and(|kind| kind.contains("msgpack"));
        let upgrade = Upgrade {
            path: &head.path,
            kind,
            codec: if packed { Codec::MsgPack } else { Codec::Json },
            credentials: head.credentials(),
            fault,
            rest: std::mem::take(&mut self.buffer),
        };
        Stream::serve(self.shared, self.id, self.wake, self.transport, upgrade);
        Ok(())
    }
}

fn derive_key(key: &str) -> String {
    derive_accept_key(key.as_bytes())
}
