use super::{
    BreakerState, CALLS_MIN, Ended, Episode, MARK_EVERY, Machine, OPEN_MIN, OPENS_FAILED,
    PROBE_PATIENCE, PROBES, Reason, Succeeded, Transition, WINDOW,
};
use std::time::Duration;

mod model;

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A machine with its clock and its count of successes.
struct Rig {
    machine: Machine,
    now: Duration,
    succeeded: Succeeded,
}

impl Rig {
    fn new() -> Self {
        Self {
            machine: Machine::new(),
            now: ms(0),
            succeeded: Succeeded::default(),
        }
    }

    fn pass(&mut self, time: Duration) -> &mut Self {
        self.now += time;
        self
    }

    fn state(&self) -> BreakerState {
        self.machine.episode().state
    }

    fn end_of(&mut self, episode: Episode, ended: Ended, random: f64) -> Option<Transition> {
        if ended == Ended::CallSucceeded {
            self.succeeded.calls += 1;
        }
        // As the pool does it: what succeeds while it is closed is not told, but marked now and then.
        if ended == Ended::CallSucceeded && episode.state == BreakerState::Closed {
            self.machine.mark(self.now, self.succeeded.calls);
            return None;
        }
        self.machine
            .ended(episode, ended, self.now, self.succeeded, random)
    }

    fn end(&mut self, ended: Ended) -> Option<Transition> {
        self.end_of(self.machine.episode(), ended, 1.0)
    }

    fn admit(&mut self) -> Result<Option<Transition>, Duration> {
        self.machine.admit(self.now)
    }

    /// Opens it by failing opens.
    fn broken() -> Self {
        let mut rig = Self::new();
        for _ in 0..OPENS_FAILED {
            rig.end(Ended::OpenFailed);
        }
        assert_eq!(rig.state(), BreakerState::Open);
        rig
    }

    /// Lets its time pass, and a probe in.
    fn half_open(&mut self) -> &mut Self {
        let until = self.machine.next_call_at().unwrap();
        self.now = until;
        assert_eq!(self.admit(), Ok(Some(Transition::HalfOpened)));
        self
    }
}

#[test]
fn a_probe_that_is_not_run_makes_room_for_another_and_an_older_call_does_not() {
    let mut rig = Rig::broken();
    let before = rig.now;
    rig.half_open();
    let probe = rig.now;
    rig.pass(ms(1));
    rig.machine.unrun(before, rig.now);
    assert!(rig.admit().is_err());
    rig.machine.unrun(probe, rig.now);
    assert_eq!(rig.admit(), Ok(None));
}

#[test]
fn five_opens_that_fail_in_a_row_open_it() {
    let mut rig = Rig::new();
    for _ in 1..OPENS_FAILED {
        assert_eq!(rig.end(Ended::OpenFailed), None);
    }
    let reason = Reason::OpensFailed(OPENS_FAILED);
    let open_for = OPEN_MIN;
    let opened = Transition::Opened { reason, open_for };
    assert_eq!(rig.end(Ended::OpenFailed), Some(opened));
}

#[test]
fn a_session_that_is_opened_between_those_that_cannot_be_shows_that_the_backend_lives() {
    let mut rig = Rig::new();
    for _ in 0..3 {
        for _ in 1..OPENS_FAILED {
            assert_eq!(rig.end(Ended::OpenFailed), None);
        }
        rig.succeeded.opens += 1;
    }
    // So few are no rate either.
    assert_eq!(rig.state(), BreakerState::Closed);
}

#[test]
fn a_call_that_succeeds_between_opens_that_fail_shows_that_the_backend_lives() {
    let mut rig = Rig::new();
    for _ in 0..10 {
        for _ in 1..OPENS_FAILED {
            assert_eq!(rig.end(Ended::OpenFailed), None);
        }
        (0..20).for_each(|_| assert_eq!(rig.end(Ended::CallSucceeded), None));
    }
}

#[test]
fn half_of_at_least_twenty_calls_open_it() {
    let mut rig = Rig::new();
    // What came before the first note is not in any difference.
    assert_eq!(rig.end(Ended::CallSucceeded), None);
    for _ in 0..9 {
        assert_eq!(rig.end(Ended::CallSucceeded), None);
        assert_eq!(rig.end(Ended::CallFailed), None);
    }
    assert_eq!(rig.end(Ended::CallSucceeded), None);
    let reason = Reason::Rate {
        failed: 10,
        calls: CALLS_MIN,
    };
    let open_for = OPEN_MIN;
    let opened = Transition::Opened { reason, open_for };
    assert_eq!(rig.end(Ended::CallFailed), Some(opened));
}

