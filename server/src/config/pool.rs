//! `[pool.NAME]`.

use std::time::Duration;

use pontoon_adapters::settings::{AutoOr, Diagnostic, Settings};
use pontoon_bridge::{CoDel, PoolBuilder, Spin};

use super::keys;
use super::limits::{count, duration, optional_count, optional_duration, size, spin};

/// A named set of workers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolConfig {
    /// The name, unique in the file.
    pub name: String,
    /// The number of workers, or the most of them if the pool finds its own size.
    pub threads: usize,
    /// The least calls that may run at once, if the pool finds its own size.
    pub threads_min: Option<usize>,
    /// Calls that may wait for a worker.
    pub max_queue: usize,
    /// When calls that wait are refused; `None` lets them wait until their deadlines.
    pub codel: Option<CoDel>,
    /// How long a worker keeps a session that it does not use.
    pub session_idle: Duration,
    /// How long a session may idle before it is checked.
    pub session_check_after: Duration,
    /// When a session is replaced for its age, if ever.
    pub session_max_age: Option<Duration>,
    /// After how many calls a session is replaced, if ever.
    pub session_max_uses: Option<u64>,
    /// Sessions that are kept open for each location.
    pub sessions_min: usize,
    /// Whether calls are refused while the backend is down.
    pub breaker: bool,
    /// How long a call may run before it counts as stuck.
    pub stuck_after: Duration,
    /// Spare workers that come in for stuck calls; `None`: as many as there are workers, but none for
    /// a single one.
    pub max_stuck: Option<usize>,
    /// Whether a stuck call is told to stop although its client still waits.
    pub interrupt_stuck: bool,
    /// The stack of each worker.
    pub stack_size_bytes: usize,
    /// How long a worker that has run out of work may look for more before it sleeps.
    pub spin: Spin,
}

/// Reads all keys, whatever is wrong with some of them. `server_spin` is the server's own value,
/// `None` where that is wrong.
pub(super) fn read(
    name: &str,
    settings: &mut Settings<'_>,
    server_spin: Option<Spin>,
) -> Option<PoolConfig> {
    let name_is_good = check_name(name, settings);
    let range = threads(settings);
    let threads = range.map(|(_, most)| most);
    let max_queue = count(settings, "max_queue", keys::MAX_QUEUE);
    let codel = codel(settings);
    let session_idle = duration(settings, "session_idle", keys::TIMEOUT);
    let session_check_after = duration(settings, "session_check_after", keys::SESSION_CHECK_AFTER);
    let session_max_age = session_max_age(settings);
    let session_max_uses = session_max_uses(settings);
    let sessions_min = sessions_min(settings, threads);
    let breaker = breaker(settings);
    let stuck_after = duration(settings, "stuck_after", keys::TIMEOUT);
    let max_stuck = max_stuck(settings, threads);
    let interrupt_stuck = settings.boolean_or_default("interrupt_stuck");
    let stack_size_bytes = size(settings, "stack_size", keys::STACK_SIZE);
    let spin = spin(settings, server_spin);
    settings.reject_unknown_keys();
    Some(PoolConfig {
        name: name_is_good.then(|| name.to_owned())?,
        threads: threads?,
        threads_min: range?.0,
        max_queue: max_queue?,
        codel: codel?,
        session_idle: session_idle?,
        session_check_after: session_check_after?,
        session_max_age: session_max_age?,
        session_max_uses: session_max_uses?,
        sessions_min: sessions_min?,
        breaker: breaker?,
        stuck_after: stuck_after?,
        max_stuck: max_stuck?,
        interrupt_stuck: interrupt_stuck?,
        stack_size_bytes: stack_size_bytes?,
        spin: spin?,
    })
}

