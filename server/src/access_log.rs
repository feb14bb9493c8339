//! One line per request: what was asked, how it ended, where the time went.

use crate::app::Role;
use http::{Method, StatusCode, Uri};
use pontoon_bridge::{CallError, Timings};
use std::time::{Duration, Instant};

/// The target of access lines: `pontoon::access=off` in a log filter turns them off.
pub const TARGET: &str = "pontoon::access";

/// How a request ended, as the log says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The client left before there was a response.
    Cancelled,
    /// The adapter answered.
    Completed,
    /// The adapter answered with an error, or did not get to the end of its response.
    Failed,
    /// The server answered by itself: no such location, a body too large.
    Refused,
    /// The pool or the location was full, or what is behind it is down: nothing was done.
    Rejected,
    /// The deadline passed, or the time for the response's body.
    TimedOut,
    /// The library panicked.
    Panicked,
    /// The library dropped the call.
    Abandoned,
}

impl Outcome {
    pub(crate) fn of(error: &CallError) -> Self {
        match error {
            CallError::Rejected(_) | CallError::BackingOff { .. } | CallError::ShutDown => {
                Self::Rejected
            }
            CallError::Panicked { .. } => Self::Panicked,
            CallError::Abandoned => Self::Abandoned,
            CallError::DeadlineExceeded { .. } => Self::TimedOut,
            _ => Self::Failed,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Cancelled => "cancelled",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Refused => "refused",
            Self::Rejected => "rejected",
            Self::TimedOut => "timed_out",
            Self::Panicked => "panicked",
            Self::Abandoned => "abandoned",
        }
    }
}

/// nginx's status for a client that left before the response; never sent.
const CLIENT_CLOSED_REQUEST: u16 = 499;

/// What is known of one request; the line is written when it is dropped.
#[derive(Debug)]
pub(crate) struct Record {
    enabled: bool,
    /// What was asked, where the head could be read.
    asked: Option<(Method, Uri)>,
    peer: Option<std::net::SocketAddr>,
    pub(crate) id: u64,
    pub(crate) arrived: Instant,
    pub(crate) location: Option<std::sync::Arc<str>>,
    pub(crate) outcome: Outcome,
    pub(crate) timings: Timings,
    pub(crate) status: Option<StatusCode>,
    pub(crate) sent_bytes: u64,
    /// Whether the response's whole body was taken by the connection.
    pub(crate) whole: bool,
    /// How it ended if it was not.
    pub(crate) cut: Outcome,
}

impl Record {
    pub(crate) fn new(
        id: u64,
        arrived: Instant,
        peer: Option<std::net::SocketAddr>,
        method: &Method,
        uri: &Uri,
    ) -> Self {
        let mut record = Self::of_unread(id, arrived, peer, Outcome::Cancelled);
        record.asked = record.enabled.then(|| (method.clone(), uri.clone()));
        record
    }

    /// The same, and no line where it is no news.
    pub(crate) fn for_role(mut self, role: Role) -> Self {
        self.enabled &= role == Role::Public;
        self
    }

    /// A request whose head was refused, or did not arrive.
    pub(crate) fn of_unread(
        id: u64,
        arrived: Instant,
        peer: Option<std::net::SocketAddr>,
        outcome: Outcome,
    ) -> Self {
        Self {
            enabled: tracing::enabled!(target: TARGET, tracing::Level::INFO),
            asked: None,
            peer,
            id,
            arrived,
            location: None,
            outcome,
            timings: Timings::default(),
            status: None,
            sent_bytes: 0,
            whole: false,
            // The client did not stay for the response, or not for all of it.
            cut: Outcome::Cancelled,
        }
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

impl Drop for Record {
    fn drop(&mut self) {
        if !self.enabled {
            return;
        }
        let (method, uri) = self.asked.as_ref().map(|(m, u)| (m, u)).unzip();
        let outcome = if self.whole { self.outcome } else { self.cut };
        tracing::info!(
            target: TARGET,
            id = self.id,
            peer = self.peer.map(tracing::field::display),
            method = method.map(tracing::field::display),
            uri = uri.map(tracing::field::display),
            status = self.status.map_or(CLIENT_CLOSED_REQUEST, |status| status.as_u16()),
            bytes = self.sent_bytes,
            location = self.location.as_deref().unwrap_or("-"),
            outcome = outcome.name(),
            queue_us = micros(self.timings.queue),
            call_us = micros(self.timings.service),
            wake_us = micros(self.timings.wake),
            total_us = micros(self.arrived.elapsed()),
        );
    }
}