#[test]
fn less_than_half_opens_nothing() {
    let mut rig = Rig::new();
    for _ in 0..1000 {
        assert_eq!(rig.end(Ended::CallSucceeded), None);
        assert_eq!(rig.pass(ms(10)).end(Ended::CallSucceeded), None);
        assert_eq!(rig.pass(ms(10)).end(Ended::CallFailed), None);
    }
}

#[test]
fn a_burst_of_failures_among_many_calls_opens_nothing() {
    let mut rig = Rig::new();
    for _ in 0..1000 {
        rig.pass(ms(10)).end(Ended::CallSucceeded);
    }
    for _ in 0..400 {
        assert_eq!(rig.end(Ended::CallFailed), None);
    }
}

#[test]
fn calls_of_long_ago_count_no_more() {
    let mut rig = Rig::new();
    for _ in 0..1000 {
        rig.end(Ended::CallSucceeded);
    }
    rig.pass(Duration::from_secs(3600));
    let ends: Vec<_> = (0..CALLS_MIN)
        .map(|_| rig.end(Ended::CallFailed).is_some())
        .collect();
    assert_eq!(ends.iter().position(|opened| *opened), Some(19));
}

#[test]
fn an_open_breaker_refuses_until_its_time_is_over_and_says_when() {
    let mut rig = Rig::broken();
    assert_eq!(rig.admit(), Err(OPEN_MIN));
    rig.pass(ms(500));
    assert_eq!(rig.admit(), Err(OPEN_MIN - ms(500)));
    rig.half_open();
}

#[test]
fn one_probe_at_a_time_is_let_in_and_two_successes_close_it() {
    let mut rig = Rig::broken();
    rig.half_open();
    assert_eq!(rig.admit(), Err(PROBE_PATIENCE));
    for _ in 1..PROBES {
        assert_eq!(rig.end(Ended::CallSucceeded), None);
        assert_eq!(rig.admit(), Ok(None));
        assert_eq!(rig.admit(), Err(PROBE_PATIENCE));
    }
    assert_eq!(rig.end(Ended::CallSucceeded), Some(Transition::Closed));
    assert_eq!(rig.admit(), Ok(None));
    assert_eq!(rig.machine.next_call_at(), None);
}

#[test]
fn a_probe_that_does_not_come_back_or_is_not_sent_makes_room_for_the_next() {
    let mut rig = Rig::broken();
    rig.half_open();
    rig.pass(PROBE_PATIENCE);
    assert_eq!(rig.admit(), Ok(None));
    rig.machine.unsent(rig.now);
    assert_eq!(rig.admit(), Ok(None));
    assert_eq!(rig.end(Ended::NoMatter), None);
    assert_eq!(rig.admit(), Ok(None));
}

#[test]
fn each_probe_that_fails_opens_it_for_longer_and_closing_forgets_that() {
    let mut rig = Rig::broken();
    let mut times = Vec::new();
    for _ in 0..6 {
        rig.half_open();
        let Some(Transition::Opened { reason, open_for }) = rig.end(Ended::OpenFailed) else {
            panic!("a probe failed");
        };
        assert_eq!(reason, Reason::ProbeFailed);
        times.push(open_for.as_secs());
    }
    assert_eq!(times, [4, 8, 16, 30, 30, 30]);
    rig.half_open();
    for _ in 0..PROBES {
        rig.end(Ended::CallSucceeded);
    }
    assert_eq!(rig.state(), BreakerState::Closed);
    for _ in 0..OPENS_FAILED {
        rig.end(Ended::OpenFailed);
    }
    assert_eq!(rig.admit(), Err(OPEN_MIN));
}

#[test]
fn what_began_in_another_episode_says_nothing() {
    let before = Rig::new().machine.episode();
    let mut rig = Rig::broken();
    rig.half_open();
    // A call that hung since before the backend was down.
    assert_eq!(rig.end_of(before, Ended::CallFailed, 1.0), None);
    assert_eq!(rig.state(), BreakerState::HalfOpen);
}

/// Whatever the rate, a backend that fails all calls is noticed while most calls of the window are still
/// good ones.
#[test]
fn a_backend_that_begins_to_fail_is_noticed_within_half_a_window() {
    for calls_per_second in [5, 20, 100, 1000] {
        let mut rig = Rig::new();
        let step = Duration::from_secs(1) / calls_per_second;
        for _ in 0..30 * calls_per_second {
            assert_eq!(rig.pass(step).end(Ended::CallSucceeded), None);
        }
        let began = rig.now;
        while rig.pass(step).end(Ended::CallFailed).is_none() {
            let noticed_by = WINDOW / 2 + MARK_EVERY + step;
            assert!(rig.now - began < noticed_by, "{calls_per_second}");
        }
        // And not because of a few.
        assert!(
            rig.now - began >= WINDOW / 2 - MARK_EVERY,
            "{calls_per_second}"
        );
    }
}
