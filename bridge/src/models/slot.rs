//! Completing sides against the polling and leaving caller of a [`Slot`].

use super::{Bell, Drops, Witness, waker};
use crate::call::{Closed, Owed, Refused, Slot};
use loom::sync::Arc;
use loom::thread;
use std::task::Poll;

/// No loop: whoever completes calls the waker itself.
type NoHome = std::sync::Arc<()>;
type Cell = Arc<Slot<Witness, Witness, NoHome>>;

/// A call that somebody has already.
fn running() -> Cell {
    Arc::new(Slot::running())
}

/// Completes as a library's callback does.
fn complete(slot: &Cell, witness: Witness) -> Result<(), Refused<()>> {
    match slot.complete(witness, |_| unreachable!("no waiter has a home")) {
        Ok(Owed::Wake(waker)) => waker.wake(),
        Ok(Owed::Nothing) => {}
        Ok(Owed::Deliver(())) => unreachable!("no waiter has a home"),
        Err(Refused::Second(_)) => return Err(Refused::Second(())),
        Err(Refused::Late(_)) => return Err(Refused::Late(())),
    }
    Ok(())
}

fn completing(slot: &Cell, drops: &Drops) -> thread::JoinHandle<Result<(), Refused<()>>> {
    let (slot, witness) = (Arc::clone(slot), drops.witness());
    thread::spawn(move || complete(&slot, witness))
}

/// Polls until the outcome is there, each time with the waker of another bell, and sleeps on the
/// newest only.
fn wait_with_changing_wakers(slot: &Cell) -> Witness {
    let mut polls = 0;
    loop {
        // A new bell for the first two looks, then the same one.
        let bell = Arc::new(Bell::default());
        let waker = waker(&bell);
        for _ in 0..=polls {
            if let Poll::Ready(witness) = slot.poll(&waker, None) {
                return witness;
            }
        }
        if polls == 1 {
            bell.wait();
            let Poll::Ready(witness) = slot.poll(&waker, None) else {
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
        let slot = running();
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
        let slot = running();
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
        let slot = running();
        let drops = Drops::default();
        let both = [completing(&slot, &drops), completing(&slot, &drops)];
        let bell = Arc::new(Bell::default());
        let waker = waker(&bell);
        let polled = slot.poll(&waker, None);
        let outcomes = match polled {
            Poll::Ready(witness) => {
                drop(witness);
                1
            }
            Poll::Pending => match slot.close() {
                Closed::Done(_) => 1,
                Closed::Running => 0,
                Closed::Queued(_) => panic!("it was never queued"),
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
        let drops = Drops::default();
        let slot: Cell = Arc::new(Slot::new(drops.witness()));
        let worker = {
            let (slot, witness) = (Arc::clone(&slot), drops.witness());
            thread::spawn(move || {
                let input = slot.start();
                let runs = input.is_some();
                drop(input);
                if runs {
                    drop(complete(&slot, witness));
                }
                runs
            })
        };
        let closed = slot.close();
        let ran = worker.join().unwrap();
        assert_eq!(ran, !matches!(closed, Closed::Queued(_)));
        assert!(
            !matches!(closed, Closed::Queued(None)),
            "the input was gone"
        );
        drop((closed, slot));
        assert_eq!(drops.count(), 2, "the input once, the outcome once");
    });
}

#[test]
fn the_input_of_a_call_that_nobody_took_or_left_goes_with_it() {
    loom::model(|| {
        let drops = Drops::default();
        let slot: Cell = Arc::new(Slot::new(drops.witness()));
        let other = Arc::clone(&slot);
        let dropping = thread::spawn(move || drop(other));
        drop(slot);
        dropping.join().unwrap();
        assert_eq!(drops.count(), 1);
    });
}
