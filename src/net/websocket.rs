//! Opening a WebSocket: dial, then the HTTP upgrade, within one deadline and ended by a stop.
//!
//! Redirects are refused: they would carry the headers, and with them the keys, to another host.

use std::time::{Duration, Instant};

use tungstenite::client::IntoClientRequest;
use tungstenite::handshake::HandshakeError;
use tungstenite::http::{HeaderName, HeaderValue, Uri};
use tungstenite::protocol::WebSocketConfig;
use tungstenite::{ClientHandshake, Error, WebSocket};

use super::dial::{DialError, Dialer};
use super::endpoint::Endpoint;
use super::poll::{Interest, wait_ready};
use super::transport::Draining;
use crate::runtime::StopToken;

/// An open WebSocket over a non-blocking transport.
pub type Socket = WebSocket<Draining>;

/// The acknowledgement of eleven thousand symbols in ten lists is the largest message that a venue sends.
const MAX_MESSAGE: usize = 4 * 1024 * 1024;
/// What a peer that stops reading may leave unsent with us.
const MAX_UNSENT: usize = 4 * 1024 * 1024;

/// Where opening ended.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("stopped while opening")]
    Stopped,
    #[error(transparent)]
    Dial(DialError),
    #[error("no answer to the WebSocket upgrade within {0:?}")]
    Late(Duration),
    #[error("the upgrade was refused with HTTP {status}")]
    Refused { status: u16, retry_after: Option<Duration> },
    #[error("the upgrade failed: {0}")]
    Protocol(String),
}

/// What one read asks for: some hundred trades. tungstenite clears that many bytes before each read, so that more would
/// cost a lone message dearly.
const READ_BUFFER: usize = 16 * 1024;

/// The limits of every WebSocket of ours.
pub fn websocket_config() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(0)
        .max_write_buffer_size(MAX_UNSENT)
        .max_message_size(Some(MAX_MESSAGE))
        .max_frame_size(Some(MAX_MESSAGE))
}

/// Dials and upgrades.
pub fn open_websocket(dialer: &Dialer, to: &Endpoint, headers: &[(&str, &str)], patience: Duration, token: &StopToken) -> Result<Socket, OpenError> {
    let transport = dialer.dial(to, token).map_err(|error| match error {
        DialError::Stopped => OpenError::Stopped,
        other => OpenError::Dial(other),
    })?;
    let deadline = Instant::now() + patience;
    let mut request = to.ws_url().parse::<Uri>().map_err(protocol)?.into_client_request().map_err(protocol)?;
    for (name, value) in headers {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(protocol)?;
        request.headers_mut().insert(name, HeaderValue::from_str(value).map_err(protocol)?);
    }
    let mut handshake = ClientHandshake::start(Draining::new(transport), request, Some(websocket_config())).map_err(protocol)?;
    loop {
        handshake = match handshake.handshake() {
            Ok((socket, _)) => return Ok(socket),
            Err(HandshakeError::Interrupted(unfinished)) => unfinished,
            Err(HandshakeError::Failure(Error::Http(response))) => {
                let seconds = response.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
                return Err(OpenError::Refused { status: response.status().as_u16(), retry_after: seconds.map(Duration::from_secs) });
            }
            Err(HandshakeError::Failure(error)) => return Err(protocol(error)),
        };
        let transport = handshake.get_ref().get_ref().get_ref();
        let interest = if transport.has_buffered_output() { Interest::ReadWrite } else { Interest::Read };
        let ready = wait_ready(transport, interest, token, deadline).map_err(protocol)?;
        if !token.is_running() {
            return Err(OpenError::Stopped);
        }
        token.clear_wake();
        if ready.timed_out() {
            return Err(OpenError::Late(patience));
        }
    }
}

fn protocol(error: impl std::fmt::Display) -> OpenError {
    OpenError::Protocol(error.to_string())
}
