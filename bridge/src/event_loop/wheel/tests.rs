//! The wheel as a specification: single behaviours and bounds on its work. Random histories are in
//! `model`.

mod model;

use super::*;

/// More than any test needs in one call of `advance`. A wheel that runs in circles still fails.
const NO_LIMIT: usize = 1_000_000;
const RANGE_TICKS: u64 = 1 << RANGE_BITS;

fn advance_to<T>(wheel: &mut Wheel<T>, now_tick: u64) -> Vec<T> {
    let mut fired = Vec::new();
    assert!(!wheel.advance(now_tick, NO_LIMIT, &mut fired));
    check(wheel);
    fired
}

/// Checks what must hold between any two calls: bitmaps and lists agree, every entry is in the list
/// that the current tick asks for, and nothing was lost.
fn check<T>(wheel: &Wheel<T>) {
    let mut linked = 0;
    for list in 0..LISTS {
        let due_ticks = wheel.lists.due_ticks(list);
        linked += due_ticks.len();
        if list < READY {
            let bit = wheel.occupied[(list / SLOTS) as usize] >> (list % SLOTS) & 1;
            assert_eq!(bit == 1, !due_ticks.is_empty(), "bitmap of list {list}");
        }
        for due_tick in due_ticks {
            match list {
                REFILING => assert!(due_tick >= wheel.current_tick),
                _ => assert_eq!(wheel.list_for(due_tick), list, "due tick {due_tick}"),
            }
            if list == PARKED {
                assert!(wheel.parked_due_tick_min <= due_tick);
            }
        }
    }
    assert_eq!(linked, wheel.len());
}

#[test]
fn an_empty_wheel_has_nothing_due() {
    let mut wheel = Wheel::<()>::new();
    assert_eq!(wheel.next_due_tick(), None);
    assert!(wheel.is_empty());
    assert!(advance_to(&mut wheel, u64::MAX).is_empty());
    assert_eq!(wheel.next_due_tick(), None);
}

#[test]
fn a_value_fires_on_its_due_tick_and_not_before() {
    let spans = (0..=RANGE_BITS + SLOT_BITS).map(|bits| 1_u64 << bits);
    for due_tick in spans.flat_map(|span| [span - 1, span, span + 1]) {
        let mut wheel = Wheel::new();
        wheel.insert(due_tick, ());
        if let Some(tick_before) = due_tick.checked_sub(1) {
            assert!(advance_to(&mut wheel, tick_before).is_empty(), "{due_tick}");
            assert_eq!(wheel.next_due_tick(), Some(due_tick));
        }
        assert_eq!(advance_to(&mut wheel, due_tick).len(), 1, "{due_tick}");
        assert!(wheel.is_empty());
    }
}

#[test]
fn the_last_tick_of_all_can_be_due() {
    let mut wheel = Wheel::new();
    wheel.insert(u64::MAX, "the end");
    assert!(advance_to(&mut wheel, u64::MAX - 1).is_empty());
    assert_eq!(advance_to(&mut wheel, u64::MAX), ["the end"]);
}

#[test]
fn a_due_tick_in_the_past_fires_at_the_next_advance() {
    let mut wheel = Wheel::new();
    advance_to(&mut wheel, 1_000);
    wheel.insert(3, "late");
    assert_eq!(wheel.next_due_tick(), Some(1_000));
    assert_eq!(advance_to(&mut wheel, 1_000), ["late"]);
}

#[test]
fn a_clock_that_steps_back_neither_turns_the_wheel_back_nor_delays_what_is_due() {
    let mut wheel = Wheel::new();
    advance_to(&mut wheel, 1_000);
    wheel.insert(1_001, "later");
    wheel.insert(1_000, "now");
    assert_eq!(advance_to(&mut wheel, 10), ["now"]);
    assert_eq!(wheel.next_due_tick(), Some(1_001));
    assert_eq!(advance_to(&mut wheel, 1_001), ["later"]);
}

#[test]
fn values_of_one_tick_fire_in_order_of_insertion_whatever_level_they_came_from() {
    let mut wheel = Wheel::new();
    wheel.insert(5_000, "from level 2");
    advance_to(&mut wheel, 4_900);
    wheel.insert(5_000, "from level 1");
    advance_to(&mut wheel, 4_999);
    wheel.insert(5_000, "from level 0");
    let fired = advance_to(&mut wheel, 9_999);
    assert_eq!(fired, ["from level 2", "from level 1", "from level 0"]);
}

