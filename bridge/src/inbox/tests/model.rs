//! Any history of one inbox against a plain queue and the protocol's rules.

use crate::inbox::inbox;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use proptest::prelude::*;
use std::collections::VecDeque;
use std::os::fd::AsFd;

#[derive(Debug, Clone)]
enum Step {
    Send,
    Drain(usize),
    DrainDisarmed(usize),
    Arm,
    Acknowledge,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => Just(Step::Send),
        2 => (0..6usize).prop_map(Step::Drain),
        2 => (0..6usize).prop_map(Step::DrainDisarmed),
        2 => Just(Step::Arm),
        1 => Just(Step::Acknowledge),
    ]
}

/// The inbox as a reader of its documentation imagines it.
#[derive(Default)]
struct Model {
    waiting: VecDeque<u32>,
    armed: bool,
    rings: u64,
    /// Rung since it was last acknowledged.
    readable: bool,
}

impl Model {
    fn ring(&mut self) {
        self.rings += 1;
        self.readable = true;
    }

    fn send(&mut self, message: u32) {
        self.waiting.push_back(message);
        if std::mem::take(&mut self.armed) {
            self.ring();
        }
    }

    fn arm(&mut self) -> bool {
        self.armed = self.waiting.is_empty();
        self.armed
    }

    fn drain(&mut self, limit: usize) -> Vec<u32> {
        let count = limit.min(self.waiting.len());
        // A look that finds nothing more disarms; one that is cut short by its limit never ran.
        if limit > count {
            self.armed = false;
        }
        self.waiting.drain(..count).collect()
    }
}

proptest! {
    #[test]
    fn any_history_hands_out_what_a_queue_would_and_rings_when_the_rules_say(
        steps in prop::collection::vec(step(), 0..200)
    ) {
        let (mut real, sender) = inbox().unwrap();
        let mut model = Model { armed: true, ..Model::default() };
        let mut next = 0;
        for step in steps {
            match step {
                Step::Send => {
                    sender.send(next).unwrap();
                    model.send(next);
                    next += 1;
                }
                Step::Drain(limit) => {
                    let mut got = Vec::new();
                    real.drain(limit, |message| got.push(message));
                    prop_assert_eq!(got, model.drain(limit));
                    if !model.arm() {
                        model.ring();
                    }
                }
                Step::DrainDisarmed(limit) => {
                    let mut got = Vec::new();
                    real.drain_disarmed(limit, |message| got.push(message));
                    prop_assert_eq!(got, model.drain(limit));
                }
                Step::Arm => prop_assert_eq!(real.arm(), model.arm()),
                Step::Acknowledge => {
                    real.acknowledge();
                    model.readable = false;
                }
            }
            prop_assert_eq!(real.wake_writes(), model.rings);
            let mut fds = [PollFd::new(real.as_fd(), PollFlags::POLLIN)];
            let readable = poll(&mut fds, PollTimeout::ZERO).unwrap() == 1;
            prop_assert_eq!(readable, model.readable);
        }
    }
}
