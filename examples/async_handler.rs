//! The complete async handler, twice: as an `async` function, and as a state machine by hand.
//!
//! `cargo run --example async_handler`, then `curl localhost:8080/await` and `…/by-hand`

use pontoon::event_loop::{Timer, sleep};
use pontoon::{CallContext, Error, Request, Response, Server, handler};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

/// Stands for an operation that takes a while.
const OPERATION: Duration = Duration::from_millis(100);

/// The compiler makes the states, the context struct and the resumption. Locals are the context; they
/// are freed when the client leaves, too.
async fn awaiting(request: Request, _call: CallContext) -> Result<Response, Error> {
    let path = request.uri().path().to_owned();
    sleep(OPERATION).await;
    Ok(Response::text(format!("{path}: done\n")))
}

/// nginx's handler, state by state.
enum ByHand {
    /// First call: nothing is under way yet.
    New(Request),
    /// The operation runs; whatever ends it wakes the request's task.
    Waiting(Request, Timer),
    Done,
}

impl Future for ByHand {
    type Output = Result<Response, Error>;

    /// Entered again each time the request is woken. `Pending` is nginx's `NGX_DONE`: not done yet.
    /// The request stays alive without a count, because its task owns it.
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            *self = match std::mem::replace(&mut *self, Self::Done) {
                Self::New(request) => Self::Waiting(request, Timer::after(OPERATION)),
                Self::Waiting(request, mut timer) => {
                    if Pin::new(&mut timer).poll(context).is_pending() {
                        *self = Self::Waiting(request, timer);
                        return Poll::Pending;
                    }
                    let path = request.uri().path();
                    return Poll::Ready(Ok(Response::text(format!("{path}: done\n"))));
                }
                Self::Done => return Poll::Pending,
            };
        }
    }
}

pub(crate) fn server() -> Server {
    Server::new()
        .location("/await", handler(awaiting))
        .location("/by-hand", handler(|request, _call| ByHand::New(request)))
}

fn main() -> pontoon::Result<()> {
    server().listen("127.0.0.1:8080").run()
}
