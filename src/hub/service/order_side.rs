//! What the supervisor does for the order desk: starts it, asks for its prices, looks at the kill switch.

use std::sync::Arc;

use crossbeam_channel::bounded;

use super::{AlpacaBroker, HubError};
use crate::contract::StreamType;
use crate::contract::channel::HALT;
use crate::desk::HaltFile;
use crate::exchanges::Broker;
use crate::hub::accounts::{AccountDesk, AccountMemory, Identities, Learned, Learner};
use crate::hub::brokers::{HELD_FOR, OrderSide, Surroundings};
use crate::hub::employ::{Stream, Workplace, employ, employ_one, place_of_account};
use crate::hub::price_handler::PriceControl;
use crate::hub::registrar::Consequences;
use crate::hub::registry::Instrument;
use crate::hub::stream::StreamBoard;
use crate::hub::streams::order_stream_name;
use crate::redis::ControlCommand;
use crate::runtime::wall_now;

impl AlpacaBroker {
    /// Starts the order side with the accounts that are known, and has the others asked for.
    pub(super) fn learn_accounts(&mut self) -> Result<(), HubError> {
        let memory = Arc::new(AccountMemory::open(&self.config.data_dir));
        let tls = &self.workshop.rest_tls;
        let board = |account| StreamBoard::new(&order_stream_name(account), StreamType::OrderUpdates, self.hint.clone());
        self.order_boards = self.config.accounts.iter().map(board).collect();
        let accounts = self.config.accounts.iter().zip(&self.order_boards);
        let accounts = accounts.map(|(account, board)| AccountDesk::new(account.clone(), Arc::clone(board), Arc::clone(&memory), tls.clone())).collect();
        let (told, learned) = bounded(self.config.accounts.len());
        let learner = Learner { accounts, token: self.early.token(), told };
        let known = learner.known();
        self.start_order_side(&known)?;
        if known.len() < self.config.accounts.len() {
            self.learned = Some(learned);
            self.threads.spawn("accounts", move || learner.run())?;
        }
        Ok(())
    }

    /// An account has become known, or will not be: it takes the place that was kept for it.
    pub(super) fn account_learned(&mut self, learned: Learned) -> Result<(), HubError> {
        let Learned { account, id } = learned;
        let Some(side) = &mut self.order_side else { return Ok(()) };
        let joined = id.and_then(|id| {
            let identities = Identities::from([(Arc::clone(&account.name), id)]);
            let place = Workplace::new(&self.config, &self.bus, &self.threads, &identities, &self.workshop.rest_tls);
            let (employed, streams) = employ_one(&account, &place).map_err(|error| error.to_string())?;
            // The seat first: whatever its stream tells is counted.
            employed.into_iter().for_each(|employed| side.join(employed));
            Ok(streams)
        });
        match joined {
            Ok(streams) => self.add_order_streams(streams),
            Err(cause) => {
                log::error!("account {}: {cause}", account.name);
                side.refuse(&place_of_account(&self.config, &account), cause);
                Ok(())
            }
        }
    }

    /// The desk, its brokers, and the order streams that tell them.
    fn start_order_side(&mut self, identities: &Identities) -> Result<(), HubError> {
        let place = Workplace::new(&self.config, &self.bus, &self.threads, identities, &self.workshop.rest_tls);
        let (openings, streams) = employ(&place)?;
        let around = Surroundings {
            threads: &self.threads,
            redis: Arc::new(self.config.redis.clone()),
            control: self.control.clone(),
            ledger: Arc::clone(&self.order_room.ledger),
            lease: Arc::clone(&self.order_room.lease),
            commands: Arc::clone(&self.handle.showcase.commands),
            heartbeats: &self.heartbeats,
            halts: Arc::new(HaltFile::open(self.config.data_dir.join("halts.json"))?),
        };
        let (side, stock) = OrderSide::start(openings, &self.bus, around)?;
        self.order_side = Some(side);
        let _ = self.handle.showcase.desk.set(stock);
        self.add_order_streams(streams)
    }

    fn add_order_streams(&mut self, streams: Vec<Stream>) -> Result<(), HubError> {
        self.order_room.at_exchange.write().extend(streams.iter().map(|(_, broker)| broker.of().account));
        for (account, broker) in streams {
            let name = order_stream_name(&account);
            let Some(board) = self.order_boards.iter().find(|board| *board.name == *name).cloned() else { continue };
            let make = self.workshop.orders(&account, &broker, &self.bus, &board);
            self.publisher.add_stream(board, make)?;
        }
        self.show_boards();
        Ok(())
    }

    /// Somebody trades this symbol: its prices go to the desk as well.
    pub(super) fn hold_for_desk(&mut self, instrument: Instrument) {
        let mut out = Consequences::default();
        let held = self.registrar.hold_for_desk(&instrument, HELD_FOR, wall_now().millis(), &mut out);
        match held {
            // Before the subscription, so that its first price is told.
            Some(id) => {
                let _ = self.price_control.send(PriceControl::Watch { id, instrument });
            }
            None => log::warn!("no stream carries {}: its orders are checked without prices", instrument.symbol),
        }
        self.carry_out(out);
    }

    /// What was asked a second ago is answered by now; without an answer nothing changes.
    pub(super) fn look_at_kill_switch(&mut self) {
        let Some(side) = &mut self.order_side else { return };
        if let Some(Ok(Ok(text))) = self.kill_switch.take().map(|answer| answer.try_recv()) {
            side.kill_switch(text);
        }
        let (reply, answer) = bounded(1);
        self.kill_switch = Some(answer);
        self.ask_control(ControlCommand::Get { key: HALT, reply });
    }
}
