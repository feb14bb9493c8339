//! A worker that leaves for the reserve against the order to come back, against the pool's end, and
//! against a call that comes while it leaves.

use super::Bell;
use crate::pool::idle::{Idle, Unpark};
use crate::pool::reserve::{Order, Reserve};
use loom::sync::{Arc, Mutex};
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
    let leaves = reserve.retire(worker, parked.clone());
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

/// One of two workers ends its call and leaves while a call is submitted; the other one stands idle.
#[test]
fn a_call_that_comes_while_a_worker_leaves_has_the_other_one() {
    loom::model(|| {
        let reserve = Arc::new(Reserve::new(2));
        let idle = Arc::new(Idle::<Parked>::new(2));
        let queue = Arc::new(Mutex::new(0));
        reserve.allow(1);
        let stays = Parked::new();
        idle.stand_idle(0, stays.clone(), false);
        let leaving = {
            let (reserve, idle, queue) = (reserve.clone(), idle.clone(), queue.clone());
            thread::spawn(move || {
                assert!(reserve.retire(1, Parked::new()));
                if *queue.lock().unwrap() > 0 {
                    idle.work_was_queued(|| ());
                }
            })
        };
        *queue.lock().unwrap() += 1;
        // As a loop does that tends the pool and now sleeps.
        idle.work_was_queued(|| ());
        leaving.join().unwrap();
        assert!(!idle.is_idle(0), "woken, once");
        stays.0.wait();
        assert_eq!(*queue.lock().unwrap(), 1);
    });
}
