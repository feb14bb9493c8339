//! Pontoon, through its library.

use super::{CONNECTIONS_MAX, KEEP_ALIVE_S, ServeArguments};
use crate::Outcome;
use crate::work::{Counts, Work};
use pontoon::{Error, Location, Pool, Request, Response, Server, blocking, handler};
use std::time::Duration;

pub(super) fn serve(arguments: ServeArguments) -> Outcome {
    let deadline = Duration::from_millis(arguments.deadline_ms);
    let work = Pool::named("work")
        .threads(arguments.threads)
        .max_queue(arguments.max_queue)
        .stuck_after(Duration::from_millis(arguments.stuck_after_ms))
        .max_stuck(arguments.max_stuck);
    let other = Pool::named("other").threads(arguments.other_threads.max(1));
    let running = Server::new()
        .configure(|config| {
            config.max_connections = CONNECTIONS_MAX;
            config.keep_alive = Duration::from_secs(KEEP_ALIVE_S);
            config.shutdown_timeout = Duration::from_millis(arguments.stop_limit_ms);
        })
        .pool(work)
        .pool(other)
        .route(Location::new("/work", blocking("work", call)).deadline(deadline))
        .location(
            "/other",
            blocking("other", |_| Ok(Response::text("done\n"))),
        )
        .location(
            "/counts",
            handler(|_, _| async { Ok::<_, Error>(Response::json_text(Counts::now().as_json())) }),
        )
        .admin("127.0.0.1:0")
        .listen("127.0.0.1:0")
        .start()?;
    let address = running.local_addr().ok_or("there is no TCP address")?;
    let admin = running
        .admin_address()
        .ok_or("there is no admin listener")?;
    peer_work::announce(address)?;
    peer_work::announce(admin.to_string().parse()?)?;
    Ok(running.run_until_signal()?)
}

fn call(request: Request) -> Result<Response, Error> {
    let work = Work::from_query(request.uri().query().unwrap_or_default());
    let answer = work.run();
    answer
        .map(Response::text)
        .map_err(|_| Error::internal("the library said no"))
}
