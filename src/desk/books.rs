//! What one bot holds and has earned on an account that several share: folded from the executions of the journal.
//!
//! A venue knows one position a symbol, whoever bought it. Pure functions; must not know brokers or threads.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde_json::value::RawValue;

use super::answer::{Answer, FillView, PositionView, ProfitView, Verdict};
use crate::contract::{Question, Whose, decimal_text};
use crate::journal::{Execution, Journal, JournalError};
use crate::model::{AccountId, Position, Symbol, Timestamp};

/// What a part of an account holds, and what its executions cost.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Book {
    /// Those that are flat again among them: they have earned something.
    pub positions: BTreeMap<Symbol, Position>,
    pub fees: Decimal,
}

impl Book {
    /// Executions in the order in which they were told, those that were taken back left out.
    pub fn of(executions: &[Execution], mark: impl Fn(&Symbol) -> Option<Decimal>) -> Book {
        let mut book = Book::default();
        for done in executions {
            let position = book.positions.entry(done.symbol.clone()).or_insert_with(|| Position::flat(done.symbol.clone()));
            position.execute(done.side, done.price, done.quantity);
            book.fees += done.fees;
        }
        for position in book.positions.values_mut() {
            position.mark = mark(&position.symbol);
        }
        book
    }

    pub fn held(&self) -> impl Iterator<Item = &Position> {
        self.positions.values().filter(|position| !position.quantity.is_zero())
    }

    fn sum(&self, of: impl Fn(&Position) -> Decimal) -> Decimal {
        self.positions.values().map(of).sum()
    }

    fn profit(&self, bot: Option<&str>) -> ProfitView {
        ProfitView {
            bot: bot.map(str::to_owned),
            realized_pl: decimal_text(self.sum(|position| position.realised)),
            unrealized_pl: decimal_text(self.sum(Position::unrealised)),
            fees: decimal_text(self.fees),
            market_value: decimal_text(self.sum(Position::market_value)),
        }
    }
}

/// The answer to a question about one bot, or about what is external. `None`: it is about the whole account, or one order.
///
/// # Errors
/// When the journal cannot be read.
pub fn answer(
    action: &str,
    journal: &Journal,
    account: &AccountId,
    question: &Question,
    mark: impl Fn(&Symbol) -> Option<Decimal>,
) -> Result<Option<Answer>, JournalError> {
    let Some((whose, bot)) = part(question) else { return Ok(None) };
    let executions = || if whose == &Whose::External { journal.external_executions(account) } else { journal.executions(account, bot, None) };
    let plain = Answer::new(action, Verdict::Accepted);
    Ok(Some(match question {
        Question::OpenOrders(_) => {
            let theirs = |known: &crate::journal::Known| whose != &Whose::External || (known.bot.is_none() && !known.ours);
            let open = journal.open_orders(account, bot)?;
            Answer { orders: Some(open.into_iter().filter(theirs).filter_map(|known| RawValue::from_string(known.text).ok()).collect()), ..plain }
        }
        Question::Fills { since, limit, .. } => Answer { fills: Some(page(executions()?, *since, *limit).iter().map(FillView::from).collect()), ..plain },
        Question::Positions(_) => Answer { positions: Some(Book::of(&executions()?, mark).held().map(PositionView::from).collect()), ..plain },
        Question::Balance(_) => Answer { profit: Some(Book::of(&executions()?, mark).profit(bot)), ..plain },
        Question::Order(_) => return Ok(None),
    }))
}

/// Whether a question needs the journal.
pub fn is_about_a_part(question: &Question) -> bool {
    part(question).is_some()
}

fn part(question: &Question) -> Option<(&Whose, Option<&str>)> {
    let whose = match question {
        Question::OpenOrders(whose) | Question::Fills { whose, .. } | Question::Positions(whose) | Question::Balance(whose) => whose,
        Question::Order(_) => return None,
    };
    match whose {
        Whose::Account => None,
        Whose::Bot(bot) => Some((whose, Some(bot.as_str()))),
        Whose::External => Some((whose, None)),
    }
}

