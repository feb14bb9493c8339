//! A private MariaDB.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use super::server::{PrivateServer, Recipe, new_address};
use super::{find, home, tool};

const OPTIONS: &[&str] = &[
    // Quick rather than durable: what is written is left to the system, which a kill does not touch.
    "--innodb-flush-method=nosync",
    "--innodb-flush-log-at-trx-commit=2",
    "--innodb-doublewrite=OFF",
    "--innodb-buffer-pool-size=16M",
    "--innodb-log-file-size=8M",
    "--aria-pagecache-buffer-size=2M",
    "--key-buffer-size=1M",
    "--innodb-use-native-aio=OFF",
    "--performance-schema=OFF",
    "--skip-log-bin",
    "--skip-name-resolve",
    "--character-set-server=utf8mb4",
    "--max-connections=50",
    // A test breaks connections; it must not be shut out for that.
    "--max-connect-errors=1000000",
];

/// A private MariaDB server; see [`backends`](super).
#[derive(Debug)]
pub struct MariaDb {
    programs: Programs,
    server: PrivateServer,
}

#[derive(Clone, Debug)]
struct Programs {
    server: PathBuf,
    install: PathBuf,
    admin: PathBuf,
    client: PathBuf,
}

impl MariaDb {
    /// The user that adapters log in with, by TCP or by the socket; it may do all in the databases of tests.
    pub const USER: &str = "pontoon";
    /// Its password.
    pub const PASSWORD: &str = "secret";

    /// Starts a server. `None`, and one line that says why, when MariaDB is not installed.
    ///
    /// # Panics
    ///
    /// When the server does not start; the message has its log.
    pub fn start() -> Option<Self> {
        Self::start_with(&[])
    }

    /// As [`start`](Self::start), with these options as well, such as `&["--max-connections=10"]`.
    ///
    /// # Panics
    ///
    /// As `start` does.
    pub fn start_with(options: &[&str]) -> Option<Self> {
        let programs = Programs::find()?;
        let folder = home::new_folder("maria");
        home::copy(template(&programs), &folder.join("data"));
        let address = new_address();
        let recipe = Recipe {
            name: "MariaDB",
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
        static SHARED: OnceLock<Option<MariaDb>> = OnceLock::new();
        SHARED.get_or_init(Self::start).as_ref()
    }

    /// Makes a new, empty database; gives its name.
    ///
    /// # Panics
    ///
    /// When the server does not do it.
    pub fn database(&self) -> String {
        static COUNT: AtomicU32 = AtomicU32::new(1);
        // Relaxed: only that it is another number each time.
        let name = format!("test{}", COUNT.fetch_add(1, Ordering::Relaxed));
        self.run("mysql", &format!("CREATE DATABASE {name}"));
        name
    }

    /// Its Unix socket.
    pub fn socket(&self) -> PathBuf {
        socket(self.folder())
    }

    /// Runs SQL as root; gives what it answers: a line for each row, with tabs between the columns.
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
    /// What `mariadb` said. It ends after [`PATIENCE`](crate::PATIENCE), for instance when the server is paused.
    pub fn try_run(&self, database: &str, sql: &str) -> Result<String, String> {
        let mut client = client(&self.programs.client, self.folder());
        client.args(["--batch", "--raw", "--skip-column-names", database]);
        tool::run(client, sql.as_bytes())
    }

    /// Sessions of clients, other than that of who asks.
    ///
    /// # Panics
    ///
    /// When the server does not tell.
    pub fn sessions(&self) -> usize {
        self.count("user <> 'system user'")
    }

    /// Sessions that run a statement which matches this `LIKE` pattern, other than that of who asks.
    ///
    /// # Panics
    ///
    /// When the server does not tell.
    pub fn running(&self, pattern: &str) -> usize {
        self.count(&format!("command <> 'Sleep' AND info LIKE '{pattern}'"))
    }

    fn count(&self, condition: &str) -> usize {
        let sql = format!(
            "SELECT count(*) FROM information_schema.processlist WHERE id <> connection_id() AND {condition}"
        );
        self.run("mysql", &sql).parse().expect("a number")
    }
}

impl Deref for MariaDb {
    type Target = PrivateServer;

