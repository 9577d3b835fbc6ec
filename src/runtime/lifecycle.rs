//! The states that the service and its streams can be in, and which changes are legal. Pure.

use std::fmt;

/// The whole service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServiceState {
    Stopped,
    Starting,
    Running,
    /// Serving, with a part of it down: Redis, or one of the streams.
    Degraded,
    Stopping,
    Failed,
}

impl ServiceState {
    /// The state after a legal change, `None` for an illegal one.
    pub fn to(self, next: ServiceState) -> Option<ServiceState> {
        use ServiceState::*;
        let legal = matches!(
            (self, next),
            (Stopped, Starting)
                | (Starting, Running | Degraded | Stopping | Failed)
                | (Running, Degraded | Stopping | Failed)
                | (Degraded, Running | Stopping | Failed)
                | (Stopping, Stopped | Failed)
                | (Failed, Stopping)
        );
        legal.then_some(next)
    }

    pub fn as_str(self) -> &'static str {
        match self {
            ServiceState::Stopped => "stopped",
            ServiceState::Starting => "starting",
            ServiceState::Running => "running",
            ServiceState::Degraded => "degraded",
            ServiceState::Stopping => "stopping",
            ServiceState::Failed => "failed",
        }
    }
}

impl fmt::Display for ServiceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One stream of one exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamState {
    /// Not wanted: nobody registered anything that this stream would carry.
    Idle,
    Connecting,
    Authenticating,
    Subscribing,
    Streaming,
    BackingOff,
    /// Ended for good by a refusal that no retry can mend.
    Refused,
    Stopped,
}

impl StreamState {
    pub fn as_str(self) -> &'static str {
        match self {
            StreamState::Idle => "idle",
            StreamState::Connecting => "connecting",
            StreamState::Authenticating => "authenticating",
            StreamState::Subscribing => "subscribing",
            StreamState::Streaming => "streaming",
            StreamState::BackingOff => "backing_off",
            StreamState::Refused => "refused",
            StreamState::Stopped => "stopped",
        }
    }

    /// Events can arrive.
    pub fn is_live(self) -> bool {
        matches!(self, StreamState::Subscribing | StreamState::Streaming)
    }
}

impl fmt::Display for StreamState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::ServiceState::*;

    #[test]
    fn a_second_start_and_a_second_stop_are_refused() {
        assert_eq!(Running.to(Starting), None);
        assert_eq!(Stopped.to(Stopping), None);
        assert_eq!(Stopped.to(Starting), Some(Starting));
        assert_eq!(Stopping.to(Stopped), Some(Stopped));
    }
}
