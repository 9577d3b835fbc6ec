use std::io::Read;
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use alpaca_broker::sim::{LoadSpec, Sim, SimConfig, SimControl};
use socket2::{Domain, SockAddr, Socket, Type};

use crate::support::bot::Bot;
use crate::support::child::{Launch, Running, exchange};
use crate::support::promise::{kept, within};
use crate::support::proxy::Proxy;
use crate::support::redis_server::RedisServer;
use crate::support::rig::{PATIENCE, wait_until};

/// Order updates that come while Redis is away.
const UPDATES: u32 = 4_000;
const STOPPED_WITHIN: Duration = Duration::from_secs(2);

/// A Redis, an exchange, and what the program is to be started with.
struct Stage {
    redis: RedisServer,
    exchange: SimControl,
    launch: Launch,
    sim: Sim,
}

impl Stage {
    fn set() -> Stage {
        let redis = RedisServer::start();
        let (sim, exchange) = exchange(SimConfig::default());
        let launch = Launch::new(Path::new(env!("CARGO_BIN_EXE_alpaca-broker")), redis.port(), sim.address());
        Stage { redis, exchange, launch, sim }
    }
}

fn ready(running: &Running, exchange: &SimControl) -> String {
    let pages = running.pages();
    assert!(exchange.wait_for(|all| all.iter().any(|c| c.path.contains("/v2/iex") && c.authenticated) && all.iter().any(|c| c.listening), PATIENCE));
    wait_until("all Redis connections stand", || running.metric(&pages, "broker_redis_up") == 5.0);
    pages
}

/// One signal, exit code 0, two seconds.
fn stops(mut running: Running, state: &str) {
    stops_by(&mut running, "TERM", state);
}

fn stops_by(running: &mut Running, signal: &str, state: &str) {
    assert!(running.child.try_wait().unwrap().is_none(), "{state}: it had ended before: {}", running.log());
    running.signal(signal);
    let Some((status, took)) = running.end_within(PATIENCE) else { panic!("{state}: it did not stop at all: {}", running.log()) };
    assert_eq!(status.code(), Some(0), "{state}: {}", running.log());
    assert!(took < STOPPED_WITHIN, "{state}: {took:?}: {}", running.log());
}

/// A listener whose queue is full: a connection to it neither stands nor fails.
struct Blackhole {
    address: SocketAddr,
    _listener: Socket,
    _waiting: Vec<Socket>,
}

impl Blackhole {
    fn open() -> Blackhole {
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        listener.bind(&SockAddr::from(SocketAddr::from(([127, 0, 0, 1], 0)))).unwrap();
        listener.listen(0).unwrap();
        let address = listener.local_addr().unwrap().as_socket().unwrap();
        let mut waiting = Vec::new();
        loop {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            let stands = socket.connect_timeout(&SockAddr::from(address), Duration::from_millis(200)).is_ok();
            waiting.push(socket);
            if !stands {
                return Blackhole { address, _listener: listener, _waiting: waiting };
            }
        }
    }
}

#[test]
fn while_a_name_server_is_silent() {
    let mut stage = Stage::set();
    for variable in ["APCA_API_STREAM_URL", "APCA_TRADING_STREAM_URL"] {
        stage.launch.set(variable, "wss://stream.exchange.invalid");
    }
    stage.launch.set("APCA_API_BASE_URL", "https://api.exchange.invalid");
    // A silent name server needs a mount of our own over resolv.conf, and port 53; where we may not have them, the name
    // just does not resolve.
    let silent = UdpSocket::bind("127.53.53.53:53").ok();
    let file = stage.launch.dir.path().join("resolv.conf");
    std::fs::write(&file, "nameserver 127.53.53.53\noptions timeout:30 attempts:1\n").unwrap();
    let may_mount = Command::new("unshare").args(["-rm", "true"]).stderr(Stdio::null()).status().is_ok_and(|done| done.success());
    let namespaced = silent.is_some() && may_mount;
    if namespaced {
        let program = stage.launch.command.get_program().to_owned();
        let mut wrapped = Command::new("unshare");
        wrapped.args(["-rm", "sh", "-c", "mount --bind \"$0\" /etc/resolv.conf && exec \"$@\""]).arg(&file).arg(program).arg("run");
        wrapped.current_dir(stage.launch.dir.path()).env_clear().stdin(Stdio::null()).stdout(Stdio::null());
        for (name, value) in stage.launch.command.get_envs() {
            wrapped.env(name, value.unwrap_or_default());
        }
        wrapped.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        wrapped.stderr(std::fs::File::create(stage.launch.dir.path().join("log")).unwrap());
        stage.launch.command = wrapped;
    }
    let running = stage.launch.start();
    if let Some(silent) = silent.filter(|_| namespaced) {
        silent.set_read_timeout(Some(PATIENCE)).unwrap();
        silent.recv(&mut [0; 512]).expect("the program asks its name server");
    } else {
        running.wait_for_log("resolve");
    }
    stops(running, "DNS");
}

