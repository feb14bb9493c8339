//! One run of the bridge's scenario, a process of its own: how fast a pool is, what it does of much more
//! than that, and how long it then takes to serve again. Prints a [`BridgeRun`] as JSON.
//!
//! Calls are offered on the loop's own thread at a constant rate: each has the time at which it was to
//! start, whenever the loop gets there, and its deadline and its latency count from then.

mod peers;

use crate::Outcome;
use clap::{Args, ValueEnum};
use peer_load::tally::{End, Summary, Tally};
use serde::{Deserialize, Serialize};
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::rc::Rc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::{Duration, Instant};

/// Who runs the calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum BridgePeer {
    /// Pontoon's pool, awaited on Pontoon's loop
    Pontoon,
    /// tokio's current_thread runtime, spawn_blocking and timeout
    Tokio,
    /// The same, and the call is aborted at its timeout: it is not run if it has not begun
    TokioAbort,
    /// actix's runtime, `web::block` and timeout
    Actix,
}

impl BridgePeer {
    pub(crate) const ALL: [Self; 4] = [Self::Pontoon, Self::Tokio, Self::TokioAbort, Self::Actix];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Pontoon => "pontoon",
            Self::Tokio => "tokio",
            Self::TokioAbort => "tokio-abort",
            Self::Actix => "actix",
        }
    }
}

/// What a run is told.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct BridgeArguments {
    /// Who runs the calls
    #[arg(value_enum)]
    pub(crate) peer: BridgePeer,
    /// Calls offered per second
    #[arg(long, default_value_t = 8_000)]
    pub(crate) rate: u64,
    /// Seconds that count, after one that does not
    #[arg(long, default_value_t = 5)]
    pub(crate) seconds: u64,
}

/// How a run went.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct BridgeRun {
    pub(crate) capacity_per_s: f64,
    pub(crate) seconds: f64,
    pub(crate) flood: Summary,
    pub(crate) ran: u64,
    pub(crate) began_late: u64,
    pub(crate) ended_late: u64,
    /// How long one call took right after the flood; `None`: longer than [`RECOVERY_MAX`].
    pub(crate) recovery_s: Option<f64>,
}

const WORKERS: usize = 4;
const SERVICE: Duration = Duration::from_millis(1);
const DEADLINE: Duration = Duration::from_millis(100);
/// Enough in flight that no worker ever waits for the loop.
const CLOSED_LOOP: usize = 2 * WORKERS;
const CAPACITY_TIME: Duration = Duration::from_millis(1500);
/// Time for what is learnt, and for queues to fill.
const WARM_UP: Duration = Duration::from_secs(1);
const PACE: Duration = Duration::from_millis(1);
/// Nobody waits longer to see a server serve again.
pub(crate) const RECOVERY_MAX: Duration = Duration::from_secs(10);

/// What a peer brings.
trait Peer: Clone + 'static {
    async fn sleep(&self, time: Duration);
    fn spawn(&self, task: impl Future<Output = ()> + 'static);
    /// Runs the work where it may block, unless there is no room or its time is over.
    async fn call(&self, work: BlockingWork, deadline: Instant) -> End;
}

// Relaxed, all of them: statistics.
static RAN: AtomicU64 = AtomicU64::new(0);
static BEGAN_LATE: AtomicU64 = AtomicU64::new(0);
static ENDED_LATE: AtomicU64 = AtomicU64::new(0);

/// The library.
#[derive(Clone, Copy, Debug)]
struct BlockingWork {
    deadline: Instant,
}

impl BlockingWork {
    fn run(self) {
        RAN.fetch_add(1, Relaxed);
        if Instant::now() >= self.deadline {
            BEGAN_LATE.fetch_add(1, Relaxed);
        }
        thread::sleep(SERVICE);
        if Instant::now() >= self.deadline {
            ENDED_LATE.fetch_add(1, Relaxed);
        }
    }
}

