//! A server that belongs to one test.

use pontoon::adapters::registry::Registry;
use pontoon::config::{Config, ListenAddress};
use pontoon::{Running, Server, StopReport};
use std::net::SocketAddr;

use crate::client::{Connection, Response};

/// A running server; stopped when it is dropped.
pub struct Fixture {
    running: Option<Running>,
    address: SocketAddr,
}

impl Fixture {
    /// Starts the server that `text` describes, a config file without its `listen` line.
    ///
    /// # Panics
    ///
    /// When the config is wrong or the server does not start.
    pub fn from_toml(text: &str) -> Self {
        let text = format!("listen = \"127.0.0.1:0\"\n{text}");
        let config = Config::parse(&text, "test.toml", &Registry::builtin())
            .unwrap_or_else(|error| panic!("{}", error.render(false)));
        Self::start(Server::from_config(config))
    }

    /// Starts a server on a port that the system chooses.
    ///
    /// # Panics
    ///
    /// When it does not start.
    pub fn start(server: Server) -> Self {
        let running = server
            .listen("127.0.0.1:0")
            .start()
            .unwrap_or_else(|error| panic!("the server did not start: {error}"));
        let address = running
            .local_addr()
            .unwrap_or_else(|| panic!("the server has no port"));
        Self {
            running: Some(running),
            address,
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The server itself, for its statistics.
    ///
    /// # Panics
    ///
    /// Never: it runs until the fixture is stopped, which consumes it.
    pub fn running(&self) -> &Running {
        self.running
            .as_ref()
            .expect("runs until `stop` consumes the fixture")
    }

    /// Where its admin listener is.
    ///
    /// # Panics
    ///
    /// When it has none on a port.
    pub fn admin(&self) -> SocketAddr {
        match self.running().admin_address() {
            Some(ListenAddress::Tcp(address)) => *address,
            other => panic!("no admin listener on a port: {other:?}"),
        }
    }

    /// A new connection to it.
    pub fn connect(&self) -> Connection {
        Connection::open(self.address)
    }

    /// One request on a connection of its own.
    pub fn get(&self, target: &str) -> Response {
        self.request("GET", target, &[], b"")
    }

    /// One request on a connection of its own.
    pub fn request(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Response {
        let mut connection = self.connect();
        connection.send_request(method, target, headers, body);
        connection.read_response(method)
    }

    /// Stops the server and says how that went.
    ///
    /// # Panics
    ///
    /// Never: a fixture is stopped once.
    pub fn stop(mut self) -> StopReport {
        self.running
            .take()
            .map(Running::stop)
            .expect("stopped once, here or by drop")
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            let _ = running.stop();
        }
    }
}
