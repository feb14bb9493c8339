//! What a failure means to the client.
//!
//! The messages of Redis name keys, users, commands and addresses; they go to the log as the source. The
//! client gets a sentence of ours.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::sync::Arc;

use redis::{RedisError, ServerError};

use crate::{Error, ErrorKind};

/// Texts in a plain `ERR` that mean: a value that was sent, or one that is there, is not of the form that
/// the command needs.
const UNPROCESSABLE: [&str; 7] = [
    "not an integer",
    "not a valid float",
    "would overflow",
    "would produce NaN",
    "out of range",
    "invalid expire time",
    "min or max is not",
];

/// Turns an error reply into one that a client may see.
pub(super) fn from_reply(reply: ServerError) -> Error {
    let text = reply.details().unwrap_or_default();
    let shown = match reply.code() {
        "WRONGTYPE" => Error::unprocessable("the key holds a value of another type"),
        "BUSYKEY" | "BUSYGROUP" => Error::conflict("there is one of this name already"),
        "NOPERM" => Error::forbidden("this location may not run this command on this key"),
        "NOAUTH" | "WRONGPASS" => Error::bad_gateway("Redis does not let this server in"),
        "MOVED" | "ASK" | "CROSSSLOT" => {
            Error::bad_gateway("Redis is part of a cluster, which is not supported")
        }
        // Somebody else has become the server to write to: a new connection may lead there.
        "READONLY" => unavailable("Redis takes no writes now").breaking_session(),
        "OOM" => unavailable("Redis is out of memory"),
        "LOADING" => unavailable("Redis is starting"),
        "BUSY" => unavailable("Redis is busy with a script"),
        "CLUSTERDOWN" | "TRYAGAIN" | "MASTERDOWN" | "NOREPLICAS" | "MISCONF" => {
            unavailable("Redis cannot do this now")
        }
        _ if UNPROCESSABLE.iter().any(|part| text.contains(part)) => {
            Error::unprocessable("a value is not of the form that the command needs")
        }
        _ if text.contains("max number of clients") => unavailable("Redis is full"),
        _ if text.contains("exceeds maximum allowed size") => {
            Error::too_large("a value is larger than Redis takes")
        }
        _ => Error::internal("Redis could not run the command"),
    };
    shown.with_source(reply.to_string())
}

fn unavailable(what: &str) -> Error {
    Error::unavailable(format!("{what}; try again later"))
}

/// Why a connection is of no more use.
///
/// Several calls may share one connection, and so what broke it.
#[derive(Clone, Debug)]
pub(super) struct Broken {
    kind: ErrorKind,
    detail: String,
    source: Option<Shared>,
}

impl Broken {
    fn new(kind: ErrorKind, detail: impl Into<String>) -> Self {
        Self {
            kind,
            detail: detail.into(),
            source: None,
        }
    }

    fn because(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(Shared(Arc::from(source.into())));
        self
    }

    /// There is no connection. `place` is the server's address, for the log.
    pub(super) fn unreachable(place: &impl fmt::Display, error: &io::Error) -> Self {
        let source = format!("cannot connect to {place}: {error}");
        Self::new(ErrorKind::BadGateway, "Redis cannot be reached").because(source)
    }

    /// The same, of a connection on which no command has been sent yet.
    pub(super) fn while_connecting(self, place: &impl fmt::Display) -> Self {
        let source = format!("cannot connect to {place}: {self}");
        Self::new(ErrorKind::BadGateway, "Redis cannot be reached").because(source)
    }

    /// The server has ended the connection, or it broke.
    pub(super) fn io(error: io::Error) -> Self {
        let detail = "the connection to Redis was lost; whether the command was run is not known";
        Self::new(ErrorKind::BadGateway, detail).because(error)
    }

    /// The server took longer than it may.
    pub(super) fn late() -> Self {
        let detail = "Redis did not answer in time; whether the command was run is not known";
        Self::new(ErrorKind::TimedOut, detail)
    }

    /// What came is no reply.
    pub(super) fn protocol(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        let detail = "what Redis sent makes no sense";
        Self::new(ErrorKind::BadGateway, detail).because(source)
    }

    /// What the server said before it let us in.
    pub(super) fn from_error(error: Error) -> Self {
        let source = error.source().map(ToString::to_string);
        let broken = Self::new(error.kind(), error.detail());
        match source {
            Some(source) => broken.because(source),
            None => broken,
        }
    }

