//! What the server, or the library, said when it refused.

use std::ffi::{CStr, c_char, c_uint};
use std::fmt;

/// An error of the server or of the client library. It is for the log: its message may hold values and names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// MySQL's number of it; from 2000 to 2999, and from 5000 on, those of the client library.
    pub(super) number: u32,
    /// The SQLSTATE.
    pub(super) state: String,
    pub(super) message: String,
}

impl Refusal {
    /// What the library says of it.
    ///
    /// # Safety
    ///
    /// Both texts end with a NUL.
    pub(super) unsafe fn new(number: c_uint, state: *const c_char, message: *const c_char) -> Self {
        // SAFETY: the caller vouches for it.
        let state = unsafe { CStr::from_ptr(state) };
        // SAFETY: as above.
        let message = unsafe { CStr::from_ptr(message) };
        let message = message.to_string_lossy().into_owned();
        Self {
            number: unverified(&message).unwrap_or(number),
            state: state.to_string_lossy().into_owned(),
            message,
        }
    }

    /// The library got no memory for a handle, and so has none that could say so.
    pub(super) fn out_of_memory() -> Self {
        Self::of_client(2008, "the client library got no memory")
    }

    /// One that we find out, and the library does not.
    pub(super) fn of_client(number: u32, message: &str) -> Self {
        Self {
            number,
            state: "HY000".to_owned(),
            message: message.to_owned(),
        }
    }
}

/// The server's own number, where the library shows it only as a part of its message: what a server says before
/// TLS has begun may be anybody's word. That decides no more than the status of a connection that there is not.
fn unverified(message: &str) -> Option<u32> {
    let (_, said) = message.split_once("cannot be verified: ")?;
    said.split_once(' ')?.0.parse().ok()
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            number,
            state,
            message,
        } = self;
        write!(f, "{message} (error {number}, SQLSTATE {state})")
    }
}

impl std::error::Error for Refusal {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_server_said_before_tls_is_found_in_the_message() {
        let message = "Received error packet before completion of TLS handshake. The authenticity of the \
                       following error cannot be verified: 1040 - Too many connections";
        assert_eq!(unverified(message), Some(1040));
        assert_eq!(unverified("Can't connect to local server"), None);
    }
}
