//! Starts processes that do not outlive this one.
//!
//! The kernel sends a process its parent-death signal when the *thread* that started it ends. A test's thread
//! ends with the test, and a shared server must live on; so one thread, which lives as long as the process
//! does, starts them all.

use std::io;
use std::process::{Child, Command};
use std::sync::LazyLock;
use std::sync::mpsc::{self, Sender};
use std::thread;

struct Order {
    command: Command,
    reply: Sender<io::Result<Child>>,
}

static KEEPER: LazyLock<Sender<Order>> = LazyLock::new(|| {
    let (sender, orders) = mpsc::channel::<Order>();
    let keep = move || {
        for mut order in orders {
            let child = order.command.spawn();
            // Who ordered it waits.
            let _ = order.reply.send(child);
        }
    };
    let started = thread::Builder::new().name("keeper".into()).spawn(keep);
    started.expect("a thread");
    sender
});

/// Starts a process; what ends it with us is part of the command (see `tool::owned`).
pub(super) fn start(command: Command) -> io::Result<Child> {
    let (reply, answer) = mpsc::channel();
    let order = Order { command, reply };
    KEEPER.send(order).expect("the keeper never ends");
    answer.recv().expect("the keeper answers")
}
