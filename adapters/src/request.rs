//! What an adapter is called with.
//!
//! The server reads the whole body first, up to the location's limit, so that an adapter sees
//! owned input only and never waits for a slow client.

use bytes::Bytes;

/// A request with its whole body.
///
/// Path parameters and the deadline are not in here: see [`CallContext`](crate::CallContext).
pub type Request = http::Request<Bytes>;
