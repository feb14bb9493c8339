//! A Redis server that belongs to one test, seen through its own client library.

use std::ops::Deref;

use pontoon_tests::backends::Redis;
use pontoon_tests::{PATIENCE, eventually};
use redis::{Client, Connection};

/// A private server. Where there is no Redis it cannot be had, and says so.
pub(crate) struct Server(Redis);

impl Server {
    pub(crate) fn start() -> Option<Self> {
        Redis::start().map(Self)
    }

    pub(crate) fn with(options: &[&str]) -> Option<Self> {
        Redis::start_with(options).map(Self)
    }

    /// Its socket file as an URL.
    pub(crate) fn socket_url(&self) -> String {
        format!("unix://{}", self.0.socket().display())
    }

    /// Its port as an URL.
    pub(crate) fn url(&self) -> String {
        format!("redis://{}", self.0.address())
    }

    /// A connection of the test's own.
    pub(crate) fn client(&self) -> Connection {
        let client = Client::open(self.socket_url()).unwrap();
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

impl Deref for Server {
    type Target = Redis;

    fn deref(&self) -> &Redis {
        &self.0
    }
}
