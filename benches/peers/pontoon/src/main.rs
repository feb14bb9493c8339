//! Pontoon's side of the comparison: the five routes as a Pontoon user would write them, three
//! functions by `blocking` and SQLite by its adapter, which writes in batches, all on one pool as tokio has one for all.
//! The first line that it prints is its address.
//!
//! No log is set up, as in the other peers. The number of loops is the default.

use clap::Parser;
use http::StatusCode;
use peer_work::{Settings, database};
use pontoon::adapters::sql::Format;
use pontoon::adapters::sqlite::Sqlite;
use pontoon::{Pool, Response, Server, blocking, on_pool};
use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;

/// As in the `pontoon` command.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The name of the one pool.
const POOL: &str = "blocking";
/// More than wrk has connections: the others' queues have no bound, so nobody may be refused here.
const QUEUE_MAX: usize = 16_384;

/// How many notes one transaction may hold.
const BATCH: usize = 256;

#[derive(Parser)]
#[command(about = "Pontoon, to compare the others with")]
struct Arguments {
    #[command(flatten)]
    settings: Settings,
}

fn main() -> ExitCode {
    match serve(Arguments::parse().settings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Where even that cannot be written there is nobody to tell.
            let _ = writeln!(io::stderr(), "peer-pontoon: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(settings: Settings) -> Result<(), Box<dyn Error>> {
    let rounds = settings.spin_rounds;
    let noop = blocking(POOL, |_| Ok(Response::text(peer_work::noop())));
    let sleep = blocking(POOL, |_| Ok(Response::text(peer_work::sleep())));
    let cpu = blocking(POOL, move |_| Ok(Response::text(peer_work::spin(rounds))));
    let user = Sqlite::new(&settings.database, database::QUERY).format(Format::Object);
    let add_note = Sqlite::new(settings.database, database::INSERT)
        .changes(StatusCode::NO_CONTENT)
        .batch(BATCH);
    let pool = Pool::named(POOL)
        .threads(settings.threads)
        .max_queue(QUEUE_MAX);
    let running = Server::new()
        .pool(pool)
        .location("/noop", noop)
        .location("/sleep", sleep)
        .location("/cpu", cpu)
        .location("/users/{id}", on_pool(POOL, user))
        .location("/notes", on_pool(POOL, add_note))
        .listen("127.0.0.1:0")
        .start()?;
    let address = running.local_addr().ok_or("there is no TCP address")?;
    peer_work::announce(address)?;
    Ok(running.run_until_signal()?)
}
