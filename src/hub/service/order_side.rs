//! What the supervisor does for the order desk: starts it, asks for its prices, looks at the kill switch.

use std::sync::Arc;

use crossbeam_channel::bounded;

use super::{AlpacaBroker, HubError};
use crate::contract::channel::HALT;
use crate::desk::HaltFile;
use crate::hub::brokers::{HELD_FOR, OrderSide, Surroundings};
use crate::hub::employ;
use crate::hub::price_handler::PriceControl;
use crate::hub::registrar::Consequences;
use crate::hub::registry::Instrument;
use crate::redis::ControlCommand;
use crate::runtime::wall_now;

impl AlpacaBroker {
    /// The desk and its brokers; a service without any takes no orders.
    pub(super) fn start_order_side(&mut self) -> Result<(), HubError> {
        let employed = employ::employ(&self.config, &self.bus, &self.threads)?;
        let Some(order_lane) = self.order_lane.clone().filter(|_| !employed.is_empty()) else { return Ok(()) };
        let around = Surroundings {
            threads: &self.threads,
            redis: Arc::new(self.config.redis.clone()),
            control: self.control.clone(),
            order_lane,
            heartbeats: &self.heartbeats,
            halts: Arc::new(HaltFile::open(self.config.data_dir.join("halts.json"))?),
        };
        let (side, stock) = OrderSide::start(employed, &self.bus, around)?;
        self.order_side = Some(side);
        let _ = self.handle.showcase.desk.set(stock);
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
