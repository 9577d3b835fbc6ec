//! The last values that the service keeps in Redis for bots that come late.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::message::MessageReader;

/// The service writes them some time after a burst has ended.
const WRITTEN_WITHIN: Duration = Duration::from_secs(2);
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Commands in one pipeline.
const PIECE: usize = 1_000;

/// How many of the feed's last prices, trades under `p:` and bids under `q:`, are not what is stored.
pub fn wrong(redis_url: &str, last_prices: &BTreeMap<String, String>) -> u64 {
    let mut connection = redis::Client::open(redis_url).unwrap().get_connection().unwrap();
    let reader = MessageReader::default();
    let wanted: Vec<(&String, &String)> = last_prices.iter().collect();
    let deadline = Instant::now() + WRITTEN_WITHIN;
    loop {
        let mut wrong = 0;
        for piece in wanted.chunks(PIECE) {
            let mut pipe = redis::pipe();
            for (key, _) in piece {
                let (letter, symbol) = key.split_once(':').unwrap();
                pipe.cmd("HGET").arg(format!("broker:last:{symbol}")).arg(if letter == "q" { "quote" } else { "price" });
            }
            let kept: Vec<Option<String>> = pipe.query(&mut connection).unwrap();
            let prices = kept.iter().map(|kept| kept.as_ref().and_then(|text| reader.price(text.as_bytes())));
            wrong += prices.zip(piece).filter(|(kept, (_, price))| kept.as_ref() != Some(*price)).count() as u64;
        }
        if wrong == 0 || Instant::now() > deadline {
            return wrong;
        }
        std::thread::sleep(LOOK_EVERY);
    }
}
