//! The real pool, inbox and completers, with everything that can be seen of them.

use crate::reference::{Id, Live, Outcome, Stats};
use crate::step::{Deadline, Kind, Order, Place};
use pontoon_bridge::{
    BoxError, Call, CallError, Completer, CompleterStats, Inbox, Pool, Submission, SubmitError,
    inbox,
};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

/// What the foreign code says of itself; each entry wakes whoever waits for more.
#[derive(Default)]
pub struct Log {
    starts: Mutex<Vec<Id>>,
    inputs: AtomicUsize,
    outputs: AtomicUsize,
    makers: AtomicUsize,
    holds: AtomicUsize,
    sessions: AtomicUsize,
    version: AtomicUsize,
    reader: Mutex<Option<Waker>>,
}

impl Log {
    fn changed(&self) {
        self.version.fetch_add(1, SeqCst);
        let reader = self.reader.lock().unwrap().take();
        reader.inspect(|reader| reader.wake_by_ref());
    }

    pub fn version(&self) -> usize {
        self.version.load(SeqCst)
    }

    /// Waits for an entry that came after `version`.
    pub async fn wait(&self, version: usize) {
        poll_fn(|context| {
            *self.reader.lock().unwrap() = Some(context.waker().clone());
            if self.version() == version {
                Poll::Pending
            } else {
                Poll::Ready(())
            }
        })
        .await;
    }

    fn counter(&self, what: What) -> &AtomicUsize {
        match what {
            What::Input => &self.inputs,
            What::Output => &self.outputs,
            What::Maker => &self.makers,
            What::Hold => &self.holds,
            What::Session => &self.sessions,
        }
    }
}

#[derive(Clone, Copy)]
enum What {
    Input,
    Output,
    Maker,
    Hold,
    Session,
}

/// A value of foreign code that is counted while it lives.
pub struct Counted(Arc<Log>, What);

impl Counted {
    fn new(log: &Arc<Log>, what: What) -> Self {
        log.counter(what).fetch_add(1, SeqCst);
        Self(Arc::clone(log), what)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.counter(self.1).fetch_sub(1, SeqCst);
        self.0.changed();
    }
}

pub struct Value(Id, #[allow(dead_code, reason = "it is counted")] Counted);

pub struct Message {
    pub id: Id,
    result: Result<Value, CallError>,
    _maker: Counted,
}

impl Message {
    pub fn outcome(self) -> Outcome {
        outcome(self.id, self.result)
    }
}

fn outcome(id: Id, result: Result<Value, CallError>) -> Outcome {
    match result {
        Ok(Value(of, _)) => {
            assert_eq!(of, id, "another call's value");
            Outcome::Value
        }
        Err(CallError::Panicked { message }) => {
            assert_eq!(message, "on purpose");
            Outcome::Panicked
        }
        Err(CallError::DeadlineExceeded { running }) => Outcome::Expired { running },
        Err(CallError::ShutDown) => Outcome::ShutDown,
        Err(CallError::Abandoned) => Outcome::Abandoned,
        Err(CallError::Rejected(error)) => refusal(&error),
        Err(other) => panic!("{other:?}"),
    }
}

fn refusal(error: &SubmitError) -> Outcome {
    match error {
        SubmitError::QueueFull { in_flight, .. } => Outcome::Full {
            in_flight: *in_flight,
        },
        SubmitError::ShuttingDown { .. } => Outcome::ShuttingDown,
        other => panic!("{other:?}"),
    }
}

#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, SeqCst);
    }
}

struct Pending {
    call: Call<Value>,
    /// Of the last look.
    woken: Arc<Flag>,
}

/// Runs `f` on this thread or on another.
fn at<R: Send>(place: Place, f: impl FnOnce() -> R + Send) -> R {
    match place {
        Place::Here => f(),
        Place::Elsewhere => thread::scope(|scope| scope.spawn(f).join().unwrap()),
    }
}

