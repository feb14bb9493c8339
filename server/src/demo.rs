//! `pontoon demo`: a server with a small SQLite database, nothing to install.

use crate::config::{Config, ListenAddress};
use crate::error::{Result, ServerError};
use crate::location::{Location, handler};
use crate::running::Running;
use crate::server::Server;
use http::Method;
use pontoon_adapters::registry::Registry;
use pontoon_adapters::{CallContext, Error, Request, Response};
use std::fmt::Write;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use tempfile::TempDir;

/// Ports that are tried when the wanted one is taken.
const PORTS_TRIED: u16 = 50;

/// The demo's database before anybody writes to it.
const SCHEMA: &str = "
    PRAGMA journal_mode = wal;
    CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, email TEXT);
    INSERT INTO users (id, name, email) VALUES
        (1, 'Ada', 'ada@example.org'), (2, 'Grace', 'grace@example.org'), (3, 'Edsger', NULL);
";

/// The file of the demo's database, in its folder and in its config.
const DATABASE: &str = "users.db";

/// The demo's config: a file like any user's.
const CONFIG: &str = include_str!("demo.toml");

/// The demo while it runs; its database goes when this is dropped.
#[derive(Debug)]
pub struct Demo {
    running: Running,
    folder: TempDir,
    wanted: ListenAddress,
}

impl Demo {
    /// Makes the database and starts the server; on the next free port if `listen`'s is taken.
    ///
    /// # Errors
    ///
    /// When no temporary folder can be made, or no port is free.
    pub fn start(listen: &ListenAddress) -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("pontoon-demo-")
            .tempdir()
            .map_err(|error| {
                let place = std::env::temp_dir();
                ServerError::Setup(format!(
                    "no folder could be made in {}: {error}",
                    place.display()
                ))
            })?;
        let database = folder.path().join(DATABASE);
        make_database(&database).map_err(|error| {
            let path = database.display();
            ServerError::Setup(format!(
                "the demo's database {path} could not be made: {error}"
            ))
        })?;
        let running = start_on_free_port(&database, listen)?;
        Ok(Self {
            running,
            folder,
            wanted: listen.clone(),
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> ListenAddress {
        self.running.address()
    }

    /// What to try, with `curl` lines that work as they are.
    #[must_use]
    pub fn introduction(&self) -> String {
        let address = self.running.address();
        let mut text = String::new();
        if address != self.wanted && !asks_for_any_port(&self.wanted) {
            // Writing to a String does not fail.
            let _ = writeln!(
                text,
                "{} is taken, so this is the next free port.",
                self.wanted
            );
        }
        let _ = writeln!(
            text,
            "Pontoon's demo listens on {address}; try, in another terminal:\n"
        );
        for (line, what) in lines(&address) {
            let _ = writeln!(text, "  {line}\n      {what}");
        }
        let database = self.folder.path().join(DATABASE);
        let _ = writeln!(text, "\nIts database is {}.", database.display());
        let _ = write!(text, "Ctrl-C stops it and removes the database.");
        text
    }

    /// Runs until a signal, then removes the database.
    ///
    /// # Errors
    ///
    /// As for [`Running::run_until_signal`].
    pub fn run_until_signal(self) -> Result<()> {
        let outcome = self.running.run_until_signal();
        remove(self.folder);
        outcome
    }

    /// Stops the server and removes the database.
    pub fn stop(self) {
        let _ = self.running.stop();
        remove(self.folder);
    }
}

fn remove(folder: TempDir) {
    let path = folder.path().to_owned();
    if let Err(error) = folder.close() {
        tracing::warn!(%error, path = %path.display(), "the demo's folder could not be removed");
    }
}

fn make_database(path: &Path) -> rusqlite::Result<()> {
    rusqlite::Connection::open(path)?.execute_batch(SCHEMA)
}

fn asks_for_any_port(address: &ListenAddress) -> bool {
    matches!(address, ListenAddress::Tcp(address) if address.port() == 0)
}

fn start_on_free_port(database: &Path, listen: &ListenAddress) -> Result<Running> {
    let mut tries = candidates(listen).into_iter().peekable();
    loop {
        let Some(address) = tries.next() else {
            return Err(ServerError::Setup(format!(
                "no port is free from {listen} on"
            )));
        };
        let bound = Arc::new(OnceLock::new());
        let started = server(database, &address, &bound)?.start();
        if let Ok(running) = &started {
            // It is set here only.
            let _ = bound.set(running.address());
        }
        let taken = matches!(
            &started,
            Err(ServerError::Listen { source, .. }) if source.kind() == io::ErrorKind::AddrInUse
        );
        if !taken || tries.peek().is_none() {
            return started;
        }
    }
}

/// The wanted address and, for TCP, the ports after it.
fn candidates(listen: &ListenAddress) -> Vec<ListenAddress> {
    match listen {
        ListenAddress::Tcp(address) if address.port() > 0 => (0..=PORTS_TRIED)
            .filter_map(|step| address.port().checked_add(step))
            .map(|port| ListenAddress::Tcp(SocketAddr::new(address.ip(), port)))
            .collect(),
        other => vec![other.clone()],
    }
}

/// The demo's server; `bound` will be where it listens really, once that is known.
fn server(
    database: &Path,
    address: &ListenAddress,
    bound: &Arc<OnceLock<ListenAddress>>,
) -> Result<Server> {
    // A path as a TOML string: JSON's quoting is a part of TOML's.
    let quoted = serde_json::Value::from(database.display().to_string()).to_string();
    let text = CONFIG.replace(&format!("\"{DATABASE}\""), &quoted);
    let mut config = Config::parse(&text, "demo.toml", &Registry::builtin())?;
    config.server.listen = address.clone();
    let (wanted, bound) = (address.clone(), Arc::clone(bound));
    let index = handler(move |_: Request, _: CallContext| {
        let text = index(bound.get().unwrap_or(&wanted));
        async move { Ok::<_, Error>(Response::text(text)) }
    });
    Ok(Server::from_config(config).route(Location::new("/", index).method(Method::GET)))
}

/// The page at `/`.
fn index(address: &ListenAddress) -> String {
    let lines = lines(address)
        .into_iter()
        .map(|(line, what)| format!("{line}\n    {what}\n"));
    lines.collect()
}

/// What `curl` is to be given, and what it shows.
fn lines(address: &ListenAddress) -> Vec<(String, &'static str)> {
    let (curl, base) = match address {
        ListenAddress::Tcp(address) => ("curl -si".to_owned(), format!("http://{address}")),
        ListenAddress::Unix(path) => (
            format!("curl -si --unix-socket {}", path.display()),
            "http://localhost".to_owned(),
        ),
    };
    let line = |arguments: &str| format!("{curl} {}", arguments.replace("BASE", &base));
    vec![
        (
            line("BASE/users/1"),
            "a row of SQLite, read on a worker thread",
        ),
        (
            line("BASE/users -d 'name=Barbara&email=barbara@example.org'"),
            "a new row; the same again is a 409",
        ),
        (
            line("BASE/echo -d 'hello'"),
            "what was sent comes back, through a pool",
        ),
        (
            line("'BASE/sleep?ms=1000'"),
            "a call that blocks for a second, on a pool of its own",
        ),
        (
            line("'BASE/sleep?ms=5000'"),
            "one that misses its deadline: a 504 after two seconds",
        ),
        (
            line("BASE/callback"),
            "a library that calls back from a thread of its own",
        ),
        (line("BASE/"), "this list"),
    ]
}
