//! How an adapter is bound to what runs it.

use crate::{Adapter, CallbackAdapter, LoopAdapter};

/// An adapter of any kind.
#[derive(Debug)]
pub struct Mounted;

impl Mounted {
    /// An adapter that a pool runs.
    pub fn blocking<A: Adapter>(_adapter: A) -> Self {
        Self
    }

    /// An adapter that calls back.
    pub fn callback<A: CallbackAdapter>(_adapter: A) -> Self {
        Self
    }

    /// An adapter of which every loop makes its own.
    pub fn on_loop<A: LoopAdapter, F: Fn() -> A + Send + Sync + 'static>(_make: F) -> Self {
        Self
    }
}
