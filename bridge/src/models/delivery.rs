//! A completed call on its way home, against the caller that leaves and the loop that ends.

use super::{Bell, Drops, Witness, waker};
use crate::call::{Closed, Owed, Slot};
use crate::inbox::chain::{Chain, Node, Pushed};
use loom::sync::Arc;
use loom::thread;
use std::ptr::{self, NonNull};
use std::task::Poll;

/// Which loop a waiter lives on; there is but one here.
type Home = std::sync::Arc<()>;

/// A cell as `pool::cell` has one: a link and a slot.
struct Cell {
    next: loom::cell::UnsafeCell<*mut ()>,
    slot: Slot<(), Witness, Home>,
}

// SAFETY: `next` is touched by the chain only, under `Node`'s contract, which loom's cell checks.
unsafe impl Send for Cell {}
// SAFETY: as above.
unsafe impl Sync for Cell {}

/// The completing side's share of a cell, as it travels.
struct Letter(Arc<Cell>);

// SAFETY: `Arc` gives up and takes back one count; `next` is private to these functions, and only one
// letter of a cell is made.
unsafe impl Node for Letter {
    fn into_raw(self) -> NonNull<()> {
        let raw = Arc::into_raw(self.0).cast_mut().cast();
        NonNull::new(raw).expect("an `Arc` is never null")
    }

    unsafe fn from_raw(raw: NonNull<()>) -> Self {
        // SAFETY: the caller promises that `raw` came from `into_raw` and is taken back once.
        Self(unsafe { Arc::from_raw(raw.as_ptr().cast_const().cast()) })
    }

    unsafe fn set_next(raw: NonNull<()>, next: *mut ()) {
        // SAFETY: the caller promises that `raw` is a given-up letter.
        let cell = unsafe { raw.cast::<Cell>().as_ref() };
        cell.next.with_mut(|place| {
            // SAFETY: the caller promises that no other thread reaches it; loom checks that.
            unsafe { *place = next }
        });
    }

    unsafe fn next(raw: NonNull<()>) -> *mut () {
        // SAFETY: as in `set_next`.
        let cell = unsafe { raw.cast::<Cell>().as_ref() };
        cell.next.with(|place| {
            // SAFETY: as in `set_next`.
            unsafe { *place }
        })
    }
}

fn cell() -> Arc<Cell> {
    Arc::new(Cell {
        next: loom::cell::UnsafeCell::new(ptr::null_mut()),
        slot: Slot::running(),
    })
}

/// Opens a letter as the loop does, or whoever finds the loop gone.
fn open(letter: &Letter) {
    // SAFETY: the letter was made to deliver what `complete` owed, and is opened once.
    unsafe { letter.0.slot.deliver() };
}

/// A foreign thread completes the call and sends it home.
fn completing(
    cell: &Arc<Cell>,
    chain: &Arc<Chain<Letter>>,
    loop_bell: &Arc<Bell>,
    witness: Witness,
) -> thread::JoinHandle<()> {
    let (cell, chain, loop_bell) = (Arc::clone(cell), Arc::clone(chain), Arc::clone(loop_bell));
    thread::spawn(move || match cell.slot.complete(witness, |_| ()) {
        Ok(Owed::Deliver(())) => match chain.push(Letter(cell)) {
            Ok(Pushed::WakeOwed) => loop_bell.ring(),
            Ok(Pushed::Quiet) => {}
            Err(orphan) => open(&orphan),
        },
        Ok(Owed::Wake(waker)) => waker.wake(),
        Ok(Owed::Nothing) | Err(_) => {}
    })
}

#[test]
fn a_call_that_waits_on_a_loop_is_woken_there() {
    loom::model(|| {
        let (chain, loop_bell) = (Arc::new(Chain::new()), Arc::new(Bell::default()));
        let (drops, cell) = (Drops::default(), cell());
        let completing = completing(&cell, &chain, &loop_bell, drops.witness());
        let task_bell = Arc::new(Bell::default());
        let waker = waker(&task_bell);
        if cell.slot.poll(&waker, Some(&Home::default())).is_pending() {
            if chain.arm() {
                loop_bell.wait();
            }
            chain.take().for_each(|letter| open(&letter));
            task_bell.wait();
            assert!(cell.slot.poll(&waker, Some(&Home::default())).is_ready());
        }
        completing.join().unwrap();
        drop((cell, chain));
        assert_eq!(drops.count(), 1);
    });
}

/// The waiting task has moved to another executor, or the loop's end has not dropped it yet.
#[test]
fn a_call_whose_loop_ends_meanwhile_still_wakes_its_task() {
    loom::model(|| {
        let (chain, loop_bell) = (Arc::new(Chain::new()), Arc::new(Bell::default()));
        let (drops, cell) = (Drops::default(), cell());
        let task_bell = Arc::new(Bell::default());
        let waker = waker(&task_bell);
        let polled = cell.slot.poll(&waker, Some(&Home::default()));
        assert!(polled.is_pending());
        let completing = completing(&cell, &chain, &loop_bell, drops.witness());
        // The loop ends: what is here is opened or was taken, what comes later is given back.
        chain.close().for_each(|letter| open(&letter));
        task_bell.wait();
        assert!(cell.slot.poll(&waker, Some(&Home::default())).is_ready());
        completing.join().unwrap();
        drop((cell, chain));
        assert_eq!(drops.count(), 1);
    });
}

#[test]
fn a_caller_that_leaves_while_its_call_comes_home_drops_each_value_once() {
    loom::model(|| {
        let (chain, loop_bell) = (Arc::new(Chain::new()), Arc::new(Bell::default()));
        let (drops, cell) = (Drops::default(), cell());
        let task_bell = Arc::new(Bell::default());
        let polled = cell.slot.poll(&waker(&task_bell), Some(&Home::default()));
        assert!(polled.is_pending());
        let completing = completing(&cell, &chain, &loop_bell, drops.witness());
        match cell.slot.close() {
            Closed::Done(outcome) => drop(outcome),
            Closed::Running => {}
            Closed::Queued(_) => panic!("it was never queued"),
        }
        drop(cell);
        // As when a loop is dropped: letters go unopened, and the waiter with them.
        drop(chain.close());
        completing.join().unwrap();
        drop(chain);
        assert_eq!(drops.count(), 1);
    });
}

#[test]
fn a_waiter_that_moves_from_a_loop_to_another_executor_is_woken_once_it_has_moved() {
    loom::model(|| {
        let (chain, loop_bell) = (Arc::new(Chain::new()), Arc::new(Bell::default()));
        let (drops, cell) = (Drops::default(), cell());
        let first = Arc::new(Bell::default());
        let polled = cell.slot.poll(&waker(&first), Some(&Home::default()));
        assert!(polled.is_pending());
        let completing = completing(&cell, &chain, &loop_bell, drops.witness());
        let second = Arc::new(Bell::default());
        let waker = waker(&second);
        if let Poll::Pending = cell.slot.poll(&waker, None) {
            // Nobody runs the loop any more.
            second.wait();
            assert!(cell.slot.poll(&waker, None).is_ready());
        }
        completing.join().unwrap();
        drop((cell, chain));
        assert_eq!(drops.count(), 1);
    });
}
