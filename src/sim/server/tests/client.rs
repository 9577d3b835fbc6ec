//! A client of the exchange, on real sockets.

use super::*;

pub(super) const PATIENCE: Duration = Duration::from_secs(60);

pub(super) fn threads() -> Threads {
    Threads::new(bounded(64).0)
}

pub(super) fn start(change: impl FnOnce(&mut SimConfig)) -> Sim {
    let mut config = SimConfig::default();
    change(&mut config);
    Sim::start(config, &threads()).unwrap()
}

pub(super) struct Client(pub WebSocket<TcpStream>);

impl Client {
    pub(super) fn try_open(sim: &Sim, path: &str, headers: &[(&'static str, &'static str)]) -> Result<Client, u16> {
        let tcp = TcpStream::connect(sim.address()).unwrap();
        tcp.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut request = format!("ws://{}{path}", sim.address()).into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        match tungstenite::client(request, tcp) {
            Ok((socket, _)) => Ok(Client(socket)),
            Err(tungstenite::HandshakeError::Failure(Error::Http(response))) => Err(response.status().as_u16()),
            Err(_) => Err(0),
        }
    }

    pub(super) fn open(sim: &Sim, path: &str) -> Client {
        Client::try_open(sim, path, &[]).unwrap()
    }

    /// Greeted and authenticated.
    pub(super) fn enter(sim: &Sim, path: &str) -> Client {
        let mut client = Client::open(sim, path);
        if path.starts_with("/v") {
            assert_eq!(client.hear(), json!([{"T":"success","msg":"connected"}]));
        }
        client.say(json!({"action":"auth","key":"SIM","secret":"SIM-SECRET"}));
        client.hear();
        client
    }

    pub(super) fn say(&mut self, message: Value) {
        self.0.send(Message::text(message.to_string())).unwrap();
    }

    pub(super) fn next(&mut self) -> Result<Message, Error> {
        self.0.read()
    }

    pub(super) fn hear(&mut self) -> Value {
        loop {
            match self.next().unwrap() {
                Message::Text(text) => return serde_json::from_str(&text).unwrap(),
                Message::Binary(bytes) => return serde_json::from_slice(&bytes).unwrap(),
                _ => {}
            }
        }
    }

    pub(super) fn subscribe(&mut self, channel: &str, names: &[&str]) -> Value {
        self.say(json!({"action": "subscribe", channel: names}));
        self.hear()
    }

    pub(super) fn listen(sim: &Sim) -> Client {
        let mut client = Client::enter(sim, "/stream");
        client.say(json!({"action":"listen","data":{"streams":["trade_updates"]}}));
        assert_eq!(client.hear()["stream"], "listening");
        client
    }

    /// Reads to the end: the close code, or `None` when there was no close frame.
    pub(super) fn end(&mut self) -> Option<u16> {
        loop {
            match self.next() {
                Ok(Message::Close(frame)) => return frame.map(|frame| frame.code.into()),
                Ok(_) => {}
                Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => panic!("no end in sight"),
                Err(_) => return None,
            }
        }
    }
}

pub(super) fn call(sim: &Sim, method: &str, target: &str, body: &str) -> (u16, Value) {
    let http: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(PATIENCE)).build().into();
    let request = ureq::http::Request::builder()
        .method(method)
        .uri(format!("http://{}{target}", sim.address()))
        .header("APCA-API-KEY-ID", "SIM")
        .header("APCA-API-SECRET-KEY", "SIM-SECRET")
        .body(body.to_owned())
        .unwrap();
    let mut response = http.run(request).unwrap();
    let text = response.body_mut().read_to_string().unwrap();
    (response.status().as_u16(), serde_json::from_str(&text).unwrap_or(Value::Null))
}

/// The whole answer to a request as it came, head and body.
pub(super) fn text_of(sim: &Sim, method: &str, target: &str, headers: &str, body: &str) -> String {
    let mut tcp = TcpStream::connect(sim.address()).unwrap();
    tcp.set_read_timeout(Some(PATIENCE)).unwrap();
    let key = "APCA-API-KEY-ID: SIM\r\nAPCA-API-SECRET-KEY: SIM-SECRET\r\n";
    let length = body.len();
    tcp.write_all(format!("{method} {target} HTTP/1.1\r\n{key}{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}").as_bytes()).unwrap();
    let mut text = String::new();
    tcp.read_to_string(&mut text).unwrap();
    text
}
