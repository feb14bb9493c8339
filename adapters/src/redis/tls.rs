//! TLS to the server, by rustls.
//!
//! Bytes go in and out of memory here; whoever owns the socket moves them on, so the blocking and the
//! multiplexed connection share it.

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};

use super::Problem;

/// How connections to one server are protected.
#[derive(Clone)]
pub(super) struct Tls {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tls").field(&self.name).finish()
    }
}

impl Tls {
    /// For a server of this name, which must prove it by a certificate that the system trusts or, if `ca`
    /// names a file, those in it. `identity` are our own certificate and its key.
    ///
    /// # Errors
    ///
    /// A file cannot be used, or the name cannot be in a certificate.
    pub(super) fn new(
        host: &str,
        ca: Option<&Path>,
        identity: Option<(&Path, &Path)>,
    ) -> Result<Self, Problem> {
        let name = ServerName::try_from(host.to_owned())
            .map_err(|error| Problem::at("server", format!("`{host}`: {error}")))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| Problem::at("server", error.to_string()))?
            .with_root_certificates(roots(ca)?);
        let config = match identity {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let chain = certificates("tls_cert", certificate)?;
                let key = PrivateKeyDer::from_pem_file(key)
                    .map_err(|error| unusable("tls_key", key, &error))?;
                let with_identity = builder.with_client_auth_cert(chain, key);
                with_identity.map_err(|error| Problem::at("tls_cert", error.to_string()))?
            }
        };
        Ok(Self {
            config: Arc::new(config),
            name,
        })
    }

    /// What protects a new connection.
    ///
    /// # Errors
    ///
    /// The configuration is of no use to this server.
    pub(super) fn guard(&self) -> io::Result<Guard> {
        ClientConnection::new(Arc::clone(&self.config), self.name.clone())
            .map(|connection| Guard(Box::new(connection)))
            .map_err(io::Error::other)
    }
}

fn roots(ca: Option<&Path>) -> Result<RootCertStore, Problem> {
    let mut roots = RootCertStore::empty();
    let Some(ca) = ca else {
        // Those that it cannot read are as good as not there.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        return Ok(roots);
    };
    for certificate in certificates("tls_ca", ca)? {
        roots
            .add(certificate)
            .map_err(|error| unusable("tls_ca", ca, &error))?;
    }
    Ok(roots)
}

fn certificates(key: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, Problem> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match read {
        Ok(certificates) if certificates.is_empty() => {
            let message = format!("`{}` holds no certificate in PEM form", path.display());
            Err(Problem::at(key, message))
        }
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(unusable(key, path, &error)),
    }
}

fn unusable(key: &'static str, path: &Path, error: &dyn fmt::Display) -> Problem {
    Problem::at(key, format!("`{}` cannot be used: {error}", path.display()))
}

/// What protects one connection.
pub(super) struct Guard(Box<ClientConnection>);

impl Guard {
    /// Takes some of `bytes` to be sent; how many. None are taken while too many wait for
    /// [`flush`](Self::flush).
    ///
    /// # Errors
    ///
    /// None that is known.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.writer().write(bytes)
    }

    /// Gives what has come, up to the length of `buffer`; 0 is the end of the stream.
    ///
    /// # Errors
    ///
    /// `WouldBlock` when nothing is here and [`fill`](Self::fill) may bring more.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.reader().read(buffer)
    }

    /// Moves all that is to be sent into the socket.
    ///
    /// # Errors
    ///
    /// What the socket says; what it has not taken stays.
    pub(super) fn flush(&mut self, socket: &mut dyn Write) -> io::Result<()> {
        while self.0.wants_write() {
            self.0.write_tls(&mut &mut *socket)?;
        }
        Ok(())
    }

    /// Takes what the socket has; the answers that this may need wait for [`flush`](Self::flush).
    ///
    /// # Errors
    ///
    /// What the socket says, its end included, or that the server cannot be trusted.
    pub(super) fn fill(&mut self, socket: &mut dyn Read) -> io::Result<()> {
        if self.0.read_tls(&mut &mut *socket)? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        match self.0.process_new_packets() {
            Ok(_) => Ok(()),
            Err(error) => Err(io::Error::new(ErrorKind::InvalidData, error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_cannot_be_used_are_found_at_start() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file.pem");
        let problem = |ca, identity| Tls::new("host", ca, identity).unwrap_err();
        assert_eq!(problem(Some(path.as_path()), None).key, "tls_ca");
        std::fs::write(&path, "no certificate").unwrap();
        let found = problem(Some(path.as_path()), None);
        assert!(
            found.message.contains("no certificate in PEM form"),
            "{found}"
        );
        let found = problem(None, Some((path.as_path(), path.as_path())));
        assert_eq!(found.key, "tls_cert");
        assert!(Tls::new("host", None, None).is_ok());
        assert_eq!(Tls::new("", None, None).unwrap_err().key, "server");
    }
}
