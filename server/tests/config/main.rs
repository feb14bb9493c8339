//! The config file and the commands that look at it, as an operator meets them.

#![allow(clippy::unwrap_used, reason = "the helpers are part of the tests")]

mod commands;
mod errors;
mod golden;
mod pools;
mod registry;
mod values;

use pontoon::config::{Config, ConfigError};

/// Reads a config against the adapters of [`registry`].
fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(text, "pontoon.toml", &registry::registry())
}

/// What the operator sees of a config that is wrong.
fn errors(text: &str) -> String {
    parse(text).unwrap_err().to_string()
}
