//! How a call fails.
//!
//! An adapter says what kind of failure it was; the server turns that into a status and a problem
//! document. Two texts travel apart: `detail` goes to the client and must never hold SQL, paths or
//! secrets; `source` is what the library said, and only the log sees it.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use http::{Method, StatusCode};
use pontoon_bridge::{CallError, SubmitError};

/// What kind of failure it was. Each kind has one HTTP status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The request makes no sense as it is: 400.
    BadRequest,
    /// The caller may not do this: 403.
    Forbidden,
    /// What was asked for does not exist: 404.
    NotFound,
    /// Only these methods work here: 405.
    MethodNotAllowed(&'static [Method]),
    /// It clashes with what is there already: 409.
    Conflict,
    /// The body, or a value in it, is larger than the adapter takes: 413.
    TooLarge,
    /// Well formed, but against a rule of the backend: 422.
    Unprocessable,
    /// The adapter or the library failed: 500.
    Internal,
    /// The backend cannot be reached or cannot be used: 502.
    BadGateway,
    /// Not now; trying again later may work: 503.
    Unavailable,
    /// It took too long: 504.
    TimedOut,
}

impl ErrorKind {
    /// The HTTP status of this kind.
    pub fn status(self) -> StatusCode {
        match self {
            Self::BadRequest => StatusCode::BAD_REQUEST,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::Conflict => StatusCode::CONFLICT,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Unprocessable => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::BadGateway => StatusCode::BAD_GATEWAY,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::TimedOut => StatusCode::GATEWAY_TIMEOUT,
        }
    }
}

/// A call that failed, and whether its session can be used again.
///
/// ```
/// use pontoon_adapters::Error;
///
/// let reset = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
/// let error = Error::bad_gateway("the mail server cannot be reached")
///     .with_source(reset)
///     .breaking_session();
/// assert_eq!(error.kind().status(), 502);
/// assert!(error.breaks_session());
/// ```
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    detail: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
    breaks_session: bool,
    retry_after: Option<Duration>,
}

impl Error {
    /// A failure of this kind. `detail` is shown to the client.
    pub fn new(kind: ErrorKind, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        Self {
            kind,
            detail,
            source: None,
            breaks_session: false,
            retry_after: None,
        }
    }

