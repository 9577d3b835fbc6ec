//! JSON by hand, for the many small objects of a busy market.

use super::ObjectWriter;
use crate::model::{Digits, Timestamp};

pub(super) struct Object<'a> {
    out: &'a mut Vec<u8>,
    empty: bool,
}

impl<'a> Object<'a> {
    pub(super) fn begin(out: &'a mut Vec<u8>) -> Object<'a> {
        out.push(b'{');
        Object { out, empty: true }
    }

    pub(super) fn finish(self) {
        self.out.push(b'}');
    }

    /// Keys are ours and need no escape.
    fn key(&mut self, key: &str) {
        self.out.extend_from_slice(if self.empty { b"\"" } else { b",\"" });
        self.empty = false;
        self.out.extend_from_slice(key.as_bytes());
        self.out.extend_from_slice(b"\":");
    }
}

impl ObjectWriter for Object<'_> {
    fn text(&mut self, key: &str, value: &str) {
        self.key(key);
        write_text(value, self.out);
    }

    fn texts(&mut self, key: &str, value: &[&str]) {
        self.key(key);
        self.out.push(b'[');
        for (at, text) in value.iter().enumerate() {
            if at > 0 {
                self.out.push(b',');
            }
            write_text(text, self.out);
        }
        self.out.push(b']');
    }

    fn integer(&mut self, key: &str, value: i64) {
        self.key(key);
        self.out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
    }

    fn number(&mut self, key: &str, value: &Digits) {
        self.key(key);
        self.out.extend_from_slice(value.as_bytes());
    }

    fn size(&mut self, key: &str, value: &Digits) {
        self.number(key, value);
    }

    fn time(&mut self, key: &str, value: Timestamp) {
        self.key(key);
        self.out.push(b'"');
        value.write_rfc3339(self.out);
        self.out.push(b'"');
    }
}

fn write_text(text: &str, out: &mut Vec<u8>) {
    if text.bytes().any(|b| b < 0x20 || b == b'"' || b == b'\\') {
        out.extend_from_slice(serde_json::Value::from(text).to_string().as_bytes());
        return;
    }
    out.push(b'"');
    out.extend_from_slice(text.as_bytes());
    out.push(b'"');
}

pub(super) fn frame<'a>(elements: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut out = vec![b'['];
    for (at, element) in elements.enumerate() {
        if at > 0 {
            out.push(b',');
        }
        out.extend_from_slice(element);
    }
    out.push(b']');
    out
}
