//! What has to be true before anything leaves: limits, the check, and the proof that it was made.
//!
//! Must not know brokers, threads or any I/O: time, prices and positions are passed in.

mod approved;

pub use approved::Approved;