    /// 400. `detail` names the part of the request that is wrong.
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::BadRequest, detail)
    }

    /// 403.
    pub fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::Forbidden, detail)
    }

    /// 404.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::NotFound, detail)
    }

    /// 405. The methods become the `Allow` header.
    pub fn method_not_allowed(allowed: &'static [Method]) -> Self {
        let names: Vec<&str> = allowed.iter().map(Method::as_str).collect();
        let detail = format!("this location answers only {}", names.join(", "));
        Self::new(ErrorKind::MethodNotAllowed(allowed), detail)
    }

    /// 409.
    pub fn conflict(detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::Conflict, detail)
    }

    /// 413.
    pub fn too_large(detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::TooLarge, detail)
    }

    /// 422.
    pub fn unprocessable(detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unprocessable, detail)
    }

    /// 500.
    pub fn internal(detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, detail)
    }

    /// 502: the backend cannot be reached or cannot be used.
    pub fn bad_gateway(detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::BadGateway, detail)
    }

    /// 503.
    pub fn unavailable(detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unavailable, detail)
    }

    /// 504: a backend, or a call that was made on the way to the answer, took too long.
    pub fn timed_out(detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::TimedOut, detail)
    }

    /// Tells the client, with a 503, when to come again. One second unless this is called.
    #[must_use]
    pub fn with_retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// Keeps what the library said, for the log.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Says that the session must not be used again: the worker closes it and opens another.
    #[must_use]
    pub fn breaking_session(mut self) -> Self {
        self.breaks_session = true;
        self
    }

    /// The same failure, seen while a session was opened: what would be a 500 is a 502.
    #[must_use]
    pub fn while_opening(mut self) -> Self {
        if self.kind == ErrorKind::Internal {
            self.kind = ErrorKind::BadGateway;
        }
        self
    }

    /// What kind of failure it was.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What the client is told.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// When the client is told to come again, if that was said.
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// Whether the session must be closed.
    pub fn breaks_session(&self) -> bool {
        self.breaks_session
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source
            .as_deref()
            .map(|source| source as &(dyn StdError + 'static))
    }
}

/// What the client is told of a call that did not return, wherever it was made: by the server for
/// a location, or by a handler that awaits calls with `?`.
impl From<CallError> for Error {
    fn from(error: CallError) -> Self {
        match error {
            CallError::SessionFailed(source) => match source.downcast::<Self>() {
                Ok(error) => *error,
                Err(source) => Self::bad_gateway(
                    "the library behind this location could not be opened; see the server's log",
                )
                .with_source(source),
            },
            CallError::BackingOff { retry_after, .. } => Self::unavailable(
                "what is behind this location could not be reached a moment ago; nothing was done, try \
                 again later",
            )
            .with_retry_after(retry_after)
            .with_source(error),
            other => of_unreturned(&other).with_source(other),
        }
    }
}

fn of_unreturned(error: &CallError) -> Error {
    match error {
        CallError::Rejected(refused) => of_refused(refused),
        CallError::Panicked { .. } => Error::internal(
            "the library behind this location panicked; the server's log has its message",
        ),
        CallError::Abandoned => {
            Error::internal("the library behind this location dropped the call without an answer")
        }
        CallError::DeadlineExceeded { running: true } => {
            Error::timed_out("the deadline passed while the call was running")
        }
        CallError::DeadlineExceeded { running: false } => {
            Error::timed_out("the deadline passed before the call was run; nothing was done")
        }
        _ => Error::unavailable("the server is stopping; try again"),
    }
}

fn of_refused(refused: &SubmitError) -> Error {
    let error = Error::unavailable(match refused {
        SubmitError::QueueFull { .. } => {
            "the pool behind this location is full; nothing was done, try again later"
        }
        SubmitError::WouldBeLate { .. } => {
            "the pool behind this location would answer after the deadline; nothing was done, try again \
             later"
        }
        SubmitError::Overloaded { .. } => {
            "the pool behind this location is overloaded; nothing was done, try again later"
        }
        SubmitError::BackendDown { .. } => {
            "what is behind this location fails; nothing was done, try again later"
        }
        _ => "the server is stopping; try again",
    });
    match refused.retry_after() {
        Some(wait) => error.with_retry_after(wait),
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static ALLOWED: [Method; 2] = [Method::GET, Method::HEAD];

    #[test]
    fn every_kind_has_its_status() {
        let kinds = [
            (Error::bad_request(""), 400),
            (Error::forbidden(""), 403),
            (Error::not_found(""), 404),
            (Error::method_not_allowed(&ALLOWED), 405),
            (Error::conflict(""), 409),
            (Error::too_large(""), 413),
            (Error::unprocessable(""), 422),
            (Error::internal(""), 500),
            (Error::bad_gateway(""), 502),
            (Error::unavailable(""), 503),
            (Error::timed_out(""), 504),
        ];
        for (error, status) in kinds {
            assert_eq!(error.kind().status(), status, "{:?}", error.kind());
        }
    }

    #[test]
    fn what_the_library_said_is_kept_apart_from_what_the_client_is_told() {
        let error = Error::internal("the report cannot be made").with_source("no /etc/secret");
        assert_eq!(error.to_string(), "the report cannot be made");
        assert_eq!(error.source().unwrap().to_string(), "no /etc/secret");
    }

    #[test]
    fn only_an_unexplained_failure_turns_into_502_while_opening() {
        let unexplained = Error::internal("no handle").while_opening();
        assert_eq!(unexplained.kind(), ErrorKind::BadGateway);
        let explained = Error::unavailable("starting").while_opening();
        assert_eq!(explained.kind(), ErrorKind::Unavailable);
    }

    #[test]
    fn a_session_survives_unless_the_error_says_otherwise() {
        assert!(!Error::internal("").breaks_session());
        assert!(Error::internal("").breaking_session().breaks_session());
    }

    #[test]
    fn a_405_says_what_is_allowed() {
        let error = Error::method_not_allowed(&ALLOWED);
        assert_eq!(error.detail(), "this location answers only GET, HEAD");
        assert_eq!(error.kind(), ErrorKind::MethodNotAllowed(&ALLOWED));
    }

    #[test]
    fn a_call_that_did_not_return_says_what_to_do() {
        let full = SubmitError::QueueFull {
            pool: "db".to_owned(),
            in_flight: 9,
            retry_after: Duration::from_secs(7),
        };
        let full = Error::from(CallError::Rejected(full));
        assert_eq!(full.kind(), ErrorKind::Unavailable);
        assert_eq!(full.retry_after(), Some(Duration::from_secs(7)));
        assert!(!full.detail().contains("db"), "a pool's name is ours");
        assert!(full.source().unwrap().to_string().contains("`db` is full"));

        let overloaded = SubmitError::Overloaded {
            pool: "db".to_owned(),
            wait: Duration::from_millis(20),
            retry_after: Duration::from_secs(3),
        };
        let overloaded = Error::from(CallError::Rejected(overloaded));
        assert_eq!(overloaded.kind(), ErrorKind::Unavailable);
        assert_eq!(overloaded.retry_after(), Some(Duration::from_secs(3)));
        let text = overloaded.source().unwrap().to_string();
        assert!(text.contains("`db`") && text.contains("20ms"), "{text}");

        let late = Error::from(CallError::DeadlineExceeded { running: true });
        assert_eq!(late.kind().status(), 504);
        let message = "no /etc/secret".to_owned();
        let panicked = Error::from(CallError::Panicked { message });
        assert_eq!(panicked.kind().status(), 500);
        assert!(!panicked.detail().contains("secret"));
        assert_eq!(Error::from(CallError::ShutDown).kind().status(), 503);
    }

    #[test]
    fn a_backend_that_is_down_is_a_503_that_says_when_to_come_again_and_not_why() {
        let wait = Duration::from_secs(4);
        let backing_off = CallError::BackingOff {
            pool: "db".to_owned(),
            last_error: "password for /etc/secret".into(),
            retry_after: wait,
        };
        let broken = CallError::Rejected(SubmitError::BackendDown {
            pool: "db".to_owned(),
            retry_after: wait,
        });
        for error in [backing_off, broken] {
            let error = Error::from(error);
            assert_eq!(error.kind(), ErrorKind::Unavailable);
            assert_eq!(error.retry_after(), Some(wait));
            assert!(!error.detail().contains("db") && !error.detail().contains("secret"));
            let source = error.source().unwrap().to_string();
            assert!(source.contains("`db`"), "{source}");
        }
    }

    #[test]
    fn an_error_of_opening_a_session_comes_through_as_it_is() {
        let refused = Error::conflict("taken");
        let error = Error::from(CallError::SessionFailed(Box::new(refused)));
        assert_eq!(error.kind(), ErrorKind::Conflict);
        let unknown = Error::from(CallError::SessionFailed("no route".into()));
        assert_eq!(unknown.kind(), ErrorKind::BadGateway);
        assert_eq!(unknown.source().unwrap().to_string(), "no route");
    }
}
