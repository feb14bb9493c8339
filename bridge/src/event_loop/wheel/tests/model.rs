//! Random histories of the wheel, compared step by step with a sorted map that does the same.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// The reference: what is pending, sorted by the tick it is due on and then by age.
#[derive(Default)]
struct Model {
    pending: BTreeMap<(u64, usize), Pending>,
    timers: Vec<Timer>,
    now_tick: u64,
    /// Numbers insertions and re-arms.
    age: usize,
    /// The last `advance` asked to be called again.
    unfinished: bool,
}

struct Pending {
    timer: usize,
    due_tick: u64,
    /// Insertion order is promised: it did not come while an advance was unfinished.
    ordered: bool,
}

struct Timer {
    key: Key,
    /// Its place in `pending`; `None` once it fired or was cancelled.
    place: Option<(u64, usize)>,
}

impl Model {
    fn place(&mut self, timer: usize, due_tick: u64, wheel_tick: u64) {
        self.age += 1;
        let place = (due_tick.max(wheel_tick), self.age);
        let ordered = !self.unfinished;
        let pending = Pending {
            timer,
            due_tick,
            ordered,
        };
        self.pending.insert(place, pending);
        self.timers[timer].place = Some(place);
    }

    fn fire(&mut self, timer: usize) {
        let place = self.timers[timer].place.take();
        let (effective_tick, age) = place.expect("fired twice, or after it was cancelled");
        let earliest = self.pending.keys().next();
        assert_eq!(earliest.map(|(tick, _)| *tick), Some(effective_tick));
        let is_ordered = self.pending[&(effective_tick, age)].ordered;
        let older = self
            .pending
            .range((effective_tick, 0)..(effective_tick, age));
        let passed_over = older.filter(|(_, pending)| pending.ordered).count();
        assert!(
            !is_ordered || passed_over == 0,
            "out of order within a tick"
        );
        let pending = self.pending.remove(&(effective_tick, age));
        let due_tick = pending.expect("looked up above").due_tick;
        assert!(due_tick <= self.now_tick, "fired early");
    }
}

#[derive(Clone, Debug)]
enum Operation {
    Insert(Due),
    Cancel(prop::sample::Index),
    Rearm(prop::sample::Index, Due),
    GetMut(prop::sample::Index),
    Advance { ticks: u64, limit: usize },
    AdvanceToNext { limit: usize },
}

/// A due tick, seen from the model's now.
#[derive(Clone, Debug)]
enum Due {
    In(u64),
    Ago(u64),
    At(u64),
}

impl Due {
    fn tick(&self, now_tick: u64) -> u64 {
        match *self {
            Due::In(ticks) => now_tick.saturating_add(ticks),
            Due::Ago(ticks) => now_tick.saturating_sub(ticks),
            Due::At(tick) => tick,
        }
    }
}

/// All magnitudes alike: near ticks are as likely as far ones.
fn ticks() -> impl Strategy<Value = u64> {
    prop_oneof![
        4 => 0..4_u64,
        8 => 0..200_u64,
        6 => 0..10_000_u64,
        3 => 0..RANGE_TICKS,
        1 => 0..RANGE_TICKS * 8,
    ]
}

fn due() -> impl Strategy<Value = Due> {
    prop_oneof![
        12 => ticks().prop_map(Due::In),
        2 => ticks().prop_map(Due::Ago),
        1 => any::<u64>().prop_map(Due::At),
        1 => (0..3_u64).prop_map(|ticks| Due::At(u64::MAX - ticks)),
    ]
}

fn limit() -> impl Strategy<Value = usize> {
    prop_oneof![0..4_usize, 0..40_usize, Just(NO_LIMIT)]
}

fn operation() -> impl Strategy<Value = Operation> {
    let index = any::<prop::sample::Index>;
    prop_oneof![
        10 => due().prop_map(Operation::Insert),
        3 => index().prop_map(Operation::Cancel),
        3 => (index(), due()).prop_map(|(index, due)| Operation::Rearm(index, due)),
        1 => index().prop_map(Operation::GetMut),
        6 => (ticks(), limit()).prop_map(|(ticks, limit)| Operation::Advance { ticks, limit }),
        2 => limit().prop_map(|limit| Operation::AdvanceToNext { limit }),
    ]
}

