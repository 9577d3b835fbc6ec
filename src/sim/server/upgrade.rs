//! What an upgrade request asks for.

use super::record::StageFault;
use crate::config::Codec;
use crate::sim::session::DataPath;

/// What a connection is upgraded to.
#[derive(Debug, Clone, Copy)]
pub(super) enum StreamPath {
    Data(DataPath),
    Trading,
}

impl StreamPath {
    pub(super) fn find(path: &str) -> Option<StreamPath> {
        if matches!(path, "/stream" | "/stream/") { Some(StreamPath::Trading) } else { DataPath::find(path).map(StreamPath::Data) }
    }
}

/// What the upgrade request said.
#[derive(Debug)]
pub(super) struct Upgrade<'a> {
    pub path: &'a str,
    pub kind: StreamPath,
    pub codec: Codec,
    pub credentials: Option<(&'a str, &'a str)>,
    pub fault: Option<StageFault>,
    /// Bytes that came after the request.
    pub rest: Vec<u8>,
}
