//! In place of TLS, in a build without it: types that there is no value of.

use std::io::{self, Read, Write};
use std::path::Path;

use super::Problem;

/// There is none.
#[derive(Clone, Debug)]
pub(super) enum Tls {}

impl Tls {
    /// # Errors
    ///
    /// Always: it needs another build.
    pub(super) fn new(
        _host: &str,
        _ca: Option<&Path>,
        _identity: Option<(&Path, &Path)>,
    ) -> Result<Self, Problem> {
        let message = "TLS to Redis needs a build with `--features redis-tls`";
        Err(Problem::at("server", message))
    }

    pub(super) fn guard(&self) -> io::Result<Guard> {
        match *self {}
    }
}

/// There is none.
pub(super) enum Guard {}

impl Guard {
    pub(super) fn write(&mut self, _bytes: &[u8]) -> io::Result<usize> {
        match *self {}
    }

    pub(super) fn read(&mut self, _buffer: &mut [u8]) -> io::Result<usize> {
        match *self {}
    }

    pub(super) fn flush(&mut self, _socket: &mut dyn Write) -> io::Result<()> {
        match *self {}
    }

    pub(super) fn fill(&mut self, _socket: &mut dyn Read) -> io::Result<()> {
        match *self {}
    }
}