pub struct Rig {
    pub pool: Pool<Counted>,
    pub inbox: Inbox<Message>,
    pub log: Arc<Log>,
    calls: BTreeMap<Id, Pending>,
    /// What holds the calls that are held; dropped without a word it releases them too.
    gates: BTreeMap<Id, mpsc::Sender<()>>,
    completers: BTreeMap<Id, Completer<Value>>,
    callbacks_before: CompleterStats,
}

impl Rig {
    pub fn new(workers: usize, max_queue: usize) -> Self {
        let log = Arc::default();
        let of_sessions = Arc::clone(&log);
        let open = move || Ok::<_, BoxError>(Counted::new(&of_sessions, What::Session));
        // The reference has no clock.
        let pool = Pool::named("model")
            .threads(workers)
            .max_queue(max_queue)
            .codel(None);
        Self {
            pool: pool.session(open).build().unwrap(),
            inbox: inbox().unwrap().0,
            log,
            calls: BTreeMap::new(),
            gates: BTreeMap::new(),
            completers: BTreeMap::new(),
            callbacks_before: CompleterStats::read(),
        }
    }

    /// The work of a call, and what releases it if it is one that is held.
    fn work(
        &self,
        id: Id,
        kind: Kind,
    ) -> (
        impl FnOnce(&mut Counted) -> Value + Send + use<>,
        mpsc::Sender<()>,
    ) {
        let (log, input) = (Arc::clone(&self.log), Counted::new(&self.log, What::Input));
        let (gate, held) = mpsc::channel();
        let work = move |_: &mut Counted| {
            let _input = input;
            log.starts.lock().unwrap().push(id);
            log.changed();
            match kind {
                Kind::Plain => {}
                // Without the hook, whose output would drown everything.
                Kind::Panicking => std::panic::resume_unwind(Box::new("on purpose")),
                // An error is a release as well.
                Kind::Held => drop(held.recv()),
            }
            Value(id, Counted::new(&log, What::Output))
        };
        (work, gate)
    }

    fn keep_gate(&mut self, id: Id, kind: Kind, gate: mpsc::Sender<()>) {
        if kind == Kind::Held {
            self.gates.insert(id, gate);
        }
    }

    fn keep_call(&mut self, id: Id, call: Call<Value>) {
        let woken = Arc::default();
        self.calls.insert(id, Pending { call, woken });
    }

    pub fn submit(&mut self, id: Id, order: Order, place: Place) {
        let (work, gate) = self.work(id, order.kind);
        let pool = &self.pool;
        let call = at(place, move || due(pool.call(work), order.deadline).submit());
        self.keep_gate(id, order.kind, gate);
        self.keep_call(id, call);
    }

    pub fn submit_to(&mut self, id: Id, order: Order) -> Option<Outcome> {
        let (work, gate) = self.work(id, order.kind);
        let maker = Counted::new(&self.log, What::Maker);
        let submitted =
            due(self.pool.call(work), order.deadline).submit_to(&self.inbox, move |result| {
                Message {
                    id,
                    result,
                    _maker: maker,
                }
            });
        self.keep_gate(id, order.kind, gate);
        submitted.err().map(|error| refusal(&error))
    }

    pub fn come_and_go(&self, count: usize) {
        for _ in 0..count {
            let (work, _gate) = self.work(Id::MAX, Kind::Plain);
            drop(self.pool.call(work).submit());
        }
    }

    /// The calls that a caller still has.
    pub fn calls(&self) -> Vec<Id> {
        self.calls.keys().copied().collect()
    }

    pub fn completers(&self) -> Vec<Id> {
        self.completers.keys().copied().collect()
    }

    /// Held calls that run.
    pub fn held(&self) -> Vec<Id> {
        let started = self.log.starts.lock().unwrap();
        let held = self.gates.keys().copied();
        held.filter(|id| started.contains(id)).collect()
    }

