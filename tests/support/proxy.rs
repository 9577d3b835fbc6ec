//! A TCP proxy that misbehaves on demand: cuts, goes half-open, stalls, or accepts and says nothing.
//!
//! Plain threads and blocking sockets. It writes down when each client came and left.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use socket2::{Domain, SockAddr, Socket, Type};

/// Two attempts that lie at least so far apart are no storm; less the time that the acceptor may be late on a busy machine.
const CLOSEST: Duration = Duration::from_millis(190);
const TURN: Duration = Duration::from_millis(5);

/// What becomes of new clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    Pass,
    /// Accepted, read, and never answered.
    Mute,
    /// Accepted and closed at once.
    Close,
}

/// One client's stay.
#[derive(Debug, Clone, Copy)]
pub struct Visit {
    pub came: Instant,
    /// Nobody who came earlier was still there.
    pub alone: bool,
}

/// Forwards to one address until told otherwise.
pub struct Proxy {
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    upstream: SocketAddr,
    manner: Mutex<Manner>,
    pairs: Mutex<Vec<Pair>>,
    visits: Mutex<Vec<Visit>>,
    ended: AtomicBool,
}

struct Pair {
    near: TcpStream,
    far: Option<TcpStream>,
    half_open: Arc<AtomicBool>,
    stalled: Arc<AtomicBool>,
}

impl Pair {
    /// The client has closed its side. Asked of the system, which knows it before a thread of ours has had its turn.
    fn has_left(&self) -> bool {
        let closed = PollFlags::RDHUP | PollFlags::HUP | PollFlags::ERR;
        let mut asked = [PollFd::new(&self.near, PollFlags::RDHUP)];
        poll(&mut asked, Some(&Timespec::default())).unwrap();
        asked[0].revents().intersects(closed)
    }
}

impl Proxy {
    /// On a free port.
    pub fn to(upstream: SocketAddr) -> Proxy {
        Proxy::on(0, upstream)
    }

    /// On this port, which must be free.
    pub fn on(port: u16, upstream: SocketAddr) -> Proxy {
        Proxy::serve(TcpListener::bind(("127.0.0.1", port)).unwrap(), upstream)
    }

    /// With little room between the client and us, so that a stall is felt at once.
    pub fn narrow(upstream: SocketAddr) -> Proxy {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_recv_buffer_size(2_048).unwrap();
        socket.set_tcp_mss(536).unwrap();
        socket.bind(&SockAddr::from(SocketAddr::from(([127, 0, 0, 1], 0)))).unwrap();
        socket.listen(64).unwrap();
        Proxy::serve(socket.into(), upstream)
    }

    /// Accepts and never says a word.
    pub fn mute() -> Proxy {
        let proxy = Proxy::to(SocketAddr::from(([127, 0, 0, 1], 1)));
        proxy.set(Manner::Mute);
        proxy
    }

    fn serve(listener: TcpListener, upstream: SocketAddr) -> Proxy {
        let address = listener.local_addr().unwrap();
        let shared =
            Arc::new(Shared { upstream, manner: Mutex::new(Manner::Pass), pairs: Mutex::default(), visits: Mutex::default(), ended: AtomicBool::new(false) });
        let own = Arc::clone(&shared);
        std::thread::spawn(move || {
            for near in listener.incoming() {
                if own.ended.load(Ordering::Acquire) {
                    return;
                }
                if let Ok(near) = near {
                    own.accepted(near);
                }
            }
        });
        Proxy { address, shared }
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    pub fn set(&self, manner: Manner) {
        *self.shared.manner.lock() = manner;
    }

    /// Ends all connections on both sides.
    pub fn cut(&self) {
        self.shared.cut();
    }

    /// From now on nothing is forwarded on the present connections, and nothing closed.
    pub fn half_open(&self) {
        self.shared.pairs.lock().iter().for_each(|pair| pair.half_open.store(true, Ordering::Release));
    }

    /// Says these bytes to the present clients, as if they came from the far side.
    pub fn inject(&self, bytes: &[u8]) {
        self.shared.pairs.lock().iter_mut().for_each(|pair| pair.near.write_all(bytes).unwrap());
    }

    /// Stops reading what the present clients send.
    pub fn stall(&self) {
        self.shared.pairs.lock().iter().for_each(|pair| pair.stalled.store(true, Ordering::Release));
    }

    pub fn visits(&self) -> Vec<Visit> {
        self.shared.visits.lock().clone()
    }

    /// Never two clients at once, never one hot on the heels of another.
    pub fn assert_manners(&self) {
        let visits = self.visits();
        assert!(visits.iter().all(|visit| visit.alone), "two connections at once: {visits:?}");
        for pair in visits.windows(2) {
            let apart = pair[1].came - pair[0].came;
            assert!(apart >= CLOSEST, "two attempts within {apart:?}");
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Release);
        // Wakes the acceptor.
        let _ = TcpStream::connect(self.address);
        self.shared.cut();
    }
}

impl Shared {
    fn cut(&self) {
        for pair in self.pairs.lock().drain(..) {
            let _ = pair.near.shutdown(Shutdown::Both);
            if let Some(far) = pair.far {
                let _ = far.shutdown(Shutdown::Both);
            }
        }
    }

    fn accepted(self: &Arc<Shared>, near: TcpStream) {
        let alone = self.pairs.lock().iter().all(Pair::has_left);
        self.visits.lock().push(Visit { came: Instant::now(), alone });
        let manner = *self.manner.lock();
        let far = if manner == Manner::Pass { TcpStream::connect(self.upstream).ok() } else { None };
        if manner == Manner::Close || (manner == Manner::Pass && far.is_none()) {
            return;
        }
        let (half_open, stalled) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let copy = |socket: &TcpStream| socket.try_clone().unwrap();
        let pair = Pair { near: copy(&near), far: far.as_ref().map(copy), half_open: Arc::clone(&half_open), stalled: Arc::clone(&stalled) };
        self.pairs.lock().push(pair);
        let _ = near.set_nodelay(true);
        if let Some(far) = &far {
            let _ = far.set_nodelay(true);
            let (from, to, half_open) = (copy(far), copy(&near), Arc::clone(&half_open));
            std::thread::spawn(move || pump(from, Some(to), &half_open, &AtomicBool::new(false)));
        }
        std::thread::spawn(move || pump(near, far, &half_open, &stalled));
    }
}

/// Carries bytes one way until the source ends; without a target they vanish.
fn pump(mut from: TcpStream, mut to: Option<TcpStream>, half_open: &AtomicBool, stalled: &AtomicBool) {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        if stalled.load(Ordering::Acquire) {
            // A stalled socket is not read; so its end shows only when somebody cuts it.
            if from.take_error().is_err() || from.peer_addr().is_err() {
                break;
            }
            std::thread::sleep(TURN);
            continue;
        }
        let read = match from.read(&mut buffer) {
            Ok(0) | Err(_) => break,
            Ok(read) => read,
        };
        // A stall may have come while we waited: these bytes are the last that were taken.
        if half_open.load(Ordering::Acquire) {
            continue;
        }
        if let Some(to) = to.as_mut()
            && to.write_all(&buffer[..read]).is_err()
        {
            break;
        }
    }
    if let Some(to) = to {
        let _ = to.shutdown(Shutdown::Both);
    }
    let _ = from.shutdown(Shutdown::Both);
}
