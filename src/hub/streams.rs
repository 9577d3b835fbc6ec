//! Which streams there are at Alpaca, what each carries, and how its producer is made.

use std::sync::Arc;

use super::lanes::PriceLaneEntry;
use super::order_sink::OrderSink;
use super::prices::StreamId;
use super::producer::{Producer, StreamPlace};
use super::publisher::MakeProducer;
use super::registry::Instrument;
use super::stream::StreamBoard;
use super::symbols::{ExchangeNames, SymbolTable};
use crate::config::{Account, Config, StockFeed};
use crate::contract::StreamType;
use crate::events::EventBus;
use crate::exchanges::alpaca::{AlpacaBroker, DataSession, DataSettings, Market, TradingSession, TradingSettings, upgrade_headers};
use crate::model::{ExchangeName, FeedSet};
use crate::net::Dialer;

pub const STOCKS: StreamId = StreamId(0);
pub const CRYPTO: StreamId = StreamId(1);
pub const STOCKS_NAME: &str = "alp-data";
pub const CRYPTO_NAME: &str = "alp-crypto";

/// The stream that carries a symbol: pairs are crypto, all else is a stock.
pub fn route(instrument: &Instrument, exchange: &ExchangeName) -> Option<StreamId> {
    (instrument.exchange == *exchange).then(|| if instrument.symbol.is_pair() { CRYPTO } else { STOCKS })
}

pub fn name_of(stream: StreamId) -> &'static str {
    if stream == CRYPTO { CRYPTO_NAME } else { STOCKS_NAME }
}

/// What every producer is made from.
#[derive(Clone)]
pub struct Workshop {
    pub config: Arc<Config>,
    pub dialer: Arc<Dialer>,
    pub table: Arc<SymbolTable>,
    pub rest_tls: ureq::tls::TlsConfig,
}

impl Workshop {
    /// Makes producers of one market-data stream.
    pub fn market(&self, stream: StreamId, board: &Arc<StreamBoard>, lane: &PriceLaneEntry) -> MakeProducer {
        let data = &self.config.market_data;
        let (path, market) = match (stream, data.stock_feed) {
            (CRYPTO, _) => (data.crypto_venue.path(), Market::Crypto),
            (_, StockFeed::Test) => (data.stock_feed.path(), Market::Test),
            (_, feed) => (feed.path(), Market::Stocks),
        };
        let place = StreamPlace { endpoint: data.host.join(path), headers: upgrade_headers(data.codec) };
        // The wildcard means the venue's stocks: nobody asks for every pair.
        let wildcard = if self.config.all_symbols && stream == STOCKS { self.config.symbol_feeds } else { FeedSet::NONE };
        let names = Arc::new(ExchangeNames { table: Arc::clone(&self.table), exchange: self.config.default_exchange.clone() });
        let (key_id, secret_key, codec) = (data.key_id.clone(), data.secret_key.clone(), data.codec);
        let (board, dialer, sink) = (Arc::clone(board), Arc::clone(&self.dialer), lane.sink(stream));
        Box::new(move || {
            let settings = DataSettings { key_id: key_id.clone(), secret_key: secret_key.clone(), codec, market, wildcard };
            let session = DataSession::new(settings, Arc::clone(&names) as _);
            Box::new(Producer::new(place.clone(), Arc::clone(&board), Arc::clone(&dialer), session, sink.clone()))
        })
    }

    /// Makes producers of one account's order stream.
    pub fn orders(&self, account: &Account, broker: &Arc<AlpacaBroker>, bus: &EventBus, board: &Arc<StreamBoard>) -> MakeProducer {
        let place = StreamPlace { endpoint: account.order_stream.clone(), headers: &[] };
        let (account, broker, bus) = (account.clone(), Arc::clone(broker), bus.clone());
        let (board, dialer) = (Arc::clone(board), Arc::clone(&self.dialer));
        Box::new(move || {
            let settings = TradingSettings { account: Arc::clone(&account.name), key_id: account.key_id.clone(), secret_key: account.secret_key.clone() };
            let session = TradingSession::new(settings);
            let sink = OrderSink::new(Arc::clone(&broker), bus.clone());
            Box::new(Producer::new(place.clone(), Arc::clone(&board), Arc::clone(&dialer), session, sink))
        })
    }
}

/// The name of an account's order stream, which is also that of its thread.
pub fn order_stream_name(account: &Account) -> String {
    format!("ord-{}", account.name)
}

/// A board for each market-data stream.
pub fn market_board(stream: StreamId, hint: crossbeam_channel::Sender<()>) -> Arc<StreamBoard> {
    StreamBoard::new(name_of(stream), StreamType::MarketData, hint)
}
