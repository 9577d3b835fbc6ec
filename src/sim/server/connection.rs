//! One accepted connection: HTTP requests in turn, until one of them becomes a WebSocket.

use std::io;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use tungstenite::handshake::derive_accept_key;

use super::Shared;
use super::record::{Fault, FaultAction};
use super::stream::{Stream, StreamPath, Upgrade};
use super::wire;
use crate::config::Codec;
use crate::net::Transport;
use crate::runtime::{Stop, StopToken};
use crate::sim::http::{self, Head, Parsed};
use crate::sim::rest::{self, Request, Response};
use crate::sim::session::Stage;

/// For the TLS handshake, for a request once it has begun, and for an answer.
const STEP: Duration = Duration::from_secs(10);
/// A connection without a request is closed after that.
const IDLE: Duration = Duration::from_secs(75);

/// Serves one connection to its end. What goes wrong with it concerns nobody else.
pub(super) fn serve(shared: &Shared, id: u64, wake: &Stop, tcp: TcpStream) {
    let token = wake.token();
    match wire::open(tcp, shared.tls.as_ref(), &token, Instant::now() + STEP) {
        Ok(transport) => {
            let connection = Connection { shared, id, wake, token, transport, buffer: Vec::new(), served: 0 };
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
    wake: &'a Stop,
    token: StopToken,
    transport: Transport,
    buffer: Vec<u8>,
    served: u64,
}

impl Connection<'_> {
    fn run(mut self) -> io::Result<()> {
        while let Some(head) = self.head()? {
            let websocket = head.websocket_key().map(derive_key);
            let fault = self.shared.change(|hub| hub.claim(&head.path, websocket.is_some()));
            if let Some(Fault { stage: Stage::Upgrade, action, .. }) = fault {
                match action {
                    FaultAction::Refuse { status } => {
                        self.body(&head)?;
                        self.answer(&Response::error(status), true)?;
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
            let request = Request { method: &head.method, path: &head.path, query: &head.query, credentials: head.credentials(), body: &body };
            let keys = &self.shared.config.keys;
            let response = self.shared.with_exchange(|exchange, now| rest::respond(exchange, keys, &request, now));
            self.answer(&response, head.wants_close())?;
            if head.wants_close() {
                self.transport.shutdown();
                return Ok(());
            }
        }
        Ok(())
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
                    self.answer(&Response::error(status), true)?;
                    self.transport.shutdown();
                    return Ok(None);
                }
                Parsed::Partial => {}
            }
            if !begun && !self.buffer.is_empty() {
                begun = true;
                deadline = Instant::now() + STEP;
            }
            if !wire::read_more(&mut self.transport, &mut self.buffer, &self.token, deadline)? {
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

    fn answer(&mut self, response: &Response, close: bool) -> io::Result<()> {
        self.served += 1;
        let request_id = format!("sim-{}-{}", self.id, self.served);
        let bytes = http::response(response.status, &response.body, &request_id, close);
        wire::write_all(&mut self.transport, &bytes, &self.token, Instant::now() + STEP)
    }

    fn upgrade(mut self, head: &Head, accept: &str, fault: Option<Fault>) -> io::Result<()> {
        let Some(kind) = StreamPath::find(&head.path) else {
            self.answer(&Response::error(404), true)?;
            self.transport.shutdown();
            return Ok(());
        };
        wire::write_all(&mut self.transport, &http::switching(accept), &self.token, Instant::now() + STEP)?;
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
