//! File descriptors: as many as the system allows, and whether these are enough.

use std::fmt;
use std::io;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::config::Config;

/// For the log, the loops, the listener, the libraries' own files.
const BESIDE_CONNECTIONS: u64 = 64;

/// The limit on open files, as it is now and as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptors {
    /// The soft limit at the start.
    pub before: u64,
    /// The soft limit now.
    pub now: u64,
    /// The hard limit, which only root raises.
    pub hard: u64,
}

impl Descriptors {
    /// Raises the soft limit to the hard one. Programs that this one starts inherit it.
    ///
    /// # Errors
    ///
    /// When the system does not tell the limit. If it does not let it be raised, `now` stays as it
    /// was.
    pub fn raise() -> io::Result<Self> {
        let (before, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
        let raised = before < hard && setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_ok();
        let now = if raised { hard } else { before };
        Ok(Self { before, now, hard })
    }

    /// What to tell the operator when they are too few for a config, whose sessions are counted as
    /// one each.
    pub fn shortage(&self, config: &Config) -> Option<Shortage> {
        let connections = config.server.max_connections as u64;
        let sessions: usize = config.pools.iter().map(|pool| pool.threads).sum();
        let needed = connections + sessions as u64 + BESIDE_CONNECTIONS;
        (self.now < needed).then_some(Shortage {
            connections,
            needed,
            allowed: self.now,
        })
    }
}

/// Fewer file descriptors than a config may need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shortage {
    connections: u64,
    needed: u64,
    allowed: u64,
}

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (connections, needed, allowed) = (self.connections, self.needed, self.allowed);
        write!(
            f,
            "`max_connections` is {connections}, which needs about {needed} file descriptors, and the \
             hard limit is {allowed}: raise it (`ulimit -Hn`, LimitNOFILE= in systemd) or lower \
             `max_connections`; until then connections may have to wait"
        )
    }
}
