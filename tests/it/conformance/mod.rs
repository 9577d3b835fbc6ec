//! What every broker has to do, as numbered cards: each is played on a fresh venue, and a broker passes when it passes all
//! of those that its capabilities claim.

/// Cancels and modifications.
mod changing;
/// Connecting, and what is refused while disconnected.
mod connecting;
/// The paper broker under kill -9.
mod crash;
/// Many callers at once.
mod crowd;
/// What is told, in which order, and that the books agree.
mod facts;
/// Brackets, one-cancels-other, one-triggers-other.
mod families;
/// What the broker remembers, also over a restart.
mod memory;
/// Names of orders, and finding them by these.
mod naming;
/// Every type of order and time in force.
mod placing;
/// What is refused, by whom, and what the caller is advised to do.
mod refusing;
/// What a card works with.
mod stage;
/// The table of the README.
mod table;

use std::fmt::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};

use alpaca_broker::exchanges::Capabilities;

use crate::support::alpaca::AlpacaVenue;
use crate::support::brokers::{PaperVenue, Venue};
use stage::Stage;

/// One demand.
pub struct Card {
    pub number: u16,
    /// In one sentence.
    pub says: &'static str,
    /// Whether a broker with these capabilities has to play it.
    pub needs: fn(&Capabilities) -> bool,
    pub play: fn(&mut Stage<'_>),
}

impl Card {
    const fn new(number: u16, says: &'static str, play: fn(&mut Stage<'_>)) -> Card {
        Card { number, says, needs: |_| true, play }
    }

    const fn needing(number: u16, needs: fn(&Capabilities) -> bool, says: &'static str, play: fn(&mut Stage<'_>)) -> Card {
        Card { number, says, needs, play }
    }
}

enum Outcome {
    Passed,
    NotClaimed,
    Failed(String),
}

fn deck() -> Vec<&'static Card> {
    let suits: [&'static [Card]; 9] = [
        &connecting::CARDS,
        &placing::CARDS,
        &refusing::CARDS,
        &facts::CARDS,
        &changing::CARDS,
        &naming::CARDS,
        &families::CARDS,
        &memory::CARDS,
        &crowd::CARDS,
    ];
    suits.into_iter().flatten().collect()
}

fn play(card: &Card, open: &dyn Fn() -> Box<dyn Venue>) -> Outcome {
    let played = catch_unwind(AssertUnwindSafe(|| {
        let mut venue = open();
        if !(card.needs)(venue.broker().capabilities()) {
            return Outcome::NotClaimed;
        }
        let mut stage = Stage::set(&mut *venue);
        (card.play)(&mut stage);
        Outcome::Passed
    }));
    played.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned().or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Outcome::Failed(text.unwrap_or_default())
    })
}

/// Plays every card on a venue of its own; shows the table when one is lost.
pub fn play_all(open: impl Fn() -> Box<dyn Venue>) {
    let (mut table, mut lost) = (String::new(), 0);
    for card in deck() {
        let (result, detail) = match play(card, &open) {
            Outcome::Passed => ("passed", String::new()),
            Outcome::NotClaimed => ("not claimed", String::new()),
            Outcome::Failed(why) => {
                lost += 1;
                ("LOST", format!("\n      {}", why.replace('\n', "\n      ")))
            }
        };
        let _ = writeln!(table, "TC-{:02}  {result:<11}  {}{detail}", card.number, card.says);
    }
    assert_eq!(lost, 0, "{}: {lost} cards are lost\n{table}", open().name());
}

#[test]
fn the_cards_are_numbered_from_one() {
    let numbers: Vec<u16> = deck().iter().map(|card| card.number).collect();
    assert_eq!(numbers, (1..=numbers.len() as u16).collect::<Vec<_>>());
    assert!(deck().iter().all(|card| card.says.ends_with('.')));
}

#[test]
fn the_paper_broker_plays_every_card() {
    play_all(|| Box::new(PaperVenue::new(|_| {})));
}

#[test]
fn a_paper_account_with_credit_plays_every_card() {
    play_all(|| {
        Box::new(PaperVenue::new(|settings| {
            settings.margin = 2.into();
            settings.shorting = true;
            settings.extended_hours = false;
            settings.regulatory_fees = true;
        }))
    });
}

#[test]
fn alpaca_plays_every_card_on_the_built_in_exchange() {
    play_all(|| Box::new(AlpacaVenue::new()));
}
