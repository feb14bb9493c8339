//! A pool, its callers, its inbox and some callbacks as a reader of the documentation imagines them:
//! a plain queue, a count of free workers, and counters. No threads, no time.

use crate::step::{Deadline, Kind, Order};
use std::collections::VecDeque;

pub type Id = usize;

/// How a call ended, without its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Value,
    Panicked,
    Expired { running: bool },
    ShutDown,
    Abandoned,
    Full { in_flight: usize },
    ShuttingDown,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Receiver {
    Caller,
    /// By its number: an inbox may be replaced while calls run for it.
    Inbox(usize),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Queued,
    /// Left while it was queued, and still there.
    Husk,
    Running,
    /// Left while it ran.
    Left,
    Done(Outcome),
    /// Nobody waits for anything.
    Over,
}

#[derive(Debug)]
struct Entry {
    /// `None` for a callback.
    order: Option<Order>,
    receiver: Receiver,
    state: State,
    /// Its caller has looked, and waits to be woken.
    waits: bool,
    /// Its completer was used.
    claimed: bool,
}

/// What the pool counts.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Stats {
    pub in_flight: usize,
    pub submitted: u64,
    pub refused: u64,
    pub completed: u64,
    pub panicked: u64,
    pub expired: u64,
    pub cancelled: u64,
    pub late: u64,
    /// Callbacks that came again, and that came late; the process's.
    pub repeated_callbacks: u64,
    pub late_callbacks: u64,
}

/// Values of foreign code that are alive.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Live {
    pub inputs: usize,
    pub outputs: usize,
    /// What makes messages of outcomes.
    pub makers: usize,
    /// What completers hold.
    pub holds: usize,
}

#[derive(Debug)]
pub struct Reference {
    pub workers: usize,
    places: usize,
    free: usize,
    pub ends: bool,
    queue: VecDeque<Id>,
    entries: Vec<Entry>,
    inbox: usize,
    /// In the inbox, with the step that brought each.
    messages: VecDeque<(usize, Id, Outcome)>,
    step: usize,
    pub stats: Stats,
    /// Calls that began in this step, oldest first.
    pub starts: Vec<Id>,
    /// Whether workers finished calls in this step.
    pub has_finished_some: bool,
}

impl Reference {
    pub fn new(workers: usize, max_queue: usize) -> Self {
        Self {
            workers,
            places: workers + max_queue,
            free: workers,
            ends: false,
            queue: VecDeque::new(),
            entries: Vec::new(),
            inbox: 0,
            messages: VecDeque::new(),
            step: 0,
            stats: Stats::default(),
            starts: Vec::new(),
            has_finished_some: false,
        }
    }

    pub fn next_step(&mut self) {
        self.step += 1;
        self.starts.clear();
        self.has_finished_some = false;
    }

    /// How many of so many calls can be submitted at once so that it does not matter how fast the
    /// workers are: all find room, or the one does not.
    pub fn clip(&self, orders: usize) -> usize {
        let room = self.places - self.stats.in_flight;
        if self.ends {
            orders
        } else {
            orders.min(room).max(1)
        }
    }

    /// How many can come and go one by one without a worker seeing them.
    pub fn clip_leavers(&self, count: usize) -> usize {
        let has_room = self.stats.in_flight < self.places;
        if self.free == 0 && has_room && !self.ends {
            count
        } else {
            0
        }
    }

    fn add(&mut self, order: Option<Order>, receiver: Receiver, state: State) -> Id {
        self.entries.push(Entry {
            order,
            receiver,
            state,
            waits: false,
            claimed: false,
        });
        self.entries.len() - 1
    }

    fn enter(&mut self) -> Result<(), Outcome> {
        let refusal = if self.ends {
            Outcome::ShuttingDown
        } else if self.stats.in_flight == self.places {
            let in_flight = self.places;
            Outcome::Full { in_flight }
        } else {
            self.stats.submitted += 1;
            self.stats.in_flight += 1;
            return Ok(());
        };
        self.stats.refused += 1;
        Err(refusal)
    }

    pub fn submit(&mut self, order: Order) -> Id {
        match self.enter() {
            Ok(()) => {
                let id = self.add(Some(order), Receiver::Caller, State::Queued);
                self.queue.push_back(id);
                id
            }
            Err(refusal) => self.add(Some(order), Receiver::Caller, State::Done(refusal)),
        }
    }

    pub fn submit_to(&mut self, order: Order) -> (Id, Option<Outcome>) {
        let refusal = self.enter().err();
        let state = refusal.map_or(State::Queued, |_| State::Over);
        let id = self.add(Some(order), Receiver::Inbox(self.inbox), state);
        if refusal.is_none() {
            self.queue.push_back(id);
        }
        (id, refusal)
    }

    pub fn come_and_go(&mut self, count: usize) {
        self.stats.submitted += count as u64;
        self.stats.cancelled += count as u64;
    }

    pub fn callback(&mut self) -> Id {
        self.add(None, Receiver::Caller, State::Running)
    }

