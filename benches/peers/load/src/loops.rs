//! Requests at a constant rate, whatever becomes of them (open loop), or each after the other (closed loop).

use crate::client::Client;
use crate::monotonic_ns;
use crate::tally::{End, Summary, Tally};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::task::spawn_local;
use tokio::time::sleep;

/// How often due requests are sent.
const PACE: Duration = Duration::from_millis(1);

/// Requests at a constant rate.
#[derive(Clone, Copy, Debug)]
pub struct OpenLoop {
    /// How many, each second.
    pub per_s: u64,
    /// Requests of this time are sent but do not count.
    pub warm_up: Duration,
    /// For how long requests count.
    pub time: Duration,
    /// When a client gives up, counted from when its request was to be sent.
    pub patience: Duration,
}

impl OpenLoop {
    /// Sends what `target` says of the n-th request, and waits until all of them have ended. `noted` is told
    /// of each request that counts, how it ended and how long it took.
    pub async fn run(
        self,
        client: &Rc<Client>,
        target: impl Fn(u64) -> String,
        noted: impl Fn(u64, End, Duration) + 'static,
    ) -> Summary {
        let tally = Rc::new(RefCell::new(Tally::default()));
        let noted = Rc::new(noted);
        let (began, began_ns) = (Instant::now(), monotonic_ns());
        let all = self.warm_up + self.time;
        let mut sent = 0;
        let mut tasks = Vec::new();
        loop {
            let elapsed = began.elapsed();
            let due = (elapsed.min(all).as_secs_f64() * self.per_s as f64) as u64;
            for number in sent..due {
                let offset = Duration::from_secs_f64(number as f64 / self.per_s as f64);
                let intended = began + offset;
                let gives_up_ns = began_ns + (offset + self.patience).as_nanos() as u64;
                let target = format!("{}&until={gives_up_ns}", target(number));
                let client = Rc::clone(client);
                let until = intended + self.patience;
                let counts =
                    (offset >= self.warm_up).then(|| (Rc::clone(&tally), Rc::clone(&noted)));
                tasks.push(spawn_local(async move {
                    if let Some((tally, _)) = &counts {
                        tally.borrow_mut().sent(intended.elapsed());
                    }
                    let end = client.ask(&target, until).await;
                    let took = intended.elapsed();
                    if let Some((tally, noted)) = counts {
                        tally.borrow_mut().ended(end, took, self.patience);
                        noted(number, end, took);
                    }
                }));
            }
            sent = due;
            if elapsed >= all {
                break;
            }
            sleep(PACE).await;
        }
        for task in tasks {
            // One that panicked has not been noted, and so counts as lost.
            let _ = task.await;
        }
        tally.borrow().summary()
    }
}

/// Keeps `clients` asking for what `target` says, each after the other's answer, for so long; how they ended.
pub async fn closed_loop(
    client: &Rc<Client>,
    clients: usize,
    time: Duration,
    patience: Duration,
    target: impl Fn() -> String + Clone + 'static,
) -> Summary {
    let tally = Rc::new(RefCell::new(Tally::default()));
    let end = Instant::now() + time;
    let ask = |_| {
        let (client, tally, target) = (Rc::clone(client), Rc::clone(&tally), target.clone());
        spawn_local(async move {
            while Instant::now() < end {
                let began = Instant::now();
                tally.borrow_mut().sent(Duration::ZERO);
                let ended = client.ask(&target(), (began + patience).min(end)).await;
                tally.borrow_mut().ended(ended, began.elapsed(), patience);
                if ended == End::Broken {
                    // A server that refuses connections is not to be hammered.
                    sleep(PACE).await;
                }
            }
        })
    };
    let tasks: Vec<_> = (0..clients).map(ask).collect();
    for task in tasks {
        let _ = task.await;
    }
    tally.borrow().summary()
}

/// How long one request takes from now; infinite if it is not answered with 200 within `patience`.
pub async fn time_to_answer(client: &Client, target: &str, patience: Duration) -> f64 {
    let began = Instant::now();
    let until = began + patience;
    loop {
        let end = client.ask(target, until).await;
        match end {
            End::Answered => return began.elapsed().as_secs_f64(),
            End::GaveUp => return f64::INFINITY,
            // Refused or broken: it tries again, as a client would.
            _ if Instant::now() < until => sleep(PACE).await,
            _ => return f64::INFINITY,
        }
    }
}
