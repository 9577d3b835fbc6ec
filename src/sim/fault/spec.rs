//! One fault as it is asked for: `NAME[=VALUE][@SCOPE]`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::{ENTRIES, Fault, Reach, Shape, Target};

const LONGEST: Duration = Duration::from_secs(24 * 3_600);
const MOST: u32 = 1_000_000;
const MOST_AT_ONCE: u32 = 100_000;
const LARGEST: usize = 256 * 1024 * 1024;

/// How much of a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    Once,
    Code(u16),
    Burst(u32),
    Count(u32),
    For(Duration),
    By(Duration),
    /// Nanoseconds, forward or backward.
    Skew(i64),
    Spread(Duration, Duration),
    Bytes(usize),
}

/// What a fault is confined to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Scope {
    #[default]
    All,
    /// Market data, streams and REST.
    Data,
    /// Orders, stream and REST.
    Trading,
    /// Paths that begin like this, such as `/v2/iex`.
    Path(String),
}

/// A fault with its measure and scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FaultSpec {
    pub fault: Fault,
    pub measure: Measure,
    pub scope: Scope,
}

/// Why a text is no fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FaultTextError {
    #[error("there is no fault {name:?}; did you mean {nearest}? --fault list and /admin/help name all of them")]
    Unknown { name: String, nearest: &'static str },
    #[error("the fault {name} takes {wanted}, not {value:?}; write for example {example}")]
    Value { name: &'static str, wanted: &'static str, value: String, example: String },
    #[error("the scope is data, trading or a path such as /v2/iex, not {0:?}")]
    Scope(String),
    #[error("the fault {name} never concerns @{scope}; leave the scope out")]
    OutOfReach { name: &'static str, scope: String },
}

impl Scope {
    pub(super) fn covers(&self, target: &Target<'_>) -> bool {
        match self {
            Scope::All => true,
            Scope::Data => !target.trading,
            Scope::Trading => target.trading,
            Scope::Path(start) => target.path.starts_with(start.as_str()),
        }
    }
}

impl FaultSpec {
    pub(in crate::sim) fn covers(&self, target: &Target<'_>) -> bool {
        self.scope.covers(target)
    }

    /// With its usual measure, everywhere.
    pub fn usual(fault: Fault) -> FaultSpec {
        let measure = match fault.entry().shape {
            Shape::Once => Measure::Once,
            Shape::Code(code) => Measure::Code(code),
            Shape::Burst(count) => Measure::Burst(count),
            Shape::Count(count) => Measure::Count(count),
            Shape::For(time) => Measure::For(time),
            Shape::By(time) => Measure::By(time),
            Shape::Skew(time) => Measure::Skew(i64::try_from(time.as_nanos()).unwrap_or(i64::MAX)),
            Shape::Spread(median, worst) => Measure::Spread(median, worst),
            Shape::Bytes(bytes) => Measure::Bytes(bytes),
        };
        FaultSpec { fault, measure, scope: Scope::All }
    }
}

impl FromStr for FaultSpec {
    type Err = FaultTextError;

    fn from_str(text: &str) -> Result<FaultSpec, FaultTextError> {
        let text = text.trim();
        let (head, scope) = text.split_once('@').map_or((text, None), |(head, scope)| (head, Some(scope)));
        let (name, value) = head.split_once('=').map_or((head, None), |(name, value)| (name, Some(value)));
        let fault = Fault::from_name(name).ok_or_else(|| FaultTextError::Unknown { name: name.chars().take(40).collect(), nearest: nearest(name) })?;
        let mut spec = FaultSpec::usual(fault);
        if let Some(value) = value {
            spec.measure = measure(fault.entry().shape, value).map_err(|wanted| FaultTextError::Value {
                name: fault.name(),
                wanted,
                value: value.chars().take(40).collect(),
                example: fault.example(),
            })?;
        }
        if let Some(scope) = scope {
            spec.scope = match scope {
                "data" => Scope::Data,
                "trading" => Scope::Trading,
                path if path.starts_with('/') => Scope::Path(path.to_owned()),
                other => return Err(FaultTextError::Scope(other.chars().take(40).collect())),
            };
        }
        let misses = matches!((fault.entry().reach, &spec.scope), (Reach::Data, Scope::Trading) | (Reach::Trading, Scope::Data));
        if misses { Err(FaultTextError::OutOfReach { name: fault.name(), scope: spec.scope.to_string() }) } else { Ok(spec) }
    }
}

fn measure(shape: Shape, value: &str) -> Result<Measure, &'static str> {
    let count = || value.parse::<u32>().ok().filter(|count| (1..=MOST).contains(count)).ok_or("a number from 1 to 1000000");
    match shape {
        Shape::Once => Err("no value"),
        Shape::Code(_) => {
            let code = value.parse::<u16>().ok().filter(|code| (1000..5000).contains(code) && !matches!(code, 1004..=1006 | 1015));
            code.map(Measure::Code).ok_or("a close code that may be sent, from 1000 to 4999")
        }
        Shape::Burst(_) => count().ok().filter(|count| *count <= MOST_AT_ONCE).map(Measure::Burst).ok_or("a number from 1 to 100000"),
        Shape::Count(_) => count().map(Measure::Count),
        Shape::For(_) => duration(value).map(Measure::For).ok_or(TIME),
        Shape::By(_) => duration(value).map(Measure::By).ok_or(TIME),
        Shape::Skew(_) => {
            let (sign, size) = value.strip_prefix('-').map_or((1, value), |size| (-1, size));
            let nanos = duration(size).and_then(|time| i64::try_from(time.as_nanos()).ok());
            nanos.map(|nanos| Measure::Skew(sign * nanos)).ok_or("a time such as 5s or -1h")
        }
        Shape::Spread(..) => {
            let (median, worst) = value.split_once("..").unwrap_or((value, value));
            let both = duration(median).zip(duration(worst)).filter(|(median, worst)| median <= worst);
            both.map(|(median, worst)| Measure::Spread(median, worst)).ok_or("a time such as 20ms, or a range such as 5ms..50ms")
        }
        Shape::Bytes(_) => bytes(value).map(Measure::Bytes).ok_or("a size such as 65536, 64KiB or 17MiB, at most 256MiB"),
    }
}

