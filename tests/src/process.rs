//! What this process uses: threads, file descriptors, memory.

use std::fs;
use std::io::{self, Write};

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Threads of this process.
pub fn threads() -> usize {
    entries("/proc/self/task")
}

/// Threads of this process with this name.
///
/// # Panics
///
/// When the system does not list them.
pub fn threads_named(name: &str) -> usize {
    let tasks = fs::read_dir("/proc/self/task").expect("a process lists its threads");
    let names = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.filter(|comm| comm.trim_end() == name).count()
}

/// Open file descriptors of this process.
pub fn descriptors() -> usize {
    // The listing itself holds one.
    entries("/proc/self/fd") - 1
}

fn entries(directory: &str) -> usize {
    fs::read_dir(directory)
        .unwrap_or_else(|error| panic!("{directory}: {error}"))
        .count()
}

/// Memory of this process that is in RAM.
///
/// # Panics
///
/// When the system does not tell.
pub fn resident_bytes() -> usize {
    let status = fs::read_to_string("/proc/self/status").expect("a process has a status");
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .expect("the status tells the resident set");
    let kib = line.trim().trim_end_matches(" kB").parse::<usize>();
    kib.expect("a number of KiB") * 1024
}

/// Has `wanted` file descriptors allowed, or as many as the hard limit does, which root may raise;
/// says how many.
///
/// # Panics
///
/// When the OS does not tell or set the limit.
pub fn allow_descriptors(wanted: usize) -> usize {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit that exists");
    let all = wanted as u64;
    if hard < all && setrlimit(Resource::RLIMIT_NOFILE, all, all).is_ok() {
        return wanted;
    }
    let wanted = hard.min(all);
    if soft < wanted {
        setrlimit(Resource::RLIMIT_NOFILE, wanted, hard).expect("not above the hard limit");
    }
    usize::try_from(soft.max(wanted)).unwrap_or(usize::MAX)
}

/// Tells something that was measured; shown with `--nocapture`, and never by a failure's output.
pub fn report(text: &str) {
    // Nobody reads it: nothing to be done.
    let _ = writeln!(io::stderr(), "{text}");
}
