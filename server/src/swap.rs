//! How the loops go from one site to the next: all of them, or none.
//!
//! | step | each loop | if it fails on one |
//! | --- | --- | --- |
//! | [`prepare`](Swap::prepare) | makes its instances and router, and puts them aside | all drop them |
//! | [`commit`](Swap::commit) | serves with them from the next request on | it cannot fail |
//!
//! What may fail is foreign code (the constructors of loop adapters) and the OS (a new listener),
//! and both are in the first step.

use crate::app;
use crate::error::{Result, ServerError};
use crate::listener::{self, Listener, Listening};
use crate::site::{LoopSite, Site};
use pontoon_bridge::{LoopHandle, drop_quietly, panic_message};
use std::cell::RefCell;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a loop may take to answer. Turns are short, unless foreign code blocks the loop.
const ANSWER: Duration = Duration::from_secs(5);

/// Why a loop cannot go over to new locations.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoopUnready {
    /// Foreign code keeps the loop's thread.
    #[error(
        "it did not answer within {limit:?}: foreign code blocks its thread; reload again when that \
         has returned, or restart the server"
    )]
    Busy {
        /// How long it was waited for.
        limit: Duration,
    },
    /// The loop has ended, by a panic.
    #[error("a panic has ended it; restart the server")]
    Gone,
    /// The constructor of a loop adapter panicked.
    #[error("an adapter panicked while it was made: {message}")]
    Panicked {
        /// What the panic said.
        message: String,
    },
    /// The OS refused a part of it.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// What a loop has put aside, and for which swap.
#[derive(Default)]
pub(crate) struct Ready(RefCell<Option<(u64, ReadySite)>>);

struct ReadySite {
    site: Rc<LoopSite>,
    listener: Option<Listener>,
}

impl Ready {
    /// What was put aside for this swap. Anything else is of a swap that was given up.
    fn take(&self, number: u64) -> Option<ReadySite> {
        let (of, ready) = self.0.take()?;
        (of == number).then_some(ready)
    }
}

/// What a loop is to make ready, until it takes it.
#[derive(Debug)]
struct Order {
    site: Arc<Site>,
    listening: Option<Listening>,
}

/// What a loop that foreign code blocks does not take goes back: in its inbox it would keep new
/// pools with their threads for as long. Locked to take it only, so nothing foreign runs meanwhile.
#[derive(Debug, Clone)]
struct Offer(Arc<Mutex<Option<Order>>>);

impl Offer {
    fn new(order: Order) -> Self {
        Self(Arc::new(Mutex::new(Some(order))))
    }

    /// `None` when the other side was first.
    fn take(&self) -> Option<Order> {
        let mut order = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        order.take()
    }
}

/// A swap that all loops are ready for. Dropping it has them stay with what they have.
#[derive(Debug)]
pub(crate) struct Swap<'l> {
    loops: &'l [LoopHandle],
    /// For each loop.
    offers: Vec<Offer>,
    number: u64,
    is_committed: bool,
}

impl<'l> Swap<'l> {
    /// Has each loop make its part of the site, the first one also of a new listener. `number` is
    /// another one for each swap. It blocks.
    pub(crate) fn prepare(
        loops: &'l [LoopHandle],
        number: u64,
        site: &Arc<Site>,
        mut listening: Option<Listening>,
    ) -> Result<Self> {
        let offer = |_: &LoopHandle| {
            Offer::new(Order {
                site: Arc::clone(site),
                listening: listening.take(),
            })
        };
        let swap = Self {
            loops,
            offers: loops.iter().map(offer).collect(),
            number,
            is_committed: false,
        };
        let mut answers = Vec::new();
        for (one, offer) in loops.iter().zip(&swap.offers) {
            let (answer, answered) = mpsc::channel();
            let offer = offer.clone();
            let prepare = move || {
                let Some(order) = offer.take() else { return };
                // Nobody waits only if it took too long.
                let _ = answer.send(prepare_here(number, order));
            };
            // A loop that is gone drops the answer as well.
            let _ = one.post(prepare);
            answers.push(answered);
        }
        let until = Instant::now() + ANSWER;
        for (index, answered) in answers.into_iter().enumerate() {
            let left = until.saturating_duration_since(Instant::now());
            let answer = answered.recv_timeout(left).unwrap_or_else(|error| {
                Err(match error {
                    RecvTimeoutError::Timeout => LoopUnready::Busy { limit: ANSWER },
                    RecvTimeoutError::Disconnected => LoopUnready::Gone,
                })
            });
            answer.map_err(|source| ServerError::LoopUnready { index, source })?;
        }
        Ok(swap)
    }

