//! The word to systemd: ready, what we do, stopping, still alive. Without systemd all of it does nothing.
//!
//! Datagrams to the socket named in `NOTIFY_SOCKET`, never waiting.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::{Duration, Instant};

use super::heartbeat::Heartbeats;
use super::line::printable;

/// A critical thread that is silent this long withholds the watchdog's ping.
const SILENCE: Duration = Duration::from_secs(10);
const MAX_STATUS: usize = 200;

/// Where the word goes.
#[derive(Debug)]
pub struct Notifier {
    socket: Option<(UnixDatagram, SocketAddr)>,
    watchdog: Option<Duration>,
}

impl Notifier {
    /// As systemd told us in the environment; silent when it did not, or when what it told makes no sense.
    pub fn from_env() -> Notifier {
        let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
        let ours = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
        let watchdog = number("WATCHDOG_USEC").filter(|usec| ours && *usec > 0).map(Duration::from_micros);
        std::env::var_os("NOTIFY_SOCKET").and_then(|path| Notifier::to(&path, watchdog).ok()).unwrap_or_else(Notifier::silent)
    }

    pub fn silent() -> Notifier {
        Notifier { socket: None, watchdog: None }
    }

    /// To a socket in the file system, or with a leading `@` in the abstract name space.
    ///
    /// # Errors
    /// When the path is no socket address, or the process has no file descriptor left.
    pub fn to(path: &OsStr, watchdog: Option<Duration>) -> io::Result<Notifier> {
        let address = address(path)?;
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        Ok(Notifier { socket: Some((socket, address)), watchdog })
    }

    /// How often to call [`Notifier::ping`]: half of what systemd allows.
    pub fn ping_every(&self) -> Option<Duration> {
        self.watchdog.map(|limit| limit / 2)
    }

    /// With the line that `systemctl status` shows.
    pub fn ready(&self, status: &str) {
        self.send(&format!("READY=1\nSTATUS={}", printable(status, MAX_STATUS)));
    }

    pub fn stopping(&self) {
        self.send("STOPPING=1");
    }

    /// Tells the watchdog that we live, unless a critical thread does not.
    ///
    /// # Errors
    /// The name of the silent thread and its silence: systemd will end us if it goes on.
    pub fn ping(&self, heartbeats: &Heartbeats, now: Instant) -> Result<(), (std::sync::Arc<str>, Duration)> {
        match heartbeats.oldest(now) {
            Some((name, silence)) if silence >= SILENCE => Err((name, silence)),
            _ => {
                self.send("WATCHDOG=1");
                Ok(())
            }
        }
    }

    /// A word that systemd does not take at once is not worth waiting for.
    fn send(&self, word: &str) {
        if let Some((socket, address)) = &self.socket {
            let _ = socket.send_to_addr(word.as_bytes(), address);
        }
    }
}

#[cfg(target_os = "linux")]
fn address(path: &OsStr) -> io::Result<SocketAddr> {
    use std::os::linux::net::SocketAddrExt;
    match path.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name),
        _ => SocketAddr::from_pathname(path),
    }
}

#[cfg(not(target_os = "linux"))]
fn address(path: &OsStr) -> io::Result<SocketAddr> {
    SocketAddr::from_pathname(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(socket: &UnixDatagram) -> String {
        let mut word = [0; 512];
        let length = socket.recv(&mut word).unwrap();
        String::from_utf8_lossy(&word[..length]).into_owned()
    }

    #[test]
    fn systemd_hears_each_word() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let systemd = UnixDatagram::bind(&path).unwrap();
        let notifier = Notifier::to(path.as_os_str(), Some(Duration::from_secs(20))).unwrap();
        assert_eq!(notifier.ping_every(), Some(Duration::from_secs(10)));
        notifier.ready("12 symbols\nMAINPID=1");
        assert_eq!(heard(&systemd), "READY=1\nSTATUS=12 symbols\\nMAINPID=1");
        notifier.stopping();
        assert_eq!(heard(&systemd), "STOPPING=1");
    }

    #[test]
    fn a_silent_thread_withholds_the_ping() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let systemd = UnixDatagram::bind(&path).unwrap();
        systemd.set_nonblocking(true).unwrap();
        let notifier = Notifier::to(path.as_os_str(), None).unwrap();
        let heartbeats = Heartbeats::new();
        let _desk = heartbeats.register("desk");
        let (name, silence) = notifier.ping(&heartbeats, Instant::now() + Duration::from_secs(11)).unwrap_err();
        assert!(&*name == "desk" && silence >= SILENCE);
        assert!(systemd.recv(&mut [0; 8]).is_err());
        notifier.ping(&heartbeats, Instant::now() + Duration::from_secs(9)).unwrap();
        assert_eq!(heard(&systemd), "WATCHDOG=1");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn an_abstract_socket_is_reached() {
        use std::os::linux::net::SocketAddrExt;
        let name = format!("notify-test-{}", std::process::id());
        let systemd = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        Notifier::to(OsStr::new(&format!("@{name}")), None).unwrap().stopping();
        assert_eq!(heard(&systemd), "STOPPING=1");
    }

    #[test]
    fn without_systemd_nothing_happens() {
        let notifier = Notifier::silent();
        notifier.ready("x");
        assert_eq!(notifier.ping_every(), None);
        assert!(Notifier::to(OsStr::new("/nowhere/at/all"), None).unwrap().ping(&Heartbeats::new(), Instant::now()).is_ok());
    }
}