/// Does one operation on both and compares what they say.
fn apply(wheel: &mut Wheel<usize>, model: &mut Model, operation: &Operation) {
    let pick = |index: &prop::sample::Index, model: &Model| {
        (!model.timers.is_empty()).then(|| index.index(model.timers.len()))
    };
    match operation {
        Operation::Insert(due) => {
            let (timer, due_tick) = (model.timers.len(), due.tick(model.now_tick));
            let key = wheel.insert(due_tick, timer);
            model.timers.push(Timer { key, place: None });
            model.place(timer, due_tick, wheel.current_tick);
        }
        Operation::Cancel(index) => {
            if let Some(timer) = pick(index, model) {
                let place = model.timers[timer].place.take();
                let pending = place.and_then(|place| model.pending.remove(&place));
                let cancelled = wheel.cancel(model.timers[timer].key);
                assert_eq!(cancelled, pending.map(|pending| pending.timer));
            }
        }
        Operation::Rearm(index, due) => {
            if let Some(timer) = pick(index, model) {
                let due_tick = due.tick(model.now_tick);
                let place = model.timers[timer].place;
                let rearmed = wheel.rearm(model.timers[timer].key, due_tick);
                assert_eq!(rearmed, place.is_some());
                if let Some(place) = place {
                    model.pending.remove(&place);
                    model.place(timer, due_tick, wheel.current_tick);
                }
            }
        }
        Operation::GetMut(index) => {
            if let Some(timer) = pick(index, model) {
                let value = wheel.get_mut(model.timers[timer].key).copied();
                assert_eq!(value, model.timers[timer].place.map(|_| timer));
            }
        }
        Operation::Advance { ticks, limit } => {
            let now_tick = model.now_tick.saturating_add(*ticks);
            apply_advance(wheel, model, now_tick, *limit);
        }
        Operation::AdvanceToNext { limit } => {
            let next_tick = wheel.next_due_tick().unwrap_or(0).max(model.now_tick);
            apply_advance(wheel, model, next_tick, *limit);
        }
    }
}

fn apply_advance(wheel: &mut Wheel<usize>, model: &mut Model, now_tick: u64, limit: usize) {
    model.now_tick = now_tick;
    let refiled_before = wheel.steps.entries_refiled;
    let mut fired = Vec::new();
    model.unfinished = wheel.advance(now_tick, limit, &mut fired);
    let refiled = wheel.steps.entries_refiled - refiled_before;
    assert!(fired.len() <= limit && refiled <= limit);
    if model.unfinished {
        assert!(
            fired.len() == limit || refiled == limit,
            "stopped for no reason"
        );
    }
    for timer in fired {
        model.fire(timer);
    }
}

fn compare(wheel: &Wheel<usize>, model: &Model) {
    check(wheel);
    assert_eq!(wheel.len(), model.pending.len());
    let earliest_tick = model.pending.keys().next().map(|(tick, _)| *tick);
    let next_due_tick = wheel.next_due_tick();
    assert_eq!(next_due_tick.is_some(), earliest_tick.is_some());
    let (Some(next_due_tick), Some(earliest_tick)) = (next_due_tick, earliest_tick) else {
        return;
    };
    assert!(
        next_due_tick <= earliest_tick,
        "the loop would sleep too long"
    );
    if model.unfinished {
        return;
    }
    // Inserted late since the last advance is the one way to be due now.
    assert!(
        earliest_tick >= model.now_tick,
        "said it was done with timers due"
    );
    assert!(next_due_tick > model.now_tick || earliest_tick == model.now_tick);
    if earliest_tick / u64::from(SLOTS) == model.now_tick / u64::from(SLOTS) {
        assert_eq!(next_due_tick, earliest_tick, "not exact on level 0");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_history_fires_what_a_sorted_map_would(
        operations in prop::collection::vec(operation(), 1..150),
    ) {
        let (mut wheel, mut model) = (Wheel::new(), Model::default());
        for operation in &operations {
            apply(&mut wheel, &mut model, operation);
            compare(&wheel, &model);
        }
        apply_advance(&mut wheel, &mut model, u64::MAX, NO_LIMIT);
        prop_assert!(!model.unfinished && model.pending.is_empty() && wheel.is_empty());
    }
}
