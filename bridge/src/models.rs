//! The lock-free protocols under loom: every order of their steps, and every value a relaxed load
//! may give, up to a bound on preemptions. `scripts/loom` runs them.
//!
//! The models drive the product's own `inbox::chain`, `call::slot`, `pool::idle`,
//! `pool::ending` and `pool::reserve`, compiled against loom's types by [`crate::sync`]; only the things around them
//! (the sleeping loop, the queue, the parked thread) are stand-ins.

mod chain;
mod delivery;
mod ending;
mod idle;
mod reserve;
mod slot;

use loom::sync::{Arc, Condvar, Mutex};
use std::task::{Wake, Waker};

/// A sleep that one ring ends: the wake fd, or a thread's park token. A ring before the sleep is
/// kept. A sleep that nobody ends is a deadlock, which loom reports.
#[derive(Debug, Default)]
struct Bell {
    rung: Mutex<bool>,
    changed: Condvar,
}

impl Bell {
    fn ring(&self) {
        *self.rung.lock().unwrap() = true;
        self.changed.notify_one();
    }

    fn wait(&self) {
        let mut rung = self.rung.lock().unwrap();
        while !*rung {
            rung = self.changed.wait(rung).unwrap();
        }
        *rung = false;
    }
}

/// A task that sleeps on a bell.
struct Ringer(Arc<Bell>);

impl Wake for Ringer {
    fn wake(self: std::sync::Arc<Self>) {
        self.0.ring();
    }
}

fn waker(bell: &Arc<Bell>) -> Waker {
    Waker::from(std::sync::Arc::new(Ringer(Arc::clone(bell))))
}

/// Counts its own drop.
struct Witness(std::sync::Arc<std::sync::atomic::AtomicUsize>);

impl Drop for Witness {
    fn drop(&mut self) {
        // SeqCst: a model's own count, not part of what is modelled.
        self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    }
}

/// Makes witnesses and says how many are gone.
#[derive(Clone, Default)]
struct Drops(std::sync::Arc<std::sync::atomic::AtomicUsize>);

impl Drops {
    fn witness(&self) -> Witness {
        Witness(self.0.clone())
    }

    fn count(&self) -> usize {
        // SeqCst: as in `Witness::drop`.
        self.0.load(std::sync::atomic::Ordering::SeqCst)
    }
}
