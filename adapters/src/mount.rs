//! What an adapter's constructor hands to the server.

/// An adapter that is ready to be put on a location.
#[derive(Debug)]
pub struct Mounted;
