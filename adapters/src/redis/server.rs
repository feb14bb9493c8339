//! Where the server is, and who we are to it.

use std::fmt;
use std::fs;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};

use redis::{ConnectionAddr, IntoConnectionInfo};

use super::Problem;
use super::tls::Tls;

/// How an address is written.
const SCHEMES: &str =
    "`redis://host:6379/0`, `rediss://host:6379/0` (TLS) or `unix:///run/redis.sock?db=0`";

/// A Redis server, and what to log in with.
#[derive(Clone, Debug)]
pub(super) struct Server {
    address: Address,
    pub(super) user: Option<String>,
    password: Password,
    pub(super) database: i64,
    pub(super) tls: Option<Tls>,
}

#[derive(Clone, Debug)]
enum Address {
    Tcp { host: String, port: u16 },
    Unix(PathBuf),
}

/// A password, or where it is.
#[derive(Clone)]
pub(super) enum Password {
    None,
    Given(String),
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
    fn read(&self) -> io::Result<Option<String>> {
        match self {
            Self::None => Ok(None),
            Self::Given(password) => Ok(Some(password.clone())),
            Self::File(path) => {
                let text = fs::read_to_string(path).map_err(|error| {
                    let kind = error.kind();
                    let text = format!("the password file `{}`: {error}", path.display());
                    io::Error::new(kind, text)
                })?;
                Ok(Some(text.lines().next().unwrap_or_default().to_owned()))
            }
        }
    }

    /// Finds out whether it is there.
    ///
    /// # Errors
    ///
    /// It cannot be read, or is empty.
    pub(super) fn check(&self) -> Result<(), String> {
        match self.read() {
            Ok(Some(password)) if password.is_empty() => Err("the password is empty".to_owned()),
            Ok(_) => Ok(()),
            Err(error) => Err(error.to_string()),
        }
    }
}

/// One of the addresses of a server.
#[derive(Clone, Debug)]
pub(super) enum Place {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// All that is needed for a new connection and has to be looked up.
#[derive(Clone, Debug)]
pub(super) struct Prepared {
    /// At least one.
    pub(super) places: Vec<Place>,
    pub(super) password: Option<String>,
}

impl Server {
    /// Reads an URL.
    ///
    /// # Errors
    ///
    /// What is wrong with it. The URL itself is not repeated: it may hold a password.
    pub(super) fn parse(url: &str) -> Result<Self, Problem> {
        // The library's own TLS is not used, nor built.
        let without_tls = ["rediss", "valkeys"].into_iter().find_map(|scheme| {
            let rest = url.strip_prefix(scheme)?;
            rest.starts_with(':').then(|| format!("redis{rest}"))
        });
        let is_tls = without_tls.is_some();
        let url = without_tls.as_deref().unwrap_or(url);
        let wrong = |error: redis::RedisError| {
            let message =
                format!("it is not the address of a Redis server ({error}): write {SCHEMES}");
            Problem::at("server", message)
        };
        let info = url.into_connection_info().map_err(wrong)?;
        let address = match info.addr() {
            ConnectionAddr::Tcp(host, port) => Address::Tcp {
                // An IPv6 address is in brackets in an URL only.
                host: host.trim_matches(['[', ']']).to_owned(),
                port: *port,
            },
            ConnectionAddr::Unix(path) => Address::Unix(path.clone()),
            _ => return Err(Problem::at("server", format!("write {SCHEMES}"))),
        };
        let settings = info.redis_settings();
        let password = settings.password().map(str::to_owned);
        let server = Self {
            address,
            user: settings.username().map(str::to_owned),
            password: password.map_or(Password::None, Password::Given),
            database: settings.db(),
            tls: None,
        };
        match is_tls {
            true => server.with_tls_of(None, None),
            false => Ok(server),
        }
    }

    /// The same server, which is trusted by other certificates, or learns who we are by one.
    ///
    /// # Errors
    ///
    /// A file cannot be used, or the URL says nothing of TLS.
    pub(super) fn with_tls(
        self,
        ca: Option<&Path>,
        identity: Option<(&Path, &Path)>,
    ) -> Result<Self, Problem> {
        if self.tls.is_none() {
            let message = "there is no TLS to be set up: write `rediss://` in place of `redis://`";
            return Err(Problem::at("server", message));
        }
        self.with_tls_of(ca, identity)
    }

