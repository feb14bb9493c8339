//! What a pool's workers run, for people to look at.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// A call that runs now, or that did not return before a shutdown's limit.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RunningCall {
    /// The [label](crate::SessionKind::label) of its kind of session, such as a location's path.
    pub location: Option<Arc<str>>,
    /// The [number](crate::Submission::tag) that its caller gave it.
    pub tag: Option<u64>,
    /// How long the library has had it.
    pub age: Duration,
    /// The operating system's number for the worker's thread, as in `/proc/self/task`.
    pub thread_id: i32,
    /// It has run for longer than the pool's `stuck_after`.
    pub is_stuck: bool,
}

impl fmt::Display for RunningCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.tag {
            Some(tag) => write!(f, "request {tag}")?,
            None => f.write_str("a call")?,
        }
        if let Some(location) = &self.location {
            write!(f, " of {location}")?;
        }
        let (age, thread_id) = (self.age, self.thread_id);
        write!(f, " for {age:.1?} on thread {thread_id}")
    }
}
