//! A private PostgreSQL.

use std::ffi::OsString;
use std::fs;
use std::net::SocketAddr;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use super::server::{PrivateServer, Recipe, new_address};
use super::{find, home, tool};

const SETTINGS: &[(&str, &str)] = &[
    // Quick rather than durable: what is written is left to the system, which a kill does not touch.
    ("fsync", "off"),
    ("full_page_writes", "off"),
    ("wal_level", "minimal"),
    ("max_wal_senders", "0"),
    ("shared_buffers", "16MB"),
    ("autovacuum", "off"),
    ("jit", "off"),
    // In its own folder, not in /dev/shm, where a killed one would leave it.
    ("dynamic_shared_memory_type", "mmap"),
    ("max_connections", "50"),
];

/// A private PostgreSQL server; see [`backends`](super).
#[derive(Debug)]
pub struct Postgres {
    programs: Programs,
    server: PrivateServer,
}

/// The folder of the server's programs. All are taken from there: in `PATH` there may be wrappers, or those
/// of another version.
#[derive(Clone, Debug)]
struct Programs(PathBuf);

impl Postgres {
    /// The role that adapters log in with; it owns the databases, and is no superuser.
    pub const USER: &str = "pontoon";
    /// Its password, asked for on the port (SCRAM-SHA-256) and not on the socket.
    pub const PASSWORD: &str = "secret";

    /// Starts a server. `None`, and one line that says why, when PostgreSQL is not installed.
    ///
    /// # Panics
    ///
    /// When the server does not start; the message has its log.
    pub fn start() -> Option<Self> {
        Self::start_with(&[])
    }