    /// The reply is larger than the location takes.
    pub(super) fn too_large(max_bytes: usize) -> Self {
        Self::new(ErrorKind::Internal, too_large(max_bytes))
    }

    /// Whether it tells that the server cannot be used now, and not only that of this reply.
    pub(super) fn is_of_server(&self) -> bool {
        self.kind != ErrorKind::Internal
    }

    /// The error that each of the calls gets.
    pub(super) fn to_error(&self) -> Error {
        let error = Error::new(self.kind, self.detail.clone()).breaking_session();
        match &self.source {
            Some(source) => error.with_source(source.clone()),
            None => error,
        }
    }
}

/// What a client is told of an answer beyond the limit.
pub(super) fn too_large(max_bytes: usize) -> String {
    format!(
        "the answer is larger than the {max_bytes} bytes that this location may send; ask for less"
    )
}

impl From<RedisError> for Broken {
    fn from(error: RedisError) -> Self {
        Self::protocol(error)
    }
}

impl fmt::Display for Broken {
    /// For the log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            Some(source) => source.fmt(f),
            None => f.write_str(&self.detail),
        }
    }
}

/// An error that several calls have in common.
#[derive(Clone, Debug)]
struct Shared(Arc<dyn StdError + Send + Sync>);

impl fmt::Display for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl StdError for Shared {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source()
    }
}

#[cfg(test)]
mod tests {
    use super::super::decoder::Decoder;
    use super::*;

    fn shown(reply: &str) -> Error {
        let wire = format!("-{reply}\r\n");
        let value = Decoder::default().next(&mut wire.as_bytes()).unwrap();
        match value {
            Some(redis::Value::ServerError(error)) => from_reply(error),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn each_code_has_its_kind() {
        let cases = [
            (
                "WRONGTYPE Operation against a key",
                ErrorKind::Unprocessable,
            ),
            (
                "ERR value is not an integer or out of range",
                ErrorKind::Unprocessable,
            ),
            (
                "ERR increment or decrement would overflow",
                ErrorKind::Unprocessable,
            ),
            (
                "ERR string exceeds maximum allowed size (512MB)",
                ErrorKind::TooLarge,
            ),
            ("ERR max number of clients reached", ErrorKind::Unavailable),
            ("ERR syntax error", ErrorKind::Internal),
            ("ERR unknown command 'secret'", ErrorKind::Internal),
            (
                "BUSYGROUP Consumer Group name already exists",
                ErrorKind::Conflict,
            ),
            ("NOPERM this user has no permissions", ErrorKind::Forbidden),
            ("NOAUTH Authentication required.", ErrorKind::BadGateway),
            (
                "WRONGPASS invalid username-password pair",
                ErrorKind::BadGateway,
            ),
            ("MOVED 3999 127.0.0.1:6381", ErrorKind::BadGateway),
            ("OOM command not allowed", ErrorKind::Unavailable),
            (
                "LOADING Redis is loading the dataset",
                ErrorKind::Unavailable,
            ),
            (
                "BUSY Redis is busy running a script",
                ErrorKind::Unavailable,
            ),
            ("READONLY You can't write", ErrorKind::Unavailable),
            ("CLUSTERDOWN Hash slot not served", ErrorKind::Unavailable),
            ("TRYAGAIN Multiple keys", ErrorKind::Unavailable),
            (
                "MISCONF Redis is configured to save",
                ErrorKind::Unavailable,
            ),
            ("NOSCRIPT No matching script", ErrorKind::Internal),
            ("SOMETHING", ErrorKind::Internal),
        ];
        for (reply, kind) in cases {
            assert_eq!(shown(reply).kind(), kind, "{reply}");
        }
    }

    #[test]
    fn what_redis_says_is_for_the_log_only() {
        let error = shown("ERR unknown command 'secret'");
        assert!(!error.detail().contains("secret"), "{error}");
        assert!(error.source().unwrap().to_string().contains("secret"));
    }

    #[test]
    fn a_server_that_takes_no_writes_any_more_is_connected_to_anew() {
        assert!(shown("READONLY You can't write").breaks_session());
        assert!(!shown("WRONGTYPE x").breaks_session());
        assert!(Broken::late().to_error().breaks_session());
    }
}
