//! A hierarchical timer wheel: what is due next, and what is due by now.
//!
//! The event loop calls it, on the loop's own thread only, so it has no lock and no atomic. It holds
//! no clock either: the loop counts ticks (a tick is 1 ms there) and tells the wheel how far it got.
//!
//! # Promises
//!
//! - **Never early.** A value fires only once the wheel was advanced to its due tick.
//! - **Once.** A value fires or is cancelled, never both. A key that is no longer pending finds
//!   nothing, also after its place in memory was reused.
//! - **Bounded.** Inserting, cancelling and re-arming cost the same with one timer pending or 100,000.
//!   One call of [`Wheel::advance`] touches at most twice its limit of entries, however far the
//!   clock jumped. Memory follows the largest number of timers ever pending at once.
//!
//! # How it works
//!
//! The scheme is from G. Varghese and T. Lauck, "Hashed and Hierarchical Timing Wheels", 11th ACM
//! Symposium on Operating Systems Principles, 1987.
//!
//! Read a tick as a number with digits of six bits, the lowest digit first. A pending entry lies on
//! the level of the highest digit in which its due tick differs from the current tick, in the slot
//! named by that digit of its due tick:
//!
//! ```text
//! level   one slot spans                 one level spans
//!   0              1 tick                     64 ticks
//!   1             64 ticks                 4,096 ticks      4 s  at 1 ms
//!   2          4,096 ticks               262,144 ticks      4 min
//!   3        262,144 ticks            16,777,216 ticks      5 h
//!   4     16,777,216 ticks         1,073,741,824 ticks     12 days
//!   5  1,073,741,824 ticks        68,719,476,736 ticks      2 years
//! ```
//!
//! Two things follow, and the rest of the file leans on them. Occupied slots are always ahead of
//! the current tick, so no slot wraps around. And everything on a level is due before anything on
//! the level above. So the next slot is the lowest bit set in the lowest bitmap that is not empty.
//!
//! When the current tick reaches a slot of level 0, its entries are due. When it reaches a slot of a
//! higher level, its entries are filed again and land on lower levels; each moves at most five times.
//! What lies beyond the top level is parked in a list of its own that remembers its earliest due
//! tick. It is not looked at until the clock reaches the range which that tick is in, so a timer
//! that means "never" is never moved.
//!
//! ```text
//!            insert, rearm ──┬───────────────┬────────────────────┐
//!                            ▼               ▼                    ▼
//!   PARKED ─▶ REFILING ─▶ a slot ─level 0─▶ READY ─▶ fired    (any but fired
//!                 ▲          │                                 can be cancelled)
//!                 └─level 1+─┘
//! ```

mod lists;
#[cfg(test)]
mod tests;

pub(crate) use lists::Key;
use lists::Lists;

/// Bits of a tick that one level looks at: one digit.
const SLOT_BITS: u32 = 6;
/// Slots of a level. A bitmap of them is one `u64`.
const SLOTS: u32 = 1 << SLOT_BITS;
const LEVELS: u32 = 6;
/// Bits of a tick that all levels together look at. Ticks that agree above them share a range.
const RANGE_BITS: u32 = SLOT_BITS * LEVELS;

// Lists 0 to 383 are the slots, level by level. These follow.

/// Due by the current tick, in the order in which they will fire.
const READY: u32 = LEVELS * SLOTS;
/// Taken from a slot whose time has come, on their way to a lower level.
const REFILING: u32 = READY + 1;
/// Due beyond the range of the current tick.
const PARKED: u32 = REFILING + 1;
const LISTS: u32 = PARKED + 1;

/// Pending values by the tick on which they are due. See the module's documentation.
pub(crate) struct Wheel<T> {
    lists: Lists<T>,
    /// One bitmap per level; a bit is set exactly while its slot has entries.
    occupied: [u64; LEVELS as usize],
    /// How far the wheel has turned. Everything in a slot or parked is due after it.
    current_tick: u64,
    /// No parked entry is due before this. It is `u64::MAX` while nothing is parked, and may be too
    /// low after the earliest parked entry was cancelled.
    parked_due_tick_min: u64,
    #[cfg(test)]
    steps: Steps,
}

