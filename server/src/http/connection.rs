//! The task of one connection: hyper, the clock, the last word, the close.

use super::pace::MinRate;
use super::service::Service;
use super::socket::Socket;
use super::wire::{HyperIo, Overdue, Patience, Wire};
use crate::access_log::{Outcome, Record};
use crate::app::{LiveTask, LoopApp};
use crate::bounded::BoundedPlace;
use crate::http::guard::Limits;
use crate::problem::Problem;
use http::StatusCode;
use hyper::server::conn::http1;
use pontoon_bridge::event_loop::{Timer, timeout};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

/// How long an idle connection is kept while the server drains: a request that is on its way when
/// the drain begins is still answered.
const DRAIN_GRACE: Duration = Duration::from_millis(50);

/// How long, and how much, a connection is read after the last response, so that the client sees it
/// instead of a reset (RFC 9112 section 9.6).
const LINGER: Duration = Duration::from_millis(500);
const LINGER_BYTES: usize = 1 << 20;

type Http = http1::Connection<HyperIo, Service>;

/// How hyper's part ended.
enum Ended {
    /// Hyper has nothing more to do.
    ByItself,
    /// The client kept the connection waiting.
    Overdue(Overdue),
}

/// Serves a connection to its end.
pub(crate) async fn serve(app: Rc<LoopApp>, socket: Socket, live: &LiveTask, _place: BoundedPlace) {
    let limits = app.site().site.limits;
    let wire = Wire::new(socket, limits);
    let ended = run(&app, &wire, live, &limits).await;
    close(&app, &wire, ended).await;
}

async fn run(app: &Rc<LoopApp>, wire: &Rc<Wire>, live: &LiveTask, limits: &Limits) -> Ended {
    let service = Service {
        app: Rc::clone(app),
        wire: Rc::clone(wire),
    };
    let mut http = http1::Builder::new()
        // The guard has let the head through, so hyper must have room for all of it.
        .max_buf_size(limits.head_bytes.max(1 << 15) * 2)
        .header_read_timeout(None)
        .serve_connection(HyperIo(Rc::clone(wire)), service);
    let mut clock = Clock::default();
    poll_fn(|context| {
        live.watch_drain(context);
        poll(app, wire, &mut http, &mut clock, context)
    })
    .await
}

fn poll(
    app: &LoopApp,
    wire: &Wire,
    http: &mut Http,
    clock: &mut Clock,
    context: &mut Context<'_>,
) -> Poll<Ended> {
    loop {
        if let Poll::Ready(result) = http.poll_without_shutdown(context) {
            if let Err(error) = result {
                tracing::debug!(%error, "a connection ended early");
            }
            return Poll::Ready(Ended::ByItself);
        }
        match ready!(clock.poll(app, wire, context)) {
            // The service answers it, once hyper has told it.
            overdue @ (Overdue::Body | Overdue::BodyRate { .. }) => wire.set_body_overdue(overdue),
            Overdue::Stream => {
                wire.streaming.set_overdue();
                return Poll::Ready(Ended::Overdue(Overdue::Stream));
            }
            overdue => return Poll::Ready(Ended::Overdue(overdue)),
        }
    }
}

/// The one timer of a connection. It is moved forward when something is due earlier than it; when
/// something is due later it just fires for nothing, so that a request costs no timer operation.
#[derive(Default)]
struct Clock {
    timer: Option<Timer>,
}

impl Clock {
    fn poll(&mut self, app: &LoopApp, wire: &Wire, context: &mut Context<'_>) -> Poll<Overdue> {
        loop {
            let Some((due, overdue)) = due(app, wire) else {
                return Poll::Pending;
            };
            if due <= Instant::now() {
                return Poll::Ready(overdue);
            }
            let timer = self.timer.get_or_insert_with(|| Timer::at(due));
            if due < timer.due() {
                timer.rearm_at(due);
            }
            ready!(Pin::new(&mut *timer).poll(context));
            timer.rearm_at(due);
        }
    }
}

