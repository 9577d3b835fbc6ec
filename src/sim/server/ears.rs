//! A transport whose ears can be stopped: pings that come in are then not heard, and so not answered.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};

use crate::net::Transport;
use crate::sim::fault::PingEraser;

#[derive(Debug)]
pub(super) struct Ears {
    transport: Transport,
    eraser: PingEraser,
    pub deaf: bool,
    /// Pings that came in, heard or not, since somebody last asked.
    pub pings: u64,
}

impl Ears {
    /// `begun` are the bytes that came with the upgrade.
    pub(super) fn new(transport: Transport, begun: &mut [u8]) -> Ears {
        let mut eraser = PingEraser::default();
        let pings = eraser.pass(begun, false);
        Ears { transport, eraser, deaf: false, pings }
    }

    pub(super) fn get_ref(&self) -> &Transport {
        &self.transport
    }

    pub(super) fn get_mut(&mut self) -> &mut Transport {
        &mut self.transport
    }
}

impl Read for Ears {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let count = self.transport.read(buf)?;
        self.pings += self.eraser.pass(&mut buf[..count], self.deaf);
        Ok(count)
    }
}

impl Write for Ears {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.transport.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.transport.flush()
    }
}

impl AsFd for Ears {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.transport.as_fd()
    }
}
