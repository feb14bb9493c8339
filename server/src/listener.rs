//! The listening socket and the task that accepts from it.
//!
//! One loop accepts and hands each connection to the loop with the fewest, so that few connections
//! spread as well as many, the limit is exact, and stopping loses no connection that a second
//! socket's backlog would hold.

use crate::app::{self, Arrival, LiveTask, LoopApp};
use crate::bounded::BoundedPlace;
use crate::config::ListenAddress;
use crate::http::connection;
use crate::http::socket::Accepted;
use crate::problem::Problem;
use pontoon_bridge::LoopHandle;
use pontoon_bridge::event_loop::{self, TcpListener, UnixListener, yield_now};
use socket2::{Domain, Protocol, Socket, Type};
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// Connections that may wait to be accepted; the kernel caps it at `net.core.somaxconn`.
const BACKLOG: i32 = 4096;
/// Accepted in a row before other tasks of the loop have their turn.
const ACCEPT_BATCH: usize = 64;
/// How long accepting pauses when the process has no file descriptor left.
const PAUSE: Duration = Duration::from_millis(100);
/// When a client that found all connections taken may come again.
const RETRY: Duration = Duration::from_secs(1);

/// How often a refused connection is read, 4 KiB each time.
const REFUSED_READS: usize = 16;

/// A bound socket that belongs to no loop yet.
#[derive(Debug)]
pub(crate) enum Listening {
    Tcp(mio::net::TcpListener),
    Unix(mio::net::UnixListener, SocketFile),
}

impl Listening {
    /// Binds; with port 0 the system chooses, see [`address`](Self::address).
    pub(crate) fn bind(address: &ListenAddress) -> io::Result<Self> {
        match address {
            ListenAddress::Tcp(address) => bind_tcp(*address).map(Self::Tcp),
            ListenAddress::Unix(path) => {
                remove_stale(path)?;
                let listener = mio::net::UnixListener::bind(path)?;
                Ok(Self::Unix(listener, SocketFile::new(path)?))
            }
        }
    }

    pub(crate) fn address(&self) -> io::Result<ListenAddress> {
        Ok(match self {
            Self::Tcp(listener) => ListenAddress::Tcp(listener.local_addr()?),
            Self::Unix(_, file) => ListenAddress::Unix(file.path.clone()),
        })
    }
}

fn bind_tcp(address: SocketAddr) -> io::Result<mio::net::TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    // A restart must not wait for the old connections' TIME_WAIT. No SO_REUSEPORT: a second
    // server on the port is a mistake that must show.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(mio::net::TcpListener::from_std(socket.into()))
}

/// Removes a socket file that no server listens on any more.
fn remove_stale(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::FileTypeExt;
    let is_socket = path
        .symlink_metadata()
        .is_ok_and(|data| data.file_type().is_socket());
    // Does not wait: a server whose backlog is full is a live one.
    let refused = || {
        mio::net::UnixStream::connect(path)
            .is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
    };
    if is_socket && refused() {
        std::fs::remove_file(path)
    } else {
        Ok(())
    }
}

/// A socket's file; removed when the listening ends, unless another server's has taken its place.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    /// Device and inode.
    identity: (u64, u64),
}

