use super::*;

fn arm(sim: &Sim, text: &str) {
    sim.control().fault(text.parse().unwrap());
}

fn subscribed(sim: &Sim) -> Client {
    let mut client = Client::enter(sim, "/v2/iex");
    client.subscribe("trades", &["AAPL"]);
    client
}

#[test]
fn documents_are_cut_short_and_frames_change_their_kind() {
    let sim = start(|_| {});
    let mut client = subscribed(&sim);
    arm(&sim, "truncate-json");
    sim.control().trade("AAPL", "1", 1);
    sim.control().trade("AAPL", "2", 1);
    let Ok(Message::Text(cut)) = client.next() else { panic!("no text") };
    assert!(cut.starts_with("[{\"T\":\"t\"") && serde_json::from_str::<Value>(&cut).is_err(), "{cut}");
    assert_eq!(client.hear()[0]["p"], json!(2));
    arm(&sim, "swap-frames=1@data");
    sim.control().trade("AAPL", "3", 1);
    sim.control().trade("AAPL", "4", 1);
    assert!(matches!(client.next(), Ok(Message::Binary(bytes)) if serde_json::from_slice::<Value>(&bytes).is_ok()));
    assert!(matches!(client.next(), Ok(Message::Text(_))));
    let mut trading = Client::listen(&sim);
    arm(&sim, "swap-frames@trading");
    sim.control().order_update(&SimKey::default().account_id, "{}");
    assert!(matches!(trading.next(), Ok(Message::Text(text)) if text.contains("trade_updates")));
}

#[test]
fn giants_and_garbage_come_before_the_data() {
    let sim = start(|config| config.queue_bytes = 64 * 1024);
    let mut client = subscribed(&sim);
    arm(&sim, "oversized-frame=1MiB");
    sim.control().trade("AAPL", "1", 1);
    let Ok(Message::Text(giant)) = client.next() else { panic!("no text") };
    assert_eq!(giant.len(), 1024 * 1024);
    assert_eq!(client.hear()[0]["p"], json!(1));
    arm(&sim, "bad-utf8");
    sim.control().trade("AAPL", "2", 1);
    assert!(matches!(client.next(), Err(Error::Utf8(_))));
}

/// A socket that keeps what came over it.
struct Tap {
    tcp: TcpStream,
    seen: Vec<u8>,
}

impl Read for Tap {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let count = self.tcp.read(buf)?;
        self.seen.extend_from_slice(&buf[..count]);
        Ok(count)
    }
}

impl Write for Tap {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.tcp.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.tcp.flush()
    }
}

#[test]
fn a_fragmented_frame_is_whole_again_at_the_client() {
    let sim = start(|_| {});
    let tcp = TcpStream::connect(sim.address()).unwrap();
    tcp.set_read_timeout(Some(PATIENCE)).unwrap();
    let (mut socket, _) = tungstenite::client(format!("ws://{}/v2/iex", sim.address()), Tap { tcp, seen: Vec::new() }).unwrap();
    let say = |socket: &mut WebSocket<Tap>, message: Value| {
        socket.send(Message::text(message.to_string())).unwrap();
        socket.read().unwrap()
    };
    socket.read().unwrap();
    say(&mut socket, json!({"action":"auth","key":"SIM","secret":"SIM-SECRET"}));
    say(&mut socket, json!({"action":"subscribe","trades":["AAPL"]}));
    arm(&sim, "fragment-frames=1");
    socket.get_mut().seen.clear();
    sim.control().trade("AAPL", "1", 1);
    sim.control().trade("AAPL", "2", 1);
    for price in [1, 2] {
        let Ok(Message::Text(text)) = socket.read() else { panic!("no text") };
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap()[0]["p"], json!(price));
    }
    let seen = &socket.get_ref().seen;
    assert_eq!(seen[0], 0x01, "a text frame that is not the last");
    assert!(seen.windows(2).any(|bytes| bytes == [0x80, 0x00]), "an empty last fragment");
}
