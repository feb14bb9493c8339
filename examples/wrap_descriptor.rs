//! A library that hands out a file descriptor: Linux's inotify tells on one what happens to files.
//!
//! `cargo run --example wrap_descriptor settings.toml`, then `curl localhost:8080/changed` answers once
//! somebody has written the file

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use pontoon::event_loop::{AsyncFd, Direction, Interest};
use pontoon::{CallContext, Error, LoopAdapter, Request, Response};
use pontoon::{Location, Server, on_loop};
use std::path::PathBuf;
use std::time::Duration;

struct Changes {
    file: PathBuf,
}

fn failed(error: impl Into<std::io::Error>) -> Error {
    Error::bad_gateway("the file cannot be watched").with_source(error.into())
}

impl LoopAdapter for Changes {
    async fn call(&self, _: Request, _: &CallContext) -> Result<Response, Error> {
        let flags = InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC;
        let library = Inotify::init(flags).map_err(failed)?;
        let written = AddWatchFlags::IN_CLOSE_WRITE;
        library.add_watch(&self.file, written).map_err(failed)?;
        let library = AsyncFd::new(library, Interest::READABLE).map_err(failed)?;
        // The request waits here, and holds no thread. If its client leaves, all of this is dropped.
        let read = |library: &Inotify| library.read_events().map_err(Into::into);
        let events = library.io(Direction::Read, read).await;
        let events: Vec<_> = events.map_err(failed)?;
        Ok(Response::text(format!("{} change\n", events.len())))
    }
}

pub(crate) fn server(file: PathBuf) -> Server {
    // Each loop makes an adapter of its own, which need not be `Send`.
    let changes = on_loop(move || Changes { file: file.clone() });
    let changed = Location::new("/changed", changes).max_running(1_000);
    Server::new().route(changed.deadline(Duration::from_secs(60)))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let file = std::env::args_os().nth(1).ok_or("give the file to watch")?;
    Ok(server(file.into()).listen("127.0.0.1:8080").run()?)
}
