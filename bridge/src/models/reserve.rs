//! A worker that leaves for the reserve against the order to come back, against the pool's end, and
//! against another one that leaves.

use super::Bell;
use crate::pool::idle::Unpark;
use crate::pool::reserve::{Order, Reserve};
use loom::sync::Arc;
use loom::thread;

#[derive(Clone)]
struct Parked(Arc<Bell>);

impl Parked {
    fn new() -> Self {
        Self(Arc::new(Bell::default()))
    }
}

impl Unpark for Parked {
    fn unpark(&self) {
        self.0.ring();
    }
}

/// Waits until there is something else to do.
fn wait(reserve: &Reserve<Parked>, worker: usize, parked: &Parked) -> Order {
    loop {
        match reserve.order(worker) {
            Order::Stay => parked.0.wait(),
            order => return order,
        }
    }
}

/// Leaves if it may, and waits until there is something else to do.
fn leave(reserve: &Reserve<Parked>, worker: usize) -> Option<Order> {
    let parked = Parked::new();
    let leaves = reserve.begin_to_leave() && reserve.leave(worker, parked.clone());
    leaves.then(|| wait(reserve, worker, &parked))
}

#[test]
fn a_worker_that_leaves_while_it_is_needed_again_comes_back() {
    loom::model(|| {
        let reserve = Arc::new(Reserve::new(2));
        reserve.allow(1);
        let worker = {
            let reserve = Arc::clone(&reserve);
            thread::spawn(move || leave(&reserve, 1))
        };
        reserve.allow(2);
        assert_ne!(worker.join().unwrap(), Some(Order::End));
        assert_eq!(reserve.active(), 2);
    });
}

#[test]
fn no_worker_sleeps_through_the_end() {
    loom::model(|| {
        let reserve = Arc::new(Reserve::new(2));
        reserve.allow(1);
        let leaving = {
            let reserve = Arc::clone(&reserve);
            thread::spawn(move || leave(&reserve, 1))
        };
        let spare = {
            let reserve = Arc::clone(&reserve);
            thread::spawn(move || {
                let parked = Parked::new();
                let waits = reserve.stand_by(2, parked.clone());
                waits.then(|| wait(&reserve, 2, &parked))
            })
        };
        reserve.end();
        assert_eq!(leaving.join().unwrap(), Some(Order::End));
        assert_eq!(spare.join().unwrap(), Some(Order::End));
        assert_eq!(
            reserve.active(),
            1,
            "what is queued is for the one that stays"
        );
    });
}

#[test]
fn of_two_workers_that_are_one_too_many_one_leaves() {
    loom::model(|| {
        let reserve = Arc::new(Reserve::new(2));
        reserve.allow(1);
        let leaving = [0, 1].map(|worker| {
            let reserve = Arc::clone(&reserve);
            let leaves = move || reserve.begin_to_leave() && reserve.leave(worker, Parked::new());
            thread::spawn(leaves)
        });
        let left = leaving.map(|worker| worker.join().unwrap());
        assert_eq!(left.into_iter().filter(|left| *left).count(), 1);
        assert_eq!(reserve.active(), 1);
    });
}
