//! What the handlers of all HTTP peers do on a blocking thread, so that the servers differ in how
//! they get there and in nothing else.
//!
//! Five kinds of work: nothing ([`noop`]), waiting ([`sleep`]), computing ([`spin`]), and reading or adding a
//! row in SQLite ([`database`]). Each peer is given the same [`Settings`] and prints its address
//! as the first line on stdout.

pub mod database;

use clap::Args;
use std::hint;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

/// What a peer is started with.
#[derive(Args, Clone, Debug)]
pub struct Settings {
    /// The database, made by [`database::make`]
    #[arg(long)]
    pub database: PathBuf,
    /// How many rounds [`spin`] makes: found once, by [`calibrate`], and the same for all
    #[arg(long)]
    pub spin_rounds: u64,
    /// Threads that may block at once, in all
    #[arg(long, default_value_t = 64)]
    pub threads: usize,
}

/// Tells whoever started this peer where it listens.
///
/// # Errors
///
/// When stdout is gone.
pub fn announce(address: SocketAddr) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{address}")?;
    out.flush()
}

/// No work at all: what remains is the way to the library and back.
#[inline(never)]
pub fn noop() -> &'static str {
    "done\n"
}

/// A library that waits, for instance for a disk or another server.
#[inline(never)]
pub fn sleep() -> &'static str {
    thread::sleep(Duration::from_millis(1));
    "slept\n"
}

/// A library that computes: FNV-1a over the numbers up to `rounds`. Each step needs the one before,
/// so the time hardly depends on what the compiler makes of it; it is compiled once for all peers.
#[inline(never)]
pub fn spin(rounds: u64) -> String {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for round in 0..hint::black_box(rounds) {
        hash = (hash ^ round).wrapping_mul(0x0100_0000_01b3);
    }
    format!("{hash:016x}\n")
}

/// How many rounds of [`spin`] take this long on a CPU that does nothing else. The quickest of many
/// tries counts: whatever else runs on the machine can only make a try slower.
pub fn calibrate(target: Duration) -> u64 {
    const TRIES: usize = 200;
    const ROUNDS: u64 = 10_000;
    let tries = (0..TRIES).map(|_| {
        let start = Instant::now();
        hint::black_box(spin(ROUNDS));
        start.elapsed()
    });
    let quickest = tries.min().unwrap_or_default().max(Duration::from_nanos(1));
    (ROUNDS as f64 * target.as_secs_f64() / quickest.as_secs_f64()) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_time_is_more_rounds() {
        let short = calibrate(Duration::from_micros(5));
        assert!(short > 0);
        assert!(calibrate(Duration::from_micros(500)) > short);
    }

    #[test]
    fn the_same_rounds_give_the_same_answer() {
        assert_eq!(spin(1_000), spin(1_000));
        assert_ne!(spin(1_000), spin(1_001));
    }
}
