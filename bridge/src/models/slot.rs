//! Completing sides against the polling and leaving caller of a [`Slot`].

use super::{Bell, Drops, Witness, waker};
use crate::call::{ClosedWhile, Refused, Slot};
use loom::sync::Arc;
use loom::thread;
use std::task::{Context, Poll};

type Cell = Arc<Slot<Witness>>;

fn completing(slot: &Cell, drops: &Drops) -> thread::JoinHandle<Result<(), Refused<()>>> {
    let (slot, witness) = (Arc::clone(slot), drops.witness());
    thread::spawn(move || {
        slot.complete(witness).map_err(|refused| match refused {
            Refused::Second(_) => Refused::Second(()),
            Refused::Late(_) => Refused::Late(()),
        })
    })
}

/// Polls until the outcome is there, each time with the waker of another bell, and sleeps on the
/// newest only.
fn wait_with_changing_wakers(slot: &Cell) -> Witness {
    let mut polls = 0;
    loop {
        // A new bell for the first two looks, then the same one.
        let bell = Arc::new(Bell::default());
        let waker = waker(&bell);
        let mut context = Context::from_waker(&waker);
        for _ in 0..=polls {
            if let Poll::Ready(witness) = slot.poll(&mut context) {
                return witness;
            }
        }
        if polls == 1 {
            bell.wait();
            let Poll::Ready(witness) = slot.poll(&mut context) else {
                panic!("woken without an outcome");
            };
            return witness;
        }
        polls += 1;
    }
}

#[test]
fn the_newest_waker_is_woken_or_the_outcome_is_seen() {
    loom::model(|| {
        let slot: Cell = Arc::new(Slot::new());
        let drops = Drops::default();
        let completing = completing(&slot, &drops);
        drop(wait_with_changing_wakers(&slot));
        assert!(completing.join().unwrap().is_ok());
        assert_eq!(drops.count(), 1);
    });
}

#[test]
fn of_two_completions_one_is_the_outcome_and_one_is_second() {
    loom::model(|| {
        let slot: Cell = Arc::new(Slot::new());
        let drops = Drops::default();
        let both = [completing(&slot, &drops), completing(&slot, &drops)];
        drop(wait_with_changing_wakers(&slot));
        let refused = both
            .into_iter()
            .map(|side| side.join().unwrap())
            .filter(|result| matches!(result, Err(Refused::Second(()))))
            .count();
        assert_eq!(refused, 1);
        assert_eq!(drops.count(), 2);
    });
}

#[test]
fn a_caller_that_leaves_gets_the_outcome_or_the_completing_side_keeps_it() {
    loom::model(|| {
        let slot: Cell = Arc::new(Slot::new());
        let drops = Drops::default();
        assert!(slot.start());
        let both = [completing(&slot, &drops), completing(&slot, &drops)];
        let bell = Arc::new(Bell::default());
        let waker = waker(&bell);
        let polled = slot.poll(&mut Context::from_waker(&waker));
        let outcomes = match polled {
            Poll::Ready(witness) => {
                drop(witness);
                1
            }
            Poll::Pending => match slot.close() {
                (ClosedWhile::Done, Some(_)) => 1,
                (ClosedWhile::Running, None) => 0,
                other => panic!("impossible: {:?}", other.0),
            },
        };
        let results = both.map(|side| side.join().unwrap());
        let stored = results.iter().filter(|result| result.is_ok()).count();
        let late = results
            .iter()
            .filter(|result| matches!(result, Err(Refused::Late(()))))
            .count();
        assert_eq!(stored, outcomes, "the caller has what was stored");
        assert_eq!(stored + late, 1, "one outcome, delivered or late");
        drop(slot);
        assert_eq!(drops.count(), 2);
    });
}

#[test]
fn a_call_that_is_closed_while_a_worker_takes_it_is_run_or_skipped_and_both_sides_agree() {
    loom::model(|| {
        let slot: Cell = Arc::new(Slot::new());
        let drops = Drops::default();
        let worker = {
            let (slot, witness) = (Arc::clone(&slot), drops.witness());
            thread::spawn(move || {
                let runs = slot.start();
                if runs {
                    drop(slot.complete(witness));
                }
                runs
            })
        };
        let (closed_while, outcome) = slot.close();
        let ran = worker.join().unwrap();
        assert_eq!(ran, closed_while != ClosedWhile::Queued);
        assert_eq!(outcome.is_some(), closed_while == ClosedWhile::Done);
        drop((outcome, slot));
        assert_eq!(drops.count(), 1);
    });
}