/// Runs and prints; ends the process, whatever still runs in it.
pub(crate) fn run(arguments: BridgeArguments) -> Outcome {
    let run = match arguments.peer {
        BridgePeer::Pontoon => peers::on_pontoon(arguments),
        BridgePeer::Tokio => peers::on_tokio(arguments, false),
        BridgePeer::TokioAbort => peers::on_tokio(arguments, true),
        BridgePeer::Actix => peers::on_actix(arguments),
    }?;
    crate::print(&serde_json::to_string(&run)?)?;
    std::process::exit(0)
}

async fn measure<P: Peer>(peer: P, arguments: BridgeArguments) -> BridgeRun {
    let capacity_per_s = capacity(&peer).await;
    let (seconds, rate) = (Duration::from_secs(arguments.seconds), arguments.rate);
    let tally = Rc::new(RefCell::new(Tally::default()));
    let counts = flood(&peer, rate, seconds, &tally).await;
    let recovery = recovery(&peer).await;
    let flood = tally.borrow().summary();
    BridgeRun {
        capacity_per_s,
        seconds: seconds.as_secs_f64(),
        flood,
        ran: counts[0],
        began_late: counts[1],
        ended_late: counts[2],
        recovery_s: recovery.map(|time| time.as_secs_f64()),
    }
}

/// Calls per second when each is followed by the next.
async fn capacity<P: Peer>(peer: &P) -> f64 {
    let served = Rc::new(Cell::new(0_u64));
    let began = Instant::now();
    let end = began + CAPACITY_TIME;
    for _ in 0..CLOSED_LOOP {
        let (peer_of_task, served) = (peer.clone(), Rc::clone(&served));
        peer.spawn(async move {
            while Instant::now() < end {
                let deadline = Instant::now() + Duration::from_secs(60);
                peer_of_task.call(BlockingWork { deadline }, deadline).await;
                served.set(served.get() + 1);
            }
        });
    }
    peer.sleep(CAPACITY_TIME).await;
    let rate = served.get() as f64 / began.elapsed().as_secs_f64();
    // The last ones end.
    peer.sleep(20 * SERVICE).await;
    rate
}

/// What ran in the window that counts: all, begun too late, ended too late.
fn counts() -> [u64; 3] {
    [&RAN, &BEGAN_LATE, &ENDED_LATE].map(|count| count.load(Relaxed))
}

/// Offers `rate` calls a second; those of the window go into the tally.
async fn flood<P: Peer>(
    peer: &P,
    rate: u64,
    seconds: Duration,
    tally: &Rc<RefCell<Tally>>,
) -> [u64; 3] {
    let began = Instant::now();
    let mut at_warm = None;
    let mut offered = 0;
    loop {
        let elapsed = began.elapsed();
        if elapsed >= WARM_UP && at_warm.is_none() {
            at_warm = Some(counts());
        }
        if elapsed >= WARM_UP + seconds {
            break;
        }
        let due = (elapsed.as_secs_f64() * rate as f64) as u64;
        for number in offered..due {
            let intended = began + Duration::from_secs_f64(number as f64 / rate as f64);
            let tally = (intended >= began + WARM_UP).then(|| Rc::clone(tally));
            peer.spawn(offer(peer.clone(), intended, tally));
        }
        offered = due;
        peer.sleep(PACE).await;
    }
    let before = at_warm.unwrap_or_default();
    let after = counts();
    // All that was offered has ended by then; twice the time, as the loop may be late.
    peer.sleep(2 * DEADLINE).await;
    std::array::from_fn(|which| after[which] - before[which])
}

async fn offer<P: Peer>(peer: P, intended: Instant, tally: Option<Rc<RefCell<Tally>>>) {
    if let Some(tally) = &tally {
        tally.borrow_mut().sent(intended.elapsed());
    }
    let deadline = intended + DEADLINE;
    let end = peer.call(BlockingWork { deadline }, deadline).await;
    if let Some(tally) = tally {
        tally.borrow_mut().ended(end, intended.elapsed(), DEADLINE);
    }
}

/// How long one call takes now.
async fn recovery<P: Peer>(peer: &P) -> Option<Duration> {
    let began = Instant::now();
    let deadline = began + RECOVERY_MAX;
    let end = peer.call(BlockingWork { deadline }, deadline).await;
    (end == End::Answered).then(|| began.elapsed())
}
