//! A private redis-server for tests: its own port or socket, nothing on disk, killed when dropped.
//!
//! Compiled into the library's own tests (`src/redis/mod.rs` names this path) and into the integration tests; so it uses
//! nothing but std and tempfile.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// How long a server may take to listen, on a machine that builds at the same time.
const START_WITHIN: Duration = Duration::from_secs(10);

/// What the server is started with.
#[derive(Debug, Clone, Default)]
pub struct RedisOptions {
    unix: bool,
    acl: Option<String>,
    tls: Option<(PathBuf, PathBuf, PathBuf)>,
    replica_of: Option<u16>,
    sentinel: Option<PathBuf>,
    more: Vec<String>,
}

impl RedisOptions {
    /// Listens on a unix socket alone.
    pub fn unix(mut self) -> RedisOptions {
        self.unix = true;
        self
    }

    /// Lines of an ACL file, as `user broker on >secret ~* &* +@all`.
    pub fn acl(mut self, lines: &str) -> RedisOptions {
        self.acl = Some(lines.to_owned());
        self
    }

    /// Speaks TLS alone, with this certificate, key and CA (PEM files).
    pub fn tls(mut self, certificate: &Path, key: &Path, ca: &Path) -> RedisOptions {
        self.tls = Some((certificate.to_owned(), key.to_owned(), ca.to_owned()));
        self
    }

    pub fn replica_of(mut self, port: u16) -> RedisOptions {
        self.replica_of = Some(port);
        self
    }

    /// Runs as a sentinel with this configuration file, which it rewrites.
    pub fn sentinel(mut self, file: &Path) -> RedisOptions {
        self.sentinel = Some(file.to_owned());
        self
    }

    /// One more option and its value.
    pub fn with(mut self, option: &str, value: &str) -> RedisOptions {
        self.more.extend([option.to_owned(), value.to_owned()]);
        self
    }

    pub fn start(self) -> RedisServer {
        RedisServer::start_with(self)
    }
}

#[derive(Debug)]
pub struct RedisServer {
    options: RedisOptions,
    dir: TempDir,
    port: u16,
    child: Child,
}

impl RedisServer {
    /// A plain server on a free port of 127.0.0.1.
    pub fn start() -> RedisServer {
        RedisServer::start_with(RedisOptions::default())
    }

    pub fn start_with(options: RedisOptions) -> RedisServer {
        let dir = TempDir::with_prefix("redis-test").expect("a temporary directory");
        if let Some(lines) = &options.acl {
            std::fs::write(dir.path().join("users.acl"), lines).expect("an ACL file");
        }
        let port = if options.unix { 0 } else { free_port() };
        let child = launch(&options, dir.path(), port);
        let mut server = RedisServer { options, dir, port, child };
        // Another program may take the port between our look and the server's bind.
        for _ in 0..20 {
            if server.wait_until_listening() {
                return server;
            }
            server.kill();
            server.port = if server.options.unix { 0 } else { free_port() };
            server.child = launch(&server.options, server.dir.path(), server.port);
        }
        panic!("redis-server did not start; does it run by hand with these options? {:?}", server.options);
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The unix socket of a server started with [`RedisOptions::unix`].
    pub fn socket(&self) -> PathBuf {
        self.dir.path().join("redis.sock")
    }

    /// Where a redis client connects to.
    pub fn url(&self) -> String {
        match (self.options.unix, &self.options.tls) {
            (true, _) => format!("unix://{}", self.socket().display()),
            (false, Some(_)) => format!("rediss://127.0.0.1:{}", self.port),
            (false, None) => format!("redis://127.0.0.1:{}", self.port),
        }
    }

    /// SIGSTOP: the server hangs, its sockets stay open.
    pub fn stop(&self) {
        self.signal("STOP");
    }

    /// SIGCONT.
    pub fn cont(&self) {
        self.signal("CONT");
    }

    /// SIGKILL, and gone.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// A new server on the same port or socket, killing the old one if it runs; returns when it listens.
    pub fn restart(&mut self) {
        self.kill();
        let _ = std::fs::remove_file(self.socket());
        for _ in 0..20 {
            self.child = launch(&self.options, self.dir.path(), self.port);
            if self.wait_until_listening() {
                return;
            }
            self.kill();
        }
        panic!("redis-server did not start again on port {}", self.port);
    }

    fn signal(&self, name: &str) {
        let done = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status().expect("the kill program");
        assert!(done.success(), "kill -{name} failed");
    }

    /// False when the server ended instead.
    fn wait_until_listening(&mut self) -> bool {
        let deadline = Instant::now() + START_WITHIN;
        while Instant::now() < deadline {
            if self.child.try_wait().expect("the server's state").is_some() {
                return false;
            }
            if self.answers() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        false
    }

    /// Any answer to a PING will do, a NOAUTH too; a TLS port is taken at its word once it accepts.
    fn answers(&self) -> bool {
        let patience = Some(Duration::from_millis(500));
        if self.options.unix {
            let Ok(socket) = UnixStream::connect(self.socket()) else { return false };
            return socket.set_read_timeout(patience).is_ok() && pong(socket);
        }
        let Ok(socket) = TcpStream::connect(("127.0.0.1", self.port)) else { return false };
        self.options.tls.is_some() || (socket.set_read_timeout(patience).is_ok() && pong(socket))
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
    }
}

fn pong(mut socket: impl Read + Write) -> bool {
    let mut answer = [0; 1];
    socket.write_all(b"PING\r\n").is_ok() && socket.read(&mut answer).is_ok_and(|n| n == 1) && matches!(answer[0], b'+' | b'-')
}

/// Below the range from which outgoing connections take their ports, so that a port stays free over a restart.
fn free_port() -> u16 {
    use std::hash::{BuildHasher, Hasher};
    loop {
        let random = std::collections::hash_map::RandomState::new().build_hasher().finish();
        let port = 12_000 + u16::try_from(random % 20_000).unwrap_or(0);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

fn launch(options: &RedisOptions, dir: &Path, port: u16) -> Child {
    let program = std::env::var_os("REDIS_SERVER").unwrap_or_else(|| "redis-server".into());
    let mut command = Command::new(program);
    if let Some(file) = &options.sentinel {
        command.arg(file).arg("--sentinel");
    }
    command.arg("--dir").arg(dir).args(["--save", "", "--appendonly", "no", "--bind", "127.0.0.1", "--loglevel", "warning"]);
    let port = port.to_string();
    match &options.tls {
        Some((certificate, key, ca)) => {
            command.args(["--port", "0", "--tls-port", &port, "--tls-auth-clients", "no"]);
            command.arg("--tls-cert-file").arg(certificate).arg("--tls-key-file").arg(key).arg("--tls-ca-cert-file").arg(ca);
        }
        None => {
            command.args(["--port", &port]);
        }
    }
    if options.unix {
        command.arg("--unixsocket").arg(dir.join("redis.sock"));
    }
    if options.acl.is_some() {
        command.arg("--aclfile").arg(dir.join("users.acl"));
    }
    if let Some(master) = options.replica_of {
        command.args(["--replicaof", "127.0.0.1", &master.to_string()]);
    }
    command.args(&options.more);
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    quiet.spawn().expect("redis-server; set REDIS_SERVER to the program or install it")
}
