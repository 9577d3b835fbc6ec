//! Bytes to and from other machines: waiting on sockets, dialling, TLS, HTTP heads.
//!
//! Every wait here ends at a deadline or at a stop, whichever is first. Must not know exchanges, Redis or messages.

mod dial;
mod endpoint;
mod poll;
mod tls;
mod transport;
mod websocket;

pub use dial::{DialError, DialLimits, Dialer};
pub use endpoint::{Endpoint, EndpointError};
pub use poll::{Interest, Readiness, wait_any, wait_readable, wait_ready};
pub use tls::{TlsError, certificates, client_config, server_config};
pub use transport::Transport;
pub use websocket::{OpenError, Socket, open_websocket, websocket_config};
