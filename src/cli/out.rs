//! Where a command prints: the one writer of stdout and stderr.
//!
//! Never `println!`, which panics when the reader is gone.

use std::io::{self, IsTerminal, Write};

use crate::runtime::StopToken;

/// A command's surroundings.
pub struct Console {
    /// What was asked for.
    pub out: Out,
    /// What a person should know besides; lost when nobody reads it.
    pub notes: Out,
    /// Stopped by Ctrl-C.
    pub stop: StopToken,
}

/// One output, coloured only where a terminal shows it.
pub struct Out {
    sink: Box<dyn Write + Send>,
    colour: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colour {
    Good,
    Warn,
    Bad,
    Dim,
}

impl Console {
    /// The process's own output.
    pub fn of_process(stop: StopToken) -> Console {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let out = Out::new(io::stdout(), wanted && io::stdout().is_terminal());
        let notes = Out::new(io::stderr(), wanted && io::stderr().is_terminal());
        Console { out, notes, stop }
    }

    /// Tells a person; nothing fails when nobody is there.
    pub fn note(&mut self, text: &str) {
        let text = self.notes.paint(Colour::Dim, text);
        let _ = self.notes.line(&text);
    }
}

impl Out {
    pub fn new(sink: impl Write + Send + 'static, colour: bool) -> Out {
        Out { sink: Box::new(sink), colour }
    }

    /// # Errors
    /// Those of the sink; a broken pipe among them, which the caller's caller takes for success.
    pub fn line(&mut self, text: &str) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(text.len() + 1);
        bytes.extend_from_slice(text.as_bytes());
        bytes.push(b'\n');
        self.sink.write_all(&bytes)?;
        self.sink.flush()
    }

    /// Clears the screen where there is one.
    ///
    /// # Errors
    /// Those of the sink.
    pub fn clear(&mut self) -> io::Result<()> {
        if self.colour { self.sink.write_all(b"\x1b[H\x1b[2J") } else { Ok(()) }
    }

    pub fn paint(&self, colour: Colour, text: &str) -> String {
        let code = match colour {
            Colour::Good => "32",
            Colour::Warn => "33",
            Colour::Bad => "31",
            Colour::Dim => "2",
        };
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

impl std::fmt::Debug for Out {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Out").field("colour", &self.colour).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Console {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Console").field("out", &self.out).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_only_where_they_are_shown() {
        assert_eq!(Out::new(io::sink(), false).paint(Colour::Bad, "gap"), "gap");
        assert_eq!(Out::new(io::sink(), true).paint(Colour::Bad, "gap"), "\x1b[31mgap\x1b[0m");
    }
}
