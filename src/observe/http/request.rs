//! From the bytes of a request to the bytes of its answer. Pure, save for what the pages say.

use std::net::{IpAddr, SocketAddr};

use super::Pages;

pub const MAX_HEAD: usize = 8 * 1024;
const MAX_HEADERS: usize = 64;
const PAGES: &str = "/livez\n/readyz\n/metrics\n/status\n";

/// Where a request arrived.
#[derive(Debug, Clone, Copy)]
pub struct Door {
    /// The address we listen on.
    pub listener: SocketAddr,
    /// The address this connection came in on.
    pub local: IpAddr,
}

/// The answer, or `None` while the head is incomplete.
pub fn answer(bytes: &[u8], door: Door, pages: &dyn Pages) -> Option<Vec<u8>> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(bytes) {
        Ok(httparse::Status::Partial) if bytes.len() < MAX_HEAD => return None,
        Ok(httparse::Status::Complete(length)) if length <= MAX_HEAD => {}
        Ok(_) | Err(httparse::Error::TooManyHeaders) => {
            return Some(plain("431 Request Header Fields Too Large", "the head of a request has at most 8 KiB and 64 fields\n", true));
        }
        Err(_) => return Some(plain("400 Bad Request", "this is not HTTP\n", true)),
    }
    let with_body = match request.method {
        Some("GET") => true,
        Some("HEAD") => false,
        _ => return Some(respond("405 Method Not Allowed", "text/plain; charset=utf-8", "Allow: GET, HEAD\r\n", "only GET and HEAD\n", true)),
    };
    let hosts: Vec<&[u8]> = request.headers.iter().filter(|h| h.name.eq_ignore_ascii_case("host")).map(|h| h.value).collect();
    let host_fits = match hosts.as_slice() {
        // Before HTTP/1.1 there was no such header; a browser, the one who can be lured here, always sends it.
        [] => request.version == Some(0),
        [host] => std::str::from_utf8(host).is_ok_and(|host| is_ours(host, door)),
        _ => false,
    };
    if !host_fits {
        return Some(plain("421 Misdirected Request", "these pages are served under localhost or the address they listen on\n", with_body));
    }
    let path = request.path.unwrap_or("/").split('?').next().unwrap_or("/");
    Some(page(path, pages, with_body))
}

fn page(path: &str, pages: &dyn Pages, with_body: bool) -> Vec<u8> {
    match path {
        "/livez" if pages.live() => plain("200 OK", "live\n", with_body),
        "/livez" => plain("503 Service Unavailable", "not live\n", with_body),
        "/readyz" => match pages.ready() {
            Ok(()) => plain("200 OK", "ready\n", with_body),
            Err(why) => plain("503 Service Unavailable", &format!("{why}\n"), with_body),
        },
        "/metrics" => respond("200 OK", "text/plain; version=0.0.4; charset=utf-8", "", &pages.metrics(), with_body),
        "/status" => respond("200 OK", "application/json", "", &pages.status_json(), with_body),
        _ => plain("404 Not Found", PAGES, with_body),
    }
}

/// Whether the name in the `Host` header is one of ours. A web page can point a name of its own at us (DNS rebinding)
/// and read us through its visitor's browser, so foreign names are refused. Where the operator opened the pages to a
/// network, addresses and names without a dot are ours too: container networks use them and no public name looks so.
fn is_ours(host: &str, door: Door) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    if name.eq_ignore_ascii_case("localhost") {
        return true;
    }
    let opened = !door.listener.ip().is_loopback();
    match name.parse::<IpAddr>() {
        Ok(ip) => ip.is_loopback() || ip == door.local || opened,
        Err(_) => opened && !name.is_empty() && !name.contains('.'),
    }
}

fn plain(status: &str, text: &str, with_body: bool) -> Vec<u8> {
    respond(status, "text/plain; charset=utf-8", "", text, with_body)
}