#[test]
fn while_connecting_to_an_exchange_that_does_not_answer() {
    let hole = Blackhole::open();
    let mut stage = Stage::set();
    stage.launch.at("APCA_API_STREAM_URL", "ws", hole.address).at("APCA_TRADING_STREAM_URL", "ws", hole.address);
    let running = stage.launch.start();
    running.pages();
    wait_until("both connections are under way", || connections_to(hole.address.port(), "02") >= 3);
    stops(running, "connect");
}

#[test]
fn while_the_exchange_is_mute_in_the_tls_handshake() {
    mute_streams("wss", "TLS handshake");
}

#[test]
fn while_the_exchange_is_mute_in_the_websocket_handshake() {
    mute_streams("ws", "WebSocket handshake");
}

fn mute_streams(scheme: &str, state: &str) {
    let mute = Proxy::mute();
    let mut stage = Stage::set();
    stage.launch.at("APCA_API_STREAM_URL", scheme, mute.address).at("APCA_TRADING_STREAM_URL", scheme, mute.address);
    let running = stage.launch.start();
    wait_until("both streams are in it", || mute.visits().len() == 2);
    stops(running, state);
}

#[test]
fn while_reading_from_a_quiet_exchange() {
    let stage = Stage::set();
    let running = stage.launch.start();
    ready(&running, &stage.exchange);
    stops(running, "reading");
    wait_until("the exchange has seen us go", || stage.exchange.connections().iter().all(|c| !c.is_open()));
    let codes: Vec<_> = stage.exchange.connections().iter().map(|c| c.close_code.is_some()).collect();
    assert_eq!(codes, [true, true], "with a close frame each");
}

