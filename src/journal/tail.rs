//! The newest of each stream, in memory: whoever carries updates to the bots mostly wants what was written this moment, and
//! need not stand in the way of the next writer for it.
//!
//! Pure. Must not know SQLite, nor what an update means.

use std::collections::{BTreeMap, VecDeque};

use super::updates::{Row, StreamState};
use crate::model::AccountId;

/// Updates of one account that are kept here; who wants older ones reads the file.
const ROWS: usize = 512;

/// What a step has changed, told once it is committed.
#[derive(Debug)]
pub(super) enum News {
    Appended(AccountId, Row),
    Epoch(AccountId, u64),
    Copied(AccountId, u64),
}

#[derive(Debug, Default)]
struct Tail {
    state: StreamState,
    bots: BTreeMap<String, u64>,
    /// Contiguous, and the last of them is the last there is.
    rows: VecDeque<Row>,
}

/// The tails of all streams.
#[derive(Debug, Default)]
pub(super) struct Tails(BTreeMap<AccountId, Tail>);

impl Tails {
    /// What stood in the file when it was opened.
    pub fn begin(&mut self, account: AccountId, state: StreamState, bots: Vec<(String, u64)>) {
        self.0.insert(account, Tail { state, bots: bots.into_iter().collect(), rows: VecDeque::new() });
    }

    pub fn hear(&mut self, news: Vec<News>) {
        for news in news {
            match news {
                News::Appended(account, row) => self.0.entry(account).or_default().append(row),
                News::Epoch(account, epoch) => self.0.entry(account).or_default().state.epoch = Some(epoch),
                News::Copied(account, n) => {
                    if let Some(tail) = self.0.get_mut(&account) {
                        tail.state.copied = tail.state.copied.max(n);
                    }
                }
            }
        }
    }

    pub fn accounts(&self) -> Vec<AccountId> {
        self.0.keys().cloned().collect()
    }

    pub fn state(&self, account: &AccountId) -> StreamState {
        self.0.get(account).map(|tail| tail.state).unwrap_or_default()
    }

    pub fn bots(&self, account: &AccountId) -> Vec<(String, u64)> {
        let bots = self.0.get(account).map(|tail| &tail.bots);
        bots.into_iter().flatten().map(|(bot, last)| (bot.clone(), *last)).collect()
    }

    /// Updates above `after`; `None` when some of them are in the file alone.
    pub fn above(&self, account: &AccountId, after: u64, limit: usize) -> Option<Vec<Row>> {
        let Some(tail) = self.0.get(account).filter(|tail| tail.state.last > after) else { return Some(Vec::new()) };
        let first = tail.rows.front()?.n;
        let from = usize::try_from((after + 1).checked_sub(first)?).ok()?;
        Some(tail.rows.iter().skip(from).take(limit).cloned().collect())
    }

    /// The same of one bot, by its own numbers.
    pub fn above_of_bot(&self, account: &AccountId, bot: &str, after: u64, limit: usize) -> Option<Vec<Row>> {
        let tail = self.0.get(account).filter(|tail| tail.bots.get(bot).is_some_and(|last| *last > after));
        let Some(tail) = tail else { return Some(Vec::new()) };
        let number = |row: &Row| row.bot.as_ref().filter(|(name, _)| name == bot).map(|(_, n)| *n);
        let mut own = tail.rows.iter().filter_map(|row| Some((number(row)?, row))).peekable();
        let (first, _) = own.peek()?;
        (*first <= after + 1).then(|| own.filter(|(n, _)| *n > after).map(|(_, row)| row.clone()).take(limit).collect())
    }

    /// What is old may have gone from the file.
    pub fn forget_rows(&mut self) {
        self.0.values_mut().for_each(|tail| tail.rows.clear());
    }
}

impl Tail {
    fn append(&mut self, row: Row) {
        self.state.last = row.n;
        if let Some((bot, n)) = &row.bot {
            self.bots.insert(bot.clone(), *n);
        }
        self.rows.push_back(row);
        if self.rows.len() > ROWS {
            self.rows.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Timestamp;

    fn account() -> AccountId {
        "acc".parse().unwrap()
    }

    fn appended(n: u64, bot: Option<(&str, u64)>) -> News {
        let bot = bot.map(|(bot, n)| (bot.to_owned(), n));
        let row = Row { n, bot, symbol: "AAPL".to_owned(), entry: format!("{n}"), typed: None, at: Timestamp::default() };
        News::Appended(account(), row)
    }

    fn numbers(rows: Option<Vec<Row>>) -> Option<Vec<u64>> {
        rows.map(|rows| rows.iter().map(|row| row.n).collect())
    }

    #[test]
    fn what_is_here_is_served_and_what_is_older_is_looked_up() {
        let mut tails = Tails::default();
        assert_eq!(numbers(tails.above(&account(), 0, 9)), Some(vec![]));
        tails.begin(account(), StreamState { epoch: Some(7), last: 4, copied: 3 }, vec![("b".to_owned(), 2)]);
        assert_eq!((numbers(tails.above(&account(), 3, 9)), numbers(tails.above(&account(), 4, 9))), (None, Some(vec![])));
        tails.hear(vec![appended(5, None), appended(6, Some(("b", 3))), appended(7, Some(("c", 1)))]);
        assert_eq!(tails.state(&account()), StreamState { epoch: Some(7), last: 7, copied: 3 });
        assert_eq!(numbers(tails.above(&account(), 4, 2)), Some(vec![5, 6]));
        assert_eq!(numbers(tails.above(&account(), 6, 9)), Some(vec![7]));
        assert_eq!(numbers(tails.above(&account(), 3, 9)), None);
        assert_eq!(numbers(tails.above_of_bot(&account(), "b", 2, 9)), Some(vec![6]));
        assert_eq!(numbers(tails.above_of_bot(&account(), "b", 1, 9)), None);
        assert_eq!(numbers(tails.above_of_bot(&account(), "b", 3, 9)), Some(vec![]));
        assert_eq!(numbers(tails.above_of_bot(&account(), "c", 0, 9)), Some(vec![7]));
        assert_eq!(tails.bots(&account()), [("b".to_owned(), 3), ("c".to_owned(), 1)]);
    }

    #[test]
    fn it_stays_small_and_forgets_what_may_have_gone() {
        let mut tails = Tails::default();
        let many = ROWS as u64 + 10;
        tails.hear((1..=many).map(|n| appended(n, None)).collect());
        assert_eq!(numbers(tails.above(&account(), 9, 1)), None);
        assert_eq!(numbers(tails.above(&account(), 10, 1)), Some(vec![11]));
        tails.hear(vec![News::Epoch(account(), 9), News::Copied(account(), 4), News::Copied(account(), 2)]);
        assert_eq!(tails.state(&account()), StreamState { epoch: Some(9), last: many, copied: 4 });
        tails.forget_rows();
        assert_eq!((numbers(tails.above(&account(), many - 1, 9)), numbers(tails.above(&account(), many, 9))), (None, Some(vec![])));
    }
}