/// What the wheel did, for tests that bound its work.
#[cfg(test)]
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Steps {
    slots_entered: usize,
    entries_refiled: usize,
}

impl<T> Wheel<T> {
    /// An empty wheel, at tick 0.
    pub(crate) fn new() -> Self {
        Self {
            lists: Lists::new(LISTS),
            occupied: [0; LEVELS as usize],
            current_tick: 0,
            parked_due_tick_min: u64::MAX,
            #[cfg(test)]
            steps: Steps::default(),
        }
    }

    /// Keeps `value` until `due_tick`, or until it is cancelled. If `due_tick` has passed, the value
    /// fires at the next [`advance`](Self::advance).
    ///
    /// # Panics
    ///
    /// If more than about 4,294,966,000 values are pending, which takes more than 100 GB of memory.
    pub(crate) fn insert(&mut self, due_tick: u64, value: T) -> Key {
        let key = self.lists.insert(due_tick, value);
        self.file(key.index());
        key
    }

    /// The pending value of `key`; `None` if it fired or was cancelled.
    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        self.lists.get_mut(key)
    }

    /// Takes the value of `key` out, so that it never fires. `None` if it fired or was cancelled.
    pub(crate) fn cancel(&mut self, key: Key) -> Option<T> {
        let index = self.lists.find(key)?;
        self.unlink(index);
        self.lists.remove(index)
    }

    /// Moves the pending value of `key` to another due tick, later or earlier; the key stays good.
    /// For the order of firing this is a new insertion. `false`, and nothing done, if `key` is not
    /// pending.
    pub(crate) fn rearm(&mut self, key: Key, due_tick: u64) -> bool {
        let Some(index) = self.lists.find(key) else {
            return false;
        };
        self.unlink(index);
        self.lists.set_due_tick(index, due_tick);
        self.file(index);
        true
    }

    /// When to call [`advance`](Self::advance) next; `None` if nothing is pending.
    ///
    /// The current tick if `advance` has something to do at once. Otherwise a later tick, at or
    /// before the first due tick: exactly that one if it is in the same 64 ticks as the current tick
    /// (level 0), else the tick at which the wheel has entries to file again.
    pub(crate) fn next_due_tick(&self) -> Option<u64> {
        if !self.lists.is_empty(READY) || !self.lists.is_empty(REFILING) {
            return Some(self.current_tick);
        }
        self.next_slot().map(|(_, start_tick)| start_tick)
    }

    /// Turns the wheel to `now_tick` and appends what is due by then to `fired`, at most `limit`
    /// values. A `now_tick` before an earlier one counts as that one: the wheel never turns back.
    ///
    /// Returns `false` when the wheel got there: nothing pending is due by `now_tick`. Returns `true`
    /// when it stopped on the way: call again. That happens after `limit` values, and also after
    /// filing `limit` entries again, so a call may return `true` without having fired anything. A
    /// limit of 0 makes no progress.
    ///
    /// Values fire in order of due tick, over all calls; one that was late when it was inserted
    /// counts as due on the tick that the wheel was at. On the same tick they fire in order of
    /// insertion, except that one inserted between a call that returned `true` and the next that
    /// returns `false` may fire before older ones of its tick.
    pub(crate) fn advance(&mut self, now_tick: u64, limit: usize, fired: &mut Vec<T>) -> bool {
        let mut refile_budget = limit;
        let mut fire_budget = limit;
        loop {
            // Refiling goes first: it may add to what is ready, and nothing new can join it, so
            // values that are late on insertion cannot hold it up.
            let all_done = self.refile(&mut refile_budget) && self.fire(&mut fire_budget, fired);
            if !all_done {
                return true;
            }
            if !self.enter_next_slot(now_tick) {
                self.current_tick = self.current_tick.max(now_tick);
                return false;
            }
        }
    }

    /// How many values are pending.
    pub(crate) fn len(&self) -> usize {
        self.lists.len()
    }

    /// Whether nothing is pending.
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Files what waits to be filed again; `false` if the budget ended first.
    fn refile(&mut self, budget: &mut usize) -> bool {
        while let Some(index) = self.lists.first(REFILING) {
            if *budget == 0 {
                return false;
            }
            *budget -= 1;
            self.unlink(index);
            self.file(index);
            #[cfg(test)]
            {
                self.steps.entries_refiled += 1;
            }
        }
        true
    }

    /// Fires what is ready; `false` if the budget ended first.
    fn fire(&mut self, budget: &mut usize, fired: &mut Vec<T>) -> bool {
        while let Some(index) = self.lists.first(READY) {
            if *budget == 0 {
                return false;
            }
            *budget -= 1;
            self.unlink(index);
            fired.extend(self.lists.remove(index));
        }
        true
    }

    /// Turns the wheel to the next slot that has entries and takes them out of it. `false`, and
    /// nothing done, if that slot starts after `now_tick`.
    ///
    /// Call it only when nothing is ready or refiling: those are due no later than that slot.
    fn enter_next_slot(&mut self, now_tick: u64) -> bool {
        let Some((list, start_tick)) = self.next_slot() else {
            return false;
        };
        if start_tick > now_tick {
            return false;
        }
        debug_assert!(
            start_tick > self.current_tick,
            "the wheel only turns forward"
        );
        self.current_tick = start_tick;
        let target = if list < SLOTS { READY } else { REFILING };
        self.lists.append(list, target);
        self.note_emptied(list);
        #[cfg(test)]
        {
            self.steps.slots_entered += 1;
        }
        true
    }

    /// The first list after the current tick that has entries, and the tick at which it starts.
    fn next_slot(&self) -> Option<(u32, u64)> {
        for (level, &bits) in (0..LEVELS).zip(&self.occupied) {
            if bits != 0 {
                let slot = bits.trailing_zeros();
                let shift = level * SLOT_BITS;
                let level_start_tick = clear_low_bits(self.current_tick, shift + SLOT_BITS);
                let start_tick = level_start_tick | (u64::from(slot) << shift);
                return Some((level * SLOTS + slot, start_tick));
            }
        }
        let range_start_tick = clear_low_bits(self.parked_due_tick_min, RANGE_BITS);
        (!self.lists.is_empty(PARKED)).then_some((PARKED, range_start_tick))
    }

    /// Puts an entry that is in no list into the one that its due tick asks for.
    fn file(&mut self, index: u32) {
        let due_tick = self.lists.due_tick(index);
        let list = self.list_for(due_tick);
        self.lists.push_back(list, index);
        if list < READY {
            self.occupied[(list / SLOTS) as usize] |= 1 << (list % SLOTS);
        } else if list == PARKED {
            self.parked_due_tick_min = self.parked_due_tick_min.min(due_tick);
        }
    }

    fn list_for(&self, due_tick: u64) -> u32 {
        if due_tick <= self.current_tick {
            return READY;
        }
        let highest_bit = (due_tick ^ self.current_tick).ilog2();
        if highest_bit >= RANGE_BITS {
            return PARKED;
        }
        let level = highest_bit / SLOT_BITS;
        let digit = (due_tick >> (level * SLOT_BITS)) % u64::from(SLOTS);
        level * SLOTS + digit as u32
    }

    fn unlink(&mut self, index: u32) {
        if let Some(list) = self.lists.unlink(index) {
            self.note_emptied(list);
        }
    }

    fn note_emptied(&mut self, list: u32) {
        if list < READY {
            self.occupied[(list / SLOTS) as usize] &= !(1 << (list % SLOTS));
        } else if list == PARKED {
            self.parked_due_tick_min = u64::MAX;
        }
    }
}

/// `tick` with its `count` lowest bits zero: the start of the span of `2^count` ticks it is in.
const fn clear_low_bits(tick: u64, count: u32) -> u64 {
    tick >> count << count
}
