//! How a frame's messages are written, in JSON and in MessagePack, and where in them the patched values lie.

use crate::clock::RFC3339_LEN;
use crate::frames::{ID_LEN, dollars};
use crate::universe::{SEQ_BASE, SEQ_LEN};

/// An array of objects being written. What returns a number returns the place of the value.
pub trait Body {
    const OPCODE: u8;
    fn begin(messages: usize) -> Self;
    fn open(&mut self, fields: u8);
    fn text(&mut self, key: &str, value: &str);
    fn texts(&mut self, key: &str, values: &[&str]);
    fn price(&mut self, key: &str, cents: usize);
    fn id(&mut self, key: &str) -> usize;
    fn size(&mut self, key: &str) -> usize;
    fn time(&mut self, key: &str) -> usize;
    fn close(&mut self);
    fn finish(self) -> Vec<u8>;
}

pub struct Json(Vec<u8>);

impl Json {
    fn key(&mut self, key: &str) -> usize {
        if self.0.last() != Some(&b'{') {
            self.0.push(b',');
        }
        self.raw(&format!("\"{key}\":"))
    }

    fn raw(&mut self, text: &str) -> usize {
        self.0.extend_from_slice(text.as_bytes());
        self.0.len()
    }
}

impl Body for Json {
    const OPCODE: u8 = 1;

    fn begin(_messages: usize) -> Json {
        Json(vec![b'['])
    }

    fn open(&mut self, _fields: u8) {
        if self.0.len() > 1 {
            self.0.push(b',');
        }
        self.0.push(b'{');
    }

    fn text(&mut self, key: &str, value: &str) {
        self.key(key);
        self.raw(&format!("\"{value}\""));
    }

    fn texts(&mut self, key: &str, values: &[&str]) {
        self.key(key);
        self.raw(&format!("[\"{}\"]", values.join("\",\"")));
    }

    fn price(&mut self, key: &str, cents: usize) {
        self.key(key);
        self.raw(&dollars(cents));
    }

    fn id(&mut self, key: &str) -> usize {
        let at = self.key(key);
        self.raw(&"1".repeat(ID_LEN));
        at
    }

    fn size(&mut self, key: &str) -> usize {
        let at = self.key(key);
        self.raw(&"1".repeat(SEQ_LEN));
        at
    }

    fn time(&mut self, key: &str) -> usize {
        self.key(key);
        let at = self.raw("\"");
        self.raw(&" ".repeat(RFC3339_LEN));
        self.raw("\"");
        at
    }

    fn close(&mut self) {
        self.0.push(b'}');
    }

    fn finish(mut self) -> Vec<u8> {
        self.0.push(b']');
        self.0
    }
}

pub struct Packed(Vec<u8>);

impl Packed {
    fn string(&mut self, text: &str) {
        rmp::encode::write_str(&mut self.0, text).unwrap();
    }

    fn slot(&mut self, key: &str, marker: &[u8], value: &[u8]) -> usize {
        self.string(key);
        self.0.extend_from_slice(marker);
        let at = self.0.len();
        self.0.extend_from_slice(value);
        at
    }
}

impl Body for Packed {
    const OPCODE: u8 = 2;

    fn begin(messages: usize) -> Packed {
        let mut out = Vec::new();
        rmp::encode::write_array_len(&mut out, messages as u32).unwrap();
        Packed(out)
    }

    fn open(&mut self, fields: u8) {
        rmp::encode::write_map_len(&mut self.0, u32::from(fields)).unwrap();
    }

    fn text(&mut self, key: &str, value: &str) {
        self.string(key);
        self.string(value);
    }

    fn texts(&mut self, key: &str, values: &[&str]) {
        self.string(key);
        rmp::encode::write_array_len(&mut self.0, values.len() as u32).unwrap();
        for value in values {
            self.string(value);
        }
    }

    fn price(&mut self, key: &str, cents: usize) {
        self.string(key);
        rmp::encode::write_f64(&mut self.0, cents as f64 / 100.0).unwrap();
    }

    fn id(&mut self, key: &str) -> usize {
        self.slot(key, &[0xcf], &[0; 8])
    }

    fn size(&mut self, key: &str) -> usize {
        self.slot(key, &[0xce], &(SEQ_BASE as u32).to_be_bytes())
    }

    /// Extension type -1 in eight bytes.
    fn time(&mut self, key: &str) -> usize {
        self.slot(key, &[0xd7, 0xff], &[0; 8])
    }

    fn close(&mut self) {}

    fn finish(self) -> Vec<u8> {
        self.0
    }
}
