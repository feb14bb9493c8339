//! A server that belongs to one test, and one request at a time to it.

use pontoon::{PoolStats, Running, Server};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Instant;

use crate::PATIENCE;

/// A running server; stopped when it is dropped.
pub(crate) struct Served(Option<Running>);

impl Served {
    pub(crate) fn start(server: Server) -> Self {
        Self(Some(server.listen("127.0.0.1:0").start().unwrap()))
    }

    fn running(&self) -> &Running {
        self.0.as_ref().expect("runs until it is dropped")
    }

    /// The status and everything after the head.
    pub(crate) fn get(&self, path: &str) -> (u16, String) {
        self.request("GET", path, "")
    }

    pub(crate) fn request(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        let address = self.running().local_addr().unwrap();
        let mut socket = TcpStream::connect_timeout(&address, PATIENCE).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let length = body.len();
        write!(
            socket,
            "{method} {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
        )
        .unwrap();
        let mut response = String::new();
        socket.read_to_string(&mut response).unwrap();
        let (head, body) = response.split_once("\r\n\r\n").expect("a whole head");
        let status = head.split(' ').nth(1).expect("a status");
        (status.parse().unwrap(), body.to_owned())
    }

    pub(crate) fn pool(&self, name: &str) -> PoolStats {
        self.running()
            .pool_stats(name)
            .expect("a pool of this name")
    }

    /// Waits until no call is inside the pool, running or waiting.
    pub(crate) fn wait_until_free(&self, pool: &str) {
        let until = Instant::now() + PATIENCE;
        while self.pool(pool).in_flight > 0 {
            assert!(Instant::now() < until, "still stuck: {:?}", self.pool(pool));
            thread::yield_now();
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        if let Some(running) = self.0.take() {
            let _ = running.stop();
        }
    }
}
