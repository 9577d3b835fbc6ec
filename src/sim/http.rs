//! HTTP/1.1 heads in and answers out. Pure.
//!
//! Must not know what is asked or answered.

use std::fmt::Write as _;

const MAX_HEADERS: usize = 100;
/// A head longer than this is refused.
pub(super) const MAX_HEAD: usize = 32 * 1024;
/// A body longer than this is refused.
pub(super) const MAX_BODY: usize = 1024 * 1024;

/// A request without its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Head {
    pub method: String,
    /// As it was sent, path and query.
    pub target: String,
    /// Decoded, without the query.
    pub path: String,
    pub query: Vec<(String, String)>,
    /// Names in lower case.
    headers: Vec<(String, String)>,
    /// Bytes that the head took.
    pub length: usize,
    pub body_length: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Parsed {
    /// More has to come.
    Partial,
    Complete(Box<Head>),
    /// To be answered with this status and a close.
    Refused(u16),
}

impl Head {
    pub(super) fn parse(bytes: &[u8]) -> Parsed {
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut request = httparse::Request::new(&mut headers);
        let length = match request.parse(bytes) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) if bytes.len() < MAX_HEAD => return Parsed::Partial,
            Ok(httparse::Status::Partial) => return Parsed::Refused(431),
            Err(_) => return Parsed::Refused(400),
        };
        let target = request.path.unwrap_or_default();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let text = |value: &[u8]| String::from_utf8_lossy(value).trim().to_owned();
        let headers: Vec<(String, String)> = request.headers.iter().map(|h| (h.name.to_ascii_lowercase(), text(h.value))).collect();
        let mut head = Head {
            method: request.method.unwrap_or_default().to_owned(),
            target: target.to_owned(),
            path: decode(path, false),
            query: query.split('&').filter(|pair| !pair.is_empty()).map(pair).collect(),
            headers,
            length,
            body_length: 0,
        };
        if head.header("transfer-encoding").is_some() {
            return Parsed::Refused(411);
        }
        match head.content_length() {
            Some(length) if length <= MAX_BODY => head.body_length = length,
            Some(_) => return Parsed::Refused(413),
            None => return Parsed::Refused(400),
        }
        Parsed::Complete(Box::new(head))
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The length of the body; `None` when it is none, or when two headers differ about it.
    fn content_length(&self) -> Option<usize> {
        let mut told = self.headers.iter().filter(|(known, _)| known == "content-length").map(|(_, value)| value.as_str());
        let Some(first) = told.next() else { return Some(0) };
        let digits = !first.is_empty() && first.bytes().all(|byte| byte.is_ascii_digit());
        // More digits than a number holds is a length beyond every bound.
        (digits && told.all(|other| other == first)).then(|| first.parse().unwrap_or(usize::MAX))
    }

    /// The header holds this word among its comma-separated ones.
    fn says(&self, name: &str, word: &str) -> bool {
        self.header(name).is_some_and(|value| value.split(',').any(|part| part.trim().eq_ignore_ascii_case(word)))
    }

    pub(super) fn wants_close(&self) -> bool {
        self.says("connection", "close")
    }

    pub(super) fn expects_continue(&self) -> bool {
        self.says("expect", "100-continue")
    }

    /// The key of a WebSocket upgrade, when it is one.
    pub(super) fn websocket_key(&self) -> Option<&str> {
        (self.says("connection", "upgrade") && self.says("upgrade", "websocket")).then(|| self.header("sec-websocket-key"))?
    }

    /// The API key and secret of the headers; a bearer's token comes as the secret of the key `oauth`.
    pub(super) fn credentials(&self) -> Option<(&str, &str)> {
        let pair = self.header("apca-api-key-id").zip(self.header("apca-api-secret-key"));
        pair.or_else(|| Some(("oauth", self.header("authorization")?.strip_prefix("Bearer ")?.trim())))
    }
}

fn pair(text: &str) -> (String, String) {
    let (name, value) = text.split_once('=').unwrap_or((text, ""));
    (decode(name, true), decode(value, true))
}