/// The least, if the pool finds its own size, and the most.
fn threads(settings: &mut Settings<'_>) -> Option<(Option<usize>, usize)> {
    let is_auto = settings.contains("threads")
        && matches!(
            settings.auto_or_integer("threads", keys::THREADS)?,
            AutoOr::Auto
        );
    if is_auto {
        let least = count(settings, "threads_min", keys::THREADS);
        let most = count(settings, "threads_max", keys::THREADS);
        let (least, most) = (least?, most?);
        if least > most {
            let error = format!("`threads_min` is {least} and `threads_max` is {most}");
            let help = "the least must not be more than the most";
            settings.report("threads_min", Diagnostic::error(error).help(help));
            return None;
        }
        return Some((Some(least), most));
    }
    for key in ["threads_min", "threads_max"] {
        if settings.contains(key) && count(settings, key, keys::THREADS).is_some() {
            let error = Diagnostic::error(format!("`{key}` has no meaning here"));
            let help = "it goes with `threads = \"auto\"`, which lets the pool find its own size";
            settings.report(key, error.help(help));
        }
    }
    count(settings, "threads", keys::THREADS).map(|threads| (None, threads))
}

fn codel(settings: &mut Settings<'_>) -> Option<Option<CoDel>> {
    let target = if settings.contains("codel_target") {
        let off = [("off", None)];
        settings.word_or_duration("codel_target", &off, keys::TIMEOUT, Some)
    } else {
        Some(Some(CoDel::DEFAULT_TARGET))
    };
    let interval = duration(settings, "codel_interval", keys::TIMEOUT)?;
    Some(target?.map(|target| CoDel { target, interval }))
}

/// The outer `None` is a recorded error, here and below.
fn session_max_age(settings: &mut Settings<'_>) -> Option<Option<Duration>> {
    if !settings.contains("session_max_age") {
        return Some(None);
    }
    optional_duration(settings, "session_max_age", keys::SESSION_MAX_AGE).map(Some)
}

fn session_max_uses(settings: &mut Settings<'_>) -> Option<Option<u64>> {
    if !settings.contains("session_max_uses") {
        return Some(None);
    }
    let uses = settings.integer("session_max_uses", keys::SESSION_MAX_USES)?;
    u64::try_from(uses).ok().map(Some)
}

fn sessions_min(settings: &mut Settings<'_>, threads: Option<usize>) -> Option<usize> {
    let min = count(settings, "sessions_min", keys::SESSIONS_MIN)?;
    match threads {
        Some(threads) if min > threads => {
            let error = Diagnostic::error(format!(
                "`sessions_min` is {min}, and the pool has {threads} threads"
            ));
            let help = "a thread has one session of each location at most: lower `sessions_min` or \
                raise `threads`";
            settings.report("sessions_min", error.help(help));
            None
        }
        _ => Some(min),
    }
}

fn breaker(settings: &mut Settings<'_>) -> Option<bool> {
    if !settings.contains("breaker") {
        return Some(true);
    }
    let word = settings.choice("breaker", &["on", "off"])?;
    Some(word == "on")
}

fn max_stuck(settings: &mut Settings<'_>, threads: Option<usize>) -> Option<Option<usize>> {
    if !settings.contains("max_stuck") {
        return Some(None);
    }
    let spare = optional_count(settings, "max_stuck", keys::MAX_STUCK)?;
    let max = PoolBuilder::MAX_THREADS;
    match threads {
        Some(threads) if threads + spare > max => {
            let error = Diagnostic::error(format!(
                "`max_stuck` and `threads` are {} together",
                threads + spare
            ));
            let help = format!("a pool may have {max} threads: give less of one of them");
            settings.report("max_stuck", error.help(help));
            None
        }
        _ => Some(Some(spare)),
    }
}

fn check_name(name: &str, settings: &mut Settings<'_>) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let good = (1..=keys::POOL_NAME_BYTES_MAX).contains(&name.len()) && name.chars().all(plain);
    if !good {
        let error = Diagnostic::error(format!("`{name}` cannot be the name of a pool"));
        settings.report_table(error.help(
            "use up to 64 letters, digits, `-` and `_`: the name is in thread names and metrics",
        ));
    }
    good
}
