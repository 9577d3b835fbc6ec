//! Bounds of time that users are promised, measured on machines that have other things to do.
//!
//! Compiled into the library's own tests (`src/runtime/mod.rs` names this path) and into the integration tests; so it uses
//! nothing but std.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::time::Duration;

const TRIES: usize = 5;

/// Something took longer than was promised, as anything may for which the machine had no processor.
#[derive(Debug)]
pub struct Late {
    _what: String,
}

pub fn within(bound: Duration, took: Duration) -> Result<(), Late> {
    if took < bound { Ok(()) } else { Err(Late { _what: format!("{took:?}, and {bound:?} were promised") }) }
}

/// For a scene that goes another way when somebody in it is late.
pub fn undisturbed(holds: bool, what: &str) -> Result<(), Late> {
    if holds { Ok(()) } else { Err(Late { _what: what.to_owned() }) }
}

/// Plays a scene until it is in time: a busy machine makes one late now and then, a broken promise all of them. What is wrong
/// besides fails at once.
pub fn kept(mut scene: impl FnMut() -> Result<(), Late>) {
    let mut all = Vec::new();
    while let Err(late) = scene() {
        all.push(late);
        assert!(all.len() < TRIES, "never in time: {all:?}");
    }
}
