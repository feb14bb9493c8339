//! A slow function on a location: eight at once, 256 waiting, everybody else an immediate 503.
//!
//! `cargo run --release --example hash_server`, then `curl -d 'some text' localhost:8080/hash`

use pontoon::{Pool, Request, Response, Server, blocking};

/// Stands for any library that computes for long: FNV-1a, over and over.
fn slow_hash(bytes: &[u8]) -> String {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for _round in 0..10_000 {
        for byte in bytes {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    format!("{hash:016x}\n")
}

pub(crate) fn server() -> Server {
    let hash = blocking("hash", |request: Request| {
        Ok(Response::text(slow_hash(request.body())))
    });
    Server::new()
        .pool(Pool::named("hash").threads(8).max_queue(256))
        .location("/hash", hash)
}

fn main() -> pontoon::Result<()> {
    server().listen("127.0.0.1:8080").run()
}
