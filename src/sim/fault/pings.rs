//! Makes pings unheard: in the bytes that a client sends, a ping becomes an unsolicited pong, which nobody answers.

/// Follows the frames of one stream, whatever pieces they come in.
#[derive(Debug, Default)]
pub(in crate::sim) struct PingEraser {
    /// The head of the frame that is coming in: two bytes, a longer length, a mask.
    head: [u8; 14],
    seen: usize,
    /// Bytes of the payload still to come.
    payload: u64,
}

const OPCODE: u8 = 0x0f;
const PING: u8 = 0x09;
const PONG: u8 = 0x0a;
const MASKED: u8 = 0x80;

impl PingEraser {
    /// Has to see every byte; changes pings only while `deaf`. Returns how many pings began in them.
    pub(in crate::sim) fn pass(&mut self, mut bytes: &mut [u8], deaf: bool) -> u64 {
        let mut pings = 0;
        while let Some(first) = bytes.first_mut() {
            if self.payload > 0 {
                let skipped = usize::try_from(self.payload).unwrap_or(usize::MAX).min(bytes.len());
                self.payload -= skipped as u64;
                bytes = &mut bytes[skipped..];
                continue;
            }
            self.head[self.seen] = *first;
            self.seen += 1;
            if self.seen == 1 && *first & OPCODE == PING {
                pings += 1;
                if deaf {
                    *first = (*first & !OPCODE) | PONG;
                }
            }
            if self.seen >= 2 && self.seen == self.length() {
                self.payload = self.announced();
                self.seen = 0;
            }
            bytes = &mut bytes[1..];
        }
        pings
    }

    fn length(&self) -> usize {
        let longer = match self.head[1] & !MASKED {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        2 + longer + if self.head[1] & MASKED == 0 { 0 } else { 4 }
    }

    fn announced(&self) -> u64 {
        let number = |bytes: &[u8]| bytes.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        match self.head[1] & !MASKED {
            126 => number(&self.head[2..4]),
            127 => number(&self.head[2..10]),
            short => u64::from(short),
        }
    }
}