    /// Lets the workers do what they can.
    pub fn settle(&mut self) {
        while self.free > 0 {
            let Some(id) = self.queue.pop_front() else {
                return;
            };
            let entry = &mut self.entries[id];
            if entry.state == State::Husk {
                entry.state = State::Over;
                continue;
            }
            let order = entry.order.expect("a callback is not queued");
            if order.deadline == Deadline::Passed {
                self.stats.expired += 1;
                self.finish(id, Outcome::Expired { running: false });
                continue;
            }
            self.starts.push(id);
            match order.kind {
                Kind::Held => {
                    entry.state = State::Running;
                    self.free -= 1;
                }
                Kind::Plain => self.complete_call(id, Outcome::Value),
                Kind::Panicking => {
                    self.stats.panicked += 1;
                    self.complete_call(id, Outcome::Panicked);
                }
            }
        }
    }

    fn complete_call(&mut self, id: Id, outcome: Outcome) {
        self.stats.completed += 1;
        self.finish(id, outcome);
    }

    fn finish(&mut self, id: Id, outcome: Outcome) {
        self.stats.in_flight -= 1;
        self.has_finished_some = true;
        let entry = &mut self.entries[id];
        let is_late = match entry.receiver {
            Receiver::Caller => entry.state == State::Left,
            Receiver::Inbox(inbox) => inbox != self.inbox,
        };
        entry.state = State::Over;
        if is_late {
            self.stats.late += 1;
        } else if entry.receiver == Receiver::Caller {
            entry.state = State::Done(outcome);
        } else {
            self.messages.push_back((self.step, id, outcome));
        }
    }

    pub fn release(&mut self, id: Id) {
        self.free += 1;
        self.complete_call(id, Outcome::Value);
    }

    /// What the caller sees; `None` if nothing yet.
    pub fn poll(&mut self, id: Id, expires: bool) -> Option<Outcome> {
        let entry = &mut self.entries[id];
        if let State::Done(outcome) = entry.state {
            entry.state = State::Over;
            return Some(outcome);
        }
        let passed = |order: Order| order.deadline == Deadline::Passed;
        if !expires && !entry.order.is_some_and(passed) {
            entry.waits = true;
            return None;
        }
        let running = entry.state == State::Running;
        self.stats.expired += u64::from(entry.order.is_some());
        self.leave(id);
        Some(Outcome::Expired { running })
    }

    pub fn drop_call(&mut self, id: Id) {
        let entry = &mut self.entries[id];
        if let State::Done(_) = entry.state {
            entry.state = State::Over;
        } else {
            self.stats.cancelled += u64::from(entry.order.is_some());
            self.leave(id);
        }
    }

    fn leave(&mut self, id: Id) {
        let entry = &mut self.entries[id];
        entry.state = if entry.state == State::Queued {
            self.stats.in_flight -= 1;
            State::Husk
        } else {
            State::Left
        };
    }

    /// Whether the waker that the caller left at its last look must have been woken.
    pub fn is_woken(&self, id: Id) -> bool {
        let entry = &self.entries[id];
        entry.waits && matches!(entry.state, State::Done(_))
    }

    /// Whether the completion is the first and in time.
    pub fn complete(&mut self, id: Id, outcome: Outcome) -> bool {
        let entry = &mut self.entries[id];
        if std::mem::replace(&mut entry.claimed, true) {
            self.stats.repeated_callbacks += 1;
            return false;
        }
        if entry.state == State::Left {
            entry.state = State::Over;
            self.stats.late_callbacks += 1;
            return false;
        }
        entry.state = State::Done(outcome);
        true
    }

    pub fn let_go_of_completer(&mut self, id: Id) {
        if !self.entries[id].claimed {
            self.complete(id, Outcome::Abandoned);
        }
    }

    /// How many messages a look with this limit gives.
    pub fn drain(&self, limit: usize) -> usize {
        limit.min(self.messages.len())
    }

    /// A message came: whether it was its turn, and what it must say. Two workers may finish in any
    /// order what began in one step.
    pub fn message(&mut self, id: Id) -> Option<Outcome> {
        let at = self.messages.iter().position(|(_, of, _)| *of == id)?;
        let in_turn = self.workers > 1 && self.messages[at].0 == self.messages[0].0;
        if at > 0 && !in_turn {
            return None;
        }
        self.messages.remove(at).map(|(_, _, outcome)| outcome)
    }

    pub fn replace_inbox(&mut self) {
        self.inbox += 1;
        self.messages.clear();
    }

    /// Workers that run a call.
    pub fn running(&self) -> usize {
        self.workers - self.free
    }

    /// Ends what is queued unrun.
    pub fn give_up(&mut self) {
        self.ends = true;
        for id in std::mem::take(&mut self.queue) {
            if self.entries[id].state == State::Husk {
                self.entries[id].state = State::Over;
            } else {
                self.finish(id, Outcome::ShutDown);
            }
        }
    }

    pub fn live(&self) -> Live {
        let mut live = Live::default();
        for entry in &self.entries {
            let under_way = matches!(entry.state, State::Queued | State::Running | State::Left);
            match (entry.order, entry.receiver) {
                (None, _) => live.holds += usize::from(!entry.claimed),
                (Some(_), Receiver::Caller) => live.inputs += usize::from(under_way),
                (Some(_), Receiver::Inbox(_)) => {
                    live.inputs += usize::from(under_way);
                    live.makers += usize::from(under_way);
                }
            }
            live.outputs += usize::from(entry.state == State::Done(Outcome::Value));
        }
        let values = |message: &&(usize, Id, Outcome)| message.2 == Outcome::Value;
        live.outputs += self.messages.iter().filter(values).count();
        live.makers += self.messages.len();
        live
    }
}
