//! Where a server listens, in the config file and on the command line.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

/// The kernel's limit on the path of a socket file, without its closing NUL.
const UNIX_PATH_BYTES_MAX: usize = 107;

/// The address of a listener.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ListenAddress {
    /// An IP address and a TCP port; port 0 lets the system choose.
    Tcp(SocketAddr),
    /// A Unix socket at this path.
    Unix(PathBuf),
}

impl ListenAddress {
    /// Whether it names one place, and not any port that is free.
    pub(super) fn is_fixed(&self) -> bool {
        match self {
            Self::Tcp(address) => address.port() != 0,
            Self::Unix(_) => true,
        }
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Why a text is no address to listen on, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot listen on `{text}`: {problem}")]
pub struct ListenAddressError {
    text: String,
    problem: &'static str,
}

impl FromStr for ListenAddress {
    type Err = ListenAddressError;

    /// Host names are not looked up: what a server listens on must not depend on a name service.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = |problem| ListenAddressError {
            text: text.to_owned(),
            problem,
        };
        if let Some(path) = text.strip_prefix("unix:") {
            return match path.len() {
                0 => Err(wrong(
                    "write the path of the socket, as in unix:/run/pontoon.sock",
                )),
                1..=UNIX_PATH_BYTES_MAX => Ok(Self::Unix(PathBuf::from(path))),
                _ => Err(wrong("the path of a Unix socket has at most 107 bytes")),
            };
        }
        text.parse()
            .map(Self::Tcp)
            .map_err(|_| wrong(why_not_tcp(text)))
    }
}

fn why_not_tcp(text: &str) -> &'static str {
    let (host, port) = text.rsplit_once(':').unwrap_or((text, ""));
    if text.starts_with('/') {
        "write a Unix socket as unix:/PATH"
    } else if text.parse::<std::net::IpAddr>().is_ok() {
        "the port is missing, as in 127.0.0.1:8080 or [::1]:8080"
    } else if host.is_empty() {
        "the IP address is missing: 127.0.0.1 for this machine only, 0.0.0.0 for all its networks"
    } else if host == "localhost" {
        "names are not looked up: write 127.0.0.1 or [::1] for localhost"
    } else if port
        .parse::<u32>()
        .is_ok_and(|port| port > u32::from(u16::MAX))
    {
        "ports go up to 65535"
    } else {
        "write an IP address and a port, as in 127.0.0.1:8080 or [::1]:8080, or unix:/PATH"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_an_ip_with_a_port_or_a_socket_file() {
        for text in [
            "127.0.0.1:8080",
            "[::1]:0",
            "0.0.0.0:65535",
            "unix:/run/pontoon.sock",
        ] {
            let address: ListenAddress = text.parse().unwrap();
            assert_eq!(address.to_string(), text);
        }
    }

    #[test]
    fn a_wrong_address_is_answered_with_what_to_write() {
        for (text, answer) in [
            ("localhost:8080", "names are not looked up"),
            ("127.0.0.1", "the port is missing"),
            ("::1", "the port is missing"),
            (":8080", "the IP address is missing"),
            ("127.0.0.1:80800", "ports go up to 65535"),
            ("/run/pontoon.sock", "unix:/PATH"),
            ("unix:", "write the path"),
            ("", "the IP address is missing"),
            ("example.org:80", "write an IP address"),
        ] {
            let error = text.parse::<ListenAddress>().unwrap_err().to_string();
            assert!(error.contains(answer), "{text:?}: {error}");
        }
        let long = format!("unix:/{}", "x".repeat(107));
        assert!(long.parse::<ListenAddress>().is_err());
    }
}
