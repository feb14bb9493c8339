//! Runs the examples, so that none of them goes stale.
#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(dead_code, reason = "each is a program of its own")]

#[path = "../../examples/inbox_on_mio.rs"]
mod inbox_on_mio;
#[path = "../../examples/pool_in_smol.rs"]
mod pool_in_smol;
#[path = "../../examples/pool_in_tokio.rs"]
mod pool_in_tokio;
#[path = "../../examples/pool_on_mio.rs"]
mod pool_on_mio;

#[test]
fn inbox_on_mio_runs() {
    inbox_on_mio::main().unwrap();
}

#[test]
fn pool_on_mio_runs() {
    pool_on_mio::main().unwrap();
}

#[test]
fn pool_in_smol_runs() {
    pool_in_smol::main().unwrap();
}

#[test]
fn pool_in_tokio_runs() {
    pool_in_tokio::main().unwrap();
}
