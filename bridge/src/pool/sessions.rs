//! The sessions of one worker, one of each kind at most: kept between calls, closed when they have
//! idled, aged or been used enough.

use super::opening;
use super::serve::Bound;
use super::session::{Kept, Session};
use crate::error::CallError;
use std::any::Any;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long the sessions of a pool live.
#[derive(Debug, Clone, Copy)]
pub(super) struct SessionLimits {
    /// How long one may idle.
    pub(super) idle: Duration,
    /// Having idled for longer than this, it is checked before it is used.
    pub(super) check_after: Duration,
    pub(super) max_age: Duration,
    pub(super) max_uses: u64,
    /// How many of each kind are kept open.
    pub(super) min: usize,
}

impl SessionLimits {
    /// When a session that is opened `now` is too old. Up to a tenth earlier than its age allows, by
    /// `random` from 0 to 1: sessions that are opened together are not replaced together.
    pub(super) fn expiry(&self, now: Instant, random: f64) -> Option<Instant> {
        let jitter = (self.max_age / 10).mul_f64(random);
        // A limit that passes the end of time is none.
        now.checked_add(self.max_age - jitter)
    }
}

/// A session that is kept warm is looked after, and replaced, no more often than this, however short its
/// limits are.
const WARM_LOOK_EVERY: Duration = Duration::from_secs(1);

struct Entry {
    kind: u64,
    session: Box<dyn Kept>,
    expires_at: Option<Instant>,
    /// From when its idling counts: a call ended in it then, or it was found good.
    idle_since: Instant,
}

impl Entry {
    /// When something must be done about it.
    fn due_at(&self, idle: Duration) -> Option<Instant> {
        if self.session.is_orphan() {
            return Some(self.idle_since);
        }
        // As above.
        let idled_at = self.idle_since.checked_add(idle);
        idled_at.into_iter().chain(self.expires_at).min()
    }

    fn is_expired(&self, now: Instant) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }
}

/// All sessions of one worker.
pub(crate) struct Sessions {
    entries: Vec<Entry>,
    /// What no call may run in any more. It is closed when the outcome of the call is on its way.
    closing: Vec<Box<dyn Kept>>,
    limits: SessionLimits,
}

impl Sessions {
    pub(super) fn new(limits: SessionLimits) -> Self {
        Self {
            entries: Vec::new(),
            closing: Vec::new(),
            limits,
        }
    }

