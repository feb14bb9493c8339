//! What processes have used, from `/proc`.

use crate::Outcome;
use nix::unistd::{SysconfVar, sysconf};
use std::collections::HashMap;
use std::fs;

/// A process and its children: nginx answers in a child.
pub(crate) fn family(of: u32) -> Outcome<Vec<u32>> {
    let mut family = vec![of];
    for entry in fs::read_dir("/proc")? {
        let Some(pid) = number(&entry?.file_name().to_string_lossy()) else {
            continue;
        };
        // One that ended meanwhile was no child of a server that runs.
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"));
        if stat.is_ok_and(|stat| parent(&stat) == Some(of)) {
            family.push(pid);
        }
    }
    Ok(family)
}

/// What processes have used so far.
#[derive(Debug, Default)]
pub(crate) struct Usage {
    cpu_ticks: u64,
    /// By thread: one that ends takes its count with it, and must not make the difference of two
    /// sums too small.
    switches: HashMap<u32, u64>,
}

impl Usage {
    pub(crate) fn of(processes: &[u32]) -> Outcome<Self> {
        let mut usage = Self::default();
        for pid in processes {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
            usage.cpu_ticks += cpu_ticks(&stat).ok_or("/proc/PID/stat is not as expected")?;
            for entry in fs::read_dir(format!("/proc/{pid}/task"))? {
                let entry = entry?;
                let status = fs::read_to_string(entry.path().join("status"));
                let thread = number(&entry.file_name().to_string_lossy());
                // A thread may end between being listed and being read.
                if let (Ok(status), Some(thread)) = (status, thread) {
                    let voluntary = field(&status, "voluntary_ctxt_switches:");
                    let other = field(&status, "nonvoluntary_ctxt_switches:");
                    let sum = voluntary.unwrap_or(0) + other.unwrap_or(0);
                    usage.switches.insert(thread, sum);
                }
            }
        }
        Ok(usage)
    }

    /// CPU time between `before` and now, user and system of all threads, in µs.
    pub(crate) fn cpu_us_since(&self, before: &Self) -> Outcome<f64> {
        let per_second = sysconf(SysconfVar::CLK_TCK)?.ok_or("the length of a tick is unknown")?;
        Ok((self.cpu_ticks - before.cpu_ticks) as f64 * 1e6 / per_second as f64)
    }

    /// Context switches between `before` and now.
    pub(crate) fn switches_since(&self, before: &Self) -> u64 {
        let new = |(thread, count): (&u32, &u64)| {
            let old = before.switches.get(thread).copied().unwrap_or(0);
            count.saturating_sub(old)
        };
        self.switches.iter().map(new).sum()
    }
}

/// The most memory that the processes had in RAM at once, each by itself, in MiB. What they share
/// counts for each.
pub(crate) fn peak_mib(processes: &[u32]) -> Outcome<f64> {
    let mut kib = 0;
    for pid in processes {
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        kib += field(&status, "VmHWM:").ok_or("the kernel tells no peak of memory")?;
    }
    Ok(kib as f64 / 1024.0)
}

fn number(text: &str) -> Option<u32> {
    text.parse().ok()
}

/// The number after a name at the start of a line.
fn field(status: &str, name: &str) -> Option<u64> {
    let value = status.lines().find_map(|line| line.strip_prefix(name))?;
    value.split_whitespace().next()?.parse().ok()
}

/// The fields of `/proc/PID/stat` from the third on: the second may hold spaces and brackets.
fn stat_fields(stat: &str) -> Option<impl Iterator<Item = &str>> {
    Some(stat.rsplit_once(')')?.1.split_whitespace())
}

fn parent(stat: &str) -> Option<u32> {
    number(stat_fields(stat)?.nth(1)?)
}

fn cpu_ticks(stat: &str) -> Option<u64> {
    let mut fields = stat_fields(stat)?.skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process;

    const STAT: &str = "12 (a) b) S 7 12 12 0 -1 4194560 1 2 3 4 50 6 7 8 20 0 1 0";

    #[test]
    fn a_name_with_a_bracket_does_not_shift_the_fields() {
        assert_eq!(parent(STAT), Some(7));
        assert_eq!(cpu_ticks(STAT), Some(56));
    }

    #[test]
    fn a_line_is_found_by_its_whole_name() {
        let status =
            "VmHWM:\t  2048 kB\nvoluntary_ctxt_switches:\t3\nnonvoluntary_ctxt_switches:\t4\n";
        assert_eq!(field(status, "voluntary_ctxt_switches:"), Some(3));
        assert_eq!(field(status, "nonvoluntary_ctxt_switches:"), Some(4));
        assert_eq!(field(status, "VmHWM:"), Some(2048));
    }

    #[test]
    fn this_process_has_used_something() {
        let family = family(process::id()).unwrap();
        assert_eq!(family[0], process::id());
        assert!(peak_mib(&family[..1]).unwrap() > 0.0);
        let usage = Usage::of(&family[..1]).unwrap();
        assert!(usage.switches_since(&Usage::default()) > 0);
    }

    #[test]
    fn a_thread_that_ended_makes_the_difference_no_smaller() {
        let before = Usage {
            cpu_ticks: 0,
            switches: HashMap::from([(1, 10), (2, 500)]),
        };
        let after = Usage {
            cpu_ticks: 0,
            switches: HashMap::from([(1, 15), (3, 2)]),
        };
        assert_eq!(after.switches_since(&before), 7);
    }
}
