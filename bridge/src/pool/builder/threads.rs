//! How many threads the system lets us have.

use nix::sys::resource::{Resource, getrlimit};
use std::fs;

/// A limit that would be hit by `threads` more threads, in words; `None` when none is known.
pub(super) fn limit_below(threads: usize) -> Option<String> {
    let threads = threads as u64;
    if let Ok((soft, _)) = getrlimit(Resource::RLIMIT_NPROC)
        && soft < threads
    {
        return Some(format!(
            "this user may have {soft} processes and threads (ulimit -u)"
        ));
    }
    let max = number_in("/sys/fs/cgroup/pids.max")?;
    let now = number_in("/sys/fs/cgroup/pids.current").unwrap_or(0);
    (max < now + threads).then(|| {
        format!("its cgroup may have {max} threads and has {now} (/sys/fs/cgroup/pids.max)")
    })
}

/// What to look at when the OS refused a thread for a reason it did not give.
pub(super) fn limits() -> String {
    let user = getrlimit(Resource::RLIMIT_NPROC)
        .map_or_else(|error| error.to_string(), |(soft, _)| soft.to_string());
    let system = number_in("/proc/sys/kernel/threads-max")
        .map_or_else(|| "unknown".to_owned(), |max| max.to_string());
    format!("ulimit -u is {user}, kernel.threads-max is {system}; memory for the stacks counts too")
}

fn number_in(path: &str) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}
