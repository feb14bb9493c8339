//! A private Redis.

use std::net::SocketAddr;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use super::server::{PrivateServer, Recipe, new_address};
use super::{find, home, tool};

/// Databases of a server, so that each test can have its own.
const DATABASES: &str = "1000";

/// A private Redis server; see [`backends`](super). It keeps nothing over a restart.
#[derive(Debug)]
pub struct Redis {
    programs: Programs,
    server: PrivateServer,
}

#[derive(Clone, Debug)]
struct Programs {
    server: PathBuf,
    cli: PathBuf,
}

impl Redis {
    /// Starts a server. `None`, and one line that says why, when Redis is not installed.
    ///
    /// # Panics
    ///
    /// When the server does not start; the message has its log.
    pub fn start() -> Option<Self> {
        Self::start_with(&[])
    }

    /// As [`start`](Self::start), with these options as well, such as `&["--maxclients", "10"]`.
    ///
    /// # Panics
    ///
    /// As `start` does.
    pub fn start_with(options: &[&str]) -> Option<Self> {
        let programs = Programs::find()?;
        let folder = home::new_folder("redis");
        let address = new_address();
        let recipe = Recipe {
            name: "Redis",
            command: server_command(&programs, &folder, address, options),
            socket: socket(&folder),
            answers: answers(&programs, &folder),
            clear_up: |_| {},
        };
        let server = PrivateServer::start(recipe, folder, address);
        Some(Self { programs, server })
    }

    /// The server that all tests of this process share, started when it is first asked for. It must not be
    /// killed or paused.
    ///
    /// # Panics
    ///
    /// As [`start`](Self::start) does.
    pub fn shared() -> Option<&'static Self> {
        static SHARED: OnceLock<Option<Redis>> = OnceLock::new();
        SHARED.get_or_init(Self::start).as_ref()
    }

    /// The number of a database that nobody has used yet.
    pub fn database(&self) -> u32 {
        static COUNT: AtomicU32 = AtomicU32::new(1);
        // Relaxed: only that it is another number each time.
        COUNT.fetch_add(1, Ordering::Relaxed)
    }

    /// Its Unix socket.
    pub fn socket(&self) -> PathBuf {
        socket(self.folder())
    }

    /// A connection URL, by TCP.
    pub fn url(&self, database: u32) -> String {
        format!("redis://{}/{database}", self.address())
    }

    /// Runs a command in a database; gives what it answers, as `redis-cli` writes it when nobody watches.
    ///
    /// # Panics
    ///
    /// When it fails, also by an error that Redis answers with.
    pub fn run(&self, database: u32, command: &[&str]) -> String {
        self.try_run(database, command)
            .unwrap_or_else(|error| panic!("{command:?}: {error}"))
    }

    /// As [`run`](Self::run).
    ///
    /// # Errors
    ///
    /// What `redis-cli` said. It ends after [`PATIENCE`](crate::PATIENCE), for instance when the server is
    /// paused.
    pub fn try_run(&self, database: u32, command: &[&str]) -> Result<String, String> {
        let mut cli = cli(&self.programs, self.folder());
        cli.args(["-e", "-n", &database.to_string()]).args(command);
        tool::run(cli, b"")
    }

    /// Connections of clients, other than that of who asks.
    ///
    /// # Panics
    ///
    /// When the server does not tell.
    pub fn sessions(&self) -> usize {
        self.clients().len()
    }

    /// Connections on which this command, in lower case, was run last, or is waiting: `blpop`.
    ///
    /// # Panics
    ///
    /// When the server does not tell.
    pub fn running(&self, command: &str) -> usize {
        let field = format!("cmd={command}");
        let runs = |client: &&String| client.split(' ').any(|part| part == field);
        self.clients().iter().filter(runs).count()
    }

    fn clients(&self) -> Vec<String> {
        let all = self.run(0, &["CLIENT", "LIST"]);
        let others = all
            .lines()
            .filter(|line| !line.contains(" cmd=client|list "));
        others.map(str::to_owned).collect()
    }
}

impl Deref for Redis {
    type Target = PrivateServer;

    fn deref(&self) -> &PrivateServer {
        &self.server
    }
}

impl Programs {
    fn find() -> Option<Self> {
        let found = || {
            Some(Self {
                server: find::program(&["redis-server"], &[])?,
                cli: find::program(&["redis-cli"], &[])?,
            })
        };
        let Some(programs) = found() else {
            find::skip("redis", "redis-server", "redis-server");
            return None;
        };
        tool::is_there("redis").then_some(programs)
    }
}

fn socket(folder: &Path) -> PathBuf {
    folder.join("socket")
}

fn server_command(
    programs: &Programs,
    folder: &Path,
    address: SocketAddr,
    options: &[&str],
) -> Box<dyn Fn() -> Command + Send + Sync> {
    let (program, folder) = (programs.server.clone(), folder.to_owned());
    let options: Vec<String> = options.iter().map(|&option| option.to_owned()).collect();
    Box::new(move || {
        let mut command = tool::owned(&program, "KILL");
        command.args(["--bind", &address.ip().to_string()]);
        command.args(["--port", &address.port().to_string()]);
        command.arg("--unixsocket").arg(socket(&folder));
        command.arg("--dir").arg(&folder);
        // Nothing is written to disk.
        command.args(["--save", "", "--appendonly", "no"]);
        command.args(["--databases", DATABASES]).args(&options);
        command
    })
}

fn answers(programs: &Programs, folder: &Path) -> Box<dyn Fn() -> bool + Send + Sync> {
    let (programs, folder) = (programs.clone(), folder.to_owned());
    Box::new(move || {
        let mut cli = cli(&programs, &folder);
        cli.arg("ping");
        tool::run(cli, b"").is_ok_and(|answer| answer == "PONG")
    })
}

fn cli(programs: &Programs, folder: &Path) -> Command {
    let mut command = tool::client(&programs.cli);
    command.arg("-s").arg(socket(folder));
    command
}
