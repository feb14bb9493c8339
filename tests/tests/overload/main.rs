//! More than a server can do, and libraries that go wrong under load, in short: what does not depend on how
//! quick the machine is. `benches/overload/run` has the figures.

mod faults;
mod flood;
mod hung;

use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;

/// A number that threads count up.
#[derive(Debug, Default)]
struct Count(AtomicUsize);

impl Count {
    fn add(&self) {
        // SeqCst: a test's own count.
        self.0.fetch_add(1, SeqCst);
    }

    fn get(&self) -> usize {
        // SeqCst: as above.
        self.0.load(SeqCst)
    }
}
