//! A server that signals control: INT and TERM stop it, HUP reloads it.
//!
//! The thread that asked for it waits for signals and does nothing else. A stop, the reloads and the
//! look for stuck pools have a thread each, made at once: when the time comes there may be no thread left to be had, and a
//! config file on a disk that hangs must not hold up a stop.

use crate::error::{Result, ServerError};
use crate::reload::Live;
use crate::running::Running;
use crate::server::Server;
use crate::stuck::{self, StuckPool};
use pontoon_bridge::{drop_quietly, panic_message};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::{Handle, Signals};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, OnceLock, mpsc};
use std::thread;

impl Running {
    /// Watches INT, TERM and HUP from now on: what comes before [`run_until_signal`](Self::run_until_signal) or
    /// [`run_and_reload`](Self::run_and_reload), which do so otherwise, is heeded then. For a program that first
    /// tells somebody that it is up: whoever hears that may send a HUP at once.
    ///
    /// # Errors
    ///
    /// When signals cannot be watched.
    pub fn watch_signals(mut self) -> Result<Self> {
        self.signals = Some(watch()?);
        Ok(self)
    }

    /// Runs until INT or TERM, which drain; a second one stops waiting at once. The program should
    /// end then: what did not return is left behind on its threads, and the three signals that
    /// are watched here (HUP is the third, and does nothing but warn) do not end the program any more.
    ///
    /// With [`restart_when_stuck`](crate::config::ServerConfig::restart_when_stuck) it stops by itself, as
    /// if told to, when a pool has had no worker left for so long.
    ///
    /// # Errors
    ///
    /// When signals cannot be watched, when a second signal cut the drain short, and
    /// [`ServerError::Stuck`] when it stopped by itself.
    pub fn run_until_signal(self) -> Result<()> {
        self.run(None)
    }

    /// As [`run_until_signal`](Self::run_until_signal), and HUP [reloads](Self::reload) what `load`
    /// gives, on a thread for that. While one reload runs, any number of HUPs make one more. If `load`
    /// or the reload fails nothing changes, and the log says why.
    ///
    /// # Errors
    ///
    /// As [`run_until_signal`](Self::run_until_signal).
    pub fn run_and_reload(
        self,
        load: impl FnMut() -> Result<Server> + Send + 'static,
    ) -> Result<()> {
        let reloader = Reloader::start(Arc::clone(&self.live), load)?;
        self.run(Some(reloader))
    }

    fn run(mut self, reloader: Option<Reloader>) -> Result<()> {
        let mut signals = self.signals.take().map_or_else(watch, Ok)?;
        let live = Arc::clone(&self.live);
        let (stop, stop_asked) = mpsc::channel::<()>();
        let (done, stopped) = mpsc::channel();
        let handle = signals.handle();
        spawn("pontoon-stop", move || {
            let _end = EndsWatch(handle);
            if stop_asked.recv().is_ok() {
                // The receiver is gone only if a second signal came first.
                let _ = done.send(self.stop());
            }
        })?;
        let stopping = Arc::new(Stopping {
            live: Arc::clone(&live),
            stop,
            cause: OnceLock::new(),
        });
        let (_running, ended) = mpsc::channel();
        let (watched, stops) = (Arc::clone(&live), Arc::clone(&stopping));
        spawn("pontoon-stuck", move || {
            if let Some(pool) = stuck::watch(&watched, &ended) {
                stops.begin(Cause::Stuck(pool));
            }
        })?;
        let mut was_told = false;
        for signal in signals.forever() {
            if signal == SIGHUP {
                match &reloader {
                    Some(_) if stopping.cause.get().is_some() => {
                        tracing::warn!("HUP: nothing is reloaded, the server stops")
                    }
                    Some(reloader) => reloader.ask(),
                    None => tracing::warn!("HUP: this program has nothing to reload"),
                }
            } else if was_told {
                let connections = live.shared.connections.count();
                return Err(ServerError::StoppedAtOnce { connections });
            } else {
                was_told = true;
                if !stopping.begin(Cause::Signal) {
                    tracing::info!("it stops already; send the signal again to stop at once");
                }
            }
        }
        match stopped.recv() {
            Ok(report) => report.log(),
            Err(_) => tracing::error!("the stop panicked; what still ran was left behind"),
        }
        match stopping.cause.get() {
            Some(Cause::Stuck(StuckPool { name, lasted })) => Err(ServerError::Stuck {
                pool: name.clone(),
                lasted: *lasted,
            }),
            _ => Ok(()),
        }
    }
}

