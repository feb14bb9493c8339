//! A blocking library behind tokio: at most four lookups at once, each for at most half a second.
//!
//! `cargo run -p pontoon-bridge --example pool_in_tokio -- localhost example.org`

#![allow(clippy::print_stdout, reason = "a program's output")]

use pontoon_bridge::{CallError, Pool};
use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

/// What the C library does: it blocks for as long as the name server likes.
fn look_up(host: &str) -> std::io::Result<Vec<SocketAddr>> {
    Ok((host, 80).to_socket_addrs()?.collect())
}

async fn look_up_all(hosts: Vec<String>) -> Result<Vec<String>, Box<dyn std::error::Error>> {
    let pool = Pool::named("dns").threads(4).max_queue(64).build()?;
    // Submitted together, they run together; awaited in order, they are printed in order.
    let calls: Vec<_> = hosts
        .into_iter()
        .map(|host| {
            let name = host.clone();
            let call = pool.call(move |()| look_up(&host));
            (name, call.deadline(Duration::from_millis(500)).submit())
        })
        .collect();
    let mut lines = Vec::new();
    for (name, call) in calls {
        lines.push(match call.await {
            Ok(Ok(addresses)) => format!("{name}: {addresses:?}"),
            Ok(Err(error)) => format!("{name}: {error}"),
            Err(CallError::DeadlineExceeded { .. }) => format!("{name}: the name server is slow"),
            Err(error) => return Err(error.into()),
        });
    }
    Ok(lines)
}

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut hosts: Vec<_> = std::env::args().skip(1).collect();
    if hosts.is_empty() {
        hosts.push("localhost".to_owned());
    }
    for line in look_up_all(hosts).await? {
        println!("{line}");
    }
    Ok(())
}