#[test]
fn while_writing_to_an_exchange_that_stops_reading() {
    let mut stage = Stage::set();
    let proxy = Proxy::narrow(stage.sim.address());
    stage.launch.at("APCA_API_STREAM_URL", "ws", proxy.address);
    let running = stage.launch.start();
    ready(&running, &stage.exchange);
    proxy.stall();
    let mut bot = Bot::listening(&stage.redis.url(), &[]);
    for part in 0..8 {
        let symbols: Vec<String> = (0..600).map(|n| format!("\"S{part}X{n}.LONGER\"")).collect();
        bot.say("BROKER_REGISTRATION", &format!(r#"{{"action":"subscribe","tickers":[{}]}}"#, symbols.join(",")));
    }
    wait_until("bytes wait to be taken", || unsent_to(proxy.port()) > 8_000);
    stops(running, "writing");
}

#[test]
fn while_backing_off() {
    let mut stage = Stage::set();
    let closed = SocketAddr::from(([127, 0, 0, 1], std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()));
    stage.launch.at("APCA_API_STREAM_URL", "ws", closed).at("APCA_TRADING_STREAM_URL", "ws", closed).at("APCA_API_BASE_URL", "http", closed);
    let running = stage.launch.start();
    wait_until("some attempts have failed", || running.log().matches("next attempt in").count() >= 6);
    stops(running, "backoff");
}

#[test]
fn while_connecting_to_a_redis_that_does_not_answer() {
    let hole = Blackhole::open();
    let mut stage = Stage::set();
    stage.launch.set("REDIS_PORT", &hole.address.port().to_string());
    let running = stage.launch.start();
    running.pages();
    wait_until("our connections are under way", || connections_to(hole.address.port(), "02") >= 4);
    stops(running, "Redis connect");
}

#[test]
fn while_a_redis_accepts_and_says_nothing() {
    let mute = Proxy::mute();
    let mut stage = Stage::set();
    stage.launch.set("REDIS_PORT", &mute.port().to_string());
    let running = stage.launch.start();
    wait_until("all of them log in", || mute.visits().len() >= 4);
    stops(running, "Redis login");
}

#[test]
fn while_redis_hangs() {
    let stage = Stage::set();
    let running = stage.launch.start();
    ready(&running, &stage.exchange);
    stage.redis.stop();
    stops(running, "Redis read");
    stage.redis.cont();
}

#[test]
fn while_the_exchange_does_not_say_who_we_are() {
    let mute = Proxy::mute();
    let mut stage = Stage::set();
    stage.launch.at("APCA_API_BASE_URL", "http", mute.address);
    let running = stage.launch.start();
    wait_until("the question is asked", || mute.visits().len() == 1);
    stops(running, "REST");
    let hole = Blackhole::open();
    let mut stage = Stage::set();
    stage.launch.at("APCA_API_BASE_URL", "http", hole.address);
    let running = stage.launch.start();
    running.pages();
    wait_until("the question cannot be asked", || connections_to(hole.address.port(), "02") >= 2);
    stops(running, "REST connect");
}

#[test]
fn with_order_updates_queued_and_redis_away() {
    let mut stage = Stage::set();
    let data = stage.launch.dir.path().join("data").to_string_lossy().into_owned();
    let running = stage.launch.start();
    let pages = ready(&running, &stage.exchange);
    stage.redis.kill();
    let account = SimConfig::default().keys[0].account_id.clone();
    let update = |n: u32, filler: &str| format!(r#"{{"event":"new","order":{{"id":"o-{n}","symbol":"AAPL","status":"new","filler":"{filler}"}}}}"#);
    let long = "x".repeat(20_000);
    for n in 1..=UPDATES {
        stage.exchange.order_update(&account, &update(n, if n <= UPDATES / 2 { &long } else { "" }));
        if n % 100 == 0 {
            let read = || running.metric(&pages, "broker_stream_events_total");
            wait_until(&format!("the exchange, at {n}, is not too far ahead"), || read() + 300.0 > f64::from(n));
        }
    }
    wait_until("the journal has them", || running.metric(&pages, "broker_orders_waiting") >= f64::from(UPDATES));
    assert!(running.resident() < 200 * 1024, "{} KiB", running.resident());
    let mut running = running;
    stops_by(&mut running, "TERM", "orders queued");
    assert!(running.log().contains("they follow at the next start"), "{}", running.log());

    stage.redis.restart();
    let mut redis = redis::Client::open(stage.redis.url()).unwrap().get_connection().unwrap();
    let mut again = Launch::new(Path::new(env!("CARGO_BIN_EXE_alpaca-broker")), stage.redis.port(), stage.sim.address());
    again.set("BROKER_DATA_DIR", &data);
    let mut running = again.start();
    wait_until("all are in the stream", || {
        let length: u32 = redis::cmd("XLEN").arg(format!("broker:order_updates:{account}")).query(&mut redis).unwrap();
        length == UPDATES
    });
    stops_by(&mut running, "TERM", "orders handed on");
}

#[test]
fn while_streaming_at_full_rate() {
    let mut stage = Stage::set();
    stage.launch.set("BROKER_SYMBOLS", "AAPL,MSFT");
    let mut running = stage.launch.start();
    let pages = ready(&running, &stage.exchange);
    let load = LoadSpec { symbols: vec!["AAPL".to_owned(), "MSFT".to_owned()], per_second: 30_000, per_frame: 30, total: 3_000_000 };
    let _load = stage.exchange.load(load).unwrap();
    wait_until("it streams", || running.metric(&pages, "broker_prices_published_total") > 5_000.0);
    stops_by(&mut running, "TERM", "full rate");
}

#[test]
fn an_interrupt_is_a_stop_and_a_second_one_insists() {
    kept(|| {
        let stage = Stage::set();
        let mut running = stage.launch.start();
        ready(&running, &stage.exchange);
        stops_by(&mut running, "INT", "SIGINT");

        let stage = Stage::set();
        let mut running = stage.launch.start();
        ready(&running, &stage.exchange);
        // A hanging Redis keeps the first stop busy.
        stage.redis.stop();
        running.signal("INT");
        running.wait_for_log("-> stopping");
        running.signal("INT");
        let (status, took) = running.end_within(PATIENCE).unwrap();
        stage.redis.cont();
        assert!(matches!(status.code(), Some(130 | 0)), "{status:?}");
        within(Duration::from_millis(500), took)?;
        assert_eq!(status.code(), Some(130), "it had no time to end by itself: {took:?}");
        Ok(())
    });
}

#[test]
fn a_log_that_nobody_reads_stops_neither_the_service_nor_its_end() {
    let mut stage = Stage::set();
    stage.launch.set("BROKER_SYMBOLS", "AAPL").set("LOG_LEVEL", "debug");
    // An unread pipe takes 64 KiB and then no more.
    stage.launch.command.stderr(Stdio::piped());
    let mut running = stage.launch.start();
    let pages = ready(&running, &stage.exchange);
    let mut bot = Bot::listening(&stage.redis.url(), &["TICKER_UPDATES_AAPL"]);
    const REFUSALS: usize = 300;
    for n in 0..REFUSALS {
        // Many symbols to a message, for a long line.
        bot.say("BROKER_REGISTRATION", &format!(r#"{{"action":"subscribe","tickers":[{}"no symbol {n}"]}}"#, "\"no symbol\",".repeat(50)));
    }
    wait_until("each refusal has written its line", || running.metric(&pages, "broker_registration_refused_total") >= 51.0 * REFUSALS as f64);
    stage.exchange.trade("AAPL", "150.00", 1);
    bot.until("the price", |message| message.text.contains(r#""price":150.00,"#));
    stops_by(&mut running, "TERM", "blocked log");
    let mut unread = Vec::new();
    running.child.stderr.take().unwrap().read_to_end(&mut unread).unwrap();
    let last = String::from_utf8_lossy(&unread).matches("refused: ").count();
    // The kernel counts pages, and lines leave room in each.
    assert!(unread.len() >= 32 * 1024 && last < 100, "the pipe was full: {} bytes, {last} refusals", unread.len());
}

#[test]
fn systemd_hears_of_the_start_the_watchdog_and_the_stop() {
    let mut stage = Stage::set();
    let path = stage.launch.dir.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let word = || {
        let mut bytes = [0; 512];
        let length = socket.recv(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes[..length]).into_owned()
    };
    let path = path.to_string_lossy().into_owned();
    stage.launch.set("NOTIFY_SOCKET", &path).set("WATCHDOG_USEC", "400000");
    let mut running = stage.launch.start();
    let first = word();
    assert!(first.starts_with("READY=1"), "{first}");
    while word() != "WATCHDOG=1" {}
    stops_by(&mut running, "TERM", "systemd");
    while word() != "STOPPING=1" {}
}

#[test]
fn without_keys_it_says_what_to_set_and_exits_78() {
    let mut stage = Stage::set();
    stage.launch.command.env_remove("PAPER_ALPACA_API_KEY_ID").env_remove("PAPER_ALPACA_API_SECRET_KEY");
    let mut running = stage.launch.start();
    let (status, _) = running.end_within(PATIENCE).unwrap();
    assert_eq!(status.code(), Some(78));
    assert!(running.log().contains("PAPER_ALPACA_API_KEY_ID"), "{}", running.log());
}

/// Lines of /proc/net/tcp of connections to this port: state and bytes unsent.
fn sockets_to(port: u16) -> Vec<(String, u64)> {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let wanted = format!(":{port:04X}");
    let line = |line: &str| {
        let mut parts = line.split_whitespace().skip(2);
        let (remote, state, queues) = (parts.next()?, parts.next()?, parts.next()?);
        remote.ends_with(&wanted).then(|| (state.to_owned(), u64::from_str_radix(queues.split(':').next().unwrap_or("0"), 16).unwrap_or(0)))
    };
    table.lines().skip(1).filter_map(line).collect()
}

fn connections_to(port: u16, state: &str) -> usize {
    sockets_to(port).iter().filter(|(is, _)| is == state).count()
}

fn unsent_to(port: u16) -> u64 {
    sockets_to(port).iter().map(|(_, unsent)| *unsent).sum()
}