fn watch() -> Result<Signals> {
    Signals::new([SIGHUP, SIGINT, SIGTERM]).map_err(ServerError::Signals)
}

/// Ends the wait for signals when the stop has ended, also if that panicked.
struct EndsWatch(Handle);

impl Drop for EndsWatch {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// Why a server stops.
enum Cause {
    Signal,
    Stuck(StuckPool),
}

/// How a stop begins, whoever wants it.
struct Stopping {
    live: Arc<Live>,
    stop: mpsc::Sender<()>,
    /// There since it has begun: the first one.
    cause: OnceLock<Cause>,
}

impl Stopping {
    /// Has the server stop; false if it does already.
    fn begin(&self, cause: Cause) -> bool {
        if self.cause.set(cause).is_err() {
            return false;
        }
        if let Some(Cause::Stuck(StuckPool { name, lasted })) = self.cause.get() {
            tracing::error!(
                pool = %name,
                ?lasted,
                "no worker is left, all calls hang: stopping to be started again, as \
                 `restart_when_stuck` says"
            );
        }
        let connections = self.live.shared.connections.count();
        let limit = self.live.serving().site.config.shutdown_timeout;
        tracing::info!(
            connections,
            ?limit,
            "stopping: no more connections; send the signal again to stop at once"
        );
        // The stopper waits for nothing else.
        let _ = self.stop.send(());
        true
    }
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<()> {
    let thread = thread::Builder::new().name(name.to_owned()).spawn(run);
    thread.map(drop).map_err(ServerError::Signals)
}

/// The thread that reloads.
struct Reloader {
    /// Room for one: whoever asks while it is full will be served with what was asked before.
    asked: mpsc::SyncSender<()>,
    /// Whether one is under way.
    reloads: Arc<AtomicBool>,
}

impl Reloader {
    fn start(
        live: Arc<Live>,
        mut load: impl FnMut() -> Result<Server> + Send + 'static,
    ) -> Result<Self> {
        let (ask, asked) = mpsc::sync_channel(1);
        let reloads = Arc::new(AtomicBool::new(false));
        let is_reloading = Arc::clone(&reloads);
        let run = move || {
            while asked.recv().is_ok() {
                // Relaxed, here and below: it is for the log alone.
                is_reloading.store(true, Relaxed);
                // What loads is foreign code, and there will be another signal.
                let reload = || load().and_then(|server| live.reload(server));
                match catch_unwind(AssertUnwindSafe(reload)) {
                    Ok(outcome) => tell(outcome),
                    Err(panic) => {
                        let message = panic_message(&*panic);
                        drop_quietly(panic);
                        tracing::error!(%message, "not reloaded, nothing has changed: a panic");
                    }
                }
                is_reloading.store(false, Relaxed);
            }
        };
        spawn("pontoon-reload", run)?;
        Ok(Self {
            asked: ask,
            reloads,
        })
    }

    fn ask(&self) {
        // Relaxed: as in `start`.
        if self.reloads.load(Relaxed) {
            tracing::info!("HUP: a reload is under way, another one follows it");
        }
        // Full: the reload that is to come reads the file after this signal.
        let _ = self.asked.try_send(());
    }
}

fn tell(outcome: Result<crate::ReloadReport>) {
    match outcome {
        Ok(report) => {
            for key in &report.needs_restart {
                tracing::warn!(
                    key,
                    "`{key}` takes a restart to change; all else was reloaded"
                );
            }
            tracing::info!("reloaded: {report}");
        }
        Err(error) => tracing::error!("not reloaded, nothing has changed: {error}"),
    }
}
