//! What all callers share, and the random calls that they make.

use crate::measure::Payload;
use crate::tally::{Tally, Ticket};
use fastrand::Rng;
use pontoon_bridge::{Call, Completer, LoopHandle, Pool};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// Threads of a library that calls back.
const LIBRARY_THREADS: usize = 2;

/// A call that was taken from one executor to be awaited in another.
pub type Handed = (Ticket, Call<Payload>);

pub struct World {
    calls: u64,
    next: AtomicU64,
    pub tally: Arc<Tally>,
    pub pool: Pool,
    /// Calls that were submitted to `pool`, and those whose code ran.
    pub to_pool: AtomicU64,
    pub ran: Arc<AtomicU64>,
    /// A pool that is shut down while calls come in, and replaced.
    pub doomed: Mutex<Pool>,
    library: Vec<Sender<Callback>>,
    /// The loops of this moment, for others to hand calls to.
    pub loops: Mutex<Vec<LoopHandle>>,
    pub handed: Sender<Handed>,
}

/// A callback that a library owes.
struct Callback {
    completer: Completer<Payload>,
    number: u64,
    how: Owed,
}

enum Owed {
    Once,
    Twice,
    Never,
}

impl Callback {
    fn call_back(self) {
        match self.how {
            Owed::Once => {
                self.completer.complete(Payload::new(self.number));
            }
            Owed::Twice => {
                self.completer.complete(Payload::new(self.number));
                let again = self.completer.complete(Payload::new(u64::MAX));
                assert!(!again, "a second callback counts for nothing");
            }
            Owed::Never => drop(self.completer),
        }
    }
}

fn library_thread(callbacks: Receiver<Callback>) {
    callbacks.into_iter().for_each(Callback::call_back);
}

/// Awaits on no executor of ours what loops hand over.
fn heir(handed: Receiver<Handed>) {
    for (ticket, call) in handed {
        ticket.settle(futures_lite::future::block_on(call));
    }
}

/// So short that now and then a call is stuck.
const STUCK_AFTER: Duration = Duration::from_millis(2);

pub fn doomed_pool(rng: &mut Rng) -> Pool {
    let pool = Pool::named("doomed").threads(rng.usize(1..3));
    pool.max_queue(rng.usize(..16)).build().unwrap()
}

impl World {
    /// Its own threads end when it is dropped, and when what they were given is done.
    pub fn new(calls: u64, workers: usize, rng: &mut Rng) -> Self {
        let library = (0..LIBRARY_THREADS).map(|_| {
            let (give, callbacks) = channel();
            thread::spawn(move || library_thread(callbacks));
            give
        });
        let (handed, inherited) = channel();
        thread::spawn(move || heir(inherited));
        let pool = Pool::named("stress")
            .threads(workers)
            .max_queue(500)
            .stuck_after(STUCK_AFTER)
            .max_stuck(rng.usize(..3))
            .interrupt_stuck(rng.bool());
        Self {
            calls,
            next: AtomicU64::new(0),
            tally: Arc::default(),
            pool: pool.build().unwrap(),
            to_pool: AtomicU64::new(0),
            ran: Arc::default(),
            doomed: Mutex::new(doomed_pool(rng)),
            library: library.collect(),
            loops: Mutex::default(),
            handed,
        }
    }

    /// A ticket for one more call; `None` when all have been made.
    pub fn ticket(&self) -> Option<Ticket> {
        let number = self.next.fetch_add(1, SeqCst);
        (number < self.calls).then(|| Ticket::new(&self.tally, number))
    }

    pub fn is_over(&self) -> bool {
        self.next.load(SeqCst) >= self.calls
    }

    /// The work of a call: its input is dropped with it, its outcome is the number.
    pub fn work(
        &self,
        rng: &mut Rng,
        number: u64,
    ) -> impl FnOnce(&mut ()) -> Payload + Send + use<> {
        let (kind, micros) = (rng.u32(..100_000), rng.u64(..300));
        let input = Payload::new(number);
        move |()| {
            match kind {
                // `resume_unwind` panics without the hook, whose output would drown everything.
                0..2_000 => std::panic::resume_unwind(Box::new("on purpose")),
                2_000..3_000 => thread::sleep(Duration::from_micros(micros)),
                3_000..3_003 => thread::sleep(STUCK_AFTER * 4),
                _ => {}
            }
            Payload::new(input.number())
        }
    }

    /// As [`work`](Self::work), for the pool whose calls are counted.
    pub fn counted_work(
        &self,
        rng: &mut Rng,
        number: u64,
    ) -> impl FnOnce(&mut ()) -> Payload + Send + use<> {
        self.to_pool.fetch_add(1, SeqCst);
        let (work, ran) = (self.work(rng, number), Arc::clone(&self.ran));
        move |session| {
            ran.fetch_add(1, SeqCst);
            work(session)
        }
    }

    /// A call of a random kind.
    pub fn call(&self, rng: &mut Rng, number: u64) -> Call<Payload> {
        let deadline = (rng.u32(..4) == 0).then(|| Duration::from_micros(rng.u64(..500)));
        let call = match rng.u32(..8) {
            0 => self.callback(rng, number),
            1 => {
                let pool = self.doomed.lock().unwrap().clone();
                pool.call(self.work(rng, number)).submit()
            }
            _ => {
                let call = self.pool.call(self.counted_work(rng, number));
                match deadline {
                    // Half of them by the worker and the caller, half by the caller alone.
                    Some(deadline) if rng.bool() => call.deadline(deadline).submit(),
                    _ => call.submit(),
                }
            }
        };
        match deadline {
            Some(deadline) => call.deadline_at(Instant::now() + deadline),
            None => call,
        }
    }

    fn callback(&self, rng: &mut Rng, number: u64) -> Call<Payload> {
        let (call, completer) = pontoon_bridge::call();
        let how = match rng.u32(..16) {
            0 => Owed::Never,
            1 => Owed::Twice,
            _ => Owed::Once,
        };
        // What it holds is given back by whoever has the completer last.
        let completer = completer.holding(Payload::new(number));
        let callback = Callback {
            completer,
            number,
            how,
        };
        match rng.u32(..256) {
            // A thread that ends right away: its thread-locals may be gone when it wakes somebody.
            0 => drop(thread::spawn(move || callback.call_back())),
            // Inline, before anybody has looked.
            1..32 => callback.call_back(),
            _ => drop(self.library[rng.usize(..self.library.len())].send(callback)),
        }
        call
    }
}