/// The limits of now: a reload changes them for connections that are open as well.
fn patience(app: &LoopApp) -> Patience {
    let site = app.site();
    let config = &site.site.config;
    Patience {
        idle: config.keep_alive,
        head: config.header_timeout,
        body: config.request_timeout,
        body_rate: MinRate {
            bytes_per_second: config.min_body_rate,
            grace: config.body_grace,
        },
        send: config.send_timeout,
        send_rate: MinRate {
            bytes_per_second: config.min_send_rate,
            grace: config.send_timeout,
        },
    }
}

fn due(app: &LoopApp, wire: &Wire) -> Option<(Instant, Overdue)> {
    let patience = patience(app);
    let (due, overdue) = wire.due(&patience)?;
    match app.draining_since() {
        Some(since) if overdue == Overdue::Idle => {
            // From the drain, or from when the connection fell idle or was accepted since.
            let idle_since = due.checked_sub(patience.idle).unwrap_or(since);
            Some((since.max(idle_since) + DRAIN_GRACE, overdue))
        }
        _ => Some((due, overdue)),
    }
}

/// Says the last word, if one is owed, and closes so that it is heard.
async fn close(app: &LoopApp, wire: &Wire, ended: Ended) {
    if wire.streaming.is_reset() {
        return;
    }
    match ended {
        // The body's is the service's to answer; see `poll`.
        Ended::Overdue(Overdue::Body | Overdue::BodyRate { .. }) => return,
        Ended::Overdue(Overdue::Send) => {
            tracing::debug!("a client that did not read its response in time was cut");
            return;
        }
        Ended::Overdue(Overdue::Stream) => {
            tracing::debug!("a response that did not end in its stream_timeout was cut");
            return;
        }
        Ended::Overdue(Overdue::Head) => {
            let detail = "the request's head did not arrive in time";
            let problem = Problem::new(StatusCode::REQUEST_TIMEOUT, detail);
            refuse(app, wire, problem).await;
        }
        Ended::Overdue(Overdue::Idle) => {}
        Ended::ByItself => {
            if let Some(violation) = wire.head_violation() {
                tracing::debug!(%violation, "a request's head was refused");
                let mut problem = Problem::new(violation.status, violation.to_string());
                if violation.status == StatusCode::METHOD_NOT_ALLOWED {
                    problem = problem.with_allow("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
                }
                refuse(app, wire, problem).await;
            } else if wire.has_ended() {
                return;
            }
        }
    }
    linger(wire).await;
}

/// Answers a request that hyper never saw.
async fn refuse(app: &LoopApp, wire: &Wire, problem: Problem) {
    let (id, peer) = (app.shared.next_request_id(), wire.socket.peer());
    let record = Record::of_unread(id, Instant::now(), peer, Outcome::Refused);
    let mut record = record.for_role(app.shared.role);
    record.status = Some(problem.status());
    let bytes = problem.into_bytes();
    record.sent_bytes = bytes.len() as u64;
    let mut sent = 0;
    let write = poll_fn(|context| {
        while sent < bytes.len() {
            match ready!(wire.socket.poll_write(context, &bytes[sent..])) {
                Ok(wrote) if wrote > 0 => sent += wrote,
                _ => break,
            }
        }
        Poll::Ready(sent == bytes.len())
    });
    record.whole = timeout(LINGER, write).await == Ok(true);
}

/// Ends our side and reads what the client still sends: closing with unread input would send a
/// reset, which can overtake the response.
async fn linger(wire: &Wire) {
    if wire.socket.end_sending().is_err() {
        return;
    }
    let mut left = LINGER_BYTES;
    let read = poll_fn(|context| {
        let mut buffer = [0; 4096];
        while left > 0 {
            match ready!(wire.socket.poll_read(context, &mut buffer)) {
                Ok(read) if read > 0 => left = left.saturating_sub(read),
                _ => break,
            }
        }
        Poll::Ready(())
    });
    let _ = timeout(LINGER, read).await;
}
