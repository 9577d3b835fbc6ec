//! What the process says with its exit code. Scripts and systemd rely on these numbers.

pub const OK: u8 = 0;
/// What was asked for did not happen; the reason stands on stderr.
pub const FAILED: u8 = 1;
/// The command line makes no sense; clap's number.
pub const USAGE: u8 = 2;
/// A fault of this program.
pub const INTERNAL: u8 = 70;
/// Another broker serves this Redis or has this data folder; starting again helps once that one has ended.
pub const OTHER_BROKER: u8 = 75;
/// The configuration is refused; starting again without a change is no use.
pub const CONFIGURATION: u8 = 78;

pub const HELP: &str = "\
Exit codes:
  0   done; also when whoever reads the output went away
  1   failed: not reachable, not running, refused
  2   the command line makes no sense
  70  a fault of this program
  75  another broker serves this Redis or has this data folder
  78  the configuration is refused";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_tells_each_code() {
        for code in [OK, FAILED, USAGE, INTERNAL, OTHER_BROKER, CONFIGURATION] {
            assert!(HELP.lines().any(|line| line.trim_start().starts_with(&format!("{code} "))), "{code}");
        }
    }
}
