//! Everything a bot sees: channel and key names, the messages, both registration dialects.
//!
//! Written down for bots in `configs/asyncapi.yaml`. Must not know the redis crate, threads or any exchange.

pub mod channel;
mod command;
mod order;
mod order_object;
mod price;
mod registration;
mod reply;
mod status;

pub use channel::{BROKER_REGISTRATION, MessageType, StreamType, get_ticker_channel, public_name};
pub use command::{
    BadCommand, CommandFor, DeskCommand, HaltWord, MAX_COMMAND_BYTES, Question, Scope, Verdict, Whose, Wish, decimal_text, parse_command, write_close,
    write_modify, write_place,
};
pub use order::{OrderCopies, OrderMarks, encode_order};
pub use order_object::{OrderObject, OrderSetting, write_order, write_trade_update};
pub use price::{PriceMessage, Stamp, ticker_start, typed_start, write_snapshot, write_ticker_rest, write_typed_rest};
pub use registration::{ANONYMOUS_BOT, Action, BadRegistration, BotName, CONFIG_BOT, RegistrationCommand, parse_registration};
pub use reply::{Refusal, RegistrationReply};
pub use status::{BrokerStatus, OrdersStatus, RedisStatus, StatusHealth, StatusReport, StreamStatus};
