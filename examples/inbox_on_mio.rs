//! Callbacks of a foreign thread, handled on a bare mio loop beside its sockets and timeouts.
//!
//! `cargo run -p pontoon-bridge --example inbox_on_mio`

#![allow(clippy::print_stdout, reason = "a program's output")]

use mio::{Events, Interest, Poll, Token};
use pontoon_bridge::{Sender, inbox};
use std::thread;
use std::time::Duration;

const INBOX: Token = Token(0);

/// Messages handled before the loop looks at its sockets again.
const BATCH: usize = 256;

enum Message {
    Reading { celsius: f64 },
    Done,
}

/// Stands for a library with threads of its own, which calls back from them.
fn sensor(sender: Sender<Message>) {
    thread::spawn(move || {
        for tenths in 200..220 {
            let celsius = f64::from(tenths) / 10.0;
            if sender.send(Message::Reading { celsius }).is_err() {
                return; // The loop is gone, so nobody is interested any more.
            }
        }
        // An error says the same here.
        let _ = sender.send(Message::Done);
    });
}

pub(crate) fn main() -> std::io::Result<()> {
    let mut poll = Poll::new()?;
    let (mut inbox, sender) = inbox()?;
    poll.registry()
        .register(&mut inbox, INBOX, Interest::READABLE)?;
    sensor(sender);

    let mut events = Events::with_capacity(64);
    let (mut readings, mut done) = (Vec::new(), false);
    while !done {
        poll.poll(&mut events, Some(Duration::from_secs(10)))?;
        // Sockets would be served here, by their tokens; the inbox is drained whatever came.
        inbox.drain(BATCH, |message| match message {
            Message::Reading { celsius } => readings.push(celsius),
            Message::Done => done = true,
        });
    }
    let mean = readings.iter().sum::<f64>() / readings.len() as f64;
    println!("{} readings, {mean:.2} °C on average", readings.len());
    println!("{} writes to wake this loop", inbox.wake_writes());
    Ok(())
}
