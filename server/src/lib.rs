//! Serves blocking libraries over HTTP from an event loop.

pub mod cli;
pub mod config;
