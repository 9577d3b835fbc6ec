//! Whether we are the broker of this Redis, and what follows: until we are, bots see nothing of us.
//!
//! The venue has one connection for market data, and Redis one place for status, registrations and last values. What is
//! there already may be another broker's, so it is left alone until the lease is ours.

use std::time::Instant;

use super::{AlpacaBroker, HubError};
use crate::hub::price_handler::PriceControl;

impl AlpacaBroker {
    /// Another broker serves this Redis: then we must not.
    pub(super) fn look_for_others(&self) -> Result<(), HubError> {
        self.order_room.another_broker().map_or(Ok(()), Err)
    }

    pub(super) fn may_serve(&self) -> bool {
        self.order_room.lease.may_serve(Instant::now())
    }

    pub(super) fn look_at_lease(&mut self) -> Result<(), HubError> {
        let (serving, token) = (self.may_serve(), self.order_room.lease.token());
        let renewed = std::mem::replace(&mut self.lease_token, token) == token;
        if std::mem::replace(&mut self.serving, serving) != serving {
            // Full, it turns without being told.
            let _ = self.price_control.try_send(PriceControl::Look);
            if serving {
                self.serve_bots()?;
            }
        }
        // A lease under another token says that Redis has lost the one before, and more with it.
        if !renewed && self.loaded {
            self.store_everything();
        }
        Ok(())
    }

    /// Once the venue is connected it stays so: while Redis is away it is no other broker's, and the next one has to find
    /// the prices where they are when it comes back.
    fn serve_bots(&mut self) -> Result<(), HubError> {
        self.publisher.let_market_data_run()?;
        // Not sooner: they change while another broker serves. Without a connection they are read at the first one.
        if !self.loaded && self.reporter.redis_version.is_some() {
            self.load_registrations();
        }
        self.report();
        Ok(())
    }
}
