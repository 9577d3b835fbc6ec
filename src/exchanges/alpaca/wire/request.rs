//! What the client sends on a market-data stream, in either codec.

use rmp::encode::{ByteBuf, ValueWriteError, write_array_len, write_map_len, write_str};

use crate::config::Codec;
use crate::exchanges::Outgoing;

type Packed = Result<(), ValueWriteError<std::convert::Infallible>>;

/// Carries the keys: never log it.
pub fn auth_request(codec: Codec, key_id: &str, secret_key: &str) -> Outgoing {
    #[derive(serde::Serialize)]
    struct Auth<'a> {
        action: &'a str,
        key: &'a str,
        secret: &'a str,
    }
    match codec {
        Codec::Json => json(&Auth { action: "auth", key: key_id, secret: secret_key }),
        Codec::MsgPack => packed(|out| {
            write_map_len(out, 3)?;
            for text in ["action", "auth", "key", key_id, "secret", secret_key] {
                write_str(out, text)?;
            }
            Ok(())
        }),
    }
}

/// A `subscribe` or `unsubscribe` with the channels' symbol lists.
pub fn list_request(codec: Codec, action: &str, lists: &[(&'static str, Vec<&str>)]) -> Outgoing {
    match codec {
        Codec::Json => json(&Lists { action, lists }),
        Codec::MsgPack => packed(|out| {
            write_map_len(out, lists.len() as u32 + 1)?;
            write_str(out, "action")?;
            write_str(out, action)?;
            for (channel, symbols) in lists {
                write_str(out, channel)?;
                write_array_len(out, symbols.len() as u32)?;
                for symbol in symbols {
                    write_str(out, symbol)?;
                }
            }
            Ok(())
        }),
    }
}

struct Lists<'a> {
    action: &'a str,
    lists: &'a [(&'static str, Vec<&'a str>)],
}

impl serde::Serialize for Lists<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap;
        let mut map = serializer.serialize_map(Some(self.lists.len() + 1))?;
        map.serialize_entry("action", self.action)?;
        for (channel, symbols) in self.lists {
            map.serialize_entry(channel, symbols)?;
        }
        map.end()
    }
}

/// Texts and lists of texts always have a JSON form.
fn json(value: &impl serde::Serialize) -> Outgoing {
    Outgoing::Text(serde_json::to_string(value).unwrap_or_default())
}

/// Writing to memory cannot fail.
fn packed(write: impl FnOnce(&mut ByteBuf) -> Packed) -> Outgoing {
    let mut out = ByteBuf::new();
    match write(&mut out) {
        Ok(()) => Outgoing::Binary(out.into_vec()),
        Err(ValueWriteError::InvalidMarkerWrite(never) | ValueWriteError::InvalidDataWrite(never)) => match never {},
    }
}
