//! Logging that can neither stall nor end the service.
//!
//! Whoever logs formats his line and offers it to two bounded queues, for stderr and for `broker:logs`; a full queue
//! drops the line and counts it. One thread writes stderr, and is the only one that a blocked pipe can hold.

use std::fmt;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use log::{Level, LevelFilter};

use super::line::Line;
use super::metrics::Counter;
use crate::runtime::wall_now;

/// Lines that wait for stderr; a full queue drops the newest.
const LINES: usize = 8_192;
/// Lines that wait for Redis; a full queue drops the newest.
const LINES_FOR_BOTS: usize = 1_024;
/// Lines per write to stderr.
const BATCH: usize = 64;

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error("this process logs already")]
    Installed(#[from] log::SetLoggerError),
    #[error("the system refuses a thread for the log: {0}")]
    Thread(#[from] io::Error),
}

/// The log from outside: who reads it, what it lost.
#[derive(Clone)]
pub struct LogHandle {
    items: Sender<Item>,
    for_bots: Receiver<String>,
    lost: Arc<Lost>,
}

#[derive(Default)]
struct Lost {
    lines: Counter,
    for_bots: Counter,
}

enum Item {
    Line(Vec<u8>),
    /// Answered once everything before it is written.
    Flush(Sender<()>),
}

/// Starts logging to stderr: this crate from `level` up, all others from warnings up.
///
/// # Errors
/// When the process logs already, or has no thread left.
pub fn init(level: LevelFilter) -> Result<LogHandle, LogError> {
    let (logger, handle) = build(level, io::stderr())?;
    let loudest = logger.filter();
    log::set_boxed_logger(Box::new(logger))?;
    log::set_max_level(loudest);
    Ok(handle)
}

/// Sends the text of a panic through the log, where one line stays one line and a blocked stderr holds nobody.
pub fn log_panics() {
    std::panic::set_hook(Box::new(|panic| log::error!("{panic}")));
}

fn build(level: LevelFilter, sink: impl Write + Send + 'static) -> io::Result<(env_logger::Logger, LogHandle)> {
    let (items, to_write) = bounded(LINES);
    let (bots, for_bots) = bounded::<String>(LINES_FOR_BOTS);
    let lost = Arc::new(Lost::default());
    let writer_lost = Arc::clone(&lost);
    std::thread::Builder::new().name("log".to_owned()).spawn(move || write_lines(&to_write, sink, &writer_lost))?;

    let pipe = Pipe { items: items.clone(), lost: Arc::clone(&lost) };
    let bots_lost = Arc::clone(&lost);
    let logger = env_logger::Builder::new()
        .filter_level(level.min(LevelFilter::Warn))
        .filter_module("alpaca_broker", level)
        .write_style(env_logger::WriteStyle::Never)
        .target(env_logger::Target::Pipe(Box::new(pipe)))
        .format(move |out, record| {
            let thread = std::thread::current();
            let line = Line::new(wall_now(), record.level(), thread.name().unwrap_or("?"), record.target(), *record.args());
            if bots.is_full() || bots.try_send(line.json()).is_err() {
                bots_lost.for_bots.add(1);
            }
            out.write_all(line.text().as_bytes())
        })
        .build();
    Ok((logger, LogHandle { items, for_bots, lost }))
}

impl LogHandle {
    /// Each line as JSON. All receivers share one queue: there is to be one reader.
    pub fn lines_for_bots(&self) -> Receiver<String> {
        self.for_bots.clone()
    }

    /// Lines that stderr did not take.
    pub fn dropped(&self) -> u64 {
        self.lost.lines.get()
    }

    /// Lines that `broker:logs` did not take.
    pub fn dropped_for_bots(&self) -> u64 {
        self.lost.for_bots.get()
    }

    /// Waits until what was logged before is written; false when stderr takes too long.
    pub fn flush(&self, deadline: Instant) -> bool {
        let (done, written) = bounded(1);
        self.items.send_deadline(Item::Flush(done), deadline).is_ok() && written.recv_deadline(deadline).is_ok()
    }
}

impl fmt::Debug for LogHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogHandle").field("dropped", &self.dropped()).field("dropped_for_bots", &self.dropped_for_bots()).finish()
    }
}

