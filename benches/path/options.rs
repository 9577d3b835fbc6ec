//! The command line of the benchmark.

use std::path::PathBuf;

pub const CASES: [&str; 6] = ["throughput", "latency", "bots", "symbols", "start", "idle"];

#[derive(Debug)]
pub struct Options {
    pub rounds: usize,
    pub only: Vec<String>,
    /// How long the bots are flooded.
    pub seconds: f64,
    /// An interpreter with what the Python design needs.
    pub python: Option<PathBuf>,
    /// A tenth of the messages, to see that everything works.
    pub quick: bool,
}

impl Options {
    pub fn read(args: &[String]) -> Result<Options, String> {
        let mut options = Options { rounds: 5, only: Vec::new(), seconds: 60.0, python: None, quick: false };
        let mut words = args.iter();
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
            match word.as_str() {
                "--rounds" => options.rounds = number(word, value()?)?,
                "--seconds" => options.seconds = number(word, value()?)?,
                "--only" => options.only = value()?.split(',').map(str::to_owned).collect(),
                "--python" => options.python = Some(value()?.into()),
                "--quick" => options.quick = true,
                // Cargo's own.
                "--bench" => {}
                other => return Err(format!("{other} is no option; there are --rounds, --only, --seconds, --python and --quick")),
            }
        }
        if let Some(unknown) = options.only.iter().find(|case| !CASES.contains(&case.as_str())) {
            return Err(format!("there is no case {unknown}; there are {}", CASES.join(", ")));
        }
        Ok(options)
    }

    pub fn wants(&self, case: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|wanted| wanted == case)
    }

    pub fn total(&self, full: u64) -> u64 {
        if self.quick { full / 10 } else { full }
    }
}

fn number<T: std::str::FromStr>(option: &str, value: &str) -> Result<T, String> {
    value.parse().map_err(|_| format!("{option} takes a number, not {value}"))
}
