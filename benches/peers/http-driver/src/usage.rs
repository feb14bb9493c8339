//! What processes have used, from `/proc`.

use crate::Outcome;
use nix::unistd::{SysconfVar, sysconf};
use std::collections::HashMap;
use std::fs;
use std::time::Instant;

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

/// What processes, and the whole machine, have used so far.
#[derive(Debug)]
pub(crate) struct Usage {
    at: Instant,
    cpu_ticks: u64,
    /// What all programs that this one started and that have ended used: wrk, between two looks.
    load_ticks: u64,
    /// What the machine was busy, or was not given by the one that it is a guest of.
    machine_ticks: u64,
    /// By thread: one that ends takes its count with it, and must not make the difference of two
    /// sums too small.
    switches: HashMap<u32, u64>,
}

impl Usage {
    pub(crate) fn of(processes: &[u32]) -> Outcome<Self> {
        let machine = fs::read_to_string("/proc/stat")?;
        let own = fs::read_to_string("/proc/self/stat")?;
        let mut usage = Self {
            at: Instant::now(),
            cpu_ticks: 0,
            load_ticks: ticks_of_ended_children(&own).ok_or(NOT_AS_EXPECTED)?,
            machine_ticks: machine_ticks(&machine).ok_or(NOT_AS_EXPECTED)?,
            switches: HashMap::new(),
        };
        for pid in processes {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
            usage.cpu_ticks += cpu_ticks(&stat).ok_or(NOT_AS_EXPECTED)?;
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
        Ok((self.cpu_ticks - before.cpu_ticks) as f64 * 1e6 / ticks_per_second()?)
    }

    /// How many CPUs were kept between `before` and now by neither the server nor the load. On a
    /// kernel that accounts interrupts apart those of the network are among them.
    pub(crate) fn others_cpus_since(&self, before: &Self) -> Outcome<f64> {
        let machine = self.machine_ticks.saturating_sub(before.machine_ticks);
        let ours = self.cpu_ticks - before.cpu_ticks + self.load_ticks - before.load_ticks;
        let seconds = self.at.duration_since(before.at).as_secs_f64();
        // Each of the counts is rounded, so theirs may even be below nothing.
        Ok(machine.saturating_sub(ours) as f64 / ticks_per_second()? / seconds)
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

const NOT_AS_EXPECTED: &str = "/proc/stat or /proc/PID/stat is not as expected";

fn ticks_per_second() -> Outcome<f64> {
    let ticks = sysconf(SysconfVar::CLK_TCK)?.ok_or("the length of a tick is unknown")?;
    Ok(ticks as f64)
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

/// User and system.
fn cpu_ticks(stat: &str) -> Option<u64> {
    sum_of_two(stat_fields(stat)?.skip(11))
}

/// User and system of children that were waited for.
fn ticks_of_ended_children(stat: &str) -> Option<u64> {
    sum_of_two(stat_fields(stat)?.skip(13))
}

fn sum_of_two<'a>(mut fields: impl Iterator<Item = &'a str>) -> Option<u64> {
    let first: u64 = fields.next()?.parse().ok()?;
    let second: u64 = fields.next()?.parse().ok()?;
    Some(first + second)
}

/// All but idle and waiting for a disk, of all CPUs.
fn machine_ticks(stat: &str) -> Option<u64> {
    let fields = stat.lines().next()?.strip_prefix("cpu ")?;
    let fields: Result<Vec<u64>, _> = fields.split_whitespace().map(str::parse).collect();
    match fields.ok()?[..] {
        [
            user,
            nice,
            system,
            _idle,
            _waiting,
            irq,
            softirq,
            stolen,
            ..,
        ] => Some(user + nice + system + irq + softirq + stolen),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process;
    use std::time::Duration;

    const STAT: &str = "12 (a) b) S 7 12 12 0 -1 4194560 1 2 3 4 50 6 7 8 20 0 1 0";

    #[test]
    fn a_name_with_a_bracket_does_not_shift_the_fields() {
        assert_eq!(parent(STAT), Some(7));
        assert_eq!(cpu_ticks(STAT), Some(56));
        assert_eq!(ticks_of_ended_children(STAT), Some(15));
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
    fn a_machine_that_idles_uses_nothing() {
        let stat = "cpu  1 2 4 1000 1000 8 16 32 0 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n";
        assert_eq!(machine_ticks(stat), Some(63));
    }

    #[test]
    fn this_process_has_used_something() {
        let family = family(process::id()).unwrap();
        assert_eq!(family[0], process::id());
        assert!(peak_mib(&family[..1]).unwrap() > 0.0);
        let usage = Usage::of(&family[..1]).unwrap();
        assert!(!usage.switches.is_empty());
    }

    fn usage(at: Instant, ticks: [u64; 3], switches: &[(u32, u64)]) -> Usage {
        let [cpu_ticks, load_ticks, machine_ticks] = ticks;
        Usage {
            at,
            cpu_ticks,
            load_ticks,
            machine_ticks,
            switches: switches.iter().copied().collect(),
        }
    }

    #[test]
    fn a_thread_that_ended_makes_the_difference_no_smaller() {
        let now = Instant::now();
        let before = usage(now, [0; 3], &[(1, 10), (2, 500)]);
        let after = usage(now, [0; 3], &[(1, 15), (3, 2)]);
        assert_eq!(after.switches_since(&before), 7);
    }

    #[test]
    fn what_neither_the_server_nor_the_load_used_was_used_by_others() {
        let now = Instant::now();
        let second = ticks_per_second().unwrap() as u64;
        let before = usage(now, [5; 3], &[]);
        let later = now + Duration::from_secs(2);
        let after = usage(later, [5 + second, 5 + second, 5 + 3 * second], &[]);
        assert_eq!(after.others_cpus_since(&before).unwrap(), 0.5);
        assert_eq!(after.cpu_us_since(&before).unwrap(), 1e6);
    }
}
