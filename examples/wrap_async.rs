//! A client of one's own on the loop's sockets, with a time limit and connections that are kept: memcached's
//! text protocol.
//!
//! `cargo run --example wrap_async 127.0.0.1:11211`, then `curl localhost:8080/cache/NAME`

use futures_lite::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use pontoon::event_loop::{TcpStream, timeout};
use pontoon::{CallContext, Error, LoopAdapter, Request, Response};
use pontoon::{Location, Server, on_loop};
use std::cell::RefCell;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_millis(200);
const VALUE_BYTES_MAX: usize = 1 << 20;

type Connection = BufReader<TcpStream>;

/// Each loop has one, so what it keeps needs no lock.
struct Cache {
    address: SocketAddr,
    idle: RefCell<Vec<Connection>>,
}

impl LoopAdapter for Cache {
    async fn call(&self, _: Request, call: &CallContext) -> Result<Response, Error> {
        let key = call.param("key").unwrap_or_default();
        // A space or a line's end within it would be a second command.
        if key.len() > 250 || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Error::bad_request("a key has up to 250 letters and digits"));
        }
        match timeout(PATIENCE, self.get(key)).await {
            Ok(Ok(Some(value))) => Ok(Response::bytes(
                "application/octet-stream".parse().expect("valid"),
                value,
            )),
            Ok(Ok(None)) => Err(Error::not_found("the cache does not have it")),
            Ok(Err(error)) => {
                Err(Error::bad_gateway("the cache cannot be reached").with_source(error))
            }
            // What was under way is dropped, and its connection with it: nobody reads a late answer.
            Err(late) => Err(Error::timed_out("the cache takes too long").with_source(late)),
        }
    }
}

impl Cache {
    async fn get(&self, key: &str) -> io::Result<Option<Vec<u8>>> {
        let idle = self.idle.borrow_mut().pop();
        // The server may have closed one that idled, so that one is worth a second try.
        if let Some(connection) = idle
            && let Ok(value) = self.ask(connection, key).await
        {
            return Ok(value);
        }
        let connection = BufReader::new(TcpStream::connect(self.address).await?);
        self.ask(connection, key).await
    }

    async fn ask(&self, mut connection: Connection, key: &str) -> io::Result<Option<Vec<u8>>> {
        let command = format!("get {key}\r\n");
        connection.get_mut().write_all(command.as_bytes()).await?;
        let mut line = String::new();
        connection.read_line(&mut line).await?;
        let mut value = None;
        if let Some(head) = line.strip_prefix("VALUE ") {
            let length = head
                .split_whitespace()
                .last()
                .and_then(|text| text.parse().ok());
            let length = length
                .filter(|length| *length <= VALUE_BYTES_MAX)
                .ok_or(ErrorKind::InvalidData)?;
            let mut bytes = vec![0; length + "\r\nEND\r\n".len()];
            connection.read_exact(&mut bytes).await?;
            bytes.truncate(length);
            value = Some(bytes);
        } else if line != "END\r\n" {
            return Err(ErrorKind::InvalidData.into());
        }
        // Only one whose answer was read to its end is kept.
        self.idle.borrow_mut().push(connection);
        Ok(value)
    }
}

pub(crate) fn server(address: SocketAddr) -> Server {
    let idle = RefCell::default;
    let cache = on_loop(move || Cache {
        address,
        idle: idle(),
    });
    // So many connections at most, on all loops.
    let get = Location::new("/cache/{key}", cache).max_running(256);
    Server::new().route(get.deadline(Duration::from_secs(1)))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).ok_or("give memcached's IP:PORT")?;
    Ok(server(address.parse()?).listen("127.0.0.1:8080").run()?)
}