#[test]
fn a_cancelled_value_comes_back_and_never_fires() {
    let mut wheel = Wheel::new();
    let keys = [0, 7, 700, RANGE_TICKS + 7].map(|due_tick| wheel.insert(due_tick, due_tick));
    for key in keys {
        assert!(wheel.cancel(key).is_some());
        assert_eq!(wheel.cancel(key), None);
        check(&wheel);
    }
    assert_eq!(wheel.next_due_tick(), None);
    assert!(advance_to(&mut wheel, u64::MAX).is_empty());
}

#[test]
fn a_value_that_is_due_but_did_not_fit_the_limit_can_still_be_cancelled() {
    let mut wheel = Wheel::new();
    wheel.insert(5, "first");
    let second = wheel.insert(5, "second");
    let mut fired = Vec::new();
    assert!(wheel.advance(5, 1, &mut fired));
    assert_eq!(wheel.cancel(second), Some("second"));
    assert!(!wheel.advance(5, 1, &mut fired));
    assert_eq!(fired, ["first"]);
}

#[test]
fn a_key_whose_place_was_reused_finds_nothing() {
    let mut wheel = Wheel::new();
    let fired = wheel.insert(1, "fired");
    advance_to(&mut wheel, 1);
    let reuser = wheel.insert(9, "reuser");
    assert_eq!(wheel.lists.places(), 1, "the place was not reused");

    assert_eq!(wheel.get_mut(fired), None);
    assert!(!wheel.rearm(fired, 2));
    assert_eq!(wheel.cancel(fired), None);
    assert_eq!(wheel.get_mut(reuser), Some(&mut "reuser"));
    assert_eq!(advance_to(&mut wheel, 9), ["reuser"]);
}

#[test]
fn a_place_whose_generations_are_used_up_is_not_used_again() {
    let mut wheel = Wheel::new();
    let first = wheel.insert(1, "first");
    let last = wheel.lists.wear_out(first);
    assert_eq!(wheel.cancel(last), Some("first"));

    let fresh = wheel.insert(2, "fresh");
    assert_eq!(wheel.lists.places(), 2);
    for stale in [first, last] {
        assert_eq!(wheel.get_mut(stale), None);
        assert!(!wheel.rearm(stale, 3));
        assert_eq!(wheel.cancel(stale), None);
    }
    check(&wheel);
    assert_eq!(wheel.get_mut(fresh), Some(&mut "fresh"));
    assert_eq!(wheel.len(), 1);
}

#[test]
fn a_rearmed_value_fires_once_on_its_new_tick_under_its_old_key() {
    let mut wheel = Wheel::new();
    let key = wheel.insert(100, 1);
    for due_tick in [100_000, 3, RANGE_TICKS * 5, 0, 50] {
        assert!(wheel.rearm(key, due_tick));
        check(&wheel);
    }
    if let Some(value) = wheel.get_mut(key) {
        *value += 1;
    }
    assert!(advance_to(&mut wheel, 49).is_empty());
    assert_eq!(advance_to(&mut wheel, 100_000), [2]);
    assert!(!wheel.rearm(key, 200_000));
}

#[test]
fn the_next_due_tick_is_exact_within_64_ticks_and_never_late_beyond() {
    let mut wheel = Wheel::new();
    wheel.insert(130, ());
    assert_eq!(wheel.next_due_tick(), Some(128), "the start of its slot");
    wheel.insert(40, ());
    assert_eq!(wheel.next_due_tick(), Some(40));
    advance_to(&mut wheel, 128);
    assert_eq!(wheel.next_due_tick(), Some(130));
}

#[test]
fn sleeping_until_the_next_due_tick_reaches_any_timer_in_few_wakes() {
    let mut wheel = Wheel::new();
    // The highest digit of every level is set: one slot to enter on each.
    let due_tick = RANGE_TICKS - 1;
    wheel.insert(due_tick, ());
    let mut wakes = 0;
    while let Some(tick) = wheel.next_due_tick() {
        wakes += 1;
        assert!(wakes <= LEVELS, "woken more than once per level");
        let fired = advance_to(&mut wheel, tick);
        assert_eq!(!fired.is_empty(), tick == due_tick);
    }
    assert_eq!(wakes, LEVELS);
}