/// Undoes percent-encoding; what is not valid stays as it is.
fn decode(text: &str, plus_is_space: bool) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let escaped = tail.get(..2).and_then(|hex| std::str::from_utf8(hex).ok()).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        rest = match (first, escaped) {
            (b'%', Some(byte)) => {
                out.push(byte);
                &tail[2..]
            }
            (b'+', _) if plus_is_space => {
                out.push(b' ');
                tail
            }
            _ => {
                out.push(*first);
                tail
            }
        };
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// An answer with a JSON body, or with none where the status has none; `bare` leaves it out and tells its length all
/// the same.
pub(super) fn response(status: u16, body: &[u8], request_id: &str, headers: &[(&str, String)], close: bool, bare: bool) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 {status} {}\r\nX-Request-ID: {request_id}\r\n", reason(status));
    // Writing to a String cannot fail.
    if status != 204 {
        let _ = write!(head, "Content-Type: application/json\r\nContent-Length: {}\r\n", body.len());
    }
    for (name, value) in headers {
        let _ = write!(head, "{name}: {value}\r\n");
    }
    head.push_str(if close { "Connection: close\r\n\r\n" } else { "\r\n" });
    let mut out = head.into_bytes();
    if !bare {
        out.extend_from_slice(body);
    }
    out
}

/// The head of a stream of server-sent events, which ends with the connection.
pub(super) fn event_stream(request_id: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nX-Request-ID: {request_id}\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\nConnection: close\r\n\r\n")
        .into_bytes()
}

/// The answer that turns a connection into a WebSocket.
pub(super) fn switching(accept: &str, request_id: &str) -> Vec<u8> {
    let upgrade = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n";
    format!("{upgrade}X-Request-ID: {request_id}\r\nSec-WebSocket-Accept: {accept}\r\n\r\n").into_bytes()
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        204 => "No Content",
        207 => "Multi-Status",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        410 => "Gone",
        411 => "Length Required",
        413 => "Content Too Large",
        422 => "Unprocessable Entity",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "Status",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(text: &str) -> Head {
        match Head::parse(text.as_bytes()) {
            Parsed::Complete(head) => *head,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn takes_requests_apart() {
        let text =
            "GET /v2/orders:by_client_order_id?client_order_id=a%20b&x=BTC%2FUSD&flag HTTP/1.1\r\nAPCA-API-KEY-ID: K\r\napca-api-secret-key: S\r\n\r\nrest";
        let parsed = head(text);
        assert_eq!((parsed.path.as_str(), parsed.credentials()), ("/v2/orders:by_client_order_id", Some(("K", "S"))));
        let pair = |n: &str, v: &str| (n.to_owned(), v.to_owned());
        assert_eq!(parsed.query, [pair("client_order_id", "a b"), pair("x", "BTC/USD"), pair("flag", "")]);
        assert_eq!(&text[parsed.length..], "rest");
        let upgrade = head("GET /stream HTTP/1.1\r\nUpgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\nSec-WebSocket-Key: abc=\r\n\r\n");
        assert_eq!(upgrade.websocket_key(), Some("abc="));
        assert_eq!(head("GET / HTTP/1.1\r\nSec-WebSocket-Key: abc=\r\n\r\n").websocket_key(), None);
    }

    #[test]
    fn refuses_what_it_cannot_serve() {
        assert_eq!(Head::parse(b"GET /v2/account HT"), Parsed::Partial);
        assert_eq!(Head::parse(b"\x16\x03\x01\x00\xff"), Parsed::Refused(400));
        assert_eq!(Head::parse(&[b'G'; MAX_HEAD]), Parsed::Refused(431));
        assert_eq!(Head::parse(b"POST / HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n"), Parsed::Refused(413));
        assert_eq!(Head::parse(b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n"), Parsed::Refused(400));
        assert_eq!(Head::parse(b"POST / HTTP/1.1\r\nContent-Length: +1\r\n\r\n"), Parsed::Refused(400));
        assert_eq!(Head::parse(b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"), Parsed::Refused(400));
        assert_eq!(head("POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n").body_length, 1);
        assert_eq!(Head::parse(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"), Parsed::Refused(411));
        assert_eq!(decode("%zz%4", false), "%zz%4");
    }
}
