//! A library that calls back from threads of its own: the `threadpool` crate runs a closure and is done with it.
//!
//! `cargo run --example wrap_callback`, then `curl localhost:8080/primes/100000`

use pontoon::{CallContext, CallbackAdapter, Error, Request, Response, ResponseCompleter};
use pontoon::{Location, Server, callback};
use std::sync::Mutex;
use std::time::Duration;
use threadpool::ThreadPool;

struct Primes {
    library: Mutex<ThreadPool>,
}

impl CallbackAdapter for Primes {
    /// This runs on the loop: it hands over and returns.
    fn submit(&self, _: Request, call: &CallContext, completer: ResponseCompleter) {
        let below: Option<u64> = call.param("below").and_then(|text| text.parse().ok());
        let Some(below) = below.filter(|below| *below <= 10_000_000) else {
            let error = Error::bad_request("`below` must be a number up to 10,000,000");
            completer.complete(Err(error));
            return;
        };
        let call = call.clone();
        let count = move || {
            let mut primes = 0;
            for number in 2..below {
                if number.is_multiple_of(1_024) && call.is_cancelled() {
                    // Nobody waits any more. The completer is dropped, which ends the call as well.
                    return;
                }
                primes += u64::from(is_prime(number));
            }
            completer.complete(Ok(Response::text(format!("{primes}\n"))));
        };
        let library = self
            .library
            .lock()
            .unwrap_or_else(|error| error.into_inner());
        library.execute(count);
    }
}

fn is_prime(number: u64) -> bool {
    let factors = (2..).take_while(|factor| factor * factor <= number);
    factors
        .into_iter()
        .all(|factor| !number.is_multiple_of(factor))
}

pub(crate) fn server() -> Server {
    let library = Mutex::new(ThreadPool::new(2));
    // The library's own queue has no bound, so the location has one.
    let primes = Location::new("/primes/{below}", callback(Primes { library })).max_running(64);
    Server::new().route(primes.deadline(Duration::from_secs(5)))
}

fn main() -> pontoon::Result<()> {
    server().listen("127.0.0.1:8080").run()
}
