//! The `pontoon` command as the shell sees it: the real binary, real signals, real sockets.

#![allow(clippy::unwrap_used, reason = "the helpers are part of the tests")]

mod access_log;
mod demo;
mod limits;
mod look;
mod process;
mod reload;
mod run;
mod stop;
mod stuck;
