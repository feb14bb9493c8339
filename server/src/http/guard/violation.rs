//! What a client did wrong, in the words that it is told.
//!
//! Every check of the guard ends in a [`Violation`]; the connection turns it into the response
//! and into a log line.

use std::borrow::Cow;
use std::fmt;

use http::StatusCode;

/// A message that must not reach hyper: the answer, the reason, and the rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    /// The status to answer with; the connection closes after it.
    pub(crate) status: StatusCode,
    /// What is wrong and what to do, in sentences for the client's developer.
    pub(crate) detail: Cow<'static, str>,
    /// The rule, for example `RFC 9112 section 6.3`.
    pub(crate) section: &'static str,
}

impl Violation {
    pub(super) fn new(
        status: StatusCode,
        section: &'static str,
        detail: impl Into<Cow<'static, str>>,
    ) -> Self {
        Violation {
            status,
            detail: detail.into(),
            section,
        }
    }

    /// 400: the message is malformed, or two servers could read it differently.
    pub(super) fn bad_request(section: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Violation::new(StatusCode::BAD_REQUEST, section, detail)
    }

    /// 431: more header or trailer than this server takes.
    pub(super) fn fields_too_large(detail: String) -> Self {
        Violation::new(
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            "RFC 6585 section 5",
            detail,
        )
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.detail, self.section)
    }
}

impl std::error::Error for Violation {}