/// What env_logger takes for its output: one call a line, never a wait.
struct Pipe {
    items: Sender<Item>,
    lost: Arc<Lost>,
}

impl Write for Pipe {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) = self.items.try_send(Item::Line(line.to_vec())) {
            self.lost.lines.add(1);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn write_lines(items: &Receiver<Item>, mut sink: impl Write, lost: &Lost) {
    let (mut batch, mut flushes, mut told) = (Vec::new(), Vec::new(), 0);
    while let Ok(first) = items.recv() {
        let mut lines = 0;
        for item in std::iter::once(first).chain(items.try_iter()).take(BATCH) {
            match item {
                Item::Line(line) => {
                    batch.extend_from_slice(&line);
                    lines += 1;
                }
                Item::Flush(done) => flushes.push(done),
            }
        }
        let dropped = lost.lines.get();
        if dropped > told {
            let news = dropped - told;
            let line = Line::new(wall_now(), Level::Warn, "log", "log", format_args!("{news} lines were lost: stderr did not take them in time"));
            batch.extend_from_slice(line.text().as_bytes());
            told = dropped;
        }
        // A closed or broken stderr is no reason to end: the lines still go to the bots.
        if sink.write_all(&batch).and_then(|()| sink.flush()).is_err() {
            lost.lines.add(lines);
            told += lines;
        }
        batch.clear();
        flushes.drain(..).for_each(|done| {
            let _ = done.send(());
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::log::Log;
    use std::os::unix::net::UnixStream;
    use std::time::Duration;

    fn say(logger: &env_logger::Logger, level: Level, target: &str, message: &str) {
        logger.log(&log::Record::builder().level(level).target(target).args(format_args!("{message}")).build());
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(10)
    }

    #[test]
    fn a_line_goes_to_stderr_and_to_the_bots() {
        let (far, near) = UnixStream::pair().unwrap();
        let (logger, handle) = build(LevelFilter::Info, near).unwrap();
        say(&logger, Level::Info, "alpaca_broker::hub", "one\ntwo");
        say(&logger, Level::Debug, "alpaca_broker::hub", "not wanted");
        say(&logger, Level::Info, "ureq", "not ours");
        assert!(handle.flush(soon()));
        let mut text = [0; 4_096];
        let read = io::Read::read(&mut &far, &mut text).unwrap();
        let text = std::str::from_utf8(&text[..read]).unwrap();
        assert!(text.ends_with(" hub: one\\ntwo\n") && text.lines().count() == 1, "{text:?}");
        let bots = handle.lines_for_bots();
        assert!(bots.recv().unwrap().contains(r#""level":"INFO""#));
        assert!(bots.is_empty() && handle.dropped() == 0);
    }

    #[test]
    fn a_blocked_stderr_stalls_nobody_and_the_loss_is_told_later() {
        let (far, near) = UnixStream::pair().unwrap();
        let (logger, handle) = build(LevelFilter::Info, near).unwrap();
        let message = "x".repeat(1_900);
        let started = Instant::now();
        while handle.dropped() < 10 {
            say(&logger, Level::Warn, "alpaca_broker::hub", &message);
        }
        assert!(started.elapsed() < Duration::from_secs(20));
        assert!(!handle.flush(Instant::now() + Duration::from_millis(20)));
        assert!(handle.dropped_for_bots() > 0 && handle.lines_for_bots().len() == LINES_FOR_BOTS);

        let reader = std::thread::spawn(move || io::BufRead::lines(io::BufReader::new(far)).map_while(Result::ok).any(|line| line.contains("lines were lost")));
        assert!(reader.join().unwrap());
    }

    #[test]
    fn a_closed_stderr_ends_nothing() {
        let (far, near) = UnixStream::pair().unwrap();
        drop(far);
        let (logger, handle) = build(LevelFilter::Info, near).unwrap();
        for expected in 1..=3 {
            say(&logger, Level::Warn, "alpaca_broker::hub", "into the void");
            assert!(handle.flush(soon()));
            assert_eq!(handle.dropped(), expected);
        }
        assert_eq!(handle.lines_for_bots().len(), 3);
    }

    #[test]
    fn a_second_start_is_refused_without_a_panic() {
        let first = init(LevelFilter::Warn);
        assert!(matches!(init(LevelFilter::Warn), Err(LogError::Installed(_))));
        drop(first);
    }
}
