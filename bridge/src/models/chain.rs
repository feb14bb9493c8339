//! Producers against the sleeping, draining and closing consumer of a [`Chain`].

use super::{Bell, Drops, Witness};
use crate::inbox::chain::{Chain, Node, Pushed};
use loom::sync::Arc;
use loom::thread;
use std::ptr::{self, NonNull};

/// A node: a producer's number, a sequence number, and a witness of its drop. The link is loom's
/// cell, so that loom itself sees two threads touch it at once.
struct Letter {
    next: loom::cell::UnsafeCell<*mut ()>,
    from: usize,
    number: usize,
    _witness: Witness,
}

// SAFETY: `next` is touched by the chain only, under `Node`'s contract, which loom's cell checks.
unsafe impl Send for Letter {}

// SAFETY: `Box` gives up and takes back one heap place, aligned for a pointer; `next` is private
// to these functions.
unsafe impl Node for Box<Letter> {
    fn into_raw(self) -> NonNull<()> {
        NonNull::from(Box::leak(self)).cast()
    }

    unsafe fn from_raw(raw: NonNull<()>) -> Self {
        // SAFETY: the caller promises that `raw` came from `into_raw` and is taken back once.
        unsafe { Box::from_raw(raw.cast::<Letter>().as_ptr()) }
    }

    unsafe fn set_next(raw: NonNull<()>, next: *mut ()) {
        // SAFETY: the caller promises that `raw` is a given-up letter.
        let letter = unsafe { raw.cast::<Letter>().as_ref() };
        letter.next.with_mut(|place| {
            // SAFETY: the caller promises that no other thread reaches it; loom checks that.
            unsafe { *place = next }
        });
    }

    unsafe fn next(raw: NonNull<()>) -> *mut () {
        // SAFETY: as in `set_next`.
        let letter = unsafe { raw.cast::<Letter>().as_ref() };
        letter.next.with(|place| {
            // SAFETY: as in `set_next`.
            unsafe { *place }
        })
    }
}

fn letter(from: usize, number: usize, drops: &Drops) -> Box<Letter> {
    Box::new(Letter {
        next: loom::cell::UnsafeCell::new(ptr::null_mut()),
        from,
        number,
        _witness: drops.witness(),
    })
}

type Letters = Arc<Chain<Box<Letter>>>;

/// Pushes `count` letters; how many wakes it owed.
fn producer(
    chain: Letters,
    bell: Arc<Bell>,
    from: usize,
    count: usize,
    drops: Drops,
) -> thread::JoinHandle<usize> {
    thread::spawn(move || {
        let owed = |number| match chain.push(letter(from, number, &drops)) {
            Ok(Pushed::WakeOwed) => {
                bell.ring();
                1
            }
            Ok(Pushed::Quiet) => 0,
            Err(_) => panic!("nobody closes this chain"),
        };
        (0..count).map(owed).sum()
    })
}

/// The canary's model: with `arm` broken on purpose this one must fail.
#[test]
fn no_wake_is_lost_and_none_is_wasted_between_two_producers_and_a_sleeping_loop() {
    loom::model(|| {
        let chain: Letters = Arc::new(Chain::new());
        let bell = Arc::new(Bell::default());
        let drops = Drops::default();
        let counts = [2, 1];
        let producers: Vec<_> = (0..2)
            .map(|from| {
                let (chain, bell) = (Arc::clone(&chain), Arc::clone(&bell));
                producer(chain, bell, from, counts[from], drops.clone())
            })
            .collect();
        let mut next = [0, 0];
        let mut armed = 0;
        while next != counts {
            if chain.arm() {
                armed += 1;
                bell.wait();
            }
            for letter in chain.take() {
                assert_eq!(letter.number, next[letter.from], "out of order, or twice");
                next[letter.from] += 1;
            }
        }
        let owed: usize = producers.into_iter().map(|p| p.join().unwrap()).sum();
        assert_eq!(owed, armed, "each sleep was ended by one wake, and no more");
        assert_eq!(drops.count(), 3);
    });
}

#[test]
fn a_loop_that_arms_and_then_finds_other_work_owes_nobody_and_is_owed_one_wake_at_most() {
    loom::model(|| {
        let chain: Letters = Arc::new(Chain::new());
        let bell = Arc::new(Bell::default());
        let drops = Drops::default();
        let pushing = producer(Arc::clone(&chain), Arc::clone(&bell), 0, 2, drops.clone());
        // Armed, but a socket ends the poll and not the bell.
        let armed = usize::from(chain.arm());
        let mut got = chain.take().count();
        let owed = pushing.join().unwrap();
        assert!(owed <= armed);
        got += chain.take().count();
        assert_eq!(got, 2);
        assert_eq!(drops.count(), 2);
    });
}

#[test]
fn closing_drops_each_letter_once_or_gives_it_back() {
    loom::model(|| {
        let chain: Letters = Arc::new(Chain::new());
        let drops = Drops::default();
        assert!(chain.arm());
        let pushing = {
            let (chain, drops) = (Arc::clone(&chain), drops.clone());
            thread::spawn(move || {
                let mut refused = 0;
                for number in 0..2 {
                    if let Err(back) = chain.push(letter(0, number, &drops)) {
                        assert_eq!(back.number, number);
                        refused += 1;
                    }
                }
                refused
            })
        };
        let taken = chain.take().count() + chain.close().count();
        // A look after closing must not open the chain again.
        assert!(chain.take().is_empty());
        let refused: usize = pushing.join().unwrap();
        assert_eq!(taken + refused, 2);
        assert_eq!(drops.count(), 2);
        assert!(chain.push(letter(0, 9, &drops)).is_err(), "closed for good");
    });
}

#[test]
fn letters_that_nobody_took_go_with_the_chain() {
    loom::model(|| {
        let chain: Letters = Arc::new(Chain::new());
        let drops = Drops::default();
        let pushing = {
            let (chain, drops) = (Arc::clone(&chain), drops.clone());
            thread::spawn(move || chain.push(letter(0, 0, &drops)).is_ok())
        };
        drop(chain);
        assert!(pushing.join().unwrap());
        assert_eq!(drops.count(), 1);
    });
}
