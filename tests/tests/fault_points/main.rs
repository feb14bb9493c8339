//! The k-th fallible call fails, for every k, once and for good: each request has one outcome all the same,
//! and nothing is left behind.
//!
//! SQLite tests errors of memory and I/O in this way (<https://sqlite.org/testing.html>): run the same work
//! with the first fallible call failing, then with the second, until a run meets no fault. What the calls are
//! is in `pontoon_bridge::faults`.
//!
//! A case that fails names itself; `PONTOON_FAULT="server any 17 once" scripts/faults` runs it alone.
//! The program runs its tests one by one, since there is one plan of faults for all of it.
#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(missing_docs, unreachable_pub, reason = "not an interface")]

#[path = "../../../bridge/tests/common/allocated.rs"]
mod allocated;
mod bridge;
mod case;
mod client;
mod holding;
mod quiet;
mod server;
mod spinning;

#[test]
fn every_fallible_call_may_fail() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("faults.db");
    rusqlite::Connection::open(&database).unwrap();
    case::every_fault("bridge", &bridge::workload);
    case::every_fault("server", &|case, faults| {
        server::workload(case, faults, &database)
    });
    spinning::nothing_spins_while_faults_last(&database);
}
