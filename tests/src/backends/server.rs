//! What all private servers have in common: an address, a life, an end.

use std::fmt;
use std::fs::{self, File};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{self, Child, Command};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{home, keeper, processes};
use crate::wait::eventually_some;

/// How a kind of server is run.
pub(super) struct Recipe {
    /// What it is called, in messages.
    pub(super) name: &'static str,
    /// Makes the command that starts it; see `tool::owned`.
    pub(super) command: Box<dyn Fn() -> Command + Send + Sync>,
    /// The Unix socket that it makes when it begins to listen.
    pub(super) socket: PathBuf,
    /// Whether it answers its clients; asked once there is the socket.
    pub(super) answers: Box<dyn Fn() -> bool + Send + Sync>,
    /// Clears up what its processes leave behind when they are killed.
    pub(super) clear_up: fn(folder: &Path),
}

/// A server of a test's own. It is killed, and its files are removed, when it is dropped.
///
/// All methods may be called from any thread; those that change its state do so one after the other.
pub struct PrivateServer {
    recipe: Recipe,
    folder: PathBuf,
    address: SocketAddr,
    running: Mutex<Option<Child>>,
}

impl PrivateServer {
    /// Starts it and waits until it answers.
    ///
    /// # Panics
    ///
    /// When it does not answer in time, or ends; with what it wrote.
    pub(super) fn start(recipe: Recipe, folder: PathBuf, address: SocketAddr) -> Self {
        let server = Self {
            recipe,
            folder,
            address,
            running: Mutex::default(),
        };
        server.restart();
        server
    }

    /// Where it listens: the same for all its life.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The folder with its socket, its data and its log.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What it has written since it was started first.
    pub fn log(&self) -> String {
        let log = fs::read(self.log_path()).unwrap_or_default();
        String::from_utf8_lossy(&log).into_owned()
    }

    /// The number of its first process; `None` while it does not run.
    pub fn pid(&self) -> Option<u32> {
        self.running().as_ref().map(Child::id)
    }

    /// Kills all its processes at once (SIGKILL), paused or not, and waits until they are gone. Its data stays.
    /// Nothing happens when it does not run.
    ///
    /// # Panics
    ///
    /// When they do not end.
    pub fn kill(&self) {
        self.end(&mut self.running());
    }

    /// Starts it again, on the same address and with the same data, and waits until it answers. If it runs it
    /// is killed first.
    ///
    /// # Panics
    ///
    /// As when it is started.
    pub fn restart(&self) {
        let mut running = self.running();
        self.end(&mut running);
        let log = File::options()
            .append(true)
            .create(true)
            .open(self.log_path());
        let log = log.expect("our own folder");
        let mut command = (self.recipe.command)();
        command.stderr(log.try_clone().expect("a descriptor"));
        command.stdout(log);
        let child = keeper::start(command);
        let child = child.unwrap_or_else(|error| panic!("starting {}: {error}", self.recipe.name));
        home::tell_janitor(child.id());
        let child = running.insert(child);
        let what = format!("{} answers", self.recipe.name);
        let ended = eventually_some(&what, || match child.try_wait() {
            Ok(Some(status)) => Some(Some(status)),
            _ => (self.recipe.socket.exists() && (self.recipe.answers)()).then_some(None),
        });
        if let Some(status) = ended {
            *running = None;
            panic!("{} ended, {status}:\n{}", self.recipe.name, self.log());
        }
    }

    /// Stops all its processes (SIGSTOP): it still takes connections, as far as the kernel does that for it,
    /// and answers nothing. New ones get no answer either.
    ///
    /// # Panics
    ///
    /// When it does not run.
    pub fn pause(&self) {
        processes::pause(self.pid().expect("it runs"));
    }

    /// Lets it go on after [`pause`](Self::pause).
    ///
    /// # Panics
    ///
    /// When it does not run.
    pub fn resume(&self) {
        processes::resume(self.pid().expect("it runs"));
    }

    fn running(&self) -> MutexGuard<'_, Option<Child>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self, running: &mut Option<Child>) {
        let Some(mut child) = running.take() else {
            return;
        };
        processes::kill(child.id());
        // It is dead: this only takes note of it.
        let _ = child.wait();
        let _ = fs::remove_file(&self.recipe.socket);
        (self.recipe.clear_up)(&self.folder);
    }

    fn log_path(&self) -> PathBuf {
        self.folder.join("log")
    }
}

impl Drop for PrivateServer {
    fn drop(&mut self) {
        self.kill();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

impl fmt::Debug for PrivateServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrivateServer")
            .field("name", &self.recipe.name)
            .field("address", &self.address)
            .field("folder", &self.folder)
            .finish_non_exhaustive()
    }
}

/// An address that no other server has, of this process or another: while a server is down, nobody else may get
/// its port.
///
/// # Panics
///
/// When no port is free.
pub(super) fn new_address() -> SocketAddr {
    static COUNT: AtomicU8 = AtomicU8::new(1);
    // Relaxed: only that it is another number each time. It comes round after 256 servers.
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let [_, _, high, low] = process::id().to_be_bytes();
    let host = Ipv4Addr::new(127, 64 | (high & 63), low, number);
    let listener = TcpListener::bind((IpAddr::V4(host), 0)).expect("a free port");
    listener.local_addr().expect("a bound socket has one")
}
