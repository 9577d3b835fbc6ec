use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::thread::{self, JoinHandle};

use crossbeam_channel::{Receiver, unbounded};

use super::*;

const PATIENCE: Duration = Duration::from_secs(60);

/// A host that answers each connection as the test says, and tells what it was sent.
struct Host {
    address: String,
    heard: Receiver<String>,
    thread: JoinHandle<()>,
}

impl Host {
    /// `serve` gets each of so many connections in turn.
    fn start(connections: usize, serve: impl Fn(usize, &mut Peer) + Send + 'static) -> Host {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let (tell, heard) = unbounded();
        let thread = thread::spawn(move || {
            for number in 0..connections {
                let stream = listener.accept().unwrap().0;
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                serve(number, &mut Peer { reader: BufReader::new(stream), tell: tell.clone() });
            }
        });
        Host { address, heard, thread }
    }

    fn client(&self) -> RestClient {
        client(&self.address)
    }

    fn end(self) -> Vec<String> {
        self.thread.join().unwrap();
        self.heard.try_iter().collect()
    }
}

struct Peer {
    reader: BufReader<TcpStream>,
    tell: crossbeam_channel::Sender<String>,
}

impl Peer {
    /// One request with its body; false at the end of the connection.
    fn hear(&mut self) -> bool {
        let (mut head, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            if self.reader.read_line(&mut line).unwrap_or(0) == 0 {
                return false;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            head.push_str(&line);
            if line == "\r\n" {
                break;
            }
        }
        let mut body = vec![0; length];
        self.reader.read_exact(&mut body).unwrap();
        self.tell.send(head + &String::from_utf8(body).unwrap()).unwrap();
        true
    }

    fn say(&mut self, text: &str) {
        // The client may have left by now.
        let _ = self.reader.get_mut().write_all(text.as_bytes());
    }

    fn answer(&mut self, status: &str, headers: &str, body: &str) {
        self.say(&format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nX-Request-ID: r-1\r\n{headers}\r\n{body}", body.len()));
    }

    /// Closes so that the other side gets a reset.
    fn reset(&mut self) {
        socket2::SockRef::from(self.reader.get_ref()).set_linger(Some(Duration::ZERO)).unwrap();
    }
}

fn client(address: &str) -> RestClient {
    let api: Endpoint = address.parse().unwrap();
    let settings = RestSettings {
        broker: "alpaca".to_owned(),
        data: Some(api.clone()),
        api,
        key_id: Secret::new("PKKEY"),
        secret_key: Secret::new("HUSH"),
        tls: TlsConfig::default(),
    };
    RestClient::new(settings, Arc::new(BrokerMetrics::new(Instant::now())))
}

fn ask(verb: Verb) -> Ask<'static> {
    let writes = matches!(verb, Verb::Post | Verb::Patch);
    Ask { verb, path: "/v2/orders", body: writes.then(|| r#"{"client_order_id":"b-1"}"#.to_owned()), urgency: Urgency::Order, within: PATIENCE }
}

fn kind(answer: Result<Page, BrokerError>) -> &'static str {
    answer.map_or_else(|error| error.kind(), |_| "a page")
}

#[test]
fn a_request_carries_the_keys_and_its_body_and_the_answer_is_handed_on() {
    let host = Host::start(1, |_, peer| {
        peer.hear();
        peer.answer("200 OK", "X-RateLimit-Limit: 1000\r\nX-RateLimit-Remaining: 998\r\n", r#"{"id":"1"}"#);
        peer.hear();
        peer.answer("204 No Content", "", "");
        peer.hear();
        peer.answer("200 OK", "", "{}");
    });
    let client = host.client();
    assert_eq!(client.requests_left(), None);
    let page = client.ask(&ask(Verb::Post)).unwrap();
    assert_eq!((page.status, page.body.as_str(), page.request_id.as_deref()), (200, r#"{"id":"1"}"#, Some("r-1")));
    assert_eq!(client.requests_left(), Some(998));
    client.ask(&ask(Verb::Delete)).unwrap();
    client.ask(&Ask { body: None, ..ask(Verb::Patch) }).unwrap();
    let heard = host.end();
    assert_eq!(heard.len(), 3, "one connection serves all");
    let post = heard[0].to_ascii_lowercase();
    for part in [
        "post /v2/orders http/1.1\r\n",
        "apca-api-key-id: pkkey\r\n",
        "apca-api-secret-key: hush\r\n",
        "content-type: application/json\r\n",
        "\r\n\r\n{\"client",
    ] {
        assert!(post.contains(part), "{part} {post}");
    }
    assert!(!post.contains("accept-encoding") && !post.contains("chunked"), "{post}");
    assert!(heard[1].starts_with("DELETE /v2/orders ") && heard[2].starts_with("PATCH "));
    assert!(!format!("{client:?}").contains("HUSH") && !format!("{client:?}").contains("PKKEY"));
}

#[test]
fn nothing_was_sent_where_nobody_listens() {
    let address = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    for verb in [Verb::Get, Verb::Post, Verb::Patch, Verb::Delete] {
        assert_eq!(kind(client(&address).ask(&ask(verb))), "unavailable", "{verb:?}");
    }
    assert_eq!(kind(client("http://no-such-host.invalid").ask(&ask(Verb::Post))), "unavailable");
}

#[test]
fn tls_that_fails_has_taken_nothing() {
    let host = Host::start(2, |_, peer| peer.say("HTTP/1.1 400 Bad Request\r\n\r\n"));
    let client = client(&host.address.replace("http:", "https:"));
    for verb in [Verb::Get, Verb::Post] {
        assert_eq!(kind(client.ask(&ask(verb))), "unavailable", "{verb:?}");
    }
    host.end();
}

#[test]
fn a_reset_after_the_request_leaves_writes_unknown_and_none_is_sent_again() {
    let verbs = [Verb::Get, Verb::Post, Verb::Patch, Verb::Delete];
    let host = Host::start(verbs.len(), |_, peer| {
        peer.hear();
        peer.reset();
    });
    let client = host.client();
    for verb in verbs {
        assert_eq!(kind(client.ask(&ask(verb))), if verb == Verb::Get { "unavailable" } else { "outcome_unknown" }, "{verb:?}");
    }
    assert_eq!(host.end().len(), verbs.len());
}

#[test]
fn a_pooled_connection_that_the_venue_closed_is_noticed_before_anything_is_sent() {
    let (closed_tx, closed) = unbounded();
    let host = Host::start(2, move |number, peer| {
        peer.hear();
        peer.answer("200 OK", "", "{}");
        if number == 0 {
            peer.reader.get_ref().shutdown(std::net::Shutdown::Both).unwrap();
            closed_tx.send(()).unwrap();
        }
    });
    let client = host.client();
    assert_eq!(kind(client.ask(&ask(Verb::Post))), "a page");
    closed.recv_timeout(PATIENCE).unwrap();
    assert_eq!(kind(client.ask(&ask(Verb::Post))), "a page", "over a new connection");
    assert_eq!(host.end().len(), 2);
}

#[test]
fn a_pooled_connection_that_dies_under_a_request_is_not_replaced() {
    let host = Host::start(1, |_, peer| {
        peer.hear();
        peer.answer("200 OK", "", "{}");
        peer.hear();
        peer.reset();
    });
    let client = host.client();
    assert_eq!(kind(client.ask(&ask(Verb::Get))), "a page");
    assert_eq!(kind(client.ask(&ask(Verb::Post))), "outcome_unknown");
    assert_eq!(host.end().len(), 2, "the order arrived once");
}

#[test]
fn the_deadline_holds_against_silence_and_against_a_drip() {
    let host = Host::start(2, |number, peer| {
        peer.hear();
        peer.say("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n");
        // Ends when the client has left.
        while number == 1 && peer.reader.get_mut().write_all(b" ").is_ok() {
            thread::sleep(Duration::from_millis(20));
        }
        peer.hear();
    });
    for verb in [Verb::Post, Verb::Get] {
        let (client, start) = (host.client(), Instant::now());
        let answer = client.ask(&Ask { within: Duration::from_millis(300), ..ask(verb) });
        assert_eq!(kind(answer), if verb == Verb::Get { "unavailable" } else { "outcome_unknown" });
        assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
    }
    host.end();
}

#[test]
fn a_redirect_is_not_followed() {
    let elsewhere = TcpListener::bind("127.0.0.1:0").unwrap();
    let location = format!("Location: http://{}/v2/orders\r\n", elsewhere.local_addr().unwrap());
    let host = Host::start(1, move |_, peer| {
        for status in ["302 Found", "307 Temporary Redirect", "301 Moved Permanently"] {
            peer.hear();
            peer.answer(status, &location, "");
        }
    });
    let client = host.client();
    assert_eq!(kind(client.ask(&ask(Verb::Get))), "unavailable");
    assert_eq!(kind(client.ask(&ask(Verb::Post))), "outcome_unknown");
    assert_eq!(kind(client.ask(&ask(Verb::Delete))), "outcome_unknown");
    host.end();
    elsewhere.set_nonblocking(true).unwrap();
    assert!(elsewhere.accept().is_err(), "the keys were sent on");
}

#[test]
fn a_body_without_end_is_cut_off() {
    let host = Host::start(2, |_, peer| {
        peer.hear();
        peer.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        let chunk = format!("{:x}\r\n{}\r\n", 65_536, "[".repeat(65_536));
        while peer.reader.get_mut().write_all(chunk.as_bytes()).is_ok() {}
    });
    for (verb, expected) in [(Verb::Get, "unavailable"), (Verb::Post, "outcome_unknown")] {
        assert_eq!(kind(host.client().ask(&ask(verb))), expected);
    }
    host.end();
}

#[test]
fn a_no_for_now_stops_everybody_without_sending() {
    let host = Host::start(1, |_, peer| {
        peer.hear();
        peer.answer("429 Too Many Requests", "Retry-After: 7\r\n", r#"{"code":42910000,"message":"too many requests"}"#);
    });
    let client = host.client();
    assert_eq!(client.ask(&ask(Verb::Post)), Err(BrokerError::RateLimited { after: Some(Duration::from_secs(7)) }));
    for urgency in [Urgency::Cancel, Urgency::Sweep] {
        assert_eq!(kind(client.ask(&Ask { urgency, ..ask(Verb::Delete) })), "rate_limited");
    }
    assert_eq!(host.end().len(), 1);
}

#[test]
fn closing_ends_what_is_under_way_and_everything_after() {
    let host = Host::start(1, |_, peer| {
        peer.hear();
        peer.hear();
    });
    let client = Arc::new(host.client());
    let asking = {
        let client = Arc::clone(&client);
        thread::spawn(move || client.ask(&ask(Verb::Post)))
    };
    host.heard.recv_timeout(PATIENCE).unwrap();
    client.close();
    assert_eq!(kind(asking.join().unwrap()), "outcome_unknown");
    assert_eq!(kind(client.ask(&ask(Verb::Post))), "not_connected");
    host.end();
}

#[test]
fn segments_are_encoded() {
    assert_eq!(encode("BTC/USD"), "BTC%2FUSD");
    assert_eq!(encode("a-1_b.c~?&=% ä"), "a-1_b.c~%3F%26%3D%25%20%C3%A4");
}

#[test]
fn events_are_handed_on_as_they_come_until_somebody_has_heard_enough() {
    let host = Host::start(4, |number, peer| {
        if number < 2 {
            peer.hear();
            peer.say(
                "HTTP/1.1 200 OK\r\nX-RateLimit-Limit: 200\r\nX-RateLimit-Remaining: 120\r\nConnection: close\r\n\r\n: heartbeat\n\ndata: 1\n\ndata: 2\n\n",
            );
            if number == 0 {
                // It goes on as long as somebody listens.
                while peer.reader.read(&mut [0]).is_ok_and(|read| read > 0) {}
            }
        } else {
            peer.hear();
            let status = if number == 2 { "404 Not Found" } else { "429 Too Many Requests" };
            peer.answer(status, "Connection: close\r\n", r#"{"message":"no"}"#);
        }
    });
    let client = host.client();
    let hear = |enough: usize| {
        let mut heard = Vec::new();
        let told = client.ask_events(&ask(Verb::Get), |json| {
            heard.push(json.to_owned());
            if heard.len() == enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        (told.map_err(|error| error.kind()), heard.len())
    };
    assert_eq!((hear(2), hear(9)), ((Ok(()), 2), (Ok(()), 2)));
    assert_eq!(client.requests_left(), Some(119), "the second was taken from what the first had left");
    assert_eq!((hear(9), hear(9)), ((Err("rejected"), 0), (Err("rate_limited"), 0)));
    assert_eq!(hear(9), (Err("rate_limited"), 0), "nobody asks before the venue allows it");
    let heard = host.end();
    assert!(heard.len() == 4 && heard.iter().all(|request| request.to_ascii_lowercase().contains("\r\naccept: text/event-stream\r\n")), "{heard:?}");
}
