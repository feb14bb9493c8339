//! What an adapter is.
//!
//! There are three kinds, by how the library hands over its result: it returns it
//! ([`Adapter`]), it passes it to a callback ([`CallbackAdapter`]), or it is async
//! ([`LoopAdapter`]). Whoever wraps a library implements one of them; the server mounts all three
//! alike, with the same deadlines, limits and errors.
//!
//! What crosses a thread is owned: a request comes in by value, a response goes out by value. No
//! adapter ever sees a connection or the event loop's own data.

use std::future::Future;

use pontoon_bridge::{BatchLimits, Completer, Interrupt};

use crate::{BatchCall, CallContext, Error, Request, Response};

/// A library that blocks: it runs on the workers of a pool, one call at a time on each.
///
/// The adapter itself is shared by all workers. What cannot be shared, such as a connection, is
/// the session: each worker opens its own on first use and keeps it between calls. A session never
/// leaves its thread, so it need not be `Send`.
///
/// Any of it may panic: `call`, but also `open`, `check`, `close` and the session's drop. At most the one
/// client gets a 500, and the worker goes on with a new session.
///
/// ```
/// use std::io::{BufRead, BufReader, Write};
/// use std::net::TcpStream;
///
/// use pontoon_adapters::{Adapter, CallContext, Error, Request, Response};
///
/// /// Asks a line-based server: one line out, one line back.
/// struct LineServer {
///     address: String,
/// }
///
/// impl Adapter for LineServer {
///     type Session = BufReader<TcpStream>;
///
///     fn open(&self) -> Result<Self::Session, Error> {
///         let connected = TcpStream::connect(&self.address);
///         connected.map(BufReader::new).map_err(unreachable)
///     }
///
///     fn call(
///         &self,
///         session: &mut Self::Session,
///         request: Request,
///         call: &CallContext,
///     ) -> Result<Response, Error> {
///         let stream = session.get_mut();
///         stream.set_read_timeout(call.remaining()).map_err(unreachable)?;
///         stream.write_all(request.body()).map_err(unreachable)?;
///         stream.write_all(b"\n").map_err(unreachable)?;
///         let mut line = String::new();
///         session.read_line(&mut line).map_err(unreachable)?;
///         Ok(Response::text(line))
///     }
/// }
///
/// /// After an I/O error nobody knows what the server will send next: no reuse.
/// fn unreachable(error: std::io::Error) -> Error {
///     Error::bad_gateway("the line server cannot be reached").with_source(error).breaking_session()
/// }
/// ```
pub trait Adapter: Send + Sync + 'static {
    /// What a worker keeps between calls. It never leaves its thread.
    type Session: 'static;

    /// Makes a session. It is called on the worker, before its first call and whenever the
    /// session before was closed; also ahead of any call, as far as the pool keeps sessions open
    /// (`sessions_min`).
    ///
    /// After an error it is called again only after a wait, which grows up to 10 s, and on one worker
    /// at a time: clients that need a session meanwhile get a 503 at once.
    ///
    /// # Errors
    ///
    /// The backend cannot be reached, or refuses: the call that needed the session gets this
    /// error. An [`Internal`](crate::ErrorKind::Internal) error of `open` counts as
    /// [`BadGateway`](crate::ErrorKind::BadGateway).
    fn open(&self) -> Result<Self::Session, Error>;

    /// Answers one request. This is the place that may block.
    ///
    /// A result that is too large to hold is better [streamed](CallContext::stream).
    ///
    /// # Errors
    ///
    /// Whatever keeps it from answering. An error that [breaks the
    /// session](Error::breaking_session) closes it as well, and so does a response that
    /// [does](Response::breaking_session): say so when the call may have left something in the session
    /// that the next one must not find, such as an open transaction.
    ///
    /// [`BadGateway`](crate::ErrorKind::BadGateway) and [`TimedOut`](crate::ErrorKind::TimedOut) say that
    /// the backend failed. When too many calls say so, the pool refuses further ones for a while.
    fn call(
        &self,
        session: &mut Self::Session,
        request: Request,
        call: &CallContext,
    ) -> Result<Response, Error>;

    /// Whether a worker may answer several calls together, and how many. Asked once, when the adapter is
    /// bound to its pool; by default each call runs by itself.
    ///
    /// A worker then takes what waits, up to that many calls, and never waits for more. By default one batch
    /// runs at a time, so that the next one grows meanwhile.
    fn batching(&self) -> Option<BatchLimits> {
        None
    }

    /// Answers calls together, for instance writes in one transaction; called only if
    /// [`batching`](Self::batching) allows it, also with one call. By default they are answered one by one.
    ///
    /// Each call is to be [finished](BatchCall::finish) on its own, in any order; they may be sorted as well. One that fails does not
    /// fail the others, and one whose client has left stops nobody else. The clients are told when this has
    /// returned. A call of which nothing was said then is a 500, as are those of which nothing was said
    /// when it panics.
    ///
    /// The [interrupter](Self::interrupter) is used only when all clients have left. None of these calls can
    /// [stream](CallContext::stream) its response: all are told at the end.
    fn call_batch(&self, session: &mut Self::Session, calls: &mut [BatchCall]) {
        for call in calls {
            let request = call.take_request();
            let outcome = self.call(session, request, call.context());
            call.finish(outcome);
        }
    }

    /// Finds out whether a session still works. It is called before a call if the session was idle for some
    /// time (`session_check_after`) or the call before failed, and now and then for a session that is kept
    /// open unused. It may block, but should not for long.
    ///
    /// # Errors
    ///
    /// The session is of no more use: it is closed and another one is opened. No client sees this
    /// error.
    fn check(&self, session: &mut Self::Session) -> Result<(), Error> {
        let _ = session;
        Ok(())
    }

    /// Takes leave of a session before it is dropped, for instance to log off. It is called on the
    /// worker for every session, also for one that broke or in which a call panicked, so it must not
    /// rely on its state. It may block, but should not for long.
    ///
    /// What takes a connection by value, to close it, wants an `Option` in the session.
    fn close(&self, session: &mut Self::Session) {
        let _ = session;
    }

    /// A handle that asks the session's running call to stop, from another thread; `None` when
    /// the library has no means for that.
    ///
    /// It may come late, when the call has just returned. A library where that would hit the next
    /// call is better stopped from within, by looking at [`CallContext::is_cancelled`].
    fn interrupter(&self, session: &Self::Session) -> Option<Box<dyn Interrupt>> {
        let _ = session;
        None
    }
}