#[test]
fn a_timer_that_means_never_is_not_touched_while_the_clock_runs() {
    let mut wheel = Wheel::new();
    wheel.insert(u64::MAX, ());
    for range in 1..1_000 {
        assert!(advance_to(&mut wheel, range * RANGE_TICKS).is_empty());
    }
    assert_eq!(wheel.steps.entries_refiled, 0);
}

#[test]
fn the_limit_bounds_what_one_call_fires_and_refiles() {
    const LIMIT: usize = 10;
    let mut wheel = Wheel::new();
    // All on level 1: each has to be filed again before the first can fire.
    for value in 0..100 {
        wheel.insert(70 + value % 5, value);
    }
    let mut fired = Vec::new();
    let mut calls = 1;
    while wheel.advance(1_000, LIMIT, &mut fired) {
        check(&wheel);
        assert!(wheel.steps.entries_refiled <= calls * LIMIT);
        assert!(fired.len() <= calls * LIMIT);
        calls += 1;
        assert!(calls <= 2 * 100 / LIMIT + 1, "calls without progress");
    }
    let mut expected: Vec<u64> = (0..100).collect();
    expected.sort_by_key(|value| value % 5);
    assert_eq!(fired, expected);
}

#[test]
fn a_limit_of_zero_tells_whether_something_is_due_and_fires_nothing() {
    let mut wheel = Wheel::new();
    wheel.insert(5, "due");
    let mut fired = Vec::new();
    assert!(!wheel.advance(4, 0, &mut fired));
    assert!(wheel.advance(5, 0, &mut fired));
    assert!(fired.is_empty());
    assert_eq!(advance_to(&mut wheel, 5), ["due"]);
}

#[test]
fn a_hundred_thousand_timers_cost_a_bounded_number_of_steps() {
    const TIMERS: usize = 100_000;
    const LIMIT: usize = 256;
    const HOUR_TICKS: u64 = 3_600_000;
    let mut wheel = Wheel::new();
    // One timer every 36 ticks of an hour, inserted in no order.
    let due_tick = |timer: usize| (timer as u64 * 7_919 * 36) % HOUR_TICKS + 1;
    let keys: Vec<Key> = (0..TIMERS)
        .map(|timer| wheel.insert(due_tick(timer), timer))
        .collect();
    for key in keys.iter().step_by(2) {
        assert!(wheel.cancel(*key).is_some());
    }
    for key in keys.iter().skip(1).step_by(4) {
        assert!(wheel.rearm(*key, HOUR_TICKS));
    }
    assert_eq!(
        wheel.steps,
        Steps::default(),
        "only advance does more than one step"
    );

    let mut fired = Vec::new();
    loop {
        let (steps, fired_before) = (wheel.steps, fired.len());
        let more = wheel.advance(HOUR_TICKS, LIMIT, &mut fired);
        let entries_refiled = wheel.steps.entries_refiled - steps.entries_refiled;
        let fired_now = fired.len() - fired_before;
        let slots_entered = wheel.steps.slots_entered - steps.slots_entered;
        assert!(entries_refiled <= LIMIT && fired_now <= LIMIT);
        assert!(
            slots_entered <= entries_refiled + fired_now + 1,
            "empty slots were entered"
        );
        if !more {
            break;
        }
    }
    assert_eq!(fired.len(), TIMERS / 2);
    // An hour reaches to level 3.
    assert!(wheel.steps.entries_refiled <= 3 * TIMERS / 2);

    for timer in 0..TIMERS {
        wheel.insert(HOUR_TICKS + due_tick(timer), timer);
    }
    assert_eq!(wheel.lists.places(), TIMERS, "freed places were not reused");
}

#[test]
fn a_jump_of_the_clock_costs_no_more_than_the_timers_it_passes() {
    let mut wheel = Wheel::new();
    let due_ticks = [10, RANGE_TICKS / 2, RANGE_TICKS * 1_000_000, u64::MAX];
    for due_tick in due_ticks {
        wheel.insert(due_tick, due_tick);
    }
    assert_eq!(advance_to(&mut wheel, u64::MAX), due_ticks);
    let steps = wheel.steps;
    assert!(steps.slots_entered <= 4 * 7, "{steps:?}");
}