    /// Takes the kind's session out, opening, checking or replacing it if need be.
    pub(super) fn take<S: 'static>(
        &mut self,
        bound: &Arc<Bound<S>>,
        now: Instant,
    ) -> Result<Box<Session<S>>, CallError> {
        let kind = bound.kind.id;
        if let Some(at) = self.entries.iter().position(|entry| entry.kind == kind) {
            let entry = self.entries.swap_remove(at);
            let is_expired = entry.is_expired(now);
            let idled = now.saturating_duration_since(entry.idle_since);
            // A kind's number is its own, and so is the type of its sessions.
            if let Ok(mut session) = (entry.session as Box<dyn Any>).downcast::<Session<S>>() {
                if !is_expired && session.is_good(idled >= self.limits.check_after) {
                    return Ok(session);
                }
                session.close();
            }
        }
        // A new kind has often taken an old one's place; without this, a pool whose kinds change
        // every second would keep a minute's worth of them.
        self.close_orphans();
        opening::open(bound)
    }

    /// Puts a session back, unless it has had its time.
    pub(super) fn put<S: 'static>(
        &mut self,
        bound: &Bound<S>,
        mut session: Box<Session<S>>,
        now: Instant,
    ) {
        if session.is_reusable(self.limits.max_uses) {
            self.keep(bound.kind.id, session, now);
        } else {
            self.close_soon(session);
        }
    }

    /// Has a session closed after the call.
    pub(super) fn close_soon<S: 'static>(&mut self, session: Box<Session<S>>) {
        self.closing.push(session);
    }

    /// Whether the last call has left anything to be closed.
    pub(super) fn are_left_to_close(&self) -> bool {
        !self.closing.is_empty()
    }

    /// Closes what the last call has left to be closed.
    pub(super) fn close_left(&mut self) {
        self.closing.drain(..).for_each(|session| session.close());
    }

    /// Keeps a session that is not there yet.
    pub(super) fn keep<S: 'static>(&mut self, kind: u64, session: Box<Session<S>>, now: Instant) {
        let expires_at = session.expires_at();
        self.entries.push(Entry {
            kind,
            session,
            expires_at,
            idle_since: now,
        });
    }

    pub(super) fn has(&self, kind: u64) -> bool {
        self.entries.iter().any(|entry| entry.kind == kind)
    }

    /// When something must be done about the next session.
    pub(super) fn due_at(&self) -> Option<Instant> {
        let idle = self.limits.idle;
        self.entries
            .iter()
            .filter_map(|entry| entry.due_at(idle))
            .min()
    }

    /// Closes what has idled or aged enough. What is kept warm is checked instead of closed for idling, as
    /// far as the worker `may_check`: otherwise it stays due.
    pub(super) fn close_due(&mut self, now: Instant, may_check: impl Fn() -> bool) {
        let idle = self.limits.idle;
        let mut at = 0;
        while let Some(entry) = self.entries.get_mut(at) {
            if entry.due_at(idle).is_none_or(|due_at| due_at > now) {
                at += 1;
                continue;
            }
            let is_over = entry.is_expired(now) || entry.session.leave_if_spare();
            if !is_over && !may_check() {
                at += 1;
                continue;
            }
            let mut entry = self.entries.swap_remove(at);
            if is_over || !entry.session.is_good() {
                // Else one that never lasts would be opened again and again without a pause.
                let pause_until = entry.idle_since + WARM_LOOK_EVERY;
                entry.session.put_off_warming(pause_until);
                entry.session.close();
            } else {
                entry.idle_since = Instant::now() + WARM_LOOK_EVERY.saturating_sub(idle);
                self.entries.push(entry);
            }
        }
    }

    /// Closes what no call can use any more.
    pub(super) fn close_orphans(&mut self) {
        let is_orphan = |entry: &Entry| entry.session.is_orphan();
        while let Some(at) = self.entries.iter().position(is_orphan) {
            self.entries.swap_remove(at).session.close();
        }
    }

    /// What is here is of no use to calls for now, and need not be kept.
    pub(super) fn leave(&mut self) {
        self.entries
            .iter_mut()
            .for_each(|entry| entry.session.leave());
    }

    /// What is here is of use to calls again.
    pub(super) fn come_back(&mut self) {
        self.entries
            .iter_mut()
            .for_each(|entry| entry.session.come_back());
    }

    pub(super) fn close_all(&mut self) {
        self.close_left();
        self.entries
            .drain(..)
            .for_each(|entry| entry.session.close());
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len() + self.closing.len()
    }
}

#[cfg(test)]
mod tests {
    use super::SessionLimits;
    use std::time::{Duration, Instant};

    fn limits(max_age: Duration) -> SessionLimits {
        SessionLimits {
            idle: Duration::MAX,
            check_after: Duration::ZERO,
            max_age,
            max_uses: u64::MAX,
            min: 0,
        }
    }

    #[test]
    fn sessions_opened_together_expire_apart_within_a_tenth_of_their_age() {
        let (limits, now) = (limits(Duration::from_secs(100)), Instant::now());
        let ages =
            [0.0, 0.5, 1.0].map(|random| (limits.expiry(now, random).unwrap() - now).as_secs());
        assert_eq!(ages, [100, 95, 90]);
    }

    #[test]
    fn an_age_without_end_never_comes() {
        let limits = limits(Duration::MAX);
        assert_eq!(limits.expiry(Instant::now(), 0.0), None);
        assert_eq!(limits.expiry(Instant::now(), 1.0), None);
    }
}
