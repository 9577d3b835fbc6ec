use super::*;
use crate::runtime::promise::{kept, within};
use crate::runtime::{Stop, StopKind};
use crossbeam_channel::bounded;

struct Big;

impl Pages for Big {
    fn live(&self) -> bool {
        true
    }
    fn ready(&self) -> Result<(), String> {
        Ok(())
    }
    fn metrics(&self) -> String {
        "m 1\n".repeat(1_000_000)
    }
    fn status_json(&self) -> String {
        r#"{"type":"status"}"#.to_owned()
    }
}

struct Running {
    server: HttpServer,
    stop: Stop,
}

fn start() -> Running {
    let (exits, _) = bounded(8);
    let stop = Stop::new().unwrap();
    let server = HttpServer::start("127.0.0.1:0".parse().unwrap(), Arc::new(Big), &Threads::new(exits), stop.token()).unwrap();
    Running { server, stop }
}

impl Running {
    fn connect(&self) -> TcpStream {
        let client = TcpStream::connect(self.server.local_addr).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        client
    }

    fn get(&self, path: &str) -> String {
        let mut client = self.connect();
        client.write_all(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes()).unwrap();
        let mut reply = String::new();
        client.read_to_string(&mut reply).unwrap();
        reply
    }

    /// Stops the server and measures.
    fn end(self) -> Duration {
        let asked = Instant::now();
        self.stop.stop(StopKind::Shutdown);
        self.server.join_within(Duration::from_secs(10)).unwrap();
        asked.elapsed()
    }
}

#[test]
fn small_and_large_pages_arrive_whole() {
    let running = start();
    assert!(running.get("/readyz").ends_with("\r\n\r\nready\n"));
    assert!(running.get("/status").ends_with(r#"{"type":"status"}"#));
    let metrics = running.get("/metrics");
    assert!(metrics.ends_with("m 1\n") && metrics.len() > 4_000_000);
    running.end();
}

#[test]
fn slow_clients_do_not_keep_others_out_and_end_at_their_deadline() {
    kept(|| {
        let running = start();
        let started = Instant::now();
        let mut slow: Vec<TcpStream> = (0..100).map(|_| running.connect()).collect();
        for client in &mut slow {
            // The oldest are closed already, which a write may or may not notice.
            let _ = client.write_all(b"GET /livez HTT");
        }
        assert!(running.get("/livez").starts_with("HTTP/1.1 200"));
        // A slow client that was waited for would have cost this.
        within(DEADLINE, started.elapsed())?;
        let mut last = slow.pop().unwrap();
        let ended = last.read(&mut [0; 16]);
        assert!(matches!(ended, Ok(0)) || ended.is_err_and(|e| e.kind() == io::ErrorKind::ConnectionReset));
        assert!(started.elapsed() >= DEADLINE - Duration::from_secs(1));
        running.end();
        Ok(())
    });
}

#[test]
fn a_giant_head_gets_its_answer() {
    let running = start();
    let mut client = running.connect();
    client.write_all(format!("GET /livez HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "x".repeat(32 * 1024)).as_bytes()).unwrap();
    let mut reply = String::new();
    client.read_to_string(&mut reply).unwrap();
    assert!(reply.starts_with("HTTP/1.1 431 "), "{reply}");
    running.end();
}

#[test]
fn stops_at_once_even_with_connections_open_and_survives_a_nudge() {
    kept(|| {
        let running = start();
        let _idle = running.connect();
        running.stop.nudge();
        assert!(running.get("/livez").starts_with("HTTP/1.1 200"));
        let address = running.server.local_addr;
        let took = running.end();
        assert!(TcpStream::connect(address).is_err());
        within(Duration::from_millis(200), took)?;
        Ok(())
    });
}

#[test]
fn a_taken_port_is_an_error_and_no_panic() {
    let running = start();
    let (exits, _) = bounded(8);
    let token = running.stop.token();
    let second = HttpServer::start(running.server.local_addr, Arc::new(Big), &Threads::new(exits), token);
    assert_eq!(second.unwrap_err().kind(), io::ErrorKind::AddrInUse);
    running.end();
}
