//! How a process of a run talks with the one that started it: lines on stdout, `TAG {json}`, and words on stdin.

use std::io::{BufRead, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam_channel::{Receiver, bounded};
use serde::Serialize;

/// What the starter says.
pub struct Orders {
    go: Receiver<()>,
    stop: Arc<AtomicBool>,
}

/// Begins to listen. The process ends when its starter is gone.
pub fn listen() -> Orders {
    let (said, go) = bounded(1);
    let stop = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&stop);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            match line.as_str() {
                "go" => drop(said.try_send(())),
                "stop" => told.store(true, Ordering::Relaxed),
                _ => {}
            }
        }
        std::process::exit(0);
    });
    Orders { go, stop }
}

impl Orders {
    pub fn wait_for_go(&self) {
        // The sender lives as long as the process.
        let _ = self.go.recv();
    }

    pub fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

pub fn announce(tag: &str, body: &impl Serialize) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{tag} {}", serde_json::to_string(body).unwrap()).unwrap();
    out.flush().unwrap();
}

/// Stays until the starter has read this thread's account of processor time, which goes with the thread.
pub fn linger() -> ! {
    loop {
        std::thread::park();
    }
}