const TIME: &str = "a time such as 250ms, 30s or 5m, at most a day";

fn duration(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..digits].parse().ok()?;
    let time = match &text[digits..] {
        "us" => Duration::from_micros(number),
        "ms" => Duration::from_millis(number),
        "s" => Duration::from_secs(number),
        "m" => Duration::from_secs(number.checked_mul(60)?),
        "h" => Duration::from_secs(number.checked_mul(3_600)?),
        _ => return None,
    };
    (!time.is_zero() && time <= LONGEST).then_some(time)
}

fn bytes(text: &str) -> Option<usize> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let unit = match &text[digits..] {
        "" => 1,
        "KiB" => 1024,
        "MiB" => 1024 * 1024,
        _ => return None,
    };
    text[..digits].parse::<usize>().ok()?.checked_mul(unit).filter(|bytes| (1..=LARGEST).contains(bytes))
}

/// The known name that takes the fewest changes.
fn nearest(name: &str) -> &'static str {
    let name: String = name.chars().take(40).collect();
    ENTRIES.iter().map(|entry| entry.name).min_by_key(|known| distance(&name, known)).unwrap_or_default()
}

/// Insertions, removals and replacements between two words.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (at, letter) in one.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], at + 1);
        for (n, wanted) in other.iter().enumerate() {
            let replaced = diagonal + usize::from(letter != *wanted);
            diagonal = row[n + 1];
            row[n + 1] = replaced.min(row[n] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Scope::All => Ok(()),
            Scope::Data => f.write_str("data"),
            Scope::Trading => f.write_str("trading"),
            Scope::Path(path) => f.write_str(path),
        }
    }
}

impl fmt::Display for FaultSpec {
    /// The text that it is parsed from.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.fault.name())?;
        match self.measure {
            Measure::Once => {}
            Measure::Code(code) => write!(f, "={code}")?,
            Measure::Burst(count) | Measure::Count(count) => write!(f, "={count}")?,
            Measure::For(time) | Measure::By(time) => write!(f, "={}", Time(time))?,
            Measure::Skew(nanos) => write!(f, "={}{}", if nanos < 0 { "-" } else { "" }, Time(Duration::from_nanos(nanos.unsigned_abs())))?,
            Measure::Spread(median, worst) => write!(f, "={}..{}", Time(median), Time(worst))?,
            Measure::Bytes(bytes) if bytes % (1024 * 1024) == 0 => write!(f, "={}MiB", bytes / (1024 * 1024))?,
            Measure::Bytes(bytes) => write!(f, "={bytes}")?,
        }
        if self.scope == Scope::All { Ok(()) } else { write!(f, "@{}", self.scope) }
    }
}

struct Time(Duration);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.0.as_micros();
        match (micros % 1_000_000, micros % 1_000) {
            (0, _) => write!(f, "{}s", micros / 1_000_000),
            (_, 0) => write!(f, "{}ms", micros / 1_000),
            _ => write!(f, "{micros}us"),
        }
    }
}
