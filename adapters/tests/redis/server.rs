//! A Redis server that belongs to one test.

use std::io::Write;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use redis::{Client, Connection};
use tempfile::TempDir;

/// Longer than anything here may take, even on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Says on stderr, past the test harness, that a test does nothing here. Whether that is so.
pub(crate) fn is_missing() -> bool {
    let found = Command::new("redis-server")
        .arg("--version")
        .stdout(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !found {
        let text = "SKIPPED: there is no `redis-server` (on Debian: apt-get install redis-server)";
        let _ = writeln!(std::io::stderr(), "{text}");
    }
    !found
}

/// Polls until `condition` holds.
pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < until, "not within {PATIENCE:?}: {what}");
        // Only the pace of looking; nothing depends on it.
        thread::sleep(Duration::from_millis(2));
    }
}

/// A server on a socket file of its own, or on a port. Killed when it is dropped.
pub(crate) struct Server {
    folder: TempDir,
    port: Option<u16>,
    arguments: Vec<String>,
    process: Option<Child>,
}

impl Server {
    /// Starts one on a socket file.
    pub(crate) fn start() -> Self {
        Self::with(&[])
    }

    pub(crate) fn with(arguments: &[&str]) -> Self {
        let mut server = Self::stopped(None, arguments);
        server.restart();
        server
    }

    /// Starts one on a loopback port.
    pub(crate) fn on_port() -> Self {
        // Somebody else may take the port in between: then the server does not start.
        for _ in 0..5 {
            let port = TcpListener::bind("127.0.0.1:0")
                .unwrap()
                .local_addr()
                .unwrap()
                .port();
            let mut server = Self::stopped(Some(port), &[]);
            server.spawn();
            if server.answers() {
                return server;
            }
        }
        panic!("no free port");
    }

    /// One that has not been started.
    pub(crate) fn stopped(port: Option<u16>, arguments: &[&str]) -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            port,
            arguments: arguments.iter().map(|text| (*text).to_owned()).collect(),
            process: None,
        }
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("redis.sock")
    }

    fn spawn(&mut self) {
        let port = self.port.unwrap_or(0).to_string();
        let mut command = Command::new("redis-server");
        command
            .args([
                "--save",
                "",
                "--appendonly",
                "no",
                "--enable-debug-command",
                "yes",
            ])
            .args(["--bind", "127.0.0.1", "--port", &port, "--unixsocket"])
            .arg(self.socket())
            .arg("--dir")
            .arg(self.folder.path())
            .args(&self.arguments)
            .stdout(Stdio::null());
        self.process = Some(command.spawn().unwrap());
    }

    /// Waits until it accepts connections; false if it has ended instead.
    fn answers(&mut self) -> bool {
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            if self.process.as_mut().unwrap().try_wait().unwrap().is_some() {
                return false;
            }
            let client = Client::open(self.bare_url()).unwrap();
            // With a password it answers that one is needed.
            if client.get_connection().is_ok()
                || client
                    .get_connection()
                    .is_err_and(|error| !error.is_io_error() && !error.is_connection_refusal())
            {
                return true;
            }
            thread::sleep(Duration::from_millis(2));
        }
        panic!("the server does not answer");
    }

    pub(crate) fn restart(&mut self) {
        self.spawn();
        assert!(self.answers(), "the server has ended at once");
    }

    /// Kills it as a crash would.
    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
            let _ = std::fs::remove_file(self.socket());
        }
    }

    /// Has it do nothing any more, or go on.
    pub(crate) fn signal(&self, signal: &str) {
        let process = self.process.as_ref().unwrap().id().to_string();
        let status = Command::new("kill")
            .args([signal, &process])
            .status()
            .unwrap();
        assert!(status.success());
    }

    fn bare_url(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    pub(crate) fn url(&self) -> String {
        match self.port {
            Some(port) => format!("redis://127.0.0.1:{port}"),
            None => self.bare_url(),
        }
    }

    /// A connection of the test's own.
    pub(crate) fn client(&self) -> Connection {
        let client = Client::open(self.bare_url()).unwrap();
        let connection = client.get_connection().unwrap();
        connection.set_read_timeout(Some(PATIENCE)).unwrap();
        connection
    }

    /// What a command of the test's own answers.
    pub(crate) fn ask<T: redis::FromRedisValue>(&self, words: &[&str]) -> T {
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]);
        command.query(&mut self.client()).unwrap()
    }

    /// Closes all connections but that of the test, and waits until they are closed.
    pub(crate) fn kill_clients(&self) {
        let _: u64 = self.ask(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
        eventually("they are closed", || self.info("connected_clients") == 1);
    }

    /// The number at `name` in the server's `INFO`.
    pub(crate) fn info(&self, name: &str) -> u64 {
        let info: String = self.ask(&["INFO"]);
        let prefix = format!("{name}:");
        let line = info.lines().find_map(|line| line.strip_prefix(&prefix));
        line.unwrap().trim().parse().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}
