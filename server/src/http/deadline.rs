//! When the answer to a request becomes worthless: the location says, or the client, who may ask for
//! less but never for more.
//!
//! A client asks by `X-Request-Timeout`, in seconds, or as gRPC does by `grpc-timeout`; both count
//! from the request's arrival, and the earlier of all holds.

use crate::problem::Problem;
use crate::site::SharedLocation;
use http::{HeaderMap, HeaderName, StatusCode};
use std::time::{Duration, Instant};

#[cfg(test)]
mod tests;

/// A request's deadline, and who set it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadline {
    pub(super) at: Instant,
    /// `None`: the location.
    asked_by: Option<&'static Asking>,
}

/// A header by which clients ask for a deadline.
#[derive(Debug)]
struct Asking {
    /// As the map of headers has it.
    header: HeaderName,
    /// As people write it.
    name: &'static str,
    /// What a good value looks like.
    form: &'static str,
    parse: fn(&[u8]) -> Option<Duration>,
}

static ASKING: [Asking; 2] = [
    Asking {
        header: HeaderName::from_static("x-request-timeout"),
        name: "X-Request-Timeout",
        form: "seconds, such as 2 or 0.25",
        parse: parse_seconds,
    },
    Asking {
        header: HeaderName::from_static("grpc-timeout"),
        name: "grpc-timeout",
        form: "1 to 8 digits and one of the units H, M, S, m, u and n, such as 250m",
        parse: parse_grpc,
    },
];

impl Deadline {
    /// The deadline of a request that has arrived; a 400 when the client asks for one in a way that
    /// cannot be read.
    pub(super) fn of(
        headers: &HeaderMap,
        location: &SharedLocation,
        arrived: Instant,
    ) -> Result<Self, Problem> {
        let (mut limit, mut asked_by) = (location.deadline, None);
        if location.client_deadline {
            for asking in &ASKING {
                if let Some(asked) = asking.read(headers)?.filter(|asked| *asked < limit) {
                    (limit, asked_by) = (asked, Some(asking));
                }
            }
        }
        Ok(Self {
            at: arrived + limit,
            asked_by,
        })
    }

    pub(super) fn left(&self) -> Duration {
        self.at.saturating_duration_since(Instant::now())
    }

    /// Whether a client has left no time at all: a call would be made for nothing. Not asked of a
    /// location's own, so that a request without a wish costs no look at the clock.
    pub(super) fn is_hopeless(&self) -> bool {
        self.is_shortened() && self.left().is_zero()
    }

    /// Whether it is the client's.
    pub(super) fn is_shortened(&self) -> bool {
        self.asked_by.is_some()
    }

    /// 504.
    pub(super) fn passed(&self, running: bool) -> Problem {
        let when = if running {
            "while the call was running"
        } else {
            "before the call was run; nothing was done"
        };
        let detail = match self.asked_by {
            None => format!("the deadline of this location passed {when}"),
            Some(Asking { name, .. }) => {
                format!("the deadline that the client set by {name} passed {when}")
            }
        };
        Problem::new(StatusCode::GATEWAY_TIMEOUT, detail)
    }

    /// 408: it passed while the body was still on its way.
    pub(super) fn passed_in_body(&self) -> Problem {
        let detail = match self.asked_by {
            None => "the request's body did not arrive in time".to_owned(),
            Some(Asking { name, .. }) => {
                format!("the request's body did not arrive before the deadline set by {name}")
            }
        };
        Problem::new(StatusCode::REQUEST_TIMEOUT, detail)
    }
}

impl Asking {
    /// What is asked for, if anything. Two values would be two readings, so there may be but one.
    fn read(&self, headers: &HeaderMap) -> Result<Option<Duration>, Problem> {
        let mut values = headers.get_all(&self.header).iter();
        let Some(value) = values.next() else {
            return Ok(None);
        };
        let wrong = |what: &str| {
            let Self { name, form, .. } = self;
            let detail = format!("the header {name} {what}: give {form}");
            Problem::new(StatusCode::BAD_REQUEST, detail)
        };
        if values.next().is_some() {
            return Err(wrong("is there more than once"));
        }
        let asked = (self.parse)(value.as_bytes());
        asked.map(Some).ok_or_else(|| wrong("cannot be read"))
    }
}

/// Digits, with or without a fraction. What is finer than a nanosecond is dropped; what is longer
/// than time itself counts as that long.
fn parse_seconds(text: &[u8]) -> Option<Duration> {
    let text = std::str::from_utf8(text).ok()?;
    let (whole, fraction) = match text.split_once('.') {
        None => (text, None),
        Some((whole, fraction)) => (whole, Some(fraction)),
    };
    let seconds = parse_digits(whole)?;
    let nanos = match fraction {
        None => 0,
        Some(fraction) => {
            parse_digits(fraction)?;
            let kept = &fraction[..fraction.len().min(9)];
            let padded = format!("{kept:0<9}");
            padded.parse::<u32>().ok()?
        }
    };
    Some(Duration::new(seconds, nanos))
}

/// One digit or more; too many of them are the largest number.
fn parse_digits(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    // All that can be wrong with digits is that there are too many.
    is_number.then(|| text.parse().unwrap_or(u64::MAX))
}

/// `TimeoutValue TimeoutUnit` of "gRPC over HTTP2".
fn parse_grpc(text: &[u8]) -> Option<Duration> {
    let (unit, digits) = text.split_last()?;
    if digits.len() > 8 {
        return None;
    }
    let value = parse_digits(std::str::from_utf8(digits).ok()?)?;
    Some(match unit {
        b'H' => Duration::from_secs(value * 60 * 60),
        b'M' => Duration::from_secs(value * 60),
        b'S' => Duration::from_secs(value),
        b'm' => Duration::from_millis(value),
        b'u' => Duration::from_micros(value),
        b'n' => Duration::from_nanos(value),
        _ => return None,
    })
}