/// What finishes the call of a [`CallbackAdapter`], once, from any thread.
pub type ResponseCompleter = Completer<Result<Response, Error>>;

/// A library that calls back, from threads of its own: no pool, no worker.
///
/// The completer travels into the library's callback. Whatever the library does with it has a
/// defined result: a second or late answer is dropped and counted, and when the library drops the
/// callback without calling it, the client is told so at once.
///
/// ```
/// use std::thread;
///
/// use pontoon_adapters::{CallContext, CallbackAdapter, Request, Response, ResponseCompleter};
///
/// struct Upper;
///
/// impl CallbackAdapter for Upper {
///     fn submit(&self, request: Request, _call: &CallContext, completer: ResponseCompleter) {
///         // The thread stands for the library.
///         thread::spawn(move || {
///             let text = String::from_utf8_lossy(request.body()).to_uppercase();
///             completer.complete(Ok(Response::text(text)));
///         });
///     }
/// }
/// ```
pub trait CallbackAdapter: Send + Sync + 'static {
    /// Hands the request to the library. This runs on the event loop: it must return at once, and
    /// never block.
    fn submit(&self, request: Request, call: &CallContext, completer: ResponseCompleter);
}

/// A library that is async, or exposes a file descriptor: it runs on the event loop.
///
/// Each loop has an adapter of its own, so it need not be `Send`, and may keep its state in a
/// `Cell` or a `RefCell`.
///
/// ```
/// use std::cell::Cell;
///
/// use pontoon_adapters::{CallContext, Error, LoopAdapter, Request, Response};
///
/// /// How many requests this loop has answered.
/// #[derive(Default)]
/// struct Count(Cell<u64>);
///
/// impl LoopAdapter for Count {
///     async fn call(&self, _request: Request, _call: &CallContext) -> Result<Response, Error> {
///         self.0.set(self.0.get() + 1);
///         Ok(Response::text(self.0.get().to_string()))
///     }
/// }
/// ```
pub trait LoopAdapter: 'static {
    /// Answers one request. The future is dropped when the client leaves or the deadline passes.
    /// Between two waits it must not run for long: the loop serves everyone else.
    fn call(
        &self,
        request: Request,
        call: &CallContext,
    ) -> impl Future<Output = Result<Response, Error>>;
}
