//! Where the server is, and who we are to it.

use std::ffi::{CString, c_uint};
use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

/// The port of MySQL and MariaDB.
const PORT: u16 = 3306;

/// One of the servers that have the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Server {
    /// A host, by name or address, and a port.
    Tcp(CString, u16),
    /// A Unix socket.
    Socket(CString),
}

impl Server {
    /// Reads `host`, `host:port`, `[::1]:port` or `/path/of/socket`.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| {
            format!(
                "`{text}` is no server: {why}; write `host`, `host:3306`, `[::1]:3306` or the path of a Unix socket"
            )
        };
        let c_string = |part: &str| CString::new(part).map_err(|_| wrong("it has a NUL in it"));
        if text.starts_with('/') {
            return c_string(text).map(Self::Socket);
        }
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, port) = rest
                    .split_once(']')
                    .ok_or_else(|| wrong("`]` is missing"))?;
                match port.strip_prefix(':') {
                    Some(port) => (host, Some(port)),
                    None if port.is_empty() => (host, None),
                    None => return Err(wrong("after `]` comes `:` and the port")),
                }
            }
            // More than one colon: an IPv6 address without a port.
            None if text.matches(':').count() > 1 => (text, None),
            None => match text.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            },
        };
        if host.is_empty() || host.contains(char::is_whitespace) || host.contains('/') {
            return Err(wrong("it has no host"));
        }
        let port = match port {
            Some(port) => port
                .parse()
                .ok()
                .filter(|&port| port != 0)
                .ok_or_else(|| wrong("its port is not between 1 and 65535"))?,
            None => PORT,
        };
        Ok(Self::Tcp(c_string(host)?, port))
    }
}

/// Whether a connection is encrypted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Tls {
    /// Never.
    Off,
    /// If the server can do it; nothing is checked.
    #[default]
    Prefer,
    /// Always; nothing is checked.
    Require,
    /// Always, and the server's certificate is good for its host.
    Verify,
}

/// A password, or where it is.
#[derive(Clone)]
pub(super) enum Password {
    None,
    Given(CString),
    /// The first line of this file, read for each connection: so it may be replaced.
    File(PathBuf),
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Given(_) => "Given",
            Self::File(_) => "File",
        })
    }
}

impl Password {
    /// Reads it where it is.
    ///
    /// # Errors
    ///
    /// Its file cannot be read, or has a NUL in it.
    pub(super) fn read(&self) -> Result<Option<CString>, String> {
        match self {
            Self::None => Ok(None),
            Self::Given(password) => Ok(Some(password.clone())),
            Self::File(path) => {
                let at = || format!("the password file `{}`", path.display());
                let text =
                    fs::read_to_string(path).map_err(|error| format!("{}: {error}", at()))?;
                let line = text.lines().next().unwrap_or_default();
                let line = CString::new(line);
                line.map(Some)
                    .map_err(|_| format!("{} has a NUL in it", at()))
            }
        }
    }
}

/// All that is needed for a connection.
#[derive(Clone, Debug)]
pub(super) struct Login {
    /// At least one, in the order in which they are tried.
    pub(super) servers: Vec<Server>,
    pub(super) user: CString,
    pub(super) password: Password,
    pub(super) database: Option<CString>,
    pub(super) tls: Tls,
    pub(super) ca_file: Option<CString>,
    /// For a connection to one server, login included.
    pub(super) connect_timeout: Duration,
    /// The largest packet, in bytes.
    pub(super) packet_bytes_max: usize,
}

impl Server {
    /// What the library wants of it: host, port and socket.
    pub(super) fn parts(&self) -> (Option<&CString>, c_uint, Option<&CString>) {
        match self {
            Self::Tcp(host, port) => (Some(host), (*port).into(), None),
            Self::Socket(path) => (None, 0, Some(path)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(host: &str, port: u16) -> Server {
        Server::Tcp(CString::new(host).unwrap(), port)
    }

    #[test]
    fn hosts_ports_and_sockets_are_told_apart() {
        let cases = [
            ("db", tcp("db", 3306)),
            ("db:3307", tcp("db", 3307)),
            ("127.0.0.1:1", tcp("127.0.0.1", 1)),
            ("::1", tcp("::1", 3306)),
            ("[::1]", tcp("::1", 3306)),
            ("[fe80::1]:3307", tcp("fe80::1", 3307)),
            (
                "/run/mysqld.sock",
                Server::Socket(c"/run/mysqld.sock".into()),
            ),
        ];
        for (text, server) in cases {
            assert_eq!(Server::parse(text).unwrap(), server, "{text}");
        }
        for wrong in [
            "",
            ":3306",
            "db:",
            "db:0",
            "db:99999",
            "[::1",
            "[::1]3306",
            "a b",
            "a/b",
            "a\0",
        ] {
            assert!(Server::parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_password_is_never_shown() {
        let password = Password::Given(c"hunter2".into());
        assert!(!format!("{password:?}").contains("hunter2"));
    }
}
