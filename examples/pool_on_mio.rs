//! A pool on a bare mio loop, without futures: what calls return comes back as messages.
//!
//! `cargo run -p pontoon-bridge --example pool_on_mio`

#![allow(clippy::print_stdout, reason = "a program's output")]

use mio::{Events, Interest, Poll, Token};
use pontoon_bridge::{CallError, Inbox, Pool, Spin, inbox};
use std::time::Duration;

const INBOX: Token = Token(0);

/// Messages handled before the loop looks at its sockets again.
const BATCH: usize = 256;

/// Which request, and what the library said.
type Answer = (u64, Result<u64, CallError>);

/// Stands for a library that blocks.
fn collatz_steps(mut n: u64) -> u64 {
    let mut steps = 0;
    while n != 1 {
        n = if n.is_multiple_of(2) {
            n / 2
        } else {
            3 * n + 1
        };
        steps += 1;
    }
    steps
}

fn ask(pool: &Pool, inbox: &Inbox<Answer>, n: u64) -> Result<(), pontoon_bridge::SubmitError> {
    // The second closure runs on this thread, when the inbox is drained.
    pool.call(move |()| collatz_steps(n))
        .submit_to(inbox, move |result| (n, result))
}

pub(crate) fn main() -> Result<(), Box<dyn std::error::Error>> {
    let pool = Pool::named("steps").threads(2).build()?;
    let mut poll = Poll::new()?;
    let (inbox, _sender) = inbox()?;
    // A loop without futures says itself how long it may look again before it sleeps.
    let mut inbox = inbox.spin(Spin::Auto);
    poll.registry()
        .register(&mut inbox, INBOX, Interest::READABLE)?;

    let mut events = Events::with_capacity(64);
    let (mut answered, mut longest) = (0, (0, 0));
    (1..=100).try_for_each(|n| ask(&pool, &inbox, n))?;
    while answered < 100 {
        // Workers write to the wake fd only between a true `arm` and the next drain.
        let timeout = if inbox.arm() { 10_000 } else { 0 };
        poll.poll(&mut events, Some(Duration::from_millis(timeout)))?;
        inbox.drain_disarmed(BATCH, |(n, result)| {
            answered += 1;
            longest = longest.max((result.unwrap_or(0), n));
        });
    }
    println!("{} takes {} steps to come down to 1", longest.1, longest.0);
    Ok(())
}