fn respond(status: &str, content_type: &str, extra: &str, body: &str, with_body: bool) -> Vec<u8> {
    let length = body.len();
    let mut out = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n{extra}Cache-Control: no-store\r\n\
         X-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n"
    );
    if with_body {
        out.push_str(body);
    }
    out.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed;

    impl Pages for Fixed {
        fn live(&self) -> bool {
            true
        }
        fn ready(&self) -> Result<(), String> {
            Err("alp-data: connecting".to_owned())
        }
        fn metrics(&self) -> String {
            "up 1\n".to_owned()
        }
        fn status_json(&self) -> String {
            "{}".to_owned()
        }
    }

    fn door(listener: &str) -> Door {
        let listener: SocketAddr = listener.parse().unwrap();
        Door { listener, local: "10.0.0.7".parse().unwrap() }
    }

    fn ask(request: &str) -> String {
        String::from_utf8(answer(request.as_bytes(), door("127.0.0.1:9464"), &Fixed).unwrap()).unwrap()
    }

    #[test]
    fn each_page_answers() {
        for (path, status, body) in [
            ("/livez", "200", "live\n"),
            ("/readyz?verbose", "503", "alp-data: connecting\n"),
            ("/metrics", "200", "up 1\n"),
            ("/status", "200", "{}"),
            ("/favicon.ico", "404", PAGES),
        ] {
            let reply = ask(&format!("GET {path} HTTP/1.1\r\nHost: localhost:9464\r\n\r\n"));
            assert!(reply.starts_with(&format!("HTTP/1.1 {status} ")) && reply.ends_with(&format!("\r\n\r\n{body}")), "{reply}");
            assert!(reply.contains("Connection: close\r\n") && reply.contains(&format!("Content-Length: {}\r\n", body.len())));
        }
        let head = ask("HEAD /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n");
        assert!(head.contains("Content-Length: 5\r\n") && head.ends_with("\r\n\r\n"));
    }

    #[test]
    fn what_is_no_request_for_a_page_is_refused() {
        let long = format!("GET /livez HTTP/1.1\r\nHost: localhost\r\nX: {}", "x".repeat(MAX_HEAD));
        let long_but_whole = format!("{long}\r\n\r\n");
        let many = format!("GET /livez HTTP/1.1\r\nHost: localhost\r\n{}\r\n", "X: y\r\n".repeat(100));
        for (request, status) in [
            ("POST /status HTTP/1.1\r\nHost: localhost\r\n\r\n", "405"),
            ("GET /status HTTP/1.1\r\n\r\n", "421"),
            ("GET /status HTTP/1.1\r\nHost: evil.example:9464\r\n\r\n", "421"),
            ("GET /status HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n", "421"),
            ("\x16\x03\x01\x02", "400"),
            (&long, "431"),
            (&long_but_whole, "431"),
            (&many, "431"),
        ] {
            let reply = ask(request);
            assert!(reply.starts_with(&format!("HTTP/1.1 {status} ")), "{}: {reply}", &request[..request.len().min(40)]);
        }
        assert_eq!(answer(b"GET /livez HTTP/1.1\r\nHo", door("127.0.0.1:9464"), &Fixed), None);
        assert!(ask("GET /livez HTTP/1.0\r\n\r\n").starts_with("HTTP/1.1 200"));
    }

    #[test]
    fn foreign_names_are_not_ours() {
        for host in ["localhost", "LOCALHOST:1", "127.0.0.1:9464", "127.9.9.9", "[::1]:9464", "10.0.0.7"] {
            assert!(is_ours(host, door("127.0.0.1:9464")), "{host}");
        }
        for host in ["", "evil.example", "localhost.evil.example", "broker", "192.168.0.9", "127.0.0.1.evil.example"] {
            assert!(!is_ours(host, door("127.0.0.1:9464")), "{host}");
        }
        for (host, ours) in [("broker:9464", true), ("192.168.0.9", true), ("evil.example", false), ("", false)] {
            assert_eq!(is_ours(host, door("0.0.0.0:9464")), ours, "{host}");
        }
    }
}
