//! What is traded, and how a size tells the place of a message in its symbol's sequence.

/// Sizes count up by one a message of a symbol and type, in six digits, and start again after the last. A pipe that hands
/// the size on as the volume can be checked by it.
pub const SEQ_BASE: u64 = 100_000;
pub const SEQ_SPAN: u64 = 900_000;
pub const SEQ_LEN: usize = 6;

pub const TICKER: &str = "TICKER_UPDATES_";

/// The same name for the same number: TAAA, TAAB and so on, 17,576 of them.
pub fn symbol_name(n: usize) -> String {
    let letter = |n: usize| (b'A' + (n % 26) as u8) as char;
    ['T', letter(n / 676), letter(n / 26), letter(n)].iter().collect()
}

pub fn symbol_names(count: usize) -> Vec<String> {
    (0..count).map(symbol_name).collect()
}