    fn with_tls_of(
        mut self,
        ca: Option<&Path>,
        identity: Option<(&Path, &Path)>,
    ) -> Result<Self, Problem> {
        let host = match &self.address {
            Address::Tcp { host, .. } => host.as_str(),
            Address::Unix(_) => "",
        };
        self.tls = Some(Tls::new(host, ca, identity)?);
        Ok(self)
    }

    /// The same server, with a password that the URL does not hold.
    ///
    /// # Errors
    ///
    /// The URL has one as well.
    pub(super) fn with_password(mut self, password: Password) -> Result<Self, String> {
        if !matches!(self.password, Password::None) {
            return Err("the URL in `server` has a password as well; remove one of them".into());
        }
        self.password = password;
        Ok(self)
    }

    /// Looks up the addresses and the password. This blocks: files and DNS are read.
    ///
    /// # Errors
    ///
    /// The name has no address, or the password cannot be read.
    pub(super) fn prepare(&self) -> io::Result<Prepared> {
        let places: Vec<Place> = match &self.address {
            Address::Unix(path) => vec![Place::Unix(path.clone())],
            Address::Tcp { host, port } => (host.as_str(), *port)
                .to_socket_addrs()?
                .map(Place::Tcp)
                .collect(),
        };
        if places.is_empty() {
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                "the name has no address",
            ));
        }
        Ok(Prepared {
            places,
            password: self.password.read()?,
        })
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.address {
            Address::Tcp { host, port } => write!(f, "{host}:{port}"),
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_say_where_the_server_is_and_who_we_are() {
        let server = Server::parse("redis://ada:s%40cret@db.example:6380/3").unwrap();
        assert_eq!(server.to_string(), "db.example:6380");
        assert_eq!((server.user.as_deref(), server.database), (Some("ada"), 3));
        assert_eq!(server.password.read().unwrap().as_deref(), Some("s@cret"));
        assert!(!format!("{server:?}").contains("s@cret"));

        let server = Server::parse("redis://localhost").unwrap();
        assert_eq!(server.to_string(), "localhost:6379");
        assert_eq!((server.user, server.database), (None, 0));

        let server = Server::parse("unix:///run/redis.sock?db=2&user=ada").unwrap();
        assert_eq!(server.to_string(), "unix:/run/redis.sock");
        assert_eq!((server.user.as_deref(), server.database), (Some("ada"), 2));

        let server = Server::parse("redis://[::1]:7000").unwrap();
        let prepared = server.prepare().unwrap();
        assert_eq!(prepared.places[0].to_string(), "[::1]:7000");
    }

    #[test]
    fn an_url_that_is_none_is_explained_and_not_repeated() {
        for url in [
            "localhost:6379",
            "",
            "http://host",
            "redis://:secret@host:port",
        ] {
            let problem = Server::parse(url).unwrap_err();
            assert_eq!(problem.key, "server");
            assert!(problem.message.contains("redis://host:6379/0"), "{problem}");
            assert!(!problem.message.contains("secret"), "{problem}");
        }
        #[cfg(not(feature = "redis-tls"))]
        {
            let problem = Server::parse("rediss://host").unwrap_err();
            assert!(problem.message.contains("redis-tls"), "{problem}");
        }
        #[cfg(feature = "redis-tls")]
        {
            let server = Server::parse("rediss://host:7/1").unwrap();
            assert_eq!(
                (server.to_string().as_str(), server.database),
                ("host:7", 1)
            );
            assert!(server.tls.is_some());
        }
        let without = Server::parse("redis://host").unwrap();
        let problem = without.with_tls(None, None).unwrap_err();
        assert!(problem.message.contains("`rediss://`"), "{problem}");
    }

    #[test]
    fn a_password_is_in_one_place() {
        let with = Server::parse("redis://:one@host").unwrap();
        assert!(with.with_password(Password::Given("two".into())).is_err());
        let without = Server::parse("redis://host").unwrap();
        let server = without
            .with_password(Password::Given("two".into()))
            .unwrap();
        assert_eq!(server.password.read().unwrap().as_deref(), Some("two"));
    }

    #[test]
    fn a_password_file_is_read_again_for_each_connection() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        let password = Password::File(path.clone());
        assert!(password.check().unwrap_err().contains("password file"));
        fs::write(&path, "\n").unwrap();
        assert!(password.check().is_err());
        for text in ["one", "two\n"] {
            fs::write(&path, text).unwrap();
            password.check().unwrap();
            assert_eq!(password.read().unwrap().as_deref(), Some(text.trim()));
        }
    }
}
