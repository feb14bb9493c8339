//! The machine beside a model of it that keeps the whole history.

use super::super::{
    BreakerState, CALLS_MIN, Ended, Episode, MARK_EVERY, OPEN_MAX, OPEN_MIN, OPENS_FAILED,
    PROBE_PATIENCE, PROBES, Reason, Transition, WINDOW,
};
use super::{Rig, ms};
use proptest::prelude::*;
use std::time::Duration;

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