/// Those after `since`, oldest first; of one instant all or none, as brokers give them.
fn page(mut executions: Vec<Execution>, since: Timestamp, limit: usize) -> Vec<Execution> {
    executions.retain(|done| done.at > since);
    executions.sort_by_key(|done| done.at);
    if let Some(last) = limit.checked_sub(1).and_then(|at| executions.get(at)).map(|done| done.at) {
        let end = executions.partition_point(|done| done.at <= last);
        executions.truncate(end);
    }
    executions
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::journal::Known;
    use crate::model::{OrderStatus, Side};

    fn account() -> AccountId {
        "acc".parse().unwrap()
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_nanos(seconds * 1_000_000_000)
    }

    fn done(n: i64, order: &str, bot: Option<&str>, side: Side, quantity: &str, price: &str) -> Execution {
        Execution {
            execution_id: format!("e{n}"),
            order_id: order.into(),
            client_order_id: format!("{}-{n}", bot.unwrap_or("X")),
            bot: bot.map(str::to_owned),
            symbol: "AAPL".parse().unwrap(),
            side,
            price: price.parse().unwrap(),
            quantity: quantity.parse().unwrap(),
            fees: "0.1".parse().unwrap(),
            position: Decimal::ZERO,
            at: at(n),
        }
    }

    fn order(id: &str, bot: Option<&str>, ours: bool) -> Known {
        Known {
            id: id.into(),
            client_order_id: format!("{}-{id}", bot.unwrap_or("X")),
            symbol: "AAPL".into(),
            side: Side::Buy,
            status: OrderStatus::New,
            quantity: Some(1.into()),
            filled: 0.into(),
            filled_value: 0.into(),
            estimated: 0.into(),
            generation: 0,
            acknowledged: true,
            submitted: at(1),
            updated: at(1),
            heard: at(1),
            bot: bot.map(str::to_owned),
            ours,
            text: format!(r#"{{"id":"{id}","venues":"own words"}}"#),
        }
    }

    /// Two bots, a hand elsewhere, and an order of ours that names no bot.
    fn journal(folder: &tempfile::TempDir) -> Journal {
        let (journal, _) = Journal::open(&folder.path().join("broker.db"), at(0)).unwrap();
        let (a, b) = (Some("a"), Some("b"));
        let all = [
            done(1, "v1", a, Side::Buy, "10", "100"),
            done(2, "v2", b, Side::Buy, "5", "104"),
            done(3, "v1", a, Side::Sell, "4", "110"),
            done(4, "v1", a, Side::Buy, "50", "1"),
            done(5, "v3", None, Side::Sell, "7", "108"),
            done(6, "v4", None, Side::Buy, "9", "108"),
        ];
        let write = |step: &crate::journal::Step<'_>| {
            for (n, done) in (1..).zip(&all) {
                step.put_execution(&account(), n, done)?;
            }
            step.void_execution(&account(), "e4")?;
            [order("v1", a, true), order("v2", b, true), order("v3", None, false), order("v4", None, true)]
                .iter()
                .try_for_each(|order| step.put_order(&account(), order))
        };
        journal.write::<_, JournalError>(write).unwrap();
        journal
    }

    fn ask(journal: &Journal, text: &str) -> Value {
        let crate::contract::Wish::Ask(question) = crate::contract::parse_command(text.as_bytes()).unwrap().wish else { panic!("{text}") };
        let mark = |_: &Symbol| Some(Decimal::from(120));
        serde_json::from_str(&answer("q", journal, &account(), &question, mark).unwrap().unwrap().to_json()).unwrap()
    }

    #[test]
    fn each_bot_has_its_own_books_and_what_was_taken_back_is_in_none() {
        let folder = tempfile::tempdir().unwrap();
        let journal = journal(&folder);
        let positions = ask(&journal, r#"{"action":"positions","bot":"a"}"#);
        let expected = json!([{"symbol": "AAPL", "qty": "6", "avg_entry_price": "100", "cost_basis": "600", "market_value": "720", "current_price": "120", "unrealized_pl": "120", "realized_pl": "40"}]);
        assert_eq!(positions["positions"], expected);
        let profit = ask(&journal, r#"{"action":"balance","bot":"a"}"#);
        assert_eq!(profit["profit"], json!({"bot": "a", "realized_pl": "40", "unrealized_pl": "120", "fees": "0.2", "market_value": "720"}));
        assert_eq!(ask(&journal, r#"{"action":"balance","bot":"b"}"#)["profit"]["unrealized_pl"], "80");
        assert_eq!(ask(&journal, r#"{"action":"balance","bot":"none"}"#)["profit"]["market_value"], "0");
        assert_eq!(ask(&journal, r#"{"action":"orders","bot":"b"}"#)["orders"], json!([{"id": "v2", "venues": "own words"}]));
    }

    #[test]
    fn what_is_external_belongs_to_no_bot_and_was_not_asked_of_us() {
        let folder = tempfile::tempdir().unwrap();
        let journal = journal(&folder);
        assert_eq!(ask(&journal, r#"{"action":"orders","external":true}"#)["orders"], json!([{"id": "v3", "venues": "own words"}]));
        assert_eq!(ask(&journal, r#"{"action":"positions","external":true}"#)["positions"][0]["qty"], "-7");
        let profit = ask(&journal, r#"{"action":"balance","external":true}"#);
        assert_eq!(profit["profit"], json!({"realized_pl": "0", "unrealized_pl": "-84", "fees": "0.1", "market_value": "-840"}));
    }

    #[test]
    fn fills_come_in_pages_that_part_no_instant() {
        let folder = tempfile::tempdir().unwrap();
        let journal = journal(&folder);
        let ids = |text: &str| {
            let answer = ask(&journal, text);
            answer["fills"].as_array().unwrap().iter().map(|fill| fill["execution_id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(ids(r#"{"action":"fills","bot":"a"}"#), ["e1", "e3"]);
        assert_eq!(ids(r#"{"action":"fills","bot":"a","since":"1970-01-01T00:00:01Z"}"#), ["e3"]);
        let twins = vec![done(1, "v", None, Side::Buy, "1", "1"), done(2, "v", None, Side::Buy, "1", "1"), done(2, "v", None, Side::Buy, "2", "1")];
        assert_eq!([1, 2, 3].map(|limit| page(twins.clone(), at(0), limit).len()), [1, 3, 3]);
    }

    #[test]
    fn the_whole_account_is_asked_of_the_venue() {
        let folder = tempfile::tempdir().unwrap();
        let question = Question::Positions(Whose::Account);
        assert!(!is_about_a_part(&question));
        assert!(answer("q", &journal(&folder), &account(), &question, |_| None).unwrap().is_none());
    }
}