impl SocketFile {
    fn new(path: &Path) -> io::Result<Self> {
        let identity = identity(path)?;
        Ok(Self {
            path: path.to_owned(),
            identity,
        })
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    path.symlink_metadata().map(|data| (data.dev(), data.ino()))
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|identity| identity == self.identity) {
            // Gone already, or not ours to remove: nothing to be done here.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// The listener on its loop.
pub(crate) enum Listener {
    Tcp(TcpListener),
    Unix(
        UnixListener,
        #[expect(dead_code, reason = "removes the file when it is dropped")] SocketFile,
    ),
}

impl Listener {
    pub(crate) fn enter_loop(listening: Listening) -> io::Result<Self> {
        Ok(match listening {
            Listening::Tcp(listener) => Self::Tcp(TcpListener::from_mio(listener)?),
            Listening::Unix(listener, file) => Self::Unix(UnixListener::from_mio(listener)?, file),
        })
    }

    /// The next connection; `None` once the drain has begun, or another listener has taken over.
    async fn accept(
        &self,
        app: &LoopApp,
        live: &LiveTask,
        end: &AcceptorEnd,
    ) -> Option<io::Result<Accepted>> {
        poll_fn(|context| {
            live.watch_drain(context);
            if app.draining_since().is_some() || end.poll(context).is_ready() {
                return Poll::Ready(None);
            }
            match self {
                Self::Tcp(listener) => listener.poll_accept(context).map_ok(Accepted::from),
                Self::Unix(listener, _) => listener.poll_accept(context).map_ok(Accepted::Unix),
            }
            .map(Some)
        })
        .await
    }

    /// A connection that waits already.
    fn accept_now(&self) -> io::Result<Accepted> {
        match self {
            Self::Tcp(listener) => listener.try_accept().map(Accepted::from),
            Self::Unix(listener, _) => listener.try_accept().map(Accepted::Unix),
        }
    }
}

impl From<(mio::net::TcpStream, SocketAddr)> for Accepted {
    fn from((stream, peer): (mio::net::TcpStream, SocketAddr)) -> Self {
        Self::Tcp(stream, peer)
    }
}

/// How the task that accepts learns that another one has taken over.
#[derive(Debug, Default)]
pub(crate) struct AcceptorEnd {
    has_come: Cell<bool>,
    acceptor: RefCell<Option<Waker>>,
}

impl AcceptorEnd {
    pub(crate) fn come(&self) {
        self.has_come.set(true);
        let acceptor = self.acceptor.borrow_mut().take();
        acceptor.into_iter().for_each(Waker::wake);
    }

    fn poll(&self, context: &Context<'_>) -> Poll<()> {
        if self.has_come.get() {
            return Poll::Ready(());
        }
        *self.acceptor.borrow_mut() = Some(context.waker().clone());
        Poll::Pending
    }
}

/// Accepts on this loop from now on, and ends whoever did before. `loops` are all loops by index;
/// `alive` is dropped when the acceptor ends.
pub(crate) fn start_accepting(
    app: &Rc<LoopApp>,
    listener: Listener,
    loops: Vec<LoopHandle>,
    alive: mpsc::Sender<()>,
) {
    let end = Rc::new(AcceptorEnd::default());
    if let Some(before) = app.acceptor.replace(Some(Rc::clone(&end))) {
        before.come();
    }
    let (app, live) = (Rc::clone(app), app.enter());
    let task = async move {
        accept(app, live, listener, loops, &end).await;
        drop(alive);
    };
    event_loop::spawn(task).detach();
}

/// Accepts until the end, then what waits already.
async fn accept(
    app: Rc<LoopApp>,
    live: LiveTask,
    listener: Listener,
    loops: Vec<LoopHandle>,
    end: &AcceptorEnd,
) {
    let mut in_a_row = 0;
    while let Some(accepted) = listener.accept(&app, &live, end).await {
        match accepted {
            Ok(accepted) => hand_over(&app, &loops, accepted),
            Err(error) => pause(&error).await,
        }
        in_a_row += 1;
        if in_a_row % ACCEPT_BATCH == 0 {
            yield_now().await;
        }
    }
    // What the kernel has accepted for us is ours to answer; what keeps coming is not.
    for accepted in 1..=BACKLOG as usize {
        match listener.accept_now() {
            Ok(accepted) => hand_over(&app, &loops, accepted),
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => tracing::debug!(%error, "a connection was gone before it was accepted"),
        }
        if accepted % ACCEPT_BATCH == 0 {
            yield_now().await;
        }
    }
}

async fn pause(error: &io::Error) {
    match error.kind() {
        // The client left before it was accepted.
        ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset => {}
        _ => {
            tracing::warn!(%error, "a connection could not be accepted; raise `ulimit -n` if it is short");
            event_loop::sleep(PAUSE).await;
        }
    }
}

fn hand_over(app: &Rc<LoopApp>, loops: &[LoopHandle], accepted: Accepted) {
    let Some(place) = app.shared.connections.enter() else {
        app.warn_of_refusal();
        refuse(accepted);
        return;
    };
    // A loop that is gone drops what it is sent, so the connection stays here until it is taken.
    let parcel = Arc::new(Mutex::new(Some((accepted, place))));
    while let Some(arrival) = app.shared.arrive_anywhere() {
        let (index, parcel) = (arrival.index(), Arc::clone(&parcel));
        if loops[index]
            .spawn(move || serve_here(parcel, arrival))
            .is_ok()
        {
            return;
        }
        app.shared.leave_out(index);
        tracing::error!(
            index,
            "a panic has ended an event loop; the others serve without it: restart the server"
        );
    }
}

/// A connection on its way to its loop, and its place among all. Locked to take it only.
type Parcel = Arc<Mutex<Option<(Accepted, BoundedPlace)>>>;

async fn serve_here(parcel: Parcel, arrival: Arrival) {
    let Some(app) = app::current() else {
        return;
    };
    let live = app.enter_arrived(arrival);
    let parcel = parcel.lock().unwrap_or_else(PoisonError::into_inner).take();
    let Some((accepted, place)) = parcel else {
        return;
    };
    match accepted.enter_loop() {
        Ok(socket) => connection::serve(app, socket, &live, place).await,
        Err(error) => tracing::debug!(%error, "a connection was gone before it was served"),
    }
}

/// Tells a client that all connections are taken, if its socket takes that at once.
fn refuse(accepted: Accepted) {
    let detail = "the server has as many connections as it may; try again later";
    let bytes = Problem::unavailable(detail, RETRY).into_bytes();
    match accepted {
        Accepted::Tcp(stream, _) => last_word(&stream, &bytes, || stream.shutdown(Shutdown::Write)),
        Accepted::Unix(stream) => last_word(&stream, &bytes, || stream.shutdown(Shutdown::Write)),
    }
}

/// Writes what fits and reads what has come: closing with unread input would send a reset, which can
/// overtake the response. Nobody waits here, so a request that comes later still meets one.
fn last_word<S>(mut stream: S, bytes: &[u8], end_sending: impl FnOnce() -> io::Result<()>)
where
    S: Read + Write,
{
    if stream.write(bytes).is_err() || end_sending().is_err() {
        return;
    }
    let mut unwanted = [0; 4096];
    for _ in 0..REFUSED_READS {
        if !matches!(stream.read(&mut unwanted), Ok(read) if read > 0) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::{Role, Shared};
    use crate::config::ServerConfig;
    use crate::site::{LoopSite, Site};
    use pontoon_bridge::EventLoop;

    #[test]
    fn a_loop_that_is_gone_gets_no_connection_and_loses_none() {
        let here = EventLoop::new().unwrap();
        let gone = EventLoop::new().unwrap().handle();
        let loops = [gone, here.handle()];
        let shared = Arc::new(Shared::new(Role::Public, 10, loops.len()));
        let site = Arc::new(Site::new(ServerConfig::default(), Vec::new()));
        let site = LoopSite::new(&site, None).unwrap();
        let app = Rc::new(LoopApp::new(&shared, 1, site));
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        for count in 1..=2 {
            let stream = std::net::TcpStream::connect(address).unwrap();
            stream.set_nonblocking(true).unwrap();
            let stream = mio::net::TcpStream::from_std(stream);
            hand_over(&app, &loops, Accepted::Tcp(stream, address));
            assert_eq!((shared.on_loop(0), shared.on_loop(1)), (0, count));
            assert_eq!(shared.connections.count(), count);
        }
    }
}
