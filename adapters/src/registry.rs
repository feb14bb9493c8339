//! What a config file may name as an adapter.

use crate::mount::Mounted;
use crate::settings::{KeySpec, Settings};

/// Where an adapter's calls run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// On the workers of a pool.
    Blocking,
    /// On the library's own threads.
    Callback,
    /// On the event loop.
    Loop,
}

/// One adapter as a config file sees it.
#[derive(Debug)]
pub struct AdapterSpec {
    /// The value of the key `adapter`.
    pub name: &'static str,
    /// Where its calls run.
    pub kind: Kind,
    /// What it does, in one line.
    pub summary: &'static str,
    /// The keys that it takes.
    pub keys: &'static [KeySpec],
    /// Reads the keys and makes the adapter; `None` when an error was recorded.
    pub build: fn(&mut Settings<'_>) -> Option<Mounted>,
}
