//! The WebSocket frames of what is to be sent.

use tungstenite::protocol::CloseFrame;
use tungstenite::protocol::frame::Frame;
use tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tungstenite::{Bytes, Message, Utf8Bytes};

use super::outbox::Out;

pub(super) fn close_frame(code: u16) -> CloseFrame {
    CloseFrame { code: CloseCode::from(code), reason: Utf8Bytes::default() }
}

fn frame(bytes: Bytes, kind: Data, last: bool) -> Message {
    Message::Frame(Frame::message(bytes, OpCode::Data(kind), last))
}

/// The frames of one thing to send.
pub(super) fn messages(out: Out) -> Vec<Message> {
    let kind = |text| if text { Data::Text } else { Data::Binary };
    match out {
        Out::Frame { text, bytes } => vec![frame(bytes, kind(text), true)],
        Out::Fragments { text, mut bytes } => {
            let rest = bytes.split_off(bytes.len() / 2);
            vec![frame(bytes, kind(text), false), frame(rest, Data::Continue, false), frame(Bytes::new(), Data::Continue, true)]
        }
        Out::Pings(count) => (0..count).map(|n| Message::Ping(n.to_be_bytes().to_vec().into())).collect(),
        Out::Close(code) => vec![Message::Close(Some(close_frame(code)))],
    }
}