    /// Polls a call, with a waker of its own or, if it waits already and `again`, the same.
    pub fn poll(&mut self, id: Id, expires: bool, place: Place) -> Option<Outcome> {
        let mut pending = self.calls.remove(&id).expect("it was chosen among these");
        let polled = at(place, || {
            if expires {
                pending.call = pending.call.deadline_at(long_ago());
            }
            // Every second call keeps its waker, so that both ways of leaving one are seen.
            if id.is_multiple_of(2) || pending.woken.0.load(SeqCst) {
                pending.woken = Arc::default();
            }
            let waker = Waker::from(Arc::clone(&pending.woken));
            let polled = Pin::new(&mut pending.call).poll(&mut Context::from_waker(&waker));
            (polled, pending)
        });
        match polled {
            (Poll::Ready(result), _ended) => Some(outcome(id, result)),
            (Poll::Pending, pending) => {
                self.calls.insert(id, pending);
                None
            }
        }
    }

    pub fn is_woken(&self, id: Id) -> bool {
        self.calls[&id].woken.0.load(SeqCst)
    }

    pub fn drop_call(&mut self, id: Id, place: Place) {
        let pending = self.calls.remove(&id);
        at(place, move || drop(pending));
    }

    pub fn release(&mut self, id: Id) {
        let gate = self.gates.remove(&id).expect("it was chosen among these");
        gate.send(()).unwrap();
    }

    pub fn callback(&mut self, id: Id) {
        let (call, completer) = pontoon_bridge::call();
        let hold = Counted::new(&self.log, What::Hold);
        self.completers.insert(id, completer.holding(hold));
        self.keep_call(id, call);
    }

    pub fn complete(&self, id: Id, place: Place) -> bool {
        let value = Value(id, Counted::new(&self.log, What::Output));
        let completer = &self.completers[&id];
        at(place, move || completer.complete(value))
    }

    pub fn let_go_of_completer(&mut self, id: Id, place: Place) {
        let completer = self.completers.remove(&id);
        at(place, move || drop(completer));
    }

    pub fn replace_inbox(&mut self) {
        self.inbox = inbox().unwrap().0;
    }

    /// The calls that began since the last time that this was asked.
    pub fn starts_after(&self, count: usize) -> Vec<Id> {
        self.log.starts.lock().unwrap()[count..].to_vec()
    }

    pub fn live(&self) -> Live {
        Live {
            inputs: self.log.inputs.load(SeqCst),
            outputs: self.log.outputs.load(SeqCst),
            makers: self.log.makers.load(SeqCst),
            holds: self.log.holds.load(SeqCst),
        }
    }

    /// Whether all workers are through but those that still run a call.
    pub fn is_through(&self, running: usize, ends: bool) -> bool {
        if ends {
            // A worker closes its session when it ends.
            self.log.sessions.load(SeqCst) == running
        } else {
            let stats = self.pool.stats();
            stats.threads - stats.idle == running
        }
    }

    pub fn stats(&self) -> Stats {
        let (pool, callbacks) = (self.pool.stats(), CompleterStats::read());
        Stats {
            in_flight: pool.in_flight,
            submitted: pool.submitted,
            refused: pool.refused,
            completed: pool.completed,
            panicked: pool.panicked,
            expired: pool.expired,
            cancelled: pool.cancelled,
            late: pool.late,
            repeated_callbacks: callbacks.repeated - self.callbacks_before.repeated,
            late_callbacks: callbacks.late - self.callbacks_before.late,
        }
    }
}

fn long_ago() -> Instant {
    let now = Instant::now();
    now.checked_sub(Duration::from_secs(1)).unwrap_or(now)
}

fn due<F>(call: Submission<'_, Counted, F>, deadline: Deadline) -> Submission<'_, Counted, F> {
    match deadline {
        Deadline::None => call,
        Deadline::Passed => call.deadline_at(long_ago()),
        Deadline::Far => call.deadline(Duration::from_secs(3600)),
    }
}