    fn deref(&self) -> &PrivateServer {
        &self.server
    }
}

impl Programs {
    fn find() -> Option<Self> {
        // Not in the `PATH` of everybody.
        let folders = ["/usr/sbin".into(), "/usr/libexec".into()];
        let found = || {
            Some(Self {
                server: find::program(&["mariadbd"], &folders)?,
                install: find::program(&["mariadb-install-db"], &folders)?,
                admin: find::program(&["mariadb-admin"], &folders)?,
                client: find::program(&["mariadb"], &folders)?,
            })
        };
        let Some(programs) = found() else {
            find::skip("mysql", "MariaDB", "mariadb-server");
            return None;
        };
        tool::is_there("mysql").then_some(programs)
    }
}

fn socket(folder: &Path) -> PathBuf {
    folder.join("socket")
}

/// A data folder with the user in it, made once for each process.
fn template(programs: &Programs) -> &'static Path {
    static TEMPLATE: OnceLock<PathBuf> = OnceLock::new();
    TEMPLATE.get_or_init(|| {
        let folder = home::new_folder("template");
        let data = folder.join("data");
        let mut install = tool::owned(&programs.install, "KILL");
        install.arg("--no-defaults").arg(option("datadir", &data));
        install.args(["--auth-root-authentication-method=normal", "--skip-test-db"]);
        install.args(OPTIONS);
        tool::run(install, b"").unwrap_or_else(|error| panic!("mariadb-install-db: {error}"));
        // The server reads SQL instead of listening: no port, no waiting.
        let mut bootstrap = tool::owned(&programs.server, "KILL");
        bootstrap.arg("--no-defaults").arg("--bootstrap");
        bootstrap.arg(option("datadir", &data)).args(OPTIONS);
        let (user, password) = (MariaDb::USER, MariaDb::PASSWORD);
        let sql = format!(
            "FLUSH PRIVILEGES;\n\
             CREATE USER {user}@'%' IDENTIFIED BY '{password}';\n\
             GRANT ALL ON `test%`.* TO {user}@'%';\n"
        );
        tool::run(bootstrap, sql.as_bytes()).unwrap_or_else(|error| panic!("{sql}: {error}"));
        data
    })
}

fn server_command(
    programs: &Programs,
    folder: &Path,
    address: SocketAddr,
    options: &[&str],
) -> Box<dyn Fn() -> Command + Send + Sync> {
    let program = programs.server.clone();
    let mut arguments: Vec<OsString> = vec![
        "--no-defaults".into(),
        option("datadir", &folder.join("data")),
        option("tmpdir", folder),
        option("pid-file", &folder.join("pid")),
        option("socket", &socket(folder)),
        format!("--bind-address={}", address.ip()).into(),
        format!("--port={}", address.port()).into(),
    ];
    arguments.extend(OPTIONS.iter().chain(options).map(OsString::from));
    Box::new(move || {
        let mut command = tool::owned(&program, "KILL");
        command.args(&arguments);
        command
    })
}

fn option(name: &str, path: &Path) -> OsString {
    let mut option = OsString::from(format!("--{name}="));
    option.push(path);
    option
}

fn answers(programs: &Programs, folder: &Path) -> Box<dyn Fn() -> bool + Send + Sync> {
    let (programs, folder) = (programs.clone(), folder.to_owned());
    Box::new(move || {
        let mut admin = client(&programs.admin, &folder);
        // `ping` says yes to a server that refuses us, too.
        admin.args(["--silent", "status"]);
        tool::run(admin, b"").is_ok()
    })
}

fn client(program: &Path, folder: &Path) -> Command {
    let mut command = tool::client(program);
    command.arg("--no-defaults");
    command.arg(option("socket", &socket(folder)));
    command.arg("--user=root");
    command
}
