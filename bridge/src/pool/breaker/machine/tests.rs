use super::{
    BreakerState, CALLS_MIN, Ended, Episode, MARK_EVERY, Machine, OPEN_MAX, OPEN_MIN, OPENS_FAILED,
    PROBE_PATIENCE, PROBES, Reason, Transition, WINDOW,
};
use proptest::prelude::*;
use std::time::Duration;

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A machine with its clock and its count of successes.
struct Rig {
    machine: Machine,
    now: Duration,
    succeeded: u64,
}

impl Rig {
    fn new() -> Self {
        Self {
            machine: Machine::new(),
            now: ms(0),
            succeeded: 0,
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
            self.succeeded += 1;
        }
        // As the pool does it: what succeeds while it is closed is not told, but marked now and then.
        if ended == Ended::CallSucceeded && episode.state == BreakerState::Closed {
            self.machine.mark(self.now, self.succeeded);
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

#[derive(Debug, Clone)]
enum Step {
    Pass(Duration),
    Begin,
    /// How one of those that began, and have not ended, ends.
    End(usize, Ended, f64),
    /// A call comes to the door.
    Come,
    Unsent,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let ended = prop_oneof![
        4 => Just(Ended::CallSucceeded),
        4 => Just(Ended::CallFailed),
        3 => Just(Ended::OpenFailed),
        1 => Just(Ended::NoMatter),
    ];
    let time = prop_oneof![4 => 0_u64..300, 1 => 0_u64..20_000];
    let step = prop_oneof![
        3 => time.prop_map(|time| Step::Pass(ms(time))),
        8 => Just(Step::Begin),
        8 => (0_usize..8, ended, 0.0..=1.0).prop_map(|(at, how, random)| Step::End(at, how, random)),
        3 => Just(Step::Come),
        1 => Just(Step::Unsent),
    ];
    proptest::collection::vec(step, 0..400)
}

/// What the breaker must do, from its description, with the whole history of the episode at hand.
#[derive(Default)]
struct Model {
    /// Ends of calls and opens, with their times.
    history: Vec<(Duration, Ended)>,
    /// When counts were noted, and how much of the history came before.
    marks: Vec<(Duration, usize)>,
    openings: u32,
    /// Until when nobody may come.
    shut_until: Option<Duration>,
}

impl Model {
    fn mark(&mut self, now: Duration) {
        if self
            .marks
            .last()
            .is_none_or(|(at, _)| *at + MARK_EVERY <= now)
        {
            self.marks.push((now, self.history.len()));
        }
    }

    fn count(ends: &[(Duration, Ended)], of: &[Ended]) -> u64 {
        ends.iter().filter(|(_, ended)| of.contains(ended)).count() as u64
    }

    /// What has been since the window began, as far back as there are marks without a gap.
    fn recent(&self) -> &[(Duration, Ended)] {
        let Some((last, _)) = self.marks.last() else {
            return &[];
        };
        let gap = |pair: &[(Duration, usize)]| pair[0].0 + WINDOW < pair[1].0;
        let gapless = self.marks.windows(2).rposition(gap).map_or(0, |at| at + 1);
        let marks = &self.marks[gapless..];
        let is_before = |(at, _): &&(Duration, usize)| *at + WINDOW <= *last;
        let base = marks.iter().rfind(is_before).unwrap_or(&marks[0]);
        &self.history[base.1..]
    }

    fn opens_failed_in_a_row(&self) -> u32 {
        let mut row = self.history.iter().rev();
        let row = row.by_ref().take_while(|(_, e)| *e != Ended::CallSucceeded);
        row.filter(|(_, e)| *e == Ended::OpenFailed).count() as u32
    }

    /// Something fails while it is closed.
    fn failed(&mut self, now: Duration, ended: Ended) -> Option<Reason> {
        self.mark(now);
        self.history.push((now, ended));
        let row = self.opens_failed_in_a_row();
        if ended == Ended::OpenFailed && row == OPENS_FAILED {
            return Some(Reason::OpensFailed(row));
        }
        let failed = Self::count(self.recent(), &[Ended::CallFailed, Ended::OpenFailed]);
        let calls = failed + Self::count(self.recent(), &[Ended::CallSucceeded]);
        (calls >= CALLS_MIN && failed * 2 >= calls).then_some(Reason::Rate { failed, calls })
    }

    fn opens(&mut self, now: Duration, reason: Reason, random: f64) -> Transition {
        let ceiling = (OPEN_MIN * (1 << self.openings.min(10))).min(OPEN_MAX);
        let open_for = ceiling / 2 + (ceiling / 2).mul_f64(random);
        *self = Self {
            openings: self.openings + 1,
            shut_until: Some(now + open_for),
            ..Self::default()
        };
        Transition::Opened { reason, open_for }
    }

    /// What must follow from something that ends now, in the state that it began in.
    fn ended(&mut self, now: Duration, is_now: BreakerState, ended: Ended) -> Option<Reason> {
        let is_failure = matches!(ended, Ended::CallFailed | Ended::OpenFailed);
        match is_now {
            BreakerState::Open => None,
            BreakerState::Closed if is_failure => self.failed(now, ended),
            BreakerState::Closed => None,
            BreakerState::HalfOpen if is_failure => Some(Reason::ProbeFailed),
            BreakerState::HalfOpen => {
                self.history.push((now, ended));
                self.shut_until = None;
                None
            }
        }
    }

    /// Two probes have succeeded.
    fn closes(&mut self, is_now: BreakerState) -> bool {
        let probes = Self::count(&self.history, &[Ended::CallSucceeded]);
        let closes = is_now == BreakerState::HalfOpen && probes >= u64::from(PROBES);
        if closes {
            *self = Self::default();
        }
        closes
    }

    /// A call comes to the door.
    fn comes(&mut self, now: Duration, is_now: BreakerState) -> Result<(), Duration> {
        if let Some(until) = self.shut_until.filter(|until| now < *until) {
            return Err(until - now);
        }
        if is_now != BreakerState::Closed {
            self.shut_until = Some(now + PROBE_PATIENCE);
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn it_does_what_its_description_says(steps in steps()) {
        let (mut rig, mut model) = (Rig::new(), Model::default());
        let mut begun: Vec<Episode> = Vec::new();
        for step in steps {
            let (episode, now) = (rig.machine.episode(), rig.now);
            match step {
                Step::Pass(time) => rig.now += time,
                Step::Begin => begun.push(episode),
                Step::Unsent => {
                    rig.machine.unsent(now);
                    if episode.state == BreakerState::HalfOpen {
                        model.shut_until = None;
                    }
                }
                Step::Come => {
                    let expected = model.comes(now, episode.state);
                    let half_opens = episode.state == BreakerState::Open;
                    let transition = half_opens.then_some(Transition::HalfOpened);
                    prop_assert_eq!(rig.admit(), expected.map(|()| transition));
                }
                Step::End(..) if begun.is_empty() => {}
                Step::End(at, ended, random) => {
                    let began_in = begun.swap_remove(at % begun.len());
                    let transition = rig.end_of(began_in, ended, random);
                    if episode.state == BreakerState::Closed && ended == Ended::CallSucceeded {
                        // Counted whenever it began; noted with the others of its kind.
                        model.history.push((now, ended));
                        if began_in.state == BreakerState::Closed {
                            model.mark(now);
                        }
                    }
                    if began_in != episode {
                        prop_assert_eq!(transition, None);
                        continue;
                    }
                    let opens = model.ended(now, episode.state, ended);
                    let opens = opens.map(|reason| model.opens(now, reason, random));
                    let closes = model.closes(episode.state).then_some(Transition::Closed);
                    prop_assert_eq!(transition, opens.or(closes));
                }
            }
        }
    }
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