    /// Has all loops serve with what they have put aside; a new acceptor gets a clone of
    /// `acceptor`. Returns at once.
    pub(crate) fn commit(mut self, acceptor: &mpsc::Sender<()>) -> Answers {
        self.is_committed = true;
        let (number, handles) = (self.number, self.loops.to_vec());
        let acceptor = acceptor.clone();
        let first = move || commit_here(number, Some((handles, acceptor)));
        let mut first = Some(first);
        tell(self.loops, move || {
            let first = first.take();
            move || match first {
                Some(first) => first(),
                None => commit_here(number, None),
            }
        })
    }
}

/// Has each loop run what `make` makes for it.
fn tell<'l, F>(
    loops: impl IntoIterator<Item = &'l LoopHandle>,
    mut make: impl FnMut() -> F,
) -> Answers
where
    F: FnOnce() + Send + 'static,
{
    let (answer, answers) = mpsc::channel();
    for one in loops {
        let (run, answer) = (make(), answer.clone());
        // A loop that is gone serves nobody.
        let _ = one.post(move || {
            run();
            drop(answer);
        });
    }
    Answers(answers)
}

impl Drop for Swap<'_> {
    fn drop(&mut self) {
        if self.is_committed {
            return;
        }
        let number = self.number;
        // Who has not taken it has put nothing aside, and may be blocked.
        let have_taken = self.loops.iter().zip(&self.offers);
        let have_taken = have_taken.filter(|(_, offer)| offer.take().is_none());
        // Waits, so that what the loops drop is not the last they hold of an adapter: the adapter's
        // own drop is not for a loop.
        tell(have_taken.map(|(one, _)| one), || {
            move || abandon_here(number)
        })
        .wait();
    }
}

/// The loops that have yet to do what they were told.
#[derive(Debug)]
pub(crate) struct Answers(mpsc::Receiver<()>);

impl Answers {
    /// Waits until all have; not for ever for one that foreign code blocks.
    pub(crate) fn wait(self) {
        // Nothing is ever sent: the last loop disconnects it.
        let _ = self.0.recv_timeout(ANSWER);
    }
}

fn prepare_here(number: u64, order: Order) -> Result<(), LoopUnready> {
    let Order { site, listening } = order;
    let app = app::current().ok_or(LoopUnready::Gone)?;
    let before = app.site();
    let make = || LoopSite::new(&site, Some(&before));
    let here = match catch_unwind(AssertUnwindSafe(make)) {
        Ok(made) => Rc::new(made.map_err(io::Error::other)?),
        Err(panic) => {
            let message = panic_message(&*panic);
            drop_quietly(panic);
            return Err(LoopUnready::Panicked { message });
        }
    };
    let listener = listening.map(Listener::enter_loop).transpose()?;
    let ready = ReadySite {
        site: here,
        listener,
    };
    drop(app.ready.0.replace(Some((number, ready))));
    Ok(())
}

fn commit_here(number: u64, acceptor: Option<(Vec<LoopHandle>, mpsc::Sender<()>)>) {
    let Some(app) = app::current() else { return };
    let Some(ready) = app.ready.take(number) else {
        return;
    };
    let before = app.replace_site(ready.site);
    if let (Some(listener), Some((loops, alive))) = (ready.listener, acceptor) {
        listener::start_accepting(&app, listener, loops, alive);
    }
    drop(before);
}

fn abandon_here(number: u64) {
    if let Some(app) = app::current() {
        drop(app.ready.take(number));
    }
}
