//! HTTPS against `openssl s_server`, whose certificate nobody but the test has signed.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::*;

/// A server with a certificate for `localhost`; it goes with the test.
struct Secure {
    server: Child,
    port: String,
    folder: TempDir,
}

impl Secure {
    /// `None`, and a word about it, where there is no `openssl`.
    fn start() -> Option<Self> {
        if Command::new("openssl").arg("version").output().is_err() {
            // Past the harness, which would keep it to itself.
            let _ = writeln!(
                std::io::stderr(),
                "the tests of TLS are skipped: no `openssl`"
            );
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        for name in ["server", "other"] {
            certify(folder.path(), name);
        }
        let mut server = Command::new("openssl")
            .args(["s_server", "-accept", "127.0.0.1:0", "-www"])
            .args(["-cert", "server.pem", "-key", "server.key"])
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(server.stdout.take().unwrap()).lines();
        let port = lines.find_map(|line| {
            let address = line.unwrap().strip_prefix("ACCEPT ")?.to_owned();
            Some(address.rsplit(':').next()?.to_owned())
        });
        // Read on, so that it never writes into a pipe that is closed.
        std::thread::spawn(move || lines.for_each(drop));
        Some(Self {
            server,
            port: port.expect("the server says where it listens"),
            folder,
        })
    }

    fn fetch(&self, host: &str, ca: Option<&str>) -> Result<Response, Error> {
        let url = format!("https://{host}:{}/", self.port);
        let adapter = Curl::new(url.parse().unwrap());
        let adapter = match ca {
            Some(ca) => adapter.ca_file(self.folder.path().join(ca)),
            None => adapter,
        };
        fetch(&adapter, get("/"))
    }
}

impl Drop for Secure {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn certify(folder: &Path, name: &str) {
    let status = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
        ])
        .args([
            "-days",
            "2",
            "-subj",
            "/CN=localhost",
            "-addext",
            "subjectAltName=DNS:localhost",
        ])
        .args([
            "-keyout",
            &format!("{name}.key"),
            "-out",
            &format!("{name}.pem"),
        ])
        .current_dir(folder)
        .stderr(Stdio::null())
        .status();
    assert!(status.unwrap().success());
}

#[test]
fn a_certificate_is_believed_only_if_it_is_the_servers_own_and_signed_by_whom_we_trust() {
    let Some(secure) = Secure::start() else {
        return;
    };
    let answered = secure.fetch("localhost", Some("server.pem"));
    assert_eq!(answered.unwrap().status(), 200);
    for (host, ca) in [
        ("localhost", None),
        ("localhost", Some("other.pem")),
        ("127.0.0.1", Some("server.pem")),
    ] {
        let error = secure.fetch(host, ca).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BadGateway, "{host} {ca:?}");
        assert!(error.detail().contains("secure"), "{error}");
    }
    std::fs::write(secure.folder.path().join("none.pem"), "none").unwrap();
    let error = secure.fetch("localhost", Some("none.pem")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Internal);
}

#[test]
fn who_speaks_no_tls_is_a_502() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}/", listener.local_addr().unwrap());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (mut stream, _) = listener.accept().unwrap();
            stream
                .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                .unwrap();
            // Closing before all is read would be a reset.
            let _ = std::io::copy(&mut stream, &mut std::io::sink());
        });
        let error = fetch(&Curl::new(url.parse().unwrap()), get("/")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BadGateway);
        assert!(error.detail().contains("secure"), "{error}");
    });
}
