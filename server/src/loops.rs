//! The loops' threads: how they start, find what their connections share, and end.

use crate::app::{self, LoopApp, Role, Shared};
use crate::error::{Result, ServerError};
use crate::listener::{self, Listener, Listening};
use crate::site::{LoopSite, Site};
use pontoon_bridge::event_loop;
use pontoon_bridge::{EventLoop, LoopHandle};
use std::future::{Future, poll_fn};
use std::io;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

/// Starts the loops and has the first one accept.
pub(crate) fn start_loops(
    shared: &Arc<Shared>,
    site: &Arc<Site>,
    loops: usize,
    listening: Listening,
) -> Result<StartedLoops> {
    let mut started: Vec<StartedLoop> = Vec::new();
    for index in 0..loops {
        match start_loop(shared, site, index) {
            Ok(one) => started.push(one),
            Err(source) => {
                stop_loops(started);
                return Err(ServerError::Loop { index, source });
            }
        }
    }
    let (acceptor, acceptors_ended) = mpsc::channel();
    let started = StartedLoops {
        loops: started,
        acceptor,
        acceptors_ended: Mutex::new(acceptors_ended),
    };
    match started.accept(listening) {
        Ok(()) => Ok(started),
        Err(source) => {
            stop_loops(started.loops);
            Err(ServerError::Loop { index: 0, source })
        }
    }
}

/// All loops of a server; the first one accepts.
#[derive(Debug)]
pub(crate) struct StartedLoops {
    loops: Vec<StartedLoop>,
    /// Each acceptor has a clone.
    acceptor: mpsc::Sender<()>,
    /// Disconnected once all acceptors have ended, and `acceptor` is gone. Never locked: the mutex
    /// lets threads share the server, as a plain receiver would not.
    acceptors_ended: Mutex<mpsc::Receiver<()>>,
}

impl StartedLoops {
    /// Reaches the loops, by index.
    pub(crate) fn handles(&self) -> Vec<LoopHandle> {
        self.loops.iter().map(|one| one.handle.clone()).collect()
    }

    /// What an acceptor holds until it ends.
    pub(crate) fn acceptor(&self) -> mpsc::Sender<()> {
        self.acceptor.clone()
    }

    fn accept(&self, listening: Listening) -> io::Result<()> {
        let (loops, alive) = (self.handles(), self.acceptor());
        let (report, accepts) = mpsc::channel();
        let accept = move || {
            let Some(app) = app::current() else { return };
            let entered = Listener::enter_loop(listening)
                .map(|listener| listener::start_accepting(&app, listener, loops, alive));
            // Who starts the server waits for it.
            let _ = report.send(entered);
        };
        let gone = || io::Error::other("the loop ended at once");
        self.loops[0].handle.post(accept).map_err(|_| gone())?;
        accepts.recv().unwrap_or_else(|_| Err(gone()))
    }

    /// Drains all loops and waits for them, until `until` and a moment more for them to notice; for
    /// each loop the connections that were cut, or `None` when it did not end.
    pub(crate) fn stop(self, until: Instant) -> Vec<Option<usize>> {
        let left = || until.saturating_duration_since(Instant::now());
        // First the acceptor: a connection that it has handed over is in its loop's inbox before
        // that loop hears of the drain.
        let _ = self.loops[0].handle.post(move || app::drain_here(until));
        drop(self.acceptor);
        let ended = self.acceptors_ended.into_inner();
        // Not for all of the time: if foreign code blocks that loop, the others still drain.
        let _ = ended
            .unwrap_or_else(PoisonError::into_inner)
            .recv_timeout(left() / 2);
        for started in &self.loops[1..] {
            // A loop that has ended has nothing to drain.
            let _ = started.handle.post(move || app::drain_here(until));
        }
        let noticed = until + NOTICE;
        let left = || noticed.saturating_duration_since(Instant::now());
        self.loops
            .into_iter()
            .map(|started| started.wait(left()))
            .collect()
    }
}

/// How long after the time of a stop is up all that it waits for may take to notice, together.
pub(crate) const NOTICE: Duration = Duration::from_millis(500);

