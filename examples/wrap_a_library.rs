//! A library with a connection per worker: opened on first use, checked after idling, interrupted when
//! nobody waits any more, replaced after an error.
//!
//! `cargo run --example wrap_a_library 127.0.0.1:2628`, then `curl localhost:8080/define/pontoon`

use library::Connection;
use pontoon::{Adapter, CallContext, Error, Interrupt, Request, Response};
use pontoon::{Location, Pool, Server, on_pool};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

/// The library: a blocking client of a line-based dictionary server.
mod library {
    use std::io::{self, BufRead, BufReader, Write};
    use std::net::TcpStream;

    pub(crate) struct Connection(pub(crate) BufReader<TcpStream>);

    impl Connection {
        /// One line out, one line back; blocks for as long as the server likes.
        pub(crate) fn ask(&mut self, question: &str) -> io::Result<String> {
            writeln!(self.0.get_mut(), "{question}")?;
            let mut answer = String::new();
            match self.0.read_line(&mut answer)? {
                0 => Err(io::ErrorKind::UnexpectedEof.into()),
                _ => Ok(answer),
            }
        }
    }
}

struct Dictionary {
    address: SocketAddr,
}

/// After an I/O error nobody knows what the server will send next: the session is not used again.
fn unreachable(error: std::io::Error) -> Error {
    let error = Error::bad_gateway("the dictionary does not answer").with_source(error);
    error.breaking_session()
}

impl Adapter for Dictionary {
    /// One for each worker; it need not be `Send`.
    type Session = Connection;

    fn open(&self) -> Result<Connection, Error> {
        let socket = TcpStream::connect_timeout(&self.address, Duration::from_secs(1));
        let socket = socket.map_err(unreachable)?;
        Ok(Connection(std::io::BufReader::new(socket)))
    }

    fn check(&self, session: &mut Connection) -> Result<(), Error> {
        session.ask("PING").map(drop).map_err(unreachable)
    }

    fn call(
        &self,
        session: &mut Connection,
        _: Request,
        call: &CallContext,
    ) -> Result<Response, Error> {
        let word = call.param("word").unwrap_or_default();
        // Path parameters are decoded: `%0A` would smuggle in a second command.
        if !word.chars().all(char::is_alphanumeric) {
            return Err(Error::bad_request("a word has letters and digits only"));
        }
        match session
            .ask(&format!("DEFINE {word}"))
            .map_err(unreachable)?
        {
            nothing if nothing.trim().is_empty() => Err(Error::not_found("no such word")),
            definition => Ok(Response::text(definition)),
        }
    }

    /// Ending the socket ends the read that the library blocks in.
    fn interrupter(&self, session: &Connection) -> Option<Box<dyn Interrupt>> {
        let socket = session.0.get_ref().try_clone().ok()?;
        Some(Box::new(HangUp(socket)))
    }
}

struct HangUp(TcpStream);

impl Interrupt for HangUp {
    fn interrupt(&self) {
        // It fails only if the connection has ended already.
        let _ = self.0.shutdown(Shutdown::Both);
    }
}

pub(crate) fn server(dictionary: SocketAddr) -> Server {
    let define = on_pool(
        "dictionary",
        Dictionary {
            address: dictionary,
        },
    );
    Server::new()
        .pool(Pool::named("dictionary").threads(4).max_queue(64))
        .route(Location::new("/define/{word}", define).deadline(Duration::from_millis(500)))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args()
        .nth(1)
        .ok_or("give the dictionary's IP:PORT")?;
    Ok(server(address.parse()?).listen("127.0.0.1:8080").run()?)
}