    /// As [`start`](Self::start), with these settings as well, such as `("max_connections", "10")`.
    ///
    /// # Panics
    ///
    /// As `start` does.
    pub fn start_with(settings: &[(&str, &str)]) -> Option<Self> {
        let programs = Programs::find()?;
        let folder = home::new_folder("pg");
        home::copy(template(&programs), &folder.join("data"));
        let address = new_address();
        let recipe = Recipe {
            name: "PostgreSQL",
            command: server_command(&programs, &folder, address, settings),
            socket: folder.join(format!(".s.PGSQL.{}", address.port())),
            answers: answers(&programs, &folder, address.port()),
            clear_up,
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
        static SHARED: OnceLock<Option<Postgres>> = OnceLock::new();
        SHARED.get_or_init(Self::start).as_ref()
    }

    /// Makes a new, empty database that belongs to [`USER`](Self::USER); gives its name.
    ///
    /// # Panics
    ///
    /// When the server does not do it.
    pub fn database(&self) -> String {
        static COUNT: AtomicU32 = AtomicU32::new(1);
        // Relaxed: only that it is another number each time.
        let name = format!("test{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let user = Self::USER;
        self.run("postgres", &format!("CREATE DATABASE {name} OWNER {user}"));
        name
    }

    /// The folder of its Unix socket, which is what libpq takes for a host.
    pub fn socket_folder(&self) -> &Path {
        self.folder()
    }

    /// A connection URI for [`USER`](Self::USER), by TCP.
    pub fn url(&self, database: &str) -> String {
        let (user, password) = (Self::USER, Self::PASSWORD);
        format!(
            "postgresql://{user}:{password}@{}/{database}",
            self.address()
        )
    }

    /// Runs SQL as superuser; gives what it answers: a line for each row, with `|` between the columns.
    ///
    /// # Panics
    ///
    /// When it fails.
    pub fn run(&self, database: &str, sql: &str) -> String {
        self.try_run(database, sql)
            .unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// As [`run`](Self::run).
    ///
    /// # Errors
    ///
    /// What `psql` said. It ends after [`PATIENCE`](crate::PATIENCE), for instance when the server is paused.
    pub fn try_run(&self, database: &str, sql: &str) -> Result<String, String> {
        psql(
            &self.programs,
            self.folder(),
            self.address().port(),
            database,
            sql,
        )
    }

    /// Sessions of clients, other than that of who asks.
    ///
    /// # Panics
    ///
    /// When the server does not tell.
    pub fn sessions(&self) -> usize {
        self.count("backend_type = 'client backend'")
    }

    /// Sessions that run a statement which matches this `LIKE` pattern, other than that of who asks.
    ///
    /// # Panics
    ///
    /// When the server does not tell.
    pub fn running(&self, pattern: &str) -> usize {
        self.count(&format!("state = 'active' AND query LIKE '{pattern}'"))
    }

    fn count(&self, condition: &str) -> usize {
        let sql = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND {condition}"
        );
        self.run("postgres", &sql).parse().expect("a number")
    }
}

impl Deref for Postgres {
    type Target = PrivateServer;

    fn deref(&self) -> &PrivateServer {
        &self.server
    }
}

impl Programs {
    /// The newest version that Debian's packages have put there, or else what is in `PATH`.
    fn find() -> Option<Self> {
        let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
        let mut versions: Vec<PathBuf> = versions
            .filter_map(|entry| Some(entry.ok()?.path()))
            .collect();
        versions.sort_by_key(|folder| {
            let name = folder.file_name().and_then(|name| name.to_str());
            name.and_then(|name| name.parse::<u32>().ok())
        });
        let folders: Vec<PathBuf> = versions
            .iter()
            .rev()
            .map(|folder| folder.join("bin"))
            .collect();
        let Some(server) = find::program(&["postgres"], &folders) else {
            find::skip("postgres", "PostgreSQL", "postgresql");
            return None;
        };
        // What is in `PATH` may be a link to where all of them are.
        let server = server.canonicalize().unwrap_or(server);
        tool::is_there("postgres").then(|| Self(server.with_file_name("")))
    }

    fn program(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

/// A data folder with the role in it, made once for each process.
fn template(programs: &Programs) -> &'static Path {
    static TEMPLATE: OnceLock<PathBuf> = OnceLock::new();
    TEMPLATE.get_or_init(|| {
        let data = home::new_folder("template").join("data");
        let mut initdb = tool::owned(&programs.program("initdb"), "KILL");
        initdb.arg("--pgdata").arg(&data).args([
            "--username=postgres",
            "--encoding=UTF8",
            "--locale=C.UTF-8",
            "--auth-local=trust",
            "--auth-host=scram-sha-256",
            "--wal-segsize=1",
            "--no-sync",
            "--no-instructions",
        ]);
        tool::run(initdb, b"").unwrap_or_else(|error| panic!("initdb: {error}"));
        // The server's single-user mode needs no port and no waiting.
        let mut single = tool::owned(&programs.program("postgres"), "KILL");
        single
            .arg("--single")
            .arg("-D")
            .arg(&data)
            .args(["-c", "fsync=off", "postgres"]);
        let (user, password) = (Postgres::USER, Postgres::PASSWORD);
        let sql = format!("CREATE ROLE {user} LOGIN PASSWORD '{password}'\n");
        tool::run(single, sql.as_bytes()).unwrap_or_else(|error| panic!("{sql}: {error}"));
        data
    })
}

fn server_command(
    programs: &Programs,
    folder: &Path,
    address: SocketAddr,
    settings: &[(&str, &str)],
) -> Box<dyn Fn() -> Command + Send + Sync> {
    let program = programs.program("postgres");
    let mut arguments: Vec<OsString> = vec!["-D".into(), folder.join("data").into()];
    arguments.extend(["-k".into(), folder.into()]);
    arguments.extend(["-h".into(), address.ip().to_string().into()]);
    arguments.extend(["-p".into(), address.port().to_string().into()]);
    for (name, value) in SETTINGS.iter().chain(settings) {
        arguments.extend(["-c".into(), format!("{name}={value}").into()]);
    }
    Box::new(move || {
        // Its immediate shutdown: SIGKILL would leave its shared memory in the system.
        let mut command = tool::owned(&program, "QUIT");
        command.args(&arguments);
        command
    })
}

fn answers(programs: &Programs, folder: &Path, port: u16) -> Box<dyn Fn() -> bool + Send + Sync> {
    let (program, folder) = (programs.program("pg_isready"), folder.to_owned());
    Box::new(move || {
        let mut command = tool::client(&program);
        command.arg("-q").arg("-h").arg(&folder);
        command.args(["-p", &port.to_string()]);
        command.status().is_ok_and(|status| status.success())
    })
}

fn psql(
    programs: &Programs,
    folder: &Path,
    port: u16,
    database: &str,
    sql: &str,
) -> Result<String, String> {
    let mut command = tool::client(&programs.program("psql"));
    command
        .arg("-h")
        .arg(folder)
        .args(["-p", &port.to_string()]);
    command.args(["-U", "postgres", "-d", database]);
    command.args(["-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1"]);
    tool::run(command, sql.as_bytes())
}

/// A killed server leaves a segment of shared memory, whose number is in its lock file, and the lock.
fn clear_up(folder: &Path) {
    let lock = folder.join("data/postmaster.pid");
    let Ok(text) = fs::read_to_string(&lock) else {
        return;
    };
    if let Some(id) = text
        .lines()
        .nth(6)
        .and_then(|line| line.split_whitespace().nth(1))
    {
        // It may be gone already.
        let _ = Command::new("ipcrm").args(["-m", id]).output();
    }
    let _ = fs::remove_file(lock);
}