/// Has loops that were started in vain end; they have nothing to do yet, so they end at once.
fn stop_loops(started: Vec<StartedLoop>) {
    let now = Instant::now();
    for one in &started {
        // A loop that is gone already needs no telling.
        let _ = one.handle.post(move || app::drain_here(now));
    }
    for one in started {
        one.wait(VAIN);
    }
}

/// How long a loop that was started in vain may take to end.
const VAIN: Duration = Duration::from_secs(5);

/// A loop on its thread.
#[derive(Debug)]
struct StartedLoop {
    handle: LoopHandle,
    thread: thread::JoinHandle<()>,
    /// The connections that the end of the drain cut, once the loop has ended. Never locked: the
    /// mutex lets threads share the server, as a plain receiver would not.
    ended: Mutex<mpsc::Receiver<usize>>,
}

impl StartedLoop {
    /// Waits for the loop's end; `None` when it did not come.
    fn wait(self, limit: Duration) -> Option<usize> {
        let ended = self
            .ended
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        match ended.recv_timeout(limit) {
            Ok(cut) => {
                // Its last act was to say so.
                let _ = self.thread.join();
                Some(cut)
            }
            // A loop that panicked has cut what it had; nobody knows how much.
            Err(mpsc::RecvTimeoutError::Disconnected) => Some(0),
            Err(mpsc::RecvTimeoutError::Timeout) => None,
        }
    }
}

fn start_loop(shared: &Arc<Shared>, site: &Arc<Site>, index: usize) -> io::Result<StartedLoop> {
    let (started, report) = mpsc::channel();
    let (end, ended) = mpsc::channel();
    let (shared, site) = (Arc::clone(shared), Arc::clone(site));
    let name = match shared.role {
        Role::Public => format!("pontoon-loop-{index}"),
        Role::Admin => "pontoon-admin".to_owned(),
    };
    let run = move || {
        // Nobody listens any more only if the stop did not wait so long.
        let _ = end.send(run_loop(&shared, site, index, &started));
    };
    #[cfg(feature = "fault-points")]
    pontoon_bridge::faults::check(pontoon_bridge::faults::Point::ThreadStart)?;
    let thread = thread::Builder::new().name(name).spawn(run)?;
    let gone = |_| Err(io::Error::other("its thread ended at once"));
    let handle = report.recv().unwrap_or_else(gone)?;
    let ended = Mutex::new(ended);
    Ok(StartedLoop {
        handle,
        thread,
        ended,
    })
}

/// The life of a loop's thread; gives the connections that the end of the drain cut.
fn run_loop(
    shared: &Arc<Shared>,
    site: Arc<Site>,
    index: usize,
    started: &mpsc::Sender<io::Result<LoopHandle>>,
) -> usize {
    let event_loop = EventLoop::with_spin(site.config.spin);
    let here = LoopSite::new(&site, None).map_err(io::Error::other);
    // A reload may replace it: then nothing here may hold it back.
    drop(site);
    let (event_loop, here) = match event_loop.and_then(|event_loop| Ok((event_loop, here?))) {
        Ok(ready) => ready,
        Err(error) => {
            // Nobody listens only if the starting thread is gone.
            let _ = started.send(Err(error));
            return 0;
        }
    };
    let app = Rc::new(LoopApp::new(shared, index, here));
    app::set_current(Some(Rc::clone(&app)));
    let _ = started.send(Ok(event_loop.handle()));
    event_loop.block_on(drained(&app));
    let cut = app.live_tasks();
    drop(event_loop);
    app::set_current(None);
    cut
}

/// Waits for the drain to begin, and then for the connections or the time limit.
async fn drained(app: &LoopApp) {
    let mut limit: Option<event_loop::Timer> = None;
    poll_fn(|context| {
        if app.poll_drained(context).is_ready() {
            return std::task::Poll::Ready(());
        }
        let Some(until) = app.draining_until() else {
            return std::task::Poll::Pending;
        };
        let timer = limit.get_or_insert_with(|| event_loop::Timer::at(until));
        std::pin::Pin::new(timer).poll(context)
    })
    .await;
}
