//! A process and all that descend from it: paused, resumed, killed.
//!
//! PostgreSQL's processes make groups of their own, so they are found by their parents.

use std::fs;

use nix::sys::signal::{Signal, kill as send};
use nix::unistd::Pid;

use crate::eventually;

/// Stops `root` and its descendants; gives all of them. A process that is stopped starts no other, so once a
/// look finds nothing new there is nothing new.
pub(super) fn pause(root: u32) -> Vec<u32> {
    let mut paused = Vec::new();
    loop {
        let new: Vec<u32> = family(root)
            .into_iter()
            .filter(|pid| !paused.contains(pid))
            .collect();
        if new.is_empty() {
            return paused;
        }
        for pid in &new {
            signal(*pid, Signal::SIGSTOP);
        }
        eventually("the processes stop", || {
            new.iter().all(|pid| matches!(state(*pid), 'T' | 'Z' | 'X'))
        });
        paused.extend(new);
    }
}

/// Lets `root` and its descendants go on.
pub(super) fn resume(root: u32) {
    for pid in family(root) {
        signal(pid, Signal::SIGCONT);
    }
}

/// Kills `root` and its descendants at once, none of which can notice that another one died. `root` must
/// still be waited for.
pub(super) fn kill(root: u32) {
    let all = pause(root);
    for pid in &all {
        signal(*pid, Signal::SIGKILL);
    }
    eventually("the processes end", || {
        all.iter().all(|pid| matches!(state(*pid), 'Z' | 'X'))
    });
}

fn signal(pid: u32, signal: Signal) {
    // It may have ended by itself.
    let _ = send(Pid::from_raw(pid.cast_signed()), signal);
}

/// `root` and its descendants.
fn family(root: u32) -> Vec<u32> {
    let all: Vec<(u32, u32)> = fs::read_dir("/proc")
        .expect("the system lists its processes")
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(|pid| Some((pid, parent(pid)?)))
        .collect();
    let mut family = vec![root];
    let mut next = 0;
    while let Some(&parent) = family.get(next) {
        let children = all.iter().filter(|(_, its)| *its == parent);
        family.extend(children.map(|(pid, _)| pid));
        next += 1;
    }
    family
}

fn parent(pid: u32) -> Option<u32> {
    stat(pid)?.split(' ').nth(1)?.parse().ok()
}

/// As in `ps`; that of a process which is gone counts as `X`, dead.
fn state(pid: u32) -> char {
    stat(pid)
        .and_then(|stat| stat.chars().next())
        .unwrap_or('X')
}

/// The fields from the state on: the name before them may hold anything.
fn stat(pid: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    Some(stat.rsplit_once(") ")?.1.to_owned())
}
